"""Two hosts with two links; the one in use is cut."""
import concurrent.futures
import re
import time

from comparison import drawing, wire

ORDER = 4
TITLE = "Cable: the link in use is cut"
ALONE = False
PROTOCOLS = ("sctp", "tcp")
PAUSE_S = 0.1
PATIENCE_S = 10
# Linux uses no path that a heartbeat has not proven, and sends that within 1.5 initial RTOs: 4.5 s, or less if the RTO
# starts at one second, as RFC 9260 has it.
RTO_INITIAL_MS = 1000
CUT_AFTER_S = 3


def measure(lab):
    messages = 60 if lab.quick else 90
    with concurrent.futures.ThreadPoolExecutor() as pool:
        runs = dict(zip(PROTOCOLS, pool.map(lambda protocol: cut_cable(lab, protocol, messages), PROTOCOLS)))
    return {"runs": runs, "messages": messages}


def cut_cable(lab, protocol, messages):
    with lab.network(protocol, links=2) as network:
        for host in (network.client, network.server):
            host.set_sysctl("net.sctp.rto_initial", RTO_INITIAL_MS)
        network.server.start_server(lab.program("server", protocol))
        settings = {name: network.client.read_sysctl(name) for name in ("net.sctp.rto_min", "net.sctp.rto_initial")}
        with network.capture(lab.capture_path(protocol)):
            client = network.client.start(lab.program("client", protocol), "-v", "-i", PAUSE_S, "-c", messages,
                                          "-W", PATIENCE_S, network.server.addresses[0])
            client.await_line("Sending message 1 ")
            time.sleep(CUT_AFTER_S)
            _, cut_s = network.cut(1)
            return dict(client.finish(), cut_s=cut_s, settings=settings)


def list_answers(run, packets):
    """Returns for each message its number, when it was sent and answered, and by which link the answer came.

    Times are in seconds since the first message.
    """
    exchanges = wire.find_exchanges(packets)
    begin_s = exchanges[0][0]
    return [(number, sent_s - begin_s, *((answer.time_s - begin_s, answer.link) if answer else (None, None)))
            for number, (sent_s, answer) in enumerate(exchanges, 1)], run["cut_s"] - begin_s


def report(section, data):
    runs, answers = data["runs"], {}
    for protocol in PROTOCOLS:
        packets = section.read_capture(protocol)
        answers[protocol], cut_s = list_answers(runs[protocol], packets)
        runs[protocol].update(packets=packets, cut_after_s=cut_s)
    first_after = next(row for row in answers["sctp"] if row[2] is not None and row[2] > runs["sctp"]["cut_after_s"])
    again = next(packet for packet in runs["sctp"]["packets"] if packet.again and packet.link == "link2")
    settings = runs["sctp"]["settings"]
    proven = next(packet for packet in runs["sctp"]["packets"] if "HEARTBEAT" in packet.names and packet.link == "link2")
    section.text(f"""<p>Two hosts are joined by two links. The client sends a message every 100 ms. After
        {CUT_AFTER_S} s we cut the first link, in the middle, so that neither host's network card notices.</p>
        <p><b>SCTP</b> knows both addresses of both hosts; they were exchanged in INIT and INIT ACK, and a
        HEARTBEAT has proven that the second pair works (packet {proven.number}). When no SACK comes for one RTO
        (at least {settings['net.sctp.rto_min']} ms), it sends the lost message again on the other link:
        packet {again.number} of cable-sctp.pcapng. Answers continue
        {first_after[2] - runs['sctp']['cut_after_s']:.1f} s after the cut. The program did not notice.</p>
        <p><b>TCP</b> is bound to the one pair of addresses it began with. It sends the same bytes again and again on the dead link,
        until the client has waited {PATIENCE_S} s and gives up. That the second link is fine does not help.</p>""")
    rows = [(protocol, *row) for protocol in PROTOCOLS for row in answers[protocol]]
    section.figure("cable", drawing.plot(lambda _, axes: draw_timeline(axes, answers, runs), height=3.4),
                   f"When each message was answered. Link 1 was cut after {CUT_AFTER_S} s; a message every "
                   f"{PAUSE_S * 1e3:.0f} ms. " + ", ".join(f"{name}={value}" for name, value in settings.items()) + ".",
                   ("protocol", "message", "sent_s", "answered_s", "link"), rows)
    section.text("<p>What the client said, with the paths before and after (<code>client -v</code>):</p>")
    for protocol in PROTOCOLS:
        section.output(dict(runs[protocol], output=shorten(runs[protocol]["output"])))
    make_claims(section, data, answers)


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
    for protocol, marker in (("sctp", "o"), ("tcp", "x")):
        rows = [row for row in answers[protocol] if row[2] is not None]
        axes.plot([row[2] - runs[protocol]["cut_after_s"] for row in rows], [row[0] for row in rows], marker, markersize=4,
                  color=drawing.COLOURS[protocol], label=f"answered over {protocol.upper()}")
    gave_up_s = runs["tcp"]["ended_s"] - runs["tcp"]["cut_s"]
    axes.plot([gave_up_s], [len(answers["tcp"])], "X", markersize=11, color=drawing.COLOURS["tcp"])
    axes.annotate("TCP client\ngives up", (gave_up_s, len(answers["tcp"])), textcoords="offset points", xytext=(0, 10),
                  ha="center")
    axes.annotate("link 1 is cut", (0, len(answers["sctp"]) * 0.95), textcoords="offset points", xytext=(-5, 0), ha="right")
    axes.set(xlabel="time since the cut (s)", ylabel="message")
    drawing.put_legend_below(axes)


def make_claims(section, data, answers):
    runs = data["runs"]
    sctp, tcp = answers["sctp"], answers["tcp"]
    before = {protocol: [row for row in answers[protocol] if row[2] is not None and row[2] < runs[protocol]["cut_after_s"]]
              for protocol in PROTOCOLS}
    section.claim("Before the cut, messages were answered over both protocols, by link 1.",
                  all(rows and {row[3] for row in rows} == {"link1"} for rows in before.values()))
    numbers = re.findall(r"^Sending message (\d+) of", runs["sctp"]["output"], re.M)
    section.claim(f"Over SCTP, each of the {data['messages']} messages was answered despite the cut, none twice.",
                  numbers == [str(number) for number in range(1, data["messages"] + 1)] and runs["sctp"]["status"] == 0)
    section.claim("After the cut, SCTP's answers came by link 2.",
                  {row[3] for row in sctp[len(before["sctp"]) + 1:]} == {"link2"})
    section.claim("SCTP's client saw two paths, and the first was no longer active at the end.",
                  saw_path_fail(runs["sctp"]["output"]))
    section.claim("Over TCP, no answer came after the cut, and the client gave up.",
                  len(before["tcp"]) < len(tcp) <= data["messages"]
                  and not any(row[2] for row in tcp[len(before["tcp"]):]) and runs["tcp"]["status"] == 1
                  and "Connection timed out" in runs["tcp"]["errors"])
    section.claim("TCP sent the unanswered message again, and only on link 1.",
                  any(packet.again for packet in runs["tcp"]["packets"])
                  and {packet.link for packet in runs["tcp"]["packets"]} == {"link1"})


def saw_path_fail(output):
    states = re.findall(r"^Path to (\S+): ([a-z ]+),", output, re.M)
    return len(states) == 4 and states[0] == (states[2][0], "active") and states[2][1] != "active" \
        and states[3] == (states[1][0], "active")
