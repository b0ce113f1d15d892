"""Several listening sockets on one port, each with its addresses, in one process and in several."""
import errno
import os
import socket
import struct

from pair import SCTP, STATUS, Case, new

INITMSG = 2
V6, V4 = socket.AF_INET6, socket.AF_INET


def listen_on(family, host, port=0, v6only=None):
    listener = new(family)
    if v6only is not None:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
    try:
        listener.bind((host, port))
        listener.listen(5)
    except OSError:
        listener.close()
        raise
    return listener


class Several(Case):
    def reaches(self, listener, host, family=None):
        """A client that connects to that address comes to this listener."""
        client = self.keep(new(family or (V6 if ":" in host else V4)))
        client.connect((host, listener.getsockname()[1]))
        listener.settimeout(60)
        accepted, name = listener.accept()
        self.keep(accepted)
        self.assertEqual(name[1], client.getsockname()[1])
        client.send(b"hello")
        self.assertEqual(accepted.recv(9), b"hello")
        self.assertEqual(accepted.getsockname()[1], listener.getsockname()[1])

    def test_v6only_beside_all_of_ipv4(self):
        six = self.keep(listen_on(V6, "::", v6only=1))
        four = self.keep(listen_on(V4, "0.0.0.0", six.getsockname()[1]))
        self.reaches(four, "127.0.0.1")
        self.reaches(six, "::1")
        self.reaches(four, "127.0.0.1")

    def test_both_families_at_once_leave_no_room(self):
        both = self.keep(listen_on(V6, "::", v6only=0))
        with self.fails(errno.EADDRINUSE):
            listen_on(V4, "0.0.0.0", both.getsockname()[1])
        self.reaches(both, "::1")
        self.reaches(both, "127.0.0.1")

    def test_addresses_of_their_own(self):
        first = self.keep(listen_on(V4, "127.0.0.1"))
        port = first.getsockname()[1]
        second = self.keep(listen_on(V4, "127.0.0.2", port))
        third = self.keep(listen_on(V6, "::1", port))
        for listener, host in ((second, "127.0.0.2"), (first, "127.0.0.1"), (third, "::1"), (second, "127.0.0.2")):
            self.reaches(listener, host)
        self.refuses("127.0.0.3", port)
        with self.fails(errno.EADDRINUSE):
            listen_on(V4, "127.0.0.2", port)
        second.close()
        self.refuses("127.0.0.2", port)
        self.reaches(first, "127.0.0.1")

    def test_options_and_queues_of_their_own(self):
        hosts = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
        listeners, clients = [], []
        for streams, host in enumerate(hosts, 3):
            listener = self.keep(new())
            listener.setsockopt(SCTP, INITMSG, struct.pack("HHHH", streams, 0, 0, 0))
            listener.bind((host, listeners[0].getsockname()[1] if listeners else 0))
            listener.listen(5)
            listeners.append(listener)
        for host in hosts + hosts[::-1]:
            clients.append(self.keep(new()))
            clients[-1].connect((host, listeners[0].getsockname()[1]))
            incoming = struct.unpack_from("iiIHHHHI", clients[-1].getsockopt(SCTP, STATUS, 176))[5]
            self.assertEqual(incoming, 3 + hosts.index(host))
        for at, listener in enumerate(listeners):
            for client in (clients[at], clients[5 - at]):
                accepted, name = listener.accept()
                self.keep(accepted)
                self.assertEqual(name, ("127.0.0.1", client.getsockname()[1]))

    def test_what_was_accepted_outlives_its_listener(self):
        first, second = (new() for _ in range(2))
        pairs = []
        for listener, host in ((first, "127.0.0.1"), (second, "127.0.0.2")):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, first.getsockname()[1] if pairs else 0))
            listener.listen(5)
            client = self.keep(new())
            client.connect(listener.getsockname())
            pairs.append((client, self.keep(listener.accept()[0])))
        port = first.getsockname()[1]
        first.close()
        second.close()
        self.becomes(lambda: self.connects("127.0.0.2", port), False)
        last = self.keep(new())
        last.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        last.bind(("0.0.0.0", port))
        last.listen(5)
        self.reaches(last, "127.0.0.1")
        for client, accepted in pairs:
            client.send(b"hello")
            self.assertEqual(accepted.recv(9), b"hello")
            client.close()
            self.assertEqual(accepted.recv(9), b"")

    def connects(self, host, port):
        with new() as client:
            return client.connect_ex((host, port)) == 0

    def refuses(self, host, port):
        client = self.keep(new())
        with self.fails(errno.ECONNREFUSED):
            client.connect((host, port))

    def test_any_number(self):
        listeners = [self.keep(listen_on(V4, "127.0.0.1")) for _ in range(40)]
        self.assertEqual(len({listener.getsockname()[1] for listener in listeners}), 40)
        for listener in listeners[::7]:
            self.reaches(listener, "127.0.0.1")

    def test_listeners_of_several_processes(self):
        children = []
        for number in range(3):
            ours, theirs = socket.socketpair()
            child = os.fork()
            if child == 0:
                listener = listen_on(V4, "127.0.0.1")
                theirs.send(b"%d" % listener.getsockname()[1])
                accepted = listener.accept()[0]
                accepted.send(b"%d" % number)
                os._exit(0)
            children.append((child, int(ours.recv(9))))
            self.keep(ours, theirs)
        for number, (child, port) in reversed(list(enumerate(children))):
            client = self.keep(new())
            client.connect(("127.0.0.1", port))
            self.assertEqual(client.recv(9), b"%d" % number)
            self.assertEqual(client.recv(9), b"")
            self.assertEqual(os.waitpid(child, 0)[1], 0)

    def test_the_port_is_free_once_its_process_has_ended(self):
        way, their_way = self.keep(*socket.socketpair())
        child = os.fork()
        if child == 0:
            listener = listen_on(V4, "127.0.0.1")
            their_way.send(b"%d" % listener.getsockname()[1])
            os._exit(0)
        port = int(way.recv(9))
        os.waitpid(child, 0)

        def is_free():
            try:
                listen_on(V4, "127.0.0.1", port).close()
            except OSError as error:
                return errno.errorcode[error.errno]
            return None
        self.becomes(is_free, None)

    def test_a_bound_socket_that_does_not_listen(self):
        bound = self.keep(new())
        bound.bind(("127.0.0.1", 0))
        self.refuses("127.0.0.1", bound.getsockname()[1])
