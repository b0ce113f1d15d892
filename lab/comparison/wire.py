"""Captures, as tshark dissects them."""
import dataclasses
import itertools
import re
import subprocess

CHUNK_NAMES = {0: "DATA", 1: "INIT", 2: "INIT ACK", 3: "SACK", 4: "HEARTBEAT", 5: "HEARTBEAT ACK", 6: "ABORT",
               7: "SHUTDOWN", 8: "SHUTDOWN ACK", 9: "ERROR", 10: "COOKIE ECHO", 11: "COOKIE ACK",
               14: "SHUTDOWN COMPLETE"}
DATA_CHUNK_HEADER_BYTES = 16
FLAG_NAMES = (("syn", "SYN"), ("fin", "FIN"), ("reset", "RST"), ("ack", "ACK"))
PORTS = ("sctp.srcport", "sctp.dstport", "tcp.srcport", "tcp.dstport")
FIELDS = ("frame.number", "frame.time_epoch", "frame.len", "frame.interface_name", "ip.src", "ip.dst", "ip.proto",
          *PORTS, "sctp.chunk_type", "sctp.chunk_length", "sctp.data_tsn", "sctp.sack_cumulative_tsn_ack",
          "sctp.parameter_ipv4_address", "data.data", "tcp.seq", "tcp.len", "tcp.payload",
          *(f"tcp.flags.{field}" for field, _ in FLAG_NAMES))
SETUP = {"INIT", "INIT ACK", "COOKIE ECHO", "COOKIE ACK", "SYN"}
TEARDOWN = {"SHUTDOWN", "SHUTDOWN ACK", "SHUTDOWN COMPLETE", "ABORT", "FIN", "RST"}
WORDS = re.compile(r"message \d+ of \d+|\w{1,20}")  # without what fills a message up to its size


@dataclasses.dataclass
class Packet:  # pylint: disable=too-many-instance-attributes
    """A packet. data has for each DATA chunk, or for a TCP segment with data, its TSN or sequence number and size.

    texts are the first words of each line in it, addresses those that an INIT or INIT ACK lists, acknowledged is the
    TSN up to which a SACK confirms, earlier the packet that brought the same data before. ports are those of the
    conversation, in one order for both directions.
    """
    number: int
    time_s: float
    size: int
    link: str
    source: str
    destination: str
    protocol: str
    ports: tuple
    names: list
    data: list
    texts: list
    addresses: list
    acknowledged: int = None
    earlier: "Packet" = None

    @property
    def from_client(self):
        return self.source.endswith(".1")

    @property
    def again(self):
        return self.earlier is not None

    def describe(self):
        """Returns what is in the packet, in a few words."""
        words = [name for name in self.names if name != "DATA"]
        if self.protocol == "sctp":
            words += [f'DATA "{text}"' for text in self.texts]
        elif self.texts:  # to TCP all of them are one piece
            words.append(f'"{" ".join(self.texts)}"')
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
    """Returns the packets of a capture that was made at the client."""
    lines = dissect(path, "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=;",
                    *[f"-e{field}" for field in FIELDS])
    packets = [parse(dict(zip(FIELDS, line.split("\t")))) for line in lines]
    seen = {}
    for packet in packets:
        for position, _ in packet.data:
            key = (packet.ports, packet.from_client, position)
            packet.earlier = packet.earlier or seen.get(key)
            seen[key] = packet
        if packet.again and not packet.texts:  # tshark does not look into a chunk a second time
            packet.texts = packet.earlier.texts
    return packets


def parse(fields):
    return Packet(number=int(fields["frame.number"]), time_s=float(fields["frame.time_epoch"]),
                  size=int(fields["frame.len"]), link=fields["frame.interface_name"], source=fields["ip.src"],
                  destination=fields["ip.dst"], ports=tuple(sorted(fields[port] for port in PORTS if fields[port])),
                  **(parse_tcp(fields) if fields["ip.proto"] == "6" else parse_sctp(fields)))


def parse_tcp(fields):
    names = [name for field, name in FLAG_NAMES if fields[f"tcp.flags.{field}"] in ("1", "True")]
    data = [(int(fields["tcp.seq"]), int(fields["tcp.len"]))] if fields["tcp.len"] != "0" else []
    return {"protocol": "tcp", "names": names, "data": data, "texts": read_texts(fields["tcp.payload"]),
            "addresses": []}


def parse_sctp(fields):
    types = split_numbers(fields["sctp.chunk_type"])
    lengths = split_numbers(fields["sctp.chunk_length"])
    sizes = [length - DATA_CHUNK_HEADER_BYTES for kind, length in zip(types, lengths) if kind == 0]
    confirmed = split_numbers(fields["sctp.sack_cumulative_tsn_ack"])
    return {"protocol": "sctp", "names": [CHUNK_NAMES.get(kind, f"chunk type {kind}") for kind in types],
            "data": list(zip(split_numbers(fields["sctp.data_tsn"]), sizes)),
            "texts": [" ".join(read_texts(chunk)) for chunk in fields["data.data"].split(";") if chunk],
            "addresses": [address for address in fields["sctp.parameter_ipv4_address"].split(";") if address],
            "acknowledged": confirmed[-1] if confirmed else None}


def split_numbers(field):
    return [int(number) for number in field.split(";") if number]


def read_texts(payload):
    """Returns the first words of each line in a payload, which tshark prints as hexadecimal digits."""
    lines = bytes.fromhex(payload).decode("ascii", "replace").splitlines()
    return [match[0] if (match := WORDS.match(line)) else "?" for line in lines]


def find_exchanges(packets):
    """For clients that wait for each answer before they send on: when each message was first sent and first answered.

    Returns a list of (sent_s, packet with the answer or None), conversation by conversation.
    """
    first = {}
    for packet in packets:
        for position, _ in packet.data:
            first.setdefault(packet.ports, {True: {}, False: {}})[packet.from_client].setdefault(position, packet)
    return [(message.time_s, answer) for seen in first.values()
            for message, answer in itertools.zip_longest(seen[True].values(), seen[False].values())]
