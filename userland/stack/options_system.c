/*
 * Options of SOL_SOCKET, IPPROTO_IP and IPPROTO_IPV6: the kernel itself says what they may be. For
 * each call a TCP socket of the same family stands in for the program's, with all that has been set
 * so far; what concerns packets is then done to ours. In the few places where SCTP differs from
 * TCP, or has a state that the stand-in has not, the answer is given here.
 */
#include "options_system.h"
#include "../protocol.h"
#include "options_sctp.h"
#include "options_shared.h"
#include <errno.h>
#include <netinet/ip.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What has been set so far. */
struct kept {
    int level, name;
    socklen_t size;
    struct kept *next;
    unsigned char value[];
};

#define LAST_SO 75 /* of Linux 6.1: SO_RCVMARK */
#define LAST_IP 51
#define LAST_IPV6 79

/* ---- which options, and whose */

/* Those that name memory of the program's, or a descriptor; netfilter's; later ones. */
static bool is_unknown(int family, int level, int name)
{
    if (level == SOL_SOCKET)
        return name > LAST_SO || name == SO_ATTACH_FILTER || name == SO_ATTACH_BPF ||
               name == SO_ATTACH_REUSEPORT_CBPF || name == SO_ATTACH_REUSEPORT_EBPF;
    if (level == IPPROTO_IP)
        return name > LAST_IP || name == IP_IPSEC_POLICY || name == IP_XFRM_POLICY;
    if (family == AF_INET)
        return name >= 64 && name <= 67;
    return name > LAST_IPV6 || name == IPV6_IPSEC_POLICY || name == IPV6_XFRM_POLICY ||
           name == 64 || name == 65 || name == 68 || name == 69;
}

/* net/sctp/socket.c, sctp_copy_sock, and ipv6.c. */
static bool is_inherited(const struct kept *kept)
{
    static const int others[] = {SO_PRIORITY,  SO_REUSEPORT,       SO_RCVLOWAT, SO_MARK,
                                 SO_BUSY_POLL, SO_MAX_PACING_RATE, SO_TXTIME,   SO_PREFER_BUSY_POLL,
                                 SO_BUF_LOCK,  SO_RESERVE_MEM,     SO_TXREHASH};

    if (kept->level == IPPROTO_IP)
        return kept->name == IP_TTL || kept->name == IP_MTU_DISCOVER;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (kept->level == SOL_SOCKET && kept->name == others[i])
            return false;
    return true;
}

/* ---- the stand-in */

static int open_stand_in(const struct sock *sock)
{
    int fd = socket(sock->family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);

    for (struct kept *kept = sock->options.kept; kept != NULL && fd != -1; kept = kept->next)
        setsockopt(fd, kept->level, kept->name, kept->value, kept->size);
    return fd;
}

static int keep(struct sock *sock, int level, int name, const void *value, socklen_t size)
{
    struct kept **at = &sock->options.kept, *fresh = malloc(sizeof(*fresh) + size);

    if (fresh == NULL)
        return -1;
    while (*at != NULL && ((*at)->level != level || (*at)->name != name))
        at = &(*at)->next;
    struct kept *old = *at;
    *fresh = (struct kept){level, name, size, old == NULL ? NULL : old->next};
    memcpy(fresh->value, value, size);
    *at = fresh;
    free(old);
    return 0;
}

void options_system_inherit(struct sock *sock, const struct sock *listener)
{
    for (const struct kept *kept = listener->options.kept; kept != NULL; kept = kept->next)
        if (is_inherited(kept))
            keep(sock, kept->level, kept->name, kept->value, kept->size);
}

void options_free(struct sock *sock)
{
    struct kept *next;

    for (struct kept *kept = sock->options.kept; kept != NULL; kept = next) {
        next = kept->next;
        free(kept);
    }
    sock->options.kept = NULL;
}

/* ---- what the stack does for the program's socket */

#define MEMBER(member)                                                                             \
    offsetof(struct socket_options, member), sizeof(((struct socket_options *)0)->member)

/* When that one is set, this one of the stand-in's is kept. */
static const struct carried_out {
    int level, name, read;
    size_t at, size;
} carried_out[] = {
    {SOL_SOCKET, SO_SNDBUF, SO_SNDBUF, MEMBER(send_buffer)},
    {SOL_SOCKET, SO_SNDBUFFORCE, SO_SNDBUF, MEMBER(send_buffer)},
    {SOL_SOCKET, SO_RCVBUF, SO_RCVBUF, MEMBER(receive_buffer)},
    {SOL_SOCKET, SO_RCVBUFFORCE, SO_RCVBUF, MEMBER(receive_buffer)},
    {SOL_SOCKET, SO_MARK, SO_MARK, MEMBER(wishes.mark)},
    {SOL_SOCKET, SO_BINDTODEVICE, SO_BINDTOIFINDEX, MEMBER(wishes.device)},
    {SOL_SOCKET, SO_BINDTOIFINDEX, SO_BINDTOIFINDEX, MEMBER(wishes.device)},
    {SOL_SOCKET, SO_REUSEADDR, SO_REUSEADDR, MEMBER(reuse_address)},
    {SOL_SOCKET, SO_REUSEPORT, SO_REUSEPORT, MEMBER(reuse_port)},
    {SOL_SOCKET, SO_LINGER, SO_LINGER, MEMBER(linger)},
    {SOL_SOCKET, SO_RCVTIMEO, SO_RCVTIMEO, MEMBER(receive_timeout)},
    {SOL_SOCKET, SO_RCVTIMEO_NEW, SO_RCVTIMEO, MEMBER(receive_timeout)},
    {SOL_SOCKET, SO_SNDTIMEO, SO_SNDTIMEO, MEMBER(send_timeout)},
    {SOL_SOCKET, SO_SNDTIMEO_NEW, SO_SNDTIMEO, MEMBER(send_timeout)},
    {SOL_SOCKET, SO_TIMESTAMP, SO_TIMESTAMP, MEMBER(stamps)},
    {SOL_SOCKET, SO_TIMESTAMPNS, SO_TIMESTAMPNS, MEMBER(stamps)},
    {SOL_SOCKET, SO_TIMESTAMP_NEW, SO_TIMESTAMP_NEW, MEMBER(stamps)},
    {SOL_SOCKET, SO_TIMESTAMPNS_NEW, SO_TIMESTAMPNS_NEW, MEMBER(stamps)},
    {IPPROTO_IP, IP_TOS, IP_TOS, MEMBER(tos)},
    {IPPROTO_IPV6, IPV6_TCLASS, IPV6_TCLASS, MEMBER(traffic_class)},
    {IPPROTO_IP, IP_TTL, IP_TTL, MEMBER(wishes.ttl)},
    {IPPROTO_IPV6, IPV6_UNICAST_HOPS, IPV6_UNICAST_HOPS, MEMBER(wishes.ttl)},
    {IPPROTO_IPV6, IPV6_V6ONLY, IPV6_V6ONLY, MEMBER(v6only)},
};

static void carry_out(struct sock *sock, int fd, int level, int name)
{
    struct socket_options *options = &sock->options;

    for (size_t i = 0; i < sizeof(carried_out) / sizeof(carried_out[0]); i++) {
        const struct carried_out *one = &carried_out[i];
        socklen_t size = (socklen_t)one->size;
        if (one->level != level || one->name != name)
            continue;
        getsockopt(fd, level, one->read, (char *)options + one->at, &size);
        if (one->at == offsetof(struct socket_options, stamps) && options->stamps != 0)
            options->stamps = (uint32_t)name;
        if (level == SOL_SOCKET && (one->read == SO_SNDBUF || one->read == SO_RCVBUF))
            sock_stack_set(sock, SOL_SOCKET, one->read, (char *)options + one->at, size);
    }
    if ((level == IPPROTO_IP && name == IP_TOS) || (level == IPPROTO_IPV6 && name == IPV6_TCLASS))
        options_apply_path(sock);
    if (options->wishes.ttl != 0 || options->wishes.mark != 0 || options->wishes.device != 0)
        options_wish();
}

/* ---- set */

/* What TCP would do otherwise. 0: it's no such option. */
static int refuse(const struct sock *sock, int level, int name, const void *value, socklen_t size)
{
    int number = 0;

    if (size >= sizeof(number))
        memcpy(&number, value, sizeof(number));
    if (level == SOL_SOCKET && size >= sizeof(int) && (name == SO_PEEK_OFF || name == SO_ZEROCOPY))
        return EOPNOTSUPP;
    if (level == IPPROTO_IPV6 && name == IPV6_ADDRFORM && number == AF_INET)
        return ENOPROTOOPT;
    if (level == IPPROTO_IPV6 && name == IPV6_V6ONLY && sock->port != 0 && sock->family == AF_INET6)
        return EINVAL;
    return is_unknown(sock->family, level, name) ? ENOPROTOOPT : 0;
}

int options_system_set(struct sock *sock, int level, int name, const void *value, socklen_t size)
{
    int error = refuse(sock, level, name, value, size), fd = -1;

    if (error != 0)
        return fail(error);
    fd = open_stand_in(sock);
    if (fd == -1)
        return -1;
    if (setsockopt(fd, level, name, value, size) == -1 ||
        keep(sock, level, name, value, size) == -1)
        return loop_close(fd, -1);
    carry_out(sock, fd, level, name);
    return loop_close(fd, 0);
}

/* ---- get */

static int give(const void *from, size_t size, void *value, socklen_t *room)
{
    if (*room > size)
        *room = (socklen_t)size;
    memcpy(value, from, *room);
    return 0;
}

static int take_error(struct sock *sock)
{
    sock_refresh(sock);
    int error = sock->error;
    sock->error = 0;
    return error;
}

static int get_peer_name(struct sock *sock, void *value, socklen_t *size)
{
    struct sockaddr_storage address;
    struct address peer = sock_peer(sock);

    if (sock->link == NULL)
        return fail(ENOTCONN);
    if (sock_write_address(sock, &peer, &address) < *size)
        return fail(EINVAL);
    memcpy(value, &address, *size);
    return 0;
}

/* Of a path; Linux knows it once it has sent something to the peer. */
static int get_mtu(struct sock *sock, int name, void *value, socklen_t *size)
{
    struct address local;
    uint32_t mtu = 0;
    struct ip6_mtuinfo info = {.ip6m_mtu = 0};

    if (name == IPV6_PATHMTU && *size < sizeof(info))
        return fail(EINVAL);
    if (sock->options.accepted || sock->link == NULL ||
        wire_route(&sock->link->remote, &local, &mtu) == -1)
        return fail(ENOTCONN);
    if (address_is_v4(&sock->link->remote.ip) && mtu > IP_MAXPACKET)
        mtu = IP_MAXPACKET;
    info.ip6m_mtu = mtu;
    return name == IPV6_PATHMTU ? give(&info, sizeof(info), value, size)
                                : give(&mtu, sizeof(mtu), value, size);
}

static int get_from_stand_in(struct sock *sock, int level, int name, void *value, socklen_t *size)
{
    int fd = open_stand_in(sock);

    return fd == -1 ? -1 : loop_close(fd, getsockopt(fd, level, name, value, size));
}

static int get_of_socket(struct sock *sock, int name, void *value, socklen_t *size)
{
    int number;

    switch (name) {
    case SO_ERROR: number = take_error(sock); break;
    case SO_PROTOCOL: number = IPPROTO_SCTP; break;
    case SO_ACCEPTCONN: number = sock->state == SOCKET_LISTENING; break;
    case SO_SNDBUF: number = sock->options.send_buffer; break;
    case SO_RCVBUF: number = sock->options.receive_buffer; break;
    case SO_PEERNAME: return get_peer_name(sock, value, size);
    case SO_PEEK_OFF: return fail(EOPNOTSUPP);
    default: return get_from_stand_in(sock, SOL_SOCKET, name, value, size);
    }
    return give(&number, sizeof(number), value, size);
}

int options_system_get(struct sock *sock, int level, int name, void *value, socklen_t *size)
{
    bool v4 = level == IPPROTO_IP, v6 = level == IPPROTO_IPV6 && sock->family == AF_INET6;

    if (is_unknown(sock->family, level, name) || (v4 && name == IP_ROUTER_ALERT) ||
        (v6 && (name == IPV6_ADDRFORM || name == IPV6_ROUTER_ALERT)))
        return fail(ENOPROTOOPT);
    if ((v4 && name == IP_MTU) || (v6 && (name == IPV6_MTU || name == IPV6_PATHMTU)))
        return get_mtu(sock, name, value, size);
    return level == SOL_SOCKET ? get_of_socket(sock, name, value, size)
                               : get_from_stand_in(sock, level, name, value, size);
}
