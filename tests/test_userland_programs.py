"""Debian's programs, unmodified, under withusrsctp."""
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

pytestmark = [pytest.mark.stacks("usrsctp"), pytest.mark.plain]


def needs(program):
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"needs {program}")


@pytest.fixture
def run(start, build):
    def run_it(*command, **options):
        return start(command, [build / "userland" / "withusrsctp"], **options)
    return run_it


@pytest.fixture
def port():
    """One that nobody has; SCTP's ports are the listening process's own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def retry(connect):
    """Runs a client until the server is there: these print no line when they are ready."""
    deadline = time.monotonic() + 60
    while True:
        result = connect().finish()
        if result[0] == 0 or "refused" not in result[2] + result[1] or time.monotonic() > deadline:
            return result


@needs("ncat")
def test_ncat(run, port):
    server = run("ncat", "--sctp", "-l", "127.0.0.1", port, stdin=-1)
    status, output, errors = retry(
        lambda: run("sh", "-c", f"(echo hello; sleep 1) | ncat --sctp 127.0.0.1 {port}"))
    assert (status, errors) == (0, "")
    assert server.read_line() == "hello\n"


@needs("socat")
def test_socat(run, port):
    run("socat", f"SCTP-LISTEN:{port},bind=127.0.0.1,reuseaddr", "EXEC:cat")
    _, output, _ = retry(
        lambda: run("sh", "-c", f"(echo hello; sleep 1) | socat - SCTP:127.0.0.1:{port}"))
    assert output == "hello\n"  # its status: reading after its own SHUTDOWN is ENOTCONN on Linux


@needs("iperf3")
def test_iperf3(run, port):
    server = run("iperf3", "-s", "-1", "-B", "127.0.0.1", "-p", port)
    status, output, errors = retry(
        lambda: run("iperf3", "--sctp", "-c", "127.0.0.1", "-p", port, "-n", "10M"))
    assert (status, errors) == (0, ""), output
    assert "iperf Done." in output
    assert server.finish()[0] == 0


@needs("sctp_test")
def test_sctp_test(run, port):
    run("sctp_test", "-H", "127.0.0.1", "-P", port, "-l", "-T")
    status, output, errors = retry(
        lambda: run("sctp_test", "-H", "127.0.0.1", "-P", 0, "-h", "127.0.0.1", "-p", port,
                    "-s", "-T", "-c", 1, "-x", 3))
    assert status == 0, output + errors
    assert len(re.findall(r"sendmsg\(sk=\d+", output)) > 0


@needs("sctp_darn")
def test_sctp_darn(run, port):
    server = run("stdbuf", "-oL", "sctp_darn", "-H", "127.0.0.1", "-P", port, "-l", "-t")
    while "listening" not in server.read_line().lower():
        pass
    client = run("sctp_darn", "-H", "127.0.0.1", "-P", 0, "-h", "127.0.0.1", "-p", port, "-s", "-t", stdin=-1)
    client.process.stdin.write(b"hello\n")
    while "hello" not in server.read_line():
        pass


@needs("checksctp")
def test_checksctp(run):
    assert run("checksctp").finish() == (0, "", "SCTP supported\n")


def test_pythons_asyncio(run):
    program = """
import asyncio, socket
async def main():
    loop = asyncio.get_running_loop()
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)
    listener.bind(("127.0.0.1", 0))
    listener.listen(8)
    listener.setblocking(False)
    async def serve():
        for _ in range(8):
            accepted, _ = await loop.sock_accept(listener)
            asyncio.ensure_future(echo(accepted))
    async def echo(accepted):
        await loop.sock_sendall(accepted, await loop.sock_recv(accepted, 99))
    asyncio.ensure_future(serve())
    async def ask(number):
        client = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)
        client.setblocking(False)
        await loop.sock_connect(client, listener.getsockname())
        await loop.sock_sendall(client, b"%d" % number)
        return int(await loop.sock_recv(client, 99))
    print(sorted(await asyncio.gather(*map(ask, range(8)))))
asyncio.run(main())
"""
    assert run(sys.executable, "-c", program).finish() == (0, "[0, 1, 2, 3, 4, 5, 6, 7]\n", "")


# ---- everyday uses: programs that start others, several at once

def say_hello(run, port, host="127.0.0.1"):
    """What a server answers to a line, to socat, which ends its own side first."""
    return retry(lambda: run("sh", "-c", f"(echo hello; sleep 0.3) | socat - SCTP:{host}:{port}"))[1]


@needs("ncat")
def test_ncat_that_starts_a_command_for_each_connection(run, port):
    run("ncat", "--sctp", "-lk", "127.0.0.1", port, "-c", "read line; echo $line to you")
    for _ in range(2):
        assert say_hello(run, port) == "hello to you\n"


@needs("ncat")
def test_ncat_on_all_addresses(run, port):
    """It listens on [::] and on 0.0.0.0, each with a socket of its own."""
    server = run("ncat", "--sctp", "-lk", port, stdin=-1)
    for host in ("127.0.0.1", "[::1]"):
        say_hello(run, port, host)
        assert server.read_line() == "hello\n"


@needs("socat")
@pytest.mark.parametrize("how", ["fork", "fork,max-children=9"])
@pytest.mark.parametrize("command", ["EXEC:cat", "EXEC:cat,nofork", "SYSTEM:cat", "PIPE"])
def test_socat_that_forks(run, port, how, command):
    run("socat", f"SCTP-LISTEN:{port},bind=127.0.0.1,reuseaddr,{how}", command)
    first, second = say_hello(run, port), say_hello(run, port)
    assert (first, second) == ("hello\n", "hello\n")


@needs("socat")
def test_two_servers_on_one_host(run, port):
    """Programs of their own, and a port each; the same port is taken."""
    run("socat", f"SCTP-LISTEN:{port},bind=127.0.0.1,fork", "SYSTEM:read line; echo first")
    assert say_hello(run, port) == "first\n"
    server = run(sys.executable, "-c", ONE_SHOT_SERVER)
    other = int(server.read_line())
    assert say_hello(run, other) == "second"
    assert say_hello(run, port) == "first\n"
    status, _, errors = run("socat", f"SCTP-LISTEN:{port},bind=127.0.0.1,reuseaddr", "PIPE").finish()
    assert status == 1 and "Address already in use" in errors


ONE_SHOT_SERVER = """
import socket
listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)
listener.bind(("127.0.0.1", 0))
listener.listen(1)
print(listener.getsockname()[1], flush=True)
accepted = listener.accept()[0]
accepted.recv(99)
accepted.send(b"second")
"""
PAIR = """
import socket
listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)
listener.bind(("127.0.0.1", 0))
listener.listen(9)
def connect():
    client = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)
    client.connect(listener.getsockname())
    return client
"""
EVERYDAY = {
    "subprocess": """
import subprocess
client = connect()
server = listener.accept()[0]
for number in range(5):
    assert subprocess.run(["echo", "hello"], capture_output=True, close_fds=number % 2).stdout == b"hello\\n"
    client.send(b"%d" % number)
    assert server.recv(99) == b"%d" % number
subprocess.run(["echo", "from a child"], stdout=client)
print(server.recv(99).decode(), end="")
""",
    "multiprocessing": """
import multiprocessing
def serve(listener):
    accepted = listener.accept()[0]
    accepted.send(accepted.recv(99) + b" from a worker\\n")
workers = [multiprocessing.Process(target=serve, args=(listener,)) for _ in range(3)]
for worker in workers:
    worker.start()
for number in range(3):
    client = connect()
    client.send(b"hello %d" % number)
    print(client.recv(99).decode(), end="")
for worker in workers:
    worker.join()
""",
    "multiprocessing, spawn": """
import multiprocessing, sys
def serve(pipe):
    accepted = pipe.recv()
    accepted.send(accepted.recv(99) + b" from a spawned one\\n")
if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    worker = context.Process(target=serve, args=(theirs,))
    worker.start()
    client = connect()
    accepted = listener.accept()[0]
    ours.send(accepted)
    client.send(b"hello")
    print(client.recv(99).decode(), end="")
    worker.join()
""",
    "socketserver": """
import socketserver, threading
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(self.rfile.readline())
class Server(socketserver.ForkingMixIn, socketserver.BaseServer):
    def get_request(self): return listener.accept()
    def fileno(self): return listener.fileno()
    def shutdown_request(self, request): request.close()
server = Server(None, Echo)
threading.Thread(target=server.serve_forever, daemon=True).start()
for number in range(3):
    client = connect()
    client.send(b"hello %d\\n" % number)
    print(client.recv(99).decode(), end="")
    assert client.recv(99) == b""
server.shutdown()
""",
}
EXPECTED = {"subprocess": "from a child\n", "multiprocessing, spawn": "hello from a spawned one\n",
            "multiprocessing": "".join(f"hello {number} from a worker\n" for number in range(3)),
            "socketserver": "hello 0\nhello 1\nhello 2\n"}


@pytest.mark.parametrize("name", EVERYDAY)
def test_pythons_processes(run, tmp_path, name):
    program = tmp_path / "program.py"
    program.write_text(PAIR + EVERYDAY[name])
    assert run(sys.executable, program).finish() == (0, EXPECTED[name], "")


@needs("perl")
def test_perls_io_socket(run):
    program = r"""
        use IO::Socket; use IO::Select;
        my $listener = IO::Socket::INET->new(Proto => "sctp", Type => SOCK_STREAM, LocalAddr => "127.0.0.1", Listen => 5)
            or die "listen: $@";
        my $port = $listener->sockport;
        if (fork == 0) {
            my $client = IO::Socket::INET->new(Proto => "sctp", Type => SOCK_STREAM, PeerAddr => "127.0.0.1",
                                               PeerPort => $port) or die "connect: $@";
            print $client "hello from perl\n"; print scalar <$client>; exit 0;
        }
        my $accepted = $listener->accept;
        IO::Select->new($accepted)->can_read(60) or die "nothing came";
        my $line = <$accepted>; print $accepted uc $line; close $accepted; wait;
    """
    assert run("perl", "-e", program).finish() == (0, "HELLO FROM PERL\n", "")


def await_listener(run, port):
    deadline = time.monotonic() + 60
    while f":{port} " not in run("-l").finish()[1]:
        assert time.monotonic() < deadline


@needs("sipp")
def test_sipp(run, own_network, tmp_path):
    options = ["-t", "s1", "-i", "127.0.0.1", "-nostdin", "-m", 10]
    run("sipp", "-sn", "uas", "-p", 5060, *options, cwd=tmp_path)
    await_listener(run, 5060)
    client = run("sipp", "-sn", "uac", "-p", 5061, "-r", 100, *options, "127.0.0.1:5060", cwd=tmp_path)
    assert client.finish()[0] == 0


@needs("php")
def test_phps_sockets(run):
    """The extension is loaded with RTLD_DEEPBIND."""
    program = """
$listener = socket_create(AF_INET, SOCK_STREAM, 132);
socket_bind($listener, "127.0.0.1", 0);
socket_listen($listener, 1);
socket_getsockname($listener, $address, $port);
$client = socket_create(AF_INET, SOCK_STREAM, 132);
socket_connect($client, $address, $port);
$accepted = socket_accept($listener);
socket_write($client, "hello");
echo socket_read($accepted, 99);
"""
    assert run("php", "-r", program).finish() == (0, "hello", "")


FREEDIAMETER = """
Identity = "{name}.local";
Realm = "local";
Port = {port};
SecPort = 0;
No_TCP;
No_IPv6;
TLS_Cred = "{name}.crt", "{name}.key";
TLS_CA = "ca.crt";
ConnectPeer = "{peer}.local" {{ ConnectTo = "10.0.0.1"; Port = {peer_port}; No_TLS; }};
"""


def make_certificates(directory, *names):
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=directory, check=True, stderr=subprocess.DEVNULL)
    new_key = "req", "-newkey", "rsa:2048", "-nodes"
    openssl(*new_key, "-x509", "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=ca")
    for name in names:
        openssl(*new_key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}.local")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
                "-out", f"{name}.crt")


@needs("freeDiameterd")
def test_two_freediameters(run, own_network, tmp_path):
    """They look for an address that is not loopback's."""
    make_certificates(tmp_path, "one", "two")
    for name, port, peer, peer_port in ("one", 3868, "two", 3870), ("two", 3870, "one", 3868):
        (tmp_path / f"{name}.conf").write_text(FREEDIAMETER.format(**locals()))
    daemons = run("unshare", "-n", "sh", "-ec", """
ip link add veth0 type veth peer name veth1
ip address add 10.0.0.1/24 dev veth0
ip link set lo up
ip link set veth0 up
ip link set veth1 up
freeDiameterd -c one.conf &
freeDiameterd -c two.conf""", cwd=tmp_path, start_new_session=True)
    try:
        for _ in range(2):
            while "-> 'STATE_OPEN'" not in daemons.read_line():
                pass
    finally:
        os.killpg(daemons.process.pid, signal.SIGKILL)
