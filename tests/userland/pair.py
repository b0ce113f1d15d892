"""What the calls_*.py files share: SCTP sockets on loopback, and waiting for what takes a moment.

A packet is still on its way when send, close, shutdown or connect returns: whoever looks at the other end waits.
"""
import contextlib
import errno
import os
import select
import socket
import struct
import time
import unittest

import pytest

SCTP = 132
NODELAY, STATUS = 3, 14
PATIENCE_S = 60  # for what takes a moment on an idle machine
HOSTS = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


def lifeless(kernel, *more):
    """What poll says of a socket whose association has failed or ended: over usrsctp, that the file has ended, too."""
    if os.environ.get("SCTP_STACK") != "usrsctp":
        return kernel
    return sum((select.POLLIN, select.POLLOUT, select.POLLRDHUP, *more))


def new(family=socket.AF_INET):
    return socket.socket(family, socket.SOCK_STREAM, SCTP)


def listening(family=socket.AF_INET, host=None, backlog=16):
    listener = new(family)
    listener.bind((HOSTS[family] if host is None else host, 0))
    listener.listen(backlog)
    return listener


def connected(listener, family=None):
    """The two ends of a new association: the accepted one, the one that connected."""
    client = new(listener.family if family is None else family)
    client.connect((HOSTS[client.family], listener.getsockname()[1]))
    return listener.accept()[0], client


def poll(*wanted, timeout_s=0):
    """What poll says of sockets and the events to look for, as soon as there is one: {descriptor: events}."""
    poller = select.poll()
    for sock, events in wanted:
        poller.register(sock, events)
    return dict(poller.poll(timeout_s * 1000))


def fill(sock, message):
    """Sends the message until there is no room for it for a while, since the peer does not read; returns how often."""
    sock.setblocking(False)
    count = 0
    while True:
        try:
            sock.send(message)
            count += 1
        except BlockingIOError:
            if not select.select([], [sock], [], 0.3)[1]:
                return count


class Case(unittest.TestCase):
    """Its sockets are this process's own: pytest itself runs under withusrsctp, or in lab/run."""

    family = socket.AF_INET

    @pytest.fixture(autouse=True)
    def have_sctp(self, environment):
        os.environ.update({name: value for name, value in environment.items()
                           if name.startswith("SCTP_") or name.endswith("SAN_OPTIONS")})
        try:
            new().close()
        except OSError as error:
            pytest.exit(f"{error}: the call tests need to be run in lab/run, or under withusrsctp", 2)

    def keep(self, *sockets):
        for one in sockets:
            self.addCleanup(one.close)
        return sockets if len(sockets) > 1 else sockets[0]

    def pair(self):
        listener = self.keep(listening(self.family))
        return self.keep(*connected(listener))

    @contextlib.contextmanager
    def fails(self, number):
        with self.assertRaises(OSError) as caught:
            yield
        self.assertEqual(errno.errorcode.get(caught.exception.errno), errno.errorcode[number])

    def becomes(self, look, wanted):
        """Waits until it is so."""
        deadline = time.monotonic() + PATIENCE_S
        while (seen := look()) != wanted and time.monotonic() < deadline:
            time.sleep(0.002)
        self.assertEqual(seen, wanted)

    def wait_for_the_end(self, sock):
        """Until there is no association any more."""
        def has_association():
            try:
                return bool(sock.getsockopt(SCTP, STATUS, 176))
            except OSError as error:
                self.assertEqual(error.errno, errno.EINVAL)
                return False
        self.becomes(has_association, False)

    def wait_until_acknowledged(self, sock):
        """Until the peer has all that was sent."""
        self.becomes(lambda: struct.unpack_from("iiIH", sock.getsockopt(SCTP, STATUS, 176))[3], 0)
