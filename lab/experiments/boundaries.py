"""Three messages sent without waiting for answers, and what each recv of the server returned.

What the report says of it is in boundaries.html.
"""
import re
import signal

from comparison.network import PORT

ORDER = 2
TITLE = "Boundaries: three messages sent at once"
ALONE = True  # the pictures show times
LONG = False
DELAY_MS = 50
PROTOCOLS = {"sctp": 132, "tcp": 6}
MESSAGES = ("one\n", "two\n", "three\n")
HELD_BACK = "Nagle's algorithm had held both messages back until the first one was confirmed."
RECEIVED = {"sctp": "Each chunk is a message, and each recv() of the server returns one of them.",
            "tcp": "TCP sees a single piece of bytes, and one recv() of the server returns all of it."}
# Nagle's algorithm is on, as with any socket that nobody told otherwise. The pause at the end is for a delayed SACK.
SENDER = """
import socket, sys, time
host, port, protocol, *messages = sys.argv[1:]
with socket.socket(socket.AF_INET, socket.SOCK_STREAM, int(protocol)) as sender:
    sender.connect((host, int(port)))
    for message in messages:
        sender.sendall(message.encode())
    answers = b""
    while len(answers) < 2 * len(messages) and (part := sender.recv(100)):
        answers += part
    print(answers.decode())
    time.sleep(0.5)
"""


def measure(lab):
    return {"runs": {protocol: send_at_once(lab, protocol) for protocol in PROTOCOLS}}


def send_at_once(lab, protocol):
    with lab.network(protocol, delay_ms=DELAY_MS) as network:
        server = network.server.start_server(lab.program("server", protocol), "-v")
        with network.capture(lab.capture_path(protocol)):
            sender = network.client.start("/usr/bin/python3", "-IS", "-c", SENDER, network.server.addresses[0],
                                          PORT, PROTOCOLS[protocol], *MESSAGES)
            answers = sender.finish()
            server.await_line("Connection from")
        return {"sender": answers, "server": server.finish(signal.SIGINT)}


def list_reads(run):
    """Returns for each read of the server how many bytes it got, and how many ends of messages."""
    return [(int(size), int(ends)) for size, ends in
            re.findall(r"^Read (\d+) bytes from \S+, (\d+) ends? of message", run["server"]["output"], re.M)]


def report(section, data):
    packets = {protocol: section.read_capture(protocol) for protocol in PROTOCOLS}
    reads = {protocol: list_reads(data["runs"][protocol]) for protocol in PROTOCOLS}
    sent = {protocol: [packet for packet in packets[protocol] if packet.from_client and packet.data]
            for protocol in PROTOCOLS}
    section.prose(sizes=", ".join(str(len(message)) for message in MESSAGES), round_trip_ms=2 * DELAY_MS,
                  sctp_packet=sent["sctp"][-1].number, tcp_packet=sent["tcp"][-1].number,
                  tcp_bytes=reads["tcp"][-1][0])
    rows = [(protocol.upper(), number, size, ends) for protocol in PROTOCOLS
            for number, (size, ends) in enumerate(reads[protocol], 1)]
    section.table("boundaries", ("protocol", "read", "bytes", "ends of messages in it"), rows)
    section.ladders({protocol: f"Three messages over {protocol.upper()}; round trip {2 * DELAY_MS} ms, Nagle's "
                     "algorithm on at the sender." for protocol in PROTOCOLS})
    for protocol in PROTOCOLS:
        section.comment(protocol, {sent[protocol][-1].number: f"{HELD_BACK} {RECEIVED[protocol]}"})
    make_claims(section, data, reads, sent)


def make_claims(section, data, reads, sent):
    sizes = [len(message) for message in MESSAGES]
    for protocol in PROTOCOLS:
        section.claim(f"Over {protocol.upper()}, the server received all three messages and answered each.",
                      sum(size for size, _ in reads[protocol]) == sum(sizes)
                      and sum(ends for _, ends in reads[protocol]) == len(sizes)
                      and data["runs"][protocol]["sender"]["output"] == "OKOKOK\n")
    section.claim("Over SCTP, each read returned exactly one message.", reads["sctp"] == [(size, 1) for size in sizes])
    section.claim("Over TCP, one read returned more than one message.", any(ends > 1 for _, ends in reads["tcp"]))
    section.claim("SCTP sent three DATA chunks in two packets.",
                  [[size for _, size in packet.data] for packet in sent["sctp"]] == [sizes[:1], sizes[1:]])
    section.claim("TCP sent the same bytes in two packets.",
                  [packet.data[0][1] for packet in sent["tcp"]] == [sizes[0], sum(sizes[1:])])
