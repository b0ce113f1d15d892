"""A server that is watched: all that it says is kept, and what it holds is measured."""
import os
import re
import signal
import time

from conftest import PATIENCE_S, answers


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
