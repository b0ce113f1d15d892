"""A server that can be left running: what peers may cost is bounded in time (-W) and number (-m)."""
import errno
import re
import signal

import pytest

from conftest import answers, flood_text

TOO_LONG = "connection from 127.0.0.1: took too long (-W)\n"


def test_an_idle_peer_is_ended(start_server, start_peer, run_client, names):
    server = start_server("-W3")  # time enough for a machine that is busy
    idle = start_peer(server.port)
    idle.send("message\n")
    assert idle.recv(9)[0] == "OK"
    assert server.read_line("stderr") == f"{names[0]}: {TOO_LONG}"
    assert idle.recv(9)[0] == ""
    assert run_client("127.0.0.1", server.port) == (0, answers(5), "")
    assert server.finish(signal.SIGINT)[::2] == (0, "")


@pytest.mark.stacks("tcp")  # over SCTP, what was sent is a message
def test_a_trickling_peer_is_ended(start_server, start_peer, names):
    server = start_server("-W1")
    with pytest.raises(OSError) as error:
        start_peer(server.port).trickle("x", 0.1)
    assert error.value.errno in (errno.EPIPE, errno.ECONNRESET)
    assert server.finish(signal.SIGINT)[::2] == (0, f"{names[0]}: {TOO_LONG}")


@pytest.mark.slow
@pytest.mark.plain  # under valgrind, the server answers too slowly to fill a buffer
def test_a_peer_that_never_reads_is_ended(start_server, start_peer, is_sctp, names):
    server = start_server("-W1")
    start_peer(server.port).ask("flood", flood_text(is_sctp), 60)
    assert server.read_line("stderr") == f"{names[0]}: {TOO_LONG}"
    assert server.finish(signal.SIGINT)[::2] == (0, "")


def test_a_patient_server_waits(start_server, start_peer):
    server = start_server("-W0")
    peer = start_peer(server.port)
    peer.send("message\n")
    assert peer.recv(9)[0] == "OK"
    assert server.finish(signal.SIGINT)[::2] == (0, "")


def test_at_most_so_many_at_once(start_server, start_peer, run_client, start_client, names):
    server = start_server("-m2")
    first, second = start_peer(server.port), start_peer(server.port)
    for peer in (first, second):
        peer.send("message\n")
        assert peer.recv(9)[0] == "OK"
    third = start_client("127.0.0.1", server.port)
    full = f"{names[0]}: accept: 2 connections are open (-m)\n"
    assert server.read_line("stderr") == full
    first.close()
    assert third.finish() == (0, answers(5), "")
    status, output, errors = server.finish(signal.SIGINT)
    assert status == 0 and output.endswith("Served 3 connections, 7 messages.\n")
    assert errors.replace(full, "") == ""


@pytest.mark.parametrize("size", [1023, 1024, 1025, 65536, 200000])
def test_short_and_long_messages(start_server, run_client, size):
    """The first reads are into a small buffer; no byte is lost or counted twice on the way."""
    server = start_server("-v")
    assert run_client("-c3", "-s", size, "127.0.0.1", server.port, "-W60") == (0, answers(3), "")
    status, output, errors = server.finish(signal.SIGINT)
    assert (status, errors) == (0, "")
    reads = re.findall(r"Read (\d+) bytes from 127.0.0.1, (\d+) ends? of message\.", output)
    assert sum(int(count) for count, _ in reads) == 3 * size
    assert sum(int(ends) for _, ends in reads) == 3
