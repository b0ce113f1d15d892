"""What the tests share: the programs under test, their peers, and captures of what they say.

Every test runs for the stack that --stack names: tcp, sctp (the kernel's) or usrsctp; "lab" are the tests of the lab's
own tools, which need none. Run by root, the tests have a network of their own, with loopback and nothing else.
"""
import contextlib
import ctypes
import functools
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from programs import PATIENCE_S, Peer, Program, Watched, answers  # noqa: F401 - for the tests

ROOT = pathlib.Path(__file__).resolve().parent.parent
IPPROTO_SCTP = 132
VALGRIND = ["valgrind", "--quiet", "--error-exitcode=99", "--leak-check=full",
            "--errors-for-leak-kinds=definite", "--show-leak-kinds=definite", "--child-silent-after-fork=yes",
            f"--suppressions={ROOT}/tests/memcheck.supp", "--track-fds=yes"]

os.environ.setdefault("CMAKE_BUILD_TYPE", "Debug")  # of what tests build: the optimiser takes half of the time


def pytest_addoption(parser):
    parser.addoption("--stack", choices=("tcp", "sctp", "usrsctp", "lab"), default="tcp",
                     help="sctp needs a kernel that has it: lab/run pytest-3 --stack sctp; lab: the lab itself")
    parser.addoption("--build", type=pathlib.Path, default=ROOT / "build", help="build directory")
    parser.addoption("--valgrind", action="store_true", help="run both programs under memcheck")
    parser.addoption("--long", action="store_true", help="faults and bad input in bulk: minutes")
    parser.addoption("--fuzz", type=int, default=1, help="seconds for each target of libFuzzer")
    parser.addoption("--seed", type=int, default=random.randrange(1 << 32),
                     help="of all that is left to chance (default: another one in every run)")


def pytest_configure(config):
    # A shell starts its background jobs with SIGINT ignored, and so would be all that they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if os.geteuid() == 0:
        leave_the_network()
    if os.environ.get("CI"):
        config.option.reportchars = "s"  # say why
    config.addinivalue_line("markers", "stacks(*names): the stacks that a test is for")
    config.addinivalue_line("markers", "long: only with --long")
    config.addinivalue_line("markers", "uncounted: not with gcov, which allocates and writes files")
    config.addinivalue_line("markers", "plain: not under valgrind, not with sanitizers")
    config.addinivalue_line("markers", "slow: takes long, and so is started first")


def leave_the_network():
    """Whatever ports others use, or other workers of pytest-xdist: here, all of them are free."""
    CLONE_NEWNET = 0x40000000
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def read_settings(build):
    cache = build / "CMakeCache.txt"
    return cache.read_text() if cache.exists() else ""


def has_sanitizers(build):
    return re.search(r"^SANITIZE:\w+=\w", read_settings(build), re.M) is not None


def counts_lines(build):
    """Is it a build with gcov?"""
    return "CMAKE_BUILD_TYPE:STRING=Coverage\n" in read_settings(build)


LONG_MADE = {"report", "short_run", "first_output", "hosts"}  # fixtures of a module that are not to be made once more by another worker


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """A test for other stacks, or for other builds, is not part of this run: not skipped."""
    build = config.getoption("build")
    checked = config.getoption("valgrind") or has_sanitizers(build)
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
    for item in items:
        for name in LONG_MADE.intersection(item.fixturenames):
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.xdist_group(name))
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_sessionfinish(session):
    """CI has all that the tests need: there, a skipped test is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter and reporter.stats.get("skipped"):  # workers of pytest-xdist have no reporter
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def own_network():
    """For tests that use the default ports, or any address."""
    if os.geteuid() != 0:
        pytest.skip("needs root for a network of its own")


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
    """One that nobody has, nor gets without asking for it; as text."""
    with socket.socket(type=socket.SOCK_DGRAM) as free:
        while True:
            with contextlib.suppress(OSError):
                free.bind(("127.0.0.1", random.randrange(10000, 32768)))
                return str(free.getsockname()[1])


def find_stacks(udp_port):
    """The processes that play the kernel's part at that UDP port, in this network."""
    found, network = [], os.readlink("/proc/self/ns/net")
    for directory in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (directory / "cmdline").read_bytes()  # under memcheck, too
            if command.endswith(f"sctp-stack\0{udp_port}\0".encode()) and os.readlink(directory / "ns/net") == network:
                found.append(int(directory.name))
    return found


@pytest.fixture(scope="session")
def reports(tmp_path_factory):
    """The directory where sanitizers write what they have found: the stack's stderr leads nowhere."""
    return tmp_path_factory.mktemp("sanitizers")


def read_reports(directory):
    return "".join(path.read_text(errors="backslashreplace") for path in sorted(directory.iterdir()))


@pytest.fixture(autouse=True)
def no_reports(reports):
    yield
    assert read_reports(reports) == ""


@pytest.fixture(scope="session")
def checked_stack(stack, environment, reports, build, pytestconfig):
    """With --valgrind, a stack under memcheck serves all tests: a socket that stays open holds it."""
    if stack != "usrsctp" or not pytestconfig.getoption("valgrind"):
        yield lambda: None
        return
    launch_stack(build, environment["SCTP_UDP_PORT"], Program, [*VALGRIND[:-1], f"--log-file={reports}/valgrind.%p"])
    holder = Program([build / "userland/withusrsctp", sys.executable, "-c",
                      "import socket, sys; kept = socket.socket(2, 1, 132); print('open', flush=True); sys.stdin.read()"],
                     env=environment, stdin=subprocess.PIPE)
    assert holder.read_line() == "open\n"
    yield holder.end


@pytest.fixture(scope="session", autouse=True)
def the_stack_ends(stack, environment, reports, checked_stack):
    """A second after the last socket and association; only then does a checker look for leaks."""
    yield
    if stack == "usrsctp":
        checked_stack()
        deadline = time.monotonic() + PATIENCE_S
        while find_stacks(environment["SCTP_UDP_PORT"]):
            assert time.monotonic() < deadline, "the stack does not end"
            time.sleep(0.05)
    assert read_reports(reports) == ""


@pytest.fixture(scope="session")
def environment(stack, build, reports):
    """The environment of everything that a test starts."""
    env = dict(os.environ, LC_ALL="C", MALLOC_PERTURB_="165", TSAN_OPTIONS="atexit_sleep_ms=0")
    if has_sanitizers(build):
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
            env[name] = f"{env.get(name, '')}:log_path={reports}/{name}" + "".join(
                f":handle_{how}=2" for how in ("segv", "sigbus", "abort", "sigill", "sigfpe"))  # whatever it wants
    if stack == "sctp":
        env["SCTP_STACK"] = "kernel"
    if stack == "usrsctp":
        env.update(SCTP_STACK="usrsctp", SCTP_UDP_PORT=find_udp_port())
    return env


witnesses = []  # the programs and captures of the test that runs


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(call):
    """A test that has failed shows what its programs printed, and its captures."""
    report = (yield).get_result()
    if report.failed and call.when != "teardown":
        report.sections.extend(witness.describe() for witness in witnesses)


@pytest.fixture
def start(environment):
    """Starts programs; at the end of the test none is left."""
    programs = []

    def start_program(command, prefix=(), env=(), kind=Program, **options):
        programs.append(kind([*prefix, *command], env={**environment, **dict(env)}, **options))
        witnesses.append(programs[-1])
        return programs[-1]

    yield start_program
    for program in programs:
        if program.process.poll() is None:
            program.end()
        witnesses.remove(program)


def launch_stack(build, udp_port, start, prefix=()):
    """As the first socket does (userland/protocol.h), but start() may have its own ideas of environment and so on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(f"\0sctp/{os.geteuid()}/{udp_port}")
        listener.listen(99)
        start([*prefix, build / "userland/sctp-stack", udp_port], pass_fds=(3,),
              preexec_fn=lambda: os.dup2(listener.fileno(), 3))


@pytest.fixture
def start_stack(start, build):
    """Starts a stack with an environment of its own, and a UDP port that nobody else has. Returns the port."""
    def start_it(env):
        udp_port = find_udp_port()
        launch_stack(build, udp_port, functools.partial(start, env=env))
        return udp_port
    return start_it


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
def watch(start, build, names, tmp_path):
    """Starts a server that is watched."""
    def watch_it(*arguments, port=0, **options):
        command = [build / names[0], "-v", *arguments, port]
        return Watched(start, command, tmp_path / "watched", **options)
    return watch_it


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


@pytest.fixture
def start_peer(start, build, stack, protocol):
    """Starts peers; with port=…, connected to it."""
    def start_it(port=None, host="127.0.0.1", family=socket.AF_INET, env=()):
        prefix = [build / "userland/withusrsctp"] if stack == "usrsctp" else []
        command = [sys.executable, "-E", "-S", ROOT / "tests/peer.py", int(family), protocol]
        peer = start(command, prefix, kind=Peer, stdin=subprocess.PIPE, env=env)
        if port is not None:
            peer.connect(host, port)
        return peer
    return start_it


class Capture:
    """What goes over the loopback interface, as tshark tells it."""

    def __init__(self, path, packet_filter, udp_port, last):
        self.path, self.decode = path, ["-d", f"udp.port=={udp_port},sctp"] if udp_port else []
        self.marker = socket.socket(type=socket.SOCK_DGRAM)
        self.marker.bind(("127.0.0.1", 0))
        self.marker_port = self.marker.getsockname()[1]
        self.tcpdump = self.run_tcpdump("-w", path, f"({packet_filter}) or udp port {self.marker_port}")
        self.until = self.run_tcpdump("-c", "1", "-w", "/dev/null", f"({packet_filter}) and {last}") if last else None

    @staticmethod
    def run_tcpdump(*arguments):
        started = Program(["tcpdump", "-i", "lo", "-s", "2000", "-B", "16384", "--immediate-mode", "-U", "-Z", "root",
                           *arguments])
        while "listening on" not in started.read_line("stderr"):
            pass
        return started

    def stop(self):
        """Ends the capture when the last packet, and all that was sent until now, is in it."""
        if self.until:
            assert self.until.finish()[0] == 0
        marker = os.urandom(16)
        self.marker.sendto(marker, self.marker.getsockname())
        deadline = time.monotonic() + PATIENCE_S
        while marker not in self.path.read_bytes():
            assert time.monotonic() < deadline, "tcpdump has lost the marker"
            time.sleep(0.01)
        self.marker.close()
        status, _, errors = self.tcpdump.finish(signal.SIGINT)
        assert status == 0 and "\n0 packets dropped by kernel" in errors, errors

    def run_tshark(self, *options, only=""):
        only = f"!(udp.port == {self.marker_port})" + (f" && ({only})" if only else "")
        return subprocess.run(
            ["tshark", "-n", "-r", self.path, *self.decode, "-Y", only, "-o", "sctp.checksum:crc-32c", *options],
            capture_output=True, text=True).stdout

    def read(self, *fields, only=""):
        """The fields of each packet, as lists of lists of strings (a field can occur often)."""
        output = self.run_tshark("-T", "fields", "-E", "occurrence=a", "-E", "aggregator=,",
                                 *[f"-e{field}" for field in fields], only=only)
        return [[cell.split(",") if cell else [] for cell in line.split("\t")]
                for line in output.splitlines()]

    def end(self):
        for started in filter(None, (self.tcpdump, self.until)):
            started.end()

    def describe(self):
        self.end()
        return f"tshark -r {self.path}", self.run_tshark()[-20000:]


@pytest.fixture
def capture(tmp_path, environment):
    """capture(filter) starts one, capture(filter, last=filter) waits for such a packet; filters are tcpdump's."""
    if os.geteuid() != 0:
        pytest.skip("capturing needs root")
    captures = []

    def start_it(packet_filter, udp_port=environment.get("SCTP_UDP_PORT"), last=None):
        captures.append(Capture(tmp_path / f"{len(captures)}.pcap", packet_filter, udp_port, last))
        witnesses.append(captures[-1])
        return captures[-1]

    yield start_it
    for started in captures:
        started.end()
        witnesses.remove(started)


@pytest.fixture
def own_packets(stack, environment, protocol):
    """A capture filter for the traffic of the stack under test to or from a port."""
    def make(port):
        if stack == "usrsctp":
            return f"udp port {environment['SCTP_UDP_PORT']}"
        return f"ip proto {protocol} and port {port}" if stack == "tcp" else f"sctp port {port}"
    return make


@pytest.fixture
def shutdown_complete(stack):
    """A capture filter for the last packet of an association: its first chunk is SHUTDOWN COMPLETE."""
    return {"tcp": None, "sctp": "ip[32] == 14", "usrsctp": "ip[40] == 14"}[stack]


def flood_text(is_sctp):
    """What to send so that many answers are due: SCTP answers records, TCP lines."""
    return "m" if is_sctp else "m\n" * 10000


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
