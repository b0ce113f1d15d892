"""When stdout cannot be written: the client ends, the server serves on; both fail and say why."""
import os
import signal

import pytest

from conftest import answers

pytestmark = pytest.mark.stacks("tcp")  # what is printed is the same for all


def closed_pipe():
    reading, writing = os.pipe()
    os.close(reading)
    return writing


BROKEN = {
    "No space left on device": lambda: os.open("/dev/full", os.O_WRONLY),
    "Broken pipe": closed_pipe,
}


@pytest.fixture(params=BROKEN)
def broken(request):
    descriptor = BROKEN[request.param]()
    yield descriptor, request.param
    os.close(descriptor)


def test_client_ends_at_the_first_line_it_cannot_print(server, run_client, names, broken):
    stdout, error = broken
    assert run_client("127.0.0.1", server.port, stdout=stdout) == (
        1, "", f"{names[1]}: stdout: {error}\n")
    assert server.read_line().startswith("Got connection")
    assert server.finish(signal.SIGINT)[1].endswith("Served 1 connections, 1 messages.\n")


def test_client_cannot_print_its_statistics(server, run_client, names, broken):
    stdout, error = broken
    assert run_client("-q", "127.0.0.1", server.port, stdout=stdout) == (
        1, "", f"{names[1]}: stdout: {error}\n")


def test_server_serves_on(start, build, names, memcheck, run_client, start_peer, broken):
    stdout, error = broken
    holder = start_peer()
    port = holder.listen("127.0.0.1", 1)
    holder.end()
    server = start([build / names[0], port], memcheck, stdout=stdout)
    while run_client("-c1", "127.0.0.1", port)[0] != 0:
        assert server.process.poll() is None
    assert run_client("127.0.0.1", port) == (0, answers(5), "")
    assert server.finish(signal.SIGTERM) == (1, "", f"{names[0]}: stdout: {error}\n")


@pytest.mark.parametrize("missing", (1, 2))
@pytest.mark.parametrize("which", (0, 1))
def test_a_socket_does_not_take_the_place_of_a_closed_stream(start, build, names, server, which, missing):
    """Or what is printed would go to the peer."""
    arguments = [0] if which == 0 else ["127.0.0.1", server.port]
    program = start([build / names[which], *arguments], ["sh", "-c", f'exec "$@" {missing}>&-', "sh"])
    complaint = f"{names[which]}: stdout or stderr: Bad file descriptor\n"
    assert program.finish() == (1, "", complaint if missing == 1 else "")
    assert server.finish(signal.SIGINT)[1].endswith("Served 0 connections, 0 messages.\n")


def test_lines_come_as_they_happen_also_into_a_file(start, build, names, start_peer, tmp_path):
    with open(tmp_path / "log", "w+", encoding="ascii") as log:
        server = start([build / names[0], 0], stdout=log)
        while "\n" not in (text := (tmp_path / "log").read_text()):
            assert server.process.poll() is None
        peer = start_peer(int(text.split()[-1]))
        peer.send("message\n")
        assert peer.recv(2)[0] == "OK"
        assert (tmp_path / "log").read_text() == text + "Got connection from 127.0.0.1\n"
        assert server.finish(signal.SIGINT)[0] == 0
