"""Lock-step messages across a link that loses packets: how long each takes.

What the report says of it is in loss.html.
"""
import concurrent.futures
import statistics

from comparison import drawing, wire

ORDER = 3
TITLE = "Loss: what a lost packet costs"
ALONE = True  # times are measured
LONG = True
LOSSES_PERCENT = (0, 1, 2, 5, 10)
DELAY_MS = 10
PATIENCE_S = 300
RTO_MIN_MS = 200  # that of TCP on Linux
VARIANTS = {"tcp": "TCP", "sctp": "SCTP", "sctp-rto": f"SCTP, net.sctp.rto_min={RTO_MIN_MS}"}
COLOURS = {"tcp": drawing.COLOURS["tcp"], "sctp": drawing.COLOURS["sctp"], "sctp-rto": drawing.COLOURS["other"]}
STYLES = {"tcp": ("x", "-"), "sctp": ("o", "-"), "sctp-rto": ("s", "--")}
SHOWN_PERCENT = 5
MUCH_PERCENT, MANY_CLIENTS = 5, 10  # with so much loss, some clients share the work: it would take minutes


def measure(lab):
    messages = 100 if lab.quick else 500
    losses = (0, 10) if lab.quick else LOSSES_PERCENT
    cases = [(variant, loss) for loss in losses for variant in VARIANTS]
    with concurrent.futures.ThreadPoolExecutor(len(cases)) as pool:
        runs = list(pool.map(lambda case: send_with_loss(lab, *case, messages), cases))
    return {"messages": messages, "runs": runs}


def send_with_loss(lab, variant, loss_percent, messages):
    protocol = variant.partition("-")[0]
    label = f"{variant}-{loss_percent}"
    with lab.network(label, delay_ms=DELAY_MS, loss_percent=loss_percent) as network:
        if variant == "sctp-rto":
            for host in (network.client, network.server):
                host.set_sysctl("net.sctp.rto_min", RTO_MIN_MS)
        rto_min = network.client.read_sysctl("net.sctp.rto_min")
        network.server.start_server(lab.program("server", protocol))
        clients = MANY_CLIENTS if loss_percent >= MUCH_PERCENT else 1
        with network.capture(lab.capture_path(label)):
            started = [network.client.start(lab.program("client", protocol), "-q", "-c", messages // clients,
                                            "-W", PATIENCE_S, network.server.addresses[0]) for _ in range(clients)]
            results = [client.finish(limit_s=PATIENCE_S) for client in started]
        return {"variant": variant, "loss_percent": loss_percent, "rto_min": rto_min, "clients": results}


def report(section, data):
    times, waits = {}, {}
    for run in data["runs"]:
        key = run["variant"], run["loss_percent"]
        times[key], waits[key] = read_times(section, f"{run['variant']}-{run['loss_percent']}")
    losses = sorted({loss for _, loss in times})
    show_prose(section, data, times, losses[-1])
    section.table("loss", ("protocol", "loss each way (%)", "messages", "median (ms)", "mean (ms)", "longest (ms)",
                           "messages sent again by the client", "median wait before that (ms)"),
                  [(VARIANTS[variant], loss, *summarize(times[variant, loss], waits[variant, loss]))
                   for variant, loss in times])
    section.figure("loss-mean", drawing.plot(lambda _, axes: draw_means(axes, times, losses)),
                   f"Mean time per message by loss; round trip {2 * DELAY_MS} ms.",
                   ("protocol", "loss_percent", "mean_ms"),
                   [(variant, loss, statistics.mean(values)) for (variant, loss), values in times.items()])
    shown = SHOWN_PERCENT if SHOWN_PERCENT in losses else losses[-1]
    section.figure("loss-distribution", drawing.plot(lambda _, axes: draw_distribution(axes, times, shown)),
                   f"How many of the messages took longer than a given time, at {shown} % loss.",
                   ("protocol", "message", "time_ms"),
                   [(variant, number, f"{value:.3f}") for variant in VARIANTS
                    for number, value in enumerate(times[variant, shown], 1)])
    make_claims(section, data, times, waits)


def read_times(section, label):
    """Returns how long each message took, and how long the client waited before it first sent one again, in ms."""
    packets = section.read_capture(label)
    section.comment(label, chosen=lambda packet: packet.again)
    first, waited = {}, {}
    for packet in packets:
        for position, _ in packet.data if packet.from_client else ():
            message = (packet.ports, position)
            sent_s = first.setdefault(message, packet.time_s)
            if packet.again:
                waited.setdefault(message, (packet.time_s - sent_s) * 1e3)
    taken = [(answer.time_s - sent_s) * 1e3 for sent_s, answer in wire.find_exchanges(packets) if answer]
    return taken, list(waited.values())


def show_prose(section, data, times, most):
    def mean_ms(variant):
        return f"{statistics.mean(times[variant, most]):.0f}"
    section.prose(messages=data["messages"], round_trip_ms=2 * DELAY_MS, much_percent=MUCH_PERCENT,
                  clients=MANY_CLIENTS, most_percent=most, sctp_mean_ms=mean_ms("sctp"), tcp_mean_ms=mean_ms("tcp"),
                  short_mean_ms=mean_ms("sctp-rto"), rto_min_ms=rto_min_of(data, "sctp"), short_rto_ms=RTO_MIN_MS)


def summarize(times, waits):
    """Returns the cells of a row of the table."""
    return (len(times), *(f"{value:.0f}" for value in (statistics.median(times), statistics.mean(times), max(times))),
            len(waits), f"{statistics.median(waits):.0f}" if waits else "")


def rto_min_of(data, variant):
    return next(run["rto_min"] for run in data["runs"] if run["variant"] == variant)


def draw_means(axes, times, losses):
    for variant, name in VARIANTS.items():
        marker, line = STYLES[variant]
        axes.plot(losses, [statistics.mean(times[variant, loss]) for loss in losses], line, marker=marker,
                  color=COLOURS[variant], label=name)
    axes.set(xlabel="loss each way (%)", ylabel="mean time per message (ms)", yscale="log")
    axes.set_ylim(bottom=0.9 * 2 * DELAY_MS)  # nothing is faster than a round trip
    drawing.write_numbers_out(axes.yaxis)
    drawing.put_legend_below(axes)


def draw_distribution(axes, times, loss):
    for variant, name in VARIANTS.items():
        values = sorted(times[variant, loss])
        shares = [100 * (len(values) - index) / len(values) for index in range(len(values))]
        axes.step(values, shares, STYLES[variant][1], color=COLOURS[variant], label=name, where="post")
    axes.set(xlabel="time (ms)", ylabel="messages that took longer (%)", xscale="log", yscale="log")
    drawing.write_numbers_out(axes.xaxis, (20, 50, 100, 200, 500, 1000, 3000, 10000))
    drawing.write_numbers_out(axes.yaxis)
    drawing.put_legend_below(axes)


def make_claims(section, data, times, waits):
    most = max(loss for _, loss in times)
    section.claim(f"In each of the {len(data['runs'])} runs, all {data['messages']} messages were answered.", all(
        client["status"] == 0 for run in data["runs"] for client in run["clients"]) and all(
        len(values) == data["messages"] for values in times.values()))
    for variant, name in VARIANTS.items():
        usual_ms = statistics.median(times[variant, 0])
        section.claim(f"{name}: without loss, a message took {usual_ms:.0f} ms (median): one round trip.",
                      1.8 * DELAY_MS < usual_ms < RTO_MIN_MS)
    rto_min_ms = float(rto_min_of(data, "sctp"))
    for variant, name in VARIANTS.items():
        waited_ms = statistics.median(waits[variant, most] or [0])
        beginning = (f"{name}: at {most} % loss, the client waited {waited_ms:.0f} ms (median) before it sent a "
                     "message again")
        if variant == "sctp":
            section.claim(f"{beginning}. SCTP's RTO is never below {rto_min_ms:.0f} ms.", waited_ms > 0.9 * rto_min_ms)
        else:
            section.claim(f"{beginning}: less than {rto_min_ms:.0f} ms.", 0 < waited_ms < 0.9 * rto_min_ms)
