"""What a message costs in time and CPU, by its size."""
import os
import re
import resource
import statistics

from comparison import drawing

ORDER = 6
TITLE = "Cost: time and CPU per message"
ALONE = True  # times are measured
PROTOCOLS = ("sctp", "tcp")
SIZES = (1, 10, 100, 1000, 10000, 65536)


def measure(lab):
    run_s, rounds = (0.3, 1) if lab.quick else (1.0, 5)
    samples = []
    with lab.network("hosts") as network:
        servers = {protocol: network.server.start_server(lab.program("server", protocol)) for protocol in PROTOCOLS}
        counts = {}
        for number in range(rounds + 1):
            for size in SIZES:
                for protocol in PROTOCOLS:
                    count = counts.get((protocol, size), 20)
                    sample = exchange(lab, network, servers[protocol], protocol, size, count)
                    counts[protocol, size] = max(20, int(run_s * 1e3 / sample["round_trip_ms"]))
                    if number > 0:  # the first round says how many fit into the time
                        samples.append(sample)
    return {"samples": samples, "run_s": run_s}


def exchange(lab, network, server, protocol, size, count):
    before_s = cpu_seconds(server)
    client = network.client.start(lab.program("client", protocol), "-q", "-c", count, "-s", size, network.server.addresses[0])
    result = client.finish()
    used_s = cpu_seconds(server) - before_s
    match = re.search(r"^(\d+) messages sent, (\d+) answered.*\nrtt min/avg/max/mdev = \S+?/([\d.]+)/", result["output"], re.M)
    return {"protocol": protocol, "size": size, "sent": count, "answered": int(match[2]) if match else 0,
            "round_trip_ms": float(match[3]) if match else 1000.0, "cpu_ms": used_s * 1e3 / count, "errors": result["errors"]}


def cpu_seconds(server):
    """What the server, and all the clients that have ended, have used until now, in the kernel and in the program."""
    with open(f"/proc/{server.pid}/stat", encoding="ascii") as file:
        user, system = map(int, file.read().rpartition(")")[2].split()[11:13])
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (user + system) / os.sysconf("SC_CLK_TCK") + ended.ru_utime + ended.ru_stime


def report(section, data):
    medians = {}
    for protocol in PROTOCOLS:
        for size in SIZES:
            samples = [sample for sample in data["samples"] if (sample["protocol"], sample["size"]) == (protocol, size)]
            medians[protocol, size] = {what: statistics.median(sample[what] for sample in samples)
                                       for what in ("round_trip_ms", "cpu_ms")}

    def ratio(size, what="round_trip_ms"):
        return medians["sctp", size][what] / medians["tcp", size][what]

    small, large = SIZES[0], SIZES[-1]
    section.text(f"""<p>Client and server exchange messages as fast as they can over a link without delay, and the server answers
        each with two bytes: {SIZES[0]} byte to {SIZES[-1]} bytes, SCTP and TCP in turn, {data['run_s']:g} s each time.</p>
        <p>A message of {small} byte takes {ratio(small):.2f} times as long over SCTP as over TCP, one of {large} bytes {ratio(large):.2f} times,
        with {ratio(large, "cpu_ms"):.2f} times the CPU. Where SCTP is dearer, that is what its promises cost: each message is a
        chunk with a header and a bookkeeping of its own, and a long one is cut into chunks of one packet each, while network
        cards and kernels have learned to carry TCP in pieces of 64 KB. Compare the protocols with each other here, not with
        your machine: in User Mode Linux everything takes several times as long.</p>""")
    rows = [(protocol.upper(), size, f"{values['round_trip_ms'] * 1e3:.0f}", f"{values['cpu_ms'] * 1e3:.0f}")
            for (protocol, size), values in medians.items()]
    section.table("cost", ("protocol", "bytes", "round trip (µs)", "CPU, both sides (µs)"), rows)
    header = ("protocol", "bytes", "messages", "round_trip_us", "cpu_us")
    section.figure("cost-samples", drawing.plot(lambda _, axes: draw(axes, data["samples"], medians)),
                   "Round trip by size: median, and every run as a dot.", header,
                   [(sample["protocol"], sample["size"], sample["sent"], f"{sample['round_trip_ms'] * 1e3:.1f}",
                     f"{sample['cpu_ms'] * 1e3:.1f}") for sample in data["samples"]])
    section.claim("Every message was answered.",
                  all(sample["answered"] == sample["sent"] and not sample["errors"] for sample in data["samples"]))
    section.claim("Each time and each CPU time could be measured.",
                  all(sample["round_trip_ms"] > 0 and sample["cpu_ms"] > 0 for sample in data["samples"]))


def draw(axes, samples, medians):
    for protocol, marker in zip(PROTOCOLS, ("o", "x")):
        colour = drawing.COLOURS[protocol]
        axes.plot(SIZES, [medians[protocol, size]["round_trip_ms"] * 1e3 for size in SIZES], marker=marker, color=colour,
                  label=protocol.upper())
        own = [sample for sample in samples if sample["protocol"] == protocol]
        axes.plot([sample["size"] for sample in own], [sample["round_trip_ms"] * 1e3 for sample in own], ".", color=colour,
                  alpha=0.4)
    axes.set(xlabel="bytes per message", ylabel="round trip (µs)", xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):
        drawing.write_numbers_out(axis)
    drawing.put_legend_below(axes)
