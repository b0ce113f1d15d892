/* Requests of programs. See control.h. */
#include "control.h"
#include "../protocol.h"
#include "accept.h"
#include "capture.h"
#include "list.h"
#include "notify.h"
#include "options.h"
#include "options_system.h"
#include "ports.h"
#include "transfer.h"
#include <errno.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define FOREIGN_MAX 64 /* of conversations: nobody may take all our descriptors */

struct control {
    struct watch watch; /* first */
    bool is_watched;    /* its request has not come yet, or waits */
    bool is_foreign;    /* of another user */
    struct sock *waits_for;
    struct request request; /* the one that waits */
};

static unsigned foreign_count;

/* The request that is being handled, and what goes back. */
static unsigned char payload[PAYLOAD_MAX], answer[PAYLOAD_MAX];
static struct reply reply;

static void set_answer(const void *bytes, size_t size)
{
    memcpy(answer, bytes, size);
    reply.size = (uint32_t)size;
}

static void close_control(struct control *control)
{
    if (control->waits_for != NULL)
        control->waits_for->waiter = NULL;
    foreign_count -= control->is_foreign;
    loop_forget(&control->watch);
    close(control->watch.fd);
    loop_free_later(&control->watch);
}

/* error: an errno, or 0. A program that has gone away, or does not read, has no use for it. */
static void send_reply(struct control *control, const struct sock *sock, int error)
{
    struct iovec parts[2] = {{&reply, sizeof(reply)}, {answer, reply.size}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};

    reply.error = error;
    reply.marks |= sock == NULL ? 0 : sock_marks((struct sock *)(uintptr_t)sock);
    reply.send_buffer = sock == NULL ? 0 : sock->options.send_buffer;
    (void)sendmsg(control->watch.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* ---- waiting */

static void wait_for(struct control *control, struct sock *sock, const struct request *request)
{
    control->waits_for = sock;
    control->request = *request;
    sock->waiter = control;
}

static bool is_connectx(const struct request *request)
{
    return request->kind == REQUEST_SET && request->number == LX_SOCKOPT_CONNECTX;
}

static void settle(struct control *control, struct sock *sock, int error)
{
    int32_t id = error == 0 ? (int32_t)sock_status(sock).sstat_assoc_id : 0;

    reply = (struct reply){.value = 0};
    if (is_connectx(&control->request))
        reply.value = id;
    send_reply(control, sock, error);
    close_control(control);
}

void control_settled(struct sock *sock, int error)
{
    struct lx_assoc_change note;

    if (error != 0 && sock->record_watch.fd != -1) {
        transfer_note(sock, &note, notify_refusal(sock, &note));
        sock_show_failure(sock);
    }
    if (sock->waiter == NULL)
        return;
    settle(sock->waiter, sock, error);
}

static bool has_unread(const struct sock *sock)
{
    int size = 0;

    return ioctl(sock->record_watch.fd, SIOCOUTQ, &size) == 0 && size > 0;
}

void control_moved(struct sock *sock)
{
    if (sock->waiter != NULL && sock->waiter->request.kind == REQUEST_AWAIT_RECORD &&
        (sock->so == NULL || has_unread(sock)))
        settle(sock->waiter, sock, 0);
}

void control_freed(struct sock *sock)
{
    accept_forget(sock);
    transfer_forget(sock);
    options_free(sock);
    if (sock->waiter != NULL)
        settle(sock->waiter, sock, 0);
}

/* ---- the requests: each returns 0, or -1 with errno; EINPROGRESS may be waited for */

static int bind_socket(struct sock *sock, const struct request *request)
{
    struct address address;

    if (sock_read_address(sock, payload, request->size, &address) == -1)
        return -1;
    return ports_bind(sock, &address);
}

/* Linux looks at the socket first, then at where the address leads (__sctp_connect). */
static int connect_socket(struct sock *sock, const struct request *request)
{
    struct address address;

    bool is_complete = address_read(&address, payload, request->size) == 0;
    if (is_complete && (sock->state == SOCKET_CONNECTED || sock->state == SOCKET_LISTENING))
        return fail(EISCONN);
    if (sock_is_stale(sock))
        return fail(ESTALE);
    if (sock_read_address(sock, payload, request->size, &address) == -1 ||
        sock_connect(sock, &address) == -1)
        return -1;
    return fail(EINPROGRESS);
}

/* The UDP port can be somebody else's: errno cannot tell that from an SCTP port in use. */
static int listen_socket(struct sock *sock, int backlog)
{
    if (sock_is_stale(sock) && backlog != 0)
        return fail(ESTALE);
    if (sock_listen(sock, backlog) == 0)
        return 0;
    if (errno == EADDRINUSE && wire_open(WIRE_LISTEN) == -1 && errno == EADDRINUSE) {
        int size = snprintf((char *)answer, sizeof(answer),
                            "UDP port %u is in use by another user or program: SCTP_UDP_PORT "
                            "chooses another one",
                            (unsigned)wire_udp_port(WIRE_LISTEN));
        reply.size = (uint32_t)size;
        errno = EADDRINUSE;
    }
    return -1;
}

static int await_association(struct sock *sock)
{
    sock_refresh(sock);
    if (sock->state == SOCKET_CONNECTED)
        return 0;
    return fail(sock->state == SOCKET_CONNECTING ? EINPROGRESS
                : sock->error != 0               ? sock->error
                                                 : ECONNREFUSED);
}

static int await_record(const struct sock *sock)
{
    errno = EINPROGRESS;
    return sock->so == NULL || has_unread(sock) ? 0 : -1;
}

static void answer_address(const struct sock *sock, const struct address *address)
{
    struct sockaddr_storage name;
    socklen_t size = sock_write_address(sock, address, &name);

    set_answer(&name, size);
}

static int tell_name(struct sock *sock)
{
    struct address name = sock_name(sock);

    answer_address(sock, &name);
    return 0;
}

static int tell_peer(struct sock *sock)
{
    sock_refresh(sock);
    if (sock->state != SOCKET_CONNECTED)
        return fail(ENOTCONN);
    struct address peer = sock_peer(sock);
    answer_address(sock, &peer);
    return 0;
}

static int get_option(struct sock *sock, const struct request *request)
{
    socklen_t size = request->size;

    memcpy(answer, payload, size);
    if (options_get(sock, request->level, request->number, answer, &size) == -1)
        return -1;
    reply.size = size;
    return 0;
}

static int set_option(struct sock *sock, const struct request *request)
{
    transfer_check_early(sock);
    return options_set(sock, request->level, request->number, payload, request->size);
}

static int tell_head(struct sock *sock, int which)
{
    const struct record_head *head = transfer_early_head(sock, which);

    if (head == NULL)
        return fail(ENOMSG);
    set_answer(head, sizeof(*head));
    return 0;
}

/* ---- may a send, or a receive, go ahead? */

/* Linux reports every end of an association as EPIPE, but for an error that has not been seen. */
static int fail_with_error(struct sock *sock, int otherwise)
{
    errno = sock->error != 0 ? sock->error : otherwise;
    sock->error = 0;
    return -1;
}

static int set_up_by_send(struct sock *sock, const struct request *request,
                          const struct address *to)
{
    struct sctp_initmsg init;

    if (request->flags & REQUEST_HAS_INIT) {
        memcpy(&init, request->init, sizeof(init));
        if (sock_stack_set(sock, IPPROTO_SCTP, SCTP_INITMSG, &init, sizeof(init)) == -1)
            return -1;
    }
    if (sock_stack_get(sock, IPPROTO_SCTP, SCTP_INITMSG, &init, sizeof(init)) == 0 &&
        request->stream >= init.sinit_num_ostreams)
        return fail(EINVAL);
    sock->send_is_due = sock->set_up_by_send = true;
    if (sock_connect(sock, to) == -1) {
        sock->send_is_due = sock->set_up_by_send = false;
        return -1;
    }
    return 0;
}

/* With a destination: the peer's, or else the association is set up by the way. */
static int may_send_to(struct sock *sock, const struct request *request)
{
    struct address to;

    if (sock->state == SOCKET_CLOSED && sock->was_connected)
        return fail(EPIPE);
    if (sock_read_address(sock, payload, request->size, &to) == -1)
        return -1;
    if (!address_is_usable(&to))
        return fail(EINVAL);
    struct address peer = sock_peer(sock);
    bool to_peer = sock->link != NULL && to.port == peer.port && address_same_ip(&to, &peer);
    if (sock->state == SOCKET_CONNECTED && (!to_peer || sock_association_state(sock) < 0)) {
        /* Whoever has done nothing with it since accept takes the end for an earlier one. */
        return fail(to_peer && sock->listener_id != 0 && !sock->is_used ? EPIPE : EADDRNOTAVAIL);
    }
    if (sock->state == SOCKET_CONNECTED || (sock->state == SOCKET_CONNECTING && to_peer))
        return 0;
    if (sock_is_stale(sock))
        return fail(ESTALE);
    return set_up_by_send(sock, request, &to);
}

/* What usrsctp would refuse only when the call has returned. */
static int check_message(struct sock *sock, unsigned stream, unsigned size)
{
    struct sctp_status status = {.sstat_outstrms = 0};

    if (sock->state != SOCKET_CONNECTED ||
        sock_stack_get(sock, IPPROTO_SCTP, SCTP_STATUS, &status, sizeof(status)) == -1)
        return 0;
    if (stream >= status.sstat_outstrms)
        errno = EINVAL;
    else if (sock_limits_messages(sock) && size > status.sstat_fragmentation_point)
        errno = EMSGSIZE;
    else
        return 0;
    return -1;
}

static int may_send(struct sock *sock, const struct request *request)
{
    sock_refresh(sock);
    if (sock->state == SOCKET_LISTENING)
        return fail_with_error(sock, EPIPE);
    if (request->size > 0 && may_send_to(sock, request) == -1)
        return -1;
    bool can_send = sock->error == 0 && !sock->shut_write && sock->so != NULL &&
                    (sock->state == SOCKET_CONNECTED || sock->state == SOCKET_CONNECTING);
    if (!can_send && !sock->send_is_due)
        return fail_with_error(sock, EPIPE);
    if (check_message(sock, request->stream, request->message_size) == -1)
        return -1;
    reply.marks |= MARK_CONNECTED;
    return 0;
}

/* Why is there nothing to read? value 1: the call may go ahead, 0: the end of the file. */
static int may_receive(struct sock *sock, const struct request *request)
{
    bool blocks = (request->flags & REQUEST_BLOCKING) != 0;

    sock_refresh(sock);
    if (sock->state == SOCKET_CONNECTING ||
        (sock->state == SOCKET_CONNECTED && sock->so != NULL && !sock->shut_read)) {
        reply.value = 1;
        return 0;
    }
    if (sock->state == SOCKET_LISTENING)
        return fail(ENOTCONN);
    if (sock->error != 0)
        return fail_with_error(sock, 0);
    if (sock->shut_read || (sock->was_connected && sock->peer_ended))
        return 0;
    return fail(blocks ? ENOTCONN : EAGAIN);
}

/* ---- the end, and a new beginning */

/* The program has closed it, with SO_LINGER: the reply comes when the association has ended. */
static int linger(struct sock *sock)
{
    if (sock->state == SOCKET_CONNECTED && sock->record_watch.fd != -1)
        transfer_records(&sock->record_watch, EPOLLIN);
    if (!sock->closed || sock->linger_until_ns == 0)
        return 0;
    return fail(EINPROGRESS);
}

static int replace(struct sock *sock, const struct request *request)
{
    struct sock *old = sock_find(request->other);

    if (old == NULL || !sock_is_stale(old))
        return fail(EINVAL);
    sock_replace(old, sock);
    return 0;
}

/* ---- the conversation */

static int handle_socket_request(struct sock *sock, const struct request *request)
{
    switch (request->kind) {
    case REQUEST_BIND: return bind_socket(sock, request);
    case REQUEST_LISTEN: return listen_socket(sock, request->number);
    case REQUEST_CONNECT: return connect_socket(sock, request);
    case REQUEST_AWAIT: return await_association(sock);
    case REQUEST_AWAIT_RECORD: return await_record(sock);
    case REQUEST_SHUTDOWN: return sock_shutdown(sock, request->number);
    case REQUEST_SOCKNAME: return tell_name(sock);
    case REQUEST_PEERNAME: return sock->set_up_by_send ? fail(ENOTCONN) : tell_peer(sock);
    case REQUEST_SOURCE: return tell_peer(sock);
    case REQUEST_GET: return get_option(sock, request);
    case REQUEST_SET: return set_option(sock, request);
    case REQUEST_HEAD: return tell_head(sock, request->number);
    case REQUEST_MAY_SEND: return may_send(sock, request);
    case REQUEST_MAY_RECEIVE: return may_receive(sock, request);
    case REQUEST_LINGER: return linger(sock);
    case REQUEST_REPLACE: return replace(sock, request);
    default: errno = EINVAL; return -1;
    }
}

static void handle_request(struct control *control, const struct request *request)
{
    struct sock *sock = sock_find(request->id);

    reply = (struct reply){.value = 0};
    if (sock == NULL) {
        send_reply(control, NULL, request->kind == REQUEST_LINGER ? 0 : ECONNRESET);
        return;
    }
    int result = handle_socket_request(sock, request);
    int error = result == -1 ? errno : 0;
    bool may_wait = request->kind == REQUEST_CONNECT || request->kind == REQUEST_AWAIT ||
                    request->kind == REQUEST_AWAIT_RECORD || request->kind == REQUEST_LINGER ||
                    is_connectx(request);
    if (error == EINPROGRESS && may_wait && (request->flags & REQUEST_WAIT) &&
        sock->waiter == NULL) {
        wait_for(control, sock, request);
        return;
    }
    if (result > 0)
        reply.value = result;
    sock = sock_find(request->id);
    if (sock != NULL)
        sock->is_used = true;
    send_reply(control, sock, error);
}

/* Requests that name no socket, but come with a file. */
static void handle_general_request(struct control *control, const struct request *request, int fd)
{
    int result = request->kind == REQUEST_LIST ? list_sockets(fd) : capture_to(fd);

    reply = (struct reply){.value = 0};
    send_reply(control, NULL, result == -1 ? errno : 0);
}

/* Another user's program has given up its rights since it opened the socket, or has got the socket
 * from somebody else: what it has, it can attach. After a close there is nothing to attach. */
static bool may_ask(const struct control *control, const struct request *request, int fd)
{
    struct sockaddr_un address;
    socklen_t size = sizeof(address);
    struct socket_name name;

    if (!control->is_foreign || request->kind == REQUEST_LINGER)
        return true;
    return request->kind != REQUEST_CAPTURE && request->kind != REQUEST_LIST &&
           getsockname(fd, (struct sockaddr *)&address, &size) == 0 &&
           read_socket_name(&address, size, &name) && name.id == request->id;
}

/* Most requests are there at once, and answered at once: their connections need no watch. */
static void watch_on(struct control *control)
{
    if (!control->is_watched && loop_watch(&control->watch, EPOLLIN | EPOLLET) == -1)
        close_control(control);
    else
        control->is_watched = true;
}

/* What a connection is for: one request. Where it waits for an answer, the connection stays. */
static void handle_control(struct watch *watch, uint32_t events)
{
    struct control *control = (struct control *)watch;
    union descriptor_control ancillary;
    struct request request = {.kind = 0};
    struct iovec parts[2] = {{&request, sizeof(request)}, {payload, sizeof(payload)}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};

    expect_descriptor(&message, &ancillary);
    ssize_t got = recvmsg(watch->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got == -1 && (errno == EAGAIN || errno == EINTR) && (events & EPOLLHUP) == 0) {
        watch_on(control);
        return;
    }
    int fd = got == -1 ? -1 : take_descriptor(&message);
    bool is_whole = got >= (ssize_t)sizeof(request) && control->waits_for == NULL &&
                    request.size <= (size_t)got - sizeof(request) && may_ask(control, &request, fd);
    bool is_general = request.kind == REQUEST_CAPTURE || request.kind == REQUEST_LIST;
    if (is_whole && is_general)
        handle_general_request(control, &request, fd);
    else if (fd != -1)
        close(fd);
    if (is_whole && !is_general)
        handle_request(control, &request);
    if (!is_whole || control->waits_for == NULL)
        close_control(control);
    else
        watch_on(control);
}

/* ---- who comes */

static bool is_ours(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && sock_is_ours(peer.uid);
}

static int start_conversation(int fd, bool is_foreign)
{
    struct control *control =
        is_foreign && foreign_count == FOREIGN_MAX ? NULL : calloc(1, sizeof(*control));

    if (control == NULL)
        return -1;
    control->watch = (struct watch){.fd = fd, .ready = handle_control};
    control->is_foreign = is_foreign;
    foreign_count += is_foreign;
    handle_control(&control->watch, 0);
    return 0;
}

/* The name of a program's end tells which socket it is; a conversation's has none. */
static int open_by_name(int fd, bool is_foreign)
{
    struct sockaddr_un address = {.sun_family = AF_UNSPEC};
    socklen_t size = sizeof(address);
    struct socket_name name;

    if (getpeername(fd, (struct sockaddr *)&address, &size) == -1 ||
        !read_socket_name(&address, size, &name))
        return start_conversation(fd, is_foreign);
    if (is_foreign || sock_open(fd, name.id, name.family == '4' ? AF_INET : AF_INET6) == NULL)
        return -1;
    return 0;
}

void control_accept(int fd)
{
    if (open_by_name(fd, !is_ours(fd)) == -1)
        close(fd);
}
