"""What a message costs in time and CPU, by its size. What the report says of it is in cost.html."""
import os
import re
import resource
import statistics

from comparison import drawing

ORDER = 6
TITLE = "Cost: time and CPU per message"
ALONE = True  # times are measured
LONG = True
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
                    counts[protocol, size] = max(20, int(run_s * 1e6 / sample["round_trip_us"]))
                    if number > 0:  # the first round says how many fit into the time
                        samples.append(sample)
    return {"samples": samples, "run_s": run_s}


def exchange(lab, network, server, protocol, size, count):
    before_s = cpu_seconds(server)
    client = network.client.start(lab.program("client", protocol), "-q", "-c", count, "-s", size,
                                  network.server.addresses[0])
    result = client.finish()
    used_s = cpu_seconds(server) - before_s
    match = re.search(r"^\d+ messages sent, (\d+) answered.*\nrtt min/avg/max/mdev = \S+?/([\d.]+)/",
                      result["output"], re.M)
    return {"protocol": protocol, "size": size, "sent": count, "answered": int(match[1]) if match else 0,
            "round_trip_us": float(match[2]) * 1e3 if match else 1e6, "cpu_us": used_s * 1e6 / count,
            "errors": result["errors"]}


def cpu_seconds(server):
    """What the server, and all the clients that have ended, have used until now, in the kernel and in the program."""
    with open(f"/proc/{server.pid}/stat", encoding="ascii") as file:
        user, system = map(int, file.read().rpartition(")")[2].split()[11:13])
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (user + system) / os.sysconf("SC_CLK_TCK") + ended.ru_utime + ended.ru_stime


def report(section, data):
    medians = find_medians(data["samples"])
    small, large = SIZES[0], SIZES[-1]
    section.prose(smallest=small, largest=large, run_s=f"{data['run_s']:g}",
                  **{f"{protocol}_{name}": f"{medians[protocol, size]['round_trip_us']:.0f}" for protocol in PROTOCOLS
                     for name, size in (("small", small), ("large", large))},
                  cpu_ratio=f"{medians['sctp', large]['cpu_us'] / medians['tcp', large]['cpu_us']:.1f}")
    section.table("cost", ("protocol", "bytes", "round trip (µs)", "CPU, both sides (µs)"),
                  [(protocol.upper(), size, f"{values['round_trip_us']:.0f}", f"{values['cpu_us']:.0f}")
                   for (protocol, size), values in medians.items()])
    section.figure("cost-samples", drawing.plot(lambda _, axes: draw(axes, data["samples"], medians)),
                   "Round trip by size: a line through the medians, and a dot for every run.",
                   ("protocol", "bytes", "messages", "round_trip_us", "cpu_us"),
                   [(sample["protocol"], sample["size"], sample["sent"], f"{sample['round_trip_us']:.1f}",
                     f"{sample['cpu_us']:.1f}") for sample in data["samples"]])
    section.claim("Every message was answered.",
                  all(sample["answered"] == sample["sent"] and not sample["errors"] for sample in data["samples"]))
    section.claim("Each time and each CPU time could be measured.",
                  all(sample["round_trip_us"] > 0 and sample["cpu_us"] > 0 for sample in data["samples"]))


def find_medians(samples):
    """Returns {(protocol, size): {what was measured: median}}."""
    own = {}
    for sample in samples:
        own.setdefault((sample["protocol"], sample["size"]), []).append(sample)
    return {(protocol, size): {what: statistics.median(sample[what] for sample in own[protocol, size])
                               for what in ("round_trip_us", "cpu_us")} for size in SIZES for protocol in PROTOCOLS}


def draw(axes, samples, medians):
    for protocol, marker in zip(PROTOCOLS, ("o", "x")):
        colour = drawing.COLOURS[protocol]
        axes.plot(SIZES, [medians[protocol, size]["round_trip_us"] for size in SIZES], marker=marker, color=colour,
                  label=protocol.upper())
        own = [sample for sample in samples if sample["protocol"] == protocol]
        axes.plot([sample["size"] for sample in own], [sample["round_trip_us"] for sample in own], ".", color=colour,
                  alpha=0.4)
    axes.set(xlabel="bytes per message", ylabel="round trip (µs)", xscale="log", yscale="log")
    drawing.write_numbers_out(axes.xaxis, SIZES)
    drawing.write_numbers_out(axes.yaxis)
    drawing.put_legend_below(axes)
