"""Debian's programs, unmodified, under withusrsctp."""
import re
import shutil
import socket
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
