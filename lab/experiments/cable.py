"""Two hosts with two links; the one in use is cut. What the report says of it is in cable.html."""
import concurrent.futures
import re
import signal

from comparison import drawing, wire
from comparison.network import Missed

ORDER = 4
TITLE = "Cable: the link in use is cut"
ALONE = False
LONG = False
PROTOCOLS = ("sctp", "tcp")
# Linux uses no path that a heartbeat has not proven, and sends that heartbeat within 1.5 initial RTOs: 4.5 s, or less
# if the RTO starts at one second, as RFC 9260 has it.
RTO_INITIAL_MS = 1000
# The answer to CUT_AFTER comes after more than 2 s. A delayed SACK waits for 200 ms: it still travels with a message.
PAUSE_S, MESSAGES, CUT_AFTER = 0.15, 30, 14
PATIENCE_S = 5
ATTEMPTS = 3
ALL_PATHS_PROVEN = r"\A.*STATE\n(.* 2 *\n){2}\Z"  # 2: SCTP_ACTIVE, see /usr/include/linux/sctp.h


def measure(lab):
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return {"runs": dict(zip(PROTOCOLS, pool.map(lambda protocol: cut_cable(lab, protocol), PROTOCOLS)))}


def cut_cable(lab, protocol):
    for _ in range(ATTEMPTS - 1):
        try:
            return try_to_cut_cable(lab, protocol)
        except Missed:
            pass
    return try_to_cut_cable(lab, protocol)


def try_to_cut_cable(lab, protocol):
    with lab.network(protocol, links=2) as network:
        for host in (network.client, network.server):
            host.set_sysctl("net.sctp.rto_initial", RTO_INITIAL_MS)
        server = network.server.start_server(lab.program("server", protocol))
        settings = {name: network.client.read_sysctl(name) for name in ("net.sctp.rto_min", "net.sctp.rto_initial")}
        with network.capture(lab.capture_path(protocol)):
            client = network.client.start(lab.program("client", protocol), "-v", "-i", PAUSE_S, "-c", MESSAGES,
                                          "-W", PATIENCE_S, network.server.addresses[0])
            client.await_line(f"Sending message {CUT_AFTER - 1} ")
            client.stop_in_pause(PAUSE_S)
            if protocol == "sctp":
                for process in (client, server):
                    process.await_table("sctp/remaddr", ALL_PATHS_PROVEN)
            _, cut_s = network.cut(1)
            client.send_signal(signal.SIGCONT)
            return dict(client.finish(), cut_s=cut_s, settings=settings)


def report(section, data):
    runs, answers = data["runs"], {}
    for protocol in PROTOCOLS:
        runs[protocol]["packets"] = section.read_capture(protocol)
        answers[protocol] = list_answers(runs[protocol])
    show_prose(section, runs["sctp"], answers["sctp"])
    rows = [(protocol, *row) for protocol in PROTOCOLS for row in answers[protocol]]
    settings = ", ".join(f"{name}={value}" for name, value in runs["sctp"]["settings"].items())
    section.figure("cable", drawing.plot(lambda _, axes: draw_timeline(axes, answers, runs), height=3.4),
                   f"When each message was answered; a message every {PAUSE_S * 1e3:.0f} ms. {settings}.",
                   ("protocol", "message", "sent_s", "answered_s", "link"), rows)
    section.text("<p>What the clients printed, with the paths at the beginning and at the end "
                 "(<code>client -v</code>):</p>")
    for protocol in PROTOCOLS:
        section.output(dict(runs[protocol], output=shorten(runs[protocol]["output"])))
        section.comment(protocol, find_lost(runs[protocol]))
    make_claims(section, runs, answers)


def list_answers(run):
    """Returns for each message its number, when it was sent and answered, and by which link the answer came.

    Times are in seconds since the cut.
    """
    return [(number, sent_s - run["cut_s"], *((answer.time_s - run["cut_s"], answer.link) if answer else (None, None)))
            for number, (sent_s, answer) in enumerate(wire.find_exchanges(run["packets"]), 1)]


def show_prose(section, run, answers):
    packets = run["packets"]
    lost, sent_s, answered_s, _ = next(row for row in answers if row[3] == "link2")
    again = next(packet for packet in packets if packet.again and packet.from_client and packet.link == "link2"
                 and packet.time_s > run["cut_s"])
    proven = next(packet for packet in packets if "HEARTBEAT" in packet.names and packet.from_client)
    section.prose(pause_ms=f"{PAUSE_S * 1e3:.0f}", cut_after_s=f"{-answers[0][1]:.0f}", proven=proven.number, lost=lost,
                  lost_packet=again.earlier.number, again_packet=again.number, wait_s=f"{answered_s - sent_s:.1f}",
                  rto_min_ms=run["settings"]["net.sctp.rto_min"], patience_s=PATIENCE_S)


def find_lost(run):
    """Returns {packet number: comment} for what was sent on link 1 and led to nothing."""
    sent = [packet for packet in run["packets"] if packet.link == "link1"]
    last = max(packet.number for packet in sent if not packet.from_client)
    return {packet.number: "This packet is lost: link 1 has been cut." for packet in sent
            if packet.number > last and (packet.data or packet.names not in (["ACK"], ["SACK"]))}


def shorten(output):
    """Leaves out most of the lines that say that a message was answered."""
    lines = output.splitlines()
    sent = [line for line in lines if line.startswith("Sending message")]
    kept = [line for line in lines if line not in sent[1:-1]]
    if len(sent) > 2:
        kept.insert(kept.index(sent[0]) + 1, f"... {len(sent) - 2} more ...")
    return "\n".join(kept) + "\n"


def draw_timeline(axes, answers, runs):
    axes.axvline(0, color=drawing.INK, linestyle="--")
    for protocol, marker, size in (("sctp", "o", 4), ("tcp", "x", 8)):
        rows = [row for row in answers[protocol] if row[2] is not None]
        axes.plot([row[2] for row in rows], [row[0] for row in rows], marker, markersize=size,
                  color=drawing.COLOURS[protocol], label=f"answered over {protocol.upper()}")
    gave_up_s = runs["tcp"]["ended_s"] - runs["tcp"]["cut_s"]
    axes.plot([gave_up_s], [len(answers["tcp"])], "X", markersize=11, color=drawing.COLOURS["tcp"])
    axes.annotate("TCP client\ngives up", (gave_up_s, len(answers["tcp"])), textcoords="offset points",
                  xytext=(0, 10), ha="center")
    axes.annotate("link 1 is cut", (0, len(answers["sctp"]) * 0.95), textcoords="offset points", xytext=(-5, 0),
                  ha="right")
    axes.set(xlabel="time since the cut (s)", ylabel="message")
    drawing.put_legend_below(axes)


def make_claims(section, runs, answers):
    sctp, tcp = answers["sctp"], answers["tcp"]
    before = {protocol: [row for row in answers[protocol] if row[2] is not None and row[2] < 0]
              for protocol in PROTOCOLS}
    section.claim("Before the cut, messages were answered over both protocols, on link 1.",
                  all(rows and {row[3] for row in rows} == {"link1"} for rows in before.values()))
    numbers = re.findall(r"^Sending message (\d+) of", runs["sctp"]["output"], re.M)
    section.claim(f"Over SCTP, each of the {MESSAGES} messages was answered exactly once, despite the cut.",
                  numbers == [str(number) for number in range(1, MESSAGES + 1)] and runs["sctp"]["status"] == 0)
    section.claim("After the cut, the answers over SCTP came on link 2.",
                  {row[3] for row in sctp[len(before["sctp"]):]} == {"link2"})
    section.claim("The client over SCTP saw two paths. At its end, the first path was no longer active.",
                  saw_path_fail(runs["sctp"]["output"]))
    section.claim("Over TCP, no answer came after the cut, and the client gave up.",
                  len(before["tcp"]) < len(tcp) <= MESSAGES
                  and not any(row[2] for row in tcp[len(before["tcp"]):]) and runs["tcp"]["status"] == 1
                  and "Connection timed out" in runs["tcp"]["errors"])
    section.claim("TCP sent the message that was not answered again, and only on link 1.",
                  any(packet.again for packet in runs["tcp"]["packets"])
                  and {packet.link for packet in runs["tcp"]["packets"]} == {"link1"})


def saw_path_fail(output):
    states = re.findall(r"^Path to (\S+): ([a-z ]+),", output, re.M)
    return len(states) == 4 and states[0] == (states[2][0], "active") and states[2][1] != "active" \
        and states[3] == (states[1][0], "active")
