#!/usr/bin/python3
"""usage: bench.py [-hs] [-o FILE] [-S SECTION]... [BUILD]

How fast, how many: server and client beside peers measured in the same run, in turn, several times.

  -o FILE     write all figures as CSV, too
  -s          a short run, to see that it works
  -S SECTION  only this one of:
                rtt       round trip by message size, beside qperf and plain C; TCP, and SCTP in lab/run
                rate      connections per second, beside plain C, socat and ncat; TCP
                many      connections at once: memory, threads, cost as their number grows; TCP, usrsctp
                userland  SCTP over usrsctp, beside a program on libusrsctp's own calls, and kernel TCP
  BUILD       the build directory, with the target bench-programs built (default: build)

Nothing else should load the machine. Each figure is the median of the rounds, with the lowest and the
highest. A ratio is ours by the peer's, for each round by itself, and of these the median.
"""
import collections
import contextlib
import csv
import getopt
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
OURS = "ours"
PATIENCE_S = 60
LAB_LIMIT_S = 300
CRASHES_MAX, CRASH_LIMIT_S = 10, 15
SMALL_MESSAGE = 64  # qperf's answers are as long as its messages: above this, they tell

# A figure: what was measured, of whom. It has as many samples as there were rounds.
Figure = collections.namedtuple("Figure", "section stack metric unit at contender")
Plan = collections.namedtuple("Plan", """rounds rtt_rounds lab_rounds many_rounds sizes exchanges
                              lab_exchanges connections slow_connections steps usrsctp_steps""")
FULL = Plan(rounds=5, rtt_rounds=12, lab_rounds=6, many_rounds=3,
            sizes=(1, 64, 1024, 16384, 65536), exchanges=10000, lab_exchanges=3000,
            connections=4000, slow_connections=300,
            # libusrsctp goes through the list of all timers a hundred times per second.
            steps=(10, 100, 1000, 10000, 19000), usrsctp_steps=(10, 100, 1000, 4000))
SHORT = Plan(rounds=1, rtt_rounds=1, lab_rounds=1, many_rounds=1,
             sizes=(1, 65536), exchanges=500, lab_exchanges=500,
             connections=100, slow_connections=20, steps=(10, 50), usrsctp_steps=(10, 20))


class Bench:
    """The programs, and the samples that they gave."""

    def __init__(self, build, plan, directory):
        self.build, self.plan, self.directory = build, plan, directory
        self.samples = collections.defaultdict(list)
        self.absent = []  # peers that are not installed

    def program(self, name):
        return self.build / {"plain": "tests/bench/plain", "load": "tests/bench/load",
                             "direct": "tests/bench/direct",
                             "withusrsctp": "userland/withusrsctp"}.get(name, name)

    def find_peer(self, name):
        path = shutil.which(name)
        if path is None and name not in self.absent:
            self.absent.append(name)
        return path

    def add(self, value, *figure):
        self.samples[Figure(*figure)].append(value)

    def run_section(self, section):
        SECTIONS[section](self)

    @contextlib.contextmanager
    def serving(self, command, env=(), port=None):
        """Starts a server, and waits until it says "Listening on port", or listens on the port."""
        with tempfile.TemporaryFile(dir=self.directory) as output:
            process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL,
                                       stdout=output, stderr=subprocess.DEVNULL,
                                       env={**os.environ, **dict(env)}, start_new_session=True)
            try:
                deadline = time.monotonic() + PATIENCE_S
                while not (found := is_listening(port) if port else read_port(output)):
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise SystemExit(f"bench.py: {command[0]}: did not start")
                    time.sleep(0.01)
                yield process, port or found
            finally:
                with contextlib.suppress(ProcessLookupError):  # socat and ncat fork
                    os.killpg(process.pid, 9)
                process.wait()


def read_port(output):
    match = re.search(rb"Listening on port (\d+)\n", os.pread(output.fileno(), 4096, 0))
    return int(match[1]) if match else None


def is_listening(port):
    """Asks the kernel: a connection would be the server's first client. (proc(5))"""
    text = "".join(pathlib.Path(f"/proc/net/{name}").read_text() for name in ("tcp", "tcp6")
                   if os.path.exists(f"/proc/net/{name}"))
    return re.search(rf":{port:04X} [0-9A-F]+:0000 0A ", text) is not None


def find_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def run(*command, env=(), limit_s=PATIENCE_S):
    words = [str(word) for word in command]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=limit_s, env={**os.environ, **dict(env)})
    if done.returncode != 0:
        raise SystemExit(f"bench.py: {' '.join(words)}: {done.stderr or done.returncode}")
    return done.stdout


def on_one_processor(*command):
    return ["taskset", "-c", "0", *command]


# Round trip

def measure_client_us(bench, stack, port, size, count, env=(), place=on_one_processor):
    """A round trip of `client -q`: its statistics' total time, as it shows the average in whole us."""
    output = run(*place(bench.program(f"client-{stack}"), "-q", "-c", count, "-s", size,
                        "127.0.0.1", port), env=env)
    return float(re.search(r"time (\d+)ms", output)[1]) / count * 1e3


def measure_qperf_us(bench, stack, size):
    port = find_port()
    with bench.serving(on_one_processor("qperf", "-lp", port), port=port):
        output = run(*on_one_processor("qperf", "127.0.0.1", "-lp", port, "-m", size, "-t", 1,
                                       "-uu", "-e", 5, f"{stack}_lat"))
    return 2 * float(re.search(r"latency += +([\d.,]+) ns", output)[1].replace(",", "")) / 1e3


def measure_rtt(bench, stack, count, rounds):
    """Both ends share a processor: waking another one up costs more than all that is measured.

    The server alone is measured with the plain client, since ours reads the clock for each message.
    """
    server = on_one_processor(bench.program(f"server-{stack}"), 0)
    plain = [*on_one_processor(bench.program("plain")), stack]
    for _ in range(rounds):
        for size in bench.plan.sizes:
            both = "rtt", stack, "client and server", "us", size
            alone = "rtt", stack, "server, plain client", "us", size
            with bench.serving(server) as (_, port):
                bench.add(measure_client_us(bench, stack, port, size, count), *both, OURS)
                bench.add(float(run(*plain, port, size, count)), *alone, OURS)
            with bench.serving([*plain, 0, size]) as (_, port):
                plain_us = float(run(*plain, port, size, count))
            bench.add(plain_us, *both, "plain C")
            bench.add(plain_us, *alone, "plain C")
            if size <= SMALL_MESSAGE and bench.find_peer("qperf"):
                bench.add(measure_qperf_us(bench, stack, size), *both, "qperf")


def measure_rtt_in_lab(bench):
    measure_rtt(bench, "sctp", bench.plan.lab_exchanges, bench.plan.lab_rounds)


def measure_rtt_everywhere(bench):
    measure_rtt(bench, "tcp", bench.plan.exchanges, bench.plan.rtt_rounds)
    short = ["-s"] if bench.plan is SHORT else []
    output = run(*on_one_processor(ROOT / "lab/run", sys.executable, HERE / "bench.py", "--samples",
                                   *short, "-S", "rtt-sctp", bench.build), limit_s=LAB_LIMIT_S)
    for figure, samples in json.loads(output):
        bench.samples[Figure(*figure)] += samples


# Connections per second

def measure_rate(bench):
    """The same load for all. To answer a line, ncat and socat start a shell; PIPE only echoes."""
    listen = "TCP-LISTEN:PORT,bind=127.0.0.1,reuseaddr,fork,backlog=128"
    answer = "while read line; do printf OK; done"
    peers = {
        "ncat -c": ["ncat", "-lk", "127.0.0.1", "PORT", "-c", answer],
        "socat SYSTEM": ["socat", listen, f"SYSTEM:{answer}"],
        "socat PIPE": ["socat", listen, "PIPE"],
    }
    for _ in range(bench.plan.rounds):
        for parallel in (1, 8):
            for contender, command in ((OURS, [bench.program("server-tcp"), 0]),
                                       ("plain C", [bench.program("plain"), "tcp", 0, 2])):
                with bench.serving(command) as (_, port):
                    add_rate(bench, port, parallel, contender, bench.plan.connections)
            for name, command in peers.items():
                if bench.find_peer(command[0]):
                    port = find_port()
                    words = [word.replace("PORT", str(port)) for word in command]
                    with bench.serving(words, port=port):
                        add_rate(bench, port, parallel, name, bench.plan.slow_connections)


def add_rate(bench, port, parallel, contender, count):
    rate = float(run(bench.program("load"), "tcp", port, "rate", count, parallel))
    bench.add(rate, "rate", "tcp", "connections", "1/s", parallel, contender)


# Connections at once

def measure_many(bench):
    tcp_servers = {OURS: [bench.program("server-tcp"), 0],
                   "plain C": [bench.program("plain"), "tcp", 0, 2]}
    for _ in range(bench.plan.many_rounds):
        for contender, command in tcp_servers.items():
            with bench.serving(on_one_processor(*command)) as (server, port):
                load = on_one_processor(bench.program("load"), "tcp", port, "hold")
                hold_many(bench, "tcp", contender, bench.plan.steps, server, load)
        if bench.program("direct").exists():
            env = usrsctp_environment()
            with bench.serving([bench.program("server-sctp"), 0], env) as (server, port):
                load = [bench.program("withusrsctp"), bench.program("load"), "sctp", port, "hold"]
                hold_many(bench, "usrsctp", OURS, bench.plan.usrsctp_steps, server, load, env)


def hold_many(bench, stack, contender, steps, server, load, env=()):
    """More and more connections to one server; what a step costs is counted from the first one."""
    with Holder(load, env) as holder:
        holder.open(1)
        first = read_status(server.pid)
        for count in steps:
            holder.open(count)
            status = read_status(server.pid)
            figures = {
                ("memory each", "KB"): (status["VmRSS"] - first["VmRSS"]) * 1.024 / (count - 1),
                ("threads", ""): status["Threads"],
                **dict(zip((("round trip on one", "us"), ("round trip on each in turn", "us"),
                            ("one connection more", "us")), holder.measure_us()))}
            for (metric, unit), value in figures.items():
                bench.add(value, "many", stack, metric, unit, count, contender)


class Holder:
    """load.c, holding connections."""

    def __init__(self, command, env):
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, bufsize=1,
                                        env={**os.environ, **dict(env)})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def ask(self, number):
        self.process.stdin.write(f"{number}\n")
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("bench.py: load: ended early")
        return line.split()

    def open(self, count):
        self.ask(count)

    def measure_us(self):
        return [float(word) for word in self.ask(0)]


def read_status(pid):
    """VmRSS in KiB, Threads and others. (proc(5))"""
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return {name: int(fields[name].split()[0]) for name in ("VmRSS", "Threads")}


# SCTP in user space

def usrsctp_environment():
    with socket.socket(type=socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return {"SCTP_STACK": "usrsctp", "SCTP_UDP_PORT": str(free.getsockname()[1])}


def measure_userland(bench):
    if not bench.program("direct").exists():
        return
    for _ in range(bench.plan.rounds):
        for size in (64, 16384):
            measure_userland_rtt(bench, size, "round trip", on_one_processor)
        measure_userland_rtt(bench, 64, "round trip on any processor", lambda *command: command)
        measure_userland_rates(bench)


def measure_userland_rtt(bench, size, metric, place):
    where = "userland", "usrsctp", metric, "us", size
    count = bench.plan.exchanges
    env, direct = usrsctp_environment(), place(bench.program("direct"))
    with bench.serving(place(bench.program("server-sctp"), 0), env) as (_, port):
        bench.add(measure_client_us(bench, "sctp", port, size, count, env, place), *where, OURS)
    udp_port, client_udp_port = (usrsctp_environment()["SCTP_UDP_PORT"] for _ in range(2))
    with bench.serving([*direct, udp_port, size]):
        bench.add(float(run(*direct, client_udp_port, size, udp_port, "ask", count)),
                  *where, "libusrsctp")
    plain = place(bench.program("plain"), "tcp")
    with bench.serving([*plain, 0, size]) as (_, port):
        bench.add(float(run(*plain, port, size, count)), *where, "kernel TCP")


def measure_userland_rates(bench):
    where = "userland", "usrsctp", "connections", "1/s", 1
    env, count, size = usrsctp_environment(), bench.plan.connections // 3, 2
    load = bench.program("load")
    with bench.serving([bench.program("server-sctp"), 0], env) as (_, port):
        bench.add(float(run(bench.program("withusrsctp"), load, "sctp", port, "rate", count, 1,
                            env=env)), *where, OURS)
    bench.add(measure_direct_rate(bench, size, count), *where, "libusrsctp")
    with bench.serving([bench.program("plain"), "tcp", 0, size]) as (_, port):
        bench.add(float(run(load, "tcp", port, "rate", count, 1)), *where, "kernel TCP")


def measure_direct_rate(bench, size, count):
    """libusrsctp's own thread that reads packets can crash while another one accepts (a mutex of a lost association;
    one run in twenty, version 0.9.5): then once more."""
    direct = bench.program("direct")
    for _ in range(CRASHES_MAX):
        udp_port, client_udp_port = (usrsctp_environment()["SCTP_UDP_PORT"] for _ in range(2))
        with bench.serving([direct, udp_port, size]) as (server, _):
            try:
                return float(run(direct, client_udp_port, size, udp_port, "rate", count, limit_s=CRASH_LIMIT_S))
            except subprocess.TimeoutExpired:
                if server.poll() != -signal.SIGSEGV:
                    raise
                print("bench.py: direct: libusrsctp crashed; once more", file=sys.stderr)
    raise SystemExit(f"bench.py: direct: libusrsctp crashed {CRASHES_MAX} times")


SECTIONS = {"rtt": measure_rtt_everywhere, "rate": measure_rate, "many": measure_many,
            "userland": measure_userland, "rtt-sctp": measure_rtt_in_lab}
TITLES = {"rtt": "Round trip by bytes per message, both ends on one processor (qperf answers with as many)",
          "rate": "Connections per second (connect, message, answer, close), by how many at a time",
          "many": "Connections at once, by their number (TCP: both ends on one processor)",
          "userland": "SCTP over usrsctp, by bytes per message, or connections at a time"}


# The figures

def show(value):
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}"


def show_samples(samples):
    text = show(statistics.median(samples))
    return text if min(samples) == max(samples) else \
        f"{text} ({show(min(samples))}..{show(max(samples))})"


def find_ratios(samples, figure):
    """Ours by the figure's, for each round."""
    ours = samples.get(figure._replace(contender=OURS), [])
    return [mine / theirs for mine, theirs in zip(ours, samples[figure]) if theirs]


def print_section(section, samples):
    """One line per thing measured, one column per contender, and after each peer the ratio."""
    figures = [figure for figure in samples if figure.section == section]
    print(f"\n{TITLES[section]}")
    for stack in dict.fromkeys(figure.stack for figure in figures):
        mine = [figure for figure in figures if figure.stack == stack]
        contenders = list(dict.fromkeys(figure.contender for figure in mine))
        rows = [[stack, "", *[word for name in contenders for word in
                              ([name] if name == OURS else [name, "ratio"])]]]
        for metric, unit, at in sorted({figure[2:5] for figure in mine},
                                       key=lambda row: (find_place(mine, row), row[2])):
            row = [f"{metric}{', ' if unit else ''}{unit}", str(at)]
            for name in contenders:
                figure = Figure(section, stack, metric, unit, at, name)
                known = figure in samples
                row.append(show_samples(samples[figure]) if known else "-")
                if name != OURS:
                    row.append(f"{statistics.median(find_ratios(samples, figure)):.2f}"
                               if known else "-")
            rows.append(row)
        print_table(rows)


def find_place(figures, row):
    """Where the metric of this row was first met."""
    return next(i for i, figure in enumerate(figures) if figure.metric == row[0])


def print_table(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        first = row[0].ljust(widths[0])
        print("  ".join([first, *[cell.rjust(width)
                                  for cell, width in zip(row[1:], widths[1:])]]).rstrip())
    print()


def write_csv(path, samples):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*Figure._fields, "median", "min", "max", "rounds", "ratio"])
        for figure, values in samples.items():
            ratios = find_ratios(samples, figure)
            writer.writerow([*figure, *[f"{value:.6g}" for value in (
                statistics.median(values), min(values), max(values))], len(values),
                f"{statistics.median(ratios):.4f}" if ratios else ""])


def describe_machine():
    model = re.search(r"^model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text(encoding="ascii"), re.M)
    return f"{os.cpu_count()} processors ({model[1] if model else 'unknown'}), Linux {os.uname().release}"


def parse_arguments(arguments):
    try:
        options, operands = getopt.getopt(arguments, "ho:sS:", ["samples"])
        sections = [value for name, value in options if name == "-S"]
        for section in sections:
            if section not in (SECTIONS if ("--samples", "") in options else TITLES):
                raise getopt.GetoptError(f"-S {section}: no such section")
        if len(operands) > 1:
            raise getopt.GetoptError(f"{operands[1]}: only one BUILD can be given")
    except getopt.GetoptError as error:
        print(f"bench.py: {error}\n{__doc__.splitlines()[0]}", file=sys.stderr)
        sys.exit(2)
    build = pathlib.Path(operands[0] if operands else "build").resolve()
    return dict(options), sections or list(TITLES), build


def main():
    options, sections, build = parse_arguments(sys.argv[1:])
    if "-h" in options:
        print(__doc__.strip())
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ends the servers, too
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(build, SHORT if "-s" in options else FULL, directory)
        if not bench.program("plain").exists():
            sys.exit(f"bench.py: {bench.program('plain')}: build the target bench-programs first")
        if "--samples" in options:
            for section in sections:
                bench.run_section(section)
            json.dump(list(bench.samples.items()), sys.stdout)
            return
        print(describe_machine())
        for section in sections:
            bench.run_section(section)
            print_section(section, bench.samples)
            sys.stdout.flush()
        for name in bench.absent:
            print(f"bench.py: {name}: not installed, left out", file=sys.stderr)
        if "-o" in options:
            write_csv(options["-o"], bench.samples)


if __name__ == "__main__":
    main()
