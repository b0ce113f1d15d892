"""How the user chooses the stack: SCTP_STACK, SCTP_UDP_PORT and the command withusrsctp."""
import os
import socket
import sys

import pytest

pytestmark = [pytest.mark.stacks("usrsctp"), pytest.mark.plain]
OPEN = "import socket; socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)"
LISTEN = ("import socket, sys; listener = socket.socket(2, 1, 132);"
          "listener.bind(('127.0.0.1', 0)); listener.listen(1);"
          "print(listener.getsockname()[1], flush=True); sys.stdin.read()")


def without_sctp():
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132).close()
    except OSError:
        return True
    return False


@pytest.fixture
def command(build):
    return build / "userland" / "withusrsctp"


@pytest.fixture
def preloaded(start, build):
    """Python with the library, but the environment as given."""
    def run(program, **env):
        env = {"LD_PRELOAD": str(build / "userland" / "libwithusrsctp.so"), **env}
        return start([sys.executable, "-c", program], env=env).finish()
    return run


def last_line(text):
    return text.rstrip().rpartition("\n")[2]


def test_help(start, command):
    status, output, errors = start([command, "-h"]).finish()
    assert (status, errors) == (0, "")
    assert output.startswith("usage: withusrsctp COMMAND [ARGUMENT]... | -h | -l\n")
    assert "SCTP_UDP_PORT" in output and "9899" in output


@pytest.mark.parametrize("arguments, status, complaint", [
    ([], 2, "usage: withusrsctp COMMAND [ARGUMENT]... | -h | -l\n"),
    (["-x", "true"], 2, "withusrsctp: -x: unknown option\n"
                        "usage: withusrsctp COMMAND [ARGUMENT]... | -h | -l\n"),
    (["/no/such/command"], 127, "withusrsctp: /no/such/command: command not found\n"),
])
def test_misuse(start, command, arguments, status, complaint):
    assert start([command, *arguments]).finish() == (status, "", complaint)


def test_the_exit_status_is_the_commands(start, command):
    assert start([command, "sh", "-c", "echo out; echo err >&2; exit 3"]).finish() == (
        3, "out\n", "err\n")


def test_a_preload_of_the_users_is_kept(start, command, build):
    library = os.path.realpath(build / "userland" / "libwithusrsctp.so")
    others = [name for name in ("/lib/x86_64-linux-gnu/libm.so.6",) if os.path.exists(name)]
    status, output, _ = start([command, "sh", "-c", "echo $LD_PRELOAD"],
                              env={"LD_PRELOAD": ":".join(others)}).finish()
    assert (status, output) == (0, ":".join([library, *others]) + "\n")


def test_asked_for_it_is_silent(start, command):
    assert start([command, sys.executable, "-c", OPEN]).finish() == (0, "", "")


@pytest.mark.skipif(not without_sctp(), reason="this kernel has SCTP")
def test_auto_says_so_once(preloaded):
    assert preloaded(OPEN + ";" + OPEN.partition(";")[2], SCTP_STACK="auto",
                     SCTP_UDP_PORT="9900") == (
        0, "", f"{os.path.basename(sys.executable)}: socket: this kernel has no SCTP: "
               "using usrsctp, SCTP over UDP port 9900\n")


@pytest.mark.skipif(not without_sctp(), reason="this kernel has SCTP")
def test_kernel_only(preloaded):
    status, _, errors = preloaded(OPEN, SCTP_STACK="kernel")
    assert (status, last_line(errors)) == (1, "OSError: [Errno 93] Protocol not supported")


@pytest.mark.parametrize("name, value, complaint", [
    ("SCTP_STACK", "linux", "'linux' is not auto, kernel or usrsctp"),
    ("SCTP_UDP_PORT", "0", "'0' is not a port, 1 to 65535"),
    ("SCTP_UDP_PORT", "65536", "'65536' is not a port, 1 to 65535"),
    ("SCTP_UDP_PORT", "12x", "'12x' is not a port, 1 to 65535"),
    ("SCTP_UDP_PORT", "", "'' is not a port, 1 to 65535"),
])
def test_bad_values(preloaded, name, value, complaint):
    status, _, errors = preloaded(OPEN, **{"SCTP_STACK": "usrsctp", name: value})
    assert status == 1
    assert errors.startswith(f"{os.path.basename(sys.executable)}: {name}: {complaint}\n")
    assert last_line(errors) == "OSError: [Errno 22] Invalid argument"


def test_one_to_many_is_refused(start, command):
    program = "import socket; socket.socket(socket.AF_INET, socket.SOCK_SEQPACKET, 132)"
    status, _, errors = start([command, sys.executable, "-c", program]).finish()
    assert status == 1 and "one-to-one SCTP sockets (SOCK_STREAM) only" in errors
    assert last_line(errors) == "OSError: [Errno 94] Socket type not supported"


def test_other_sockets_are_left_alone(start, command):
    program = ("import socket; a, b = socket.socketpair(); a.send(b'x'); assert b.recv(9) == b'x';"
               "l = socket.create_server(('127.0.0.1', 0));"
               "c = socket.create_connection(l.getsockname()); c.send(b'y');"
               "assert l.accept()[0].recv(9) == b'y'")
    assert start([command, sys.executable, "-c", program]).finish() == (0, "", "")
