"""The stack as a process: when it comes and goes, what it keeps to itself, and what happens when it dies."""
import contextlib
import os
import pathlib
import re
import resource
import signal
import sys
import time

import pytest

from conftest import PATIENCE_S, answers, find_stacks, find_udp_port, has_sanitizers, read_reports

pytestmark = pytest.mark.stacks("usrsctp")
FUZZ = pathlib.Path(__file__).resolve().parent / "fuzz"
SOCKET = "import socket, sys, os, errno\nnew = lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)\n"
HOLD = SOCKET + "sock = new()\nprint('open', flush=True)\nsys.stdin.read()\n"
LISTEN = SOCKET + """
listener = new()
listener.bind(("127.0.0.1", 0))
listener.listen(9)
"""


@pytest.fixture
def port():
    """Of a stack that is the test's own."""
    return find_udp_port()


@pytest.fixture
def python(start, build, port):
    def run(program, *prefix, **options):
        return start([sys.executable, "-c", program], [*prefix, build / "userland/withusrsctp"],
                     env={"SCTP_UDP_PORT": port}, stdin=-1, **options)
    return run


def wait_until(condition, what):
    deadline = time.monotonic() + PATIENCE_S
    while not (result := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.005)
    return result


@pytest.fixture
def list_sockets(build, port, start):
    """The words of each line of withusrsctp -l."""
    def run():
        status, output, errors = start([build / "userland/withusrsctp", "-l"], env={"SCTP_UDP_PORT": port}).finish()
        assert (status, errors) == (0, "")
        title, *lines = output.splitlines()
        assert title.split() == ["State", "Recv-Q", "Send-Q", "Local", "Address:Port", "Peer", "Address:Port"]
        return sorted(line.split() for line in lines)
    return run


def test_the_list(python, list_sockets):
    """As ss(8) has it: of a listener Recv-Q says how many wait for accept, and Send-Q how many may."""
    assert list_sockets() == []
    program = python(LISTEN + """
client = new()
print(listener.getsockname()[1], flush=True)
sys.stdin.readline()
client.connect(listener.getsockname())
print(client.getsockname()[1], flush=True)
sys.stdin.readline()
accepted, _ = listener.accept()
client.send(b"unread")
client.close()
print("closed", flush=True)
sys.stdin.readline()
""")
    port = int(program.read_line())
    here = f"127.0.0.1:{port}"
    assert list_sockets() == [["LISTEN", "0", "9", here, "*:*"], ["UNCONN", "0", "0", "0.0.0.0:0", "*:*"]]
    program.process.stdin.write(b"\n")
    there = f"127.0.0.1:{int(program.read_line())}"
    associated = [["ESTAB", "0", "0", here, there], ["ESTAB", "0", "0", there, here]]
    wait_until(lambda: list_sockets() == [*sorted(associated), ["LISTEN", "1", "9", here, "*:*"]], "not associated")
    program.process.stdin.write(b"\n")
    assert program.read_line() == "closed\n"
    wait_until(lambda: [line[0] for line in list_sockets()] == ["CLOSED", "LISTEN"], "not closed")
    (_, unread, *_), _ = list_sockets()
    assert int(unread) >= len(b"unread")


def find_stack(port):
    """Its program goes on when exec has begun, a moment before the command line can be read."""
    return wait_until(lambda: find_stacks(port), "there is no stack")[0]


def descriptors(pid):
    links = []
    for path in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed in the meantime
            links.append(os.readlink(path))
    return sorted(links)


# ---- it comes and goes

def test_it_comes_with_the_first_socket_and_goes_after_the_last(python, port):
    program = python(HOLD)
    assert program.read_line() == "open\n"
    stack = find_stack(port)
    wait_until(lambda: os.readlink(f"/proc/{stack}/cwd") == "/", "it stays in its program's directory")
    assert os.getsid(stack) == stack
    held = [name for name in descriptors(stack) if not re.match(r"socket:|anon_inode:\[event", name)]
    assert set(held) == {"/dev/null"}, held
    environment = pathlib.Path(f"/proc/{stack}/environ").read_bytes()
    assert b"LD_PRELOAD=" not in environment
    assert program.finish() == (0, "", "")
    wait_until(lambda: not find_stacks(port), "it stays")


def test_it_holds_no_pipe_open(python, port):
    """Whoever reads what a program prints sees its end, not the stack's."""
    program = python("import socket, os, time\nsocket.socket(2, 1, 132)\npid = os.fork()\nif not pid: time.sleep(0.3)")
    began = time.monotonic()
    assert program.finish()[1:] == ("", "")
    assert time.monotonic() - began < PATIENCE_S


def test_programs_that_start_together_share_one(python, port):
    programs = [python(HOLD) for _ in range(8)]
    assert [program.read_line() for program in programs] == ["open\n"] * 8
    assert len(find_stacks(port)) == 1
    for program in programs:
        assert program.finish() == (0, "", "")


def test_who_comes_when_it_is_about_to_go(python, port, scale):
    """Sockets that come a second after the last one, more or less."""
    program = python(SOCKET + f"""
import time
for number in range({scale(6, 100)}):
    listener, client = new(), new()
    listener.bind(("127.0.0.1", 0))
    listener.listen(1)
    client.connect(listener.getsockname())
    listener.close(); client.close()
    time.sleep(0.99 + 0.02 * (number % 6))
""")
    assert program.finish() == (0, "", "")


@pytest.mark.plain
def test_another_users_stack(python, port):
    """It has the UDP port; and somebody else's is not trusted."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to be two users")
    nobody = ("setpriv", "--reuid=65534", "--clear-groups")
    listening = LISTEN + "print('open', flush=True); sys.stdin.read()"
    first = python(listening)
    assert first.read_line() == "open\n"
    status, _, errors = python(listening, *nobody).finish()
    assert status == 1 and errors.endswith("OSError: [Errno 98] Address already in use\n"), errors
    first.finish()
    wait_until(lambda: not find_stacks(port), "it stays")
    impostor = python("import socket, sys\nsock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
                      f"sock.bind('\\0sctp/0/{port}'); sock.listen(); print('open', flush=True); sys.stdin.read()", *nobody)
    assert impostor.read_line() == "open\n"
    status, _, errors = python(HOLD).finish()
    assert status == 1 and errors.endswith("PermissionError: [Errno 13] Permission denied\n"), errors


# ---- it dies

ENDED = "{}: sctp-stack has ended: its connections are reset\n"

WAITERS = {
    "recv": "client.recv(9)",
    "recv_into, in parts": "client.recv(2)",
    "accept": "listener.accept()",
    "send": "\nwhile True: client.send(bytes(9999))",
    "poll": "import select; p = select.poll(); p.register(client, 1); p.poll(); client.recv(9)",
    "getsockopt": "\nwhile True: client.getsockopt(132, 3)",
    "new connections": "\nwhile True: other = new(); other.connect(listener.getsockname()); listener.accept(); other.close()",
}


@pytest.mark.parametrize("name", WAITERS)
def test_whoever_waits_sees_a_reset_and_the_next_socket_works(python, port, chance, name):
    program = python(LISTEN + f"""
client = new()
client.connect(listener.getsockname())
accepted = listener.accept()[0]
print("waiting", flush=True)
try:
    {WAITERS[name].replace(chr(10), chr(10) + "    ")}
except OSError as error:
    print(errno.errorcode[error.errno], flush=True)
sys.stdin.readline()
listener, client = new(), new()
listener.bind(("127.0.0.1", 0))
listener.listen(1)
client.connect(listener.getsockname())
client.send(b"works")
print(listener.accept()[0].recv(9), flush=True)
""")
    assert program.read_line() == "waiting\n"
    stack = find_stack(port)
    time.sleep(chance.random() * 0.02)  # in the middle of something
    os.kill(stack, signal.SIGKILL)
    expected = {"ECONNRESET\n", "EPIPE\n", "ECONNREFUSED\n"} if name in ("connect", "send") else {"ECONNRESET\n"}
    assert program.read_line() in expected
    wait_until(lambda: stack not in find_stacks(port), "it survives SIGKILL")  # its address is closed last
    program.process.stdin.write(b"\n")
    assert program.read_line() == "b'works'\n"
    status, _, errors = program.finish()
    assert status == 0 and errors in ("", ENDED.format(os.path.basename(sys.executable))), errors


def test_programs_outlive_it(port, start_server, run_client, start_client, chance, scale, names):
    """Clients end with a line that says why, whenever it was; another one finds a new stack."""
    env = {"SCTP_UDP_PORT": port}
    for _ in range(scale(3, 100)):
        server = start_server(env=env)
        clients = [start_client("-c1000000", "127.0.0.1", server.port, env=env) for _ in range(3)]
        for client in clients:
            client.read_line()
        time.sleep(chance.random() * 0.05)
        for stack in find_stacks(port):
            os.kill(stack, signal.SIGKILL)
        for client in clients:
            status, _, errors = client.finish()
            assert status == 1 and re.fullmatch(
                rf"({ENDED.format(names[1])})?{names[1]}: (send|answer to) [^\n]+\n", errors), errors
        server.end()
    server = start_server(env=env)
    assert run_client("127.0.0.1", server.port, env=env) == (0, answers(5), "")


def test_a_crash_is_reported(python, build, port, reports):
    """What the other tests rely on: it is this build's stack, and its sanitizer speaks up."""
    program = python(HOLD)
    assert program.read_line() == "open\n"
    stack = find_stack(port)
    assert os.readlink(f"/proc/{stack}/exe") == str(build / "userland/sctp-stack")
    if has_sanitizers(build):
        maps = pathlib.Path(f"/proc/{stack}/maps").read_text()
        assert "libasan" in maps or "libtsan" in maps
        os.kill(stack, signal.SIGSEGV)
        wait_until(lambda: "SEGV" in read_reports(reports), "no report")
        wait_until(lambda: not find_stacks(port), "it stays")
        for path in reports.iterdir():
            path.unlink()
    program.finish()


# ---- bad input

def test_random_requests_and_records(start, python, port, start_server, start_client, chance, scale):
    """It serves others meanwhile, and afterwards holds no descriptor more."""
    env = {"SCTP_UDP_PORT": port}
    server = start_server(env=env)
    assert start_client("-c1", "127.0.0.1", server.port, env=env).finish()[0] == 0
    stack = find_stack(port)
    before = len(descriptors(stack)) + 1  # a request may have given it a file for its packets
    steady = start_client("-qW60", f"-c{scale(50, 3000)}", "-i0.02", "127.0.0.1", server.port, env=env)
    fuzzer = start([sys.executable, FUZZ / "requests.py", port, chance.randrange(1 << 32), scale(500, 50_000)])
    status, output, errors = fuzzer.finish(patience_s=scale(PATIENCE_S, 3600))
    assert (status, errors) == (0, ""), errors
    print("{} requests, {} of them answered".format(*output.split()))
    assert steady.finish()[::2] == (0, "")
    assert find_stacks(port) == [stack]
    wait_until(lambda: len(descriptors(stack)) <= before, "it holds more descriptors than before")
    assert server.finish(signal.SIGINT)[::2] == (0, "")


# ---- what runs out

EACH_CALL = SOCKET + """
import resource
def count(): return len(os.listdir("/proc/self/fd"))
def limit(left):  # so many descriptors can be opened
    used = set(map(int, os.listdir("/proc/self/fd")))
    used.discard(max(used))
    free = [number for number in range(999) if number not in used]
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[left], hard))
def unlimit(): resource.setrlimit(resource.RLIMIT_NOFILE, (999, hard))
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
keep = new()
keep.bind(("127.0.0.1", 0))
keep.listen(9)
client = new()
before = count()
limit(0)
for call in (new, new, new, keep.accept):
    if call == keep.accept:
        client.connect(keep.getsockname())  # needs no descriptor of the program's
        keep.getsockopt(132, 3)
    try:
        call()
        print("no error")
    except OSError as error:
        print(errno.errorcode[error.errno])
unlimit()
assert count() == before, (count(), before)
accepted = keep.accept()[0]  # the connection is not lost
accepted.send(b"there")
print(client.recv(9).decode())
"""


@pytest.mark.plain
def test_the_programs_descriptors_run_out(python):
    assert python(EACH_CALL).finish() == (0, "EMFILE\n" * 4 + "there\n", "")


CHURN = LISTEN + """
import struct
def churn():
    client = new()
    client.connect(listener.getsockname())
    accepted = listener.accept()[0]
    accepted.send(bytes(100000))
    for how in (client, accepted):
        how.setsockopt(1, 13, struct.pack("ii", ABORT, 0))
        how.close()
    for address in (("127.0.0.1", 9), ("203.0.113.1", 0)):
        with new() as refused:
            refused.setblocking(False)
            refused.connect_ex(address)
    with new() as again:
        try: again.bind(listener.getsockname())
        except OSError: pass
    with new() as unused: unused.listen(1)
def count(): return len(os.listdir("/proc/self/fd"))
before = count()
for number in range(20):
    ABORT = number % 2
    churn()
assert count() == before
print("done", flush=True)
sys.stdin.read()
"""


def test_nothing_is_leaked(python, port):
    """In the program, nor in the stack."""
    holder = python(HOLD)
    assert holder.read_line() == "open\n"
    stack = find_stack(port)
    first = python(CHURN)  # opens what stays open: UDP, epoll
    assert first.read_line() == "done\n"
    assert first.finish()[0] == 0
    wait_until(lambda: len(descriptors(stack)) <= 9, descriptors(stack))
    before = len(descriptors(stack))
    again = python(CHURN)
    assert again.read_line() == "done\n"
    assert again.finish()[0] == 0
    wait_until(lambda: len(descriptors(stack)) <= before, descriptors(stack))


@pytest.mark.plain
def test_the_stacks_descriptors_run_out(python, port):
    """Programs get an error and do not hang; afterwards all is well."""
    holder = python(LISTEN + "print(listener.getsockname()[1], flush=True)\n"
                    "accepted = listener.accept()[0]\nprint(accepted.recv(9), flush=True)")
    number = int(holder.read_line())
    stack = find_stack(port)
    usual = resource.prlimit(stack, resource.RLIMIT_NOFILE)
    resource.prlimit(stack, resource.RLIMIT_NOFILE, (len(descriptors(stack)), usual[1]))
    connect = SOCKET + f"client = new()\nclient.connect(('127.0.0.1', {number}))\nclient.send(b'hello')"
    status, _, errors = python(connect).finish(patience_s=20)
    assert status == 1 and re.search(r"\[Errno (23|24|104|105|12)\]", errors), errors
    assert "has ended" not in errors and errors.count("sctp-stack turns this program away\n") == 1, errors
    resource.prlimit(stack, resource.RLIMIT_NOFILE, usual)
    assert python(connect).finish() == (0, "", "")
    assert holder.read_line() == "b'hello'\n"


@pytest.mark.plain
def test_processes_run_out(python, port):
    """No process can be made for the stack: EAGAIN, as fork says it, and nothing stays behind."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to be somebody who has no other processes")
    program = SOCKET + """
import resource
before = os.listdir("/proc/self/fd")
resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
for _ in range(3):
    try: new()
    except OSError as error: print(errno.errorcode[error.errno])
assert len(os.listdir("/proc/self/fd")) == len(before)
"""
    one = python(program, "setpriv", f"--reuid={100000 + os.getpid()}", "--clear-groups", "--bounding-set=-all")
    assert one.finish() == (0, "EAGAIN\n" * 3, "")
    assert not find_stacks(port)
