/* An IP address and a port, in the one form that the stack uses inside. */
#include "address.h"
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#define V4_AT 12 /* where an IPv4 address stands in a v4-mapped one */

bool address_is_v4(const struct in6_addr *ip)
{
    return IN6_IS_ADDR_V4MAPPED(ip);
}

bool address_is_any(const struct in6_addr *ip)
{
    static const unsigned char v4_any[4];

    return IN6_IS_ADDR_UNSPECIFIED(ip) ||
           (address_is_v4(ip) && memcmp(&ip->s6_addr[V4_AT], v4_any, sizeof v4_any) == 0);
}

bool address_is_loopback(const struct in6_addr *ip)
{
    return IN6_IS_ADDR_LOOPBACK(ip) || (address_is_v4(ip) && ip->s6_addr[V4_AT] == IN_LOOPBACKNET);
}

bool address_is_multicast(const struct in6_addr *ip)
{
    return address_is_v4(ip) ? ip->s6_addr[V4_AT] >= 224 : IN6_IS_ADDR_MULTICAST(ip);
}

bool address_same_ip(const struct address *a, const struct address *b)
{
    return IN6_ARE_ADDR_EQUAL(&a->ip, &b->ip) && a->scope == b->scope;
}

static void map_v4(const void *v4, struct in6_addr *ip)
{
    memset(ip, 0, sizeof *ip);
    ip->s6_addr[10] = ip->s6_addr[11] = 0xff;
    memcpy(&ip->s6_addr[V4_AT], v4, sizeof(struct in_addr));
}

struct address address_any(int family)
{
    struct address any = {.port = 0};
    struct in_addr v4_any = {INADDR_ANY};

    if (family == AF_INET)
        map_v4(&v4_any, &any.ip);
    return any;
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
        *address = (struct address){.port = ntohs(v4.sin_port)};
        map_v4(&v4.sin_addr, &address->ip);
        return 0;
    }
    if (family == AF_INET6 && size >= sizeof v6) {
        memcpy(&v6, bytes, sizeof v6);
        bool needs_scope = IN6_IS_ADDR_LINKLOCAL(&v6.sin6_addr);
        *address = (struct address){.ip = v6.sin6_addr,
                                    .scope = needs_scope ? v6.sin6_scope_id : 0,
                                    .port = ntohs(v6.sin6_port)};
        return 0;
    }
    errno = EINVAL;
    return -1;
}

socklen_t address_write(const struct address *address, int family, struct sockaddr_storage *to)
{
    if (family == AF_INET) {
        struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(address->port)};
        memcpy(&v4.sin_addr, &address->ip.s6_addr[V4_AT], sizeof v4.sin_addr);
        memcpy(to, &v4, sizeof v4);
        return sizeof v4;
    }
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6,
                              .sin6_port = htons(address->port),
                              .sin6_addr = address->ip,
                              .sin6_scope_id = address->scope};
    memcpy(to, &v6, sizeof v6);
    return sizeof v6;
}

const char *address_print(const struct address *address, char *text)
{
    char ip[INET6_ADDRSTRLEN], zone[IF_NAMESIZE] = "";

    if (address_is_v4(&address->ip)) {
        inet_ntop(AF_INET, &address->ip.s6_addr[V4_AT], ip, sizeof ip);
        snprintf(text, ADDRESS_TEXT, "%s:%u", ip, (unsigned)address->port);
        return text;
    }
    inet_ntop(AF_INET6, &address->ip, ip, sizeof ip);
    if (address->scope != 0 && if_indextoname(address->scope, zone) == NULL)
        snprintf(zone, sizeof zone, "%u", (unsigned)address->scope);
    snprintf(text, ADDRESS_TEXT, "[%s%s%s]:%u", ip, zone[0] != '\0' ? "%" : "", zone,
             (unsigned)address->port);
    return text;
}
