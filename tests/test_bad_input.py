"""Bad input, in bulk: random bytes, records, packets and arguments; libFuzzer on what parses.

How much was tried is in the output of pytest -rP. No packet leaves the machine: the peers are on
loopback, and where addresses are random too, in a network that has nothing else.
"""
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from conftest import PATIENCE_S, ROOT, counts_lines
from programs import only_broken
from test_arguments import USAGE

HERE = pathlib.Path(__file__).resolve().parent / "fuzz"
LINES = re.compile(r"(Listening on port \d+\n|Got connection from 127\.0\.0\.1\n"
                   r"|Read \d+ bytes from 127\.0\.0\.1, \d+ ends? of message\.\n"
                   r"|Connection from 127\.0\.0\.1 closed by remote peer\.\n)*"
                   r"Served \d+ connections, \d+ messages\.\n")


def check_afterwards(server, idle, run_client, name, more_kib=4096):
    """It serves, holds no more than before, and has said only what it should."""
    server.check_recovery(idle, run_client, more_kib)
    tally, errors = server.stop()
    assert only_broken(name, errors), errors
    assert LINES.fullmatch(server.output()), "a line that the server should not have written"
    return tally


# ---- bytes

def draw_bytes(chance):
    kinds = [
        lambda: chance.randbytes(chance.randrange(1, 5000)),
        lambda: b"\n" * chance.randrange(1, 2000),
        lambda: b"Served 9 connections, 9 messages.\n" * chance.randrange(1, 5),
        lambda: b"\x1b[2J\r\0\n%s%n\xff\xfe" * chance.randrange(1, 50),
        lambda: b"m" * chance.choice([65535, 65536, 65537, 300_000]) + b"\n" * chance.randrange(2)]
    return chance.choice(kinds)()


def send_all(sock, pieces):
    for piece in pieces:
        sock.sendall(piece)
    sock.shutdown(socket.SHUT_WR)


@pytest.mark.stacks("tcp")
def test_random_bytes(watch, run_client, names, chance, scale):
    """As many answers as there were ends of lines, whatever else there was."""
    server = watch()
    idle = server.warm_up(run_client)
    connections, sent, lines = scale(100, 20_000), 0, 0
    for _ in range(connections):
        pieces = [draw_bytes(chance) for _ in range(chance.randrange(1, 6))]
        expected = sum(piece.count(b"\n") for piece in pieces)
        with socket.create_connection(("127.0.0.1", server.port), 60) as sock:
            sender = threading.Thread(target=send_all, args=(sock, pieces))
            sender.start()
            got = b""
            while part := sock.recv(65536):
                got += part
            sender.join()
        assert got == b"OK" * expected
        sent, lines = sent + sum(map(len, pieces)), lines + expected
    tally = check_afterwards(server, idle, run_client, names[0])
    print(f"{connections} connections, {sent} bytes, {lines} lines")
    assert tally.served == tally.messages == lines + 6
    assert tally.bytes == sent + 6 * 64


# ---- records

@pytest.mark.stacks("sctp", "usrsctp")
def test_random_records(watch, start, run_client, build, stack, names, chance, scale):
    server = watch()
    idle = server.warm_up(run_client)
    prefix = [build / "userland/withusrsctp"] if stack == "usrsctp" else []
    taken = refused = 0
    for _ in range(scale(1, 100)):
        sender = start([sys.executable, "-E", "-S", HERE / "records.py", server.port,
                        chance.randrange(1 << 32), 150], prefix)
        status, output, errors = sender.finish()
        assert (status, errors) == (0, ""), errors
        counts = list(map(int, output.split()))
        assert counts[0] == counts[2]
        taken, refused = taken + counts[0], refused + counts[1]
    tally = check_afterwards(server, idle, run_client, names[0], more_kib=16384)
    print(f"{taken} records were sent and answered, {refused} refused by our own end")
    assert tally.served == tally.messages == taken + 6


# ---- packets

@pytest.mark.stacks("usrsctp")
def test_malformed_packets(
        watch, start, start_client, run_client, environment, own_network, names, chance, scale):
    server = watch()
    idle = server.warm_up(run_client)
    steady = start_client("-qW60", f"-c{scale(100, 3000)}", "-i0.02", "127.0.0.1", server.port)
    sender = start(["/usr/bin/python3", "-B", HERE / "packets.py", environment["SCTP_UDP_PORT"],
                    server.port, chance.randrange(1 << 32), scale(500, 50_000)])
    output = steady.finish()
    assert output[::2] == (0, ""), output
    status, output, errors = sender.finish()
    assert (status, errors) == (0, ""), errors
    print("{} packets, {} of them of an association".format(*output.split()))
    check_afterwards(server, idle, run_client, names[0], more_kib=16384)


# ---- arguments

HOSTS = ("127.0.0.1", "::1", "localhost", "x" * 64, "y" * 64 + ".z", "127.0.0.1 ", "::1%", "[::1]")
NUMBERS = ("0", "1", "-1", "4", "65535", "65536", "1e3", "0x10", "", " 1", "1 ", "1.5", ".5", "nan",
           "inf", "-inf", "1e-9", "86400", "86401", "99999999999999999999", "2147483647",
           "1073741824", "1073741825", "\xff", "%n%s", "٣", "1_000", "+5", "--5")


def draw_words(program, chance, port):
    options = {"server": "6vhmWx?:", "client": "46cqhisvWx?:"}[program]

    def draw_word():
        return chance.choice([
            lambda: "-" + "".join(chance.choices(options, k=chance.randrange(4))),
            lambda: "-" + chance.choice(options) + chance.choice(NUMBERS),
            lambda: chance.choice(NUMBERS),
            lambda: chance.choice(HOSTS),
            lambda: str(port),
            lambda: chance.choice(["--", "-", "--help", "--version", "-" + "v" * 1000])])()
    words = [draw_word() for _ in range(chance.randrange(6))]
    # Else hardly one list in a hundred would make sense.
    return words if program == "server" or chance.random() < 0.5 else [
        *words[:2], "-q", "127.0.0.1", str(port)]


def judge(program, name, words, status, output, errors):
    """Works, or says why not; misuse has the usage after it and nothing on stdout."""
    usage = USAGE[program]
    if status == 2:
        return output == "" and errors.endswith(usage) and errors.startswith(f"{name}: ")
    if status == 1:
        return errors.startswith(f"{name}: ") and usage not in errors
    return status == 0 and (errors == "" or program == "client" and "-v" in " ".join(words))


@pytest.mark.slow
@pytest.mark.stacks("tcp")  # they are the same for all
@pytest.mark.parametrize("program", ["server", "client"])
def test_random_arguments(
        start_server, start, build, names, own_network, chance, scale, program):
    """In a network with nothing but loopback: whatever is taken for a HOST, nobody hears of it."""
    listening = start_server()
    name = names[program == "client"]
    statuses = {0: 0, 1: 0, 2: 0}
    for _ in range(scale(10, 500)):
        batch = [draw_words(program, chance, listening.port) for _ in range(20)]
        # No usrsctp for more than one server at a time, so the UDP port is nobody's.
        started = [start([build / name, *words], env={"SCTP_UDP_PORT": "9"})
                   for words in batch]
        deadline = time.monotonic() + 0.5
        while time.monotonic() < deadline and any(one.process.poll() is None for one in started):
            time.sleep(0.01)
        for one in started:
            if one.process.poll() is None:
                one.process.send_signal(signal.SIGINT)
        for words, one in zip(batch, started):
            status, output, errors = one.finish()
            if status == -signal.SIGINT:  # so slow to start that it had no handler yet
                continue
            if status == 1 and errors == "":  # stopped before there was an answer
                assert program == "client" and "0 answered" in output, words
            else:
                assert judge(program, name, words, status, output, errors), (
                    words, status, output, errors)
            statuses[status] += 1
    print(f"{sum(statuses.values())} argument lists: {statuses}")
    assert statuses[2]


# ---- what parses

STACK = [path for path in sorted((ROOT / "userland/stack").glob("*.c")) if path.name != "main.c"]
FRONT = [ROOT / "userland/front" / name for name in ("ask.c", "libc.c", "open.c")]
TARGETS = {
    "server's arguments": ("tcp", "arguments.c", [], ["-lsctp"]),
    "client's arguments": ("tcp", "arguments.c", ["-DCLIENT"], ["-lsctp", "-lm"]),
    "requests": ("usrsctp", "requests.c", STACK, ["-lusrsctp"]),
    "datagrams": ("usrsctp", "datagrams.c", STACK, ["-lusrsctp"]),
    "ancillary data": ("usrsctp", "ancillary.c", ["-DSTACK_PLACES=\"sctp-stack\"", *FRONT], []),
}


SANITIZED = ["clang", "-O1", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]
COUNTED = ["cc", "-O0", "--coverage", HERE / "replay.c"]


@pytest.fixture
def compile_target(build, tmp_path):
    """Compiles for libFuzzer; in a build that counts lines, for replay.c (which is no fuzzer)."""
    def compile_it(source, more, libraries, counted):
        directory = build / "fuzz" if counted else tmp_path
        directory.mkdir(exist_ok=True)
        subprocess.run(
            [*(COUNTED if counted else SANITIZED), "-w", "-g", "-D_GNU_SOURCE", "-DINET", "-DINET6",
             f"-I{build}/userland/include", "-o", directory / f"{tmp_path.name}.target", HERE / source, *more,
             *libraries, "-lpthread", "-ldl"], check=True, cwd=directory)
        return directory / f"{tmp_path.name}.target"
    return compile_it


@pytest.mark.long
@pytest.mark.plain
@pytest.mark.parametrize("target", [
    pytest.param(name, marks=pytest.mark.stacks(stack)) for name, (stack, *_) in TARGETS.items()])
def test_coverage_guided(
        start, compile_target, own_network, pytestconfig, build, tmp_path, chance, target):
    """libFuzzer, with AddressSanitizer and UBSan, for --fuzz seconds."""
    counted = counts_lines(build)
    program = compile_target(*TARGETS[target][1:], counted)
    seed, seconds = chance.randrange(1, 1 << 31), pytestconfig.getoption("fuzz")
    options = [seed, 100_000] if counted else [
        f"-max_total_time={seconds}", f"-seed={seed}", "-max_len=512", "-timeout=20",
        "-close_fd_mask=3", "-print_final_stats=1", f"-artifact_prefix={tmp_path}/"]
    status, output, errors = start([program, *options]).finish(
        patience_s=PATIENCE_S + seconds)
    assert status == 0, errors[-5000:]
    if not counted:
        print(target + ":", re.search(r"number_of_executed_units: (\d+)", errors)[1], "inputs")
