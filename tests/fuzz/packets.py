"""Sends malformed SCTP packets to the UDP port of a stack in user space, and to no other.

usage: packets.py UDP_PORT SCTP_PORT SEED COUNT: prints how many were sent, and how many of them
belonged to an association. To be run in a network of its own: a stack could believe the addresses
in there.
"""
import logging
import random
import socket
import sys

logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.layers.sctp import (  # noqa: E402
    SCTP, SCTPChunkAbort, SCTPChunkCookieEcho, SCTPChunkData, SCTPChunkHeartbeatReq, SCTPChunkInit,
    SCTPChunkInitAck, SCTPChunkParamStateCookie, SCTPChunkSACK, SCTPChunkShutdown, SCTPChunkError,
    SCTPChunkAddressConf, SCTPChunkAuthentication, SCTPChunkCookieAck, SCTPChunkShutdownAck,
    SCTPChunkShutdownComplete, SCTPChunkHeartbeatAck, SCTPChunkParamIPv4Addr,
    SCTPChunkParamHostname, SCTPChunkParamSupportedExtensions, crc32c)
from scapy.packet import Raw, fuzz  # noqa: E402

CHUNKS = (SCTPChunkInit, SCTPChunkInitAck, SCTPChunkData, SCTPChunkSACK, SCTPChunkHeartbeatReq,
          SCTPChunkHeartbeatAck, SCTPChunkAbort, SCTPChunkShutdown, SCTPChunkShutdownAck,
          SCTPChunkError, SCTPChunkCookieEcho, SCTPChunkCookieAck, SCTPChunkShutdownComplete,
          SCTPChunkAuthentication, SCTPChunkAddressConf)
PARAMETERS = (SCTPChunkParamIPv4Addr, SCTPChunkParamHostname, SCTPChunkParamSupportedExtensions,
              SCTPChunkParamStateCookie)


class Peer:
    """One UDP socket, and the association over it if there is one."""

    def __init__(self, udp_port, sctp_port, chance):
        self.sock = socket.socket(type=socket.SOCK_DGRAM)
        self.sock.connect(("127.0.0.1", udp_port))
        self.sock.settimeout(2)
        self.ports = {"sport": chance.randrange(1024, 65536), "dport": sctp_port}
        self.tag = 0
        self.chance = chance

    def build(self, *chunks, tag=None):
        packet = SCTP(tag=self.tag if tag is None else tag, **self.ports)
        for chunk in chunks:
            packet = packet / chunk
        return bytes(packet)

    def associate(self):
        """INIT, INIT ACK, COOKIE ECHO, as RFC 9260 (section 5.1) has it."""
        init = SCTPChunkInit(init_tag=self.chance.randrange(1, 1 << 32), a_rwnd=100_000,
                             n_out_streams=10, n_in_streams=10, init_tsn=1)
        self.sock.send(self.build(init, tag=0))
        answer = SCTP(self.sock.recv(65536))
        cookie = answer[SCTPChunkParamStateCookie].cookie
        self.tag = answer[SCTPChunkInitAck].init_tag
        self.sock.send(self.build(SCTPChunkCookieEcho(cookie=cookie)))
        self.sock.recv(65536)

    def leave(self):
        self.sock.send(self.build(SCTPChunkAbort()))
        self.sock.close()


def draw_chunk(chance):
    chunk = chance.choice(CHUNKS)()
    if chance.random() < 0.6:
        chunk = fuzz(chunk)
    if isinstance(chunk, (SCTPChunkInit, SCTPChunkInitAck)) and chance.random() < 0.5:
        chunk.params = [fuzz(chance.choice(PARAMETERS)()) for _ in range(chance.randrange(4))]
    return chunk


def draw_packet(peer, chance):
    """A packet of random chunks; of most, some bytes are wrong, and of few, the checksum."""
    tag = chance.choice([peer.tag, peer.tag, peer.tag, 0, chance.randrange(1 << 32)])
    try:
        chunks = [draw_chunk(chance) for _ in range(chance.randrange(1, 4))]
        packet = bytearray(peer.build(*chunks, tag=tag))
    except Exception:  # what fuzz() drew cannot be written down
        packet = bytearray(peer.build(Raw(chance.randbytes(chance.randrange(1, 200))), tag=tag))
    for _ in range(chance.choice([0, 1, 2, 10])):
        packet[chance.randrange(12, len(packet))] = chance.randrange(256)
    if chance.random() < 0.1:
        del packet[chance.randrange(len(packet)):]
    if len(packet) >= 12 and chance.random() < 0.95:
        packet[8:12] = bytes(4)
        packet[8:12] = crc32c(bytes(packet)).to_bytes(4, "big")
    return bytes(packet)


def main():
    udp_port, sctp_port, seed, count = map(int, sys.argv[1:])
    chance = random.Random(seed)
    random.seed(seed)  # scapy's
    sent = belonged = 0
    while sent < count:
        peer = Peer(udp_port, sctp_port, chance)
        if chance.random() < 0.7:
            peer.associate()
        for _ in range(min(20, count - sent)):
            peer.sock.send(draw_packet(peer, chance))
            sent, belonged = sent + 1, belonged + (peer.tag != 0)
        peer.leave()
    print(sent, belonged)


main()
