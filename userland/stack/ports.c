/* Who is bound to what. See ports.h. */
#include "ports.h"
#include "../protocol.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    LIST_HEAD(, sock) bound;
    struct sock *answering; /* of those that listen, the one that usrsctp takes for the listener */
} ports[UINT16_MAX + 1];

/* ---- which sockets get in each other's way */

/* Does what is sent to "to" belong to a socket that is bound to "bound"? */
static bool covers(const struct sock *sock, const struct address *bound, const struct address *to)
{
    bool to_v4 = address_is_v4(&to->ip);

    if (to_v4 && sock->options.v6only)
        return false;
    if (IN6_IS_ADDR_UNSPECIFIED(&bound->ip))
        return true;
    return address_is_any(&bound->ip) ? to_v4 : address_same_ip(bound, to);
}

static bool covers_any(const struct sock *sock, const struct address *to, unsigned count)
{
    for (unsigned i = 0; i < sock->address_count; i++)
        for (unsigned k = 0; k < count; k++)
            if (covers(sock, &sock->addresses[i], &to[k]))
                return true;
    return false;
}

static bool overlap(const struct sock *a, const struct sock *b)
{
    return covers_any(a, b->addresses, b->address_count) ||
           covers_any(b, a->addresses, a->address_count);
}

static bool reuses_address(const struct sock *sock)
{
    return sock->options.reuse_address || sock->options.sctp_reuse_port;
}

/* sctp_get_port_local: SO_REUSEPORT on both; SO_REUSEADDR or SCTP_REUSE_PORT on both, and the other
 * one does not listen; or no common address. */
static bool port_free(const struct sock *sock, uint16_t port)
{
    const struct sock *other;

    LIST_FOREACH(other, &ports[port].bound, same_port) {
        bool shares =
            (sock->options.reuse_port && other->options.reuse_port) ||
            (reuses_address(sock) && reuses_address(other) && other->state != SOCKET_LISTENING);
        if (other != sock && !shares && overlap(sock, other))
            return false;
    }
    return true;
}

/* ---- joining a port, and leaving it */

static void join(struct sock *sock, uint16_t port)
{
    sock->port = port;
    LIST_INSERT_HEAD(&ports[port].bound, sock, same_port);
}

/* Behind the listener, so that looking for that one stays short. */
void ports_join(struct sock *sock, struct sock *listener)
{
    sock->port = listener->port;
    LIST_INSERT_AFTER(listener, sock, same_port);
}

void ports_leave(struct sock *sock)
{
    if (sock->port == 0)
        return;
    if (ports[sock->port].answering == sock)
        ports[sock->port].answering = NULL;
    LIST_REMOVE(sock, same_port);
    sock->port = 0;
}

void ports_move(struct sock *from, struct sock *to)
{
    uint16_t port = from->port;

    ports_leave(from);
    if (port != 0)
        join(to, port);
}

/* ---- bind */

/* Is the address ours, and may we have the port? The kernel answers by the same rules for UDP. */
static int ask_kernel(const struct address *address)
{
    struct address asked = *address;
    struct sockaddr_storage name;

    if (asked.port >= IPPORT_RESERVED)
        asked.port = 0;
    if (asked.port == 0 && address_is_any(&asked.ip))
        return 0;
    if (!address_is_any(&asked.ip) && !address_is_usable(&asked)) /* UDP takes multicast */
        return fail(EADDRNOTAVAIL);
    socklen_t size = address_write(&asked, AF_UNSPEC, &name);
    int fd = socket(name.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int result = loop_close(fd, bind(fd, (struct sockaddr *)&name, size));
    return result < 0 && errno != EADDRINUSE ? -1 : 0;
}

/* A port that nobody has, from the range that the kernel uses, or 0. Not one whose last association
 * may still be ending: each is taken as rarely as can be. */
static uint16_t pick_port(void)
{
    static unsigned first = 32768, last = 60999, picked;

    if (picked == 0) {
        FILE *file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
        if (file != NULL) {
            (void)!fscanf(file, "%u %u", &first, &last);
            fclose(file);
        }
        picked = (unsigned)loop_now_ns();
    }
    for (unsigned i = first; i <= last; i++) {
        unsigned port = first + ++picked % (last - first + 1);
        if (LIST_EMPTY(&ports[port].bound))
            return (uint16_t)port;
    }
    return 0;
}

static int take_address(struct sock *sock, const struct address *address, uint16_t port)
{
    struct address *grown =
        realloc(sock->addresses, (sock->address_count + 1) * sizeof sock->addresses[0]);

    if (grown == NULL)
        return -1;
    sock->addresses = grown;
    grown[sock->address_count++] = *address;
    if (port != 0 && port_free(sock, port))
        return 0;
    sock->address_count--;
    return fail(EADDRINUSE);
}

int ports_bind(struct sock *sock, const struct address *address)
{
    uint16_t port = address->port != 0 ? address->port : pick_port();

    if (sock->port != 0)
        return fail(EINVAL);
    if (ask_kernel(address) < 0 || take_address(sock, address, port) < 0)
        return -1;
    join(sock, port);
    return 0;
}

int ports_bind_any(struct sock *sock)
{
    struct address any = address_any(sock->family);

    return sock->port == 0 ? ports_bind(sock, &any) : 0;
}

int ports_may_listen(const struct sock *sock)
{
    return port_free(sock, sock->port) ? 0 : fail(EADDRINUSE);
}

int ports_listen(uint16_t port, struct sock *sock)
{
    struct sock *other = ports[port].answering;

    if (other != NULL && other != sock && other->state == SOCKET_LISTENING)
        usrsctp_listen(other->so, 0);
    ports[port].answering = sock;
    return sock == NULL ? 0 : usrsctp_listen(sock->so, SOMAXCONN);
}

/* ---- sctp_bindx(3) */

/* Its place, or the number of all. */
static unsigned find_address(const struct sock *sock, const struct address *address)
{
    unsigned at = 0;

    while (at < sock->address_count && !address_same_ip(&sock->addresses[at], address))
        at++;
    return at;
}

static int add_one(struct sock *sock, const struct address *address)
{
    if (sock->port == 0)
        return ports_bind(sock, address);
    if (ask_kernel(address) < 0)
        return -1;
    if (address->port != 0 && address->port != sock->port)
        return fail(EINVAL);
    if (address_is_any(&address->ip) || find_address(sock, address) < sock->address_count ||
        address_is_any(&sock->addresses[0].ip)) /* bound to it already */
        return fail(EINVAL);
    return take_address(sock, address, sock->port);
}

/* All or none. The first call binds, all must name one port (or none, later on). */
int ports_add(struct sock *sock, const struct address *addresses, unsigned count)
{
    unsigned before = sock->address_count;

    for (unsigned i = 0; i < count; i++)
        if (add_one(sock, &addresses[i]) < 0) {
            int error = errno;
            sock->address_count = before;
            if (before == 0)
                ports_leave(sock);
            return fail(error);
        }
    return 0;
}

static int remove_one(struct sock *sock, const struct address *address)
{
    if (sock->address_count <= 1) /* the last one stays */
        return fail(EBUSY);
    unsigned at = find_address(sock, address);
    if (at == sock->address_count || (address->port != 0 && address->port != sock->port))
        return fail(EINVAL);
    sock->addresses[at] = sock->addresses[--sock->address_count];
    return 0;
}

int ports_remove(struct sock *sock, const struct address *addresses, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (remove_one(sock, &addresses[i]) < 0)
            return -1;
    return 0;
}

/* ---- who is it? */

struct sock *ports_find_listener(uint16_t port, const struct address *local)
{
    struct sock *sock;

    LIST_FOREACH(sock, &ports[port].bound, same_port)
        if (sock->state == SOCKET_LISTENING && covers_any(sock, local, 1))
            break;
    return sock;
}

struct sock *ports_find(uint16_t port, const struct link *link, uint16_t peer_port)
{
    struct sock *sock;

    LIST_FOREACH(sock, &ports[port].bound, same_port)
        if (sock->link == link && sock->peer_port == peer_port)
            break;
    return sock;
}
