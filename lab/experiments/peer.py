"""The server goes away in four ways: what the client learns, when, and from which packet."""
import concurrent.futures
import signal
import time

ORDER = 5
TITLE = "Peer: the server goes away"
ALONE = False
PROTOCOLS = ("sctp", "tcp")
PAUSE_S = 1
PATIENCE_S = 5
ENDINGS = {
    "stopped": "stopped with Ctrl-C",
    "killed": "killed with -9, idle",
    "killed-busy": "killed with -9, a message unread",
    "vanished": "its host drops off the net",
}


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
            client.await_line("Sending message 2 ")
            if ending == "vanished":
                gone_s, _ = network.cut(1)
            else:
                gone_s = end_server(server, ending)
            return dict(client.finish(), protocol=protocol, ending=ending, gone_s=gone_s)


def end_server(server, ending):
    """Returns when the server was made to end."""
    if ending == "killed-busy":  # while it is stopped, the next message comes in
        server.send_signal(signal.SIGSTOP)
        time.sleep(2 * PAUSE_S)
    gone_s = time.time()
    server.send_signal(signal.SIGINT if ending == "stopped" else signal.SIGKILL)
    return gone_s


def find_news(packets, gone_s):
    """Returns the first packet that told the client that the server was gone, or None."""
    return next((packet for packet in packets if not packet.from_client and packet.kind() == "teardown"
                 and packet.time_s >= gone_s), None)


def report(section, data):
    section.text(f"""<p>The client sends a message every {PAUSE_S * 1e3:.0f} ms, and waits up to {PATIENCE_S} s for the answer. After the
        second answer the server goes away. How the operating system ends the connection depends on one thing only: whether
        something was left that the server had not read. If not, even a kill -9 says a polite goodbye (SHUTDOWN, FIN). If there
        was, data is lost, and the client is told so (ABORT, RST). If the host is gone, nobody is left to say anything.</p>
        <p>SCTP and TCP differ in what comes after SHUTDOWN and FIN. SHUTDOWN ends both directions. FIN ends one: the client may go on sending, and learns only from the missing answer that nobody reads.</p>""")
    rows, news = [], {}
    for run in data["runs"]:
        packet = find_news(section.read_capture(f"{run['protocol']}-{run['ending']}"), run["gone_s"])
        news[run["protocol"], run["ending"]] = packet
        rows.append((ENDINGS[run["ending"]], run["protocol"].upper(),
                     f"packet {packet.number}: {packet.describe()}" if packet else "nothing",
                     f"{(packet.time_s - run['gone_s']) * 1e3:.0f}" if packet else "",
                     run["errors"].strip(), f"{run['ended_s'] - run['gone_s']:.2f}"))
    section.table("peer", ("the server is", "over", "which packet told", "ms after", "what the client said",
                           "and after how many s"), rows)
    section.ladders({f"{protocol}-killed-busy": f"{protocol.upper()}: the server is killed with a message unread."
                     for protocol in PROTOCOLS})
    make_claims(section, data["runs"], news)


def make_claims(section, runs, news):
    expected = {("sctp", "stopped"): "SHUTDOWN", ("tcp", "stopped"): "FIN", ("sctp", "killed"): "SHUTDOWN",
                ("tcp", "killed"): "FIN", ("sctp", "killed-busy"): "ABORT", ("tcp", "killed-busy"): "RST"}
    for (protocol, ending), name in expected.items():
        packet = news[protocol, ending]
        section.claim(f"{protocol.upper()}: server {ENDINGS[ending]}: {name} told the client.", packet and name in packet.names)
    for run in runs:
        case = f"{run['protocol'].upper()}: server {ENDINGS[run['ending']]}"
        waited_s = run["ended_s"] - run["gone_s"]
        section.claim(f"{case}: the client ended with an error.", run["status"] == 1 and run["errors"])
        if run["ending"] == "vanished":
            section.claim(f"{case}: no packet told the client; its own patience of {PATIENCE_S} s did.",
                          news[run["protocol"], "vanished"] is None and waited_s >= PATIENCE_S
                          and "Connection timed out" in run["errors"])
        else:
            section.claim(f"{case}: the client knew before its patience of {PATIENCE_S} s was over.",
                          "timed out" not in run["errors"])
