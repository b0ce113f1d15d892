"""Lock-step messages across a link that loses packets: how long each takes."""
import concurrent.futures
import math
import statistics

from comparison import drawing, wire

ORDER = 3
TITLE = "Loss: what a lost packet costs"
ALONE = True  # times are measured
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


def read_times(section, run):
    """Returns, from the capture, how long each message took, and how long the client waited before it first sent one again, in ms."""
    packets = section.read_capture(f"{run['variant']}-{run['loss_percent']}")
    first, waited = {}, {}
    for packet in packets:
        for position, _ in packet.data if packet.from_client else ():
            message = (*packet.ports, position)
            sent_s = first.setdefault(message, packet.time_s)
            if packet.again:
                waited.setdefault(message, (packet.time_s - sent_s) * 1e3)
    return [(answer.time_s - sent_s) * 1e3 for sent_s, answer in wire.find_exchanges(packets) if answer], list(waited.values())


def report(section, data):
    times, waits = {}, {}
    for run in data["runs"]:
        key = run["variant"], run["loss_percent"]
        times[key], waits[key] = read_times(section, run)
    losses = sorted({loss for _, loss in times})
    most = losses[-1]
    slow = statistics.mean(times["sctp", most]) / statistics.mean(times["tcp", most])
    section.text(f"""<p>The client sends {data['messages']} messages, one at a time (from
        {MUCH_PERCENT} % on, {MANY_CLIENTS} clients do so side by side, a {MANY_CLIENTS}th of them each), over a link with a round trip of {2 * DELAY_MS} ms
        that loses packets at random, each way.</p>
        <p><b>SCTP is slower here</b>, with Linux's own <code>rto_min</code>: at {most} % loss, {slow:.1f} times as slow as TCP. Both protocols notice
        a lost packet early when later packets arrive without it. Here nothing follows: the next message waits for the
        answer to this one. So both must wait for a timer, the RTO. SCTP's is never below {rto_min_of(data, 'sctp')} ms (RFC 9260 asks for that,
        and <code>net.sctp.rto_min</code> says it), TCP's never below 200 ms; and TCP sends a probe even earlier.</p>
        <p><b>What helps:</b> <code>sysctl net.sctp.rto_min={RTO_MIN_MS}</code> on both hosts, or the socket option SCTP_RTOINFO. It
        is safe on a network whose delays you know, and nearly makes up the difference. Sending more at once helps, too.</p>""")
    rows = [(VARIANTS[variant], loss, len(values), *(f"{value:.0f}" for value in (
        statistics.median(values), statistics.mean(values), max(values))), len(waits[variant, loss]))
        for (variant, loss), values in times.items()]
    section.table("loss", ("protocol", "loss each way (%)", "messages", "median (ms)", "mean (ms)", "longest (ms)",
                           "messages sent again by the client"), rows)
    section.figure("loss-mean", drawing.plot(lambda _, axes: draw_means(axes, times, losses)),
                   f"Mean time per message by loss; round trip {2 * DELAY_MS} ms.", ("protocol", "loss_percent", "mean_ms"),
                   [(variant, loss, statistics.mean(values)) for (variant, loss), values in times.items()])
    shown = SHOWN_PERCENT if SHOWN_PERCENT in losses else most
    section.figure("loss-distribution", drawing.plot(lambda _, axes: draw_distribution(axes, times, shown)),
                   f"The same, message by message, at {shown} % loss: how many took longer than a given time.",
                   ("protocol", "message", "time_ms"),
                   [(variant, number, f"{value:.3f}") for variant in VARIANTS
                    for number, value in enumerate(times[variant, shown], 1)])
    make_claims(section, data, times, waits)


def rto_min_of(data, variant):
    return next(run["rto_min"] for run in data["runs"] if run["variant"] == variant)


def draw_means(axes, times, losses):
    for variant, name in VARIANTS.items():
        marker, line = STYLES[variant]
        axes.plot(losses, [statistics.mean(times[variant, loss]) for loss in losses], line, marker=marker,
                  color=COLOURS[variant], label=name)
    axes.set(xlabel="loss each way (%)", ylabel="mean time per message (ms)", yscale="log")
    drawing.write_numbers_out(axes.yaxis)
    drawing.put_legend_below(axes)


def draw_distribution(axes, times, loss):
    for variant, name in VARIANTS.items():
        values = sorted(times[variant, loss])
        shares = [100 * (len(values) - index) / len(values) for index in range(len(values))]
        axes.step(values, shares, STYLES[variant][1], color=COLOURS[variant], label=name, where="post")
    axes.set(xlabel="time (ms)", ylabel="messages that took longer (%)", xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):
        drawing.write_numbers_out(axis)
    drawing.put_legend_below(axes)


def make_claims(section, data, times, waits):
    section.claim(f"In each of the {len(data['runs'])} runs, all {data['messages']} messages were answered.", all(
        client["status"] == 0 for run in data["runs"] for client in run["clients"]) and all(
        len(values) == data["messages"] for values in times.values()))
    most = max(loss for _, loss in times)
    for variant, name in VARIANTS.items():
        section.claim(f"{name}: with {most} % loss, something had to be sent again.", waits[variant, most])
        section.claim(f"{name}: without loss, half of the messages took a round trip, and waited for no timer.",
                      1.8 * DELAY_MS < statistics.median(times[variant, 0]) < RTO_MIN_MS)
    # Bounds that chance hardly moves: the first message's RTO is 3 s, and a timer that runs on because only the SACK of
    # an answered message was lost ends early for the next one.
    usual_ms = statistics.median(waits["sctp", most] or [0])
    soonest_ms = {variant: min(waits[variant, most], default=math.inf) for variant in VARIANTS}
    rto_min_ms = float(rto_min_of(data, "sctp"))
    section.claim(f"SCTP's usual wait before it sent a message again was its least RTO or more: {usual_ms:.0f} ms.",
                  usual_ms > 0.9 * rto_min_ms)
    section.claim(f"TCP waited less: {soonest_ms['tcp']:.0f} ms or more.", soonest_ms["tcp"] < 0.9 * rto_min_ms)
    section.claim(f"And so did SCTP with net.sctp.rto_min={RTO_MIN_MS}: {soonest_ms['sctp-rto']:.0f} ms or more.",
                  soonest_ms["sctp-rto"] < 0.9 * rto_min_ms)
