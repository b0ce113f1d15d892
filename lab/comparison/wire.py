"""Captures, as tshark dissects them."""
import dataclasses
import itertools
import subprocess

CHUNK_NAMES = {0: "DATA", 1: "INIT", 2: "INIT ACK", 3: "SACK", 4: "HEARTBEAT", 5: "HEARTBEAT ACK", 6: "ABORT",
               7: "SHUTDOWN", 8: "SHUTDOWN ACK", 9: "ERROR", 10: "COOKIE ECHO", 11: "COOKIE ACK",
               14: "SHUTDOWN COMPLETE"}
DATA_CHUNK_HEADER_BYTES = 16
FLAG_NAMES = (("syn", "SYN"), ("fin", "FIN"), ("reset", "RST"), ("ack", "ACK"))
PORTS = ("sctp.srcport", "sctp.dstport", "tcp.srcport", "tcp.dstport")
FIELDS = ("frame.number", "frame.time_epoch", "frame.len", "frame.interface_name", "ip.src", "ip.proto", *PORTS,
          "sctp.chunk_type", "sctp.chunk_length", "sctp.data_tsn", "tcp.seq", "tcp.len",
          *(f"tcp.flags.{field}" for field, _ in FLAG_NAMES))
SETUP = {"INIT", "INIT ACK", "COOKIE ECHO", "COOKIE ACK", "SYN"}
TEARDOWN = {"SHUTDOWN", "SHUTDOWN ACK", "SHUTDOWN COMPLETE", "ABORT", "FIN", "RST"}


@dataclasses.dataclass
class Packet:
    """A packet. data has for each DATA chunk, or for a TCP segment with data, its TSN or sequence number and size.
    ports are those of the conversation, in one order for both directions.
    """
    number: int
    time_s: float
    size: int
    link: str
    from_client: bool
    ports: list
    names: list
    data: list
    again: bool = False

    def describe(self):
        """Returns what is in the packet, in a few words."""
        words = [name for name in self.names if name != "DATA"]
        sizes = [f"{size} {'byte' if size == 1 else 'bytes'}" for _, size in self.data]
        words += [f"DATA {size}" for size in sizes] if "DATA" in self.names else sizes
        return " + ".join(words) + (" (again)" if self.again else "")

    def kind(self):
        """Returns "setup", "teardown", "data" or "other"."""
        if TEARDOWN & set(self.names):
            return "teardown"
        if SETUP & set(self.names):
            return "setup"
        return "data" if self.data else "other"


def dissect(path, *options):
    """Returns the lines that tshark prints for a capture."""
    return subprocess.run(["tshark", "-n", "-r", path, *options], check=True, capture_output=True,
                          text=True).stdout.splitlines()


def read_packets(path):
    """Returns the packets of a capture made at the client; data that was seen before is marked as sent again."""
    lines = dissect(path, "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=;", *[f"-e{field}" for field in FIELDS])
    packets = [parse(dict(zip(FIELDS, line.split("\t")))) for line in lines]
    seen = set()
    for packet in packets:
        keys = {(*packet.ports, packet.from_client, position) for position, _ in packet.data}
        packet.again = bool(keys & seen)
        seen |= keys
    return packets


def parse(fields):
    if fields["ip.proto"] == "6":
        names = [name for field, name in FLAG_NAMES if fields[f"tcp.flags.{field}"] in ("1", "True")]
        data = [(int(fields["tcp.seq"]), int(fields["tcp.len"]))] if fields["tcp.len"] != "0" else []
    else:
        types = [int(kind) for kind in fields["sctp.chunk_type"].split(";")]
        names = [CHUNK_NAMES.get(kind, f"chunk type {kind}") for kind in types]
        sizes = [int(length) - DATA_CHUNK_HEADER_BYTES for kind, length in
                 zip(types, fields["sctp.chunk_length"].split(";")) if kind == 0]
        data = list(zip([int(tsn) for tsn in fields["sctp.data_tsn"].split(";") if tsn], sizes))
    return Packet(number=int(fields["frame.number"]), time_s=float(fields["frame.time_epoch"]),
                  size=int(fields["frame.len"]), link=fields["frame.interface_name"],
                  from_client=fields["ip.src"].endswith(".1"),
                  ports=sorted(fields[port] for port in PORTS if fields[port]), names=names, data=data)


def find_exchanges(packets):
    """For clients that wait for each answer before they send on: when each message was first sent and first answered.

    Returns a list of (sent_s, packet with the answer or None), conversation by conversation.
    """
    first = {}
    for packet in packets:
        for position, _ in packet.data:
            first.setdefault((*packet.ports,), {True: {}, False: {}})[packet.from_client].setdefault(position, packet)
    return [(message.time_s, answer) for seen in first.values()
            for message, answer in itertools.zip_longest(seen[True].values(), seen[False].values())]
