/* An IP address and a port, in the one form that the stack uses inside. */
#include "address.h"
#include <errno.h>
#include <string.h>

#define V4_AT 12 /* where an IPv4 address stands in a v4-mapped one */

bool address_is_v4(const struct in6_addr *ip)
{
    return IN6_IS_ADDR_V4MAPPED(ip);
}

bool address_is_any(const struct in6_addr *ip)
{
    return IN6_IS_ADDR_UNSPECIFIED(ip) || (address_is_v4(ip) && ip->s6_addr32[3] == INADDR_ANY);
}

bool address_is_loopback(const struct in6_addr *ip)
{
    return IN6_IS_ADDR_LOOPBACK(ip) || (address_is_v4(ip) && ip->s6_addr[V4_AT] == IN_LOOPBACKNET);
}

bool address_is_usable(const struct address *address)
{
    const struct in6_addr *ip = &address->ip;
    in_addr_t v4 = ntohl(ip->s6_addr32[3]);

    if (address_is_v4(ip))
        return v4 != INADDR_ANY && v4 != INADDR_BROADCAST && !IN_MULTICAST(v4);
    return !IN6_IS_ADDR_UNSPECIFIED(ip) && !IN6_IS_ADDR_MULTICAST(ip) &&
           (!IN6_IS_ADDR_LINKLOCAL(ip) || address->scope != 0);
}

bool address_same_ip(const struct address *a, const struct address *b)
{
    return IN6_ARE_ADDR_EQUAL(&a->ip, &b->ip) && a->scope == b->scope;
}

struct address address_any(int family)
{
    const struct address v4 = {.ip.s6_addr = {[10] = 0xff, 0xff}};

    return family == AF_INET ? v4 : (struct address){.port = 0};
}

struct address address_from_v4(const struct in_addr *v4)
{
    struct address address = address_any(AF_INET);

    address.ip.s6_addr32[3] = v4->s_addr;
    return address;
}

struct address address_from_v6(const struct in6_addr *v6, uint32_t interface)
{
    return (struct address){.ip = *v6, .scope = IN6_IS_ADDR_LINKLOCAL(v6) ? interface : 0};
}

int address_read(struct address *address, const void *bytes, size_t size)
{
    sa_family_t family = AF_UNSPEC;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    if (size >= sizeof family)
        memcpy(&family, bytes, sizeof family);
    if (family == AF_INET && size >= sizeof v4) {
        memcpy(&v4, bytes, sizeof v4);
        *address = address_from_v4(&v4.sin_addr);
        address->port = ntohs(v4.sin_port);
        return 0;
    }
    if (family == AF_INET6 && size >= sizeof v6) {
        memcpy(&v6, bytes, sizeof v6);
        *address = address_from_v6(&v6.sin6_addr, v6.sin6_scope_id);
        address->port = ntohs(v6.sin6_port);
        return 0;
    }
    errno = EINVAL;
    return -1;
}

socklen_t address_write(const struct address *address, int family, struct sockaddr_storage *to)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET,
                             .sin_port = htons(address->port),
                             .sin_addr = {address->ip.s6_addr32[3]}};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6,
                              .sin6_port = htons(address->port),
                              .sin6_addr = address->ip,
                              .sin6_scope_id = address->scope};

    if (family == AF_INET || (family == AF_UNSPEC && address_is_v4(&address->ip))) {
        memcpy(to, &v4, sizeof v4);
        return sizeof v4;
    }
    memcpy(to, &v6, sizeof v6);
    return sizeof v6;
}
