"""What the calls_*.py scripts share: SCTP sockets on loopback. Run by test_userland_calls.py."""
import contextlib
import errno
import os
import socket
import unittest

SCTP = 132
NODELAY = 3
HOSTS = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


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


class Case(unittest.TestCase):
    family = socket.AF_INET

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


def main():
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    unittest.main(verbosity=2)
