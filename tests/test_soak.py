"""A long life: memory and descriptors end up where they were. With --long: a million messages, 20,000 connections."""
import os
import pathlib
import re

import pytest

from programs import Watched

pytestmark = pytest.mark.plain  # the checkers keep what was freed
SLACK_KIB = 200  # of what malloc and the stacks keep; 20,000 leaks of 16 bytes are more


def measure(pid):
    """(resident KiB, descriptors)"""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s*(\d+)", status)[1]), len(os.listdir(f"/proc/{pid}/fd"))


@pytest.fixture
def server(start, build, names, tmp_path):
    watched = Watched(start, [build / names[0], 0], tmp_path / "server")
    watched.descriptors = measure(watched.pid)[1]
    return watched


def keep(server, peer, work, connections):
    """Does it, and then neither side has more than before. It has been done before, a little."""
    descriptors = server.descriptors + connections

    def measure_both():
        server.wait(lambda: measure(server.pid)[1] <= descriptors, "it has more descriptors than connections")
        return [measure(pid) for pid in (server.pid, peer.process.pid)]
    before = measure_both()
    work()
    after = measure_both()
    print(before, after)
    for (kib_before, descriptors_before), (kib_after, descriptors_after) in zip(before, after):
        assert descriptors_after <= descriptors_before and kib_after <= kib_before + SLACK_KIB


def test_many_messages(server, start_peer, scale):
    """In lock-step over one connection."""
    peer, count = start_peer(server.port), scale(5000, 1000000)
    peer.exchange("message\n", 1000)
    keep(server, peer, lambda: peer.exchange("message\n", count), connections=1)
    peer.close()
    tally, errors = server.stop()
    assert (tally.served, errors) == (1000 + count, "")


def test_many_connections(server, start_peer, scale):
    """One after the other, each with a message."""
    peer, count = start_peer(), scale(500, 20000)
    peer.reconnect("127.0.0.1", server.port, 500)
    keep(server, peer, lambda: peer.reconnect("127.0.0.1", server.port, count), connections=0)
    tally, errors = server.stop()
    assert (tally.connections, tally.served, errors) == (500 + count, 500 + count, "")
