"""One socket in a process of its own, driven line by line by conftest.Peer.

Reads a JSON list per line (a method's name and its arguments), and answers with a JSON value.
A process of its own, so that it can run on any stack (under withusrsctp) and be killed.
"""
import json
import socket
import struct
import sys
import time


class Commands:
    """The commands; text stands for bytes (latin-1)."""

    def __init__(self, family, protocol):
        self.family, self.protocol = family, protocol
        self.sock = self.make_socket()

    def make_socket(self):
        sock = socket.socket(self.family, socket.SOCK_STREAM, self.protocol)
        nodelay = socket.TCP_NODELAY if self.protocol == socket.IPPROTO_TCP else 3  # SCTP_NODELAY
        sock.setsockopt(self.protocol, nodelay, 1)
        return sock

    def option(self, level, name, value):
        self.sock.setsockopt(level, name, value)

    def listen(self, host, backlog):
        self.sock.bind((host, 0))
        self.sock.listen(backlog)
        return self.sock.getsockname()[1]

    def accept(self):
        listener, self.sock = self.sock, self.sock.accept()[0]
        listener.close()

    def connect(self, host, port):
        self.sock.connect((host, port))

    def send(self, text, flags=0):
        data = text.encode("latin-1")
        while data:
            data = data[self.sock.send(data, flags):]

    def recv(self, size):
        data, _, flags, _ = self.sock.recvmsg(size)
        return [data.decode("latin-1"), bool(flags & socket.MSG_EOR)]

    def recv_all(self):
        """Everything up to the end of the connection."""
        text = ""
        while chunk := self.sock.recv(65536):
            text += chunk.decode("latin-1")
        return text

    def flood(self, text, seconds):
        """Sends without ever reading, until it blocks for so long or the peer has enough."""
        self.sock.settimeout(seconds)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # the least there can be
        sent = 0
        try:
            while True:
                sent += self.sock.send(text.encode("latin-1"))
        except TimeoutError:
            self.sock.settimeout(None)
        return sent

    def exchange(self, text, count):
        """Sends it and receives the answer, so often."""
        data = text.encode("latin-1")
        for _ in range(count):
            self.sock.sendall(data)
            assert self.sock.recv(99) == b"OK"

    def reconnect(self, host, port, count):
        """Connects, exchanges a message and closes, so often."""
        for _ in range(count):
            self.sock.close()
            self.sock = self.make_socket()
            self.sock.connect((host, port))
            self.exchange("message\n", 1)
        self.sock.close()

    def trickle(self, text, pause_s):
        """Sends it again and again, until there is an error."""
        while True:
            self.sock.send(text.encode("latin-1"))
            time.sleep(pause_s)

    def shutdown(self):
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        self.sock.close()

    def reset(self):
        """Closes with RST (SCTP: ABORT)."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


def main():
    commands = Commands(*map(int, sys.argv[1:]))
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        try:
            answer = getattr(commands, name)(*arguments)
        except OSError as error:
            answer = {"errno": error.errno}
        print(json.dumps(answer), flush=True)


main()
