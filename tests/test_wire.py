"""What goes over the wire, as tshark sees it."""
import re
import signal

import pytest

from conftest import ROOT

pytestmark = pytest.mark.plain

# chunk types, RFC 9260 section 3.2
DATA, INIT, INIT_ACK, SACK, HEARTBEAT, HEARTBEAT_ACK, ABORT, SHUTDOWN, SHUTDOWN_ACK = range(9)
ERROR, COOKIE_ECHO, COOKIE_ACK, _, _, SHUTDOWN_COMPLETE = range(9, 15)
NAMES = {DATA: "DATA", INIT: "INIT", INIT_ACK: "INIT_ACK", COOKIE_ECHO: "COOKIE_ECHO", COOKIE_ACK: "COOKIE_ACK",
         SHUTDOWN: "SHUTDOWN", SHUTDOWN_ACK: "SHUTDOWN_ACK", SHUTDOWN_COMPLETE: "SHUTDOWN_COMPLETE"}


CHUNK_FIELDS = ("sctp.srcport", "sctp.chunk_type")
TSN_FIELDS = ("sctp.data_tsn_raw", "sctp.sack_cumulative_tsn_ack_raw", "sctp.shutdown_cumulative_tsn_ack")


def drop_repeats(packets):
    """Without those that bring the same data once more: a machine that is busy confirms too late."""
    seen, kept = set(), []
    for packet in packets:
        brought = {(*packet[0], tsn) for tsn in packet[2]}
        if not brought or brought - seen:
            kept.append(packet)
        seen |= brought
    return kept


def list_chunks(packets):
    """The chunks in the order of the packets, heartbeats left out: (from server?, type)."""
    return [(port[0], int(chunk)) for port, types, *_ in packets for chunk in types
            if int(chunk) not in (HEARTBEAT, HEARTBEAT_ACK)]


@pytest.fixture
def whole_life(server, run_client, capture, own_packets, shutdown_complete):
    """The capture of two messages, from the connection's first packet to its last."""
    captured = capture(own_packets(server.port), last=shutdown_complete)
    assert run_client("-c2", "127.0.0.1", server.port)[0] == 0
    server.read_line()
    assert server.read_line() == "Connection from 127.0.0.1 closed by remote peer.\n"
    assert server.finish(signal.SIGINT)[0] == 0
    captured.stop()
    return captured


@pytest.mark.stacks("sctp", "usrsctp")
def test_sctp_life(server, whole_life, stack):
    packets = whole_life.read(*CHUNK_FIELDS, *TSN_FIELDS, only="sctp")  # once: in User Mode Linux, tshark takes 7 s
    chunks = list_chunks(drop_repeats(packets))
    here, there = chunks[0][0], str(server.port)
    assert chunks[:4] == [(here, INIT), (there, INIT_ACK), (here, COOKIE_ECHO), (there, COOKIE_ACK)]
    assert chunks[-3:] == [(here, SHUTDOWN), (there, SHUTDOWN_ACK), (here, SHUTDOWN_COMPLETE)]
    exchanged = chunks[4:-3]
    assert [chunk for chunk in exchanged if chunk[1] == DATA] == [(here, DATA), (there, DATA)] * 2
    assert {kind for _, kind in exchanged} == {DATA, SACK}
    assert count_acknowledged(packets, here) == count_acknowledged(packets, there) == 2
    if stack == "sctp":
        assert list_readme_chunks() == [
            ("server" if port == there else "client", NAMES[kind]) for port, kind in chunks if kind != SACK]


@pytest.mark.stacks("tcp", "usrsctp")
def test_messages_can_be_read_in_a_capture(whole_life):
    texts = [bytes.fromhex(cell).decode() for cells in whole_life.read("data.data") for column in cells
             for cell in column]
    message = "message {} of 2 ".ljust(64 - 1 + len("{}") - 1, ".") + "\n"
    assert texts == [message.format(1), "OK", message.format(2), "OK"]


def count_acknowledged(packets, port):
    """How many of the DATA chunks from this port the other side acknowledged."""
    sent = {int(tsn) for source, _, tsns, *_ in packets for tsn in tsns if source == [port]}
    highest = max(int(ack) for source, _, _, *acks in packets if source != [port] for cell in acks for ack in cell)
    return sum(tsn <= highest for tsn in sent)


def list_readme(heading):
    """The README's packets below a heading: the sender and the chunks, or flags, of each."""
    listed = (ROOT / "README.md").read_text().partition(heading)[2].split("```")[1]
    return re.findall(r"^ *\d+  (client|server) → \w+  (.*?)(?:   .*)?$", listed, re.M)


def list_readme_chunks():
    return [(sender, chunk) for sender, chunks in list_readme("SCTP, on a kernel that has it:")
            for chunk in re.findall(r"([A-Z_]+)(?: \(.*?\))?", chunks) if chunk != "SACK"]


@pytest.mark.stacks("usrsctp")
def test_checksums_are_right(whole_life):
    assert {row[0][0] for row in whole_life.read("sctp.checksum.status", only="sctp")} == {"1"}


@pytest.mark.stacks("sctp", "usrsctp")
def test_sctp_server_that_stops_sends_shutdown(start_server, start_peer, capture, own_packets, shutdown_complete):
    server = start_server()
    captured = capture(own_packets(server.port), last=shutdown_complete)
    peer = start_peer(server.port)
    peer.send("message\n")
    assert peer.recv(2)[0] == "OK"
    assert server.finish(signal.SIGTERM)[0] == 0
    captured.stop()
    kinds = [kind for _, kind in list_chunks(captured.read(*CHUNK_FIELDS, only="sctp"))]
    assert kinds[-3:] == [SHUTDOWN, SHUTDOWN_ACK, SHUTDOWN_COMPLETE] and ABORT not in kinds


@pytest.mark.stacks("tcp")
def test_tcp_life(server, whole_life):
    packets = whole_life.read("tcp.srcport", "tcp.flags.syn", "tcp.flags.fin", "tcp.flags.reset",
                              "tcp.len", only="!tcp.analysis.retransmission")
    here, there = packets[0][0][0], str(server.port)
    flags = [(port[0], syn[0] == "1", fin[0] == "1") for port, syn, fin, _, _ in packets]
    assert flags[:2] == [(here, True, False), (there, True, False)]
    assert [flag for flag in flags[2:] if flag[1] or flag[2]] == [
        (here, False, True), (there, False, True)]
    assert not any(reset[0] == "1" for *_, reset, _ in packets)
    assert [(port[0], int(size[0])) for port, _, _, _, size in packets if size[0] != "0"] == [
        (here, 64), (there, 2)] * 2


@pytest.mark.stacks("tcp")
def test_tcp_server_that_stops_sends_fin(start_server, start_peer, capture, own_packets):
    server = start_server()
    captured = capture(own_packets(server.port))
    peer = start_peer(server.port)
    peer.send("message\n")
    assert peer.recv(2)[0] == "OK"
    peer.ask("recv_all")
    peer.ask("close")
    assert server.finish(signal.SIGTERM)[0] == 0
    captured.stop()
    packets = captured.read("tcp.flags.fin", "tcp.flags.reset")
    assert [fin[0] for fin, _ in packets].count("1") == 2
    assert not any(reset[0] == "1" for _, reset in packets)
