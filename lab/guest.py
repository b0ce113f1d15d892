#!/usr/bin/python3 -IS
"""The guest's end of lab/run: all that runs inside the private network.

Under User Mode Linux the kernel starts this file as its first process (PID 1), which runs the
command and carries its input and output over a serial line, and again whenever it wants a module
(as others run modprobe(8)). lab/run imports the parts that both sides need.
"""
import contextlib
import ctypes
import errno
import fcntl
import fnmatch
import functools
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import termios
import traceback
import tty

# Covered inside by file systems of the private system's own.
COVERED = ("/proc", "/sys", "/dev", "/run")
KERNEL_MOUNTS = (("proc", "/proc", ""), ("sysfs", "/sys", ""))
OWN_MOUNTS = (("devpts", "/dev/pts", "mode=620,ptmxmode=666"), ("tmpfs", "/dev/shm", "mode=1777"),
              ("tmpfs", "/run", "mode=755"))
MODULES = "/usr/lib/uml/modules"
# Without hmac, listen(2) on an SCTP socket fails with ENOSYS; without tun there is no /dev/net/tun
# to ask for it.
MODULES_AT_BOOT = ("sctp", "hmac", "tun")

# Signals that lab/run passes on to the command; the first four ask it to end.
ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
TO_ONE = (signal.SIGUSR1, signal.SIGUSR2)
PASSED_ON = (*ENDING, *TO_ONE)

libc = ctypes.CDLL(None, use_errno=True)


def check(result, what):
    """Returns what a C function returned, or raises OSError if that was -1."""
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), what)
    return result


def mount(kind, target, options="", flags=0):
    """mount(2), of a file system that needs no device."""
    source, target_path = kind.encode(), target.encode()
    check(libc.mount(source, target_path, source, ctypes.c_ulong(flags), options.encode()), target)


def raise_loopback():
    """Brings lo up, which also gives it 127.0.0.1 and ::1. (netdevice(7))"""
    SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = fcntl.ioctl(any_socket, SIOCGIFFLAGS, struct.pack("16sH14x", b"lo", 0))
        flags, = struct.unpack_from("H", request, 16)
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))


def become_command(argv, environment, closed, ignored):
    """Replaces this process by the command. If that fails, exits with 127 (not found) or 126.

    closed: those of the descriptors 0 to 2 that the command is to find closed. ignored: signals
    that it is to ignore.
    """
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):  # which Python has changed
        signal.signal(number, signal.SIG_DFL)
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for descriptor in closed:
        os.close(descriptor)
    try:
        try:
            os.execvpe(argv[0], argv, environment)
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise
            os.execve("/bin/sh", ["sh", *argv], environment)  # a script without #!, see execvp(3)
    except OSError as error:
        complain(f"{argv[0]}: {error.strerror}")
        os._exit(127 if error.errno == errno.ENOENT else 126)


def send_signal(command, number):
    """Sends a signal to the command; one that asks for the end to all of its group, as Ctrl-C."""
    try:
        (os.kill if number in TO_ONE else os.killpg)(command, number)
    except ProcessLookupError:  # it has not made its group yet
        os.kill(command, number)


def complain(message):
    """Writes a diagnostic to stderr. (print would pick stdout if stderr was closed.)"""
    with contextlib.suppress(OSError):  # nobody there to hear it
        os.write(2, f"lab/run: {message}\n".encode(errors="surrogateescape"))


# What goes over the serial line: frames of a kind, a length, and so many bytes. A frame whose kind
# is the number of a standard stream carries that stream's data, or its end if there is none.
HEADER = struct.Struct("<BI")
STDIN, STDOUT, STDERR = range(3)
TAKEN = 3  # a stream's number, and how many bytes of it the other end has disposed of
BROKEN = 4  # number of a stream that nobody reads any more
HELLO = 5  # guest: ready to start a command
START = 6  # host: the command, as JSON
SIGNAL = 7  # host: number of a signal for the command
RESIZE = 8  # host: rows and columns of the terminal
STATUS = 9  # guest: exit status of the command; the last frame
FAILURE = 10  # guest: text of an error that keeps it from going on
READ = 11  # guest: how many bytes it has read off the line

COUNT = struct.Struct("<BI")
WINDOW = 256 * 1024  # bytes of one stream on their way at most: what either end may have to keep
# Bytes to the guest that it may not have read yet. From 3968 on, the terminal layer of its kernel
# would throttle the line, after which User Mode Linux (6.1) misses that there is more to read.
LINE_WINDOW = 3072
READ_REPORT = 1024  # how many bytes the guest reads at least before it says so


class Sink:
    def __init__(self, descriptor):
        self.descriptor = descriptor
        self.pending = bytearray()
        self.ended = False


class Relay:
    """Carries streams and other frames over a serial line. Both ends of the line use it.

    Each stream has a window of its own, so a slow reader of one holds up neither the others nor
    the other frames.
    Descriptors given to a Relay are closed by it.
    """

    def __init__(self, line, on_frame, on_write_error=lambda error: None, line_window=None):
        """on_frame(kind, payload) is told of frames that are not about streams, on_write_error
        of all but EPIPE.

        line_window: how many bytes may be sent before the other end has read them; None: any
        number, but tell what is read.
        """
        os.set_blocking(line, False)
        self.line = line
        self.connected = True
        self.on_frame = on_frame
        self.on_write_error = on_write_error
        self.line_window = line_window
        self.read_untold = 0
        self.received = bytearray()
        self.unsent = bytearray()
        self.sources = {}  # stream: descriptor
        self.windows = {}  # stream: bytes that may still be sent
        self.sinks = {}  # stream: Sink

    def add_source(self, stream, descriptor):
        self.sources[stream] = descriptor
        self.windows[stream] = WINDOW

    def add_sink(self, stream, descriptor):
        self.sinks[stream] = Sink(descriptor)

    def close_source(self, stream):
        if stream in self.sources:
            os.close(self.sources.pop(stream))

    def close_sink(self, stream):
        if stream in self.sinks:
            os.close(self.sinks.pop(stream).descriptor)

    def end_sinks(self):
        """No more data will come: closes the sinks, each when it has taken what it was sent."""
        for stream in list(self.sinks):
            self._take_data(stream, b"")

    def send(self, kind, payload=b""):
        self.unsent += HEADER.pack(kind, len(payload)) + payload

    def step(self, timeout_s=None, wakeup=None):
        """Waits until something can be moved, and moves it. Returns False once the line is hung up.

        wakeup: a descriptor that also ends the wait, when it can be read.
        """
        poll = select.poll()
        moves = {}
        if self.connected:
            moves[self.line] = self._move_line
            can_send = self.unsent and self.line_window != 0
            poll.register(self.line, select.POLLIN | (select.POLLOUT if can_send else 0))
        if wakeup is not None:
            moves[wakeup] = functools.partial(os.read, wakeup, 4096)
            poll.register(wakeup, select.POLLIN)
        for stream, descriptor in self.sources.items():
            if self.windows[stream] > 0:
                moves[descriptor] = functools.partial(self._read_source, stream)
                poll.register(descriptor, select.POLLIN)
        for stream, sink in self.sinks.items():
            if sink.pending:
                moves[sink.descriptor] = functools.partial(self._write_sink, stream)
                poll.register(sink.descriptor, select.POLLOUT)
        for descriptor, _ in poll.poll(None if timeout_s is None else timeout_s * 1000):
            moves[descriptor]()
        return self.connected

    def _move_line(self):
        try:
            self._write_line()
            data = os.read(self.line, 65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.connected = data != b""
        self.received += data
        if self.line_window is None:
            self._tell_read(len(data))
        self._take_frames()

    def _write_line(self):
        with contextlib.suppress(BlockingIOError):
            while self.unsent and self.line_window != 0:
                count = os.write(self.line, self.unsent[:min(65536, self.line_window or 65536)])
                del self.unsent[:count]
                if self.line_window:
                    self.line_window -= count

    def _tell_read(self, count):
        self.read_untold += count
        if self.read_untold >= READ_REPORT:
            self.send(READ, COUNT.pack(0, self.read_untold))
            self.read_untold = 0

    def _take_frames(self):
        while len(self.received) >= HEADER.size:
            kind, length = HEADER.unpack_from(self.received)
            if len(self.received) < HEADER.size + length:
                return
            payload = bytes(self.received[HEADER.size:HEADER.size + length])
            del self.received[:HEADER.size + length]
            if kind <= STDERR:
                self._take_data(kind, payload)
            elif kind == TAKEN:
                stream, count = COUNT.unpack(payload)
                self.windows[stream] += count
            elif kind == READ:
                self.line_window += COUNT.unpack(payload)[1]
            elif kind == BROKEN:
                self.close_source(payload[0])
            else:
                self.on_frame(kind, payload)

    def _take_data(self, stream, data):
        sink = self.sinks.get(stream)
        if sink:  # else it broke, and the other end does not know yet
            sink.pending += data
            sink.ended = not data
            if sink.ended and not sink.pending:
                self.close_sink(stream)

    def _read_source(self, stream):
        if stream not in self.sources:  # closed since the poll
            return
        try:
            data = os.read(self.sources[stream], min(self.windows[stream], 65536))
        except BlockingIOError:
            return
        except OSError:  # EIO: the last one to have a pseudo-terminal open has closed it
            data = b""
        self.windows[stream] -= len(data)
        self.send(stream, data)
        if not data:
            self.close_source(stream)

    def _write_sink(self, stream):
        sink = self.sinks[stream]
        try:
            # A pipe that polls as writable takes this much without blocking, see pipe(7).
            count = os.write(sink.descriptor, sink.pending[:select.PIPE_BUF])
        except BlockingIOError:
            return
        except OSError as error:
            self.send(BROKEN, bytes([stream]))
            self.close_sink(stream)
            if error.errno != errno.EPIPE:
                self.on_write_error(error)
            return
        del sink.pending[:count]
        self.send(TAKEN, COUNT.pack(stream, count))
        if sink.ended and not sink.pending:
            self.close_sink(stream)


class Session:
    """Runs one command for the host, from HELLO to STATUS."""

    def __init__(self, line, flush):
        """flush() is called when the command has ended."""
        self.relay = Relay(line, self.take_frame)
        self.flush = flush
        self.command = None  # process id, and process group
        self.status = None  # exit status
        self.terminal = None  # the pseudo-terminal's descriptor
        self.wakeup, wake = os.pipe()
        for descriptor in (self.wakeup, wake):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        # Those for the command wait from its fork to its exec.
        signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)

    def run(self):
        self.relay.send(HELLO)
        while self.status is None or self.relay.sources:
            if not self.relay.step(wakeup=self.wakeup):
                return
            self.reap()
        self.flush()
        self.relay.send(STATUS, bytes([self.status]))
        while self.relay.step():
            pass

    def take_frame(self, kind, payload):
        if kind == START:
            self.start(json.loads(payload))
        elif kind == SIGNAL and self.status is None:
            send_signal(self.command, payload[0])
        elif kind == RESIZE and self.terminal is not None:
            fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, payload)

    def start(self, order):
        """order: see describe_command in lab/run."""
        socket.sethostname(order["hostname"])
        ours, theirs = self.connect_streams(order)
        self.command = os.fork()
        if self.command == 0:
            try:
                enter_command(order, theirs)
            except OSError as error:
                complain(f"{error.filename}: {error.strerror}")
            except Exception as error:  # pylint: disable=broad-except
                complain(error)
            os._exit(125)
        for descriptor in theirs:
            os.close(descriptor)
        for stream, descriptor in ours.items():
            os.set_blocking(descriptor, False)
            (self.relay.add_sink if stream == STDIN else self.relay.add_source)(stream, descriptor)

    def connect_streams(self, order):
        """Returns this side's descriptors by stream, and the command's three."""
        pipes = [os.pipe() for _ in range(3)]
        ours = {STDIN: pipes[0][1], STDOUT: pipes[1][0], STDERR: pipes[2][0]}
        theirs = [pipes[0][0], pipes[1][1], pipes[2][1]]
        if order["terminals"]:
            self.terminal, terminal = os.openpty()
            fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, bytes(order["window"]))
            for stream in order["terminals"]:
                os.close(theirs[stream])
                os.close(ours[stream])
                theirs[stream] = os.dup(terminal)
                ours[stream] = os.dup(self.terminal)
            os.close(terminal)
            if STDERR in order["terminals"]:  # comes out of the terminal together with stdout
                os.close(ours.pop(STDERR))
        return ours, theirs

    def reap(self):
        try:
            while True:
                process, status = os.waitpid(-1, os.WNOHANG)
                if process == 0:
                    return
                if process == self.command:
                    self.end(status)
        except ChildProcessError:
            pass

    def end(self, status):
        code = os.waitstatus_to_exitcode(status)
        self.status = code if code >= 0 else 128 - code
        self.relay.close_sink(STDIN)
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)  # all but this one: so the output has an end


def enter_command(order, streams):
    """Makes this child process the command, with the surroundings that lab/run was called in."""
    os.setsid()
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
    if STDIN in order["terminals"]:
        fcntl.ioctl(STDIN, termios.TIOCSCTTY, 0)
    os.umask(order["umask"])
    for limit, values in order["limits"].items():
        if int(limit) == resource.RLIMIT_NOFILE:  # this kernel may allow fewer than the host's
            with open("/proc/sys/fs/nr_open", encoding="ascii") as file:
                most = int(file.read())
            values = [min(value, most) for value in values]
        resource.setrlimit(int(limit), values)
    os.chdir(order["directory"])
    become_command(order["argv"], order["environment"], order["closed"], order["ignored"])


def prepare_system():
    """Does what an init system would do, as far as network programs can tell."""
    for kind, target, options in KERNEL_MOUNTS:
        mount(kind, target, options)
    if not os.path.exists("/dev/ptmx"):  # the kernel mounts devtmpfs itself if /dev exists
        mount("devtmpfs", "/dev")
    for directory in ("/dev/pts", "/dev/shm"):
        os.makedirs(directory, exist_ok=True)
    for kind, target, options in OWN_MOUNTS:
        mount(kind, target, options)
    for name, target in (("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        os.symlink(f"/proc/self/{target}", f"/dev/{name}")
    with open("/proc/sys/kernel/modprobe", "w") as file:
        file.write(os.path.abspath(__file__))
    for name in MODULES_AT_BOOT:
        load_module(name)
    raise_loopback()


def load_module(name):
    """Loads a kernel module, given by name or alias, after those that it needs. (modules.dep(5))"""
    directory = f"{MODULES}/{os.uname().release}"
    name = name.replace("-", "_")
    names = {name}
    with open(f"{directory}/modules.alias") as file:
        for line in file:
            fields = line.split()
            if fields[0] == "alias" and fnmatch.fnmatchcase(name, fields[1].replace("-", "_")):
                names.add(fields[2])
    with open(f"{directory}/modules.dep") as file:
        for line in file:
            module, needed = line.split(":")
            if os.path.basename(module)[:-len(".ko")].replace("-", "_") in names:
                for path in [*reversed(needed.split()), module]:
                    insert_module(f"{directory}/{path}")


def insert_module(path):
    SYS_FINIT_MODULE = 313  # x86-64, the only one that has User Mode Linux
    with open(path, "rb") as file:
        with contextlib.suppress(FileExistsError):
            check(libc.syscall(SYS_FINIT_MODULE, file.fileno(), b"", 0), path)


def open_line():
    line = os.open("/dev/ttyS0", os.O_RDWR | os.O_NOCTTY)
    tty.setraw(line)
    return line


def power_off():
    LINUX_REBOOT_CMD_POWER_OFF = 0x4321fedc
    os.sync()
    libc.reboot(LINUX_REBOOT_CMD_POWER_OFF)


def serve_host(line, prepare=lambda: None, flush=lambda: None):
    """The life of the private system's first process."""
    try:
        prepare()
        Session(line, flush).run()
    except Exception:
        relay = Relay(line, lambda kind, payload: None)
        relay.send(FAILURE, traceback.format_exc().encode())
        while relay.step():
            pass


if __name__ == "__main__":
    if os.getpid() == 1:
        serve_host(open_line(), prepare_system, os.sync)
        power_off()
    else:
        load_module(sys.argv[-1])
