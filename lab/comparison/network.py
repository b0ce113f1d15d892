"""Hosts, links and captures for the experiments. Runs as root in lab/run's private network.

A host is a network namespace. A link is a cable from the client to the server with a bridge in the middle, a namespace
of its own: what that delays, loses or cuts was sent by the hosts, and is in the captures made there.
"""
import contextlib
import os
import re
import select
import signal
import subprocess
import time

PATIENCE_S = 60  # for what takes a moment on an idle machine
PORT = 4444
SIDES = ("client", "server")
# An Ethernet frame of a DATA chunk with 64 bytes has 126 bytes; longer than this are only our big messages.
SNAP_BYTES = 1600


class Failure(Exception):
    """What keeps an experiment from being done."""


def run(*words, lines=()):
    """Runs a command, which must succeed, with lines as its input. Returns what it printed."""
    command = [str(word) for word in words]
    done = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failure(f"{' '.join(command)}: {done.stderr.strip() or f'exit status {done.returncode}'}")
    return done.stdout


class Missed(Failure):
    """The machine was too busy to do something at the right moment: the experiment can be tried again."""


class Process:
    """A started program. Times are in seconds since 1970, as those of captured packets are."""

    def __init__(self, words, prefix=()):
        self.words = [str(word) for word in words]
        self.process = subprocess.Popen([*prefix, *self.words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, bufsize=0)
        self.pid = self.process.pid
        self.started_s = time.time()
        self.read = {"stdout": b"", "stderr": b""}

    def await_line(self, beginning, stream="stdout"):
        """Waits for a line that begins so."""
        pipe, line = getattr(self.process, stream), b""
        while not (line.startswith(beginning.encode()) and line.endswith(b"\n")):
            if line.endswith(b"\n"):
                line = b""
            byte = pipe.read(1)
            if not byte:
                raise Failure(f"{self}: ended before it printed \"{beginning}\": {self.finish()['errors']}")
            line += byte
            self.read[stream] += byte

    def __str__(self):
        return " ".join(self.words)

    def send_signal(self, number):
        self.process.send_signal(number)

    def await_table(self, name, pattern):
        """Waits until the pattern matches this table of the kernel's in /proc/net, as it is in the program's network."""
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            with open(f"/proc/{self.pid}/net/{name}", encoding="ascii") as file:
                if re.search(pattern, table := file.read()):
                    return
            if time.monotonic() > deadline_s:
                raise Failure(f"{self}: {name} is after {PATIENCE_S} s still: {table.strip()}")
            time.sleep(0.02)

    def stop(self):
        """Stops it. Returns when it has stopped: a call that waits for data, and finds some, would still take them."""
        self.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def stop_in_pause(self, pause_s):
        """Stops it while it pauses, which it does for so long after each line: then nothing is under way that this
        process has sent or waits for, however busy the machine is. SIGCONT lets it go on.
        """
        empty_s = 0
        while True:
            while not select.select([self.process.stdout], [], [], pause_s / 10)[0]:
                empty_s = time.monotonic()  # so the next line, and its pause, come later
            try:
                self.await_line("")
            except Failure as failure:
                raise Missed(str(failure)) from None
            self.send_signal(signal.SIGSTOP)
            if time.monotonic() - empty_s < pause_s:
                return
            self.send_signal(signal.SIGCONT)

    def finish(self, signal_number=None, limit_s=PATIENCE_S):
        """Waits for the end, after a signal or by itself.

        Returns the command, its output, diagnostics and exit status, and when it started and ended.
        """
        if signal_number is not None:
            self.send_signal(signal_number)
        try:
            output, errors = self.process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self}: still running after {limit_s} s") from None
        return {"command": " ".join([os.path.basename(self.words[0]), *self.words[1:]]),
                "output": (self.read["stdout"] + output).decode(), "errors": (self.read["stderr"] + errors).decode(),
                "status": self.process.returncode, "started_s": self.started_s, "ended_s": time.time()}

    def end(self):
        """Ends it whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


class Host:
    """A network namespace with one address per link: 10.0.LINK.1 at the client, 10.0.LINK.2 at the server."""

    def __init__(self, network, side):
        self.network = network
        self.side = side
        self.namespace = f"{network.name}-{side}"
        self.addresses = [f"10.0.{link}.{1 + SIDES.index(side)}" for link in network.links]

    def start(self, *words):
        process = Process(words, ["ip", "netns", "exec", self.namespace])
        self.network.started.append(process)
        return process

    def start_server(self, program, *options):
        """Returns the server when it listens."""
        server = self.start(program, *options, PORT)
        server.await_line("Listening on port")
        return server

    def read_sysctl(self, name):
        """Reads a setting of the kernel, as this host has it."""
        return run("ip", "netns", "exec", self.namespace, "cat", sysctl_path(name)).strip()

    def set_sysctl(self, name, value):
        """Sets a setting of the kernel for this host only."""
        run("ip", "netns", "exec", self.namespace, "sh", "-c", f"echo {value} >{sysctl_path(name)}")


def sysctl_path(name):
    return f"/proc/sys/{name.replace('.', '/')}"


class Network:
    """A client and a server with links between them. Use it in a with statement."""

    def __init__(self, name, links=1, delay_ms=0, loss_percent=0):
        """The delay and the loss are those of each direction."""
        self.name = name
        self.links = range(1, links + 1)
        self.delay_ms, self.loss_percent = delay_ms, loss_percent
        self.wire = f"{name}-wire"
        self.client, self.server = (Host(self, side) for side in SIDES)
        self.started = []

    def __enter__(self):
        hosts = (self.client, self.server)
        namespaces = [self.wire, *[host.namespace for host in hosts]]
        run("ip", "-batch", "-", lines=[f"netns add {namespace}" for namespace in namespaces] + [
            f"link add link{link} netns {host.namespace} type veth peer name {host.side}{link} netns {self.wire}"
            for link in self.links for host in hosts])
        run("ip", "-n", self.wire, "-batch", "-", lines=[
            f"link add wire{link} up type bridge" for link in self.links] + [
            f"link set {host.side}{link} master wire{link} up" for link in self.links for host in hosts])
        if self.delay_ms or self.loss_percent:
            netem = f"netem limit 10000 delay {self.delay_ms}ms loss {self.loss_percent}%"
            run("tc", "-n", self.wire, "-batch", "-", lines=[
                f"qdisc add dev {host.side}{link} root {netem}"
                for link in self.links for host in hosts])
        for host in hosts:
            run("ip", "-n", host.namespace, "-batch", "-", lines=["link set lo up"] + [
                f"address add {address}/24 dev link{link}" for link, address in zip(self.links, host.addresses)] + [
                f"link set link{link} up" for link in self.links])
        return self

    def cut(self, link):
        """Cuts a link in the middle, where neither host's network card notices. Returns between when and when."""
        before_s = time.time()
        run("ip", "-n", self.wire, "link", "set", f"server{link}", "down")
        return before_s, time.time()

    @contextlib.contextmanager
    def capture(self, path):
        """Captures what the client sends and receives while the with statement lasts."""
        interfaces = [word for link in self.links for word in ("-i", f"link{link}")]
        with capture(path, interfaces, self.client.start):
            yield

    def __exit__(self, *_):
        for process in self.started:
            process.end()
        run("ip", "-batch", "-", lines=[f"netns delete {namespace}" for namespace in
                                        (self.client.namespace, self.server.namespace, self.wire)])


@contextlib.contextmanager
def capture(path, interfaces, start=lambda *words: Process(words)):
    """Captures SCTP and TCP on interfaces (options of dumpcap) while the with statement lasts."""
    dumpcap = start("dumpcap", "-s", SNAP_BYTES, "-f", "ip proto 132 or tcp", *interfaces, "-w", path)
    try:
        dumpcap.await_line("File: ", "stderr")
        yield
        await_last_packet(path)
        errors = dumpcap.finish(signal.SIGINT)["errors"]
        if interfaces.count("-i") > 1:
            sort(path)
    finally:
        dumpcap.end()
    if dropped := [line for line in errors.splitlines() if re.search(r"interface '.*': \d+/[^0]", line)]:
        raise Failure(f"{path}: packets are missing: {dropped}")


def sort(path):
    """Puts the packets of several interfaces into the order of their times."""
    unsorted = f"{path}.unsorted"
    os.rename(path, unsorted)
    run("reordercap", unsorted, path)
    os.remove(unsorted)


def await_last_packet(path):
    """Returns when nothing has come for some time: dumpcap hands on every 250 ms what it has got."""
    size, since_s, deadline_s = -1, 0, time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        now_s, new_size = time.monotonic(), os.stat(path).st_size
        if new_size != size:
            size, since_s = new_size, now_s
        if now_s - since_s > 1:
            return
        time.sleep(0.1)
    raise Failure(f"{path}: packets still come in after {PATIENCE_S} s")
