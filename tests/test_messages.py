"""Messages: one OK for each, whatever its size and however it travels."""
import re

import pytest

from conftest import answers
from test_client import start_serving


def test_default_is_five_messages(server, run_client):
    assert run_client("127.0.0.1", server.port) == (0, answers(5), "")


@pytest.mark.parametrize("size", (1, 2, 1000, 65536, 65537, 200_000))
def test_a_message_of_any_size(server, run_client, size):
    assert run_client("-c3", f"-s{size}", "127.0.0.1", server.port) == (0, answers(3), "")


@pytest.mark.stacks("tcp")
def test_a_tcp_message_has_no_limit(server, run_client):
    assert run_client("-c2", f"-s{1 << 20}", "127.0.0.1", server.port) == (0, answers(2), "")


@pytest.mark.stacks("sctp", "usrsctp")
def test_an_sctp_message_must_fit_the_send_buffer(server, run_client, names):
    assert run_client(f"-s{100 << 20}", "127.0.0.1", server.port) == (
        1, "", f"{names[1]}: send message 1 ({100 << 20} bytes): Message too long\n")


@pytest.mark.parametrize("size", (64, 16, 15, 14, 5, 2, 1))
def test_a_message_says_which_it_is(start_peer, start_client, size):
    """As much of it as fits; a newline ends it, for TCP."""
    peer, client = start_serving(start_peer, start_client, "-c2", "-s", size)
    for number in (1, 2):
        whole = f"message {number} of 2 ".ljust(size, ".")
        assert peer.recv(1000)[0] == whole[:size - 1] + "\n"
        peer.send("OK")
    assert client.finish() == (0, answers(2), "")


def test_many_messages(server, run_client):
    status, output, errors = run_client("-q", "-c2000", "127.0.0.1", server.port)
    assert (status, errors) == (0, "")
    assert re.search(r"^2000 messages sent, 2000 answered, time \d+ms$", output, re.M)


def read_answers(peer, count):
    received = ""
    while len(received) < len("OK" * count):
        received += peer.recv(65536)[0]
    return received


def test_messages_sent_without_waiting_are_all_answered(server, start_peer):
    peer = start_peer(server.port)
    for _ in range(100):
        peer.send("message\n")
    assert read_answers(peer, 100) == "OK" * 100


@pytest.mark.stacks("sctp", "usrsctp")
def test_an_sctp_message_is_a_record_and_not_a_line(server, start_peer):
    peer = start_peer(server.port)
    peer.send("many\nlines\nin\none\nrecord")
    assert peer.recv(100) == ["OK", True]
    peer.send("x")
    assert peer.recv(100) == ["OK", True]


@pytest.mark.stacks("sctp", "usrsctp")
def test_each_answer_is_a_record(server, start_peer):
    peer = start_peer(server.port)
    for _ in range(3):
        peer.send("x" * 70_000)
    assert [peer.recv(100) for _ in range(3)] == [["OK", True]] * 3


@pytest.mark.stacks("tcp")
def test_tcp_lines_in_one_segment(server, start_peer):
    peer = start_peer(server.port)
    peer.send("one\ntwo\n\nfour\nfi")
    peer.send("ve\n")
    peer.shutdown()
    assert peer.recv_all() == "OK" * 5


@pytest.mark.stacks("tcp")
def test_a_tcp_line_byte_by_byte(server, start_peer):
    peer = start_peer(server.port)
    for byte in "slowly\n":
        peer.send(byte)
    assert peer.recv(100) == ["OK", False]


@pytest.mark.stacks("tcp")
def test_a_tcp_message_without_an_end_is_not_answered(server, start_peer):
    peer = start_peer(server.port)
    peer.send("one\nno end")
    peer.shutdown()
    assert peer.recv_all() == "OK"
    assert server.read_line() == "Got connection from 127.0.0.1\n"
    assert server.read_line() == "Connection from 127.0.0.1 closed by remote peer.\n"


def test_verbose_server_tells_of_each_read(start_server, start_peer, is_sctp):
    server = start_server("-v")
    peer = start_peer(server.port)
    assert server.read_line() == "Got connection from 127.0.0.1\n"
    peer.send("one\n")
    assert server.read_line() == "Read 4 bytes from 127.0.0.1, 1 end of message.\n"
    assert peer.recv(2)[0] == "OK"
    peer.send("a\nb\n")  # two TCP messages, but one SCTP message
    ends = "1 end" if is_sctp else "2 ends"
    assert server.read_line() == f"Read 4 bytes from 127.0.0.1, {ends} of message.\n"
    peer.send("x" * 65536 + "\n")
    reads = []
    while sum(size for size, _ in reads) < 65537:
        match = re.fullmatch(r"Read (\d+) bytes from 127.0.0.1, (\d) ends? of message.\n",
                             server.read_line())
        reads.append((int(match[1]), int(match[2])))
    assert [ends for _, ends in reads] == [0] * (len(reads) - 1) + [1] and len(reads) > 1
    for _ in range(2 if is_sctp else 3):
        assert peer.recv(2)[0] == "OK"
    peer.close()
    assert server.read_line() == "Connection from 127.0.0.1 closed by remote peer.\n"
