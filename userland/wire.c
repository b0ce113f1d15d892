/* SCTP packets in UDP datagrams (RFC 6951).
 *
 * The process has up to two UDP sockets (enum us_side), each for IPv4 and IPv6. What the
 * stack takes for the address of a peer is a link: the peer's address and UDP port and
 * ours. Links are made as packets come in, so they are limited, and those that nobody has
 * used for a while are freed. */
#include "internal.h"
#include <linux/errqueue.h>
#include <netinet/ip.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 16
#define ROUNDS 64
#define DATAGRAM_SIZE 65536
#define UDP_BUFFER                                                                                 \
    (4 * 1024 * 1024) /* as much of it as net.core.rmem_max lets us have                           \
                       */
#define BUCKETS 4096
#define LINK_IDLE_MS 180000 /* longer than three heartbeats */
#define LINK_LIMIT 65536    /* that nobody holds */

struct sctp_head {
    uint16_t source, destination;
    uint32_t tag, checksum;
    uint8_t chunk_type, chunk_flags;
    uint16_t chunk_length;
    uint32_t initiate_tag; /* of an INIT */
};
enum {
    CHUNK_DATA = 0,
    CHUNK_INIT = 1,
    CHUNK_INIT_ACK = 2,
    CHUNK_ABORT = 6,
    CHUNK_COOKIE_ACK = 11,
    COMMON_HEADER = 12
};

static atomic_int sockets[SIDE_COUNT] = {-1, -1};
static int families[SIDE_COUNT];
static atomic_bool errors_waiting[SIDE_COUNT];
static struct us_link *buckets[BUCKETS];
static struct us_link *free_links;
static unsigned link_count, sweep_at = 4096;
static pthread_mutex_t receiving = PTHREAD_MUTEX_INITIALIZER;

atomic_uint wire_data_sent;

union udp_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* In the form that the UDP socket of that family speaks. */
static socklen_t to_udp(const struct us_addr *from, int family, union udp_address *to)
{
    memset(to, 0, sizeof *to);
    if (family == AF_INET6) {
        to->v6.sin6_family = AF_INET6;
        to->v6.sin6_addr = from->ip;
        to->v6.sin6_port = htons(from->port);
        to->v6.sin6_scope_id = from->scope;
        return sizeof to->v6;
    }
    to->v4.sin_family = AF_INET;
    memcpy(&to->v4.sin_addr, &from->ip.s6_addr[12], 4);
    to->v4.sin_port = htons(from->port);
    return sizeof to->v4;
}

static void map_v4(const struct in_addr *from, struct in6_addr *to)
{
    memset(to, 0, sizeof *to);
    to->s6_addr[10] = to->s6_addr[11] = 0xff;
    memcpy(&to->s6_addr[12], from, 4);
}

static void from_udp(const union udp_address *from, struct us_addr *to)
{
    if (from->any.sa_family == AF_INET6) {
        to->ip = from->v6.sin6_addr;
        to->scope = from->v6.sin6_scope_id;
        to->port = ntohs(from->v6.sin6_port);
        return;
    }
    map_v4(&from->v4.sin_addr, &to->ip);
    to->scope = 0;
    to->port = ntohs(from->v4.sin_port);
}

/* ---- the UDP sockets */

static int bind_udp(int fd, int family, uint16_t port)
{
    int off = 0, on = 1, size = UDP_BUFFER;
    union udp_address address;
    struct us_addr any = {.port = port};
    socklen_t length = to_udp(&any, family, &address);

    if (family == AF_INET6 &&
        (k_setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) < 0 ||
         k_setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on) < 0 ||
         k_setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof on) < 0))
        return -1;
    if (k_setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof on) < 0 ||
        (family == AF_INET && k_setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on) < 0))
        return -1;
    k_setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    k_setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    return k_bind(fd, &address, length);
}

static int open_udp(int family, uint16_t port)
{
    int fd = k_socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_UDP);

    if (fd < 0)
        return -1;
    if (bind_udp(fd, family, port) < 0) {
        int saved = errno;
        k_close(fd);
        errno = saved;
        return -1;
    }
    return reserve_descriptor(fd);
}

static void explain_busy_port(void)
{
    char why[160];

    snprintf(why, sizeof why,
             "UDP port %u is in use, by another program that listens for SCTP over UDP? "
             "SCTP_UDP_PORT chooses another port",
             (unsigned)stack_udp_port());
    stack_warn("listen", why);
}

int wire_open(enum us_side side)
{
    uint16_t port = side == SIDE_LISTEN ? stack_udp_port() : 0;

    if (sockets[side] >= 0)
        return 0;
    families[side] = AF_INET6;
    sockets[side] = open_udp(AF_INET6, port);
    if (sockets[side] < 0 && errno != EADDRINUSE) { /* no IPv6 here */
        families[side] = AF_INET;
        sockets[side] = open_udp(AF_INET, port);
    }
    if (sockets[side] < 0) {
        if (errno == EADDRINUSE && side == SIDE_LISTEN)
            explain_busy_port();
        return -1;
    }
    wait_wire_opened(side, sockets[side]);
    return 0;
}

void wire_close_sockets(void)
{
    for (int side = 0; side < SIDE_COUNT; side++) {
        if (sockets[side] >= 0)
            release_descriptor(sockets[side]);
        sockets[side] = -1;
    }
}

static void free_list(struct us_link *link)
{
    while (link != NULL) {
        struct us_link *next = link->next;
        free(link);
        link = next;
    }
}

static void forget_links(void)
{
    memset(buckets, 0, sizeof buckets);
    free_links = NULL;
    link_count = 0;
}

void wire_close_all(void)
{
    wire_close_sockets();
    for (int i = 0; i < BUCKETS; i++)
        free_list(buckets[i]);
    free_list(free_links);
    forget_links();
}

/* The parent's sockets can still be asked for their names: their links stay. */
void wire_reset_after_fork(void)
{
    pthread_mutex_init(&receiving, NULL);
    wire_close_sockets();
    forget_links();
}

int wire_route(const struct us_addr *remote, struct in6_addr *local, uint32_t *mtu)
{
    bool v4 = IN6_IS_ADDR_V4MAPPED(&remote->ip);
    int family = v4 ? AF_INET : AF_INET6;
    union udp_address address;
    struct us_addr probe = *remote, found;
    socklen_t length, size = sizeof(int);
    int path_mtu = 0;

    probe.port = stack_udp_port();
    length = to_udp(&probe, family, &address);
    int fd = k_socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int result = k_connect(fd, &address, length);
    if (result == 0)
        result = k_getsockname(fd, &address, &length);
    if (result == 0)
        k_getsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_MTU : IPV6_MTU, &path_mtu, &size);
    int saved = errno;
    k_close(fd);
    errno = saved;
    if (result < 0)
        return -1;
    from_udp(&address, &found);
    *local = found.ip;
    *mtu = (uint32_t)path_mtu;
    return 0;
}

/* ---- links */

static unsigned hash(const struct us_addr *remote, const struct in6_addr *local, enum us_side side)
{
    uint32_t words[8], h = remote->port * 2u + (unsigned)side;

    memcpy(words, &remote->ip, 16);
    memcpy(words + 4, local, 16);
    for (int i = 0; i < 8; i++)
        h = (h ^ words[i]) * 0x9e3779b1u;
    return (h >> 16) % BUCKETS;
}

/* A link's memory stays ours once freed: the stack may still use its address for a last
 * packet. */
static void sweep_links(uint64_t ms)
{
    for (int i = 0; i < BUCKETS; i++) {
        struct us_link **at = &buckets[i];
        while (*at != NULL) {
            struct us_link *link = *at;
            if (link->users > 0 || ms - link->used_ms < LINK_IDLE_MS) {
                at = &link->next;
                continue;
            }
            *at = link->next;
            link->next = free_links;
            free_links = link;
            link_count--;
        }
    }
    sweep_at = link_count * 2 > 4096 ? link_count * 2 : 4096;
}

static struct us_link *new_link(uint64_t ms)
{
    if (link_count >= sweep_at)
        sweep_links(ms);
    if (link_count >= LINK_LIMIT)
        return NULL;
    struct us_link *link = free_links;
    if (link != NULL) {
        free_links = link->next;
        return link;
    }
    link = calloc(1, sizeof *link);
    if (link != NULL) /* the stack only takes what is for an address that it knows as its own */
        usrsctp_register_address(link);
    return link;
}

struct us_link *wire_link(const struct us_addr *remote, const struct in6_addr *local,
                          enum us_side side)
{
    struct us_link **bucket = &buckets[hash(remote, local, side)];
    uint64_t ms = now_ns() / 1000000u;
    struct us_link *link = *bucket;

    while (link != NULL &&
           (link->remote.port != remote->port || link->side != side ||
            !same_address(&link->remote.ip, &remote->ip) || !same_address(&link->local, local)))
        link = link->next;
    if (link == NULL) {
        link = new_link(ms);
        if (link == NULL)
            return NULL;
        *link = (struct us_link){.remote = *remote, .local = *local, .side = side, .next = *bucket};
        *bucket = link;
        link_count++;
    }
    link->used_ms = ms;
    return link;
}

void wire_link_drop(struct us_link *link)
{
    link->users--;
}

/* ---- out */

/* The source address of a reply is the one that was asked. */
static void set_source(struct msghdr *message, const struct us_link *link, int family)
{
    struct cmsghdr *head = CMSG_FIRSTHDR(message);

    if (family == AF_INET6) {
        struct in6_pktinfo info = {.ipi6_addr = link->local};
        head->cmsg_level = IPPROTO_IPV6;
        head->cmsg_type = IPV6_PKTINFO;
        head->cmsg_len = CMSG_LEN(sizeof info);
        memcpy(CMSG_DATA(head), &info, sizeof info);
        message->msg_controllen = CMSG_SPACE(sizeof info);
        return;
    }
    struct in_pktinfo info = {0};
    memcpy(&info.ipi_spec_dst, &link->local.s6_addr[12], 4);
    head->cmsg_level = IPPROTO_IP;
    head->cmsg_type = IP_PKTINFO;
    head->cmsg_len = CMSG_LEN(sizeof info);
    memcpy(CMSG_DATA(head), &info, sizeof info);
    message->msg_controllen = CMSG_SPACE(sizeof info);
}

/* By the stack, below the lock. A datagram that cannot be sent is lost: SCTP knows what
 * to do. */
int wire_output(void *address, void *packet, size_t length, uint8_t tos, uint8_t set_df)
{
    struct us_link *link = address;
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct in6_pktinfo))] = {0};
    union udp_address to;
    struct iovec vector = {.iov_base = packet, .iov_len = length};
    struct msghdr message = {.msg_name = &to,
                             .msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};
    (void)tos;
    (void)set_df;
    if (sockets[link->side] < 0)
        return 0;
    message.msg_namelen = to_udp(&link->remote, families[link->side], &to);
    set_source(&message, link, families[link->side]);
    /* An error may be an earlier packet's, which ICMP reported: it is not this one's. */
    for (int attempt = 0; attempt < 2; attempt++) {
        if (k_sendmsg(sockets[link->side], &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
            break;
        if (errno == EAGAIN)
            break;
        atomic_store(&errors_waiting[link->side], true);
    }
    if (length > COMMON_HEADER && ((unsigned char *)packet)[COMMON_HEADER] == CHUNK_DATA)
        atomic_fetch_add_explicit(&wire_data_sent, 1, memory_order_relaxed);
    return 0;
}

/* Not if somebody listens on the port, but for another address, or has a full queue. The
 * stack knows of neither; it answers itself where nobody listens at all. */
static bool welcome(const struct sctp_head *init, const struct in6_addr *local)
{
    bool port_taken;
    const struct us_sock *listener = find_listener(ntohs(init->destination), local, &port_taken);

    return listener != NULL ? !queue_full(listener) : !port_taken;
}

static void refuse(struct us_link *link, const struct sctp_head *init)
{
    struct sctp_head abort = {.source = init->destination,
                              .destination = init->source,
                              .tag = init->initiate_tag,
                              .chunk_type = CHUNK_ABORT,
                              .chunk_length = htons(4)};
    abort.checksum = usrsctp_crc32c(&abort, 16);
    wire_output(link, &abort, 16, 0, 0);
}

/* ---- in */

static bool local_address(struct msghdr *message, struct in6_addr *local)
{
    for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head != NULL;
         head = CMSG_NXTHDR(message, head)) {
        if (head->cmsg_level == IPPROTO_IPV6 && head->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(head), sizeof info);
            *local = info.ipi6_addr;
            return true;
        }
        if (head->cmsg_level == IPPROTO_IP && head->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(head), sizeof info);
            map_v4(&info.ipi_addr, local);
            return true;
        }
    }
    return false;
}

/* Where packets of the handshake were lost, the stack takes the time since the first for a round
 * trip. The RTO is to stay RTO.initial then (RFC 9260, section 6.3.1, C1 and C5): the next packet
 * may be lost, too. */
static void deliver_answer(struct us_link *link, const struct sctp_head *head, const void *packet,
                           size_t length)
{
    struct us_sock *sock = find_connecting(ntohs(head->destination), link);
    struct sctp_rtoinfo usual = {0};
    bool known =
        sock != NULL && stack_get(sock, IPPROTO_SCTP, SCTP_RTOINFO, &usual, sizeof usual) == 0;
    struct sctp_rtoinfo bounded = usual;

    bounded.srto_max = bounded.srto_initial;
    if (known)
        stack_set(sock, IPPROTO_SCTP, SCTP_RTOINFO, &bounded, sizeof bounded);
    usrsctp_conninput(link, packet, length, 0);
    if (known)
        stack_set(sock, IPPROTO_SCTP, SCTP_RTOINFO, &usual, sizeof usual);
}

/* Locked. One datagram goes to the stack. */
static void deliver(enum us_side side, struct msghdr *message, const void *packet, size_t length)
{
    struct us_addr remote;
    struct in6_addr local;
    struct sctp_head head = {0};

    if (length < COMMON_HEADER + 4 || !local_address(message, &local))
        return;
    from_udp(message->msg_name, &remote);
    struct us_link *link = wire_link(&remote, &local, side);
    if (link == NULL)
        return;
    memcpy(&head, packet, length < sizeof head ? length : sizeof head);
    if (head.chunk_type == CHUNK_INIT && length >= sizeof head && !welcome(&head, &local))
        refuse(link, &head);
    else if (head.chunk_type == CHUNK_INIT_ACK || head.chunk_type == CHUNK_COOKIE_ACK)
        deliver_answer(link, &head, packet, length);
    else
        usrsctp_conninput(link, packet, length, 0);
}

/* Nobody is there: of an association that is being set up, and of one with a program on
 * this host that has died, that is the end. */
static bool believes_icmp(struct us_sock *sock)
{
    return sock->state == US_CONNECTING ||
           (sock->state == US_CONNECTED && sock->link != NULL &&
            same_address(&sock->link->local, &sock->link->remote.ip));
}

static void read_one_error(struct msghdr *message, const union udp_address *to)
{
    struct us_addr remote;

    for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head != NULL;
         head = CMSG_NXTHDR(message, head)) {
        bool v4 = head->cmsg_level == IPPROTO_IP && head->cmsg_type == IP_RECVERR;
        bool v6 = head->cmsg_level == IPPROTO_IPV6 && head->cmsg_type == IPV6_RECVERR;
        struct sock_extended_err error;
        if (!v4 && !v6)
            continue;
        memcpy(&error, CMSG_DATA(head), sizeof error);
        if (error.ee_origin != SO_EE_ORIGIN_ICMP && error.ee_origin != SO_EE_ORIGIN_ICMP6)
            continue;
        if (error.ee_errno != ECONNREFUSED)
            continue;
        from_udp(to, &remote);
        for_each_on_link(&remote, believes_icmp, sock_fail, ECONNREFUSED);
    }
}

/* Locked. */
static void read_errors(enum us_side side)
{
    for (int count = 0; count < 256; count++) {
        union udp_address to;
        _Alignas(struct cmsghdr) char control[512];
        struct msghdr message = {.msg_name = &to,
                                 .msg_namelen = sizeof to,
                                 .msg_control = control,
                                 .msg_controllen = sizeof control};
        if (k_recvmsg(sockets[side], &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
            return;
        read_one_error(&message, &to);
    }
}

static struct {
    struct mmsghdr messages[BATCH];
    struct iovec vectors[BATCH];
    union udp_address from[BATCH];
    _Alignas(struct cmsghdr) char control[BATCH][128];
    unsigned char packets[BATCH][DATAGRAM_SIZE];
} batch; /* guarded by "receiving" */

static int receive_batch(int fd)
{
    for (int i = 0; i < BATCH; i++) {
        batch.vectors[i] = (struct iovec){batch.packets[i], DATAGRAM_SIZE};
        batch.messages[i].msg_hdr = (struct msghdr){.msg_name = &batch.from[i],
                                                    .msg_namelen = sizeof batch.from[i],
                                                    .msg_iov = &batch.vectors[i],
                                                    .msg_iovlen = 1,
                                                    .msg_control = batch.control[i],
                                                    .msg_controllen = sizeof batch.control[i]};
    }
    return k_recvmmsg(fd, batch.messages, BATCH, MSG_DONTWAIT);
}

/* How many packets came in; sets *more if there may be more. */
static int receive_side(enum us_side side, bool *more)
{
    int fd = sockets[side];
    int count = receive_batch(fd);
    bool failed = count < 0 && errno != EAGAIN && errno != EINTR;

    stack_lock();
    if (sockets[side] == fd) {
        if (failed || atomic_exchange(&errors_waiting[side], false))
            read_errors(side);
        if (count > 0)
            stack_advance_clock();
        for (int i = 0; i < count; i++)
            deliver(side, &batch.messages[i].msg_hdr, batch.packets[i], batch.messages[i].msg_len);
    }
    stack_unlock();
    *more = failed || count == BATCH;
    return count > 0 ? count : 0;
}

/* Empties the sockets, or else sees to it that somebody goes on. True if anything came
 * in. */
static bool receive_all(void)
{
    bool any = false;

    pthread_mutex_lock(&receiving);
    for (int side = 0; side < SIDE_COUNT; side++) {
        bool more = true;
        int rounds = 0;
        for (; more && sockets[side] >= 0 && rounds < ROUNDS; rounds++)
            if (receive_side((enum us_side)side, &more) > 0)
                any = true;
        if (more && rounds == ROUNDS)
            wait_kick();
    }
    pthread_mutex_unlock(&receiving);
    return any;
}

void wire_receive(void)
{
    receive_all();
}

void wire_settle(void)
{
    int saved = errno;

    for (int i = 0; i < ROUNDS && sockets[SIDE_LISTEN] >= 0 && sockets[SIDE_CONNECT] >= 0; i++)
        if (!receive_all())
            break;
    errno = saved;
}
