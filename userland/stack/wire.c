/*
 * SCTP packets in UDP datagrams (RFC 6951).
 *
 * What usrsctp takes for the address of a peer is a link: the peer's address and UDP port, and
 * ours. Links are made as packets come in, so they are limited, and those that nobody has used for
 * a while are used again. Their memory stays: usrsctp may know a link for longer than we do.
 */
#include "wire.h"
#include "capture.h"
#include "checksum.h"
#include "loop.h"
#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/ip.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <usrsctp.h>

#define ROUTE_MS 1000 /* a route is asked for again after that */
#define BATCH 16
#define ERRORS 256
#define DATAGRAM_SIZE 65536
#define UDP_BUFFER (4 * 1024 * 1024) /* as much of it as net.core.rmem_max lets us have */
#define BUCKETS 4096
#define SWEEP_MIN 4096      /* with less there is no need to look for what is not used any more */
#define LINK_IDLE_MS 180000 /* longer than three heartbeats */
#define LINK_LIMIT 65536    /* that nobody holds */

struct sctp_head {
    uint16_t source, destination;
    uint32_t tag, checksum;
    uint8_t chunk_type, chunk_flags;
    uint16_t chunk_size;
    uint32_t initiate_tag; /* of an INIT */
};
enum {
    CHUNK_INIT = 1,
    CHUNK_INIT_ACK = 2,
    CHUNK_ABORT = 6,
    CHUNK_COOKIE_ECHO = 10,
    CHUNK_COOKIE_ACK = 11,
    COMMON_HEAD = 12,
    CHUNK_HEAD = 4
};

static const struct wire_handlers *handlers;
static uint16_t listen_port;
static struct {
    struct watch watch; /* its fd is the socket, -1 while that is not open */
    int family;
    uint16_t port;
} sides[WIRE_SIDES] = {{.watch = {.fd = -1}}, {.watch = {.fd = -1}}};
static struct link *buckets[BUCKETS];
static struct link *free_links;
static unsigned link_count, sweep_links_at = SWEEP_MIN;

static uint64_t now_ms(void)
{
    return loop_now_ns() / 1000000u;
}

void wire_start(uint16_t udp_port, const struct wire_handlers *upper)
{
    listen_port = udp_port;
    handlers = upper;
}

uint16_t wire_udp_port(void)
{
    return listen_port;
}

/* ---- links and flows */

static unsigned hash(const void *bytes, size_t size, uint32_t start)
{
    const unsigned char *at = bytes;
    uint32_t h = start, word;

    for (; size >= sizeof word; size -= sizeof word, at += sizeof word) {
        memcpy(&word, at, sizeof word);
        h = (h ^ word) * 0x9e3779b1u;
        h ^= h >> 15;
    }
    return h % BUCKETS;
}

static struct link **link_bucket(const struct address *remote, const struct address *local,
                                 enum wire_side side)
{
    struct {
        struct in6_addr remote, local;
        uint32_t scopes[2];
    } key = {remote->ip, local->ip, {remote->scope, local->scope}};

    return &buckets[hash(&key, sizeof key, remote->port * 2u + side)];
}

static struct link *find_link(const struct address *remote, const struct address *local,
                              enum wire_side side)
{
    struct link *link = *link_bucket(remote, local, side);

    while (link != NULL &&
           (link->remote.port != remote->port || link->side != side ||
            !address_same_ip(&link->remote, remote) || !address_same_ip(&link->local, local)))
        link = link->next;
    return link;
}

static bool link_unused(const struct link *link, uint64_t ms)
{
    return link->users == 0 && ms - link->used_ms >= LINK_IDLE_MS;
}

static unsigned next_sweep(unsigned count)
{
    return count * 2 > SWEEP_MIN ? count * 2 : SWEEP_MIN;
}

static void sweep_links(uint64_t ms)
{
    for (unsigned i = 0; i < BUCKETS; i++)
        for (struct link **at = &buckets[i]; *at != NULL;) {
            struct link *link = *at;
            if (!link_unused(link, ms)) {
                at = &link->next;
                continue;
            }
            *at = link->next;
            link->next = free_links;
            free_links = link;
            link_count--;
        }
    sweep_links_at = next_sweep(link_count);
}

static struct link *take_link(uint64_t ms)
{
    if (link_count >= sweep_links_at)
        sweep_links(ms);
    if (link_count >= LINK_LIMIT)
        return NULL;
    struct link *link = free_links;
    if (link != NULL) {
        free_links = link->next;
        return link;
    }
    link = malloc(sizeof *link);
    if (link != NULL) /* usrsctp only takes what is for an address that it knows as its own */
        usrsctp_register_address(link);
    return link;
}

struct link *wire_link(const struct address *remote, const struct address *local,
                       enum wire_side side)
{
    struct link *link = find_link(remote, local, side);
    uint64_t ms = now_ms();

    if (link == NULL) {
        link = take_link(ms);
        if (link == NULL)
            return NULL;
        struct link **bucket = link_bucket(remote, local, side);
        *link = (struct link){.remote = *remote, .local = *local, .side = side, .next = *bucket};
        link->local.port = sides[side].port;
        *bucket = link;
        link_count++;
    }
    link->used_ms = ms;
    return link;
}

void wire_hold(struct link *link)
{
    link->users++;
}

void wire_drop(struct link *link)
{
    link->users--;
}

static void free_list(struct link *link)
{
    while (link != NULL) {
        struct link *next = link->next;
        free(link);
        link = next;
    }
}

static void close_udp(enum wire_side side)
{
    if (sides[side].watch.fd < 0)
        return;
    loop_forget(&sides[side].watch);
    close(sides[side].watch.fd);
    sides[side].watch.fd = -1;
}

void wire_end(void)
{
    for (enum wire_side side = 0; side < WIRE_SIDES; side++)
        close_udp(side);
    for (unsigned i = 0; i < BUCKETS; i++) {
        free_list(buckets[i]);
        buckets[i] = NULL;
    }
    free_list(free_links);
    free_links = NULL;
    link_count = 0;
}

/* ---- out */

static void add_control(struct msghdr *message, int level, int type, const void *value, size_t size)
{
    struct cmsghdr *head =
        (struct cmsghdr *)((char *)message->msg_control + message->msg_controllen);

    head->cmsg_level = level;
    head->cmsg_type = type;
    head->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(head), value, size);
    message->msg_controllen += CMSG_SPACE(size);
}

/* The source address of a reply is the one that was asked. */
static void set_source(struct msghdr *message, const struct address *local, int family,
                       uint32_t device)
{
    struct in6_pktinfo v6 = {.ipi6_addr = local->ip,
                             .ipi6_ifindex = device != 0 ? device : local->scope};
    struct in_pktinfo v4 = {.ipi_ifindex = (int)device};

    if (family == AF_INET6) {
        add_control(message, IPPROTO_IPV6, IPV6_PKTINFO, &v6, sizeof v6);
    } else {
        memcpy(&v4.ipi_spec_dst, &local->ip.s6_addr[12], sizeof v4.ipi_spec_dst);
        add_control(message, IPPROTO_IP, IP_PKTINFO, &v4, sizeof v4);
    }
}

static void set_tos(struct msghdr *message, const struct address *local, uint8_t tos)
{
    bool v4 = address_is_v4(&local->ip);
    int value = tos;

    if (tos != 0)
        add_control(message, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TOS : IPV6_TCLASS, &value,
                    sizeof value);
}

static void set_wishes(struct msghdr *message, const struct address *local,
                       const struct wire_wishes *wishes)
{
    bool v4 = address_is_v4(&local->ip);

    if (wishes->ttl != 0)
        add_control(message, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TTL : IPV6_HOPLIMIT,
                    &wishes->ttl, sizeof wishes->ttl);
    if (wishes->mark != 0)
        add_control(message, SOL_SOCKET, SO_MARK, &wishes->mark, sizeof wishes->mark);
}

static void discover_mtu(int fd, int how)
{
    setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &how, sizeof how);
}

/* A packet to a program on this host is there at once, mostly. */
static void expect_arrival(const struct address *remote)
{
    for (enum wire_side side = 0; side < WIRE_SIDES; side++)
        if (sides[side].watch.fd >= 0 && sides[side].port == remote->port)
            loop_expect(&sides[side].watch);
}

/* A datagram that cannot be sent is lost: SCTP knows what to do. */
static void send_packet(const struct link *link, void *packet, size_t size, uint8_t tos,
                        const struct wire_wishes *wishes)
{
    static const struct wire_wishes none;
    _Alignas(struct cmsghdr) char
        control[CMSG_SPACE(sizeof(struct in6_pktinfo)) + 3 * CMSG_SPACE(sizeof(int))] = {0};
    struct sockaddr_storage to;
    struct iovec vector = {packet, size};
    struct msghdr message = {
        .msg_name = &to, .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control};
    int fd = sides[link->side].watch.fd, family = sides[link->side].family;

    if (fd < 0)
        return;
    message.msg_namelen = address_write(&link->remote, family, &to);
    if (wishes == NULL)
        wishes = &none;
    set_source(&message, &link->local, family, wishes->device);
    set_tos(&message, &link->local, tos);
    set_wishes(&message, &link->local, wishes);
    if (wishes->fragments)
        discover_mtu(fd, IP_PMTUDISC_DONT);
    ssize_t sent = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) /* perhaps an earlier packet's error, which ICMP reported */
        sent = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (wishes->fragments)
        discover_mtu(fd, IP_PMTUDISC_WANT);
    if (sent < 0)
        return;
    capture_packet(&link->local, &link->remote, packet, size, tos, (uint8_t)wishes->ttl);
    expect_arrival(&link->remote);
}

static const struct wire_wishes *find_wishes(const struct link *link, const void *packet)
{
    uint16_t ports[2];

    memcpy(ports, packet, sizeof ports);
    return handlers->wishes(link, ntohs(ports[0]), ntohs(ports[1]));
}

int wire_output(void *address, void *packet, size_t size, uint8_t tos, uint8_t set_df)
{
    const struct link *link = address;

    (void)set_df;               /* the kernel sets it where the packet fits */
    checksum_put(packet, size); /* usrsctp leaves that to us */
    send_packet(link, packet, size, tos, find_wishes(link, packet));
    return 0;
}

static void refuse(const struct link *link, const struct sctp_head *init)
{
    struct sctp_head abort = {.source = init->destination,
                              .destination = init->source,
                              .tag = init->initiate_tag,
                              .chunk_type = CHUNK_ABORT,
                              .chunk_size = htons(CHUNK_HEAD)};

    checksum_put(&abort, COMMON_HEAD + CHUNK_HEAD);
    send_packet(link, &abort, COMMON_HEAD + CHUNK_HEAD, 0, NULL);
}

/* ---- in */

struct arrival {
    struct address remote, local;
    bool has_local;
    uint8_t tos, hops;
};

static void read_control(const struct cmsghdr *head, struct arrival *arrival)
{
    struct in6_pktinfo v6;
    struct in_pktinfo v4;
    int value;

    if (head->cmsg_level == IPPROTO_IPV6 && head->cmsg_type == IPV6_PKTINFO) {
        memcpy(&v6, CMSG_DATA(head), sizeof v6);
        bool needs_scope = IN6_IS_ADDR_LINKLOCAL(&v6.ipi6_addr);
        arrival->local = (struct address){v6.ipi6_addr, needs_scope ? v6.ipi6_ifindex : 0, 0};
        arrival->has_local = true;
    } else if (head->cmsg_level == IPPROTO_IP && head->cmsg_type == IP_PKTINFO) {
        memcpy(&v4, CMSG_DATA(head), sizeof v4);
        arrival->local = address_any(AF_INET);
        memcpy(&arrival->local.ip.s6_addr[12], &v4.ipi_addr, sizeof v4.ipi_addr);
        arrival->has_local = true;
    } else if (head->cmsg_level == IPPROTO_IPV6 && head->cmsg_type == IPV6_TCLASS) {
        memcpy(&value, CMSG_DATA(head), sizeof value);
        arrival->tos = (uint8_t)value;
    } else if (head->cmsg_level == IPPROTO_IP && head->cmsg_type == IP_TOS) {
        arrival->tos = *CMSG_DATA(head);
    } else if ((head->cmsg_level == IPPROTO_IPV6 && head->cmsg_type == IPV6_HOPLIMIT) ||
               (head->cmsg_level == IPPROTO_IP && head->cmsg_type == IP_TTL)) {
        memcpy(&value, CMSG_DATA(head), sizeof value);
        arrival->hops = (uint8_t)value;
    }
}

/* False where the kernel does not say who the packet is for. */
static bool read_arrival(struct msghdr *message, struct arrival *arrival)
{
    *arrival = (struct arrival){.tos = 0};
    for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head != NULL;
         head = CMSG_NXTHDR(message, head))
        read_control(head, arrival);
    return arrival->has_local &&
           address_read(&arrival->remote, message->msg_name, message->msg_namelen) == 0;
}

/* A packet from this very stack has been captured on its way out. */
static bool sent_by_us(const struct link *link)
{
    struct address peer = link->local;

    for (unsigned side = 0; side < WIRE_SIDES; side++)
        if (sides[side].watch.fd >= 0 && sides[side].port == link->remote.port &&
            find_link(&peer, &link->remote, (enum wire_side)side) != NULL)
            return true;
    return false;
}

static void deliver(struct link *link, const struct sctp_head *head, void *packet, size_t size)
{
    uint16_t port = ntohs(head->destination);
    bool is_init = head->chunk_type == CHUNK_INIT;
    bool answer = head->chunk_type == CHUNK_INIT_ACK || head->chunk_type == CHUNK_COOKIE_ACK;

    if ((is_init || head->chunk_type == CHUNK_COOKIE_ECHO) &&
        !handlers->welcome(port, &link->local) && is_init && size >= sizeof *head) {
        refuse(link, head);
        return;
    }
    if (answer)
        handlers->handshake(link, port, true);
    usrsctp_conninput(link, packet, size, 0);
    if (answer)
        handlers->handshake(link, port, false);
}

static void take_datagram(enum wire_side side, struct msghdr *message, unsigned char *packet,
                          size_t size)
{
    struct sctp_head head = {0};
    struct arrival arrival;

    if (size < COMMON_HEAD + CHUNK_HEAD || !read_arrival(message, &arrival))
        return;
    struct link *link = wire_link(&arrival.remote, &arrival.local, side);
    if (link == NULL)
        return;
    if (capture_is_on() && !sent_by_us(link))
        capture_packet(&link->remote, &link->local, packet, size, arrival.tos, arrival.hops);
    memcpy(&head, packet, size < sizeof head ? size : sizeof head);
    if (checksum_is_right(packet, size))
        deliver(link, &head, packet, size);
}

/* ICMP says that nobody is there. */
static void read_error(struct msghdr *message)
{
    struct address remote;

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
        if (error.ee_errno == ECONNREFUSED &&
            address_read(&remote, message->msg_name, message->msg_namelen) == 0)
            handlers->refused(&remote);
    }
}

static void read_errors(int fd)
{
    for (int count = 0; count < ERRORS; count++) {
        struct sockaddr_storage to;
        _Alignas(struct cmsghdr) char control[512];
        struct msghdr message = {.msg_name = &to,
                                 .msg_namelen = sizeof to,
                                 .msg_control = control,
                                 .msg_controllen = sizeof control};
        if (recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
            return;
        read_error(&message);
    }
}

static void receive_batch(int fd, enum wire_side side)
{
    static struct mmsghdr messages[BATCH];
    static struct iovec vectors[BATCH];
    static struct sockaddr_storage from[BATCH];
    static _Alignas(struct cmsghdr) char control[BATCH][128];
    static unsigned char packets[BATCH][DATAGRAM_SIZE];

    for (int i = 0; i < BATCH; i++) {
        vectors[i] = (struct iovec){packets[i], DATAGRAM_SIZE};
        messages[i].msg_hdr = (struct msghdr){.msg_name = &from[i],
                                              .msg_namelen = sizeof from[i],
                                              .msg_iov = &vectors[i],
                                              .msg_iovlen = 1,
                                              .msg_control = control[i],
                                              .msg_controllen = sizeof control[i]};
    }
    int count = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < count; i++)
        take_datagram(side, &messages[i].msg_hdr, packets[i], messages[i].msg_len);
}

static void receive(struct watch *watch, uint32_t events)
{
    enum wire_side side = watch == &sides[WIRE_LISTEN].watch ? WIRE_LISTEN : WIRE_CONNECT;

    if (events & EPOLLERR)
        read_errors(watch->fd);
    receive_batch(watch->fd, side);
}

/* ---- the UDP sockets */

static int set_option(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value);
}

static int set_options(int fd, int family)
{
    if (family == AF_INET6 && (set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0) < 0 ||
                               set_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1) < 0 ||
                               set_option(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1) < 0 ||
                               set_option(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1) < 0 ||
                               set_option(fd, IPPROTO_IPV6, IPV6_RECVERR, 1) < 0))
        return -1;
    if (family == AF_INET && set_option(fd, IPPROTO_IP, IP_PKTINFO, 1) < 0)
        return -1;
    if (set_option(fd, IPPROTO_IP, IP_RECVTOS, 1) < 0 ||
        set_option(fd, IPPROTO_IP, IP_RECVTTL, 1) < 0 ||
        set_option(fd, IPPROTO_IP, IP_RECVERR, 1) < 0)
        return -1;
    set_option(fd, SOL_SOCKET, SO_RCVBUF, UDP_BUFFER);
    set_option(fd, SOL_SOCKET, SO_SNDBUF, UDP_BUFFER);
    return 0;
}

/* To any address and that port, and finds out which one it is where port is 0. */
static int bind_udp(int fd, int family, uint16_t *port)
{
    struct address any = {.port = *port};
    struct sockaddr_storage name;
    socklen_t size = address_write(&any, family, &name);

    if (bind(fd, (struct sockaddr *)&name, size) < 0 ||
        getsockname(fd, (struct sockaddr *)&name, &size) < 0 || address_read(&any, &name, size) < 0)
        return -1;
    *port = any.port;
    return 0;
}

static int open_udp(enum wire_side side, int family)
{
    uint16_t port = side == WIRE_LISTEN ? listen_port : 0;
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_UDP);
    struct watch watch = {fd, receive};

    if (fd < 0)
        return -1;
    sides[side].watch = watch;
    if (set_options(fd, family) < 0 || bind_udp(fd, family, &port) < 0 ||
        loop_watch(&sides[side].watch, EPOLLIN | LOOP_AGAIN) < 0) {
        int error = errno;
        close(fd);
        sides[side].watch.fd = -1;
        errno = error;
        return -1;
    }
    sides[side].family = family;
    sides[side].port = port;
    return 0;
}

int wire_open(enum wire_side side)
{
    if (sides[side].watch.fd >= 0 || open_udp(side, AF_INET6) == 0)
        return 0;
    return errno == EADDRINUSE ? -1 : open_udp(side, AF_INET); /* no IPv6 here */
}

static int ask_for_route(const struct address *remote, struct address *local, uint32_t *mtu)
{
    bool v4 = address_is_v4(&remote->ip);
    int family = v4 ? AF_INET : AF_INET6, path_mtu = 0;
    struct address probe = *remote;
    struct sockaddr_storage name;
    socklen_t size = sizeof path_mtu, name_size;
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    probe.port = listen_port;
    name_size = address_write(&probe, family, &name);
    int result = connect(fd, (struct sockaddr *)&name, name_size);
    if (result == 0)
        result = getsockname(fd, (struct sockaddr *)&name, &name_size);
    if (result == 0)
        result = address_read(local, &name, name_size);
    if (result == 0)
        getsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_MTU : IPV6_MTU, &path_mtu, &size);
    int error = errno;
    close(fd);
    errno = error;
    local->port = 0;
    *mtu = (uint32_t)path_mtu;
    return result;
}

/* The answer is good for a moment: many associations to one host come one after the other. */
int wire_route(const struct address *remote, struct address *local, uint32_t *mtu)
{
    static struct address last_remote, last_local;
    static uint32_t last_mtu;
    static uint64_t asked_ms;

    if (now_ms() - asked_ms > ROUTE_MS || !address_same_ip(remote, &last_remote)) {
        if (ask_for_route(remote, &last_local, &last_mtu) < 0)
            return -1;
        last_remote = *remote;
        asked_ms = now_ms();
    }
    *local = last_local;
    *mtu = last_mtu;
    return 0;
}
