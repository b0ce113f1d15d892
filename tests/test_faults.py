"""Faults: whatever fails, what was acknowledged was received, and the server serves on."""
import errno
import mmap
import os
import pathlib
import re
import resource
import signal
import struct
import subprocess
import sys
import time

import pytest

from conftest import ROOT, answers
from watched import Watched

HERE = pathlib.Path(__file__).resolve().parent / "faults"


@pytest.fixture
def watch(start, build, names, tmp_path):
    """Starts a server that is watched."""
    def watch_it(*arguments, port=0, **options):
        return Watched(start, [build / names[0], "-v", *arguments, port], tmp_path / "watched", **options)
    return watch_it


@pytest.fixture(scope="session")
def faults_library(tmp_path_factory):
    library = tmp_path_factory.mktemp("faults") / "libfaults.so"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, HERE / "faults.c"], check=True)
    return library


class Faults:
    """Faults to be injected (see faults.c): each is (call, error, times[, one in so many])."""

    LATER = 10**9  # a call that does not come until arm() says it is the next one

    def __init__(self, library, path, seed, faults, first):
        path.write_bytes(bytes(128))
        with path.open("r+b") as file:
            self.counts = mmap.mmap(file.fileno(), 128)
        lines = [f"{call}:{error}:{first}:{times}:{one_in[0] if one_in else 1}"
                 for call, error, times, *one_in in faults]
        self.env = {"LD_PRELOAD": library, "FAULTS": ",".join(lines), "FAULTS_SEED": str(seed),
                    "FAULTS_COUNTS": path}

    def arm(self, which=0):
        struct.pack_into("Q", self.counts, 16 * which, self.LATER - 1)

    def failures(self, which=0):
        return struct.unpack_from("Q", self.counts, 16 * which + 8)[0]


@pytest.fixture
def inject(faults_library, tmp_path, pytestconfig):
    """inject(fault, ..., first=n): from the n-th call on, or else from arm() on."""
    made = []

    def make(*faults, first=Faults.LATER, seed=pytestconfig.getoption("seed")):
        made.append(tmp_path / f"{len(made)}.counts")
        return Faults(faults_library, made[-1], seed, faults, first)
    return make


def say(name, what, error):
    return f"{name}: {what}: {os.strerror(error)}\n"


# ---- calls that fail

@pytest.mark.plain
@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_accept_fails(watch, inject, run_client, stack, names, error):
    # The stack in user space accepts by itself, but asks the kernel for the descriptor.
    faults = inject(("socket" if stack == "usrsctp" else "accept", error, 2))
    server = watch(env=faults.env)
    idle = server.warm_up(run_client)
    faults.arm()
    server.check_recovery(idle, run_client)
    tally, errors = server.stop()
    assert faults.failures() == 2
    assert errors == say(names[0], "accept", error) * 2
    assert tally.messages == tally.served == 6


@pytest.mark.plain
@pytest.mark.stacks("tcp", "sctp")
@pytest.mark.parametrize("error", [errno.ECONNABORTED, errno.EAGAIN])
def test_a_connection_that_is_gone_again_is_not_worth_a_word(watch, inject, run_client, error):
    faults = inject(("accept", error, 3))
    server = watch(env=faults.env)
    faults.arm()
    assert run_client("127.0.0.1", server.port) == (0, answers(5), "")
    assert server.stop()[1] == "" and faults.failures() == 3


@pytest.mark.plain
def test_threads_cannot_be_created(watch, inject, start_client, run_client, names):
    faults = inject(("pthread_create", errno.EAGAIN, 2))
    server = watch(env=faults.env)
    idle = server.warm_up(run_client)
    faults.arm()
    for _ in range(2):
        status, output, errors = run_client("127.0.0.1", server.port)
        assert (status, output) == (1, "")
        assert re.fullmatch(f"{names[1]}: (send|answer to) message 1.*\n", errors), errors
    server.check_recovery(idle, run_client)
    tally, errors = server.stop()
    assert errors == say(names[0], "thread for 127.0.0.1", errno.EAGAIN) * 2
    assert tally.served == 6


@pytest.mark.plain
@pytest.mark.stacks("tcp", "sctp")
@pytest.mark.parametrize("call, error", [
    ("send", errno.ENOBUFS), ("send", errno.ENOMEM), ("send", errno.EPIPE),
    ("recv", errno.ENOMEM), ("recv", errno.ETIMEDOUT), ("recv", errno.EHOSTUNREACH)])
def test_a_connection_of_the_servers_breaks(watch, inject, run_client, names, call, error):
    faults = inject((call, error, 1))
    server = watch(env=faults.env)
    idle = server.warm_up(run_client)
    faults.arm()
    assert run_client("127.0.0.1", server.port)[0] == 1
    server.check_recovery(idle, run_client)
    tally, errors = server.stop()
    assert errors == say(names[0], "connection from 127.0.0.1", error)
    assert tally.served == 6 and 6 <= tally.messages <= 7


@pytest.mark.plain
@pytest.mark.stacks("tcp", "sctp")
@pytest.mark.parametrize("call, error, complaint", [
    ("socket", errno.EMFILE, "connect to 127.0.0.1 port {}"),
    ("send", errno.ENOBUFS, "send message 1 (64 bytes)"),
    ("send", errno.EPIPE, "send message 1 (64 bytes)"),
    ("recv", errno.ECONNRESET, "answer to message 1"),
    ("recv", errno.EHOSTUNREACH, "answer to message 1")])
def test_a_call_of_the_clients_fails(server, inject, run_client, names, call, error, complaint):
    # With an address for HOST, no name server is asked: all sockets are for the server.
    faults = inject((call, error, 1), first=1)
    assert run_client("127.0.0.1", server.port, env=faults.env) == (
        1, "", say(names[1], complaint.format(server.port), error))
    assert faults.failures() == 1


@pytest.mark.plain
@pytest.mark.stacks("tcp", "sctp")
def test_interrupted_and_partial_calls_change_nothing(watch, inject, run_client, is_sctp):
    """The client is interrupted half the time; where there are no records, reads are short, too."""
    short = [] if is_sctp else [("send", 0, 0, 2), ("recv", 0, 0, 2)]
    ours = inject(("send", errno.EINTR, 0, 2), ("recv", errno.EINTR, 0, 2), *short, first=1)
    theirs = inject(("recv", 0, 0, 2), first=1)
    server = watch(env=theirs.env)
    assert run_client("-c50", "127.0.0.1", server.port, env=ours.env) == (0, answers(50), "")
    tally, errors = server.stop()
    assert errors == "" and tally.served == tally.messages == 50 and tally.bytes == 50 * 64
    assert ours.failures(0) > 5 and ours.failures(1) > 5 and theirs.failures() > 5


@pytest.mark.plain
@pytest.mark.stacks("usrsctp")
@pytest.mark.parametrize("call, error", [
    ("send", errno.ENOBUFS), ("send", errno.EPERM), ("send", errno.EINTR), ("recv", errno.EINTR),
    ("recv", errno.ENOMEM), ("recv", errno.EAGAIN), ("recv", errno.ECONNREFUSED)])
def test_the_stack_makes_up_for_datagrams_that_fail(
        watch, inject, run_client, scale, chance, call, error):
    count = scale(5, 100)
    both = [inject((call, error, 0, 8), seed=chance.randrange(1 << 32)) for _ in range(2)]
    server = watch(env=both[0].env)
    for faults in both:
        faults.arm()
    assert run_client("-W60", f"-c{count}", "127.0.0.1", server.port, env=both[1].env) == (
        0, answers(count), "")
    for faults in both:
        struct.pack_into("Q", faults.counts, 0, 0)  # no more of them
    tally, errors = server.stop()
    assert errors == "" and tally.served == tally.messages == count


# ---- memory

def ends_cleanly(result, name, stack):
    """Either all went well, or one line says what did not."""
    status, output, errors = result
    if status == 0:
        return errors == ""
    return status == 1 and re.fullmatch(rf"({name}: [^\n]+\n)+", errors) is not None


@pytest.mark.plain
def test_each_allocation_of_the_clients_fails_once(server, inject, run_client, names, stack, chance, scale):
    counted = inject(("malloc", errno.ENOMEM, 1))
    assert run_client("-v", "127.0.0.1", server.port, env=counted.env)[0] == 0
    total = struct.unpack_from("Q", counted.counts, 0)[0]
    numbers = range(1, total + 1)
    for number in sorted(chance.sample(numbers, min(total, scale(20, 1000)))):
        faults = inject(("malloc", errno.ENOMEM, 1), first=number)
        result = run_client("-v", "-c2", "127.0.0.1", server.port, env=faults.env)
        assert ends_cleanly(result, names[1], stack), (number, result)


@pytest.mark.plain
def test_the_servers_allocations_fail_at_random(watch, inject, start_client, run_client, chance, scale, names):
    faults = inject(("malloc", errno.ENOMEM, scale(30, 500), 3), seed=chance.randrange(1 << 32))
    server = watch(env=faults.env)
    idle = server.warm_up(run_client)
    faults.arm()
    for _ in range(scale(6, 60)):
        clients = [start_client("-W2", "127.0.0.1", server.port) for _ in range(5)]
        for client in clients:
            assert client.finish()[0] in (0, 1)
    struct.pack_into("Q", faults.counts, 0, 0)  # no more of them
    server.check_recovery(idle, run_client)
    assert faults.failures() > 5
    tally, errors = server.stop()
    assert set(errors.splitlines(True)) <= {
        say(names[0], "accept", errno.ENOMEM), say(names[0], "thread for 127.0.0.1", errno.EAGAIN),
        say(names[0], "thread for 127.0.0.1", errno.ENOMEM),
        say(names[0], "connection from 127.0.0.1", errno.ENOMEM),
        say(names[0], "connection from 127.0.0.1", errno.ECONNRESET)}
