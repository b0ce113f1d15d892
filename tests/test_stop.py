"""SIGINT and SIGTERM: both programs end soon, with all said, whatever they were doing."""
import contextlib
import os
import re
import signal
import time

import pytest

from conftest import PATIENCE_S, answers, flood_text
from test_client import match_statistics, start_serving

SIGNALS = pytest.mark.parametrize("signal_number", (
    signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.stacks("tcp"))))  # one handler for both
STOP_S = 10  # the contract says 2; but a machine can be busy, and what hangs takes longer


def stop(program, signal_number):
    """Stops it, within the time that it has; returns (status, stdout, stderr)."""
    began = time.monotonic()
    result = program.finish(signal_number)
    assert time.monotonic() - began < STOP_S
    return result


@SIGNALS
def test_idle_server(start_server, signal_number):
    assert stop(start_server(), signal_number) == (
        0, "Served 0 connections, 0 messages.\n", "")


@SIGNALS
def test_server_with_an_idle_connection_ends_it_gracefully(start_server, start_peer, signal_number):
    server = start_server()
    peer = start_peer(server.port)
    assert server.read_line() == "Got connection from 127.0.0.1\n"
    peer.ask("recv_all")
    peer.ask("close")
    assert stop(server, signal_number) == (0, "Served 1 connections, 0 messages.\n", "")
    assert peer.read_line() == '""\n'  # the end of the connection, not a reset


@pytest.mark.slow
@SIGNALS
@pytest.mark.parametrize("behaviour", (
    "silent", "half a message", "stopped",
    pytest.param("never reads", marks=pytest.mark.plain)))  # under valgrind, the server fills a buffer too slowly
def test_server_with_a_peer_that_does_not_cooperate(
        start_server, start_peer, is_sctp, signal_number, behaviour):
    server = start_server()
    peer = start_peer(server.port)
    assert server.read_line() == "Got connection from 127.0.0.1\n"
    if behaviour == "half a message":
        peer.send("half a message")
    if behaviour == "never reads":
        assert peer.flood(flood_text(is_sctp), 0.5) > 0
    if behaviour == "stopped":
        peer.process.send_signal(signal.SIGSTOP)
    status, output, errors = stop(server, signal_number)
    assert (status, errors) == (0, "")
    assert re.fullmatch(r"Served 1 connections, \d+ messages\.\n", output)


@SIGNALS
def test_server_in_the_middle_of_many_connections(start_server, start_client, signal_number, names):
    server = start_server()
    clients = [start_client("-c1000000", "127.0.0.1", server.port) for _ in range(20)]
    for client in clients:
        assert client.read_line() == "Sending message 1 of 1000000. Result: OK\n"
    status, output, errors = stop(server, signal_number)
    assert (status, errors) == (0, "")
    served = int(re.search(r"Served 20 connections, (\d+) messages\.\n$", output)[1])
    answered = 0
    for client in clients:
        status, output, errors = client.finish()
        lines = output.splitlines()
        answered += len(lines) + 1
        assert status == 1
        # It saw the end while it waited, or found the connection gone when it sent.
        assert re.fullmatch(
            rf"{names[1]}: (answer to message \d+: the server closed the connection"
            r"|send message \d+ \(64 bytes\): .*)\n", errors), errors
    assert answered == served


@SIGNALS
def test_client_between_messages(start_server, start_client, signal_number):
    server = start_server()
    client = start_client("-i1000", "127.0.0.1", server.port)
    assert client.read_line() == answers(1, of=5)
    with open(f"/proc/{client.process.pid}/stat", encoding="ascii") as state:
        while ") S " not in state.read():  # asleep; TSan would keep an earlier signal back
            state.seek(0)
    status, output, errors = stop(client, signal_number)
    assert (status, errors) == (0, "")
    assert output.startswith("\n") and match_statistics(output[1:], server.port, 1, 1)


@SIGNALS
def test_client_at_full_speed(start_server, start_client, signal_number):
    server = start_server()
    client = start_client("-c1000000", "127.0.0.1", server.port)
    assert client.read_line() == answers(1, of=1000000)
    status, output, errors = stop(client, signal_number)
    assert (status, errors) == (0, "")
    count = output.count("Result: OK") + 1
    assert match_statistics(output[output.index("---"):], server.port, count, count)
    assert server.read_line() == "Got connection from 127.0.0.1\n"
    assert server.read_line() == "Connection from 127.0.0.1 closed by remote peer.\n"


@SIGNALS
def test_client_that_waits_for_an_answer(start_peer, start_client, signal_number):
    peer, client = start_serving(start_peer, start_client)
    assert peer.recv(100)[0]
    status, output, errors = stop(client, signal_number)
    assert (status, errors) == (1, "")
    assert re.fullmatch(r"\n--- 127.0.0.1 port \d+ statistics ---\n"
                        r"1 messages sent, 0 answered, time \d+ms\n", output)


def wait_until_it_has_a_socket(process):
    """By then it has its signal handlers, too."""
    found = False
    while not found:
        assert process.poll() is None
        with contextlib.suppress(FileNotFoundError):  # closed while we looked
            found = any(os.readlink(entry.path).startswith("socket:")
                        for entry in os.scandir(f"/proc/{process.pid}/fd"))


def wait_until_it_waits(process):
    """ThreadSanitizer keeps a signal that comes before that to itself, until the call has returned."""
    def look():
        return re.findall(r"^(?:State|voluntary_ctxt_switches):\s+(\S+)",
                          open(f"/proc/{process.pid}/status", encoding="ascii").read(), re.M)
    before, deadline = None, time.monotonic() + PATIENCE_S
    while (now := look()) != before or now[0] != "S":
        assert time.monotonic() < deadline, now
        before = now
        time.sleep(0.1)


@SIGNALS
def test_client_that_waits_for_a_connection(deaf_host, start_client, signal_number):
    client = start_client("-W1000", *deaf_host.address, **deaf_host.options)
    wait_until_it_has_a_socket(client.process)
    wait_until_it_waits(client.process)
    status, output, errors = stop(client, signal_number)
    assert (status, errors) == (1, "")
    assert re.fullmatch(r"\n--- [\d.]+ port \d+ statistics ---\n"
                        r"0 messages sent, 0 answered, time \d+ms\n", output)


def test_client_gives_the_message_under_way_a_moment(start_peer, start_client):
    peer, client = start_serving(start_peer, start_client)
    assert peer.recv(100)[0]
    client.process.send_signal(signal.SIGINT)
    time.sleep(0.1)
    peer.send("OK")
    status, output, errors = client.finish()
    assert (status, errors) == (0, "")
    first, statistics = output.split("\n\n")
    assert first + "\n" == answers(1, of=5)
    assert match_statistics(statistics, client.process.args[-1], 1, 1)


def test_stopped_and_continued_is_no_interruption(start_peer, start_client):
    peer, client = start_serving(start_peer, start_client, "-c1")
    assert peer.recv(100)[0]
    client.process.send_signal(signal.SIGSTOP)
    client.process.send_signal(signal.SIGCONT)
    peer.send("OK")
    assert client.finish() == (0, answers(1), "")
