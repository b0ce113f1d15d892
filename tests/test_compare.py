"""lab/compare: what its experiments find, asserted from their data; and that it fails when something did not happen."""
import csv
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from conftest import ROOT

sys.path.insert(0, str(ROOT / "lab"))
from comparison import comments, experiments, wire  # noqa: E402

pytestmark = [pytest.mark.stacks("lab"), pytest.mark.plain]
USAGE = "usage: lab/compare [-hqu] [-b DIR] [-o DIR] [EXPERIMENT...]\n"
EXPERIMENTS = [name for name, _ in experiments.find()]
SHORT = [name for name, module in experiments.find() if not module.LONG]
PROTOCOLS = ["sctp", "tcp"]
KEPT = ROOT / "lab" / "captures"


def compare(*arguments, lab=ROOT / "lab"):
    done = subprocess.run([lab / "compare", *map(str, arguments)], capture_output=True, text=True, check=False,
                          timeout=600)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def report(build, tmp_path_factory, scale):
    """The directory of a quick run of all experiments; without --long, of those that do not take long."""
    directory = tmp_path_factory.mktemp("compare") / "report"
    names = scale(SHORT, EXPERIMENTS)
    status, output, errors = compare("-q", "-b", build, "-o", directory, *names)
    assert (status, errors) == (0, ""), errors
    assert all(re.search(rf"^ *\d+ s  {name} measured$", output, re.M) for name in names), output
    return directory


def read_data(report, name):
    return json.loads((report / f"{name}.json").read_text())["data"]


def read_csv(report, name):
    with open(report / f"{name}.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_help():
    status, output, errors = compare("-h")
    assert (status, errors) == (0, "") and output.startswith(USAGE)
    assert re.findall(r"^  (\w+) +\w+: ", output, re.M) == EXPERIMENTS


@pytest.mark.parametrize("arguments, error", (
    (["-x"], "option -x not recognized"),
    (["-o"], "option -o requires argument"),
    (["nonsense"], f"nonsense: no such experiment, there are {', '.join(EXPERIMENTS)}"),
))
def test_misuse(arguments, error):
    assert compare(*arguments) == (2, "", f"compare: {error}\n{USAGE}")


def test_nothing_built(tmp_path):
    status, output, errors = compare("-b", tmp_path, "-o", tmp_path / "report")
    assert (status, output) == (1, "")
    assert errors == f"compare: {tmp_path}/server-sctp: not there; build it first, or tell with -b where it is\n"


class Page(HTMLParser):
    """What a page refers to, and how many pictures it holds."""

    def __init__(self, text):
        super().__init__()
        self.links, self.foreign, self.pictures = [], [], 0
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.pictures += tag == "svg"
        self.foreign += [tag] if tag in ("script", "link", "img", "iframe", "object") else []
        if tag == "a" and not attributes["href"].startswith("#"):
            self.links.append(attributes["href"])


def test_report_is_whole(report):
    page = Page((report / "report.html").read_text())
    assert page.foreign == [] and page.pictures >= len(list(report.glob("*.json")))
    assert page.links and all((report / link).stat().st_size > 0 for link in page.links)
    assert all(read_csv(report, path.stem) for path in report.glob("*.csv"))
    for path in report.glob("*.pcapng"):
        assert wire.read_packets(path), path
    assert {path.name for path in report.iterdir() if path.suffix in (".csv", ".pcapng")} >= set(page.links)


def without_repeats(packets):
    """A machine that is busy confirms so late that something is sent again."""
    return [packet for packet in packets if not packet.again]


def flatten(packets, detail=lambda packet: packet.from_client):
    """The chunks in order, but for those that confirm: when these are sent is a matter of time."""
    return [(detail(packet), name) for packet in packets for name in packet.names if name not in ("SACK", "ACK")] + [
        (packet.from_client, size) for packet in packets for _, size in packet.data]


def read_comments(path):
    """Returns the comment of each packet of a capture, in one line."""
    return [comment.replace("\\n", " ") for comment in wire.dissect(path, "-T", "fields", "-e", "frame.comment")]


@pytest.mark.parametrize("kept", KEPT.glob("*.pcapng"), ids=lambda path: path.stem)
def test_each_packet_has_a_comment(report, kept):
    """It says so in the capture that is kept, and in the one that is made anew."""
    for path in (kept, report / kept.name):
        packets, said = wire.read_packets(path), read_comments(path)
        assert len(said) == len(packets) and all(comment.endswith(".") for comment in said), said
        for packet, comment in zip(packets, said):
            assert all(f'"{text}"' in comment for text in packet.texts), (packet, comment)
            assert (" again: " in comment) == packet.again, comment


@pytest.mark.parametrize("kept", KEPT.glob("*.pcapng"), ids=lambda path: path.stem)
def test_kept_comments_are_of_today(kept):
    told = comments.explain(wire.read_packets(kept))
    assert all(comment.startswith(told[number]) for number, comment in enumerate(read_comments(kept), 1))


@pytest.mark.parametrize("kept", KEPT.glob("*.pcapng"), ids=lambda path: path.stem)
def test_no_packet_is_missing(report, kept):
    """Nothing is confirmed that is not in the capture."""
    for path in (kept, report / kept.name):
        assert wire.dissect(path, "-Y", "tcp.analysis.ack_lost_segment || tcp.analysis.lost_segment") == []
        packets = wire.read_packets(path)
        brought = {(packet.from_client, tsn) for packet in packets for tsn, _ in packet.data}
        assert all((not packet.from_client, packet.acknowledged) in brought for packet in packets
                   if "SACK" in packet.names)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", ["lifecycle", "boundaries"])
def test_kept_captures_are_what_happens(report, name, protocol):
    fresh, kept = (flatten(without_repeats(wire.read_packets(directory / f"{name}-{protocol}.pcapng")))
                   for directory in (report, KEPT))
    assert fresh == kept and len(kept) > 5


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_kept_capture_of_the_cable(report, protocol):
    """How often something came depends on times; in which order what came first does not."""
    def order(directory):
        packets = wire.read_packets(directory / f"cable-{protocol}.pcapng")
        steps = [(packet.link, name, packet.again) for packet in packets for name in packet.names or ["data"]
                 if name not in ("SACK", "ACK", "HEARTBEAT", "HEARTBEAT ACK") and not (name == "FIN" and packet.again)]
        return list(dict.fromkeys(steps))
    assert order(report) == order(KEPT)


def test_lifecycle(report):
    rows = {row[""]: row for row in read_csv(report, "lifecycle")}
    trips = rows["round trips before the first data"]
    assert (trips["SCTP"], trips["TCP"]) == ("2", "1")
    for protocol in PROTOCOLS:
        packets = wire.read_packets(report / f"lifecycle-{protocol}.pcapng")
        assert rows["packets"][protocol.upper()] == str(len(packets))
        assert [size for packet in without_repeats(packets) if packet.from_client for _, size in packet.data] == [64] * 5


def test_boundaries(report):
    rows = read_csv(report, "boundaries")
    reads = {protocol: [(int(row["bytes"]), int(row["ends of messages in it"])) for row in rows
                        if row["protocol"] == protocol.upper()] for protocol in PROTOCOLS}
    assert reads["sctp"] == [(4, 1), (4, 1), (6, 1)]
    assert sum(size for size, _ in reads["tcp"]) == 14 and max(ends for _, ends in reads["tcp"]) > 1


@pytest.mark.long
def test_loss(report):
    rows = read_csv(report, "loss")
    messages = read_data(report, "loss")["messages"]
    assert {row["messages"] for row in rows} == {str(messages)}
    longest = {(row["protocol"], row["loss each way (%)"]): float(row["longest (ms)"]) for row in rows}
    assert longest["SCTP", "10"] > 1000  # the least RTO
    again = {(row["protocol"], row["loss each way (%)"]): int(row["messages sent again by the client"]) for row in rows}
    assert all(count > 0 for (_, loss), count in again.items() if loss == "10")


def test_cable(report):
    data = read_data(report, "cable")
    sctp, tcp = data["runs"]["sctp"], data["runs"]["tcp"]
    answered = re.findall(r"^Sending message (\d+) of (\d+)\. Result: OK$", sctp["output"], re.M)
    messages = int(answered[0][1])
    assert answered == [(str(number), str(messages)) for number in range(1, messages + 1)] and sctp["status"] == 0
    packets = wire.read_packets(report / "cable-tcp.pcapng")
    assert tcp["status"] == 1 and not [packet for packet in packets if not packet.from_client
                                       and packet.time_s > tcp["cut_s"] + 0.1]
    after = [packet for packet in wire.read_packets(report / "cable-sctp.pcapng")
             if packet.time_s > sctp["cut_s"] + 0.1]
    assert {packet.link for packet in after if not packet.from_client} == {"link2"}


def test_peer(report):
    told = [(row["over"], row["what happened"], row["which packet told the client"])
            for row in read_csv(report, "peer")]
    for protocol, ending, chunk in (
            ("SCTP", "stopped with Ctrl-C", "SHUTDOWN"), ("TCP", "stopped with Ctrl-C", "FIN"),
            ("SCTP", "while a message was unread", "ABORT"), ("TCP", "while a message was unread", "RST"),
            ("SCTP", "vanished", "none"), ("TCP", "vanished", "none")):
        assert [packet for over, what, packet in told if over == protocol and ending in what and chunk in packet]


@pytest.mark.long
def test_cost(report):
    sizes = [(row["protocol"], row["bytes"]) for row in read_csv(report, "cost")]
    assert len(sizes) == len(set(sizes)) == 12
    assert all(float(row["round trip (µs)"]) > 0 for row in read_csv(report, "cost"))


@pytest.mark.slow
def test_what_did_not_happen_is_a_failure(build, tmp_path):
    """A client that sends one message too few."""
    for name in ("server-sctp", "client-sctp", "server-tcp"):
        (tmp_path / name).symlink_to(build / name)
    (tmp_path / "client-tcp").write_text(f'#!/bin/sh\nexec {build}/client-tcp -c 4 "$@"\n')
    (tmp_path / "client-tcp").chmod(0o755)
    status, _, errors = compare("-q", "-b", tmp_path, "-o", tmp_path / "report", "lifecycle")
    claim = "Over TCP, the client got an answer to each of its five messages."
    assert (status, errors) == (1, f"compare: lifecycle: did not happen: {claim}\n")
    assert f"✗ Did not happen: {claim}" in (tmp_path / "report" / "report.html").read_text()


SEVENTH = '''
ORDER, TITLE, ALONE, LONG = 7, "Seventh: one more", False, False

def measure(lab):
    with lab.network("one") as network:
        server = network.server.start_server(lab.program("server", "tcp"))
        return network.client.start(lab.program("client", "tcp"), "-c1", network.server.addresses[0]).finish()

def report(section, data):
    section.claim("There was an answer.", "Result: OK" in data["output"])
'''


def test_a_seventh_experiment_is_one_file(build, tmp_path):
    lab = tmp_path / "lab"
    shutil.copytree(ROOT / "lab", lab)
    (lab / "experiments" / "seventh.py").write_text(SEVENTH)
    status, _, errors = compare("-b", build, "-o", tmp_path / "report", "seventh", lab=lab)
    assert (status, errors) == (0, "")
    assert "✓ There was an answer." in (tmp_path / "report" / "report.html").read_text()
