/* SCTP ports and local addresses: who is bound to what, as Linux has it.
 *
 * The stack itself is only told the port, and only once a socket listens or connects: an
 * AF_CONN endpoint knows no IP addresses. wire.c keeps what is for another local address
 * from it. */
#include "internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define BUCKETS 1024
#define LAST_PRIVILEGED 1023
#define MAX_STEP 64

static struct us_sock *buckets[BUCKETS]; /* sockets by port */

void ports_reset_after_fork(void)
{
    memset(buckets, 0, sizeof buckets);
}

static bool v4(const struct in6_addr *ip)
{
    return IN6_IS_ADDR_V4MAPPED(ip);
}

/* The wildcard of an AF_INET socket is ::ffff:0.0.0.0, that of an AF_INET6 socket is ::.
 */
bool is_any(const struct in6_addr *ip)
{
    return IN6_IS_ADDR_UNSPECIFIED(ip) || (v4(ip) && memcmp(&ip->s6_addr[12], "\0\0\0\0", 4) == 0);
}

/* Does what is sent to "to" belong to a socket that is bound to "bound"? */
static bool covers(const struct us_sock *sock, const struct in6_addr *bound,
                   const struct in6_addr *to)
{
    if (v4(to) && sock->v6only)
        return false;
    if (IN6_IS_ADDR_UNSPECIFIED(bound))
        return true;
    if (is_any(bound))
        return v4(to);
    return same_address(bound, to);
}

static bool overlaps(const struct us_sock *a, const struct us_sock *b)
{
    for (unsigned i = 0; i < a->address_count; i++)
        for (unsigned k = 0; k < b->address_count; k++)
            if (covers(a, &a->addresses[i], &b->addresses[k]) ||
                covers(b, &b->addresses[k], &a->addresses[i]))
                return true;
    return false;
}

/* net/sctp/socket.c, sctp_get_port_local: both reuse, and none listens; or no common
 * address. */
static bool port_free(const struct us_sock *sock, uint16_t port)
{
    for (struct us_sock *other = buckets[port % BUCKETS]; other != NULL; other = other->port_next) {
        if (other == sock || other->port != port)
            continue;
        if (sock->reuse_address && other->reuse_address && other->state != US_LISTENING)
            continue;
        if (sock->reuse_port && other->reuse_port)
            continue;
        if (overlaps(sock, other))
            return false;
    }
    return true;
}

static void join_at(struct us_sock *sock, struct us_sock **place)
{
    sock->port_next = *place;
    sock->port_link = place;
    if (*place != NULL)
        (*place)->port_link = &sock->port_next;
    *place = sock;
}

static void join(struct us_sock *sock, uint16_t port)
{
    sock->port = port;
    join_at(sock, &buckets[port % BUCKETS]);
}

/* Behind the listener, so that looking for that one stays short. */
void port_join(struct us_sock *sock, struct us_sock *listener)
{
    sock->port = listener->port;
    join_at(sock, &listener->port_next);
}

void port_leave(struct us_sock *sock)
{
    if (sock->port_link == NULL)
        return;
    *sock->port_link = sock->port_next;
    if (sock->port_next != NULL)
        sock->port_next->port_link = sock->port_link;
    sock->port_link = NULL;
    sock->port = 0;
}

static bool contains(const struct us_sock *sock, const struct in6_addr *ip)
{
    for (unsigned i = 0; i < sock->address_count; i++)
        if (same_address(&sock->addresses[i], ip))
            return true;
    return false;
}

static int append(struct us_sock *sock, const struct in6_addr *ip)
{
    struct in6_addr *grown =
        realloc(sock->addresses, (sock->address_count + 1) * sizeof sock->addresses[0]);

    if (grown == NULL)
        return -1;
    grown[sock->address_count++] = *ip;
    sock->addresses = grown;
    return 0;
}

/* Is the address ours, and may we have the port? The kernel answers by the same rules for
 * UDP. */
static int ask_kernel(const struct us_addr *address)
{
    bool is_v4 = v4(&address->ip);
    uint16_t port = address->port <= LAST_PRIVILEGED ? address->port : 0;
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6,
                               .sin6_port = htons(port),
                               .sin6_addr = address->ip,
                               .sin6_scope_id = address->scope};
    int fd = k_socket(is_v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    memcpy(&in.sin_addr, &address->ip.s6_addr[12], 4);
    int result = is_v4 ? k_bind(fd, &in, sizeof in) : k_bind(fd, &in6, sizeof in6);
    int saved = errno;
    k_close(fd);
    errno = saved;
    return result < 0 && errno != EADDRINUSE ? -1 : 0;
}

static void ephemeral_range(unsigned *first, unsigned *last)
{
    static unsigned low, high;

    if (low == 0) {
        FILE *file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
        if (file == NULL || fscanf(file, "%u %u", &low, &high) != 2 || low < 1 || high > 65535 ||
            low > high) {
            low = 32768;
            high = 60999;
        }
        if (file != NULL)
            fclose(file);
    }
    *first = low;
    *last = high;
}

static bool port_unused(unsigned port)
{
    for (struct us_sock *other = buckets[port % BUCKETS]; other != NULL; other = other->port_next)
        if (other->port == port)
            return false;
    return true;
}

/* A port that nobody has, from the range that the kernel uses: some steps of random width further,
 * so not one whose last association may still be ending. 0, or -1 with EADDRINUSE. */
static int join_ephemeral(struct us_sock *sock)
{
    static unsigned last_picked;
    unsigned first, last, random = 0;

    ephemeral_range(&first, &last);
    unsigned count = last - first + 1;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) < 0)
        random = (unsigned)now_ns();
    last_picked += last_picked == 0 ? random % count : 1 + random % MAX_STEP;
    for (unsigned i = 0; i < count; i++) {
        unsigned port = first + (last_picked + i) % count;
        if (port_unused(port)) {
            join(sock, (uint16_t)port);
            return 0;
        }
    }
    errno = EADDRINUSE;
    return -1;
}

int port_bind(struct us_sock *sock, const struct us_addr *address)
{
    if (sock->port != 0) {
        errno = EINVAL;
        return -1;
    }
    if (ask_kernel(address) < 0 || append(sock, &address->ip) < 0)
        return -1;
    if (address->port == 0) {
        if (join_ephemeral(sock) == 0)
            return 0;
    } else if (port_free(sock, address->port)) {
        join(sock, address->port);
        return 0;
    }
    sock->address_count = 0;
    errno = EADDRINUSE;
    return -1;
}

int port_autobind(struct us_sock *sock)
{
    struct us_addr any = {.port = 0};

    if (sock->domain == AF_INET)
        any.ip.s6_addr[10] = any.ip.s6_addr[11] = 0xff;
    return sock->port != 0 ? 0 : port_bind(sock, &any);
}

/* sctp_bindx(3): all or none. The first call binds, all must name one port (or none,
 * later on). */
int port_add_addresses(struct us_sock *sock, const struct us_addr *addresses, unsigned count)
{
    unsigned before = sock->address_count;

    for (unsigned i = 0; i < count; i++) {
        const struct us_addr *address = &addresses[i];
        int result = 0;
        if (sock->port == 0) {
            result = port_bind(sock, address);
        } else if (address->port != 0 && address->port != sock->port) {
            errno = EINVAL;
            result = -1;
        } else if (is_any(&address->ip) || contains(sock, &address->ip) ||
                   is_any(&sock->addresses[0])) {
            errno = EINVAL; /* bound to it already */
            result = -1;
        } else if (ask_kernel(address) < 0 || append(sock, &address->ip) < 0) {
            result = -1;
        } else if (!port_free(sock, sock->port)) {
            errno = EADDRINUSE;
            result = -1;
        }
        if (result < 0) {
            sock->address_count = before;
            if (before == 0)
                port_leave(sock);
            return -1;
        }
    }
    return 0;
}

int port_remove_addresses(struct us_sock *sock, const struct us_addr *addresses, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (sock->address_count <= 1) { /* the last one stays */
            errno = EBUSY;
            return -1;
        }
        if (!contains(sock, &addresses[i].ip) ||
            (addresses[i].port != 0 && addresses[i].port != sock->port)) {
            errno = EINVAL;
            return -1;
        }
        for (unsigned k = 0; k < sock->address_count; k++)
            if (same_address(&sock->addresses[k], &addresses[i].ip)) {
                sock->addresses[k] = sock->addresses[--sock->address_count];
                break;
            }
    }
    return 0;
}

int port_claim_listening(struct us_sock *sock)
{
    for (struct us_sock *other = buckets[sock->port % BUCKETS]; other != NULL;
         other = other->port_next)
        if (other != sock && other->port == sock->port && other->state == US_LISTENING &&
            overlaps(sock, other)) {
            errno = EADDRINUSE;
            return -1;
        }
    return 0;
}

struct us_sock *find_listener(uint16_t port, const struct in6_addr *local, bool *port_taken)
{
    *port_taken = false;
    for (struct us_sock *sock = buckets[port % BUCKETS]; sock != NULL; sock = sock->port_next) {
        if (sock->port != port || sock->state != US_LISTENING)
            continue;
        for (unsigned i = 0; i < sock->address_count; i++)
            if (covers(sock, &sock->addresses[i], local))
                return sock;
        *port_taken = true;
    }
    return NULL;
}

struct us_sock *find_connecting(uint16_t port, const struct us_link *link)
{
    struct us_sock *sock = buckets[port % BUCKETS];

    while (sock != NULL &&
           (sock->port != port || sock->state != US_CONNECTING || sock->link != link))
        sock = sock->port_next;
    return sock;
}
