"""Started programs: what they say, how they end, and what a server holds that is watched."""
import json
import os
import re
import select
import signal
import subprocess
import time

PATIENCE_S = 120  # for what takes a moment on an idle machine


def answers(count, of=None):
    """What the client prints for so many messages."""
    return "".join(f"Sending message {number} of {of or count}. Result: OK\n"
                   for number in range(1, count + 1))


class Program:
    """A started program. finish() gives its exit status and what it wrote since."""

    logs = ()  # files that it writes into instead

    def __init__(self, command, **options):
        self.command = [str(word) for word in command]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(self.command, bufsize=0, **{**pipes, **options})
        self.said, self.is_over = "", False  # on stdout and stderr, as it was read

    def read_line(self, stream="stdout"):
        """The next line; waits for it."""
        pipe, line, deadline = getattr(self.process, stream), b"", time.monotonic() + PATIENCE_S
        while not line.endswith(b"\n"):
            ready = select.select([pipe], [], [], max(0, deadline - time.monotonic()))[0]
            byte = os.read(pipe.fileno(), 1) if ready else b""
            assert byte, f"no line came, only {line!r}; on stderr {self.end()[2]!r}"
            line += byte
        self.said += line.decode(errors="backslashreplace")
        return line.decode()

    def finish(self, signal_number=None, patience_s=PATIENCE_S):
        """Waits for the end, after a signal or by itself: (status, stdout, stderr)."""
        if signal_number is not None:
            self.process.send_signal(signal_number)
        output = [(text or b"").decode(errors="backslashreplace")
                  for text in self.process.communicate(timeout=patience_s)]
        self.said, self.is_over = self.said + "".join(output), True
        return (self.process.returncode, *output)

    def end(self):
        """Ends it whatever it does."""
        self.process.kill()
        return self.finish()

    def describe(self):
        """For a person who asks why a test failed: a title, and what it printed."""
        if not self.is_over:
            self.end()
        text = self.said + "".join(path.read_text(errors="backslashreplace") for path in self.logs)
        return f"{' '.join(self.command)}: exit status {self.process.returncode}", text[-10000:]


class Peer(Program):
    """A socket in a process of its own (peer.py): its methods are those of peer.Commands."""

    def __getattr__(self, name):
        def call(*arguments):
            self.ask(name, *arguments)
            answer = json.loads(self.read_line())
            if isinstance(answer, dict):
                raise OSError(answer["errno"], os.strerror(answer["errno"]))
            return answer
        return call

    def ask(self, name, *arguments):
        """Calls without waiting for the answer."""
        self.process.stdin.write(json.dumps([name, *arguments]).encode() + b"\n")


BROKEN = (r"connection from 127\.0\.0\.1: "
          r"(Connection reset by peer|Broken pipe|Connection timed out)")


def only_broken(name, errors):
    """Nothing on stderr but that connections broke."""
    return re.fullmatch(f"({name}: {BROKEN}\n)*", errors) is not None


class Tally:
    """What a server said on stdout (with -v) that it did."""

    def __init__(self, text):
        self.connections = len(re.findall(r"^Got connection from 127\.0\.0\.1$", text, re.M))
        self.closed = len(re.findall(r"^Connection from 127\.0\.0\.1 closed", text, re.M))
        reads = re.findall(r"^Read (\d+) bytes from 127\.0\.0\.1, (\d+) ends? of message\.$", text,
                           re.M)
        self.bytes, self.messages = (sum(map(int, column)) for column in zip(*reads or [(0, 0)]))
        last = re.search(r"^Served (\d+) connections, (\d+) messages\.\n\Z", text, re.M)
        self.served = int(last[2]) if last else None
        assert last is None or int(last[1]) == self.connections


class Watched:
    """A started server, ready on .port."""

    def __init__(self, start, command, directory, **options):
        directory.mkdir(exist_ok=True)
        number = len(os.listdir(directory))
        self.paths = [directory / f"{number}.{name}" for name in ("out", "err")]
        files = [path.open("wb") for path in self.paths]
        self.program = start(command, stdout=files[0], stderr=files[1], **options)
        self.program.logs = self.paths
        for file in files:
            file.close()
        self.pid = self.program.process.pid
        line = self.wait(lambda: re.match(r"Listening on port (\d+)\n", self.output()), "not ready")
        self.port = int(line[1])

    def output(self):
        return self.paths[0].read_text()

    def errors(self):
        return self.paths[1].read_text()

    def wait(self, condition, what):
        """Returns what the condition gives, once that is true."""
        deadline = time.monotonic() + PATIENCE_S
        while not (result := condition()):
            assert time.monotonic() < deadline, f"{what}; on stderr {self.errors()!r}"
            assert self.program.process.poll() is None, f"the server has ended: {self.errors()!r}"
            time.sleep(0.01)
        return result

    def measure(self):
        """(threads, descriptors, resident memory in KiB that is not of files)"""
        status = open(f"/proc/{self.pid}/status", encoding="ascii").read()
        memory_kib = int(re.search(r"^RssAnon:\s*(\d+) kB$", status, re.M)[1])
        return (len(os.listdir(f"/proc/{self.pid}/task")), len(os.listdir(f"/proc/{self.pid}/fd")),
                memory_kib)

    def warm_up(self, run_client):
        """Serves one client; returns what the server holds when it has nothing to do."""
        held = self.measure()[0] + self.is_mapped("libtsan")  # which has a thread of its own then
        assert run_client("-c1", "127.0.0.1", self.port) == (0, answers(1), "")
        self.wait(lambda: self.measure()[0] <= held, "its thread stays")
        return self.measure()

    def is_mapped(self, library):
        return library in open(f"/proc/{self.pid}/maps", encoding="utf-8").read()

    def check_recovery(self, idle, run_client, more_kib=4096):
        """It serves, and holds no more than when it was idle (but for what malloc keeps)."""
        assert run_client("127.0.0.1", self.port) == (0, answers(5), "")
        self.wait(lambda: self.measure()[:2] <= idle[:2], f"holds more than {idle}")
        if not self.is_mapped("libasan") and not self.is_mapped("libtsan"):  # they keep what is freed
            assert self.measure()[2] <= idle[2] + more_kib, f"{self.measure()}, it was {idle}"

    def stop(self):
        """Ends it by SIGINT; returns its tally and what it said on stderr."""
        assert self.program.finish(signal.SIGINT)[0] == 0, self.errors()
        tally = Tally(self.output())
        assert tally.served is not None, "no last line"
        return tally, self.errors()
