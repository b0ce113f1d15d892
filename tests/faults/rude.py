"""Many connections that behave badly, and then the process is gone without a word.

usage: rude.py PROTOCOL PORT SEED COUNT: prints how many connections it made, before it is gone.
"""
import contextlib
import os
import random
import signal
import socket
import struct
import sys
import time

TCP_REPAIR = 19


def connect(protocol, port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol)
    sock.connect(("127.0.0.1", port))
    sock.setblocking(False)
    return sock


def reset(sock, chance):
    sock.send(b"m" * chance.randrange(1, 1000) + b"\n")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def leave_at_once(sock, chance):
    sock.close()


def stall(sock, chance):
    """Half a line, or a record and nothing more."""
    sock.send(b"m" * chance.randrange(1, 1000))


def half_close(sock, chance):
    sock.send(b"one\nand a half")
    sock.shutdown(socket.SHUT_WR)


def trickle(sock, chance):
    for _ in range(10):
        sock.send(chance.choice(b"m\n").to_bytes(1, "big"))
        time.sleep(0.002)


def flood(sock, chance):
    """Never reads, and sends as long as it is let."""
    text = chance.choice([b"m\n" * 10000, b"\n" * 1000, b"m" * 50000])
    for _ in range(chance.randrange(1000)):
        sock.send(text)


def leave_answers_unread(sock, chance):
    for _ in range(20):
        sock.send(b"message\n")
    time.sleep(0.002)
    sock.close()


def vanish(sock, chance):
    """The kernel forgets it without telling the peer; what the peer still sends is refused."""
    if sock.proto == socket.IPPROTO_TCP and os.geteuid() == 0:
        sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    sock.close()


BEHAVIOURS = (reset, leave_at_once, stall, half_close, trickle, flood, leave_answers_unread)


def main():
    protocol, port, seed, count = map(int, sys.argv[1:5])
    behaviours = BEHAVIOURS + ((vanish,) if "vanish" in sys.argv[5:] else ())
    chance = random.Random(seed)
    kept = []  # so that they stay open
    for _ in range(count):
        kept.append(connect(protocol, port))
        behaviour = chance.choice(behaviours)
        with contextlib.suppress(BlockingIOError, ConnectionError):
            behaviour(kept[-1], chance)
        if len(kept) > 20:
            kept.pop(chance.randrange(len(kept))).close()
    print(count, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


main()
