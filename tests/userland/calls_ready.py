"""Non-blocking sockets, poll, select, epoll, time limits, and descriptors."""
import errno
import fcntl
import os
import select
import socket
import struct
import threading
import time

import pair
from pair import PATIENCE_S, poll

READ, WRITE = select.POLLIN, select.POLLOUT


def wait(*wanted):
    return poll(*wanted, timeout_s=PATIENCE_S)


class NonBlocking(pair.Case):
    def test_accept(self):
        listener = self.keep(pair.listening())
        listener.setblocking(False)
        with self.fails(errno.EAGAIN):
            listener.accept()

    def test_recv(self):
        accepted, _ = self.pair()
        accepted.setblocking(False)
        with self.fails(errno.EAGAIN):
            accepted.recv(9)

    def test_send_until_the_buffer_is_full(self):
        accepted, client = self.pair()
        count = pair.fill(client, b"x" * 10000)
        self.assertEqual(poll((client, WRITE)), {})
        for _ in range(count):
            self.assertEqual(accepted.recv(100000), b"x" * 10000)
        self.assertEqual(wait((client, WRITE)), {client.fileno(): WRITE})

    def test_connect(self):
        listener = self.keep(pair.listening())
        client = self.keep(pair.new())
        client.setblocking(False)
        with self.fails(errno.EINPROGRESS):
            client.connect(listener.getsockname())
        self.assertEqual(wait((client, WRITE)), {client.fileno(): WRITE})
        self.assertEqual(client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), 0)
        accepted = self.keep(listener.accept()[0])
        self.assertEqual(accepted.getpeername(), client.getsockname())

    def test_connect_refused(self):
        listener = pair.listening()
        name = listener.getsockname()
        listener.close()
        client = self.keep(pair.new())
        client.setblocking(False)
        with self.fails(errno.EINPROGRESS):
            client.connect(name)
        self.assertTrue(wait((client, WRITE))[client.fileno()] & select.POLLERR)
        self.assertEqual(client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR),
                         errno.ECONNREFUSED)
        self.assertEqual(client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), 0)

    def test_accepted_sockets_do_not_inherit_it(self):
        listener = self.keep(pair.listening())
        listener.setblocking(False)
        self.keep(pair.new()).connect(listener.getsockname())
        wait((listener, READ))
        fd, _ = listener._accept()
        self.addCleanup(os.close, fd)
        self.assertFalse(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK)


class Poll(pair.Case):
    def test_a_fresh_socket_is_neither_readable_nor_writable(self):
        sock = self.keep(pair.new())
        self.assertEqual(poll((sock, READ | WRITE)).get(sock.fileno(), 0) & (READ | WRITE), 0)

    def test_a_listener(self):
        listener = self.keep(pair.listening())
        self.assertEqual(poll((listener, READ | WRITE)), {})
        self.keep(pair.new()).connect(listener.getsockname())
        self.assertEqual(wait((listener, READ)), {listener.fileno(): READ})
        self.keep(listener.accept()[0])
        self.assertEqual(poll((listener, READ)), {})

    def test_data(self):
        accepted, client = self.pair()
        self.assertEqual(poll((accepted, READ | WRITE)), {accepted.fileno(): WRITE})
        client.send(b"x")
        self.assertEqual(wait((accepted, READ)), {accepted.fileno(): READ})
        accepted.recv(9)
        self.assertEqual(poll((accepted, READ)), {})

    def test_the_end_of_the_file(self):
        accepted, client = self.pair()
        client.close()
        self.assertTrue(wait((accepted, select.POLLRDHUP))[accepted.fileno()] & select.POLLRDHUP)

    def test_it_waits(self):
        accepted, client = self.pair()
        start = time.monotonic()
        threading.Timer(0.1, client.send, (b"x",)).start()
        self.assertEqual(wait((accepted, READ)), {accepted.fileno(): READ})
        self.assertGreater(time.monotonic() - start, 0.1)

    def test_the_time_is_over(self):
        accepted, _ = self.pair()
        start = time.monotonic()
        self.assertEqual(poll((accepted, READ), timeout_s=0.1), {})
        self.assertTrue(0.08 < time.monotonic() - start < PATIENCE_S)

    def test_beside_a_pipe(self):
        accepted, client = self.pair()
        readable, writable = os.pipe()
        self.addCleanup(os.close, readable)
        self.addCleanup(os.close, writable)
        both = (accepted, READ), (readable, READ)
        self.assertEqual(poll(*both, timeout_s=0.02), {})
        threading.Timer(0.05, client.send, (b"x",)).start()
        self.assertEqual(wait(*both), {accepted.fileno(): READ})
        accepted.recv(9)
        threading.Timer(0.05, os.write, (writable, b"x")).start()
        self.assertEqual(wait(*both), {readable: READ})
        client.send(b"y")
        self.becomes(lambda: wait(*both), {readable: READ, accepted.fileno(): READ})

    def test_select(self):
        accepted, client = self.pair()
        self.assertEqual(select.select([accepted], [accepted], [accepted], 0),
                         ([], [accepted], []))
        client.send(b"x")
        self.assertEqual(select.select([accepted, client], [], [], PATIENCE_S), ([accepted], [], []))

    def test_a_closed_descriptor(self):
        accepted, client = self.pair()
        gone = os.dup(client.fileno())
        os.close(gone)
        self.assertEqual(poll((accepted, READ), (gone, READ)), {gone: select.POLLNVAL})


class Epoll(pair.Case):
    def epoll(self, sock, events):
        epoll = self.keep(select.epoll())
        epoll.register(sock, events)
        return epoll

    def test_level(self):
        accepted, client = self.pair()
        epoll = self.epoll(accepted, select.EPOLLIN)
        self.assertEqual(epoll.poll(0), [])
        client.send(b"x")
        for _ in range(2):
            self.assertEqual(epoll.poll(PATIENCE_S), [(accepted.fileno(), select.EPOLLIN)])
        accepted.recv(9)
        self.assertEqual(epoll.poll(0), [])

    def test_edge(self):
        accepted, client = self.pair()
        epoll = self.epoll(accepted, select.EPOLLIN | select.EPOLLET)
        client.send(b"x")
        self.assertEqual(epoll.poll(PATIENCE_S), [(accepted.fileno(), select.EPOLLIN)])
        self.assertEqual(epoll.poll(0), [])
        client.send(b"y")
        self.assertEqual(epoll.poll(PATIENCE_S), [(accepted.fileno(), select.EPOLLIN)])

    def test_one_shot(self):
        accepted, client = self.pair()
        epoll = self.epoll(accepted, select.EPOLLIN | select.EPOLLONESHOT)
        client.send(b"x")
        self.assertEqual(epoll.poll(PATIENCE_S), [(accepted.fileno(), select.EPOLLIN)])
        self.assertEqual(epoll.poll(0), [])
        epoll.modify(accepted, select.EPOLLIN | select.EPOLLONESHOT)
        self.assertEqual(epoll.poll(PATIENCE_S), [(accepted.fileno(), select.EPOLLIN)])

    def test_modify(self):
        accepted, _ = self.pair()
        epoll = self.epoll(accepted, select.EPOLLOUT)
        self.assertEqual(epoll.poll(0), [(accepted.fileno(), select.EPOLLOUT)])
        epoll.modify(accepted, select.EPOLLIN)
        self.assertEqual(epoll.poll(0), [])
        epoll.unregister(accepted)
        with self.fails(errno.ENOENT):
            epoll.modify(accepted, select.EPOLLIN)

    def test_twice(self):
        accepted, _ = self.pair()
        epoll = self.epoll(accepted, select.EPOLLIN)
        with self.fails(errno.EEXIST):
            epoll.register(accepted, select.EPOLLIN)

    def test_it_waits_for_connections_and_pipes(self):
        listener = self.keep(pair.listening())
        readable, writable = os.pipe()
        self.addCleanup(os.close, readable)
        self.addCleanup(os.close, writable)
        epoll = self.epoll(listener, select.EPOLLIN)
        epoll.register(readable, select.EPOLLIN)
        client = self.keep(pair.new())
        threading.Timer(0.05, client.connect, (listener.getsockname(),)).start()
        self.assertEqual(epoll.poll(PATIENCE_S), [(listener.fileno(), select.EPOLLIN)])
        self.keep(listener.accept()[0])
        os.write(writable, b"x")
        self.assertEqual(epoll.poll(PATIENCE_S), [(readable, select.EPOLLIN)])

    def test_a_closed_socket_leaves(self):
        accepted, client = self.pair()
        epoll = self.epoll(accepted, select.EPOLLOUT)
        accepted.close()
        self.assertEqual(epoll.poll(0), [])


class TimeLimits(pair.Case):
    def limit(self, sock, option, seconds=0.1):
        sock.setsockopt(socket.SOL_SOCKET, option,
                        struct.pack("ll", int(seconds), int(seconds % 1 * 1e6)))

    def test_receive(self):
        accepted, _ = self.pair()
        self.limit(accepted, socket.SO_RCVTIMEO)
        start = time.monotonic()
        with self.fails(errno.EAGAIN):
            accepted.recv(9)
        self.assertTrue(0.08 < time.monotonic() - start < PATIENCE_S)

    def test_accept(self):
        listener = self.keep(pair.listening())
        self.limit(listener, socket.SO_RCVTIMEO)
        with self.fails(errno.EAGAIN):
            listener.accept()

    def test_send(self):
        _, client = self.pair()
        self.limit(client, socket.SO_SNDTIMEO)
        with self.fails(errno.EAGAIN):
            for _ in range(1000):
                client.send(b"x" * 50000)

    def test_they_can_be_read_back(self):
        sock = self.keep(pair.new())
        self.limit(sock, socket.SO_RCVTIMEO, 2.5)
        self.assertEqual(sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16),
                         struct.pack("ll", 2, 500000))


class Descriptors(pair.Case):
    def test_dup_names_the_same_socket(self):
        accepted, client = self.pair()
        copy = os.dup(client.fileno())
        client.close()
        os.write(copy, b"by the copy")
        self.assertEqual(accepted.recv(99), b"by the copy")
        os.close(copy)
        self.assertEqual(accepted.recv(9), b"")

    def test_dup2_closes_what_was_there(self):
        accepted, client = self.pair()
        other_accepted, other = self.pair()
        os.dup2(client.fileno(), other.fileno())
        self.assertEqual(other_accepted.recv(9), b"")
        os.write(other.fileno(), b"x")
        self.assertEqual(accepted.recv(9), b"x")

    def test_dup2_over_a_socket(self):
        accepted, client = self.pair()
        readable, writable = os.pipe()
        os.dup2(writable, client.fileno())
        os.close(writable)
        self.assertEqual(accepted.recv(9), b"")
        os.write(client.fileno(), b"pipe")
        self.assertEqual(os.read(readable, 9), b"pipe")
        os.close(readable)

    def test_fcntl_dupfd(self):
        accepted, client = self.pair()
        copy = fcntl.fcntl(client, fcntl.F_DUPFD_CLOEXEC, 100)
        self.assertGreaterEqual(copy, 100)
        os.write(copy, b"x")
        os.close(copy)
        self.assertEqual(accepted.recv(9), b"x")
        client.send(b"still open")
        self.assertEqual(accepted.recv(99), b"still open")

    def test_duplicates_share_o_nonblock(self):
        _, client = self.pair()
        copy = os.dup(client.fileno())
        self.addCleanup(os.close, copy)
        fcntl.fcntl(copy, fcntl.F_SETFL, fcntl.fcntl(copy, fcntl.F_GETFL) | os.O_NONBLOCK)
        with self.fails(errno.EAGAIN):
            os.read(client.fileno(), 9)

    def test_the_flags_of_socket(self):
        sock = self.keep(pair.new())
        self.assertTrue(fcntl.fcntl(sock, fcntl.F_GETFD) & fcntl.FD_CLOEXEC)
        plain = self.keep(socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK,
                                        pair.SCTP))
        self.assertTrue(fcntl.fcntl(plain, fcntl.F_GETFL) & os.O_NONBLOCK)

    def test_a_descriptor_is_a_socket(self):
        self.assertEqual(os.fstat(self.keep(pair.new()).fileno()).st_mode & 0o170000, 0o140000)

    def test_closing_everything_leaves_the_stack_alone(self):
        accepted, client = self.pair()
        held = {accepted.fileno(), client.fileno()}
        for fd in range(900, 1100):
            if fd not in held:
                try:
                    os.close(fd)
                except OSError:
                    pass
        client.send(b"x")
        self.assertEqual(accepted.recv(9), b"x")

    def test_no_descriptor_is_left(self):
        def count():
            return len(os.listdir("/proc/self/fd"))
        listener = self.keep(pair.listening())
        for sock in pair.connected(listener):
            sock.close()
        before = count()
        for _ in range(50):
            for sock in pair.connected(listener):
                sock.close()
        self.assertEqual(count(), before)

    def test_closing_while_another_thread_reads(self):
        accepted, client = self.pair()
        fd = accepted.detach()
        got = []
        reader = threading.Thread(target=lambda: got.append(os.read(fd, 9)))
        reader.start()
        time.sleep(0.05)  # it may read by now; it is right either way
        os.close(fd)
        try:
            client.send(b"x")
        except (BrokenPipeError, ConnectionResetError):
            pass
        client.close()
        reader.join(PATIENCE_S)
        self.assertFalse(reader.is_alive())
