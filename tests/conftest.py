"""What the tests share: the programs under test, their peers, and captures of what they say.

Every test runs for the stack that --stack names: tcp, sctp (the kernel's) or usrsctp; "lab" are the tests of the lab's
own tools, which need none.
"""
import json
import os
import pathlib
import random
import re
import select
import signal
import socket
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
IPPROTO_SCTP = 132
PATIENCE_S = 120  # for what takes a moment on an idle machine
VALGRIND = ["valgrind", "--quiet", "--error-exitcode=99", "--leak-check=full",
            "--errors-for-leak-kinds=definite", "--show-leak-kinds=definite", "--track-fds=yes"]


def pytest_addoption(parser):
    parser.addoption("--stack", choices=("tcp", "sctp", "usrsctp", "lab"), default="tcp",
                     help="sctp needs a kernel that has it: lab/run pytest-3 --stack sctp; lab: the lab itself")
    parser.addoption("--build", type=pathlib.Path, default=ROOT / "build", help="build directory")
    parser.addoption("--valgrind", action="store_true", help="run both programs under memcheck")
    parser.addoption("--long", action="store_true", help="faults and bad input in bulk: minutes")
    parser.addoption("--fuzz", type=int, default=3, help="seconds for each target of libFuzzer")
    parser.addoption("--seed", type=int, default=random.randrange(1 << 32),
                     help="of all that is left to chance (default: another one in every run)")


def pytest_configure(config):
    # A shell starts its background jobs with SIGINT ignored, and so would be all that they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if os.environ.get("CI"):
        config.option.reportchars = "s"  # say why
    config.addinivalue_line("markers", "stacks(*names): the stacks that a test is for")
    config.addinivalue_line("markers", "long: only with --long")
    config.addinivalue_line("markers", "uncounted: not with gcov, which allocates and writes files")
    config.addinivalue_line("markers", "plain: not under valgrind, not with sanitizers")


def read_settings(build):
    cache = build / "CMakeCache.txt"
    return cache.read_text() if cache.exists() else ""


def counts_lines(build):
    """Is it a build with gcov?"""
    return "CMAKE_BUILD_TYPE:STRING=Coverage\n" in read_settings(build)


def pytest_collection_modifyitems(config, items):
    """A test for other stacks, or for other builds, is not part of this run: not skipped."""
    build = config.getoption("build")
    checked = config.getoption("valgrind") or re.search(
        r"^SANITIZE:\w+=\w", read_settings(build), re.M)
    counted = counts_lines(build)

    def belongs(item):
        mark = item.get_closest_marker("stacks")
        fits = config.getoption("stack") in (mark.args if mark else ("tcp", "sctp", "usrsctp"))
        short = config.getoption("long") or not item.get_closest_marker("long")
        return fits and short and not (
            checked and item.get_closest_marker("plain")
            or counted and item.get_closest_marker("uncounted"))
    config.hook.pytest_deselected(items=[item for item in items if not belongs(item)])
    items[:] = [item for item in items if belongs(item)]


def pytest_sessionfinish(session):
    """CI has all that the tests need: there, a skipped test is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def stack(pytestconfig):
    return pytestconfig.getoption("stack")


@pytest.fixture(scope="session")
def build(pytestconfig):
    return pytestconfig.getoption("build").resolve()


@pytest.fixture
def chance(pytestconfig):
    """The source of all that is random in a test; a failed test says how to repeat it."""
    seed = pytestconfig.getoption("seed")
    print(f"to repeat it: --seed={seed}")
    return random.Random(seed)


@pytest.fixture(scope="session")
def scale(pytestconfig):
    """scale(short, long): how much of something, in CI and with --long."""
    return lambda short, long: long if pytestconfig.getoption("long") else short


@pytest.fixture(scope="session")
def is_sctp(stack):
    return stack != "tcp"


@pytest.fixture(scope="session")
def protocol(is_sctp):
    return IPPROTO_SCTP if is_sctp else socket.IPPROTO_TCP


@pytest.fixture(scope="session")
def names(is_sctp):
    """What the programs call themselves: server, client."""
    return ("server-sctp", "client-sctp") if is_sctp else ("server-tcp", "client-tcp")


def find_udp_port():
    """One that nobody has; as text."""
    with socket.socket(type=socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


@pytest.fixture(scope="session")
def environment(stack):
    """The environment of everything that a test starts."""
    env = dict(os.environ, LC_ALL="C", MALLOC_PERTURB_="165", TSAN_OPTIONS="atexit_sleep_ms=0")
    if stack == "sctp":
        env["SCTP_STACK"] = "kernel"
    if stack == "usrsctp":
        env.update(SCTP_STACK="usrsctp", SCTP_UDP_PORT=find_udp_port())
    return env


class Program:
    """A started program. finish() gives its exit status and what it wrote since."""

    def __init__(self, command, **options):
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(
            [str(word) for word in command], bufsize=0, **{**pipes, **options})

    def read_line(self, stream="stdout"):
        """The next line; waits for it."""
        pipe, line, deadline = getattr(self.process, stream), b"", time.monotonic() + PATIENCE_S
        while not line.endswith(b"\n"):
            ready = select.select([pipe], [], [], max(0, deadline - time.monotonic()))[0]
            byte = os.read(pipe.fileno(), 1) if ready else b""
            assert byte, f"no line came, only {line!r}; on stderr {self.end()[2]!r}"
            line += byte
        return line.decode()

    def finish(self, signal_number=None, patience_s=PATIENCE_S):
        """Waits for the end, after a signal or by itself: (status, stdout, stderr)."""
        if signal_number is not None:
            self.process.send_signal(signal_number)
        output = self.process.communicate(timeout=patience_s)
        return (self.process.returncode, *[(text or b"").decode(errors="backslashreplace") for text in output])

    def end(self):
        """Ends it whatever it does."""
        self.process.kill()
        return self.finish()


@pytest.fixture
def start(environment, request, tmp_path):
    """Starts programs; at the end of the test none is left."""
    programs = []

    def start_program(command, prefix=(), env=(), **options):
        programs.append(Program([*prefix, *command], env={**environment, **dict(env)}, **options))
        return programs[-1]

    yield start_program
    for program in programs:
        if program.process.poll() is None:
            program.end()


@pytest.fixture
def memcheck(pytestconfig, tmp_path):
    """The command to put before a program under test; afterwards memcheck has found nothing."""
    if not pytestconfig.getoption("valgrind"):
        yield []
        return
    yield [*VALGRIND, f"--log-file={tmp_path}/valgrind.%p"]
    for log in tmp_path.glob("valgrind.*"):
        text = re.sub(r"==\d+== ?", "", log.read_text())
        harmless = r"FILE DESCRIPTORS: .*\n|Open .*\n +<inherited from parent>\n|\s*\n"
        assert re.sub(harmless, "", text) == "", text


@pytest.fixture
def start_server(start, build, names, memcheck):
    """Starts the server on a port that the system picks; it is ready then, its port is .port."""
    def start_it(*arguments, prefix=(), **options):
        server = start([build / names[0], *arguments, 0], [*prefix, *memcheck], **options)
        line = server.read_line()
        match = re.fullmatch(r"Listening on port (\d+)\n", line)
        assert match, line
        server.port = int(match[1])
        return server
    return start_it


@pytest.fixture
def server(start_server):
    """A server that must not have complained by the end of the test, and stops when asked to."""
    server = start_server()
    yield server
    if server.process.returncode is None:
        status, _, errors = server.finish(signal.SIGINT)
        assert (status, errors) == (0, "")


@pytest.fixture
def start_client(start, build, names, memcheck):
    def start_it(*arguments, prefix=(), **options):
        return start([build / names[1], *arguments], [*prefix, *memcheck], **options)
    return start_it


@pytest.fixture
def run_client(start_client):
    """Runs the client to its end: (status, stdout, stderr)."""
    def run(*arguments, **options):
        return start_client(*arguments, **options).finish()
    return run


class Peer(Program):
    """A socket in a process of its own (peer.py): its methods are those of peer.Commands."""

    def __getattr__(self, name):
        def call(*arguments):
            self.ask(name, *arguments)
            answer = json.loads(self.read_line())
            if isinstance(answer, dict):
                raise OSError(answer["errno"], os.strerror(answer["errno"]))
            return answer
        return call

    def ask(self, name, *arguments):
        """Calls without waiting for the answer."""
        self.process.stdin.write(json.dumps([name, *arguments]).encode() + b"\n")


@pytest.fixture
def start_peer(environment, build, stack, protocol):
    """Starts peers; with port=…, connected to it."""
    peers = []

    def start_it(port=None, host="127.0.0.1", family=socket.AF_INET):
        prefix = [build / "userland/withusrsctp"] if stack == "usrsctp" else []
        command = [sys.executable, "-E", "-S", ROOT / "tests/peer.py", int(family), protocol]
        peers.append(Peer([*prefix, *command], env=environment, stdin=subprocess.PIPE))
        if port is not None:
            peers[-1].connect(host, port)
        return peers[-1]

    yield start_it
    for peer in peers:
        peer.end()


class Capture:
    """What goes over the loopback interface, as tshark tells it."""

    def __init__(self, path, packet_filter, udp_port):
        self.path, self.decode = path, ["-d", f"udp.port=={udp_port},sctp"] if udp_port else []
        self.marker = socket.socket(type=socket.SOCK_DGRAM)
        self.marker.bind(("127.0.0.1", 0))
        self.marker_port = self.marker.getsockname()[1]
        self.tcpdump = Program(
            ["tcpdump", "-i", "lo", "-s", "2000", "-B", "16384", "--immediate-mode", "-U", "-Z", "root", "-w", path,
             f"({packet_filter}) or udp port {self.marker_port}"])
        while "listening on" not in self.tcpdump.read_line("stderr"):
            pass

    def stop(self):
        """Ends the capture when all that was sent until now is in it."""
        marker = os.urandom(16)
        self.marker.sendto(marker, self.marker.getsockname())
        deadline = time.monotonic() + PATIENCE_S
        while marker not in self.path.read_bytes():
            assert time.monotonic() < deadline, "tcpdump has lost the marker"
            time.sleep(0.01)
        self.marker.close()
        status, _, errors = self.tcpdump.finish(signal.SIGINT)
        assert status == 0 and "0 packets dropped by kernel" in errors, errors

    def read(self, *fields, only=""):
        """The fields of each packet, as lists of lists of strings (a field can occur often)."""
        only = f"!(udp.port == {self.marker_port})" + (f" && ({only})" if only else "")
        output = subprocess.run(
            ["tshark", "-n", "-r", self.path, *self.decode, "-Y", only, "-o", "sctp.checksum:crc-32c",
             "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=,",
             *[f"-e{field}" for field in fields]], check=True, capture_output=True, text=True).stdout
        return [[cell.split(",") if cell else [] for cell in line.split("\t")]
                for line in output.splitlines()]


@pytest.fixture
def capture(tmp_path, environment):
    """capture(filter) starts one; the filter is tcpdump's."""
    if os.geteuid() != 0:
        pytest.skip("capturing needs root")
    captures = []

    def start_it(packet_filter, udp_port=environment.get("SCTP_UDP_PORT")):
        captures.append(Capture(tmp_path / f"{len(captures)}.pcap", packet_filter, udp_port))
        return captures[-1]

    yield start_it
    for started in captures:
        started.tcpdump.end()


@pytest.fixture
def own_packets(stack, environment, protocol):
    """A capture filter for the traffic of the stack under test to or from a port."""
    def make(port):
        if stack == "usrsctp":
            return f"udp port {environment['SCTP_UDP_PORT']}"
        return f"ip proto {protocol} and port {port}" if stack == "tcp" else f"sctp port {port}"
    return make


def flood_text(is_sctp):
    """What to send so that many answers are due: SCTP answers records, TCP lines."""
    return "m" if is_sctp else "m\n" * 10000


def answers(count, of=None):
    """What the client prints for so many messages."""
    return "".join(f"Sending message {number} of {of or count}. Result: OK\n"
                   for number in range(1, count + 1))


class DeafHost:
    """Options for start_client, and the operands for it."""

    def __init__(self, host, port, **options):
        self.address, self.options = (host, str(port)), options


@pytest.fixture
def deaf_host(stack, start_peer):
    """A host that answers no request for a connection."""
    if stack == "usrsctp":
        with socket.socket(type=socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            yield DeafHost("127.0.0.1", 4444, env={"SCTP_UDP_PORT": str(silent.getsockname()[1])})
    elif stack == "tcp":
        port = start_peer().listen("127.0.0.1", 0)
        start_peer(port)  # takes the only place in the queue; further requests are dropped
        yield DeafHost("127.0.0.1", port)
    else:  # A dummy link drops all packets; it and its addresses are the namespace's own.
        yield DeafHost("10.0.0.2", 4444, prefix=[
            "unshare", "--net", "sh", "-ec",
            "ip link add deaf type dummy; ip address add 10.0.0.1/24 dev deaf; "
            'ip link set deaf up; exec "$@"', "sh"])
