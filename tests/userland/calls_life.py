"""socket, bind, listen, accept, connect, shutdown, close, and names."""
import contextlib
import ctypes
import errno
import os
import select
import socket
import struct
import sys
import threading
import time

import pair

ABORT = struct.pack("ii", 1, 0)
RTOINFO, I_WANT_MAPPED_V4_ADDR = 0, 12
RTO_MS = 60000


class Names(pair.Case):
    def test_a_socket_is_bound_to_nothing_at_first(self):
        self.assertEqual(self.keep(pair.new()).getsockname(), ("0.0.0.0", 0))

    def test_bind_0_picks_a_port(self):
        sock = self.keep(pair.new())
        sock.bind(("127.0.0.1", 0))
        host, port = sock.getsockname()
        self.assertEqual(host, "127.0.0.1")
        self.assertGreater(port, 1023)

    def test_both_ends_agree_on_their_names(self):
        accepted, client = self.pair()
        self.assertEqual(accepted.getpeername(), client.getsockname())
        self.assertEqual(client.getpeername(), accepted.getsockname())

    def test_accept_names_the_peer(self):
        listener = self.keep(pair.listening())
        client = self.keep(pair.new())
        client.connect(listener.getsockname())
        accepted, name = listener.accept()
        self.keep(accepted)
        self.assertEqual(name, client.getsockname())

    def test_ipv6(self):
        listener = self.keep(pair.listening(socket.AF_INET6))
        accepted, client = self.keep(*pair.connected(listener))
        self.assertEqual(accepted.getpeername()[:2], client.getsockname()[:2])
        client.send(b"six")
        self.assertEqual(accepted.recv(9), b"six")

    def test_an_ipv4_peer_of_an_ipv6_listener_is_mapped(self):
        listener = self.keep(pair.listening(socket.AF_INET6, "::"))
        accepted, client = self.keep(*pair.connected(listener, socket.AF_INET))
        self.assertEqual(accepted.getpeername()[0], "::ffff:127.0.0.1")
        client.send(b"four")
        self.assertEqual(accepted.recv(9), b"four")

    def test_v6only_refuses_ipv4(self):
        listener = self.keep(pair.new(socket.AF_INET6))
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(("::", 0))
        listener.listen(1)
        with self.fails(errno.ECONNREFUSED):
            self.keep(pair.new()).connect(("127.0.0.1", listener.getsockname()[1]))

    def test_getpeername_needs_a_peer(self):
        with self.fails(errno.ENOTCONN):
            self.keep(pair.new()).getpeername()


class Bind(pair.Case):
    def test_twice(self):
        sock = self.keep(pair.new())
        sock.bind(("127.0.0.1", 0))
        with self.fails(errno.EINVAL):
            sock.bind(("127.0.0.1", 0))

    def test_a_port_in_use(self):
        listener = self.keep(pair.listening())
        with self.fails(errno.EADDRINUSE):
            self.keep(pair.new()).bind(listener.getsockname())

    def test_a_port_in_use_on_another_address(self):
        listener = self.keep(pair.listening())
        other = self.keep(pair.new())
        other.bind(("127.0.0.2", listener.getsockname()[1]))

    def test_the_wildcard_overlaps_every_address(self):
        listener = self.keep(pair.listening())
        with self.fails(errno.EADDRINUSE):
            self.keep(pair.new()).bind(("0.0.0.0", listener.getsockname()[1]))

    def test_reuseaddr_does_not_share_with_a_listener(self):
        listener = pair.new()
        self.keep(listener).setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        other = self.keep(pair.new())
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with self.fails(errno.EADDRINUSE):
            other.bind(listener.getsockname())

    def test_a_port_is_free_again_after_close(self):
        listener = pair.listening()
        name = listener.getsockname()
        listener.close()
        again = self.keep(pair.new())
        again.bind(name)
        again.listen(1)

    def test_an_address_of_nobody(self):
        for host in ("192.0.2.1", "224.0.0.1"):  # TEST-NET-1, all hosts: bind sends nothing
            with self.fails(errno.EADDRNOTAVAIL):
                self.keep(pair.new()).bind((host, 0))

    def test_a_client_keeps_the_port_that_it_bound(self):
        listener = self.keep(pair.listening())
        client = self.keep(pair.new())
        client.bind(("127.0.0.1", 0))
        port = client.getsockname()[1]
        client.connect(listener.getsockname())
        accepted, name = listener.accept()
        self.keep(accepted)
        self.assertEqual(name, ("127.0.0.1", port))


class Listen(pair.Case):
    def test_accept_without_listen(self):
        with self.fails(errno.EINVAL):
            self.keep(pair.new()).accept()

    def test_listen_binds_an_unbound_socket(self):
        listener = self.keep(pair.new())
        listener.listen(1)
        self.assertGreater(listener.getsockname()[1], 0)

    def test_listen_on_a_connected_socket(self):
        _, client = self.pair()
        with self.fails(errno.EINVAL):
            client.listen(1)

    def test_backlog(self):
        listener = self.keep(pair.listening(backlog=1))
        for _ in range(2):  # one more than the backlog
            self.keep(pair.new()).connect(listener.getsockname())
        with self.fails(errno.ECONNREFUSED):
            self.keep(pair.new()).connect(listener.getsockname())
        self.keep(listener.accept()[0])
        self.keep(pair.new()).connect(listener.getsockname())

    def test_only_the_address_that_was_bound(self):
        listener = self.keep(pair.listening())
        with self.fails(errno.ECONNREFUSED):
            self.keep(pair.new()).connect(("127.0.0.2", listener.getsockname()[1]))

    def test_many_wait_and_are_accepted_in_order(self):
        listener = self.keep(pair.listening(backlog=20))
        clients = [self.keep(pair.new()) for _ in range(20)]
        for client in clients:
            client.connect(listener.getsockname())
        names = [self.keep_accepted(listener) for _ in clients]
        self.assertEqual(names, [client.getsockname() for client in clients])

    def keep_accepted(self, listener):
        accepted, name = listener.accept()
        self.keep(accepted)
        return name

    def test_a_message_sent_before_accept(self):
        listener = self.keep(pair.listening())
        client = self.keep(pair.new())
        client.connect(listener.getsockname())
        client.send(b"early")
        accepted = self.keep(listener.accept()[0])
        self.assertEqual(accepted.recv(9), b"early")


class Connect(pair.Case):
    def test_nobody_listens(self):
        listener = pair.listening()
        name = listener.getsockname()
        listener.close()
        start, client = time.monotonic(), self.keep(pair.new())
        client.setsockopt(pair.SCTP, RTOINFO, struct.pack("iIII", 0, RTO_MS, RTO_MS, 0))
        with self.fails(errno.ECONNREFUSED):
            client.connect(name)
        self.assertLess(time.monotonic() - start, RTO_MS / 1000)  # nobody had to ask again

    def test_again_after_a_refusal(self):
        listener = self.keep(pair.listening())
        closed = pair.listening()
        nobody = closed.getsockname()
        closed.close()
        client = self.keep(pair.new())
        with self.fails(errno.ECONNREFUSED):
            client.connect(nobody)
        client.connect(listener.getsockname())
        accepted = self.keep(listener.accept()[0])
        client.send(b"x")
        self.assertEqual(accepted.recv(9), b"x")

    def test_again_after_a_refusal_that_nobody_waited_for(self):
        """The socket keeps its family, though its name is one of IPv4's."""
        listener, closed = self.keep(pair.listening()), pair.listening()
        nobody = ("::ffff:127.0.0.1", closed.getsockname()[1])
        closed.close()
        client = self.keep(pair.new(socket.AF_INET6))
        client.setsockopt(pair.SCTP, I_WANT_MAPPED_V4_ADDR, 0)
        client.bind(("::ffff:127.0.0.1", 0))
        self.assertEqual(client.getsockname()[0], "127.0.0.1")
        client.setblocking(False)
        self.assertEqual(client.connect_ex(nobody), errno.EINPROGRESS)
        self.becomes(lambda: client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), errno.ECONNREFUSED)
        client.setblocking(True)
        client.connect(("::ffff:127.0.0.1", listener.getsockname()[1]))
        self.assertEqual(client.getsockopt(socket.SOL_SOCKET, socket.SO_DOMAIN), socket.AF_INET6)
        client.send(b"x")
        self.assertEqual(self.keep(listener.accept()[0]).recv(9), b"x")

    def test_twice(self):
        accepted, client = self.pair()
        with self.fails(errno.EISCONN):
            client.connect(accepted.getsockname())

    def test_from_a_listener(self):
        listener, other = self.keep(pair.listening()), self.keep(pair.listening())
        with self.fails(errno.EISCONN):
            listener.connect(other.getsockname())

    def test_port_0(self):
        with self.fails(errno.ECONNREFUSED):
            self.keep(pair.new()).connect(("127.0.0.1", 0))

    def test_to_itself(self):
        for family, host in pair.HOSTS.items():
            sock = self.keep(pair.new(family))
            sock.bind((host, 0))
            sock.connect(sock.getsockname())
            self.assertEqual(sock.getpeername(), sock.getsockname())
            sock.send(b"hello")
            self.assertEqual(sock.recv(9), b"hello")

    def test_its_name_after_a_refusal(self):
        nobody = self.keep(pair.new())
        nobody.bind(("127.0.0.1", 0))
        for port in (nobody.getsockname()[1], 0):
            for blocking in (True, False):
                client = self.keep(pair.new())
                client.setblocking(blocking)
                with self.fails(errno.ECONNREFUSED if blocking else errno.EINPROGRESS):
                    client.connect(("127.0.0.1", port))
                host, own_port = client.getsockname()
                self.assertEqual((host, own_port != 0), ("127.0.0.1", True))
                self.becomes(lambda: client.connect_ex(("127.0.0.1", port)),
                             errno.ECONNREFUSED if blocking else errno.EINPROGRESS)


class End(pair.Case):
    def test_close_is_the_end_of_the_file_at_the_other_end(self):
        accepted, client = self.pair()
        client.close()
        self.assertEqual(accepted.recv(9), b"")
        self.assertEqual(accepted.recv(9), b"")

    def test_data_before_close_arrives(self):
        accepted, client = self.pair()
        client.send(b"last words")
        client.close()
        self.assertEqual(accepted.recv(99), b"last words")
        self.assertEqual(accepted.recv(99), b"")

    def test_shut_wr_then_close_at_the_other_end(self):
        accepted, client = self.pair()
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(accepted.recv(9), b"")
        with self.fails(errno.EPIPE):
            client.send(b"x")

    def test_linger_0_aborts(self):
        accepted, client = self.pair()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
        client.close()
        with self.fails(errno.ECONNRESET):
            accepted.recv(9)

    def test_unread_data_aborts(self):
        accepted, client = self.pair()
        accepted.send(b"never read")
        self.assertEqual(client.recv(1, socket.MSG_PEEK), b"n")
        client.close()
        with self.fails(errno.ECONNRESET):
            accepted.recv(9)

    def test_send_after_the_peer_has_closed(self):
        accepted, client = self.pair()
        client.close()
        self.assertEqual(accepted.recv(9), b"")
        with self.fails(errno.EPIPE):
            accepted.send(b"x")

    def test_accepted_after_the_end(self):
        for linger in (struct.pack("ii", 1, 10), ABORT):
            listener = self.keep(pair.listening())
            client = self.keep(pair.new())
            client.connect(listener.getsockname())
            client.send(b"last")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            client.close()
            self.keep(pair.new()).connect(listener.getsockname())  # the end has arrived before that
            accepted, name = listener.accept()
            self.keep(accepted)
            for call in (accepted.getpeername, lambda: accepted.shutdown(socket.SHUT_WR)):
                with self.assertRaises(OSError) as failure:
                    call()
                self.assertEqual(failure.exception.errno, errno.ENOTCONN)
            self.assertEqual(accepted.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), 0)
            self.assertEqual([accepted.recv(9) for _ in range(2)], [b"last", b""])
            for call in (lambda: accepted.send(b"?"), lambda: accepted.sendto(b"?", name)):
                with self.assertRaises(OSError) as failure:
                    call()
                self.assertEqual(failure.exception.errno, errno.EPIPE)

    def test_nobody_accepts(self):
        """The listener is closed: an association that waited, with data, is reset, however it was set up."""
        for connects in (True, False):
            listener, client = pair.listening(), self.keep(pair.new())
            if connects:
                client.connect(listener.getsockname())
                client.send(b"x")
            else:
                client.sendto(b"x", listener.getsockname())
            self.wait_until_acknowledged(client)
            self.assertTrue(pair.poll((listener, select.POLLIN), timeout_s=pair.PATIENCE_S))
            listener.close()
            self.assertTrue(pair.poll((client, select.POLLIN), timeout_s=pair.PATIENCE_S))
            for error in (errno.ECONNRESET, errno.EPIPE):
                with self.fails(error):
                    client.send(b"y")

    def test_success_leaves_errno(self):
        libc = ctypes.CDLL(None, use_errno=True)
        accepted, client = self.pair()
        accepted.send(b"1")
        accepted.shutdown(socket.SHUT_WR)
        for expected in (1, 0):
            ctypes.set_errno(0)
            self.assertEqual(libc.recv(client.fileno(), ctypes.create_string_buffer(9), 9, 0), expected)
            self.assertEqual(ctypes.get_errno(), 0)

    def test_shutdown_after_the_end(self):
        for linger in (bytes(8), ABORT):
            accepted, client = self.pair()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            client.close()
            self.assertTrue(pair.poll((accepted, select.POLLIN), timeout_s=pair.PATIENCE_S))
            accepted.shutdown(socket.SHUT_RDWR)
            accepted.shutdown(socket.SHUT_RDWR)

    def test_shutdown_of_an_unconnected_socket(self):
        with self.fails(errno.ENOTCONN):
            self.keep(pair.new()).shutdown(socket.SHUT_RDWR)

    def test_a_socket_that_was_shut_can_connect(self):
        """What was shut for reading stays so."""
        def send(sock, address):
            sock.sendto(b"x", address)

        def connect(sock, address):
            sock.connect(address)
            sock.send(b"x")
        for how, answer in ((socket.SHUT_RD, b""), (socket.SHUT_WR, b"answer"), (socket.SHUT_RDWR, b"")):
            for begin in (send, connect):
                listener, client = self.keep(pair.listening(), pair.new())
                with self.fails(errno.ENOTCONN):
                    client.shutdown(how)
                begin(client, listener.getsockname())
                accepted = self.keep(listener.accept()[0])
                self.assertEqual(accepted.recv(9), b"x")
                accepted.send(b"answer")
                self.assertEqual(client.recv(9), answer)
                client.send(b"y")
                self.assertEqual(accepted.recv(9), b"y")

    def test_a_socket_that_was_shut_or_refused_can_listen(self):
        def refuse(sock):
            sock.connect_ex(("127.0.0.1", 0))
        for begin in (lambda sock: sock.shutdown(socket.SHUT_RDWR), refuse):
            listener = self.keep(pair.new())
            with contextlib.suppress(OSError):
                begin(listener)
            listener.listen(1)
            accepted, client = self.keep(*pair.connected(listener))
            accepted.send(b"x")
            self.assertEqual(client.recv(9), b"x")

    def test_a_listener_has_nothing_to_read(self):
        """Not even the connection that waits, whatever it wants to be told."""
        listener = self.keep(pair.listening())
        listener.setsockopt(pair.SCTP, 11, b"\1" * 8)  # SCTP_EVENTS
        self.keep(pair.new()).connect(listener.getsockname())
        self.assertTrue(pair.poll((listener, select.POLLIN), timeout_s=pair.PATIENCE_S))
        with self.fails(errno.ENOTCONN):
            listener.recv(99)
        self.keep(listener.accept()[0])

    def test_shutdown_of_a_listener(self):
        with self.fails(errno.EOPNOTSUPP):
            self.keep(pair.listening()).shutdown(socket.SHUT_RDWR)

    def test_closing_the_listener_leaves_what_was_accepted(self):
        listener = pair.listening()
        accepted, client = self.keep(*pair.connected(listener))
        listener.close()
        client.send(b"still there")
        self.assertEqual(accepted.recv(99), b"still there")

    def test_linger_waits_for_the_peer(self):
        accepted, client = self.pair()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 5))
        client.send(b"x" * 100)
        client.close()
        self.assertEqual(accepted.recv(999), b"x" * 100)
        self.assertEqual(accepted.recv(9), b"")


class Fork(pair.Case):
    def test_a_child_goes_on_with_its_parents_sockets(self):
        listener = self.keep(pair.listening())
        accepted, client = self.keep(*pair.connected(listener))
        child = os.fork()
        if child == 0:
            os._exit(self.run_child(listener, accepted))
        client.send(b"parent")
        self.assertEqual(client.recv(9), b"child")
        with pair.new() as second:
            second.connect(listener.getsockname())
            self.assertEqual(second.recv(9), b"hello")
            self.assertEqual(second.recv(9), b"")
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
        client.send(b"again")
        self.assertEqual(accepted.recv(9), b"again")

    def run_child(self, listener, accepted):
        try:
            self.assertEqual(accepted.recv(9), b"parent")
            accepted.send(b"child")
            with listener.accept()[0] as second:
                second.send(b"hello")
        except BaseException as error:  # whatever it is, it must not go on as the test does
            print(error, file=sys.stderr)
            return 1
        return 0


class Threads(pair.Case):
    def test_one_reads_one_writes(self):
        accepted, client = self.pair()
        count = 500

        def echo():
            for _ in range(count):
                accepted.send(accepted.recv(100))
        threading.Thread(target=echo, daemon=True).start()
        answers = []
        reader = threading.Thread(
            target=lambda: answers.extend(client.recv(100) for _ in range(count)))
        reader.start()
        for number in range(count):
            client.send(b"%d" % number)
        reader.join(pair.PATIENCE_S)
        self.assertEqual(answers, [b"%d" % number for number in range(count)])

    def test_many_connections_at_once(self):
        listener = self.keep(pair.listening(backlog=64))

        def serve():
            for _ in range(32):
                accepted = listener.accept()[0]
                threading.Thread(target=self.echo_once, args=(accepted,), daemon=True).start()
        threading.Thread(target=serve, daemon=True).start()
        answers = []

        def ask(number):
            with pair.new() as client:
                client.connect(listener.getsockname())
                client.send(b"%d" % number)
                answers.append(int(client.recv(100)))
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(32)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(pair.PATIENCE_S)
        self.assertEqual(sorted(answers), list(range(32)))

    @staticmethod
    def echo_once(accepted):
        with accepted:
            accepted.send(accepted.recv(100))
            accepted.recv(1)
