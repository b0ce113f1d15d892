"""The server: where it listens, what it says, and that nothing makes it stop serving."""
import os
import resource
import signal
import subprocess

import pytest

from conftest import answers, flood_text


def test_exact_output_of_a_whole_life(server, run_client):
    for _ in range(3):
        assert run_client("127.0.0.1", server.port) == (0, answers(5), "")
        # Only then the next: its thread could be quicker than the one that sees the end.
        assert server.read_line() == "Got connection from 127.0.0.1\n"
        assert server.read_line() == "Connection from 127.0.0.1 closed by remote peer.\n"
    assert server.finish(signal.SIGINT) == (0, "Served 3 connections, 15 messages.\n", "")


def test_listens_on_all_addresses(stack, run_client, start_server):
    if stack == "sctp":  # does not take all of 127.0.0.0/8 for its own, as TCP does
        subprocess.run(["ip", "address", "replace", "127.0.0.2/8", "dev", "lo"], check=True)
    server = start_server()
    assert run_client("-c1", "127.0.0.1", server.port) == (0, answers(1), "")
    assert run_client("-c1", "127.0.0.2", server.port) == (0, answers(1), "")
    if stack == "sctp":
        subprocess.run(["ip", "address", "delete", "127.0.0.2/8", "dev", "lo"], check=True)


def test_port_in_use(server, start, build, names):
    second = start([build / names[0], server.port])
    status, output, errors = second.finish()
    assert (status, output) == (1, "")
    assert errors.splitlines()[-1] == (
        f"{names[0]}: listen on port {server.port}: Address already in use")


@pytest.mark.stacks("tcp", "sctp")
@pytest.mark.uncounted
def test_port_without_the_right_to_it(start, build, names):
    as_nobody = ["setpriv", "--reuid=65534", "--clear-groups", "--bounding-set=-all"]
    server = start([build / names[0], 80], as_nobody)
    assert server.finish() == (1, "", f"{names[0]}: listen on port 80: Permission denied\n")


def test_restarts_on_the_port_that_it_had(start, server, run_client, build, names):
    assert run_client("-c1", "127.0.0.1", server.port)[0] == 0
    assert server.finish(signal.SIGTERM)[0] == 0
    again = start([build / names[0], server.port])
    assert again.read_line() == f"Listening on port {server.port}\n"
    assert run_client("-c1", "127.0.0.1", server.port)[0] == 0
    assert again.finish(signal.SIGTERM)[0] == 0


@pytest.mark.plain
def test_raises_its_file_limit(start_server):
    server = start_server(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 256)))
    limits = open(f"/proc/{server.process.pid}/limits", encoding="ascii").read()
    assert [line.split()[3:5] for line in limits.splitlines() if "open files" in line] == [
        ["256", "256"]]


def test_a_reset_is_told_and_disturbs_nobody(server, start_peer, run_client, names):
    steady, rude = start_peer(server.port), start_peer(server.port)
    rude.send("message\n")
    assert rude.recv(2)[0] == "OK"
    rude.reset()
    assert server.read_line("stderr") == (
        f"{names[0]}: connection from 127.0.0.1: Connection reset by peer\n")
    steady.send("still here\n")
    assert steady.recv(2)[0] == "OK"
    assert run_client("127.0.0.1", server.port) == (0, answers(5), "")


@pytest.mark.slow
def test_a_peer_that_stalls_disturbs_nobody(start_server, start_peer, run_client, is_sctp):
    server = start_server()
    stalled = start_peer(server.port)
    stalled.send("no end of message")
    flooding = start_peer(server.port)
    # Until the answers that it does not read have filled all buffers.
    assert flooding.flood(flood_text(is_sctp), 0.5) > 0
    assert run_client("127.0.0.1", server.port) == (0, answers(5), "")


def test_a_killed_peer_is_noticed(start_server, start_peer):
    server = start_server()
    peer = start_peer(server.port)
    assert server.read_line() == "Got connection from 127.0.0.1\n"
    peer.end()
    assert server.read_line() == "Connection from 127.0.0.1 closed by remote peer.\n"


def test_a_hundred_clients_at_once(server, start_client):
    clients = [start_client("-c10", "127.0.0.1", server.port) for _ in range(100)]
    for client in clients:
        assert client.finish() == (0, answers(10), "")
    status, output, errors = server.finish(signal.SIGINT)
    assert (status, errors) == (0, "")
    assert output.endswith("Served 100 connections, 1000 messages.\n")


def find_free_descriptor(pid):
    """The number of the descriptor that the process would get next."""
    used = set(map(int, os.listdir(f"/proc/{pid}/fd")))
    return min(set(range(len(used) + 1)) - used)


@pytest.mark.plain  # the checkers need descriptors and memory of their own
@pytest.mark.parametrize("limit, error", (
    (resource.RLIMIT_NOFILE, "accept: Too many open files"),
    (resource.RLIMIT_AS, "thread for 127.0.0.1: Resource temporarily unavailable"),
))
def test_survives_running_out(start_server, start_peer, run_client, names, limit, error):
    """Out of descriptors, or of memory for threads: it says so, and serves again afterwards."""
    server = start_server()
    pid = server.process.pid
    first = start_peer(server.port)
    first.send("message\n")
    assert first.recv(2)[0] == "OK"
    used = {
        resource.RLIMIT_NOFILE: find_free_descriptor(pid),
        resource.RLIMIT_AS: int(open(f"/proc/{pid}/statm", encoding="ascii").read().split()[0])
        * resource.getpagesize(),
    }
    usual = resource.prlimit(pid, limit)
    resource.prlimit(pid, limit, (used[limit], usual[1]))
    second = start_peer()
    second.ask("connect", "127.0.0.1", server.port)
    assert server.read_line("stderr") == f"{names[0]}: {error}\n"
    resource.prlimit(pid, limit, usual)
    assert run_client("127.0.0.1", server.port) == (0, answers(5), "")
    first.send("message\n")
    assert first.recv(2)[0] == "OK"
