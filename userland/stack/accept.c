/* Connections that wait for accept. See accept.h. */
#include "accept.h"
#include "../protocol.h"
#include <errno.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* How many bytes of the kernel's memory the records take that the program has not fetched. */
static unsigned queued_size(const struct sock *listener)
{
    int size = 0;

    return ioctl(listener->record_watch.fd, SIOCOUTQ, &size) == 0 ? (unsigned)size : 0;
}

static unsigned count_queued(const struct sock *listener)
{
    return listener->offered_size == 0 ? 0 : queued_size(listener) / listener->offered_size;
}

bool accept_is_done(const struct sock *sock)
{
    const struct sock *listener = sock_find(sock->listener_id);

    return listener == NULL || (sock->pending_fd == -1 &&
                                sock->offer < listener->offered_count - count_queued(listener));
}

unsigned accept_count(const struct sock *listener)
{
    return count_queued(listener) + listener->pending_count;
}

bool accept_has_room(const struct sock *listener)
{
    return accept_count(listener) <= listener->backlog;
}

static int send_connection(const struct sock *listener, const struct sock *sock, int fd)
{
    union descriptor_control control;
    struct record_connection connection = {.address_size = 0};
    struct sockaddr_storage name;
    struct address peer = sock_peer(sock);
    struct iovec part = {&connection, sizeof(connection)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    connection.address_size = sock_write_address(sock, &peer, &name);
    memcpy(connection.address, &name, connection.address_size);
    attach_descriptor(&message, &control, fd);
    return sendmsg(listener->record_watch.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == -1 ? -1 : 0;
}

/* Those that are pending, in their order, until the kernel has no more room. */
static void offer(struct sock *listener)
{
    while (!STAILQ_EMPTY(&listener->pending)) {
        struct sock *sock = STAILQ_FIRST(&listener->pending);
        unsigned before = queued_size(listener);
        if (send_connection(listener, sock, sock->pending_fd) == -1 &&
            (errno == EAGAIN || errno == ETOOMANYREFS || errno == ENOBUFS)) {
            sock_watch_room(listener, true);
            return;
        }
        if (listener->offered_size == 0)
            listener->offered_size = queued_size(listener) - before;
        STAILQ_REMOVE_HEAD(&listener->pending, next_pending);
        listener->pending_count--;
        sock->offer = listener->offered_count++;
        close(sock->pending_fd);
        sock->pending_fd = -1;
    }
}

static void append(struct sock *listener, struct sock *sock, int fd)
{
    sock->listener_id = listener->id;
    sock->pending_fd = fd;
    STAILQ_INSERT_TAIL(&listener->pending, sock, next_pending);
    listener->pending_count++;
}

void accept_connections(struct sock *listener)
{
    struct sockaddr_conn peer;
    socklen_t size = sizeof(peer);
    struct socket *so;
    int fd;

    while ((so = usrsctp_accept(listener->so, (struct sockaddr *)&peer, &size)) != NULL) {
        struct sock *sock = size < sizeof(peer) ? NULL : sock_accepted(listener, so, &peer, &fd);
        if (sock == NULL)
            usrsctp_close(so);
        else
            append(listener, sock, fd);
        size = sizeof(peer);
    }
    offer(listener);
}

void accept_forget(struct sock *listener)
{
    struct sock *sock;

    STAILQ_FOREACH(sock, &listener->pending, next_pending) {
        close(sock->pending_fd);
        sock->pending_fd = -1;
    }
    STAILQ_INIT(&listener->pending);
    listener->pending_count = 0;
}
