"""The default run of server and client, packet by packet."""
from comparison import drawing

ORDER = 1
TITLE = "Lifecycle: five messages, from hello to goodbye"
ALONE = False
DELAY_MS = 10


def measure(lab):
    runs = {}
    for protocol in ("sctp", "tcp"):
        with lab.network(protocol, delay_ms=DELAY_MS) as network:
            server = network.server.start_server(lab.program("server", protocol))
            with network.capture(lab.capture_path(protocol)):
                client = network.client.start(lab.program("client", protocol), network.server.addresses[0])
                runs[protocol] = client.finish()
            server.end()
    return {"runs": runs, "round_trip_ms": 2 * DELAY_MS}


def count_round_trips(packets):
    """How often the server's turn came before the client's first data was sent."""
    first_data = next(index for index, packet in enumerate(packets) if packet.data)
    return sum(not packet.from_client for packet in packets[:first_data])


def summarize(packets):
    """Returns packets, bytes, round trips before the first data, ms before the first data."""
    first_data = next(packet for packet in packets if packet.data)
    return (len(packets), sum(packet.size for packet in packets), count_round_trips(packets),
            round((first_data.time_s - packets[0].time_s) * 1e3, 1))


def report(section, data):
    packets = {protocol: section.read_capture(protocol) for protocol in ("sctp", "tcp")}
    section.text("""<p>The server answers OK to each of the client's five messages of 64 bytes. This is all that went over the
        wire: one arrow is one packet, with its number in the capture, what is in it, and the time since the first one.
        A trip from one host to the other takes 10 ms here.</p>
        <p><b>Opening.</b> TCP needs one round trip (SYN, SYN+ACK) before data may flow. SCTP's <code>connect</code>
        waits for two (its packets allow data with COOKIE ECHO, after one): the server answers the INIT with a signed <i>cookie</i> and forgets all about the client; only a client that sends the cookie back
        (COOKIE ECHO) gets memory on the server. So a flood of INITs with forged addresses costs the server nothing,
        where a flood of SYNs fills TCP's queue.</p>
        <p><b>Talking.</b> Each message is one DATA chunk. Chunks share packets: the server's answer travels with the SACK
        that confirms the question.</p>
        <p><b>Closing.</b> SCTP closes for both sides at once with three packets: SHUTDOWN, SHUTDOWN ACK, SHUTDOWN COMPLETE.
        TCP closes each direction by itself, with a FIN each.</p>""")
    section.ladders({protocol: f"The default run over {protocol.upper()}; round trip {data['round_trip_ms']} ms. Blue: "
                     "opening and cookies, green: data, orange: closing." for protocol in packets})
    section.picture("lifecycle", drawing.ladder([(protocol.upper(), packets[protocol]) for protocol in packets]))
    summaries = {protocol: summarize(packets[protocol]) for protocol in packets}
    section.table("lifecycle", ("", "SCTP", "TCP"),
                  list(zip(("packets", "bytes on the wire, with Ethernet", "round trips before the first data",
                            "ms before the first data"), summaries["sctp"], summaries["tcp"])))
    make_claims(section, data, packets)


def make_claims(section, data, packets):
    for protocol, name in (("sctp", "SCTP"), ("tcp", "TCP")):
        run = data["runs"][protocol]
        section.claim(f"Over {name}, the client got an answer to each of its five messages.",
                      run["status"] == 0 and run["output"].count("Result: OK") == 5)
    names = [name for packet in packets["sctp"] for name in packet.names if packet.kind() == "setup"]
    section.claim("SCTP opened with INIT, INIT ACK, COOKIE ECHO and COOKIE ACK, two round trips.",
                  names == ["INIT", "INIT ACK", "COOKIE ECHO", "COOKIE ACK"] and count_round_trips(packets["sctp"]) == 2)
    names = [packet.names for packet in packets["tcp"][:3]]
    section.claim("TCP opened with SYN, SYN+ACK and ACK, one round trip.",
                  names == [["SYN"], ["SYN", "ACK"], ["ACK"]] and count_round_trips(packets["tcp"]) == 1)
    section.claim("SCTP closed with SHUTDOWN, SHUTDOWN ACK and SHUTDOWN COMPLETE.",
                  [packet.names for packet in packets["sctp"][-3:]] ==
                  [["SHUTDOWN"], ["SHUTDOWN ACK"], ["SHUTDOWN COMPLETE"]])
    ends = [packet.from_client for packet in packets["tcp"] if "FIN" in packet.names]
    section.claim("TCP closed with a FIN from each side.", sorted(ends) == [False, True])
