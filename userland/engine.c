/* The life of a socket: socket, bind, listen, accept, connect, shutdown, close, and its
 * names. */
#include "internal.h"
#include <stdlib.h>
#include <string.h>

#define IPV6_UDP_OVERHEAD 48
#define MTU_DEFAULT 1452 /* of an SCTP packet: Ethernet's, less IPv6 and UDP */
#define MTU_MAX 16384    /* where the path, as loopback, has more */

bool same_address(const struct in6_addr *a, const struct in6_addr *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

/* ---- addresses */

static bool unusable(const struct in6_addr *ip)
{
    if (!IN6_IS_ADDR_V4MAPPED(ip))
        return IN6_IS_ADDR_MULTICAST(ip);
    return ip->s6_addr[12] >= 224; /* multicast, class E, broadcast */
}

int parse_address(const struct us_sock *sock, const struct sockaddr *address, socklen_t length,
                  struct us_addr *parsed)
{
    struct sockaddr_in in;
    struct sockaddr_in6 in6;

    errno = EINVAL;
    if (length < sizeof address->sa_family)
        return -1;
    if (bad_pointer(address)) {
        errno = EFAULT;
        return -1;
    }
    *parsed = (struct us_addr){.port = 0};
    if (address->sa_family == AF_INET && length >= sizeof in && !sock->v6only) {
        memcpy(&in, address, sizeof in);
        parsed->ip.s6_addr[10] = parsed->ip.s6_addr[11] = 0xff;
        memcpy(&parsed->ip.s6_addr[12], &in.sin_addr, 4);
        parsed->port = ntohs(in.sin_port);
    } else if (address->sa_family == AF_INET6 && length >= sizeof in6 && sock->domain == AF_INET6) {
        memcpy(&in6, address, sizeof in6);
        parsed->ip = in6.sin6_addr;
        parsed->scope = in6.sin6_scope_id;
        parsed->port = ntohs(in6.sin6_port);
        if (sock->v6only && IN6_IS_ADDR_V4MAPPED(&parsed->ip))
            return -1;
    } else {
        return -1;
    }
    return unusable(&parsed->ip) ? -1 : 0;
}

socklen_t format_address(const struct us_sock *sock, const struct us_addr *address,
                         struct sockaddr_storage *formatted)
{
    bool v4 = IN6_IS_ADDR_V4MAPPED(&address->ip);

    memset(formatted, 0, sizeof *formatted);
    if (sock->domain == AF_INET || (v4 && sock->v4_unmapped)) {
        struct sockaddr_in *in = (struct sockaddr_in *)formatted;
        in->sin_family = AF_INET;
        in->sin_port = htons(address->port);
        memcpy(&in->sin_addr, &address->ip.s6_addr[12], 4);
        return sizeof *in;
    }
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)formatted;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(address->port);
    in6->sin6_addr = address->ip;
    in6->sin6_scope_id = address->scope;
    return sizeof *in6;
}

void copy_address(const struct us_sock *sock, const struct us_addr *from, struct sockaddr *address,
                  socklen_t *length)
{
    struct sockaddr_storage formatted;

    if (address == NULL || length == NULL)
        return;
    socklen_t size = format_address(sock, from, &formatted);
    memcpy(address, &formatted, *length < size ? *length : size);
    *length = size;
}

struct us_addr sock_peer(const struct us_sock *sock)
{
    struct us_addr peer = {.port = sock->peer_port};

    if (sock->link != NULL) {
        peer.ip = sock->link->remote.ip;
        peer.scope = sock->link->remote.scope;
    }
    return peer;
}

static struct us_addr sock_name(const struct us_sock *sock)
{
    struct us_addr name = {.port = sock->port};

    if (sock->link != NULL)
        name.ip = sock->link->local;
    else if (sock->address_count > 0)
        name.ip = sock->addresses[0];
    return name;
}

static int report_name(const struct us_sock *sock, const struct us_addr *name,
                       struct sockaddr *address, socklen_t *length)
{
    if (bad_pointer(address) || bad_pointer(length)) {
        errno = EFAULT;
        return -1;
    }
    if ((int)*length < 0) {
        errno = EINVAL;
        return -1;
    }
    copy_address(sock, name, address, length);
    return 0;
}

int us_getsockname(int fd, struct sockaddr *address, socklen_t *length)
{
    struct us_sock *sock = table_get(fd);

    if (sock == NULL)
        return -1;
    stack_lock();
    struct us_addr name = sock_name(sock);
    stack_unlock();
    int result = report_name(sock, &name, address, length);
    sock_release(sock);
    return result;
}

int us_getpeername(int fd, struct sockaddr *address, socklen_t *length)
{
    struct us_sock *sock = table_get(fd);
    int result = -1;

    if (sock == NULL)
        return -1;
    stack_lock();
    sock_refresh(sock);
    struct us_addr name = sock_peer(sock);
    bool connected = sock->state == US_CONNECTED;
    stack_unlock();
    if (connected)
        result = report_name(sock, &name, address, length);
    else
        errno = ENOTCONN;
    sock_release(sock);
    return result;
}

/* ---- birth */

static int set_default_mtu(struct socket *so, uint32_t mtu)
{
    struct sctp_paddrparams params = {.spp_flags = SPP_PMTUD_DISABLE, .spp_pathmtu = mtu};

    return usrsctp_setsockopt(so, IPPROTO_SCTP, SCTP_PEER_ADDR_PARAMS, &params, sizeof params);
}

/* What every stack socket of ours has, whichever way it came to be. */
static void adopt(struct us_sock *sock, struct socket *so)
{
    sock->so = so;
    usrsctp_set_non_blocking(so, 1);
    usrsctp_set_upcall(so, stack_upcall, sock);
}

/* A stack socket for sock, with the options that have been set so far. 0, or -1 with
 * errno. */
static int open_stack_socket(struct us_sock *sock)
{
    int on = 1;
    struct socket *so = usrsctp_socket(AF_CONN, SOCK_STREAM, IPPROTO_SCTP, NULL, NULL, 0, NULL);

    if (so == NULL)
        return -1;
    if (usrsctp_setsockopt(so, IPPROTO_SCTP, SCTP_REUSE_PORT, &on, sizeof on) < 0 ||
        usrsctp_setsockopt(so, IPPROTO_SCTP, SCTP_RECVRCVINFO, &on, sizeof on) < 0 ||
        set_default_mtu(so, MTU_DEFAULT) < 0 || option_prepare_socket(sock, so) < 0) {
        usrsctp_close(so);
        return -1;
    }
    adopt(sock, so);
    sock->error_reported = false;
    return 0;
}

static struct us_sock *new_sock(int domain)
{
    struct us_sock *sock = calloc(1, sizeof *sock);

    if (sock == NULL)
        return NULL;
    atomic_init(&sock->refs, 1);
    sock->domain = domain;
    sock->fd = -1;
    stack_sock_opened(sock);
    return sock;
}

/* The real descriptor is a socket, so that whoever asks is told so; only ready.c uses it.
 */
static int new_descriptor(int type_flags)
{
    return k_socket(AF_UNIX, SOCK_DGRAM | (type_flags & (SOCK_CLOEXEC | SOCK_NONBLOCK)), 0);
}

static bool supported(int domain, int type, int protocol)
{
    int plain = type & ~(SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (plain < 0 || plain > SOCK_PACKET)
        errno = EINVAL;
    else if (domain != AF_INET && domain != AF_INET6)
        errno = EAFNOSUPPORT;
    else if (protocol != IPPROTO_SCTP)
        errno = EPROTONOSUPPORT;
    else if (plain != SOCK_STREAM)
        errno = plain == SOCK_SEQPACKET ? ESOCKTNOSUPPORT : EPROTONOSUPPORT;
    else
        return true;
    return false;
}

/* Locked. The socket, with its stack's; or NULL with errno. The stack is taken down when it has
 * long had none. */
static struct us_sock *start_sock(int domain)
{
    if (stack_start() < 0)
        return NULL;
    struct us_sock *sock = new_sock(domain);
    if (sock == NULL)
        errno = ENOMEM;
    return sock;
}

int us_socket(int domain, int type, int protocol)
{
    if (!supported(domain, type, protocol))
        return -1;
    int fd = new_descriptor(type);
    if (fd < 0)
        return -1;
    stack_lock();
    struct us_sock *sock = start_sock(domain);
    int result = sock == NULL ? -1 : open_stack_socket(sock);
    stack_unlock();
    if (result == 0) {
        atomic_store(&sock->nonblocking, (type & SOCK_NONBLOCK) != 0);
        result = table_put(fd, sock);
    }
    if (result < 0) {
        int saved = errno;
        k_close(fd);
        errno = saved;
    }
    if (sock != NULL)
        sock_release(sock);
    return result < 0 ? -1 : fd;
}

/* ---- death */

static void drop_link(struct us_sock *sock)
{
    if (sock->link != NULL)
        wire_link_drop(sock->link);
    sock->link = NULL;
}

/* The association is gone, and the stack's socket with it; ours stays, and can connect
 * again. */
static void discard_stack_socket(struct us_sock *sock, bool abort)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};

    if (sock->so == NULL)
        return;
    if (abort)
        usrsctp_setsockopt(sock->so, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    else
        sock_drop_notes(sock);
    usrsctp_set_upcall(sock->so, NULL, NULL);
    usrsctp_close(sock->so);
    sock->so = NULL;
}

void sock_give_up(struct us_sock *sock)
{
    discard_stack_socket(sock, true);
    drop_link(sock);
    sock->state = US_CLOSED;
    sock_changed(sock);
}

void sock_fail(struct us_sock *sock, int error)
{
    if (sock->state == US_CONNECTING)
        note_refusal(sock);
    sock->error = sock->state == US_CONNECTING ? error : ECONNRESET;
    sock->error_reported = true;
    sock_give_up(sock);
}

/* SO_LINGER with a time: close waits until the peer has confirmed, or for that time. */
static void linger(struct us_sock *sock)
{
    uint64_t deadline = now_ns() + (uint64_t)sock->linger.l_linger * 1000000000u;

    if (!sock->linger.l_onoff || sock->linger.l_linger <= 0 || sock->state != US_CONNECTED ||
        sock->so == NULL)
        return;
    sock_drop_notes(sock);
    if ((usrsctp_get_events(sock->so) & SCTP_EVENT_READ) || /* unread data: an ABORT it will be */
        usrsctp_shutdown(sock->so, SHUT_WR) < 0)
        return;
    while ((usrsctp_get_events(sock->so) & (SCTP_EVENT_READ | SCTP_EVENT_ERROR)) == 0)
        if (sock_wait(sock, deadline) < 0 && errno != EINTR)
            break;
}

static void drop_queue(struct us_sock *listener)
{
    while (listener->queue != NULL) {
        struct us_pending *pending = listener->queue;
        struct us_sock reader = {.so = pending->so, .ever_subscribed = listener->ever_subscribed};
        sock_drop_notes(&reader);
        listener->queue = pending->next;
        usrsctp_close(pending->so);
        wire_link_drop(pending->link);
        free(pending);
    }
    listener->queued = 0;
}

void sock_destroy(struct us_sock *sock)
{
    stack_lock();
    bool ours = sock->generation == stack_generation;
    if (ours) {
        linger(sock);
        stack_advance_clock();
        drop_queue(sock);
        discard_stack_socket(sock, false);
        drop_link(sock);
        port_leave(sock);
        stack_sock_closed(sock);
    }
    stack_unlock();
    if (ours)
        wire_settle();
    replay_free(sock);
    free(sock->note);
    free(sock->addresses);
    free(sock);
}

/* ---- bind, listen */

int us_bind(int fd, const struct sockaddr *address, socklen_t length)
{
    struct us_sock *sock = table_get(fd);
    struct us_addr parsed;
    int result = -1;

    if (sock == NULL)
        return -1;
    stack_lock();
    if (stack_usable(sock) && parse_address(sock, address, length, &parsed) == 0)
        result = port_bind(sock, &parsed);
    stack_unlock();
    sock_release(sock);
    return result;
}

/* usrsctp's name for a peer, or for ourselves with no link. As long as any address:
 * usrsctp copies it, and a small block of memory that it then frees could be the
 * program's next uninitialised one. */
union stack_name {
    struct sockaddr any;
    struct sockaddr_conn conn;
    struct sockaddr_storage room;
};

static union stack_name stack_name(uint16_t port, struct us_link *link)
{
    union stack_name name;

    memset(&name, 0, sizeof name);
    name.conn.sconn_family = AF_CONN;
    name.conn.sconn_port = htons(port);
    name.conn.sconn_addr = link;
    return name;
}

static int bind_stack_socket(struct us_sock *sock)
{
    union stack_name any = stack_name(sock->port, NULL);

    return usrsctp_bind(sock->so, &any.any, sizeof any);
}

/* listen(fd, 0) ends listening (net/sctp/socket.c, sctp_inet_listen). */
static int stop_listening(struct us_sock *sock)
{
    drop_queue(sock);
    discard_stack_socket(sock, false);
    sock->state = US_CLOSED;
    return open_stack_socket(sock);
}

/* Whoever reaches a loopback address is on this host, where the path has room for more.
 */
static bool only_loopback(const struct us_sock *sock)
{
    for (unsigned i = 0; i < sock->address_count; i++) {
        const struct in6_addr *ip = &sock->addresses[i];
        if (!IN6_IS_ADDR_LOOPBACK(ip) && !(IN6_IS_ADDR_V4MAPPED(ip) && ip->s6_addr[12] == 127))
            return false;
    }
    return true;
}

static int listen_locked(struct us_sock *sock, int backlog)
{
    if (!stack_usable(sock))
        return -1;
    if ((sock->state != US_CLOSED && sock->state != US_LISTENING) || sock->listens_for_good ||
        (sock->state == US_CLOSED && backlog == 0)) {
        errno = EINVAL;
        return -1;
    }
    if (backlog == 0)
        return stop_listening(sock);
    sock->backlog = backlog < 0 || backlog > SOMAXCONN ? SOMAXCONN : (unsigned)backlog;
    if (sock->state == US_LISTENING)
        return 0;
    if (sock->so == NULL && open_stack_socket(sock) < 0)
        return -1;
    if (port_autobind(sock) < 0 || port_claim_listening(sock) < 0 || wire_open(SIDE_LISTEN) < 0 ||
        bind_stack_socket(sock) < 0 ||
        (only_loopback(sock) && set_default_mtu(sock->so, MTU_MAX) < 0) ||
        usrsctp_listen(sock->so, SOMAXCONN) < 0)
        return -1;
    sock->state = US_LISTENING;
    sock->shut_read = sock->shut_write = false; /* see shutdown_locked */
    sock->queue_end = &sock->queue;
    sock_changed(sock);
    return 0;
}

int us_listen(int fd, int backlog)
{
    struct us_sock *sock = table_get(fd);
    int errno_before = errno;

    if (sock == NULL)
        return -1;
    stack_lock();
    int result = listen_locked(sock, backlog);
    stack_unlock();
    sock_release(sock);
    if (result == 0)
        errno = errno_before;
    return result;
}

/* ---- accept */

static void inherit(struct us_sock *sock, const struct us_sock *listener)
{
    sock->reuse_address = listener->reuse_address;
    sock->reuse_port = listener->reuse_port;
    sock->v6only = listener->v6only;
    sock->v4_unmapped = listener->v4_unmapped;
    sock->receive_timeout_ns = listener->receive_timeout_ns;
    sock->send_timeout_ns = listener->send_timeout_ns;
    sock->send_buffer = listener->send_buffer;
    sock->receive_buffer = listener->receive_buffer;
    sock->linger = listener->linger;
    sock->subscribed = listener->subscribed;
    sock->ever_subscribed = listener->ever_subscribed;
    sock->want_rcvinfo = listener->want_rcvinfo;
    sock->want_nxtinfo = listener->want_nxtinfo;
}

static void hold_link(struct us_sock *sock, struct us_link *link)
{
    link->users++;
    sock->link = link;
}

void sock_harvest(struct us_sock *listener)
{
    struct sockaddr_conn peer;
    socklen_t length = sizeof peer;
    struct socket *so;

    while ((so = usrsctp_accept(listener->so, (struct sockaddr *)&peer, &length)) != NULL) {
        struct us_pending *pending = malloc(sizeof *pending);
        if (pending == NULL || length < sizeof peer) {
            free(pending);
            usrsctp_close(so);
            continue;
        }
        *pending = (struct us_pending){
            .so = so, .link = peer.sconn_addr, .peer_port = ntohs(peer.sconn_port)};
        pending->link->users++;
        *listener->queue_end = pending;
        listener->queue_end = &pending->next;
        listener->queued++;
        length = sizeof peer;
    }
}

/* One more than the backlog may wait, as everywhere on Linux. */
bool queue_full(const struct us_sock *listener)
{
    return listener->queued > listener->backlog;
}

static struct us_pending *take_pending(struct us_sock *listener)
{
    struct us_pending *pending = listener->queue;

    listener->queue = pending->next;
    if (listener->queue == NULL)
        listener->queue_end = &listener->queue;
    listener->queued--;
    return pending;
}

/* Locked. The first of the queue becomes a socket, with a reference for the caller. NULL:
 * no memory. */
static struct us_sock *accept_one(struct us_sock *listener, int flags)
{
    struct us_sock *sock = new_sock(listener->domain);

    if (sock == NULL)
        return NULL;
    sock->addresses = malloc(sizeof sock->addresses[0]);
    if (sock->addresses == NULL) {
        stack_sock_closed(sock);
        free(sock);
        return NULL;
    }
    struct us_pending *pending = take_pending(listener);
    inherit(sock, listener);
    adopt(sock, pending->so);
    sock->link = pending->link; /* and the queue's hold on it */
    sock->peer_port = pending->peer_port;
    free(pending);
    sock->addresses[0] = sock->link->local;
    sock->address_count = 1;
    sock->state = US_CONNECTED;
    sock->was_connected = true;
    atomic_store(&sock->nonblocking, (flags & SOCK_NONBLOCK) != 0);
    port_join(sock, listener);
    sock_measure_again(sock);
    return sock;
}

/* Locked. Waits for an association. 0: there is one. */
static int await_association(struct us_sock *listener)
{
    uint64_t deadline = deadline_after(listener->receive_timeout_ns);

    for (;;) {
        if (!stack_usable(listener))
            return -1;
        if (listener->state != US_LISTENING || listener->so == NULL) {
            errno = EINVAL;
            return -1;
        }
        if (listener->queue != NULL)
            return 0;
        errno = EAGAIN;
        if (atomic_load(&listener->nonblocking))
            return -1;
        if (sock_wait(listener, deadline) < 0) {
            if (errno == ETIMEDOUT)
                errno = EAGAIN;
            return -1;
        }
    }
}

/* Locked. fd: the new descriptor. The descriptor comes first: without one, the
 * association waits. */
static struct us_sock *accept_locked(struct us_sock *listener, int flags, int *fd)
{
    if (await_association(listener) < 0)
        return NULL;
    *fd = new_descriptor(flags);
    if (*fd < 0)
        return NULL;
    struct us_sock *sock = accept_one(listener, flags);
    if (sock == NULL) {
        k_close(*fd);
        errno = ENOMEM;
        return NULL;
    }
    ready_update(listener, false);
    return sock;
}

static int finish_accept(struct us_sock *sock, int fd, const struct us_addr *peer,
                         struct sockaddr *address, socklen_t *length)
{
    if (address != NULL && report_name(sock, peer, address, length) < 0)
        return -1;
    return table_put(fd, sock);
}

int us_accept(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
    int accepted = -1, errno_before = errno;

    if (flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) {
        errno = EINVAL;
        return -1;
    }
    struct us_sock *listener = table_get(fd);
    if (listener == NULL)
        return -1;
    stack_lock();
    struct us_sock *sock = accept_locked(listener, flags, &accepted);
    struct us_addr peer = {.port = 0};
    if (sock != NULL)
        peer = sock_peer(sock);
    stack_unlock();
    sock_release(listener);
    if (sock == NULL)
        return -1;
    int result = finish_accept(sock, accepted, &peer, address, length);
    if (result < 0) {
        int saved = errno;
        k_close(accepted);
        errno = saved;
    } else {
        errno = errno_before;
    }
    sock_release(sock);
    return result < 0 ? -1 : accepted;
}

/* ---- connect */

/* What the stack reports once, as SO_ERROR of the socket. */
static int take_stack_error(struct us_sock *sock)
{
    int error = 0;
    socklen_t length = sizeof error;

    if (sock->error_reported ||
        usrsctp_getsockopt(sock->so, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
        return 0;
    sock->error_reported = error != 0;
    return error;
}

void sock_refresh(struct us_sock *sock)
{
    if (sock->so == NULL || sock->state == US_LISTENING || sock->state == US_CLOSED)
        return;
    int events = usrsctp_get_events(sock->so);
    int error = (events & SCTP_EVENT_ERROR) != 0 ? take_stack_error(sock) : 0;
    if (sock->state == US_CONNECTING) {
        if (error != 0) {
            sock_fail(sock, error);
        } else if (events & SCTP_EVENT_WRITE) {
            sock->state = US_CONNECTED;
            sock->was_connected = true;
        }
    } else if (error != 0) {
        sock->error = error == ECONNABORTED ? ETIMEDOUT : error;
    }
}

/* Which way does the peer lie? Sets the socket's link. 0, or -1 with errno. */
static int choose_link(struct us_sock *sock, const struct us_addr *peer)
{
    struct us_addr remote = *peer;
    struct in6_addr local;
    uint32_t mtu;

    remote.port = stack_udp_port();
    if (wire_route(&remote, &local, &mtu) < 0)
        return -1;
    if (!is_any(&sock->addresses[0]) &&
        IN6_IS_ADDR_V4MAPPED(&sock->addresses[0]) == IN6_IS_ADDR_V4MAPPED(&remote.ip))
        local = sock->addresses[0];
    struct us_link *link = wire_link(&remote, &local, SIDE_CONNECT);
    if (link == NULL) {
        errno = ENOBUFS;
        return -1;
    }
    hold_link(sock, link);
    sock->peer_port = peer->port;
    if (mtu > MTU_DEFAULT + IPV6_UDP_OVERHEAD) {
        mtu -= IPV6_UDP_OVERHEAD;
        set_default_mtu(sock->so, mtu < MTU_MAX ? mtu : MTU_MAX);
    }
    return 0;
}

static int start_connecting(struct us_sock *sock, const struct us_addr *peer)
{
    if (sock->so == NULL && open_stack_socket(sock) < 0)
        return -1;
    if (port_autobind(sock) < 0 || wire_open(SIDE_CONNECT) < 0 || bind_stack_socket(sock) < 0 ||
        choose_link(sock, peer) < 0)
        return -1;
    union stack_name to = stack_name(peer->port, sock->link);
    stack_advance_clock();
    if (usrsctp_connect(sock->so, &to.any, sizeof to) < 0 && errno != EINPROGRESS) {
        drop_link(sock);
        return -1;
    }
    sock->state = US_CONNECTING;
    sock->error = 0;
    sock->shut_read = sock->shut_write = false; /* see shutdown_locked */
    return 0;
}

static bool may_connect(struct us_sock *sock, const struct us_addr *peer)
{
    if (sock->state == US_CONNECTED || sock->state == US_LISTENING)
        errno = EISCONN;
    else if (is_any(&peer->ip)) /* not "this host", as TCP has it (sctp_v4_addr_valid) */
        errno = EINVAL;
    else if (sock->state == US_CONNECTING)
        errno = EALREADY;
    else if (peer->port == 0) /* nobody can be there */
        errno = sock->error = ECONNREFUSED;
    else
        return true;
    return false;
}

/* Locked. Waits until the association is up, has failed, or SO_SNDTIMEO is over. */
int sock_await_connected(struct us_sock *sock)
{
    uint64_t deadline = deadline_after(sock->send_timeout_ns);

    for (;;) {
        sock_refresh(sock);
        if (sock->state == US_CONNECTED)
            return 0;
        if (sock->state != US_CONNECTING) {
            /* The error stays, for SO_ERROR or the next send (sctp_wait_for_connect). */
            errno = sock->error != 0 ? sock->error : ECONNREFUSED;
            return -1;
        }
        if (sock_wait(sock, deadline) < 0) {
            if (errno == ETIMEDOUT)
                errno = EINPROGRESS;
            return -1;
        }
    }
}

int sock_start_connecting(struct us_sock *sock, const struct us_addr *peer)
{
    if (!stack_usable(sock))
        return -1;
    sock_refresh(sock);
    if (!may_connect(sock, peer))
        return -1;
    if (start_connecting(sock, peer) < 0) {
        int saved = errno;
        discard_stack_socket(sock, true);
        errno = saved;
        return -1;
    }
    ready_update(sock, false);
    return 0;
}

int sock_connect(struct us_sock *sock, const struct us_addr *peer)
{
    if (sock_start_connecting(sock, peer) < 0)
        return -1;
    if (atomic_load(&sock->nonblocking)) {
        errno = EINPROGRESS;
        return -1;
    }
    return sock_await_connected(sock);
}

static bool is_complete(const struct sockaddr *address, socklen_t length)
{
    return length >= sizeof(struct sockaddr_in) && !bad_pointer(address) &&
           (address->sa_family == AF_INET ||
            (address->sa_family == AF_INET6 && length >= sizeof(struct sockaddr_in6)));
}

/* Linux looks at the socket first, then at where the address leads (__sctp_connect). */
static int connect_locked(struct us_sock *sock, const struct sockaddr *address, socklen_t length)
{
    struct us_addr peer;

    sock_refresh(sock);
    if (is_complete(address, length) &&
        (sock->state == US_CONNECTED || sock->state == US_LISTENING)) {
        errno = EISCONN;
        return -1;
    }
    if (parse_address(sock, address, length, &peer) < 0)
        return -1;
    return sock_connect(sock, &peer);
}

int us_connect(int fd, const struct sockaddr *address, socklen_t length)
{
    struct us_sock *sock = table_get(fd);
    int result = -1, errno_before = errno;

    if (sock == NULL)
        return -1;
    if (!bad_pointer(address) && length >= sizeof address->sa_family &&
        address->sa_family == AF_UNSPEC) {
        errno = EOPNOTSUPP;
    } else {
        stack_lock();
        result = connect_locked(sock, address, length);
        stack_unlock();
        wire_settle();
    }
    sock_release(sock);
    if (result == 0)
        errno = errno_before;
    return result;
}

/* ---- shutdown */

/* Linux tells the end of the file, which is the peer's SHUTDOWN, from an association that we ended
 * or that was aborted: there is nobody to read from any more, but no end either. */
bool peer_has_ended(struct us_sock *sock)
{
    if (sock->peer_ended || sock->shut_write || sock->error_reported)
        return sock->peer_ended;
    int state = stack_association_state(sock);
    sock->peer_ended =
        state < 0 || state == SCTP_SHUTDOWN_RECEIVED || state == SCTP_SHUTDOWN_ACK_SENT;
    return sock->peer_ended;
}

/* Fails, and for poll and recv is shut down all the same. A socket that listens cannot be shut down
 * for reading (net/ipv4/af_inet.c, inet_shutdown). */
static int shutdown_unconnected(struct us_sock *sock, int how)
{
    if (sock->state == US_LISTENING) {
        if (how == SHUT_WR)
            return 0;
        sock->listens_for_good = true;
        errno = EOPNOTSUPP;
        return -1;
    }
    if (sock->state == US_CLOSED) {
        sock->shut_read |= how != SHUT_WR;
        sock->shut_write |= how != SHUT_RD;
        sock_changed(sock);
    }
    errno = ENOTCONN;
    return -1;
}

/* SHUT_WR sends SHUTDOWN once all data is out; reading goes on until the peer's end. */
static int shutdown_locked(struct us_sock *sock, int how)
{
    if (!stack_usable(sock))
        return -1;
    sock_refresh(sock);
    if (sock->state != US_CONNECTED || sock->so == NULL)
        return shutdown_unconnected(sock, how);
    if (how != SHUT_WR) {
        sock->shut_read = true;
        sock_stop_reading(sock);
    }
    if (how != SHUT_RD && !sock->shut_write) {
        (void)peer_has_ended(sock); /* before us? */
        sock->shut_write = true;
        stack_advance_clock();
        if (usrsctp_shutdown(sock->so, SHUT_WR) < 0 && errno != ENOTCONN)
            return -1;
    }
    sock_changed(sock);
    return 0;
}

int us_shutdown(int fd, int how)
{
    struct us_sock *sock = table_get(fd);
    int result = -1, errno_before = errno;

    if (sock == NULL)
        return -1;
    if (how == SHUT_RD || how == SHUT_WR || how == SHUT_RDWR) {
        stack_lock();
        result = shutdown_locked(sock, how);
        stack_unlock();
        wire_settle();
    } else {
        errno = EINVAL;
    }
    sock_release(sock);
    if (result == 0)
        errno = errno_before;
    return result;
}

void us_set_nonblocking(int fd, bool on)
{
    struct us_sock *sock = table_get(fd);

    if (sock == NULL)
        return;
    atomic_store(&sock->nonblocking, on);
    sock_release(sock);
}
