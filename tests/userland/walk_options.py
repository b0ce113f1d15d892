"""Walks through every socket option of a one-to-one SCTP socket: levels, numbers, sizes, states,
addresses; sets and gets. Prints a line per answer, for test_userland_options.py to compare.

    usage: walk_options.py [--short] [LEVEL [OPTION]]

Options are numbers here, as in the kernel: include/uapi/linux/sctp.h, asm-generic/socket.h, in.h, in6.h.
"""
import ctypes
import errno
import re
import socket
import struct
import sys

import pair

LIBC = ctypes.CDLL(None, use_errno=True)
ROOM = 512  # of every buffer; sizes go up to it
SIZES = (0, 1, 3, 4, 7, 8, 11, 12, 15, 16, 20, 31, 32, 40, 104, 132, 136, 140, 144, 148, 152, 156,
         160, 176, 252, 256, 512)
STATES = ("fresh", "bound", "bound_to_all", "listening", "connected", "accepted", "ended", "refused")
FAMILIES = {"inet": socket.AF_INET, "inet6": socket.AF_INET6, "mapped": socket.AF_INET6}
LEVELS = {"SOCKET": (socket.SOL_SOCKET, 76), "IP": (socket.IPPROTO_IP, 64),
          "IPV6": (socket.IPPROTO_IPV6, 81), "SCTP": (pair.SCTP, 136), "TCP": (socket.IPPROTO_TCP, 3)}

# Not walked: filters and policies name memory of the program's, or other things of the kernel's.
POINTERS = {("SOCKET", name) for name in (26, 27, 50, 51, 52, 62)} | {
    ("IP", 16), ("IP", 17), ("IPV6", 34), ("IPV6", 35), ("SCTP", 111)}
# What differs between two runs, and between two hosts: only the length is compared,
VOLATILE = {("SOCKET", name) for name in (17, 28, 31, 49, 55, 56, 57, 59, 71)} | {
    ("SCTP", name) for name in (102, 112, 122)}
# or not even that.
LISTS = {("SCTP", 108), ("SCTP", 109)}
STATUS, PEER_ADDR_INFO, ASSOCINFO, MAXSEG, PEER_ADDR_PARAMS, PRIMARY_ADDR = 14, 15, 1, 13, 9, 6


def main():
    only = sys.argv[1:]
    if only[:1] == ["--short"]:
        only.pop(0)
        make_short()
    for name, (level, count) in LEVELS.items():
        if only and only[0] != name:
            continue
        for option in range(count):
            if (len(only) < 2 or int(only[1]) == option) and (name, option) not in POINTERS:
                walk_option(name, level, option)


def make_short():
    global SIZES, STATES, NUMBERS, ADDRESSES
    SIZES = (0, 3, 4, 8, 16, 156, 512)
    STATES = ("fresh", "connected")
    NUMBERS = (0, 1, 7, 1000, -1)
    ADDRESSES = ("any4", "foreign4", "peer")
    del FAMILIES["inet6"], FAMILIES["mapped"], LEVELS["TCP"]


def walk_option(name, level, option):
    for family in FAMILIES:
        for state in STATES if family != "mapped" else ("connected", "accepted"):
            with Subject(family, state) as subject:
                for step, answer in probes(subject, name, level, option):
                    print(f"{name} {option} {family} {state} {step}: {answer}")
    if name == "SCTP" or name == "SOCKET":
        inherited(name, level, option)
    sys.stdout.flush()


class Subject:
    """A socket in a state, and what options may name there."""

    def __init__(self, family, state):
        self.family = FAMILIES[family]
        self.host = "::ffff:127.0.0.1" if family == "mapped" else pair.HOSTS[self.family]
        self.others = []
        self.peer = None
        self.sock = getattr(self, state)()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for one in (self.sock, *self.others):
            one.close()

    def fresh(self):
        return pair.new(self.family)

    def bound(self):
        sock = pair.new(self.family)
        sock.bind((self.host, 0))
        return sock

    def bound_to_all(self):
        sock = pair.new(self.family)
        sock.bind(("", 0))
        return sock

    def listening(self):
        sock = self.bound()
        sock.listen(1)
        return sock

    def pair(self):
        self.others.append(listener := self.listening())
        client = self.bound()  # to one address: there is one path over UDP
        client.connect(listener.getsockname())
        return listener.accept()[0], client

    def connected(self):
        accepted, client = self.pair()
        self.others.append(accepted)
        self.peer = client.getpeername()
        return client

    def accepted(self):
        accepted, client = self.pair()
        self.others.append(client)
        self.peer = accepted.getpeername()
        return accepted

    def ended(self):
        accepted, client = self.pair()
        self.peer = client.getpeername()
        accepted.close()
        assert client.recv(1) == b""
        for _ in range(1000):  # the association ends a moment after the data
            if get(client.fileno(), pair.SCTP, STATUS, bytes(ROOM), 176)[0]:
                break
        return client

    def refused(self):
        with self.bound() as nobody:
            name = nobody.getsockname()
        sock = pair.new(self.family)
        assert sock.connect_ex(name) == errno.ECONNREFUSED
        return sock

    def addresses(self):
        """What an address in an option may be: by what the walk calls it."""
        return (one for one in self.all_addresses() if ADDRESSES is None or one[0] in ADDRESSES)

    def all_addresses(self):
        yield "unspecified", bytes(128)
        yield "any4", pack(socket.AF_INET, "0.0.0.0", 0)
        yield "any6", pack(socket.AF_INET6, "::", 0)
        yield "mapped-any", pack(socket.AF_INET6, "::ffff:0.0.0.0", 0)
        yield "foreign4", pack(socket.AF_INET, "127.0.0.9", 9)
        yield "foreign6", pack(socket.AF_INET6, "::9", 9)
        yield "family-9", struct.pack("H126x", 9)
        if self.peer:
            yield "peer", pack(self.family, *self.peer[:2])
            yield "peer-other-port", pack(self.family, self.peer[0], 9)
            if self.peer[0].startswith("::ffff:"):
                yield "peer-as-4", pack(socket.AF_INET, self.peer[0][7:], self.peer[1])


def pack(family, host, port):
    if family == socket.AF_INET:
        return struct.pack("=H", family) + struct.pack("!H4s120x", port, socket.inet_pton(family, host))
    return struct.pack("=H", family) + struct.pack("!HI16sI100x", port, 0,
                                                   socket.inet_pton(family, host), 0)


def probes(subject, name, level, option):
    fd = subject.sock.fileno()
    for size in SIZES if (name, option) not in LISTS else (0, 7, 8, 512):
        yield f"get[{size}]", show(name, option, *get(fd, level, option, bytes(ROOM), size))
    for what, value in gets(subject, name, option):
        yield f"get {what}", show(name, option, *get(fd, level, option, value, len(value)))
    for size in SIZES:
        yield f"set[{size}]", put(fd, level, option, bytes(size))
    yield "then get", show(name, option, *get(fd, level, option, bytes(ROOM), full(name, option)))
    for what, value in sets(subject, name, option):
        yield f"set {what}", put(fd, level, option, value)
        start = value if len(value) >= 4 and name == "SCTP" else b""
        start += bytes(max(0, full(name, option) - len(start)))
        yield f"set {what}, then get", show(name, option, *get(fd, level, option, start, len(start)))
        if option == PEER_ADDR_PARAMS and name == "SCTP":
            start = bytes(160)
            yield f"set {what}, then get all", show(name, option, *get(fd, level, option, start, 156))


def inherited(name, level, option):
    """What an accepted socket takes over from the one that listens."""
    for family in FAMILIES.keys() - {"mapped"}:
        for what, value in sets(subject := Subject(family, "fresh"), name, option):
            listener = subject.sock
            put(listener.fileno(), level, option, value)
            if name == "SCTP" and (100 <= option <= 111 or option == 124):
                continue
            listener.bind((subject.host, 0))
            listener.listen(1)
            client = subject.bound()
            client.connect(listener.getsockname())
            accepted, _ = listener.accept()
            start = value + bytes(max(0, full(name, option) - len(value)))
            answer = get(accepted.fileno(), level, option, start, len(start))
            print(f"{name} {option} {family} inherited {what}: {show(name, option, *answer)}")
            for one in (listener, client, accepted):
                one.close()
            subject.sock = pair.new(subject.family)
        subject.sock.close()


# ---- values

def full(name, option):
    return 256 if name == "SCTP" else 8


def gets(subject, name, option):
    if name != "SCTP":
        return
    if option in ADDRESS_SIZES:
        for what, address in subject.addresses():
            start = bytes(8 if option in ALIGNED else 4)
            yield what, (start + address + bytes(ROOM))[:ADDRESS_SIZES[option]]
    if option in (112, 115, 116):
        for policy in (0, 0x10, 0x20, 0x30, 0x40, 0x80, 0x90, 0xffff):
            for stream in (0, 9, 999):
                yield f"policy {policy:#x} stream {stream}", struct.pack("iHHQQ", 0, stream, policy, 0, 0)
    if option == 127:
        for kind in (0, 0x7fff, 0x8000, 0x8001, 0x800d, 0x800e, 0x9000):
            yield f"type {kind:#x}", struct.pack("iHBx", 0, kind, 0)
    if option == 124:
        for stream in (0, 9, 999):
            yield f"stream {stream}", struct.pack("iHH", 0, stream, 0)


# Of those with an address in it, after the association's id.
ADDRESS_SIZES = {6: 132, 9: 156, 15: 152, 5: 136, 31: 144, 37: 144, 132: 144, 133: 144}
ALIGNED = (5, 31, 37, 132, 133)  # 4 bytes of padding behind the id
ADDRESSES = None  # or those that are walked
NUMBERS = (0, 1, 2, 3, 5, 7, 64, 100, 255, 256, 500, 501, 512, 1000, 1001, 1280, 5000, 65535, 65536,
           1000000, -1, -2, 0x7fffffff)


def sets(subject, name, option):
    if name != "SCTP":
        for number in NUMBERS:
            yield f"int {number}", struct.pack("i", number)
        for number in (0, 1, 64, 255):
            yield f"char {number}", struct.pack("B", number)
        yield "two ints 1 2", struct.pack("ii", 1, 2)
        yield "timeval 1.5", struct.pack("qq", 1, 500000)
        if option != 13:  # SO_LINGER: a matter of the clock's ticks, again
            yield "timeval -1.5", struct.pack("qq", -1, 500000)
        yield "timeval 1.1000000", struct.pack("qq", 1, 1000000)
        yield "lo", b"lo\0"
        yield "nosuch", b"nosuch0\0"
        return
    yield from SCTP_SETS.get(option, numbers)(subject, option)


def numbers(_, option):
    for number in NUMBERS:
        yield f"int {number}", struct.pack("i", number)
    for number in NUMBERS:
        yield f"value {number}", struct.pack("ii", 0, number)
    yield "value 1 of association -1", struct.pack("ii", -1, 1)
    yield "value 1 of association 1", struct.pack("ii", 1, 1)
    yield "value 1 of association 2", struct.pack("ii", 2, 1)
    yield "long value 1", struct.pack("iii", 0, 1, 0)


def rtoinfo(*_):
    for three in ((500, 5000, 200), (0, 0, 0), (10, 5000, 200), (9000, 5000, 200), (500, 100, 200),
                  (0, 100, 0), (0, 0, 90000), (100, 200000, 0), (0, 200000, 200000), (0, 10, 10)):
        yield f"initial, max, min {three}", struct.pack("iIII", 0, *three)


def assocparams(*_):
    for maximum, life in ((5, 30000), (0, 0), (0, 1), (0xffff, 0), (1, 0xffffffff), (0, 500)):
        yield f"{maximum} {life}", struct.pack("iHHIII", 0, maximum, 7, 8, 9, life)


def initmsg(*_):
    for four in ((5, 6, 7, 8), (0, 0, 0, 0), (0xffff, 0xffff, 0xffff, 0xffff), (0, 3, 0, 0)):
        yield f"{four}", struct.pack("HHHH", *four)


def with_address(rest):
    def generate(subject, option):
        for what, address in subject.addresses():
            for how, value in rest(option):
                yield f"{what} {how}", bytes(8 if option in ALIGNED else 4) + address + value
    return generate


def paddrparams(_):
    def one(interval=0, most=0, mtu=0, sack=0, flags=0, label=0, dscp=0):
        return (f"hb {interval} retrans {most} mtu {mtu} sack {sack} flags {flags:#x} label {label} "
                f"dscp {dscp}", struct.pack("=IHIIIIBx", interval, most, mtu, sack, flags, label, dscp))
    yield one()
    for flags in (1, 2, 3, 4, 8, 0x10, 0x18, 0x20, 0x40, 0x60, 0x80, 0x81, 0x100, 0x200, 0x300, 0x400):
        yield one(flags=flags)
    yield one(interval=7000, flags=1)
    yield one(interval=8000)
    yield one(most=3)
    yield one(mtu=1400, flags=0x10)
    yield one(mtu=1200)
    yield one(mtu=500, flags=0x10)
    yield one(sack=300, flags=0x20)
    yield one(sack=501, flags=0x20)
    yield one(sack=400)
    yield one(label=0x12345, flags=0x100)
    yield one(label=0x7fffffff, flags=0x100)
    yield one(dscp=0x28, flags=0x200)
    yield one(dscp=0xff, flags=0x200)
    yield one(interval=1240, most=4, mtu=1300, sack=150, flags=0x331, label=5, dscp=0x48)
    text, value = one(interval=4320, flags=1)
    yield "old: " + text, value[:-4]
    text, value = one(flags=0x200)
    yield "old: " + text, value[:-4]


def thresholds(option):
    for most, failed, closed in ((3, 2, 2), (0, 0, 0), (4, 3, 1), (0xffff, 0xffff, 0xffff)):
        yield f"{most} {failed} {closed}", struct.pack("HHHxx", most, failed, closed)


def sack(*_):
    for number in (0, 10, 100, 500, 501):
        yield f"old {number}", struct.pack("iI", 0, number)
    for delay, frequency in ((0, 0), (100, 0), (0, 1), (0, 2), (300, 5), (501, 2), (0, 0xffffffff), (400, 1)):
        yield f"{delay} {frequency}", struct.pack("iII", 0, delay, frequency)


def sndrcvinfo(*_):
    for stream, flags in ((0, 0), (3, 1), (0xffff, 0), (0, 2), (0, 4), (0, 8), (0, 0x10), (0, 0x40), (0, 0x200),
                          (0, 0x207), (0, 0x1000)):
        yield f"{stream} {flags:#x}", struct.pack("HHHxxIIIIIi", stream, 5, flags, 77, 88, 99, 1, 2, 0)


def sndinfo(*_):
    for stream, flags in ((0, 0), (3, 1), (0xffff, 0), (0, 2), (0, 4), (0, 8), (0, 0x10), (0, 0x40), (0, 0x200),
                          (0, 0x207)):
        yield f"{stream} {flags:#x}", struct.pack("HHIIi", stream, flags, 77, 88, 0)


def prinfo(*_):
    for value, policy in ((0, 0), (9, 0), (9, 0x10), (8, 0x20), (7, 0x30), (7, 0x40), (7, 1)):
        yield f"{value} {policy:#x}", struct.pack("iIHxx", 0, value, policy)


def events(*_):
    for length in (1, 2, 8, 11, 12, 13, 14, 15):
        yield f"{length} ones", b"\1" * length
        yield f"{length} zeros", b"\0" * length
    yield "twos", b"\2" * 14


def event(*_):
    for kind in (0, 0x7fff, 0x8000, 0x8001, 0x8004, 0x8009, 0x800a, 0x800d, 0x800e):
        for on in (1, 0, 255):
            yield f"{kind:#x} {on}", struct.pack("iHBx", 0, kind, on)


def keys(*_):
    yield "short", struct.pack("iHH", 0, 1, 4)
    yield "key 0", struct.pack("iHH8s", 0, 0, 8, b"12345678")
    yield "key 1", struct.pack("iHH8s", 0, 1, 8, b"12345678")
    yield "too long", struct.pack("iHH8s", 0, 1, 9, b"12345678")


def key_numbers(*_):
    for number in (0, 1, 2):
        yield f"{number}", struct.pack("iHxx", 0, number)


def chunk_types(*_):
    for kind in (0, 1, 2, 14, 15, 200):
        yield f"{kind}", struct.pack("B", kind)


def hmacs(*_):
    for idents in ((), (1,), (3, 1), (3,), (2, 1), (9, 1)):
        yield f"{idents}", struct.pack(f"I{len(idents)}H", len(idents), *idents)


def streams(*_):
    for flags, count, listed in ((1, 0, ()), (2, 0, ()), (3, 0, ()), (0, 0, ()), (1, 1, (0,)), (1, 2, (0,)), (1, 1, (999,))):
        yield f"{flags} {count} {listed}", struct.pack(f"iHH{len(listed)}H", 0, flags, count, *listed)


def more_streams(*_):
    for into, out in ((0, 0), (1, 1), (0, 1), (1, 0), (65535, 65535)):
        yield f"{into} {out}", struct.pack("iHH", 0, into, out)


def packed_addresses(subject, _):
    if subject.family == socket.AF_INET:
        yield "half", pack(socket.AF_INET, "127.0.0.1", 0)[:8]
    yield "family 9", struct.pack("H14x", 9)
    yield "one byte", b"\2"


def stream_values(*_):
    for stream, value in ((0, 0), (0, 5), (9, 65535), (999, 0)):
        yield f"{stream} {value}", struct.pack("iHH", 0, stream, value)


def probe_interval(_):
    for number in (0, 1, 4999, 5000, 60000):
        yield f"{number}", struct.pack("I4x", number)


def udp_port(_):
    for port in (0, 9899, 65535):
        yield f"{port}", struct.pack("!H6x", port)


def no_more(_):
    yield "", b""


SCTP_SETS = {
    0: rtoinfo, 1: assocparams, 2: initmsg, 5: with_address(no_more), 6: with_address(no_more),
    9: with_address(paddrparams), 10: sndrcvinfo, 11: events, 16: sack, 21: chunk_types, 22: hmacs,
    23: keys, 24: key_numbers, 25: key_numbers, 35: key_numbers, 31: with_address(thresholds),
    34: sndinfo, 37: with_address(thresholds), 100: packed_addresses, 101: packed_addresses,
    107: packed_addresses, 110: packed_addresses, 114: prinfo, 119: streams, 121: more_streams,
    124: stream_values, 127: event, 132: with_address(udp_port), 133: with_address(probe_interval),
}


# ---- calls and their answers

def get(fd, level, option, content, size):
    value = ctypes.create_string_buffer(content, max(ROOM, len(content)))
    length = ctypes.c_uint(size)
    if LIBC.getsockopt(fd, level, option, value, ctypes.byref(length)) < 0:
        return ctypes.get_errno(), b""
    return 0, value.raw[:length.value]


def put(fd, level, option, value):
    result = LIBC.setsockopt(fd, level, option, value, len(value))
    return errno.errorcode[ctypes.get_errno()] if result < 0 else "ok" if result == 0 else "id"


def show(name, option, error, value):
    if error:
        return errno.errorcode[error]
    if (name, option) in VOLATILE:
        return f"{len(value)} bytes"
    if (name, option) in LISTS:
        return "a list"
    if name == "SOCKET" and option in (7, 8) and len(value) == 4:  # net.core.wmem_max, rmem_max
        value = min(value, struct.pack("i", 262144), key=lambda packed: struct.unpack("i", packed))
    if name == "SCTP":
        value = STEADY.get(option, lambda value: value)(value)
    return f"{len(value)} {ZEROS.sub('..', value.hex(' '))}"


def hide(*ranges):
    def hidden(value):
        for start, end in ranges:
            value = value[:start] + b"\xee" * (min(end, len(value)) - start) + value[end:]
        return value
    return hidden


ZEROS = re.compile("00( 00){3,}")


def hide_large(value):
    """What the path MTU allows."""
    size = struct.unpack("i", value[-4:])[0] if len(value) >= 4 else 0
    return value if size < 10000 else value[:-4] + b"path"


# By option: where in its struct are ports, windows, round trips.
STEADY = {
    STATUS: hide((0, 4), (8, 12), (20, 28), (30, 32), (32, 34), (52, 54), (176 - 20, 176)),
    PEER_ADDR_INFO: hide((0, 4), (6, 8), (136, 152)), PRIMARY_ADDR: hide((6, 8), (28, 32)),
    ASSOCINFO: hide((6, 16)), PEER_ADDR_PARAMS: hide((6, 8), (138, 142)), MAXSEG: hide_large,
    31: hide((10, 12)), 37: hide((10, 12)), 132: hide((10, 12)), 133: hide((10, 12)),
}

if __name__ == "__main__":
    sys.exit(main())
