"""Sends random SCTP records, and counts the answers.

usage: records.py PORT SEED COUNT: prints how many records were sent, refused, and answered.
"""
import random
import socket
import struct
import sys

IPPROTO_SCTP, SCTP_NODELAY, SCTP_SNDINFO = 132, 3, 2
UNORDERED, SACK_IMMEDIATELY = 1, 8
SIZES = (1, 2, 63, 64, 65, 1023, 1024, 1025, 1451, 1452, 1453, 65535, 65536, 65537, 131072, 200_000)


def draw_info(chance):
    """struct sctp_sndinfo: mostly one that is fine, now and then one that is not."""
    stream = chance.choice([0, *range(10), *range(10), 10, 65535, chance.randrange(1 << 16)])
    flags = chance.choice([0, UNORDERED, SACK_IMMEDIATELY] * 3 + [chance.randrange(1 << 16)])
    flags &= ~0x0240  # but not the end of the association: SCTP_EOF and SCTP_SENDALL
    flags &= ~0x0004  # nor its SCTP_ABORT
    flags &= ~0x0030  # nor a policy by which a record may be given up (RFC 7496), as Linux does
    ppid, context = chance.randrange(1 << 32), chance.randrange(1 << 32)
    return struct.pack("HHIIi", stream, flags, ppid, context, 0)


def send_record(sock, chance):
    """Returns whether the record was taken."""
    size = chance.choice([chance.choice(SIZES), chance.randrange(3000), chance.randrange(200)])
    data = chance.randbytes(size)
    ancillary = [(IPPROTO_SCTP, SCTP_SNDINFO, draw_info(chance))] if chance.random() < 0.7 else []
    if chance.random() < 0.02:
        nonsense = chance.randbytes(chance.randrange(40))
        ancillary.append((IPPROTO_SCTP, chance.randrange(8), nonsense))
    try:
        sent = sock.sendmsg([data], ancillary)
    except OSError as error:
        if error.errno not in (22, 90):  # EINVAL, EMSGSIZE
            raise
        return False
    assert sent == size
    return True


def main():
    port, seed, count = map(int, sys.argv[1:])
    chance = random.Random(seed)
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_SCTP)
    sock.setsockopt(IPPROTO_SCTP, SCTP_NODELAY, 1)
    sock.settimeout(60)
    sock.connect(("127.0.0.1", port))
    taken = refused = answered = 0
    while taken + refused < count:
        burst = [send_record(sock, chance) for _ in range(chance.randrange(1, 10))]
        taken, refused = taken + sum(burst), refused + len(burst) - sum(burst)
        while answered < taken:
            assert sock.recv(100) == b"OK"
            answered += 1
    print(taken, refused, answered)


main()
