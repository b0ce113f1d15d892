"""Sending and receiving: records, flags, limits, errors."""
import array
import errno
import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
import termios
import time

import pair

SIOCATMARK = 0x8905


class Records(pair.Case):
    def test_messages_keep_their_boundaries(self):
        accepted, client = self.pair()
        for message in (b"one", b"two", b"three"):
            client.send(message)
        self.assertEqual([accepted.recv(100) for _ in range(3)], [b"one", b"two", b"three"])

    def test_msg_eor_marks_the_end_over_short_reads(self):
        accepted, client = self.pair()
        client.send(b"abcdefgh")
        pieces = [accepted.recvmsg(3)[::2] for _ in range(3)]
        self.assertEqual(pieces, [(b"abc", 0), (b"def", 0), (b"gh", socket.MSG_EOR)])

    def test_an_exact_fit_is_the_end(self):
        accepted, client = self.pair()
        client.send(b"abc")
        self.assertEqual(accepted.recvmsg(3)[::2], (b"abc", socket.MSG_EOR))

    def test_recvmsg_names_the_peer(self):
        accepted, client = self.pair()
        client.send(b"x")
        self.assertEqual(accepted.recvmsg(3)[3], client.getsockname())
        client.send(b"y")
        self.assertEqual(accepted.recvfrom(3), (b"y", client.getsockname()))

    def test_large_messages(self):
        accepted, client = self.pair()
        for size in (1, 1452, 1500, 65536, 200000):
            client.send(b"x" * size)
            got, flags = 0, 0
            while not flags & socket.MSG_EOR:
                data, _, flags, _ = accepted.recvmsg(300000)
                self.assertEqual(data.strip(b"x"), b"")
                got += len(data)
            self.assertEqual(got, size)

    def test_scatter_and_gather(self):
        accepted, client = self.pair()
        self.assertEqual(client.sendmsg([b"ab", b"", b"cde"]), 5)
        buffers = [bytearray(2), bytearray(1), bytearray(9)]
        self.assertEqual(accepted.recvmsg_into(buffers)[0], 5)
        self.assertEqual([bytes(one) for one in buffers], [b"ab", b"c", b"de" + bytes(7)])

    def test_read_and_write(self):
        accepted, client = self.pair()
        self.assertEqual(os.write(client.fileno(), b"hello"), 5)
        self.assertEqual(os.read(accepted.fileno(), 99), b"hello")
        self.assertEqual(os.writev(client.fileno(), [b"a", b"b"]), 2)
        buffer = bytearray(9)
        self.assertEqual(os.readv(accepted.fileno(), [buffer]), 2)

    def test_an_ordered_flood(self):
        accepted, client = self.pair()
        client.setsockopt(pair.SCTP, pair.NODELAY, 1)
        for start in range(0, 3000, 100):  # in steps that the buffers hold
            for number in range(start, start + 100):
                client.send(struct.pack("!I", number))
            for number in range(start, start + 100):
                self.assertEqual(accepted.recv(99), struct.pack("!I", number))


class Flags(pair.Case):
    def test_peek_leaves_the_message(self):
        accepted, client = self.pair()
        client.send(b"look")
        self.assertEqual(accepted.recv(99, socket.MSG_PEEK), b"look")
        self.assertEqual(accepted.recv(2, socket.MSG_PEEK), b"lo")
        self.assertEqual(accepted.recvmsg(99)[::2], (b"look", socket.MSG_EOR))

    def test_peek_tells_the_end_of_the_message(self):
        for size in (5, 3712, 9000):  # the longest waits in several pieces
            accepted, client = self.pair()
            message = bytes(range(256)) * 36
            client.send(message[:size])
            self.assertEqual(accepted.recv(1, socket.MSG_PEEK), b"\0")
            deadline = time.monotonic() + 10
            while len(accepted.recv(size, socket.MSG_PEEK)) < size:
                self.assertLess(time.monotonic(), deadline)
            for taken in (0, 1):
                for room in (size - 2, size - 1, size, size + 1):
                    end = socket.MSG_EOR if room >= size - taken else 0
                    self.assertEqual(accepted.recvmsg(room, 0, socket.MSG_PEEK)[::2],
                                     (message[taken:min(size, taken + room)], end))
                if not taken:
                    accepted.recv(1)

    def test_dontwait(self):
        accepted, _ = self.pair()
        with self.fails(errno.EAGAIN):
            accepted.recv(9, socket.MSG_DONTWAIT)

    def test_waitall_waits_for_no_second_message(self):
        accepted, client = self.pair()
        client.send(b"one")
        self.assertEqual(accepted.recv(99, socket.MSG_WAITALL), b"one")

    def test_fionread(self):
        accepted, client = self.pair()
        answer = array.array("i", [9])
        fcntl.ioctl(accepted, termios.FIONREAD, answer)
        self.assertEqual(answer[0], 0)
        client.send(b"abcde")
        self.assertEqual(accepted.recv(1, socket.MSG_PEEK), b"a")
        fcntl.ioctl(accepted, termios.FIONREAD, answer)
        self.assertEqual(answer[0], 5)

    def test_ioctls_that_sctp_has_not(self):
        accepted, _ = self.pair()
        for request in (termios.TIOCOUTQ, SIOCATMARK):
            with self.fails(errno.ENOTTY):
                fcntl.ioctl(accepted, request, array.array("i", [9]))
            with self.fails(errno.ENOTCONN):
                fcntl.ioctl(self.keep(pair.listening()), request, array.array("i", [9]))


class Errors(pair.Case):
    def test_an_empty_message(self):
        _, client = self.pair()
        with self.fails(errno.EINVAL):
            client.send(b"")

    def test_more_than_the_send_buffer(self):
        _, client = self.pair()
        room = client.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        with self.fails(errno.EMSGSIZE):
            client.send(b"x" * (room + 1))

    def test_unconnected(self):
        with self.fails(errno.EPIPE):
            self.keep(pair.new()).send(b"x")

    def test_a_listener(self):
        listener = self.keep(pair.listening())
        with self.fails(errno.EPIPE):
            listener.send(b"x")
        with self.fails(errno.ENOTCONN):
            listener.recv(9)

    def test_receive_unconnected(self):
        with self.fails(errno.ENOTCONN):
            self.keep(pair.new()).recv(9)

    def test_more_is_to_come(self):
        """Messages with MSG_MORE wait for one without, for enough to fill a packet, for the end, or for a SACK to go."""
        for last in (lambda _, sock: sock.send(b"!"), lambda _, sock: sock.send(b"!" * 70000, socket.MSG_MORE),
                     lambda _, sock: sock.shutdown(socket.SHUT_WR), lambda _, sock: sock.close(),
                     lambda peer, _: peer.send(b"?") and peer.send(b"?")):
            accepted, client = self.pair()
            for _ in range(2):
                client.send(b"more", socket.MSG_MORE)
            accepted.settimeout(0.3)
            with self.assertRaises(TimeoutError):
                accepted.recv(9)
            accepted.settimeout(None)
            last(accepted, client)
            self.assertEqual([accepted.recv(9), accepted.recv(9)], [b"more", b"more"])

    def test_sendto_connects(self):
        listener = self.keep(pair.listening())
        client = self.keep(pair.new())
        self.assertEqual(client.sendto(b"x", listener.getsockname()), 1)
        accepted = self.keep(listener.accept()[0])
        self.assertEqual(accepted.recv(9), b"x")
        accepted.send(b"y")
        self.assertEqual(client.recvmsg(9)[3], listener.getsockname())
        with self.fails(errno.ENOTCONN):  # Linux knows the peer of a connect only
            client.getpeername()

    def test_sendto_the_peer(self):
        accepted, client = self.pair()
        client.sendto(b"x", accepted.getsockname())
        self.assertEqual(accepted.recv(9), b"x")

    def sigpipe_status(self, flags):
        """How a process ends that sends into an association that has ended."""
        program = ("import signal, socket\n"
                   "listener, client = (socket.socket(type=socket.SOCK_STREAM, proto=132) for _ in range(2))\n"
                   "listener.bind(('127.0.0.1', 0))\n"
                   "listener.listen(1)\n"
                   "client.connect(listener.getsockname())\n"
                   "accepted = listener.accept()\n"
                   "signal.signal(signal.SIGPIPE, signal.SIG_DFL)\n"
                   "client.shutdown(socket.SHUT_WR)\n"
                   f"client.send(b'x', {int(flags)})\n")
        with socket.socket(type=socket.SOCK_DGRAM) as free:  # UDP 9899 is ours
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        return subprocess.run([sys.executable, "-ISc", program], env={**os.environ, "SCTP_UDP_PORT": str(port)},
                              stderr=subprocess.DEVNULL).returncode

    def test_sigpipe(self):
        self.assertEqual(self.sigpipe_status(0), -signal.SIGPIPE)

    def test_nosignal(self):
        self.assertEqual(self.sigpipe_status(socket.MSG_NOSIGNAL), 1)

    def test_a_closed_descriptor(self):
        sock = pair.new()
        fd = sock.fileno()
        sock.close()
        with self.fails(errno.EBADF):
            os.write(fd, b"x")
