/*
 * Options of SOL_SOCKET, IPPROTO_IP and IPPROTO_IPV6: the kernel itself says what they may be. For
 * each call a TCP socket of the same family stands in for the program's, with all that has been set
 * so far; what concerns packets is then done to ours. In the few places where SCTP differs from
 * TCP, or has a state that the stand-in has not, the answer is given here.
 */
#include "options_values.h"
#include "ports.h"
#include <errno.h>
#include <netinet/ip.h>
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

#define LAST_SO SO_RCVMARK /* of Linux 6.1 */
#define SO_RCVMARK 75
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
    if (kept->level == IPPROTO_IPV6)
        return true;
    if (kept->level == IPPROTO_IP)
        return kept->name == IP_TTL || kept->name == IP_MTU_DISCOVER;
    switch (kept->name) {
    case SO_PRIORITY:
    case SO_REUSEPORT:
    case SO_RCVLOWAT:
    case SO_MARK:
    case SO_BUSY_POLL:
    case SO_MAX_PACING_RATE:
    case SO_TXTIME:
    case SO_PREFER_BUSY_POLL:
    case SO_BUF_LOCK:
    case SO_RESERVE_MEM:
    case SO_TXREHASH: return false;
    default: return true;
    }
}

/* ---- the stand-in */

static bool is_to_v4(const struct sock *sock)
{
    return sock->family == AF_INET || (sock->link != NULL && address_is_v4(&sock->link->remote.ip));
}

static int open_stand_in(const struct sock *sock)
{
    int fd = socket(sock->family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);

    for (struct kept *kept = sock->values->kept; kept != NULL && fd != -1; kept = kept->next)
        setsockopt(fd, kept->level, kept->name, kept->value, kept->size);
    return fd;
}

static int number_of(int fd, int level, int name)
{
    int number = 0;
    socklen_t size = sizeof(number);

    getsockopt(fd, level, name, &number, &size);
    return number;
}

static int keep(struct option_values *values, int level, int name, const void *value,
                socklen_t size)
{
    struct kept **at = &values->kept, *fresh = malloc(sizeof(*fresh) + size);

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
    for (const struct kept *kept = listener->values->kept; kept != NULL; kept = kept->next)
        if (is_inherited(kept))
            keep(sock->values, kept->level, kept->name, kept->value, kept->size);
}

void options_system_free(struct option_values *values)
{
    while (values->kept != NULL) {
        struct kept *kept = values->kept;
        values->kept = kept->next;
        free(kept);
    }
}

/* ---- what the program's socket does for it */

uint8_t options_system_tos(struct sock *sock)
{
    int tos = 0, fd = sock->values->kept == NULL ? -1 : open_stand_in(sock);

    if (fd == -1)
        return 0;
    tos = is_to_v4(sock) ? number_of(fd, IPPROTO_IP, IP_TOS)
                         : number_of(fd, IPPROTO_IPV6, IPV6_TCLASS);
    close(fd);
    return (uint8_t)(tos & 0xfc);
}

static bool anybody_wishes;

void options_system_wish(void)
{
    anybody_wishes = true;
}

const struct wire_wishes *options_wishes(const struct link *link, uint16_t port, uint16_t peer_port)
{
    if (!anybody_wishes)
        return NULL;
    const struct sock *sock = ports_find(port, link, peer_port);
    if (sock == NULL && link->side == WIRE_LISTEN)
        sock = ports_find_listener(port, &link->local);
    return sock == NULL ? NULL : &sock->options.wishes;
}

static void read_back(int fd, int name, void *value, socklen_t size)
{
    getsockopt(fd, SOL_SOCKET, name, value, &size);
}

static void apply_buffer(struct sock *sock, int fd, int name, int *size)
{
    *size = number_of(fd, SOL_SOCKET, name);
    options_stack_set(sock, SOL_SOCKET, name, size, sizeof(*size));
}

static void apply_socket(struct sock *sock, int fd, int name)
{
    struct socket_options *options = &sock->options;
    int number = number_of(fd, SOL_SOCKET, name);

    switch (name) {
    case SO_SNDBUF:
    case SO_SNDBUFFORCE: apply_buffer(sock, fd, SO_SNDBUF, &options->send_buffer); break;
    case SO_RCVBUF:
    case SO_RCVBUFFORCE: apply_buffer(sock, fd, SO_RCVBUF, &options->receive_buffer); break;
    case SO_MARK: options->wishes.mark = (uint32_t)number; break;
    case SO_BINDTODEVICE:
    case SO_BINDTOIFINDEX:
        options->wishes.device = (uint32_t)number_of(fd, SOL_SOCKET, SO_BINDTOIFINDEX);
        break;
    case SO_TIMESTAMP:
    case SO_TIMESTAMPNS:
    case SO_TIMESTAMP_NEW:
    case SO_TIMESTAMPNS_NEW: options->stamps = number != 0 ? (uint32_t)name : 0; break;
    case SO_REUSEADDR: options->reuse_address = number != 0; break;
    case SO_REUSEPORT: options->reuse_port = number != 0; break;
    case SO_LINGER: read_back(fd, name, &options->linger, sizeof(options->linger)); break;
    case SO_RCVTIMEO:
    case SO_RCVTIMEO_NEW:
        read_back(fd, SO_RCVTIMEO, &options->receive_timeout, sizeof(struct timeval));
        break;
    case SO_SNDTIMEO:
    case SO_SNDTIMEO_NEW:
        read_back(fd, SO_SNDTIMEO, &options->send_timeout, sizeof(struct timeval));
        break;
    default: break;
    }
}

static void apply(struct sock *sock, int fd, int level, int name)
{
    bool v4 = level == IPPROTO_IP, v6 = level == IPPROTO_IPV6;

    if (level == SOL_SOCKET)
        apply_socket(sock, fd, name);
    if (((v4 && name == IP_TOS) || (v6 && name == IPV6_TCLASS)) && sock->so != NULL)
        options_apply(sock, sock->so, LX_PEER_ADDR_PARAMS);
    if ((v4 && name == IP_TTL) || (v6 && name == IPV6_UNICAST_HOPS))
        sock->options.wishes.ttl = (uint32_t)number_of(fd, level, name);
    if (v6 && name == IPV6_V6ONLY)
        sock->options.v6only = number_of(fd, level, name) != 0;
    if (sock->options.wishes.ttl != 0 || sock->options.wishes.mark != 0 ||
        sock->options.wishes.device != 0)
        options_system_wish();
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
    int error = refuse(sock, level, name, value, size);

    if (error != 0)
        return options_fail(error);
    int fd = open_stand_in(sock);
    if (fd == -1)
        return -1;
    int result = setsockopt(fd, level, name, value, size);
    if (result == 0)
        result = keep(sock->values, level, name, value, size);
    if (result == 0)
        apply(sock, fd, level, name);
    error = errno;
    close(fd);
    errno = error;
    return result;
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

/* The number that such an option has; false: the stand-in has it. */
static bool knows_socket(struct sock *sock, int name, int *number)
{
    switch (name) {
    case SO_ERROR: *number = take_error(sock); return true;
    case SO_PROTOCOL: *number = IPPROTO_SCTP; return true;
    case SO_ACCEPTCONN: *number = sock->state == SOCKET_LISTENING; return true;
    case SO_SNDBUF: *number = sock->options.send_buffer; return true;
    case SO_RCVBUF: *number = sock->options.receive_buffer; return true;
    default: return false;
    }
}

static int get_peer_name(struct sock *sock, void *value, socklen_t *size)
{
    struct sockaddr_storage address;
    struct address peer = sock_peer(sock);

    if (sock->link == NULL)
        return options_fail(ENOTCONN);
    if (sock_write_address(sock, &peer, &address) < *size)
        return options_fail(EINVAL);
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
        return options_fail(EINVAL);
    if (sock->values->prepared == 0 || sock->link == NULL ||
        wire_route(&sock->link->remote, &local, &mtu) == -1)
        return options_fail(ENOTCONN);
    if (address_is_v4(&sock->link->remote.ip) && mtu > IP_MAXPACKET)
        mtu = IP_MAXPACKET;
    info.ip6m_mtu = mtu;
    return name == IPV6_PATHMTU ? give(&info, sizeof(info), value, size)
                                : give(&mtu, sizeof(mtu), value, size);
}

int options_system_get(struct sock *sock, int level, int name, void *value, socklen_t *size)
{
    int number;

    if (level == SOL_SOCKET && knows_socket(sock, name, &number))
        return give(&number, sizeof(number), value, size);
    if (level == SOL_SOCKET && name == SO_PEERNAME)
        return get_peer_name(sock, value, size);
    if ((level == IPPROTO_IP && name == IP_MTU) ||
        (level == IPPROTO_IPV6 && sock->family == AF_INET6 &&
         (name == IPV6_MTU || name == IPV6_PATHMTU)))
        return get_mtu(sock, name, value, size);
    if (level == SOL_SOCKET && name == SO_PEEK_OFF)
        return options_fail(EOPNOTSUPP);
    if (is_unknown(sock->family, level, name) || (level == IPPROTO_IP && name == IP_ROUTER_ALERT) ||
        (level == IPPROTO_IPV6 && sock->family == AF_INET6 &&
         (name == IPV6_ADDRFORM || name == IPV6_ROUTER_ALERT)))
        return options_fail(ENOPROTOOPT);
    int fd = open_stand_in(sock);
    if (fd == -1)
        return -1;
    int result = getsockopt(fd, level, name, value, size), error = errno;
    close(fd);
    errno = error;
    return result;
}
