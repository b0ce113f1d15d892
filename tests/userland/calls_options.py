"""getsockopt and setsockopt: numbers and structs of Linux. Notifications and ancillary data."""
import ctypes
import errno
import socket
import struct
import time

import pair

(RTOINFO, ASSOCINFO, INITMSG, NODELAY, AUTOCLOSE, EVENTS, MAXSEG, STATUS,
 DELAYED_SACK, CONTEXT, RECVRCVINFO, DEFAULT_SNDINFO, EVENT) = (
    0, 1, 2, 3, 4, 11, 13, 14, 16, 17, 32, 34, 127)
SNDRCV, SNDINFO, RCVINFO, PRINFO = 1, 2, 3, 5
ADAPTATION_LAYER, PEER_ADDR_PARAMS, FRAGMENT_INTERLEAVE, PARTIAL_DELIVERY_POINT, CONNECTX3 = 7, 9, 18, 19, 111
SIZES = {RTOINFO: [16], ASSOCINFO: [20], INITMSG: [8], NODELAY: [4, 8, 12, 16, 20, 32, 152, 156, 160],
         ADAPTATION_LAYER: [4], PEER_ADDR_PARAMS: [152, 156], MAXSEG: [4, 8], DELAYED_SACK: [8, 12],
         CONTEXT: [8], FRAGMENT_INTERLEAVE: [4], PARTIAL_DELIVERY_POINT: [4], DEFAULT_SNDINFO: [16]}
MSG_NOTIFICATION = 0x8000
ASSOC_CHANGE, SHUTDOWN_EVENT = 0x8001, 0x8005


class Socket(pair.Case):
    def test_what_it_is(self):
        sock = self.keep(pair.new(socket.AF_INET6))
        for option, value in ((socket.SO_TYPE, socket.SOCK_STREAM), (socket.SO_PROTOCOL, 132),
                              (socket.SO_DOMAIN, socket.AF_INET6), (socket.SO_ACCEPTCONN, 0),
                              (socket.SO_ERROR, 0)):
            self.assertEqual(sock.getsockopt(socket.SOL_SOCKET, option), value)
        sock.listen(1)
        self.assertEqual(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN), 1)

    def test_buffers_are_doubled(self):
        sock = self.keep(pair.new())
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, 50000)
            self.assertEqual(sock.getsockopt(socket.SOL_SOCKET, option), 100000)

    def test_flags(self):
        sock = self.keep(pair.new())
        for option in (socket.SO_REUSEADDR, socket.SO_KEEPALIVE):
            self.assertEqual(sock.getsockopt(socket.SOL_SOCKET, option), 0)
            sock.setsockopt(socket.SOL_SOCKET, option, 1)
            self.assertEqual(sock.getsockopt(socket.SOL_SOCKET, option), 1)

    def test_linger(self):
        sock = self.keep(pair.new())
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 7))
        self.assertEqual(sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8),
                         struct.pack("ii", 1, 7))

    def test_time_stamps(self):
        server, client = self.pair()
        for option, divisor in ((29, 10**6), (35, 10**9)):  # SO_TIMESTAMP, SO_TIMESTAMPNS: what turns one on turns the other off
            server.setsockopt(socket.SOL_SOCKET, option, 1)
            client.send(b"now")
            data, ancillary, _, _ = server.recvmsg(99, 99)
            self.assertEqual((data, [(level, kind) for level, kind, _ in ancillary]), (b"now", [(socket.SOL_SOCKET, option)]))
            seconds, parts = struct.unpack("ll", ancillary[0][2])
            self.assertAlmostEqual(seconds + parts / divisor, time.time(), delta=pair.PATIENCE_S)

    def test_unknown(self):
        sock = self.keep(pair.new())
        for level in (socket.SOL_SOCKET, pair.SCTP):
            with self.fails(errno.ENOPROTOOPT):
                sock.setsockopt(level, 9999, 1)
            with self.fails(errno.ENOPROTOOPT):
                sock.getsockopt(level, 9999)

    def test_too_short(self):
        sock = self.keep(pair.new())
        with self.fails(errno.EINVAL):
            sock.setsockopt(pair.SCTP, NODELAY, b"\0")
        with self.fails(errno.EINVAL):
            sock.getsockopt(pair.SCTP, RTOINFO, 4)

    def test_only_sizes_that_the_kernel_takes(self):
        """Which sizes an option can have: what net/sctp/socket.c checks."""
        sock = self.keep(pair.new())
        accepted = {option: [size for size in (1, 4, 8, 12, 16, 20, 32, 152, 156, 160)
                             if self.takes(sock, option, bytes(size))] for option in SIZES}
        self.assertEqual(accepted, SIZES)

    def takes(self, sock, option, value):
        try:
            sock.setsockopt(pair.SCTP, option, value)
            return True
        except OSError as error:
            self.assertEqual(error.errno, errno.EINVAL)
            return False

    def test_part_of_a_socket_option(self):
        sock = self.keep(pair.new())
        self.assertEqual(sock.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE, 1), b"\1")
        self.assertEqual(sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 5), bytes(5))

    def test_defaults(self):
        sock = self.keep(pair.new())
        for option in (FRAGMENT_INTERLEAVE, PARTIAL_DELIVERY_POINT):
            self.assertEqual(sock.getsockopt(pair.SCTP, option), 0)

    def test_all_paths_of_an_association(self):
        """An address of no family stands for all of them."""
        _, client = self.pair()
        every_5s = struct.pack("=i128sIHIII", 0, bytes(128), 5000, 0, 0, 0, 1).ljust(156, b"\0")
        client.setsockopt(pair.SCTP, PEER_ADDR_PARAMS, every_5s)
        got = struct.unpack("=i128sIHIII", self.ask(client, PEER_ADDR_PARAMS, bytes(152))[:150])
        self.assertEqual((got[2], got[6] & 1), (5000, 1))

    def ask(self, sock, option, question):
        """getsockopt of an option that reads from the buffer, too; Python's leaves it as it is."""
        buffer, length = ctypes.create_string_buffer(question, len(question)), ctypes.c_uint(len(question))
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.getsockopt(sock.fileno(), pair.SCTP, option, buffer, ctypes.byref(length)) < 0:
            raise OSError(ctypes.get_errno(), "getsockopt")
        return buffer.raw[:length.value]

    def test_addresses_from_nowhere(self):
        """sctp_connectx(3) passes them by a pointer within the option."""
        sock = self.keep(pair.new())
        with self.fails(errno.EFAULT):
            self.ask(sock, CONNECTX3, struct.pack("iiP", 0, 16, 0))

    def test_one_to_many_only(self):
        with self.fails(errno.EOPNOTSUPP):
            self.keep(pair.new()).setsockopt(pair.SCTP, AUTOCLOSE, 5)


class Association(pair.Case):
    def same(self, option, form, *values, of=None):
        """Sets the option, and gets the same back."""
        sock = of or self.keep(pair.new())
        value = struct.pack(form, *values)
        sock.setsockopt(pair.SCTP, option, value)
        got = struct.unpack(form, sock.getsockopt(pair.SCTP, option, len(value)))
        skip = form[0] == "i" and len(form) > 1  # the association's id: left as it was
        self.assertEqual(got[skip:], values[skip:])

    def test_nodelay(self):
        self.assertEqual(self.keep(pair.new()).getsockopt(pair.SCTP, NODELAY), 0)
        self.same(NODELAY, "i", 1)

    def test_initmsg(self):
        self.same(INITMSG, "HHHH", 5, 6, 3, 2000)

    def test_rtoinfo(self):
        self.same(RTOINFO, "iIII", 0, 500, 20000, 200)

    def test_delayed_sack(self):
        self.same(DELAYED_SACK, "iII", 0, 100, 3)

    def test_context(self):
        self.same(CONTEXT, "iI", 0, 77)

    def test_maxseg(self):
        self.same(MAXSEG, "iI", 0, 1000)

    def test_default_sndinfo(self):
        self.same(DEFAULT_SNDINFO, "HHIIi", 1, 0, 42, 7, 0)

    def test_associnfo(self):
        sock = self.keep(pair.new())
        sock.setsockopt(pair.SCTP, ASSOCINFO, struct.pack("iHHIII", 0, 4, 0, 0, 0, 30000))
        value = struct.unpack("iHHIII", sock.getsockopt(pair.SCTP, ASSOCINFO, 20))
        self.assertEqual((value[1], value[5]), (4, 30000))

    def test_streams_are_negotiated(self):
        listener = self.keep(pair.listening())
        client = self.keep(pair.new())
        client.setsockopt(pair.SCTP, INITMSG, struct.pack("HHHH", 5, 3, 0, 0))
        client.connect(listener.getsockname())
        self.assertEqual(self.streams(client), (3, 5))
        self.assertEqual(self.streams(self.keep(listener.accept()[0])), (5, 3))

    def status(self, sock):
        return struct.unpack_from("iiIHHHHI", sock.getsockopt(pair.SCTP, STATUS, 176))

    def streams(self, sock):
        return self.status(sock)[5:7]

    def test_status(self):
        accepted, client = self.pair()
        for sock, peer in ((accepted, client), (client, accepted)):
            self.assertEqual(self.status(sock)[1], 4)  # SCTP_ESTABLISHED
            address = sock.getsockopt(pair.SCTP, STATUS, 176)[28:44]
            port = peer.getsockname()[1]
            self.assertEqual(address[:8],
                             struct.pack("=H", socket.AF_INET) + struct.pack("!H", port)
                             + socket.inet_aton("127.0.0.1"))

    def test_status_without_an_association(self):
        with self.fails(errno.EINVAL):
            self.keep(pair.new()).getsockopt(pair.SCTP, STATUS, 176)

    def test_nodelay_of_a_listener_is_inherited(self):
        listener = self.keep(pair.listening())
        listener.setsockopt(pair.SCTP, NODELAY, 1)
        accepted, _ = self.keep(*pair.connected(listener))
        self.assertEqual(accepted.getsockopt(pair.SCTP, NODELAY), 1)


class Ancillary(pair.Case):
    def test_stream_and_payload_protocol(self):
        accepted, client = self.pair()
        accepted.setsockopt(pair.SCTP, RECVRCVINFO, 1)
        client.sendmsg([b"x"], [(pair.SCTP, SNDINFO, struct.pack("HHIIi", 3, 0, 0x11223344, 0, 0))])
        data, control, flags, _ = accepted.recvmsg(99, 256)
        self.assertEqual((data, flags), (b"x", socket.MSG_EOR))
        (level, kind, value), = control
        sid, _, unordered, ppid = struct.unpack_from("HHH2xI", value)
        self.assertEqual((level, kind, sid, unordered, ppid),
                         (pair.SCTP, RCVINFO, 3, 0, 0x11223344))

    def test_unordered(self):
        accepted, client = self.pair()
        accepted.setsockopt(pair.SCTP, EVENTS, b"\1")
        client.sendmsg([b"x"], [(pair.SCTP, SNDRCV, struct.pack("HHH2xIIIIIi", 2, 0, 1, 9, 0, 0, 0, 0, 0))])
        (level, kind, value), = accepted.recvmsg(99, 256)[1]
        sid, _, flags, ppid = struct.unpack_from("HHH2xI", value)
        self.assertEqual((level, kind, sid, flags & 1, ppid), (pair.SCTP, SNDRCV, 2, 1, 9))

    def test_a_stream_that_there_is_not(self):
        _, client = self.pair()
        with self.fails(errno.EINVAL):
            client.sendmsg([b"x"], [(pair.SCTP, SNDINFO, struct.pack("HHIIi", 999, 0, 0, 0, 0))])

    def test_malformed(self):
        _, client = self.pair()
        with self.fails(errno.EINVAL):
            client.sendmsg([b"x"], [(pair.SCTP, SNDINFO, b"short")])

    def test_no_room_for_it(self):
        accepted, client = self.pair()
        accepted.setsockopt(pair.SCTP, RECVRCVINFO, 1)
        client.send(b"x")
        self.assertEqual(accepted.recvmsg(9, 8)[:3],
                         (b"x", [], socket.MSG_EOR | socket.MSG_CTRUNC))


class Notifications(pair.Case):
    def subscribe(self, sock, *kinds):
        for kind in kinds:
            sock.setsockopt(pair.SCTP, EVENT, struct.pack("iHBx", 0, kind, 1))

    def read(self, sock):
        data, _, flags, _ = sock.recvmsg(999)
        self.assertTrue(flags & MSG_NOTIFICATION and flags & socket.MSG_EOR, (data, flags))
        return data

    def test_up_and_down(self):
        listener = self.keep(pair.listening())
        self.subscribe(listener, ASSOC_CHANGE, SHUTDOWN_EVENT)
        accepted, client = self.keep(*pair.connected(listener))
        kind, _, length, state = struct.unpack_from("HHIH", self.read(accepted))
        self.assertEqual((kind, length, state), (ASSOC_CHANGE, 20, 0))  # SCTP_COMM_UP
        client.send(b"data between")
        self.assertEqual(accepted.recv(99), b"data between")
        client.close()
        self.assertEqual(struct.unpack_from("HHI", self.read(accepted)), (SHUTDOWN_EVENT, 0, 12))
        kind, _, _, state = struct.unpack_from("HHIH", self.read(accepted))
        self.assertEqual((kind, state), (ASSOC_CHANGE, 3))  # SCTP_SHUTDOWN_COMP
        self.assertEqual(accepted.recv(9), b"")

    def test_in_short_reads(self):
        listener = self.keep(pair.listening())
        self.subscribe(listener, ASSOC_CHANGE)
        accepted, _ = self.keep(*pair.connected(listener))
        first, _, flags, _ = accepted.recvmsg(8)
        self.assertEqual((len(first), flags), (8, MSG_NOTIFICATION))
        rest, _, flags, _ = accepted.recvmsg(99)
        self.assertEqual((len(rest), flags), (12, MSG_NOTIFICATION | socket.MSG_EOR))

    def test_subscriptions_can_be_read(self):
        sock = self.keep(pair.new())
        sock.setsockopt(pair.SCTP, EVENTS, bytes([0, 1, 0, 0, 0, 1, 0, 0]))
        self.assertEqual(sock.getsockopt(pair.SCTP, EVENTS, 8), bytes([0, 1, 0, 0, 0, 1, 0, 0]))

    def test_unread_ones_do_not_abort(self):
        listener = self.keep(pair.listening())
        self.subscribe(listener, ASSOC_CHANGE)
        accepted, client = self.keep(*pair.connected(listener))
        accepted.close()
        self.assertEqual(client.recv(9), b"")
