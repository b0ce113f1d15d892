"""Sends random requests to a stack in user space, and random records over sockets of its own (userland/protocol.h).

usage: requests.py UDP_PORT SEED COUNT, in the stack's network and by its user: prints how many requests were sent, and
how many were answered.
"""
import array
import contextlib
import errno
import os
import random
import socket
import struct
import sys

REQUEST, REPLY = struct.Struct("=IIQQiiI4HII4x"), struct.Struct("=iiII")
HEAD_MAGIC = 0x53435450206d7367
KINDS, ADDRESS_SIZE = 16, 16
LEVELS = (132, 132, 132, 1, 0, 41, 6)
ADDRESSES = [struct.pack("=H", family) + struct.pack("!H4s8x", port, socket.inet_aton(host))
             for family in (2, 10, 0) for port in (0, 9, 4444) for host in ("127.0.0.1", "0.0.0.0", "127.0.0.9")]


def connect(address, name=None):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if name:
        sock.bind(name)
    sock.settimeout(30)
    sock.connect(address)
    return sock


class Fuzzer:
    def __init__(self, udp_port, chance):
        self.address = f"\0sctp/{os.geteuid()}/{udp_port}"
        self.chance = chance
        self.sockets = {}  # by ID
        self.sent = self.answered = 0

    def open_socket(self):
        number = self.chance.randrange(1, 1 << 64)
        family = self.chance.choice("46")
        self.sockets[number] = connect(self.address, f"{self.address}/{family}/{number:016x}")
        self.sockets[number].setblocking(False)

    def draw_payload(self):
        return self.chance.choice([
            lambda: b"", lambda: self.chance.choice(ADDRESSES),
            lambda: self.chance.choice(ADDRESSES)[:self.chance.randrange(17)],
            lambda: self.chance.randbytes(self.chance.randrange(200)),
            lambda: struct.pack("=i", self.chance.choice([0, 1, -1, 4096, 1 << 30])),
            lambda: bytes(self.chance.randrange(300)),
            lambda: self.chance.randbytes(self.chance.randrange(65536))])()

    def draw_request(self):
        kind = self.chance.choice([*range(KINDS), self.chance.randrange(1 << 32)])
        number = self.chance.choice([0, self.chance.randrange(140), self.chance.randrange(-1 << 31, 1 << 31)])
        payload = self.draw_payload()
        size = self.chance.choice([len(payload)] * 5 + [self.chance.randrange(1 << 32)])
        ids = [*self.sockets, 0, self.chance.randrange(1 << 64)]
        request = REQUEST.pack(
            kind, self.chance.randrange(8), self.chance.choice(ids), self.chance.choice(ids),
            self.chance.choice(LEVELS), number, size, *(self.chance.randrange(1 << 16) for _ in range(4)),
            self.chance.choice([0, 9, 1 << 20]), self.chance.choice([0, 9, 1 << 31]))
        cut = self.chance.choice([None] * 9 + [self.chance.randrange(len(request))])
        return request[:cut] + payload

    def ask(self):
        with connect(self.address) as asker:
            for _ in range(self.chance.randrange(1, 4)):
                ancillary = []
                if self.chance.random() < 0.1:
                    count = self.chance.randrange(1, 4)
                    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0] * count))]
                try:
                    asker.sendmsg([self.draw_request()], ancillary)
                except OSError as error:
                    assert error.errno in (errno.EPIPE, errno.ECONNRESET, errno.EINVAL), error
                    return
                self.sent += 1
            asker.settimeout(0.2)  # some have no answer, or wait for an association
            with contextlib.suppress(OSError):
                self.answered += len(asker.recv(99999)) >= REPLY.size

    def send_record(self):
        number = self.chance.choice(list(self.sockets))
        head = struct.pack("=QQIHHHHIIIIIi", HEAD_MAGIC, number, *(self.chance.randrange(4) for _ in range(11)))
        record = self.chance.choice([head, head[:self.chance.randrange(len(head))], b""])
        record += self.chance.randbytes(self.chance.choice([0, 1, 100, 5000, 150_000]))
        with contextlib.suppress(OSError):
            self.sockets[number].send(record)
        with contextlib.suppress(OSError):
            self.sockets[number].recv(99999)

    def close_socket(self):
        self.sockets.pop(self.chance.choice(list(self.sockets))).close()

    def run(self, count):
        while self.sent < count:
            while len(self.sockets) < 3 or len(self.sockets) < 12 and self.chance.random() < 0.2:
                self.open_socket()
            self.chance.choice([self.ask, self.ask, self.ask, self.send_record, self.close_socket])()
        print(self.sent, self.answered)


def main():
    udp_port, seed, count = map(int, sys.argv[1:])
    Fuzzer(udp_port, random.Random(seed)).run(count)


main()
