"""What usrsctp's packets look like on the wire: tshark decodes them unasked, checksums and all."""
import re
import select
import shutil
import socket
import sys
import threading

import pytest

from conftest import answers, find_udp_port

pytestmark = [pytest.mark.stacks("usrsctp"), pytest.mark.plain]
EXCHANGE = """
import socket
listener = socket.socket(socket.{family}, socket.SOCK_STREAM, 132)
listener.bind(("{host}", 0))
listener.listen(1)
client = socket.socket(socket.{family}, socket.SOCK_STREAM, 132)
client.connect(listener.getsockname())
accepted = listener.accept()[0]
client.send(b"hello")
accepted.recv(99)
client.close()
accepted.recv(99)
"""


@pytest.mark.parametrize("family, host, last", [
    ("AF_INET", "127.0.0.1", "ip[40] == 14"), ("AF_INET6", "::1", "ip6[60] == 14")])
def test_from_init_to_shutdown_complete(start, build, own_network, capture, family, host, last):
    captured = capture("udp port 9899", udp_port=None, last=last)  # the port that Wireshark knows
    program = EXCHANGE.format(family=family, host=host)
    status, _, errors = start([sys.executable, "-c", program],
                              [build / "userland" / "withusrsctp"],
                              env={"SCTP_UDP_PORT": "9899"}).finish()
    assert (status, errors) == (0, "")
    captured.stop()
    packets = captured.read("sctp.chunk_type", "sctp.checksum.status", only="sctp")
    chunks = [kind for kinds, _ in packets for kind in kinds]
    for kind in ("1", "2", "10", "11", "0", "3", "7", "8", "14"):
        assert kind in chunks, chunks
    assert [kinds for kinds, _ in packets][:2] == [["1"], ["2"]]
    assert packets[-1][0] == ["14"] and "6" not in chunks
    assert {status for _, statuses in packets for status in statuses} == {"1"}, packets  # good


def test_no_raw_socket_is_opened(start, build):
    """Not even as root: on a kernel with SCTP, usrsctp would abort the kernel's associations."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    program = EXCHANGE.format(family="AF_INET", host="127.0.0.1")
    trace = start(["strace", "-f", "-e", "trace=socket", "-o", "/dev/stdout",
                   build / "userland" / "withusrsctp", sys.executable, "-c", program],
                  env={"SCTP_UDP_PORT": find_udp_port()})  # so that the stack is its own, and traced with it
    status, output, _ = trace.finish()
    assert status == 0 and "SOCK_DGRAM" in output
    assert not re.search(r"AF_INET6?, SOCK_RAW", output)


DATA, INIT, COOKIE_ECHO = 0, 1, 10


def list_chunk_types(packet):
    """RFC 9260, section 3: a common header of 12 bytes, then chunks: type, flags, length; padded to 4 bytes."""
    types, position = [], 12
    while position + 4 <= len(packet):
        types.append(packet[position])
        position += (max(4, int.from_bytes(packet[position + 2:position + 4], "big")) + 3) // 4 * 4
    return types


class Relay(threading.Thread):
    """Between one client and the server's UDP port; loses the packets for which lose(to_server, chunk_types) is true."""

    def __init__(self, server_udp_port, lose):
        super().__init__()
        self.lose = lose
        self.front, self.back = (socket.socket(type=socket.SOCK_DGRAM) for _ in range(2))
        self.front.bind(("127.0.0.1", 0))
        self.back.connect(("127.0.0.1", server_udp_port))
        self.udp_port = str(self.front.getsockname()[1])
        self.asked_to_stop, self.stopper = socket.socketpair()

    def run(self):
        client = None
        sources = [self.front, self.back, self.asked_to_stop]
        while self.asked_to_stop not in (ready := select.select(sources, [], [])[0]):
            for sock in ready:
                packet, sender = sock.recvfrom(65536)
                if sock is self.front:
                    client = sender
                if self.lose(sock is self.front, list_chunk_types(packet)):
                    continue
                if sock is self.front:
                    self.back.send(packet)
                else:
                    self.front.sendto(packet, client)

    def stop(self):
        self.stopper.send(b"x")
        self.join()
        for sock in (self.front, self.back, self.asked_to_stop, self.stopper):
            sock.close()


def exchange_over_relay(lose, start_server, run_client, *arguments):
    """Eight messages."""
    udp_port = find_udp_port()
    server = start_server(env={"SCTP_UDP_PORT": udp_port})
    relay = Relay(int(udp_port), lose)
    relay.start()
    try:
        assert run_client("-c8", *arguments, "127.0.0.1", server.port,
                          env={"SCTP_UDP_PORT": relay.udp_port}) == (0, answers(8), "")
    finally:
        relay.stop()


@pytest.mark.slow
def test_a_handshake_that_loses_packets_slows_nothing_down_afterwards(start_server, run_client):
    """libusrsctp takes the 3 s for a round trip: without our help, the lost answer takes 10 s to come again."""
    seen = {"COOKIE ECHO": 0, "answer": 0}

    def lose(to_server, types):
        seen["COOKIE ECHO"] += to_server and COOKIE_ECHO in types
        seen["answer"] += not to_server and DATA in types
        return to_server and COOKIE_ECHO in types and seen["COOKIE ECHO"] <= 2 or (
            not to_server and DATA in types and seen["answer"] == 4)

    exchange_over_relay(lose, start_server, run_client, "-W6")
    assert seen["COOKIE ECHO"] == 3 and seen["answer"] >= 9


@pytest.mark.slow
def test_each_packet_of_a_handshake_that_is_lost_costs_the_same(start_server, run_client):
    """RTO.initial, 3 s, as over the kernel; to libusrsctp, a lost INIT is a round trip of 3 s, so an RTO of 9 s."""
    kinds = [INIT, COOKIE_ECHO, DATA]

    def lose(to_server, types):
        lost = to_server and kinds != [] and kinds[0] in types
        if lost:
            kinds.pop(0)
        return lost

    exchange_over_relay(lose, start_server, run_client, "-W8")
    assert kinds == []


WISHES = """
import socket, struct
def dscp(sock, dscp):  # SPP_DSCP of SCTP_PEER_ADDR_PARAMS
    sock.setsockopt(132, 9, bytes(132) + struct.pack("=IHIIIIBx", 0, 0, 0, 0, 0x200, 0, dscp))
listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)
listener.bind(("127.0.0.1", 0))
listener.listen(2)
plain, marked = (socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132) for _ in range(2))
marked.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0x48)
marked.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 33)
for client, message in ((plain, b"plain"), (marked, b"marked")):
    client.connect(listener.getsockname())
    accepted = listener.accept()[0]
    client.send(message)
    accepted.recv(99)
    dscp(client, 0x28)
    client.send(message + b", with DSCP")
    accepted.recv(99)
"""


def test_packets_are_as_their_socket_wishes(start, build, own_network, capture, tmp_path):
    captured = capture("udp port 9899", udp_port=None, last="ip[40] == 6")  # closed at the end, with unread data or not
    status, _, errors = start([sys.executable, "-c", WISHES + "marked.setsockopt(1, 13, struct.pack('ii', 1, 0))"],
                              [build / "userland" / "withusrsctp"],
                              env={"SCTP_UDP_PORT": "9899", "SCTP_CAPTURE": tmp_path / "own.pcapng"}).finish()
    assert (status, errors) == (0, "")
    captured.stop()
    wishes = "ip.dsfield", "ip.ttl", "data.data"
    packets = captured.read(*wishes, only="sctp.chunk_type == 0")
    seen = [(int(dsfield, 16) & 0xfc, int(ttl), bytes.fromhex(data).decode())
            for (dsfield, *_), (ttl, *_), (data, *_) in packets]
    assert seen == [(0, 64, "plain"), (0x28, 64, "plain, with DSCP"), (0x48, 33, "marked"), (0x28, 33, "marked, with DSCP")]
    captured.path = tmp_path / "own.pcapng"
    assert captured.read(*wishes, only="sctp.chunk_type == 0") == packets
