"""The default run of server and client, packet by packet. What the report says of it is in lifecycle.html."""
from comparison import drawing

ORDER = 1
TITLE = "Lifecycle: five messages, from hello to goodbye"
ALONE = True  # the pictures show times
LONG = False
PROTOCOLS = ("sctp", "tcp")
DELAY_MS = 10
FACTS = ("packets", "bytes on the wire, with Ethernet", "round trips before the first data", "ms before the first data")


def measure(lab):
    return {"runs": {protocol: run_default(lab, protocol) for protocol in PROTOCOLS}}


def run_default(lab, protocol):
    with lab.network(protocol, delay_ms=DELAY_MS) as network:
        network.server.start_server(lab.program("server", protocol))
        with network.capture(lab.capture_path(protocol)):
            return network.client.start(lab.program("client", protocol), network.server.addresses[0]).finish()


def report(section, data):
    packets = {protocol: section.read_capture(protocol) for protocol in PROTOCOLS}
    section.prose(round_trip_ms=2 * DELAY_MS)
    section.ladders({protocol: f"The default run over {protocol.upper()}; round trip {2 * DELAY_MS} ms. Blue: opening, "
                     "green: data, orange: closing, and without colour: what only confirms." for protocol in PROTOCOLS})
    section.picture("lifecycle", drawing.ladder([(protocol.upper(), packets[protocol]) for protocol in PROTOCOLS]))
    section.table("lifecycle", ("", "SCTP", "TCP"),
                  list(zip(FACTS, summarize(packets["sctp"]), summarize(packets["tcp"]))))
    for protocol in PROTOCOLS:
        section.comment(protocol)
    make_claims(section, data, packets)


def summarize(packets):
    """Returns the FACTS of a conversation."""
    first_data = next(packet for packet in packets if packet.data)
    return (len(packets), sum(packet.size for packet in packets), count_round_trips(packets),
            f"{(first_data.time_s - packets[0].time_s) * 1e3:.0f}")


def count_round_trips(packets):
    """How often the server's turn came before the client's first data was sent."""
    first_data = next(index for index, packet in enumerate(packets) if packet.data)
    return sum(not packet.from_client for packet in packets[:first_data])


def make_claims(section, data, packets):
    for protocol in PROTOCOLS:
        run = data["runs"][protocol]
        section.claim(f"Over {protocol.upper()}, the client got an answer to each of its five messages.",
                      run["status"] == 0 and run["output"].count("Result: OK") == 5)
    names = [name for packet in packets["sctp"] for name in packet.names if packet.kind() == "setup"]
    section.claim("SCTP opened with INIT, INIT ACK, COOKIE ECHO and COOKIE ACK: two round trips.",
                  names == ["INIT", "INIT ACK", "COOKIE ECHO", "COOKIE ACK"]
                  and count_round_trips(packets["sctp"]) == 2)
    names = [packet.names for packet in packets["tcp"][:3]]
    section.claim("TCP opened with SYN, SYN + ACK and ACK: one round trip.",
                  names == [["SYN"], ["SYN", "ACK"], ["ACK"]] and count_round_trips(packets["tcp"]) == 1)
    section.claim("SCTP closed with SHUTDOWN, SHUTDOWN ACK and SHUTDOWN COMPLETE.",
                  [packet.names for packet in packets["sctp"][-3:]] ==
                  [["SHUTDOWN"], ["SHUTDOWN ACK"], ["SHUTDOWN COMPLETE"]])
    ends = [packet.from_client for packet in packets["tcp"] if "FIN" in packet.names]
    section.claim("TCP closed with a FIN from each side.", sorted(ends) == [False, True])
