"""The server goes away in four ways: what the client learns, when, and from which packet.

What the report says of it is in peer.html.
"""
import concurrent.futures
import signal
import time

ORDER = 5
TITLE = "Peer: the server goes away"
ALONE = False
LONG = False
PROTOCOLS = ("sctp", "tcp")
PAUSE_S = 1
PATIENCE_S = 5
MESSAGE_UNREAD = {"sctp": ("sctp/assocs", r"(?m)^ *\w+ +\w+ +(\d+ +){6}[1-9]"),  # RX_QUEUE
                  "tcp": ("tcp", r" 01 \w{8}:(?!0{8})")}  # rx_queue of what is established, in hexadecimal digits
ENDINGS = {
    "stopped": "the server was stopped with Ctrl-C",
    "killed": "the server was killed with -9 while idle",
    "killed-busy": "the server was killed with -9 while a message was unread",
    "vanished": "the server's host vanished from the network",
}
NEWS = {("sctp", "stopped"): "SHUTDOWN", ("tcp", "stopped"): "FIN", ("sctp", "killed"): "SHUTDOWN",
        ("tcp", "killed"): "FIN", ("sctp", "killed-busy"): "ABORT", ("tcp", "killed-busy"): "RST"}


def measure(lab):
    cases = [(protocol, ending) for ending in ENDINGS for protocol in PROTOCOLS]
    with concurrent.futures.ThreadPoolExecutor(len(cases)) as pool:
        return {"runs": list(pool.map(lambda case: lose_server(lab, *case), cases))}


def lose_server(lab, protocol, ending):
    with lab.network(f"{protocol}-{ending}") as network:
        server = network.server.start_server(lab.program("server", protocol))
        with network.capture(lab.capture_path(f"{protocol}-{ending}")):
            client = network.client.start(lab.program("client", protocol), "-i", PAUSE_S, "-c", 100, "-W", PATIENCE_S,
                                          network.server.addresses[0])
            client.await_line("Sending message 1 ")
            client.stop_in_pause(PAUSE_S)
            if ending == "killed-busy":
                server.stop()
                client.send_signal(signal.SIGCONT)
                server.await_table(*MESSAGE_UNREAD[protocol])
            gone_s = time.time()
            if ending == "vanished":
                network.cut(1)
            else:
                server.send_signal(signal.SIGINT if ending == "stopped" else signal.SIGKILL)
            client.send_signal(signal.SIGCONT)
            return dict(client.finish(), protocol=protocol, ending=ending, gone_s=gone_s)


def find_news(packets, gone_s):
    """Returns the first packet that told the client that the server was gone, or None."""
    return next((packet for packet in packets if not packet.from_client and packet.kind() == "teardown"
                 and packet.time_s >= gone_s), None)


def report(section, data):
    section.prose(patience_s=PATIENCE_S)
    rows, news = [], {}
    for run in data["runs"]:
        case = run["protocol"], run["ending"]
        packets = section.read_capture("-".join(case))
        packet = news[case] = find_news(packets, run["gone_s"])
        section.comment("-".join(case), explain(packets, packet, run))
        rows.append((ENDINGS[run["ending"]], run["protocol"].upper(),
                     f"packet {packet.number}: {packet.describe()}" if packet else "none",
                     f"{(packet.time_s - run['gone_s']) * 1e3:.0f}" if packet else "",
                     run["errors"].strip(), f"{run['ended_s'] - run['gone_s']:.1f}"))
    section.table("peer", ("what happened", "over", "which packet told the client", "after (ms)",
                           "what the client said", "the client ended after (s)"), rows)
    section.ladders({f"{protocol}-killed-busy": f"{protocol.upper()}: {ENDINGS['killed-busy']}."
                     for protocol in PROTOCOLS})
    make_claims(section, data["runs"], news)


def explain(packets, news, run):
    """Returns {packet number: comment}."""
    if news:
        return {news.number: f"The reason: {ENDINGS[run['ending']]}."}
    return {packet.number: "No packet comes back, since the server's host has vanished." for packet in packets
            if packet.time_s > run["gone_s"]}


def make_claims(section, runs, news):
    for run in runs:
        protocol, ending = run["protocol"], run["ending"]
        packet, waited_s = news[protocol, ending], run["ended_s"] - run["gone_s"]
        failed = run["status"] == 1 and run["errors"]
        beginning = f"{protocol.upper()}: when {ENDINGS[ending]},"
        if ending == "vanished":
            section.claim(f"{beginning} no packet told the client so, and the client gave up {PATIENCE_S} s after its "
                          "next message.", failed and packet is None and waited_s >= PATIENCE_S
                          and "Connection timed out" in run["errors"])
        else:
            name = NEWS[protocol, ending]
            section.claim(f"{beginning} a packet with {name} told the client so, and the client ended with an error "
                          f"before {PATIENCE_S} s were over.", failed and packet and name in packet.names
                          and "timed out" not in run["errors"])
