/* SCTP packets in UDP datagrams (RFC 6951). See wire.h. */
#include "wire.h"
#include "capture.h"
#include "loop.h"
#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/ip.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <usrsctp.h>
#ifdef __x86_64__
#include <nmmintrin.h>
#endif

#define ROUTE_NS 1000000000u /* a route is asked for again after that */
#define BATCH 16
#define DATAGRAM_SIZE 65536
#define UDP_BUFFER (4 * 1024 * 1024) /* as much of it as net.core.rmem_max lets us have */
#define BUCKETS 4096
#define BUCKET_LIMIT 16           /* links are made as packets come in, whoever sends them */
#define LINK_IDLE_NS 180000000000 /* longer than three heartbeats */

/* What a packet begins with. */
struct sctp_head {
    uint16_t source, destination;
    uint32_t tag, checksum;
    uint8_t chunk_type, chunk_flags;
    uint16_t chunk_size;
};
enum { CHUNK_INIT = 1, CHUNK_INIT_ACK = 2, CHUNK_COOKIE_ECHO = 10, CHUNK_COOKIE_ACK = 11 };

static const struct wire_handlers *handlers;
static struct {
    struct watch watch; /* its fd is the socket, -1 while that is not open */
    uint16_t port;
} sides[WIRE_SIDES] = {{.watch = {.fd = -1}}, {.watch = {.fd = -1}}};
static struct link *buckets[BUCKETS];

void wire_start(uint16_t udp_port, const struct wire_handlers *upper)
{
    sides[WIRE_LISTEN].port = udp_port;
    handlers = upper;
}

uint16_t wire_udp_port(enum wire_side side)
{
    return sides[side].port;
}

/* ---- links */

static struct link **link_bucket(const struct address *remote, const struct address *local,
                                 enum wire_side side)
{
    const struct address *ends[] = {remote, local};
    uint32_t hash = remote->port * 2u + side;

    for (int end = 0; end < 2; end++)
        for (int word = 0; word < 4; word++) {
            hash = (hash ^ ends[end]->ip.s6_addr32[word] ^ ends[end]->scope) * 0x9e3779b1u;
            hash ^= hash >> 15;
        }
    return &buckets[hash % BUCKETS];
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

/* One that nobody has used for a while, or a new one: none is freed, since usrsctp may know a link
 * for longer than we do. NULL without memory, or with too many. */
static struct link *take_link(struct link **bucket)
{
    unsigned count = 0;
    struct link *link;

    for (link = *bucket; link != NULL; link = link->next, count++)
        if (link->users == 0 && loop_now_ns() - link->used_ns >= LINK_IDLE_NS)
            return link;
    if (count == BUCKET_LIMIT || (link = malloc(sizeof *link)) == NULL)
        return NULL;
    usrsctp_register_address(link); /* it takes packets only for those that it has as its own */
    link->next = *bucket;
    *bucket = link;
    return link;
}

struct link *wire_link(const struct address *remote, const struct address *local,
                       enum wire_side side)
{
    struct link *link = find_link(remote, local, side);

    if (link == NULL) {
        link = take_link(link_bucket(remote, local, side));
        if (link == NULL)
            return NULL;
        *link = (struct link){.remote = *remote, .local = *local, .side = side, .next = link->next};
        link->local.port = sides[side].port;
    }
    link->used_ns = loop_now_ns();
    return link;
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
    close_udp(WIRE_LISTEN);
    close_udp(WIRE_CONNECT);
    for (unsigned i = 0; i < BUCKETS; i++)
        while (buckets[i] != NULL) {
            struct link *link = buckets[i];
            buckets[i] = link->next;
            free(link);
        }
}

/* ---- checksums: CRC32c (RFC 9260, appendix A), in the order of bytes that it has in the packet */

#ifdef __x86_64__
/* Several times as fast as usrsctp's tables. */
__attribute__((target("sse4.2"))) static uint32_t calculate(const unsigned char *bytes, size_t size)
{
    uint64_t crc = UINT32_MAX, word;

    for (; size >= sizeof word; bytes += sizeof word, size -= sizeof word) {
        memcpy(&word, bytes, sizeof word);
        crc = _mm_crc32_u64(crc, word);
    }
    for (; size > 0; bytes++, size--)
        crc = _mm_crc32_u8((uint32_t)crc, *bytes);
    return ~(uint32_t)crc;
}
#endif

static unsigned char *checksum_place(void *packet)
{
    return (unsigned char *)packet + offsetof(struct sctp_head, checksum);
}

static void put_checksum(void *packet, size_t size)
{
    uint32_t checksum = 0;

    memcpy(checksum_place(packet), &checksum, sizeof checksum);
#ifdef __x86_64__
    if (__builtin_cpu_supports("sse4.2"))
        checksum = calculate(packet, size);
    else
#endif
        checksum = usrsctp_crc32c(packet, size);
    memcpy(checksum_place(packet), &checksum, sizeof checksum);
}

/* If it is not, then it is now. */
static bool checksum_is_right(void *packet, size_t size)
{
    uint32_t seen;

    memcpy(&seen, checksum_place(packet), sizeof seen);
    put_checksum(packet, size);
    return memcmp(&seen, checksum_place(packet), sizeof seen) == 0;
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

static void add_number(struct msghdr *message, int level, int type, uint32_t number)
{
    if (number != 0)
        add_control(message, level, type, &number, sizeof number);
}

/* What the IP header is to say. The source address of a reply is the one that was asked. */
static void set_control(struct msghdr *message, const struct address *local, uint8_t tos,
                        const struct wire_wishes *wishes)
{
    struct in_pktinfo v4 = {(int)wishes->device, {local->ip.s6_addr32[3]}, {INADDR_ANY}};
    struct in6_pktinfo v6 = {local->ip, wishes->device != 0 ? wishes->device : local->scope};

    if (address_is_v4(&local->ip)) {
        add_control(message, IPPROTO_IP, IP_PKTINFO, &v4, sizeof v4);
        add_number(message, IPPROTO_IP, IP_TOS, tos);
        add_number(message, IPPROTO_IP, IP_TTL, wishes->ttl);
    } else {
        add_control(message, IPPROTO_IPV6, IPV6_PKTINFO, &v6, sizeof v6);
        add_number(message, IPPROTO_IPV6, IPV6_TCLASS, tos);
        add_number(message, IPPROTO_IPV6, IPV6_HOPLIMIT, wishes->ttl);
    }
    add_number(message, SOL_SOCKET, SO_MARK, wishes->mark);
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
    _Alignas(struct cmsghdr) char
        control[CMSG_SPACE(sizeof(struct in6_pktinfo)) + 3 * CMSG_SPACE(sizeof(int))] = {0};
    struct sockaddr_storage to;
    struct iovec vector = {packet, size};
    struct msghdr message = {
        .msg_name = &to, .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control};
    int fd = sides[link->side].watch.fd;

    message.msg_namelen = address_write(&link->remote, AF_UNSPEC, &to);
    set_control(&message, &link->local, tos, wishes);
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

int wire_output(void *address, void *packet, size_t size, uint8_t tos, uint8_t set_df)
{
    static const struct wire_wishes none;
    const struct link *link = address;
    uint16_t ports[2];

    (void)set_df; /* the kernel sets it where the packet fits */
    memcpy(ports, packet, sizeof ports);
    const struct wire_wishes *wishes = handlers->wishes(link, ntohs(ports[0]), ntohs(ports[1]));
    put_checksum(packet, size); /* usrsctp leaves that to us */
    send_packet(link, packet, size, tos, wishes != NULL ? wishes : &none);
    return 0;
}

/* ---- in */

struct arrival {
    struct address remote, local;
    int tos, hops;
};

static void read_control(const struct cmsghdr *head, struct arrival *arrival)
{
    struct in6_pktinfo v6;
    struct in_pktinfo v4;

    switch (head->cmsg_type) { /* both levels number theirs differently */
    case IPV6_PKTINFO:
        memcpy(&v6, CMSG_DATA(head), sizeof v6);
        arrival->local = address_from_v6(&v6.ipi6_addr, v6.ipi6_ifindex);
        break;
    case IP_PKTINFO:
        memcpy(&v4, CMSG_DATA(head), sizeof v4);
        arrival->local = address_from_v4(&v4.ipi_addr);
        break;
    case IP_TOS: arrival->tos = *CMSG_DATA(head); break;
    case IPV6_TCLASS: memcpy(&arrival->tos, CMSG_DATA(head), sizeof arrival->tos); break;
    case IP_TTL:
    case IPV6_HOPLIMIT: memcpy(&arrival->hops, CMSG_DATA(head), sizeof arrival->hops);
    }
}

/* A packet from this very stack has been captured on its way out, and its checksum is right: a kernel
 * does not look at it either on loopback. */
static bool sent_by_us(const struct link *link)
{
    for (enum wire_side side = 0; side < WIRE_SIDES; side++)
        if (sides[side].port == link->remote.port &&
            find_link(&link->local, &link->remote, side) != NULL)
            return true;
    return false;
}

static void deliver(struct link *link, void *packet, size_t size)
{
    struct sctp_head head;

    memcpy(&head, packet, sizeof head);
    uint16_t port = ntohs(head.destination), peer_port = ntohs(head.source);
    bool answers = head.chunk_type == CHUNK_INIT_ACK || head.chunk_type == CHUNK_COOKIE_ACK;
    if (head.chunk_type == CHUNK_INIT || head.chunk_type == CHUNK_COOKIE_ECHO)
        handlers->asked(port, &link->local);
    if (answers)
        handlers->handshake(link, port, peer_port, true);
    usrsctp_conninput(link, packet, size, 0);
    if (answers)
        handlers->handshake(link, port, peer_port, false);
}

static void take_datagram(enum wire_side side, struct msghdr *message, void *packet, size_t size)
{
    struct arrival arrival = {.tos = 0};

    if (size < sizeof(struct sctp_head) ||
        address_read(&arrival.remote, message->msg_name, message->msg_namelen) < 0)
        return;
    for (struct cmsghdr *at = CMSG_FIRSTHDR(message); at != NULL; at = CMSG_NXTHDR(message, at))
        read_control(at, &arrival);
    struct link *link = wire_link(&arrival.remote, &arrival.local, side);
    if (link == NULL)
        return;
    bool is_ours = sent_by_us(link);
    if (!is_ours)
        capture_packet(&link->remote, &link->local, packet, size, (uint8_t)arrival.tos,
                       (uint8_t)arrival.hops);
    if (is_ours || checksum_is_right(packet, size))
        deliver(link, packet, size);
}

/* One of those that ICMP has reported: nobody is there. */
static void read_error(int fd)
{
    struct sock_extended_err error;
    struct address remote;
    struct sockaddr_storage to;
    _Alignas(struct cmsghdr) char control[512];
    struct msghdr message = {.msg_name = &to,
                             .msg_namelen = sizeof to,
                             .msg_control = control,
                             .msg_controllen = sizeof control};

    if (recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
        return;
    for (struct cmsghdr *at = CMSG_FIRSTHDR(&message); at != NULL; at = CMSG_NXTHDR(&message, at)) {
        if (at->cmsg_type != IP_RECVERR && at->cmsg_type != IPV6_RECVERR)
            continue;
        memcpy(&error, CMSG_DATA(at), sizeof error);
        if (error.ee_errno == ECONNREFUSED && address_read(&remote, &to, message.msg_namelen) == 0)
            handlers->refused(&remote);
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
        read_error(watch->fd);
    receive_batch(watch->fd, side);
}

/* ---- the UDP sockets */

static int set_options(int fd, int family)
{
    static const struct {
        int family, level, name, value; /* AF_UNSPEC: for both */
    } options[] = {{AF_INET, IPPROTO_IP, IP_PKTINFO, 1},
                   {AF_UNSPEC, IPPROTO_IP, IP_RECVTOS, 1},
                   {AF_UNSPEC, IPPROTO_IP, IP_RECVTTL, 1},
                   {AF_UNSPEC, IPPROTO_IP, IP_RECVERR, 1},
                   {AF_INET6, IPPROTO_IPV6, IPV6_V6ONLY, 0},
                   {AF_INET6, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1},
                   {AF_INET6, IPPROTO_IPV6, IPV6_RECVTCLASS, 1},
                   {AF_INET6, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1},
                   {AF_INET6, IPPROTO_IPV6, IPV6_RECVERR, 1},
                   {AF_UNSPEC, SOL_SOCKET, SO_RCVBUF, UDP_BUFFER},
                   {AF_UNSPEC, SOL_SOCKET, SO_SNDBUF, UDP_BUFFER}};

    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        if ((options[i].family == AF_UNSPEC || options[i].family == family) &&
            setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(int)) < 0)
            return -1;
    return 0;
}

/* On any address; the side's port is the kernel's choice where it is not given. */
static int open_udp(enum wire_side side, int family)
{
    struct address any = {.port = side == WIRE_LISTEN ? wire_udp_port(WIRE_LISTEN) : 0};
    struct sockaddr_storage name;
    socklen_t size = address_write(&any, family, &name);
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_UDP);

    if (fd < 0)
        return -1;
    sides[side].watch = (struct watch){.fd = fd, .ready = receive};
    if (set_options(fd, family) == 0 && bind(fd, (struct sockaddr *)&name, size) == 0 &&
        getsockname(fd, (struct sockaddr *)&name, &size) == 0 &&
        address_read(&any, &name, size) == 0 && loop_watch(&sides[side].watch, EPOLLIN) == 0) {
        sides[side].port = any.port;
        return 0;
    }
    sides[side].watch.fd = -1;
    return loop_close(fd, -1);
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
    struct sockaddr_storage name;
    socklen_t name_size = address_write(remote, AF_UNSPEC, &name), size = sizeof *mtu;
    int fd = socket(name.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0), result = -1;

    if (fd < 0)
        return -1;
    if (connect(fd, (struct sockaddr *)&name, name_size) == 0 &&
        getsockname(fd, (struct sockaddr *)&name, &name_size) == 0 &&
        address_read(local, &name, name_size) == 0)
        result = getsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_MTU : IPV6_MTU, mtu, &size);
    return loop_close(fd, result);
}

/* The answer is good for a moment: many associations to one host come one after the other. */
int wire_route(const struct address *remote, struct address *local, uint32_t *mtu)
{
    static struct address last_remote, last_local;
    static uint32_t last_mtu;
    static uint64_t asked_ns;

    if (loop_now_ns() - asked_ns > ROUTE_NS || !address_same_ip(remote, &last_remote)) {
        if (ask_for_route(remote, &last_local, &last_mtu) < 0)
            return -1;
        last_remote = *remote;
        asked_ns = loop_now_ns();
    }
    *local = last_local;
    *mtu = last_mtu;
    return 0;
}
