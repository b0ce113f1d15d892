/* The life of a socket. See socket.h. */
#include "socket.h"
#include "../protocol.h"
#include "ports.h"
#include <errno.h>
#include <linux/sockios.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/un.h>
#include <unistd.h>

#define IPV6_UDP_OVERHEAD 48
#define MTU_DEFAULT 1452 /* of an SCTP packet: Ethernet's, less IPv6 and UDP */
#define MTU_MAX 65000    /* where the path, as loopback, has more */
#define ID_BUCKETS 4096

static struct sock_handlers upper;
static struct sock_list all, changed, by_id[ID_BUCKETS];
static unsigned count;
static uid_t user;

void sock_start(const struct sock_handlers *handlers)
{
    upper = *handlers;
    user = geteuid();
}

bool sock_is_ours(uid_t who)
{
    return who == user || who == 0;
}

unsigned sock_count(void)
{
    return count;
}

struct sock_list *sock_all(void)
{
    return &all;
}

/* ---- birth */

struct sock *sock_find(uint64_t id)
{
    struct sock *sock;

    LIST_FOREACH(sock, &by_id[id % ID_BUCKETS], same_id)
        if (sock->id == id)
            return sock;
    return NULL;
}

static int set_default_mtu(struct socket *so, uint32_t mtu)
{
    struct sctp_paddrparams params = {.spp_flags = SPP_PMTUD_DISABLE, .spp_pathmtu = mtu};

    return usrsctp_setsockopt(so, IPPROTO_SCTP, SCTP_PEER_ADDR_PARAMS, &params, sizeof(params));
}

/* By usrsctp: something happened to so. */
static void note_change(struct socket *so, void *argument, int flags)
{
    (void)so;
    (void)flags;
    sock_changed(argument);
}

static void adopt(struct sock *sock, struct socket *so)
{
    sock->so = so;
    usrsctp_set_non_blocking(so, 1);
    usrsctp_set_upcall(so, note_change, sock);
}

/* usrsctp's socket, with the options that have been set so far. */
static int open_stack_socket(struct sock *sock)
{
    int on = 1;
    struct socket *so = usrsctp_socket(AF_CONN, SOCK_STREAM, IPPROTO_SCTP, NULL, NULL, 0, NULL);

    if (so == NULL)
        return -1;
    if (usrsctp_setsockopt(so, IPPROTO_SCTP, SCTP_REUSE_PORT, &on, sizeof(on)) == -1 ||
        usrsctp_setsockopt(so, IPPROTO_SCTP, SCTP_RECVRCVINFO, &on, sizeof(on)) == -1 ||
        set_default_mtu(so, MTU_DEFAULT) == -1) {
        usrsctp_close(so);
        return -1;
    }
    adopt(sock, so);
    upper.prepare(sock);
    sock->error_reported = false;
    return 0;
}

static struct sock *new_sock(int fd, uint64_t id, int family)
{
    struct sock *sock = calloc(1, sizeof(*sock));

    if (sock == NULL)
        return NULL;
    sock->record_watch = (struct watch){.fd = fd, .ready = upper.records};
    sock->id = id;
    sock->family = family;
    sock->pending_fd = -1;
    STAILQ_INIT(&sock->pending);
    upper.opened(sock);
    LIST_INSERT_HEAD(&by_id[id % ID_BUCKETS], sock, same_id);
    LIST_INSERT_HEAD(&all, sock, others);
    count++;
    return sock;
}

static void drop_link(struct sock *sock)
{
    if (sock->link != NULL)
        sock->link->users--;
    sock->link = NULL;
}

static void close_end(struct sock *sock)
{
    if (sock->record_watch.fd == -1)
        return;
    loop_forget(&sock->record_watch);
    close(sock->record_watch.fd);
    sock->record_watch.fd = -1;
}

static void free_sock(struct sock *sock)
{
    upper.freed(sock);
    close_end(sock);
    ports_leave(sock);
    drop_link(sock);
    LIST_REMOVE(sock, same_id);
    LIST_REMOVE(sock, others);
    if (sock->changed)
        LIST_REMOVE(sock, others_changed);
    free(sock->addresses);
    loop_free_later(&sock->record_watch);
    count--;
}

struct sock *sock_open(int fd, uint64_t id, int family)
{
    if (sock_find(id) != NULL) {
        errno = EEXIST;
        return NULL;
    }
    struct sock *sock = new_sock(fd, id, family);
    if (sock == NULL)
        return NULL;
    sock->has_filler = true;
    if (open_stack_socket(sock) == 0 && loop_watch(&sock->record_watch, EPOLLIN | EPOLLET) == 0)
        return sock;
    int error = errno;
    if (sock->so != NULL)
        usrsctp_close(sock->so);
    sock->record_watch.fd = -1; /* it stays the caller's */
    free_sock(sock);
    errno = error;
    return NULL;
}

/* ---- an accepted one */

static socklen_t program_name(const struct sock *sock, struct sockaddr_un *name)
{
    char *text = name->sun_path + 1;

    *name = (struct sockaddr_un){.sun_family = AF_UNIX};
    int length = snprintf(text, sizeof(name->sun_path) - 1, PROTOCOL_SOCKET_FORMAT, (unsigned)user,
                          (unsigned)wire_udp_port(WIRE_LISTEN), sock->family == AF_INET ? '4' : '6',
                          (unsigned long long)sock->id);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
}

static void set_timeout(int fd, int name, const struct timeval *timeout)
{
    if (timeout->tv_sec != 0 || timeout->tv_usec != 0)
        setsockopt(fd, SOL_SOCKET, name, timeout, sizeof(*timeout));
}

/* The program's end gets what a socket() of the program's own would have. */
static int prepare_program_end(struct sock *sock, int fd)
{
    struct sockaddr_un name;
    socklen_t size = program_name(sock, &name);
    int zero = 0, marks = MARK_MAGIC | (int)sock_marks(sock);
    int buffer = sock->options.send_buffer / 2 + 16;

    if (bind(fd, (struct sockaddr *)&name, size) == -1 ||
        setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &zero, sizeof(zero)) == -1 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer)) == -1)
        return -1;
    set_timeout(fd, SO_RCVTIMEO, &sock->options.receive_timeout);
    set_timeout(fd, SO_SNDTIMEO, &sock->options.send_timeout);
    return setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &marks, sizeof(marks));
}

static int random_id(uint64_t *id)
{
    do
        if (getrandom(id, sizeof(*id), 0) != sizeof(*id))
            return -1;
    while (*id == 0 || sock_find(*id) != NULL);
    return 0;
}

static int set_up_accepted(struct sock *sock, struct sock *listener, struct socket *so,
                           const struct sockaddr_conn *peer)
{
    sock->addresses = malloc(sizeof(sock->addresses[0]));
    if (sock->addresses == NULL)
        return -1;
    upper.inherit(sock, listener);
    adopt(sock, so);
    sock->link = peer->sconn_addr;
    sock->link->users++;
    sock->peer_port = ntohs(peer->sconn_port);
    if (address_same_ip(&sock->link->local, &sock->link->remote) ||
        address_is_loopback(&sock->link->remote.ip))
        set_default_mtu(so, MTU_MAX);
    sock->addresses[0] = sock->link->local;
    sock->address_count = 1;
    sock->state = SOCKET_CONNECTED;
    sock->was_connected = true;
    upper.fix_mtu(sock);
    ports_join(sock, listener);
    return 0;
}

struct sock *sock_accepted(struct sock *listener, struct socket *so,
                           const struct sockaddr_conn *peer, int *fd)
{
    int ends[2], error;
    uint64_t id;

    if (random_id(&id) == -1 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == -1)
        return NULL;
    struct sock *sock = new_sock(ends[0], id, listener->family);
    if (sock != NULL && set_up_accepted(sock, listener, so, peer) == 0 &&
        prepare_program_end(sock, ends[1]) == 0 &&
        loop_watch(&sock->record_watch, EPOLLIN | EPOLLET) == 0) {
        *fd = ends[1];
        sock_changed(sock);
        return sock;
    }
    error = errno;
    close(ends[1]);
    if (sock == NULL)
        close(ends[0]);
    else
        free_sock(sock);
    errno = error;
    return NULL;
}

/* ---- addresses */

int sock_read_address(const struct sock *sock, const void *bytes, size_t size,
                      struct address *address)
{
    errno = EINVAL;
    if (address_read(address, bytes, size) == -1)
        return -1;
    sa_family_t family = ((const struct sockaddr *)bytes)->sa_family;
    bool fits = family == AF_INET ? !sock->options.v6only : sock->family == AF_INET6;
    return fits && !(sock->options.v6only && address_is_v4(&address->ip)) ? 0 : -1;
}

socklen_t sock_write_address(const struct sock *sock, const struct address *address,
                             struct sockaddr_storage *to)
{
    bool as_v4 =
        sock->family == AF_INET || (address_is_v4(&address->ip) && !sock->options.mapped_v4);

    return address_write(address, as_v4 ? AF_INET : AF_INET6, to);
}

struct address sock_peer(const struct sock *sock)
{
    struct address peer = {.port = 0};

    if (sock->link != NULL)
        peer = sock->link->remote;
    peer.port = sock->peer_port;
    return peer;
}

struct address sock_name(const struct sock *sock)
{
    struct address name = address_any(sock->family);

    if (sock->link != NULL)
        name = sock->link->local;
    else if (!address_is_any(&sock->tried_from.ip))
        name = sock->tried_from;
    else if (sock->address_count > 0)
        name = sock->addresses[0];
    name.port = sock->port;
    return name;
}

union stack_name sock_stack_name(uint16_t port, struct link *link)
{
    union stack_name name;

    memset(&name, 0, sizeof(name));
    name.conn.sconn_family = AF_CONN;
    name.conn.sconn_port = htons(port);
    name.conn.sconn_addr = link;
    return name;
}

/* ---- what it is */

int sock_stack_set(struct sock *sock, int level, int name, const void *value, size_t size)
{
    if (sock->so == NULL)
        return fail(EINVAL);
    return usrsctp_setsockopt(sock->so, level, name, value, (socklen_t)size);
}

int sock_stack_get(struct sock *sock, int level, int name, void *value, size_t size)
{
    socklen_t room = (socklen_t)size;

    if (sock->so == NULL)
        return fail(EINVAL);
    return usrsctp_getsockopt(sock->so, level, name, value, &room);
}

struct sctp_status sock_status(struct sock *sock)
{
    struct sctp_status status = {.sstat_assoc_id = 0};

    if (sock_has_association(sock))
        sock_stack_get(sock, IPPROTO_SCTP, SCTP_STATUS, &status, sizeof(status));
    return status;
}

bool sock_has_association(const struct sock *sock)
{
    return sock->so != NULL &&
           (sock->state == SOCKET_CONNECTED || sock->state == SOCKET_CONNECTING);
}

int sock_association_state(struct sock *sock)
{
    struct sctp_status status = {.sstat_assoc_id = 0};

    if (sock->so == NULL ||
        sock_stack_get(sock, IPPROTO_SCTP, SCTP_STATUS, &status, sizeof(status)) == -1)
        return -1;
    return status.sstat_state;
}

/* Linux tells the end of the file, which is the peer's SHUTDOWN, from an association that we ended
 * or that was aborted: there is nobody to read from any more, but no end either. */
bool sock_peer_ended(struct sock *sock)
{
    if (sock->peer_ended || sock->shut_write || sock->error_reported || sock->so == NULL)
        return sock->peer_ended;
    int state = sock_association_state(sock);
    sock->peer_ended =
        state < 0 || state == SCTP_SHUTDOWN_RECEIVED || state == SCTP_SHUTDOWN_ACK_SENT;
    return sock->peer_ended;
}

static uint32_t stream_count(struct sock *sock)
{
    struct sctp_status status = {.sstat_outstrms = 0};

    if (sock->so == NULL ||
        sock_stack_get(sock, IPPROTO_SCTP, SCTP_STATUS, &status, sizeof(status)) == -1)
        return 0;
    return status.sstat_outstrms < 63 ? status.sstat_outstrms : 63;
}

bool sock_limits_messages(struct sock *sock)
{
    int on = 0;

    return sock->so != NULL &&
           sock_stack_get(sock, IPPROTO_SCTP, SCTP_DISABLE_FRAGMENTS, &on, sizeof(on)) == 0 &&
           on != 0;
}

bool sock_wants_heads(const struct sock *sock)
{
    const struct socket_options *options = &sock->options;

    return options->want_rcvinfo || options->want_nxtinfo || options->subscribed != 0 ||
           options->stamps != 0;
}

uint32_t sock_marks(struct sock *sock)
{
    const struct socket_options *options = &sock->options;
    uint32_t marks = 0;

    if (sock_wants_heads(sock))
        sock->has_heads = true;
    if (sock->state == SOCKET_LISTENING)
        marks |= MARK_LISTENING;
    if (sock->was_connected)
        marks |= MARK_CONNECTED | stream_count(sock) << MARK_STREAMS_SHIFT;
    if (options->linger.l_onoff && options->linger.l_linger > 0)
        marks |= MARK_LINGER;
    if (options->subscribed & 1)
        marks |= MARK_SNDRCV;
    if (sock->has_heads)
        marks |= MARK_HEAD;
    if (sock->shut_write)
        marks |= MARK_SHUT_WRITE;
    if (options->want_rcvinfo)
        marks |= MARK_RCVINFO;
    if (options->want_nxtinfo)
        marks |= MARK_NXTINFO;
    if (sock_limits_messages(sock))
        marks |= MARK_ASK;
    return marks;
}

/* ---- change */

void sock_changed(struct sock *sock)
{
    if (sock->changed)
        return;
    sock->changed = true;
    LIST_INSERT_HEAD(&changed, sock, others_changed);
}

void sock_handle_changes(void)
{
    while (!LIST_EMPTY(&changed)) {
        struct sock *sock = LIST_FIRST(&changed);
        LIST_REMOVE(sock, others_changed);
        sock->changed = false;
        upper.changed(sock);
    }
}

void sock_watch_room(struct sock *sock, bool on)
{
    if (sock->waits_for_room == on || sock->record_watch.fd == -1)
        return;
    sock->waits_for_room = on;
    loop_change(&sock->record_watch, EPOLLIN | EPOLLET | (on ? EPOLLOUT : 0));
}

/* What usrsctp reports once, as SO_ERROR of its socket. */
static int take_stack_error(struct sock *sock)
{
    int error = 0;
    socklen_t size = sizeof(error);

    if (sock->error_reported ||
        usrsctp_getsockopt(sock->so, SOL_SOCKET, SO_ERROR, &error, &size) == -1)
        return 0;
    sock->error_reported = error != 0;
    return error;
}

void sock_refresh(struct sock *sock)
{
    if (!sock_has_association(sock))
        return;
    if (sock->peer_port == 0) { /* nobody can be there, and usrsctp does not ask */
        sock_fail(sock, ECONNREFUSED);
        return;
    }
    int events = usrsctp_get_events(sock->so);
    int error = (events & SCTP_EVENT_ERROR) != 0 ? take_stack_error(sock) : 0;
    if (sock->state == SOCKET_CONNECTING) {
        if (error != 0) {
            sock_fail(sock, error);
        } else if (events & SCTP_EVENT_WRITE) {
            sock->state = SOCKET_CONNECTED;
            sock->was_connected = true;
            upper.settled(sock, 0);
        }
    } else if (error != 0) {
        sock->error = error == ECONNABORTED ? ETIMEDOUT : error;
    }
}

/* ---- bind, listen */

/* The association is gone, and usrsctp's socket with it; ours stays, and can connect again. */
static void discard_stack_socket(struct sock *sock, bool aborts)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};

    if (sock->so == NULL)
        return;
    if (aborts)
        usrsctp_setsockopt(sock->so, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    usrsctp_set_upcall(sock->so, NULL, NULL);
    usrsctp_close(sock->so);
    sock->so = NULL;
}

/* listen(fd, 0) ends listening (net/sctp/socket.c, sctp_inet_listen). */
static int stop_listening(struct sock *sock)
{
    discard_stack_socket(sock, false);
    sock->state = SOCKET_CLOSED;
    return open_stack_socket(sock);
}

static int bind_stack_socket(struct sock *sock)
{
    union stack_name any = sock_stack_name(sock->port, NULL);

    return usrsctp_bind(sock->so, &any.any, sizeof(any));
}

/* Whoever reaches a loopback address is on this host, where the path has room for more. */
static bool only_loopback(const struct sock *sock)
{
    for (unsigned i = 0; i < sock->address_count; i++)
        if (!address_is_loopback(&sock->addresses[i].ip))
            return false;
    return true;
}

int sock_listen(struct sock *sock, int backlog)
{
    bool is_closed = sock->state == SOCKET_CLOSED, is_listening = sock->state == SOCKET_LISTENING;

    if ((!is_closed && !is_listening) || sock->listens_for_good || (is_closed && backlog == 0))
        return fail(EINVAL);
    if (backlog == 0)
        return stop_listening(sock);
    sock->backlog = backlog < 0 || backlog > SOMAXCONN ? SOMAXCONN : (unsigned)backlog;
    if (is_listening)
        return 0;
    if (sock->so == NULL && open_stack_socket(sock) == -1)
        return -1;
    if (ports_bind_any(sock) == -1 || ports_may_listen(sock) == -1 ||
        wire_open(WIRE_LISTEN) == -1 || bind_stack_socket(sock) == -1 ||
        (only_loopback(sock) && set_default_mtu(sock->so, MTU_MAX) == -1) ||
        ports_listen(sock->port, sock) == -1)
        return -1;
    upper.fix_mtu(sock);
    sock->state = SOCKET_LISTENING;
    sock->shut_read = sock->shut_write = false;
    return 0;
}

/* ---- connect */

/* Which way does the peer lie? */
static int choose_link(struct sock *sock, const struct address *peer)
{
    struct address remote = *peer, local;
    uint32_t mtu;

    remote.port = ntohs(sock->options.socket.path.udp_port);
    if (remote.port == 0)
        remote.port = wire_udp_port(WIRE_LISTEN);
    if (wire_route(&remote, &local, &mtu) == -1)
        return -1;
    if (!address_is_any(&sock->addresses[0].ip) &&
        address_is_v4(&sock->addresses[0].ip) == address_is_v4(&remote.ip))
        local = sock->addresses[0];
    local.port = 0;
    if (peer->port == sock->port && address_same_ip(&local, &remote)) /* it connects to itself */
        remote.port = wire_udp_port(WIRE_CONNECT);
    struct link *link = wire_link(&remote, &local, WIRE_CONNECT);
    if (link == NULL)
        return fail(ENOBUFS);
    link->users++;
    sock->link = link;
    sock->tried_from = local;
    sock->peer_port = peer->port;
    if (mtu > MTU_DEFAULT + IPV6_UDP_OVERHEAD) {
        mtu -= IPV6_UDP_OVERHEAD;
        set_default_mtu(sock->so, mtu < MTU_MAX ? mtu : MTU_MAX);
    }
    upper.fix_mtu(sock);
    return 0;
}

static int start_connecting(struct sock *sock, const struct address *peer)
{
    if (sock->so == NULL && open_stack_socket(sock) == -1)
        return -1;
    if (ports_bind_any(sock) == -1 || wire_open(WIRE_CONNECT) == -1 ||
        bind_stack_socket(sock) == -1 || choose_link(sock, peer) == -1)
        return -1;
    union stack_name to = sock_stack_name(peer->port, sock->link);
    sock->state = SOCKET_CONNECTING; /* its first packet can already be answered */
    if (peer->port == 0) {
        sock_changed(sock); /* and is refused */
    } else if (usrsctp_connect(sock->so, &to.any, sizeof(to)) == -1 && errno != EINPROGRESS) {
        sock->state = SOCKET_CLOSED;
        drop_link(sock);
        return -1;
    }
    sock->error = 0;
    sock->shut_write = false;
    sock->shut_read = sock->was_shut;
    if (sock->was_shut)
        shutdown(sock->record_watch.fd, SHUT_WR);
    return 0;
}

static bool may_connect(struct sock *sock, const struct address *peer)
{
    if (sock->was_connected || sock->state == SOCKET_LISTENING)
        errno = EISCONN;
    else if (!address_is_usable(peer))
        errno = EINVAL;
    else if (sock->state == SOCKET_CONNECTING)
        errno = EALREADY;
    else
        return true;
    return false;
}

/* A message that sets up an association is on its way, and must not fail with it. */
static bool has_sent(const struct sock *sock)
{
    int size = 0;

    return ioctl(sock->record_watch.fd, SIOCINQ, &size) == 0 && size > FILLER_SIZE;
}

void sock_sent(struct sock *sock)
{
    if (!has_sent(sock))
        return;
    sock->send_is_due = false;
    if (sock->end_is_due)
        close_end(sock);
}

/* After a refusal the socket can connect again, with another end (sock_replace). */
static void fail_connect(struct sock *sock, int error)
{
    sock->error = error;
    discard_stack_socket(sock, true);
    drop_link(sock);
    sock->state = SOCKET_CLOSED;
    upper.settled(sock, error);
}

void sock_show_failure(struct sock *sock)
{
    sock->send_is_due = sock->send_is_due && !has_sent(sock);
    if (sock->send_is_due)
        sock->end_is_due = true;
    else
        close_end(sock); /* the filler is unread, so that poll tells of an error (POLLERR) */
}

int sock_connect(struct sock *sock, const struct address *peer)
{
    sock_refresh(sock);
    if (!may_connect(sock, peer))
        return -1;
    if (start_connecting(sock, peer) == 0)
        return 0;
    int error = errno;
    discard_stack_socket(sock, true);
    return fail(error);
}

/* ---- the end */

void sock_fail(struct sock *sock, int error)
{
    if (sock->state == SOCKET_CONNECTING)
        fail_connect(sock, error);
    else
        sock_end(sock, ECONNRESET);
}

static void drop_records(struct sock *sock)
{
    char byte;

    while (recv(sock->record_watch.fd, &byte, 1, MSG_DONTWAIT) > 0)
        continue;
}

void sock_end(struct sock *sock, int error)
{
    if (sock->was_connected && !upper.accepted(sock)) { /* for accept, it is closed already */
        sock->state = SOCKET_CLOSED;
        sock->peer_ended = true;
        sock->error = error = 0;
    }
    (void)sock_peer_ended(sock);
    if (error != 0) {
        sock->error = error;
        sock->error_reported = true;
    }
    discard_stack_socket(sock, error != 0);
    if (sock->closed) {
        free_sock(sock);
        return;
    }
    upper.ended(sock);
    if (sock->shut_write && !sock->peer_ended && error == 0) /* no end of the file: see above */
        return;
    sock->end_is_shown = true;
    if (error != 0) { /* the program asks which, where its end has hung up */
        close_end(sock);
    } else {
        drop_records(sock);
        shutdown(sock->record_watch.fd, SHUT_WR);
    }
}

/* Has the program closed its end, too? Nobody else can have the name then. */
bool sock_is_gone(const struct sock *sock)
{
    struct sockaddr_un name;
    socklen_t size = program_name(sock, &name);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (fd == -1)
        return false;
    bool gone = bind(fd, (struct sockaddr *)&name, size) == 0;
    close(fd);
    return gone;
}

void sock_sweep(void)
{
    struct sock *sock;

    LIST_FOREACH(sock, &all, others) {
        bool is_deaf = sock->record_watch.fd == -1 ||
                       ((sock->shut_read || sock->end_is_shown) && sock->shut_write);
        if (is_deaf && !sock->closed && sock_is_gone(sock)) {
            discard_stack_socket(sock, true);
            free_sock(sock);
        } else if (sock->closed && sock->linger_until_ns != 0) {
            sock_changed(sock);
        }
    }
}

bool sock_is_stale(const struct sock *sock)
{
    return sock->state != SOCKET_CONNECTED &&
           (sock->record_watch.fd == -1 ||
            (sock->state == SOCKET_CLOSED && !sock->was_connected && sock->shut_read));
}

void sock_replace(struct sock *old, struct sock *fresh)
{
    fresh->tried_from = old->tried_from;
    fresh->was_shut = old->shut_read || old->was_shut;
    struct socket_options options = fresh->options;
    fresh->options = old->options;
    old->options = options;
    fresh->addresses = old->addresses;
    fresh->address_count = old->address_count;
    old->addresses = NULL;
    ports_move(old, fresh);
    discard_stack_socket(fresh, true);
    discard_stack_socket(old, true);
    free_sock(old);
}

/* Fails, and for poll and recv is shut down all the same. A socket that listens cannot be shut down
 * for reading (net/ipv4/af_inet.c, inet_shutdown). */
static int shutdown_unconnected(struct sock *sock, int how)
{
    if (sock->state == SOCKET_LISTENING) {
        if (how == SHUT_WR)
            return 0;
        sock->listens_for_good = true;
        return fail(EOPNOTSUPP);
    }
    if (sock->state == SOCKET_CLOSED) {
        sock->shut_read |= how != SHUT_WR;
        sock->shut_write |= how != SHUT_RD;
        if (sock->record_watch.fd != -1 && sock->shut_read) /* it cannot be written to anyway */
            shutdown(sock->record_watch.fd, sock->shut_write ? SHUT_RDWR : SHUT_WR);
    }
    return fail(ENOTCONN);
}

/* SHUT_WR sends SHUTDOWN once all data is out; reading goes on until the peer's end. The program's
 * sends fail at once: that is the other direction of our end. After the association has ended this
 * succeeds, too. */
int sock_shutdown(struct sock *sock, int how)
{
    if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR)
        return fail(EINVAL);
    sock_refresh(sock);
    if (sock->state != SOCKET_CONNECTED)
        return shutdown_unconnected(sock, how);
    if (how != SHUT_WR) {
        sock->shut_read = true;
        shutdown(sock->record_watch.fd, SHUT_WR);
    }
    if (how != SHUT_RD && !sock->shut_write) {
        (void)sock_peer_ended(sock); /* before us? */
        sock->shut_write = true;
        shutdown(sock->record_watch.fd, SHUT_RD);
    }
    sock_changed(sock);
    return 0;
}

void sock_drained(struct sock *sock)
{
    if (sock->drained)
        return;
    sock->drained = true;
    if (sock->so != NULL)
        usrsctp_shutdown(sock->so, SHUT_WR);
}

/* With a time to linger, and somebody who waits, usrsctp's socket stays until the association has
 * ended. */
static bool lingers(struct sock *sock)
{
    const struct linger *linger = &sock->options.linger;

    if (!linger->l_onoff || linger->l_linger <= 0 || sock->state != SOCKET_CONNECTED ||
        sock->so == NULL)
        return false;
    sock->linger_until_ns = loop_now_ns() + (uint64_t)linger->l_linger * 1000000000u;
    sock_drained(sock);
    return true;
}

void sock_close(struct sock *sock, bool aborts)
{
    const struct linger *linger = &sock->options.linger;

    sock->closed = true;
    close_end(sock);
    if (aborts || (linger->l_onoff && linger->l_linger == 0)) {
        discard_stack_socket(sock, true);
        free_sock(sock);
    } else if (!lingers(sock)) {
        discard_stack_socket(sock, false);
        free_sock(sock);
    }
}
