"""Options and notifications that programs seldom use, and values of them that make no sense."""
import ctypes
import errno
import os
import select
import socket
import struct
import threading
import time

import pair

(RTOINFO, ASSOCINFO, INITMSG, PRIMARY_ADDR, ADAPTATION_LAYER, PEER_ADDR_PARAMS, DEFAULT_SEND_PARAM,
 EVENTS, I_WANT_MAPPED_V4_ADDR, STATUS, GET_PEER_ADDR_INFO, DELAYED_SACK, CONTEXT, RECVRCVINFO,
 RECVNXTINFO, DEFAULT_SNDINFO, REUSE_PORT, GET_PEER_ADDRS, GET_LOCAL_ADDRS, CONNECTX, EVENT) = (
    0, 1, 2, 6, 7, 9, 10, 11, 12, 14, 15, 16, 17, 32, 33, 34, 36, 108, 109, 110, 127)
BINDX_ADD, BINDX_REM = 100, 101
INIT, SNDRCV, SNDINFO, NXTINFO, PRINFO = 0, 1, 2, 4, 5
UNORDERED, NOTIFICATION = 1, 0x8000
ASSOC_CHANGE, SEND_FAILED, SHUTDOWN_EVENT, ADAPTATION, SENDER_DRY, SEND_FAILED_EVENT = (
    0x8001, 0x8003, 0x8005, 0x8007, 0x8009, 0x800d)
FIONREAD = 0x541B
SO_TIMESTAMP = 29
libc = ctypes.CDLL(None, use_errno=True)


def in_c(host, port):
    return (struct.pack("=H", socket.AF_INET) + struct.pack("!H", port) + socket.inet_aton(host)
            + bytes(8))


def unread(sock):
    left = ctypes.c_int()
    libc.ioctl(sock.fileno(), FIONREAD, ctypes.byref(left))
    return left.value


def poll(sock):
    """What poll says now of all that it can say."""
    return pair.poll((sock, select.POLLIN | select.POLLOUT | select.POLLRDHUP)).get(sock.fileno(), 0)


class Case(pair.Case):
    def ask(self, sock, option, question):
        """getsockopt of an option that reads from the buffer, too; Python's leaves it as it is."""
        buffer = ctypes.create_string_buffer(question, len(question))
        length = ctypes.c_uint(len(question))
        if libc.getsockopt(sock.fileno(), pair.SCTP, option, buffer, ctypes.byref(length)) < 0:
            raise OSError(ctypes.get_errno(), "getsockopt")
        return buffer.raw[:length.value + (8 if option == GET_LOCAL_ADDRS else 0)]  # Linux counts the addresses only

    def subscribe(self, sock, *kinds):
        for kind in kinds:
            sock.setsockopt(pair.SCTP, EVENT, struct.pack("iHBx", 0, kind, 1))

    def read_note(self, sock):
        data, _, flags, _ = sock.recvmsg(9999)
        self.assertTrue(flags & NOTIFICATION, (data, flags))
        return struct.unpack_from("HHI", data), data


class Options(Case):
    def test_of_one_number(self):
        for option in (RECVRCVINFO, RECVNXTINFO, I_WANT_MAPPED_V4_ADDR, REUSE_PORT):
            sock = self.keep(pair.new())
            for number in (1, 0):
                sock.setsockopt(pair.SCTP, option, number)
                self.assertEqual(sock.getsockopt(pair.SCTP, option), number)
            for call in (lambda: sock.setsockopt(pair.SCTP, option, b"\1"),
                         lambda: sock.getsockopt(pair.SCTP, option, 1)):
                with self.fails(errno.EINVAL):
                    call()

    def test_too_short_ones(self):
        sock = self.keep(pair.new())
        for option in (RTOINFO, ASSOCINFO, INITMSG, PRIMARY_ADDR, PEER_ADDR_PARAMS,
                       DEFAULT_SEND_PARAM, DELAYED_SACK, CONTEXT, DEFAULT_SNDINFO, EVENT):
            with self.fails(errno.EINVAL):
                sock.setsockopt(pair.SCTP, option, b"\0\0\0")
            with self.fails(errno.EINVAL):
                sock.getsockopt(pair.SCTP, option, 3)
        for option in (STATUS, GET_PEER_ADDR_INFO, GET_LOCAL_ADDRS, GET_PEER_ADDRS):
            with self.fails(errno.EINVAL):
                sock.getsockopt(pair.SCTP, option, 3)

    def test_of_an_association_that_is_not(self):
        sock = self.keep(pair.new())
        for option, size in ((PRIMARY_ADDR, 132), (GET_PEER_ADDR_INFO, 152), (GET_PEER_ADDRS, 200)):
            with self.fails(errno.EINVAL):
                sock.getsockopt(pair.SCTP, option, size)

    def test_primary_address(self):
        _, client = self.pair()
        port = client.getpeername()[1]
        got = self.ask(client, PRIMARY_ADDR, bytes(132))
        self.assertEqual(got[4:12], in_c("127.0.0.1", port)[:8])
        client.setsockopt(pair.SCTP, PRIMARY_ADDR, got)
        with self.fails(errno.EINVAL):
            other = in_c("127.0.0.3", port).ljust(128, b"\0")
            client.setsockopt(pair.SCTP, PRIMARY_ADDR, struct.pack("=i", 0) + other)

    def test_default_send_param(self):
        accepted, client = self.pair()
        accepted.setsockopt(pair.SCTP, RECVRCVINFO, 1)
        client.setsockopt(pair.SCTP, DEFAULT_SEND_PARAM,
                          struct.pack("HHH2xIIIIIi", 2, 0, UNORDERED, 77, 5, 0, 0, 0, 0))
        stream, _, flags, ppid, context = struct.unpack_from(
            "HHH2xII", client.getsockopt(pair.SCTP, DEFAULT_SEND_PARAM, 32))
        self.assertEqual((stream, flags, ppid, context), (2, UNORDERED, 77, 5))
        client.send(b"by default")
        (_, _, value), = accepted.recvmsg(99, 256)[1]
        self.assertEqual(struct.unpack_from("HHH2xI", value), (2, 0, UNORDERED, 77))
        with self.fails(errno.EINVAL):
            client.setsockopt(pair.SCTP, DEFAULT_SEND_PARAM,
                              struct.pack("HHH2xIIIIIi", 0, 0, 0xff00, 0, 0, 0, 0, 0, 0))

    def test_event(self):
        sock = self.keep(pair.new())
        self.subscribe(sock, SHUTDOWN_EVENT)
        for kind, on in ((SHUTDOWN_EVENT, 1), (ASSOC_CHANGE, 0)):
            self.assertEqual(self.ask(sock, EVENT, struct.pack("iHBx", 0, kind, 9))[6], on)
        for kind in (0x7000, 0x9000):
            with self.fails(errno.EINVAL):
                self.ask(sock, EVENT, struct.pack("iHBx", 0, kind, 1))
            with self.fails(errno.EINVAL):
                self.subscribe(sock, kind)
        with self.fails(errno.EINVAL):
            sock.setsockopt(pair.SCTP, EVENTS, bytes(100))
        self.assertEqual(len(sock.getsockopt(pair.SCTP, EVENTS, 100)), 14)

    def test_paths(self):
        _, client = self.pair()
        for flags, field, value in ((1, 2, 4000), (1 | 32 | 16, 5, 100), (8 | 1 | 4, 2, 30000)):
            params = [0, bytes(128), 0, 0, 0, 0, flags]
            params[field] = value
            client.setsockopt(pair.SCTP, PEER_ADDR_PARAMS,
                              struct.pack("=i128sIHIII", *params).ljust(156, b"\0"))
            self.assertEqual(struct.unpack_from("=i128sIHIII", self.ask(
                client, PEER_ADDR_PARAMS, bytes(156)))[field], value)
        client.setsockopt(pair.SCTP, PEER_ADDR_PARAMS, struct.pack(
            "=i128sIHIII", 0, bytes(128), 0, 0, 0, 0, 64).ljust(156, b"\0"))
        self.assertEqual(struct.unpack_from("=i128sIHIII", self.ask(
            client, PEER_ADDR_PARAMS, bytes(156)))[6] & 96, 64)  # delayed SACK is off
        with self.fails(errno.EINVAL):  # on and off
            client.setsockopt(pair.SCTP, PEER_ADDR_PARAMS, struct.pack(
                "=i128sIHIII", 0, bytes(128), 0, 0, 0, 0, 3).ljust(156, b"\0"))
        elsewhere = in_c("127.0.0.3", client.getpeername()[1]).ljust(128, b"\0")
        with self.fails(errno.EINVAL):
            self.ask(client, PEER_ADDR_PARAMS, struct.pack("=i", 0) + elsewhere + bytes(24))

    def test_delayed_sack_in_its_older_form(self):
        sock = self.keep(pair.new())
        sock.setsockopt(pair.SCTP, DELAYED_SACK, struct.pack("iI", 0, 123))
        self.assertEqual(struct.unpack("iI", sock.getsockopt(pair.SCTP, DELAYED_SACK, 8))[1], 123)

    def test_of_the_socket(self):
        sock = self.keep(pair.new(socket.AF_INET6))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.assertEqual(sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT), 1)
        for value, error in (((0, 1000000), errno.EDOM), ((0, -1), errno.EDOM)):
            with self.fails(error):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", *value))
        for value in ((-1, 0), (1 << 40, 0), (2, 500000)):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", *value))
        self.assertEqual(sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, 16),
                         struct.pack("ll", 2, 500000))
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        self.assertEqual(sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY), 1)
        sock.bind(("::1", 0))
        with self.fails(errno.EINVAL):
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)

    def test_they_come_through_a_refusal(self):
        """Options of a socket whose connect failed hold for the next one."""
        free = pair.listening()
        port = free.getsockname()[1]
        free.close()
        client = self.keep(pair.new())
        client.setsockopt(pair.SCTP, INITMSG, struct.pack("HHHH", 3, 7, 0, 0))
        client.setsockopt(pair.SCTP, INITMSG, struct.pack("HHHH", 4, 7, 0, 0))
        client.setsockopt(pair.SCTP, RTOINFO, struct.pack("=iIII", 0, 2000, 9000, 1500))
        with self.fails(errno.ECONNREFUSED):
            client.connect(("127.0.0.1", port))
        listener = self.keep(pair.listening())
        client.connect(listener.getsockname())
        status = client.getsockopt(pair.SCTP, STATUS, 176)
        self.assertEqual(struct.unpack_from("iiIHHHH", status)[6], 4)


class Addresses(Case):
    def list(self, sock, option, size):
        got = self.ask(sock, option, bytes(size))
        return struct.unpack_from("=iI", got)[1]

    def test_of_the_wildcard(self):
        sock = self.keep(pair.new())
        sock.bind(("", 0))
        self.assertGreaterEqual(self.list(sock, GET_LOCAL_ADDRS, 2000), 1)
        with self.fails(errno.ENOMEM):
            self.list(sock, GET_LOCAL_ADDRS, 8 + 4)

    def test_of_the_wildcard_of_both_families(self):
        """Each IPv6 address with its interface, loopback's, too."""
        sock = self.keep(pair.new(socket.AF_INET6))
        sock.bind(("::", 0))
        loopback = struct.pack("=HHI16sI", socket.AF_INET6, socket.htons(sock.getsockname()[1]), 0,
                               socket.inet_pton(socket.AF_INET6, "::1"), socket.if_nametoindex("lo"))
        self.assertIn(loopback, self.ask(sock, GET_LOCAL_ADDRS, bytes(2000)))

    def test_of_an_association(self):
        accepted, client = self.pair()
        self.assertEqual(self.list(accepted, GET_LOCAL_ADDRS, 2000), 1)
        with self.fails(errno.ENOMEM):
            self.list(client, GET_PEER_ADDRS, 8 + 4)

    def test_bindx(self):
        sock, other = self.keep(pair.new(), pair.new())
        for value in (b"", b"\2\0\0", bytes(16)):
            with self.fails(errno.EINVAL):
                sock.setsockopt(pair.SCTP, BINDX_ADD, value)
        sock.setsockopt(pair.SCTP, BINDX_ADD, in_c("127.0.0.1", 0))
        port = sock.getsockname()[1]
        with self.fails(errno.EINVAL):  # another port
            sock.setsockopt(pair.SCTP, BINDX_ADD, in_c("127.0.0.2", port ^ 1))
        with self.fails(errno.EINVAL):  # not bound to it, but it must not be the last one either
            sock.setsockopt(pair.SCTP, BINDX_ADD, in_c("127.0.0.1", port) + b"\2\0")
        other.setsockopt(pair.SCTP, BINDX_ADD, in_c("127.0.0.2", port))
        with self.fails(errno.EADDRINUSE):
            sock.setsockopt(pair.SCTP, BINDX_ADD, in_c("127.0.0.2", port))

    def test_shared_ports(self):
        """With SO_REUSEADDR on all of them (SCTP_REUSE_PORT: even for listeners)."""
        first, second, third = self.keep(*(pair.new() for _ in range(3)))
        for sock in (first, second):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        first.bind(("127.0.0.1", 0))
        second.bind(first.getsockname())
        with self.fails(errno.EADDRINUSE):
            third.bind(first.getsockname())
        first.listen(1)
        with self.fails(errno.EADDRINUSE):
            second.listen(1)

    def test_bindx_away(self):
        sock = self.keep(pair.new())
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        sock.setsockopt(pair.SCTP, BINDX_ADD, in_c("127.0.0.2", port))
        with self.fails(errno.EINVAL):
            sock.setsockopt(pair.SCTP, BINDX_REM, in_c("127.0.0.9", port))

    def test_connectx_to_no_port(self):
        with self.assertRaises(OSError):  # the kernel asks the peer, and is refused
            self.keep(pair.new()).setsockopt(pair.SCTP, CONNECTX, in_c("127.0.0.1", 0))


class Ancillary(Case):
    def send(self, sock, text, info):
        sock.sendmsg([text], [(pair.SCTP, SNDINFO, struct.pack("HHIIi", *info, 0))])

    def test_what_comes_next(self):
        accepted, client = self.pair()
        accepted.setsockopt(pair.SCTP, RECVNXTINFO, 1)
        control, deadline = [], time.monotonic() + pair.PATIENCE_S
        while control == []:  # when the first was read, the second was not there yet
            self.assertLess(time.monotonic(), deadline)
            client.send(b"first.")
            self.send(client, b"second", (1, UNORDERED, 99, 0))
            self.wait_until_acknowledged(client)
            got, control, _, _ = accepted.recvmsg(99, 256)
            accepted.recv(99)
        (_, kind, value), = control
        unlike_it = (0, 0, 0) if got == b"second" else (1, UNORDERED, 99)
        self.assertEqual((kind, *struct.unpack_from("HHII", value)), (NXTINFO, *unlike_it, 6))

    def test_asked_for_when_the_messages_have_come(self):
        accepted, client = self.pair()
        for stream in range(3):
            self.send(client, b"message", (stream, 0, 42, 0))
        self.wait_until_acknowledged(client)
        accepted.setsockopt(pair.SCTP, EVENTS, b"\1" + bytes(7))
        seen = []
        for room, flags in ((9, socket.MSG_PEEK), (3, 0), (9, 0), (9, 0)):
            _, ((_, _, value),), _, _ = accepted.recvmsg(room, 256, flags)
            seen.append(struct.unpack_from("H6xI", value))
        self.assertEqual(seen, [(0, 42), (0, 42), (0, 42), (1, 42)])

    def test_what_comes_next_asked_for_late(self):
        accepted, client = self.pair()
        for stream, text in ((0, b"first"), (1, b"next"), (2, b"third")):
            self.send(client, text, (stream, 0, 42, 0))
        self.wait_until_acknowledged(client)
        accepted.setsockopt(pair.SCTP, RECVNXTINFO, 1)
        accepted.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMP, 1)
        seen = []
        for _ in range(3):
            size = unread(accepted)
            control = [(kind, value) for _, kind, value in accepted.recvmsg(9, 256)[1]]
            seen.append((size, [(kind, *struct.unpack_from("H6xI", value)) if kind == NXTINFO else kind
                                for kind, value in control]))
        self.assertEqual(seen, [(5, [SO_TIMESTAMP, (NXTINFO, 1, 4)]), (4, [SO_TIMESTAMP, (NXTINFO, 2, 5)]),
                                (5, [SO_TIMESTAMP])])

    def test_what_comes_next_while_this_is_not_read(self):
        accepted, client = self.pair()
        for late in (True, False):
            for stream in range(2):
                self.send(client, b"message", (stream, 0, 42, 0))
            self.wait_until_acknowledged(client)
            accepted.setsockopt(pair.SCTP, RECVNXTINFO, 1)
            seen = []
            for room, flags in ((9, socket.MSG_PEEK), (0, 0), (3, 0), (9, 0)):
                _, ((_, _, value),), _, _ = accepted.recvmsg(room, 256, flags)
                seen.append(struct.unpack_from("H", value)[0])
            self.assertEqual(seen, [0, 1, 1, 1], late)
            self.assertEqual(accepted.recvmsg(9, 256)[:2], (b"message", []))

    def test_more_than_one_says_how_to_send(self):
        """They count in the order of their numbers, wherever they stand."""
        accepted, client = self.pair()
        accepted.setsockopt(pair.SCTP, RECVRCVINFO, 1)
        sndrcv = (pair.SCTP, SNDRCV, struct.pack("HHH2xIIIIIi", 9999, 0, 0x200, 7, 0, 0, 0, 0, 0))
        sndinfo = (pair.SCTP, SNDINFO, struct.pack("HHIIi", 3, 0, 42, 0, 0))
        for both in ([sndrcv, sndinfo], [sndinfo, sndrcv]):
            client.sendmsg([b"x"], both)
            _, ((_, _, value),), _, _ = accepted.recvmsg(9, 256)
            self.assertEqual(struct.unpack_from("H4xI", value), (3, 42))

    def test_too_little_room(self):
        accepted, client = self.pair()
        accepted.setsockopt(pair.SCTP, RECVRCVINFO, 1)
        for room, sizes in ((20, [4]), (8, [])):
            self.send(client, b"x", (1, 0, 42, 0))
            data, control, flags, _ = accepted.recvmsg(9, room)
            self.assertEqual((data, [len(value) for _, _, value in control]), (b"x", sizes))
            self.assertTrue(flags & socket.MSG_CTRUNC)

    def test_lifetimes(self):
        """PR-SCTP, by either kind of ancillary data; there is no hurry, so all arrive."""
        accepted, client = self.pair()
        for policy, value in ((0x10, 5000), (0x20, 3), (0x30, 1), (0, 0)):
            client.sendmsg([b"x"], [(pair.SCTP, PRINFO, struct.pack("HxxI", policy, value))])
            self.assertEqual(accepted.recv(9), b"x")
        client.sendmsg([b"x"], [(pair.SCTP, SNDRCV, struct.pack("HHH2xIIIIIi", 0, 0, 0, 0, 0, 5000, 0, 0, 0))])
        self.assertEqual(accepted.recv(9), b"x")

    def test_a_lifetime_of_no_time(self):
        accepted, client = self.pair()
        client.sendmsg([b"late"], [(pair.SCTP, PRINFO, struct.pack("HxxI", 0x10, 0))])
        client.send(b"in time")
        self.assertEqual(accepted.recv(9), b"in time")

    def test_not_to_the_peer(self):
        _, client = self.pair()
        for flags in (0x200, 4):  # SCTP_EOF and SCTP_ABORT
            with self.fails(errno.EINVAL):
                self.send(client, b"x", (0, flags, 0, 0))

    def test_a_flag_that_there_is_not(self):
        _, client = self.pair()
        for flags in (0x80, 0x4000):
            with self.fails(errno.EINVAL):
                self.send(client, b"x", (0, flags, 0, 0))
            with self.fails(errno.EINVAL):  # though another one counts
                client.sendmsg([b"x"], [(pair.SCTP, SNDINFO, struct.pack("HHIIi", 0, bad, 0, 0, 0)) for bad in (flags, 0)])

    def test_a_policy_that_there_is_not(self):
        _, client = self.pair()
        with self.fails(errno.EINVAL):
            client.sendmsg([b"x"], [(pair.SCTP, PRINFO, struct.pack("HI", 0x40, 5))])


class Notifications(Case):
    def test_sender_dry(self):
        accepted, client = self.pair()
        self.subscribe(client, SENDER_DRY)
        client.send(b"x")
        self.assertEqual(accepted.recv(9), b"x")
        (kind, _, length), _ = self.read_note(client)
        self.assertEqual((kind, length), (SENDER_DRY, 12))

    def lose(self, kind):
        """The notification of a message that was on its way when the peer aborted."""
        accepted, client = self.pair()
        self.subscribe(client, kind)
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.setsockopt(pair.SCTP, DEFAULT_SNDINFO, struct.pack("HHIIi", 1, 0, 42, 0, 0))
        pair.fill(client, b"lost" * 2500)
        client.settimeout(pair.PATIENCE_S)
        accepted.close()
        (got, _, length), data = self.read_note(client)
        self.assertEqual(got, kind)
        self.assertGreater(length, 1000)
        return data

    def test_send_failed_event(self):
        data = self.lose(SEND_FAILED_EVENT)
        self.assertEqual(struct.unpack_from("HHI", data, 12)[0], 1)
        self.assertEqual(struct.unpack_from("HHI", data, 12)[2], 42)

    def test_send_failed(self):
        data = self.lose(SEND_FAILED)
        self.assertEqual(struct.unpack_from("H", data, 12)[0], 1)

    def test_adaptation(self):
        listener = self.keep(pair.listening())
        self.subscribe(listener, ADAPTATION)
        client = self.keep(pair.new())
        client.setsockopt(pair.SCTP, ADAPTATION_LAYER, struct.pack("I", 0x1234))
        client.connect(listener.getsockname())
        accepted = self.keep(listener.accept()[0])
        (kind, _, length), data = self.read_note(accepted)
        self.assertEqual((kind, length), (ADAPTATION, 16))
        self.assertEqual(struct.unpack_from("I", data, 8)[0], 0x1234)

    def subscribe_all(self, sock):
        """But those of AUTH, and the end of what was sent."""
        sock.setsockopt(pair.SCTP, EVENTS, b"\1" * 8)

    def test_of_a_life(self):
        listener = self.keep(pair.listening())
        self.subscribe_all(listener)
        client = self.keep(pair.new())
        self.subscribe_all(client)
        client.connect(listener.getsockname())
        accepted = self.keep(listener.accept()[0])
        client.send(b"x")
        for sock in (client, accepted):
            sock.settimeout(pair.PATIENCE_S)  # so recv is a poll before it is a recvmsg
            (kind, _, _), data = self.read_note(sock)
            self.assertEqual(kind, ASSOC_CHANGE)
            self.assertEqual(struct.unpack_from("HHHH", data, 8), (0, 0, 10, 10))
        self.assertEqual(accepted.recv(9), b"x")
        client.close()
        self.assertEqual(self.read_note(accepted)[0][0], SHUTDOWN_EVENT)
        (kind, _, length), data = self.read_note(accepted)
        self.assertEqual((kind, length), (ASSOC_CHANGE, 20))
        self.assertEqual(struct.unpack_from("HHHH", data, 8), (3, 0, 0, 0))
        self.assertEqual(accepted.recv(9), b"")

    def test_of_a_refusal(self):
        nobody, sock = self.keep(pair.new(), pair.new())
        nobody.bind(("127.0.0.1", 0))
        self.subscribe(sock, ASSOC_CHANGE)
        with self.fails(errno.ECONNREFUSED):
            sock.connect(nobody.getsockname())
        (kind, _, length), data = self.read_note(sock)
        self.assertEqual((kind, length), (ASSOC_CHANGE, 20))
        self.assertEqual(struct.unpack_from("HHHH", data, 8), (4, 0, 0, 0))

    def test_of_an_abort(self):
        """It has the cause, as it came from the wire: user-initiated."""
        accepted, client = self.pair()
        self.subscribe(client, ASSOC_CHANGE)
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        accepted.close()
        (kind, _, length), data = self.read_note(client)
        self.assertEqual((kind, length), (ASSOC_CHANGE, 24))
        self.assertEqual(struct.unpack_from("!H", data, 10)[0], 12)
        self.assertEqual(struct.unpack_from("!HH", data, 20), (12, 4))

    def test_that_nobody_has_accepted(self):
        """What a listener has not accepted is shut down with it, not aborted."""
        listener = self.keep(pair.listening())
        self.subscribe(listener, ASSOC_CHANGE)
        client = self.keep(pair.new())
        client.connect(listener.getsockname())
        listener.close()
        self.assertEqual(client.recv(9), b"")

    def test_that_came_before_nobody_wanted_them_any_more(self):
        client, listener = self.keep(pair.new(), pair.listening())
        self.subscribe(client, ASSOC_CHANGE)
        client.connect(listener.getsockname())
        client.setsockopt(pair.SCTP, EVENTS, bytes(14))
        (kind, _, length), data = self.read_note(client)
        self.assertEqual((kind, length, len(data)), (ASSOC_CHANGE, 20, 20))

    def test_size_of_what_comes_next(self):
        listener = self.keep(pair.listening())
        self.subscribe(listener, ASSOC_CHANGE)
        accepted, _ = self.keep(*pair.connected(listener))
        self.becomes(lambda: unread(accepted), 20)
        accepted, client = self.pair()
        client.send(bytes(100000))
        self.becomes(lambda: unread(accepted), 100000)

    def test_fionread_of_one(self):
        listener = self.keep(pair.listening())
        self.subscribe(listener, ASSOC_CHANGE)
        accepted, _ = self.keep(*pair.connected(listener))
        self.assertEqual(len(accepted.recvmsg(8)[0]), 8)
        self.assertEqual(unread(accepted), 12)


class Errors(Case):
    def refuse(self, sock):
        sock.bind(("127.0.0.1", 0))
        nobody = self.keep(pair.new())
        nobody.bind(("127.0.0.1", 0))
        with self.fails(errno.ECONNREFUSED):
            sock.connect(nobody.getsockname())

    def test_of_a_connect_stays(self):
        """connect has told it, and yet SO_ERROR, poll and the next send tell it once more."""
        first, second = self.keep(pair.new(), pair.new())
        self.refuse(first)
        self.assertEqual(poll(first), pair.lifeless(select.POLLERR, select.POLLERR, select.POLLHUP))
        self.assertEqual(first.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), errno.ECONNREFUSED)
        self.assertEqual(poll(first), pair.lifeless(0, select.POLLERR, select.POLLHUP))
        self.refuse(second)
        for error in (errno.ECONNREFUSED, errno.EPIPE):
            with self.fails(error):
                second.send(b"x")


class Ends(Case):
    """Only the peer's SHUTDOWN is the end of the file: not ours, and no ABORT."""

    def test_ours(self):
        accepted, client = self.pair()
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(accepted.recvfrom(9)[0], b"")
        self.wait_for_the_end(client)
        self.assertEqual(poll(client), select.POLLOUT)
        with self.fails(errno.ENOTCONN):
            client.recv(9)
        with self.fails(errno.EAGAIN):
            client.recv(9, socket.MSG_DONTWAIT)

    def test_of_what_is_unread_does_not_linger(self):
        accepted, client = self.pair()
        self.subscribe(client, SHUTDOWN_EVENT)
        client.send(b"unread")
        self.assertNotEqual(pair.poll((accepted, select.POLLIN), timeout_s=pair.PATIENCE_S), {})
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 1))
        accepted.close()
        with self.fails(errno.ECONNRESET):
            client.recv(99)

    def test_is_from_nobody(self):
        accepted, client = self.pair()
        accepted.setsockopt(pair.SCTP, RECVRCVINFO, 1)
        client.close()
        name, length = ctypes.create_string_buffer(28), ctypes.c_uint(28)
        self.assertEqual(libc.recvfrom(accepted.fileno(), name, 9, 0, name, ctypes.byref(length)), 0)
        self.assertEqual(length.value, 0)
        self.assertEqual(accepted.recvmsg(9, 256)[:3], (b"", [], 0))
        self.wait_for_the_end(accepted)
        with self.fails(errno.EINVAL):
            self.ask(accepted, GET_PEER_ADDRS, bytes(200))

    def test_by_abort(self):
        accepted, client = self.pair()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        accepted.close()
        self.becomes(lambda: poll(client), pair.lifeless(select.POLLOUT | select.POLLERR, select.POLLHUP))
        with self.fails(errno.ECONNRESET):
            client.recv(9)
        self.assertEqual(poll(client), pair.lifeless(select.POLLOUT, select.POLLHUP))
        with self.fails(errno.ENOTCONN):
            client.recv(9)
        with self.fails(errno.EAGAIN):
            client.recv(9, socket.MSG_DONTWAIT)

    def test_the_peers_shows_before_all_is_read(self):
        accepted, client = self.pair()
        accepted.send(b"unread")
        accepted.shutdown(socket.SHUT_WR)
        self.becomes(lambda: poll(client), select.POLLIN | select.POLLOUT | select.POLLRDHUP)
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(poll(client), select.POLLIN | select.POLLOUT | select.POLLRDHUP
                         | select.POLLHUP)
        self.assertEqual([client.recv(9), client.recv(9)], [b"unread", b""])


class Order(Case):
    """Of two reasons to fail, the kernel's first."""

    def test_of_connect(self):
        accepted, client = self.pair()
        for address in (("127.0.0.1", 0), ("0.0.0.0", 1)):
            with self.fails(errno.EISCONN):
                client.connect(address)
        with self.fails(errno.EISCONN):
            accepted.setsockopt(pair.SCTP, CONNECTX, in_c("0.0.0.0", 1))

    def test_of_a_send(self):
        accepted, client = self.pair()
        unknown, eof = (pair.SCTP, 99, b"1234"), (pair.SCTP, SNDINFO, struct.pack("HHIIi", 0, 0x200,
                                                                                  0, 0, 0))
        with self.fails(errno.EPIPE):
            self.keep(pair.listening()).sendmsg([bytes(300000)], [unknown])
        for sock in (self.keep(pair.new()), client):
            with self.fails(errno.EMSGSIZE):
                sock.sendmsg([bytes(300000)], [unknown])
            for data, control in ((b"x", unknown), (b"x", eof), (b"", eof)):
                with self.fails(errno.EINVAL):
                    sock.sendmsg([data], [control])
        accepted.close()
        self.wait_for_the_end(client)
        with self.fails(errno.EADDRNOTAVAIL):  # it is nobody's any more
            client.sendto(b"x", client.getpeername())
        with self.fails(errno.EPIPE):
            client.send(b"x")

    def test_another_destination_needs_one(self):
        _, client = self.pair()
        override = (pair.SCTP, SNDINFO, struct.pack("HHIIi", 0, 2, 0, 0, 0))
        with self.fails(errno.EINVAL):
            client.sendmsg([b"x"], [override])
        self.assertEqual(client.sendmsg([b"x"], [override], 0, client.getpeername()), 1)

    def test_of_bindx(self):
        sock = self.keep(pair.new())
        with self.fails(errno.EBUSY):
            sock.setsockopt(pair.SCTP, BINDX_REM, in_c("127.0.0.9", 1))
        sock.bind(("127.0.0.1", 0))
        for host in ("127.0.0.1", "0.0.0.0"):
            with self.fails(errno.EINVAL):
                sock.setsockopt(pair.SCTP, BINDX_ADD, in_c(host, sock.getsockname()[1]))


class Unconnected(Case):
    def test_connect_to_port_0(self):
        sock = self.keep(pair.new())
        with self.fails(errno.ECONNREFUSED):
            sock.connect(("127.0.0.1", 0))
        self.assertEqual(poll(sock), pair.lifeless(select.POLLERR, select.POLLERR, select.POLLHUP))

    def test_connect_to_the_wildcard(self):
        listener = self.keep(pair.listening(host="0.0.0.0"))
        port = listener.getsockname()[1]
        with self.fails(errno.EINVAL):
            self.keep(pair.new()).connect(("0.0.0.0", port))
        with self.fails(errno.EINVAL):
            self.keep(pair.new()).sendto(b"x", ("0.0.0.0", port))
        with self.fails(errno.EINVAL):
            self.keep(pair.new(socket.AF_INET6)).connect(("::", port))

    def test_shutdown_shows(self):
        for how, events in ((socket.SHUT_RD, select.POLLIN | select.POLLRDHUP), (socket.SHUT_WR, 0),
                            (socket.SHUT_RDWR, select.POLLIN | select.POLLRDHUP | select.POLLHUP)):
            sock = self.keep(pair.new())
            with self.fails(errno.ENOTCONN):
                sock.shutdown(how)
            self.assertEqual(poll(sock), events)
            if events:
                self.assertEqual(sock.recv(9), b"")

    def test_listen_0(self):
        with self.fails(errno.EINVAL):
            self.keep(pair.new()).listen(0)

    def test_listen_after_shutdown(self):
        listener = self.keep(pair.listening())
        with self.fails(errno.EOPNOTSUPP):
            listener.shutdown(socket.SHUT_RD)
        for backlog in (0, 5):
            with self.fails(errno.EINVAL):
                listener.listen(backlog)
        self.keep(*pair.connected(listener))  # it still does


class OnTheWay(Case):
    """sendto without a connect before it."""

    def test_nobody_answers(self):
        nobody, listener = self.keep(pair.new(), pair.listening())
        nobody.bind(("127.0.0.1", 0))
        for address in (nobody.getsockname(), ("127.0.0.1", 0)):
            for blocking in (True, False):
                sock = self.keep(pair.new())
                sock.setblocking(blocking)
                self.assertEqual(sock.sendto(b"lost", address), 4)
                self.becomes(lambda: poll(sock), pair.lifeless(select.POLLERR, select.POLLERR, select.POLLHUP))
                with self.fails(errno.ECONNREFUSED):
                    sock.recv(9) if blocking else sock.send(b"x")
                self.assertEqual(sock.sendto(b"again", listener.getsockname()), 5)
                self.assertEqual(self.keep(listener.accept()[0]).recv(9), b"again")

    def test_without_waiting(self):
        listener, sock = self.keep(pair.listening()), self.keep(pair.new())
        sock.setblocking(False)
        for text in (b"first", b"second"):
            self.assertEqual(sock.sendto(text, listener.getsockname()), len(text))
        accepted = self.keep(listener.accept()[0])
        self.assertEqual([accepted.recv(9), accepted.recv(9)], [b"first", b"second"])

    def test_how_many_streams(self):
        listener, sock = self.keep(pair.listening()), self.keep(pair.new())
        init = (pair.SCTP, INIT, struct.pack("HHHH", 3, 0, 0, 0))
        sock.sendmsg([b"x"], [init], 0, listener.getsockname())
        self.assertEqual(struct.unpack_from("iiIHHHH", sock.getsockopt(pair.SCTP, STATUS, 176))[6],
                         3)

    def test_what_cannot_be_sent_connects_nobody(self):
        listener, sock = self.keep(pair.listening()), self.keep(pair.new())
        stream = (pair.SCTP, SNDINFO, struct.pack("HHIIi", 9999, 0, 0, 0, 0))
        with self.fails(errno.EINVAL):
            sock.sendmsg([b"x"], [stream], 0, listener.getsockname())
        self.assertEqual(poll(listener), 0)
        sock.connect(listener.getsockname())


class Waiting(Case):
    def test_two_threads_wait_for_one_socket(self):
        accepted, client = self.pair()
        got = []
        threads = [threading.Thread(target=lambda: got.append(accepted.recv(9))) for _ in range(3)]
        for thread in threads:
            thread.start()
        for text in (b"one", b"two", b"three"):
            client.send(text)
        for thread in threads:
            thread.join(pair.PATIENCE_S)
        self.assertEqual(sorted(got), [b"one", b"three", b"two"])

    def test_a_read_of_nothing_leaves_the_message(self):
        accepted, client = self.pair()
        client.send(b"whole")
        self.assertEqual(accepted.recvmsg(0), (b"", [], 0, client.getsockname()))
        self.assertEqual(accepted.recv(9), b"whole")

    def test_a_read_of_nothing_fails_as_others_do(self):
        accepted, client = self.pair()
        accepted.setblocking(False)
        with self.fails(errno.EAGAIN):
            accepted.recvmsg(0)
        accepted.setblocking(True)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        pair.poll((accepted, select.POLLIN), timeout_s=pair.PATIENCE_S)
        with self.fails(errno.ECONNRESET):
            accepted.recvmsg(0)

    def test_fionread_of_an_unconnected_one(self):
        left = ctypes.c_int(7)
        sock = self.keep(pair.new())
        libc.ioctl(sock.fileno(), FIONREAD, ctypes.byref(left))
        self.assertIn(left.value, (0, 7))  # the kernel: ENOTCONN, or nothing


class Children(Case):
    def test_a_child_that_ends_as_programs_do(self):
        """It can open sockets of its own, and leaves by exit(3)."""
        listener = self.keep(pair.listening())
        name = listener.getsockname()
        before = self.keep(*pair.connected(listener))
        child = os.fork()
        if child == 0:
            sock = pair.new()
            sock.connect(name)
            sock.send(b"from the child")
            libc.exit(0 if sock.recv(9) == b"answer" else 1)
        accepted = self.keep(listener.accept()[0])
        self.assertEqual(accepted.recv(99), b"from the child")
        accepted.send(b"answer")
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        before[0].send(b"the parent goes on")
        self.assertEqual(before[1].recv(99), b"the parent goes on")
