"""Faults: whatever fails, what was acknowledged was received, and the server serves on."""
import errno
import functools
import mmap
import os
import pathlib
import re
import resource
import signal
import socket
import struct
import sys
import time

import pytest

from conftest import PATIENCE_S, answers, find_udp_port
from programs import Watched, only_broken

HERE = pathlib.Path(__file__).resolve().parent / "faults"


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

    def disarm(self, which=0):
        struct.pack_into("Q", self.counts, 16 * which, 0)

    def failures(self, which=0):
        return struct.unpack_from("Q", self.counts, 16 * which + 8)[0]


@pytest.fixture
def inject(build, tmp_path, pytestconfig):
    """inject(fault, ..., first=n): from the n-th call on, or else from arm() on."""
    made = []

    def make(*faults, first=Faults.LATER, seed=pytestconfig.getoption("seed")):
        made.append(tmp_path / f"{len(made)}.counts")
        return Faults(build / "tests/libfaults.so", made[-1], seed, faults, first)
    return make


def say(name, what, error):
    return f"{name}: {what}: {os.strerror(error)}\n"


# ---- calls that fail

@pytest.mark.plain
@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS])
def test_accept_fails(watch, inject, run_client, stack, names, error):
    # Over usrsctp, accept is the receipt of a descriptor, for which a place is reserved first.
    faults = inject(("dup" if stack == "usrsctp" else "accept", error, 2))
    server = watch(env=faults.env)
    idle = server.warm_up(run_client)
    faults.arm()  # the call in which the server waits now will still succeed
    assert run_client("-c1", "127.0.0.1", server.port)[0] == 0
    server.wait(lambda: faults.failures() == 2, "accept did not fail twice")
    server.check_recovery(idle, run_client)
    tally, errors = server.stop()
    assert errors == say(names[0], "accept", error) * 2
    assert tally.messages == tally.served == 7


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
def test_threads_cannot_be_created(watch, inject, run_client, names):
    faults = inject(("pthread_create", errno.EAGAIN, 2))
    server = watch(env=faults.env)
    idle = server.warm_up(run_client)
    faults.arm()
    for _ in range(2):
        check_turned_away(run_client, server, names)
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
def test_a_call_of_the_clients_fails(watch, inject, run_client, names, call, error, complaint):
    # With an address for HOST, no name server is asked: all sockets are for the server.
    server = watch()
    faults = inject((call, error, 1), first=1)
    assert run_client("127.0.0.1", server.port, env=faults.env) == (
        1, "", say(names[1], complaint.format(server.port), error))
    assert faults.failures() == 1


EACH_CALL = pytest.mark.parametrize("call, error", [
    pytest.param(call, error, marks=more)
    for call in ("socket", "setsockopt", "getsockopt", "bind")
    for error, *more in ((errno.EMFILE,), (errno.EAFNOSUPPORT, pytest.mark.long),
                         (errno.ENOPROTOOPT, pytest.mark.long))])


@pytest.mark.plain
@EACH_CALL
def test_each_call_at_the_clients_start_fails_once(watch, inject, run_client, names, stack, call, error):
    """Either it goes on without, or says why not, and exits; that holds for both programs."""
    server = watch()
    for number in range(1, 20):
        faults = inject((call, error, 1), first=number)
        result = run_client("-v", "-c1", "127.0.0.1", server.port, env=faults.env)
        assert ends_cleanly(result, names[1], error, stack), (number, result)
        if faults.failures() == 0:
            break
    assert run_client("127.0.0.1", server.port)[0] == 0
    assert only_broken(names[0], server.stop()[1])


@pytest.mark.plain
@EACH_CALL
def test_each_call_at_the_servers_start_fails_once(
        inject, start, run_client, build, names, stack, call, error):
    for number in range(1, 20):
        faults = inject((call, error, 1), first=number)
        server = start([build / names[0], 0], env=faults.env)
        line = server.process.stdout.readline().decode()
        if line:
            port = line.split()[-1]
            assert ends_cleanly(run_client("-c1", "-W5", "127.0.0.1", port), names[1], error, stack)
            status, _, errors = server.finish(signal.SIGINT)
            assert status == 0 and (errors == "" or faults.failures() > 0), errors
        else:
            assert ends_cleanly(server.finish(), names[0], error, stack)
        if faults.failures() == 0:
            break


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
        watch, inject, run_client, start_stack, scale, chance, call, error):
    count = scale(20, 400)
    faults = inject((f"datagram_{call}", error, 0, 5), seed=chance.randrange(1 << 32))
    env = {"SCTP_UDP_PORT": start_stack(env=faults.env)}
    server = watch(env=env)
    faults.arm()
    assert run_client("-W60", f"-c{count}", "127.0.0.1", server.port, env=env) == (0, answers(count), "")
    faults.disarm()
    tally, errors = server.stop()
    assert errors == "" and tally.served == tally.messages == count
    assert faults.failures() > 0


# ---- memory

def ends_cleanly(result, name, error, stack):
    """Either all went well but for what -v tells, or one line says what did not, and the injected error."""
    status, _, errors = result
    if status == 0:
        return errors in ("", say(name, "transport", error), say(name, "transport", error) * 2)
    reasons = [os.strerror(error)]
    if error == errno.ENOMEM:
        reasons.append("Memory allocation failure")  # getaddrinfo's, see gai_strerror(3)
    return status == 1 and re.fullmatch(rf"{name}: [^\n]+: ({'|'.join(reasons)})\n", errors) is not None


@pytest.mark.plain
@pytest.mark.uncounted
def test_each_allocation_of_the_clients_fails_once(
        watch, inject, run_client, names, stack, chance, scale):
    server = watch()
    counted = inject(("malloc", errno.ENOMEM, 1))
    assert run_client("-v", "-c2", "127.0.0.1", server.port, env=counted.env)[0] == 0
    total = struct.unpack_from("Q", counted.counts, 0)[0]
    numbers = range(1, total + 1)
    for number in sorted(chance.sample(numbers, min(total, scale(20, 1000)))):
        faults = inject(("malloc", errno.ENOMEM, 1), first=number)
        result = run_client("-v", "-c2", "127.0.0.1", server.port, env=faults.env)
        assert ends_cleanly(result, names[1], errno.ENOMEM, stack), (number, result)


@pytest.mark.slow
@pytest.mark.plain
def test_the_servers_allocations_fail_at_random(
        watch, inject, start_client, run_client, chance, scale, names):
    faults = inject(("malloc", errno.ENOMEM, scale(30, 500), 3), seed=chance.randrange(1 << 32))
    server = watch(env=faults.env)
    idle = server.warm_up(run_client)
    faults.arm()
    rounds = 0
    while rounds < scale(3, 60) or faults.failures() < 6:
        rounds += 1
        clients = [start_client("-W2", "127.0.0.1", server.port) for _ in range(5)]
        for client in clients:
            assert client.finish()[0] in (0, 1)
    faults.disarm()
    server.check_recovery(idle, run_client)
    tally, errors = server.stop()
    assert set(errors.splitlines(True)) <= {
        say(names[0], "accept", errno.ENOMEM), say(names[0], "thread for 127.0.0.1", errno.EAGAIN),
        say(names[0], "thread for 127.0.0.1", errno.ENOMEM),
        say(names[0], "connection from 127.0.0.1", errno.ENOMEM),
        say(names[0], "connection from 127.0.0.1", errno.ECONNRESET),
        say(names[0], "connection from 127.0.0.1", errno.EPIPE)}


# ---- limits

def finish_all(clients, patience_s=PATIENCE_S):
    return [client.finish(patience_s=patience_s) for client in clients]


def fill_up(server, start_peer, complaint):
    """Opens connections until the server complains; returns them."""
    peers = []
    while complaint not in server.errors():
        peers.append(start_peer(server.port))
        assert len(peers) < 50
    return peers


@pytest.mark.plain
def test_descriptors_run_out(watch, start_peer, start_client, run_client, names):
    """Clients that find no place wait for one."""
    server = watch()
    idle = server.warm_up(run_client)
    usual = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (idle[1] + 4, usual[1]))
    complaint = say(names[0], "accept", errno.EMFILE)
    peers = fill_up(server, start_peer, complaint)
    clients = [start_client("-W60", "-c3", "127.0.0.1", server.port) for _ in range(6)]
    for peer in peers:
        peer.close()
    assert finish_all(clients) == [(0, answers(3), "")] * 6
    server.check_recovery(idle, run_client)
    tally, errors = server.stop()
    assert set(errors.splitlines(True)) == {complaint}
    assert tally.served == tally.messages == 6 + 6 * 3


def check_turned_away(run_client, server, names):
    """A client beyond what there is room for is told so at once."""
    status, output, errors = run_client("127.0.0.1", server.port)
    assert (status, output) == (1, "")
    assert re.fullmatch(
        rf"{names[1]}: (answer to message 1: the server closed the connection"
        r"|(send message 1 \(64 bytes\)|answer to message 1): (Connection reset by peer|Broken pipe))\n",
        errors), errors


@pytest.mark.plain
@pytest.mark.uncounted
def test_threads_run_out(watch, start_peer, run_client, names):
    if os.geteuid() != 0:
        pytest.skip("needs root, to be somebody who has no other processes")
    nobody = 100000 + os.getpid()  # root itself would have no limit
    env = {"SCTP_UDP_PORT": find_udp_port()}  # each user has a stack of his own
    run_client = functools.partial(run_client, env=env)
    server = watch(
        prefix=["setpriv", f"--reuid={nobody}", "--clear-groups", "--bounding-set=-all"], env=env,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NPROC, (6, 6)))
    idle = server.warm_up(run_client)
    complaint = say(names[0], "thread for 127.0.0.1", errno.EAGAIN)
    peers = fill_up(server, functools.partial(start_peer, env=env), complaint)
    check_turned_away(run_client, server, names)
    for peer in peers:
        peer.close()
    server.check_recovery(idle, run_client)
    tally, errors = server.stop()
    assert set(errors.splitlines(True)) == {complaint} and tally.served == 6


@pytest.mark.plain
@pytest.mark.stacks("tcp", "sctp")  # libusrsctp does not survive it (see faults.c)
def test_memory_runs_out(watch, start_peer, run_client, names):
    server = watch()
    idle = server.warm_up(run_client)
    pages = int(open(f"/proc/{server.pid}/statm", encoding="ascii").read().split()[0])
    limit = pages * resource.getpagesize() + 500_000
    resource.prlimit(server.pid, resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    complaint = say(names[0], "thread for 127.0.0.1", errno.EAGAIN)
    peers = fill_up(server, start_peer, complaint)
    check_turned_away(run_client, server, names)
    resource.prlimit(server.pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
    for peer in peers:
        peer.close()
    server.check_recovery(idle, run_client)
    tally, errors = server.stop()
    assert set(errors.splitlines(True)) == {complaint} and tally.served == 6


@pytest.mark.plain
@pytest.mark.stacks("tcp", "sctp")
def test_a_message_that_memory_has_no_room_for(server, run_client, names):
    least = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_AS, (500 << 20,) * 2)}
    size = 1 << 30
    assert run_client(f"-s{size}", "127.0.0.1", server.port, **least) == (
        1, "", say(names[1], f"message of {size} bytes", errno.ENOMEM))


# ---- peers

def test_rude_peers_disturb_nobody(
        watch, start, start_client, run_client, build, stack, protocol, chance, scale, names):
    server = watch()
    idle = server.warm_up(run_client)
    prefix = [build / "userland/withusrsctp"] if stack == "usrsctp" else []
    rude = [start([sys.executable, "-E", "-S", HERE / "rude.py", protocol, server.port,
                   chance.randrange(1 << 32), scale(40, 1000), *scale((), ("vanish",))], prefix)
            for _ in range(2)]
    clients = [start_client("-W60", "-c20", "-i0.02", "127.0.0.1", server.port) for _ in range(5)]
    assert finish_all(clients) == [(0, answers(20), "")] * 5
    made = 0
    for process in rude:
        status, output, errors = process.finish()
        assert (status, errors) == (-signal.SIGKILL, "")
        made += int(output)
    server.check_recovery(idle, run_client, more_kib=16384)
    tally, errors = server.stop()
    assert only_broken(names[0], errors), errors
    assert tally.connections == 1 + 5 + 1 + made
    assert tally.messages >= tally.served >= 1 + 5 * 20 + 5


class Caller:
    """A client that counts, in a file, what was acknowledged."""

    def __init__(self, start_client, port, path, *options):
        with path.open("wb") as file:
            self.program = start_client(
                "-W60", *(options or ("-c1000000",)), "127.0.0.1", port, stdout=file)
        self.path = path

    def answered(self):
        return self.path.read_text().count("Result: OK\n")


def start_callers(count, start_client, port, directory, *options):
    directory.mkdir(exist_ok=True)
    first = len(os.listdir(directory))
    return [Caller(start_client, port, directory / str(first + i), *options) for i in range(count)]


def test_clients_killed_at_random_moments(
        watch, start_client, run_client, tmp_path, chance, scale, names):
    server = watch()
    idle = server.warm_up(run_client)
    answered = killed = 0
    for _ in range(scale(5, 50)):
        callers = start_callers(5, start_client, server.port, tmp_path / "callers")
        for caller in callers:
            time.sleep(chance.random() * 0.03)
            caller.program.process.kill()
        for caller in callers:
            assert caller.program.finish()[::2] == (-signal.SIGKILL, "")
            answered, killed = answered + caller.answered(), killed + 1
    server.check_recovery(idle, run_client)
    tally, errors = server.stop()
    assert only_broken(names[0], errors), errors
    print(f"{killed} clients killed, {answered} messages were acknowledged")
    assert 6 + answered <= tally.served <= tally.messages <= 6 + answered + killed


def test_servers_killed_at_random_moments(
        watch, start_client, run_client, tmp_path, chance, scale, names):
    server, killed, answered, sent, received = watch(), 0, 0, 0, 0
    for _ in range(scale(6, 100)):
        callers = start_callers(3, start_client, server.port, tmp_path / "callers")
        time.sleep(chance.random() * 0.1)
        assert server.program.end()[0] == -signal.SIGKILL
        killed += 1
        for caller in callers:
            status, _, errors = caller.program.finish()
            assert status == 1
            assert re.fullmatch(f"{names[1]}: (connect to|send|answer to) .*\n", errors), errors
            answered, sent = answered + caller.answered(), sent + caller.answered() + 1
        text = server.output()
        received += sum(map(int, re.findall(r", (\d+) ends? of message\.$", text, re.M)))
        assert server.errors() == ""
        server = watch(port=server.port)
    print(f"{killed} servers killed, {answered} messages were acknowledged")
    assert answered <= received <= sent
    assert run_client("127.0.0.1", server.port) == (0, answers(5), "")
    assert server.stop()[1] == ""


# ---- signals

HARMLESS = (signal.SIGSTOP, signal.SIGCONT, signal.SIGWINCH, signal.SIGCHLD, signal.SIGURG,
            signal.SIGPIPE)


def test_signals_at_random_moments_change_nothing(
        watch, start_client, run_client, tmp_path, chance, scale):
    server = watch()
    idle = server.warm_up(run_client)
    count = scale(100, 3000)
    callers = start_callers(
        3, start_client, server.port, tmp_path / "callers", f"-c{count}", "-i0.002")
    for caller in callers:  # has its handlers by then
        server.wait(lambda: caller.answered() > 0, "no answer")
    processes = [server.program.process, *(caller.program.process for caller in callers)]
    while any(process.poll() is None for process in processes[1:]):
        process = chance.choice(processes)
        process.send_signal(chance.choice(HARMLESS))
        time.sleep(chance.random() * 0.005)
        process.send_signal(signal.SIGCONT)
    for caller in callers:
        assert caller.program.finish()[::2] == (0, "") and caller.answered() == count
    server.check_recovery(idle, run_client)
    tally, errors = server.stop()
    assert errors == "" and tally.served == tally.messages == 6 + 3 * count


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_both_are_stopped_at_random_moments(
        watch, start_client, start, build, names, tmp_path, chance, scale, signal_number):
    """The client ends as ping does; a server that is not ready yet ends as anybody would."""
    server = watch()
    answered = stopped = 0
    for _ in range(scale(4, 100)):
        callers = start_callers(3, start_client, server.port, tmp_path / "callers")
        young = start([build / names[0], 0], env={"SCTP_UDP_PORT": find_udp_port()})
        for caller in callers:
            time.sleep(chance.random() * 0.02)
            caller.program.process.send_signal(signal_number)
        status, output, errors = young.finish(signal_number)
        assert status in (-signal_number, 0) and errors == ""
        for caller in callers:
            status, _, errors = caller.program.finish()
            assert status in (-signal_number, 0, 1) and errors == "", errors
            answered, stopped = answered + caller.answered(), stopped + 1
    tally, errors = server.stop()
    assert only_broken(names[0], errors), errors
    assert answered <= tally.served <= tally.messages <= answered + stopped


# ---- the clock

@pytest.fixture(scope="session")
def libfaketime():
    found = sorted(pathlib.Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        pytest.skip("needs libfaketime")
    return found[0]


@pytest.mark.plain
@pytest.mark.parametrize("jump", ["+3600d", "-3600d"])
def test_clock_changes_change_nothing(watch, start_client, run_client, tmp_path, libfaketime, jump):
    """Only these processes see the clock that jumps: the machine's own is never touched."""
    clock = tmp_path / "clock"
    clock.write_text("+0\n")
    env = {"LD_PRELOAD": libfaketime, "FAKETIME_TIMESTAMP_FILE": clock, "FAKETIME_NO_CACHE": "1",
           "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    server = watch(env=env)
    caller, = start_callers(1, start_client, server.port, tmp_path / "callers", "-vc30", "-i0.02")
    caller.program.end()
    began = time.monotonic()
    client = start_client("-v", "-c30", "-i0.02", "127.0.0.1", server.port, env=env)
    while "message 10 " not in client.read_line():
        pass
    clock.write_text(f"{jump}\n")
    status, output, errors = client.finish()
    elapsed_ms = (time.monotonic() - began) * 1000
    assert (status, errors) == (0, "") and output.count("Result: OK") == 20
    total_ms, most_ms = (float(re.search(pattern, output)[1]) for pattern in (
        r"answered, time (\d+)ms", r"= [\d.]+/[\d.]+/([\d.]+)/"))
    assert 580 <= total_ms <= elapsed_ms and most_ms < elapsed_ms
    assert run_client("127.0.0.1", server.port, env=env) == (0, answers(5), "")
    # The caller was killed, perhaps with an answer unread, or before the answer was sent.
    assert only_broken(r"[\w-]+", server.stop()[1])


@pytest.mark.plain
@pytest.mark.stacks("usrsctp")
def test_the_stack_forgets_who_never_came_back(
        watch, run_client, environment, tmp_path, libfaketime):
    """Datagrams from 12,000 ports, four minutes after each other: memory is what 4,000 take."""
    clock = tmp_path / "clock"
    clock.write_text("+0\n")
    server = watch(env={"LD_PRELOAD": libfaketime, "FAKETIME_TIMESTAMP_FILE": clock,
                        "FAKETIME_NO_CACHE": "1"})
    server.warm_up(run_client)
    held = []
    for minutes in range(0, 24, 4):
        clock.write_text(f"+{minutes}m\n")
        for _ in range(4000):
            with socket.socket(type=socket.SOCK_DGRAM) as stranger:
                stranger.sendto(bytes(16), ("127.0.0.1", int(environment["SCTP_UDP_PORT"])))
        assert run_client("-c1", "127.0.0.1", server.port) == (0, answers(1), "")
        held.append(server.measure()[2])
    assert held[-1] - held[2] < 400, held
    server.stop()


# ---- the network

@pytest.fixture
def lossy_network(start):
    """A prefix for commands that are to run in a network of their own, whose packets suffer."""
    start_it = "ip link set lo up; tc qdisc add dev lo root netem $0; echo ready; exec sleep 1000"

    def make(suffering):
        holder = start(["unshare", "--net", "sh", "-ec", start_it.replace("$0", suffering)])
        assert holder.read_line() == "ready\n"
        return ["nsenter", f"--net=/proc/{holder.process.pid}/ns/net"]
    return make


SUFFERING = {
    "loss": "loss 10%",
    "reordering": "delay 3ms 2ms reorder 50%",
    "duplication": "duplicate 20%",
    "corruption": "corrupt 3%",
    "all": "delay 2ms 1ms reorder 25% loss 5% duplicate 5% corrupt 2%",
}


@pytest.mark.plain
@pytest.mark.stacks("sctp")  # in the lab, since netem is a module that not every kernel has
@pytest.mark.parametrize("suffering", ["all", *(
    pytest.param(name, marks=pytest.mark.long) for name in SUFFERING if name != "all")])
@pytest.mark.parametrize("speaks", ["sctp", "usrsctp", pytest.param("tcp", marks=pytest.mark.long)])
def test_a_network_that_loses_reorders_doubles_and_corrupts(
        start, build, lossy_network, tmp_path, scale, speaks, suffering):
    prefix = lossy_network(SUFFERING[suffering])
    suffix = "tcp" if speaks == "tcp" else "sctp"
    programs = [build / f"{name}-{suffix}" for name in ("server", "client")]
    env = {"SCTP_STACK": "usrsctp" if speaks == "usrsctp" else "kernel"}
    server = Watched(start, [programs[0], "-v", 0], tmp_path / "watched", prefix=prefix, env=env)
    clients, messages = scale((8, 2), (100, 10))
    command = [programs[1], "-W", scale(60, 300), "-c", messages, "127.0.0.1", server.port]
    started = [start(command, prefix, env=env) for _ in range(clients)]
    assert finish_all(started, scale(PATIENCE_S, 600)) == [(0, answers(messages), "")] * clients
    tally, errors = server.stop()
    # Without a kernel to do it later, a client's SHUTDOWN is sent twice, and can get lost.
    assert errors == "" or (speaks == "usrsctp" and only_broken(programs[0].name, errors)), errors
    assert tally.served == tally.messages == clients * messages
    assert tally.bytes == clients * messages * 64 and tally.connections == clients
