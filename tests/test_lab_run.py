"""What lab/run promises.

Where the kernel has no SCTP, this tests User Mode Linux, and inside of it the namespaces of a kernel
with SCTP. A boot takes a second or two: what one boot can answer is asked together.
"""
import ctypes
import errno
import fcntl
import json
import os
import pathlib
import pty
import re
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import termios
import time

import pytest

pytestmark = [pytest.mark.stacks("lab"), pytest.mark.plain]

ROOT = pathlib.Path(__file__).resolve().parent.parent
LAB_RUN = ROOT / "lab" / "run"
PYTHON = ("/usr/bin/python3", "-IS", "-c")
USAGE = "usage: lab/run [-h] [-t SECONDS] COMMAND [ARGUMENT...]\n"
DEADLINE_S = 120  # for what should take seconds: only a failure gets that far


def kernel_speaks_sctp():
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP).close()
        return True
    except OSError:
        return False


needs_user_mode_linux = pytest.mark.skipif(
    kernel_speaks_sctp(), reason="this kernel speaks SCTP: no need to boot one")


@pytest.fixture(autouse=True)
def nothing_left(tmp_path_factory, monkeypatch):
    """After every test, no process and no temporary file may be left."""
    PR_SET_CHILD_SUBREAPER = 36  # orphans become this process's children
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    home = tmp_path_factory.mktemp("home")
    for variable in ("HOME", "TMPDIR"):
        monkeypatch.setenv(variable, str(home))
    yield
    left = children_left()
    assert not left
    assert not list(home.iterdir())


def children_left(patience_s=5):
    """Reaps children until there are none; returns the command lines of those that do not end, and
    kills them.
    """
    end = time.monotonic() + patience_s
    try:
        while time.monotonic() < end:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.01)
    except ChildProcessError:
        return []
    children = pathlib.Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    command_lines = [pathlib.Path(f"/proc/{child}/cmdline").read_text() for child in children]
    for child in children:
        os.kill(int(child), signal.SIGKILL)
    return command_lines or ["?"]


def start(*arguments, program=(LAB_RUN,), **options):
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*program, *arguments], **{**streams, **options})


def finish(process, data=None, deadline_s=DEADLINE_S):
    """Returns the exit status, stdout and stderr."""
    try:
        stdout, stderr = process.communicate(data, deadline_s)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, stdout, stderr


def lab_run(*arguments, **options):
    return finish(start(*arguments, **options))


def wait_for(process, line):
    assert process.stdout.readline() == line


def test_streams_are_apart_and_exact():
    data = os.urandom(3_000_000)
    script = ("import os, shutil, sys; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer); "
              "os.write(2, b'e\\0\\xff'); sys.exit(7)")
    process = start(*PYTHON, script, stdin=subprocess.PIPE)
    assert finish(process, data) == (7, data, b"e\0\xff")


def test_large_output_to_both():
    script = ("for i in 1 2; do head -c 10000000 /dev/zero; "
              "head -c 1000000 /dev/zero | tr '\\0' x >&2; done")
    status, stdout, stderr = lab_run("sh", "-c", script)
    assert status == 0
    assert stdout == bytes(20_000_000)
    assert stderr == b"x" * 2_000_000


SURROUNDINGS = """
import json, os, resource, socket, sys
listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP)
listener.bind(("127.0.0.1", 0))
listener.listen()
client = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP)
client.connect(listener.getsockname())
accepted = listener.accept()[0]
accepted.send(b"over SCTP")
outside = socket.socket().connect_ex(("127.0.0.1", int(sys.argv[1])))
ipv6 = socket.socket(socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_SCTP)
ipv6.bind(("::1", 0))
umask = os.umask(0)
os.umask(umask)
with open("written by the command", "w") as file:
    file.write("inside")
print(json.dumps({
    "user": os.getuid(), "directory": os.getcwd(), "umask": umask, "environment": dict(os.environ),
    "argument": sys.argv[2], "files": resource.getrlimit(resource.RLIMIT_NOFILE),
    "received": client.recv(100).decode(), "outside": outside,
    "read": open("written by the test").read(), "interfaces": os.listdir("/sys/class/net"),
    "descriptors": len(os.listdir("/proc/self/fd")) - 1,
    "terminals": [os.isatty(number) for number in range(3)],
}))
"""


def test_surroundings_are_the_callers(tmp_path):
    (tmp_path / "written by the test").write_text("outside")
    environment = {"PATH": os.environ["PATH"], "TMPDIR": os.environ["TMPDIR"],
                   "ODD": "\udcff\n ü'\""}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        status, stdout, stderr = lab_run(
            "env", "-u", "TMPDIR", *PYTHON, SURROUNDINGS, port, "\udcfe x", cwd=tmp_path,
            env=environment, umask=0o027)
    assert (status, stderr) == (0, b"")
    seen = json.loads(stdout)
    del environment["TMPDIR"]
    seen["environment"].pop("LC_CTYPE", None)  # Python's own doing, see PEP 538
    assert seen == {
        "user": 0, "directory": str(tmp_path), "umask": 0o027, "environment": environment,
        "argument": "\udcfe x", "files": list(resource.getrlimit(resource.RLIMIT_NOFILE)),
        "received": "over SCTP", "outside": errno.ECONNREFUSED, "read": "outside",
        "interfaces": ["lo"], "descriptors": 6 + 1, "terminals": [False] * 3,
    }
    assert (tmp_path / "written by the command").read_text() == "inside"


NETWORK = """
set -e
ip link add left type veth peer name right
ip netns add far
ip link set right netns far
ip address add 10.9.0.1/24 dev left
ip link set left up
ip -n far address add 10.9.0.2/24 dev right
ip -n far link set right up
tc qdisc add dev left root netem delay 1ms
ip netns exec far sh -c 'echo 2 > /proc/sys/net/ipv4/tcp_retries2; ls /sys/class/net'
echo 300 > /proc/sys/net/sctp/rto_min
cat /proc/sys/net/sctp/rto_min
ss -Sna | wc -l
"""


@pytest.mark.skipif(not shutil.which("ip"), reason="needs ip: apt-get install iproute2")
def test_networks_can_be_built_inside():
    assert lab_run("sh", "-c", NETWORK) == (0, b"lo\nright\n300\n1\n", b"")


def test_exit_statuses_are_a_shells(tmp_path):
    script = tmp_path / "no-interpreter-line"
    script.write_text("exit 9\n")
    script.chmod(0o755)
    processes = [start(*command) for command in
                 (["sh", "-c", "kill -9 $$"], ["no-such-command"], ["/etc/passwd"], [script])]
    assert [finish(process) for process in processes] == [
        (137, b"", b""),
        (127, b"", b"lab/run: no-such-command: No such file or directory\n"),
        (126, b"", b"lab/run: /etc/passwd: Permission denied\n"),
        (9, b"", b""),
    ]


def test_only_the_command_is_waited_for():
    """Not for its descendants, which end with it, nor for an end of stdin."""
    reader, writer = os.pipe()
    script = "setsid sleep 1000 & sleep 1000 & echo started; exit 3"
    process = start("sh", "-c", script, stdin=reader)
    assert finish(process) == (3, b"started\n", b"")
    os.close(reader)
    os.close(writer)


def test_closed_descriptors_are_closed_inside():
    script = "for number in 0 1 2; do [ -e /proc/$$/fd/$number ] && echo $number; done"
    program = ("sh", "-c", 'exec "$0" "$@" <&- 2>&-', LAB_RUN)
    assert finish(start("sh", "-c", script, program=program)) == (1, b"1\n", b"")


def test_signals_reach_the_command():
    processes = {}
    for name in ("INT", "TERM", "HUP"):
        script = f"trap 'echo got {name}; exit 5' {name}; echo ready; sleep 1000 & wait"
        processes[name] = start("sh", "-c", script)
    for name, process in processes.items():
        wait_for(process, b"ready\n")
        process.send_signal(signal.Signals[f"SIG{name}"])
    for name, process in processes.items():
        assert finish(process) == (5, f"got {name}\n".encode(), b"")


def test_death_by_signal_and_while_starting():
    process = start("sh", "-c", "echo ready; exec sleep 1000")
    wait_for(process, b"ready\n")
    starting = start("sleep", "1000")
    process.send_signal(signal.SIGINT)
    assert finish(process) == (130, b"", b"")
    starting.send_signal(signal.SIGTERM)
    status, stdout, stderr = finish(starting)
    assert status in (143, -signal.SIGTERM)  # the second: before there was a command to pass it on to
    assert (stdout, stderr) == (b"", b"")


def test_second_signal_kills():
    script = "trap '' INT; trap 'echo once' USR1; echo ready; while :; do sleep 0.1; done"
    process = start("sh", "-c", script)
    wait_for(process, b"ready\n")
    process.send_signal(signal.SIGINT)
    time.sleep(0.6)  # what comes sooner counts as the same: timeout(1) signals its child twice
    process.send_signal(signal.SIGUSR1)  # does not ask for the end: shows that the command runs
    wait_for(process, b"once\n")
    process.send_signal(signal.SIGINT)
    assert finish(process) == (137, b"", b"")


def test_kill_9_leaves_nothing():
    process = start("sh", "-c", "setsid sleep 1000 & echo ready; sleep 1000")
    wait_for(process, b"ready\n")
    process.kill()
    assert finish(process) == (-signal.SIGKILL, b"", b"")


def test_time_limit():
    stubborn = start("-t", "4", "sh", "-c", "trap '' TERM; while :; do sleep 0.1; done")
    reader, writer = os.pipe()
    unread = start("-t", "4", "yes", stdout=writer)
    process = start("-t", "4", "sh", "-c", "trap 'echo asked; exit 0' TERM; sleep 1000 & wait")
    assert finish(process) == (124, b"asked\n", b"lab/run: time limit of 4 s reached\n")
    assert finish(stubborn) == (124, b"", b"lab/run: time limit of 4 s reached\n")
    assert finish(unread) == (124, None, b"lab/run: time limit of 4 s reached\n")
    os.close(reader)
    os.close(writer)


def test_lost_reader_ends_the_writer():
    reader, writer = os.pipe()
    process = start("sh", "-c", "yes; echo $? >&2", stdout=writer)
    os.close(writer)
    os.read(reader, 10)
    os.close(reader)
    assert finish(process) == (0, None, b"141\n")


@needs_user_mode_linux
def test_full_disk_and_crashing_kernel_are_told():
    crashing = start("sh", "-c", "echo c > /proc/sysrq-trigger; sleep 1000")
    with open("/dev/full", "wb") as full:
        message = b"lab/run: write: No space left on device\n"
        assert lab_run("echo", "lost", stdout=full) == (125, None, message)
    status, stdout, stderr = finish(crashing)
    assert (status, stdout) == (125, b"")
    assert stderr.startswith(b"lab/run: the private system ended unexpectedly; "
                             b"User Mode Linux's last words:\n")
    assert b"Kernel panic" in stderr


@needs_user_mode_linux
@pytest.mark.skipif(subprocess.run(["unshare", "--user", "true"], stderr=subprocess.DEVNULL).returncode,
                    reason="no user namespaces here, as in a chroot")
def test_where_namespaces_are_forbidden():
    forbid = ("for kind in mnt pid user; do echo 0 > /proc/sys/user/max_${kind}_namespaces; done; "
              'exec "$@"')
    program = ("unshare", "-U", "-r", "sh", "-c", forbid, "sh", LAB_RUN)
    script = "setsid sleep 1000 & echo ready; exec sleep 1000"
    processes = [start("sh", "-c", script, program=program) for _ in range(2)]
    for process in processes:
        wait_for(process, b"ready\n")
    processes[0].send_signal(signal.SIGTERM)
    assert finish(processes[0]) == (143, b"", b"")
    processes[1].kill()
    assert finish(processes[1]) == (-signal.SIGKILL, b"", b"")


@pytest.mark.skipif(os.getuid() != 0, reason="runs without root anyway")
def test_without_root():
    directory = pathlib.Path(tempfile.mkdtemp(dir="/tmp"))  # tmp_path is for its owner only
    try:
        directory.chmod(0o777)
        shutil.copytree(ROOT / "lab", directory / "lab")
        program = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                   directory / "lab" / "run")
        script = ("id -u; ls /sys/class/net; echo 300 > /proc/sys/net/sctp/rto_min && echo >made; "
                  "exit 4")
        environment = {**os.environ, "TMPDIR": str(directory)}
        process = start("sh", "-c", script, program=program, cwd=directory, env=environment)
        assert finish(process) == (4, b"0\nlo\n", b"")
        assert sorted(path.name for path in directory.iterdir()) == ["lab", "made"]
    finally:
        shutil.rmtree(directory)


class Terminal:
    """A program on a terminal of its own, and a user who waits for what it shows."""

    def __init__(self, *command):
        try:
            self.process, self.screen = pty.fork()
        except OSError as error:
            pytest.skip(f"{error}; is /dev/pts mounted?")
        if self.process == 0:
            os.execv(command[0], command)
        self.shown = b""

    def wait_for(self, text):
        end = time.monotonic() + DEADLINE_S
        while text not in self.shown:
            patience_s = max(0, end - time.monotonic())
            assert select.select([self.screen], [], [], patience_s)[0], self.shown
            self.shown += os.read(self.screen, 4096)
        self.shown = self.shown.partition(text)[2]

    def type(self, text):
        os.write(self.screen, text)

    def resize(self, rows, columns):
        fcntl.ioctl(self.screen, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def finish(self):
        status = os.waitpid(self.process, 0)[1]
        os.close(self.screen)
        return os.waitstatus_to_exitcode(status)


def test_interactive_shell():
    terminal = Terminal("/usr/bin/env", "PS1=>", "TERM=dumb", str(LAB_RUN), "sh", "-i")
    terminal.wait_for(b">")
    terminal.type(b"stty rows 33 columns 111; stty size; tty; echo in''teractive\n")
    terminal.wait_for(b"33 111\r\n/dev/pts/")
    terminal.wait_for(b"interactive\r\n>")
    terminal.type(b"sh -c 'echo s''tarted; exec sleep 1000'; echo status $?\n")
    terminal.wait_for(b"started\r\n")
    terminal.type(b"\x03")
    terminal.wait_for(b">")
    terminal.type(b"exit 9\n")
    assert terminal.finish() == 9


def test_job_control_in_a_window():
    terminal = Terminal("/usr/bin/env", "HISTFILE=", "TERM=dumb", "/bin/bash", "--norc")
    terminal.resize(30, 100)
    terminal.type(b"PS1='out''>'; " + f"PS1='in''>' '{LAB_RUN}' bash --norc\n".encode())
    terminal.wait_for(b"in>")
    terminal.type(b"stty size; echo $((6 * 7))\n")
    terminal.wait_for(b"30 100\r\n42\r\n")
    # No command that comes again and again: between vfork and exec, Ctrl-Z stops dash's child, and dash waits for both.
    script = (b"trap 'stty size' WINCH; trap 'echo c''ontinued' CONT; sleep 1000 & echo s''tarted; "
              b"while :; do wait; done")
    terminal.type(b'sh -c "' + script + b'"\n')
    terminal.wait_for(b"started\r\n")
    terminal.resize(40, 120)
    terminal.wait_for(b"40 120\r\n")
    terminal.type(b"\x1a")
    terminal.wait_for(b"Stopped")
    terminal.type(b"fg\n")
    terminal.wait_for(b"continued\r\n")
    terminal.type(b"\x03")
    terminal.wait_for(b"in>")
    terminal.type(b"echo status $?; exit 7\n")
    terminal.wait_for(b"status 130\r\n")
    terminal.wait_for(b"out>")
    terminal.type(b"echo status $?; stty -a\n")
    terminal.wait_for(b"status 7\r\n")
    terminal.wait_for(b" icanon")
    terminal.type(b"exit 8\n")
    assert terminal.finish() == 8


def test_ctrl_c_when_only_stdin_is_the_terminal():
    script = f"'{LAB_RUN}' sh -c 'echo ready; exec sleep 1000' | cat; stty -a"
    terminal = Terminal("/bin/bash", "-c", f"set -o pipefail; trap : INT; {script}")
    terminal.wait_for(b"ready\r\n")
    terminal.type(b"\x03")
    terminal.wait_for(b" icanon")
    assert terminal.finish() == 0


def test_help():
    status, stdout, stderr = lab_run("-h")
    assert (status, stderr) == (0, b"")
    assert stdout.decode().startswith(USAGE)


@pytest.mark.parametrize("arguments, problem", [
    ([], "no command"),
    (["-x"], "option -x not recognized"),
    (["-t"], "option -t requires argument"),
    (["-t", "1s", "true"], "-t 1s: not a number of seconds"),
    (["-t", "-1", "true"], "-t -1: not a number of seconds"),
    (["-t", "nan", "true"], "-t nan: not a number of seconds"),
    (["-t", "inf", "true"], "-t inf: not a number of seconds"),
])
def test_misuse(arguments, problem):
    assert lab_run(*arguments) == (2, b"", f"lab/run: {problem}\n{USAGE}".encode())


def test_directory_that_is_covered():
    message = b"lab/run: /dev: cannot be the working directory: it is another one inside\n"
    assert lab_run("true", cwd="/dev") == (125, b"", message)


@needs_user_mode_linux
def test_neither_way_is_told():
    status, stdout, stderr = lab_run("true", env={"PATH": "/nonexistent"})
    assert (status, stdout) == (125, b"")
    assert stderr.startswith(b"lab/run: no SCTP: ")
    assert stderr.endswith(b"apt-get install user-mode-linux\n")


MOSTLY_DIFFERENT_WITH_SCTP = ("surroundings", "networks", "exit_statuses", "only_the_command", "closed_descriptors",
                              "second_signal", "kill_9", "without_root", "interactive", "job_control")


@needs_user_mode_linux
def test_same_on_a_kernel_with_sctp(scale):
    """Inside, the kernel speaks SCTP, so there lab/run makes do with namespaces."""
    pytest_here = ("/usr/bin/python3", "-B", "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider",
                   "--stack=lab", "-k", scale(" or ".join(MOSTLY_DIFFERENT_WITH_SCTP), "test"))
    process = start("env", "-u", "HOME", "TMPDIR=/tmp", *pytest_here, __file__)
    status, stdout, stderr = finish(process, deadline_s=10 * DEADLINE_S)
    assert status == 0, stdout.decode() + stderr.decode()
    passed = int(re.search(r"^(\d+) passed", stdout.decode(), re.M)[1])
    assert passed >= scale(len(MOSTLY_DIFFERENT_WITH_SCTP), 20)
