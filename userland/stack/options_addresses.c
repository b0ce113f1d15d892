/* sctp_bindx, sctp_connectx, sctp_getpaddrs, sctp_getladdrs: they are options that hold lists of
 * addresses. */
#include "options_addresses.h"
#include "../protocol.h"
#include "options_shared.h"
#include "ports.h"
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <string.h>

/* ---- addresses out */

struct address_list {
    uint8_t *at;
    size_t room;
    uint32_t count;
};

static int list_address(const struct sock *sock, struct address address, struct address_list *list)
{
    struct sockaddr_storage written;
    size_t size = sock_write_address(sock, &address, &written);

    if (size > list->room)
        return fail(ENOMEM);
    memcpy(list->at, &written, size);
    list->at += size;
    list->room -= size;
    list->count++;
    return 0;
}

/* The wildcard stands for every address that the host has, of the families that the socket speaks.
 * Linux tells the interface of each IPv6 address, not only of link-local ones. */
static int list_host_addresses(const struct sock *sock, struct address_list *list)
{
    struct ifaddrs *all;
    int result = 0;

    if (getifaddrs(&all) == -1)
        return -1;
    for (struct ifaddrs *one = all; one != NULL && result == 0; one = one->ifa_next) {
        struct address address;
        if (one->ifa_addr == NULL ||
            sock_read_address(sock, one->ifa_addr, sizeof(struct sockaddr_in6), &address) == -1)
            continue;
        address.port = sock->port;
        address.scope = address_is_v4(&address.ip) ? 0 : if_nametoindex(one->ifa_name);
        result = list_address(sock, address, list);
    }
    freeifaddrs(all);
    return result;
}

static int list_local(struct sock *sock, bool of_association, struct address_list *list)
{
    bool one = of_association && sock->link != NULL;
    unsigned count = one ? 1 : sock->address_count;
    int result = 0;

    for (unsigned i = 0; i < count && result == 0; i++) {
        struct address address = one ? sock->link->local : sock->addresses[i];
        address.port = sock->port;
        result = address_is_any(&address.ip) ? list_host_addresses(sock, list)
                                             : list_address(sock, address, list);
    }
    return result;
}

int options_get_addresses(struct sock *sock, int name, void *value, socklen_t *size)
{
    struct lx_getaddrs head;
    bool local = name == LX_GET_LOCAL_ADDRS;

    if (*size < sizeof(head))
        return fail(EINVAL);
    memcpy(&head, value, sizeof(head));
    struct address_list list = {.at = (uint8_t *)value + sizeof(head),
                                .room = *size - sizeof(head)};
    if ((!local || head.assoc_id != 0) && !options_associated(sock))
        return fail(EINVAL);
    if ((local ? list_local(sock, head.assoc_id != 0, &list)
               : list_address(sock, sock_peer(sock), &list)) == -1)
        return -1;
    head.addr_num = list.count;
    memcpy(value, &head, sizeof(head));
    *size = (socklen_t)(list.at - (uint8_t *)value);
    return 0;
}

/* ---- addresses in */

static struct address parsed[PAYLOAD_MAX / sizeof(struct sockaddr_in)];

/* Addresses of both families, one after the other: how many, or -1 with errno. */
static int parse_packed(const struct sock *sock, const uint8_t *at, size_t size)
{
    const uint8_t *end = at + size;
    sa_family_t family;
    int count = 0;

    while (at < end) {
        size_t left = (size_t)(end - at);
        if (left < sizeof(family) || sock_read_address(sock, at, left, &parsed[count]) == -1)
            return fail(EINVAL);
        memcpy(&family, at, sizeof(family));
        at += family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
        count++;
    }
    return count == 0 ? fail(EINVAL) : count;
}

int options_bindx(struct sock *sock, int name, const void *value, size_t size)
{
    int count = parse_packed(sock, value, size);

    if (count == -1)
        return -1;
    return name == LX_SOCKOPT_BINDX_ADD ? ports_add(sock, parsed, (unsigned)count)
                                        : ports_remove(sock, parsed, (unsigned)count);
}

/* There is one path per association: the first address that can be reached is taken. */
int options_connectx(struct sock *sock, const void *value, size_t size)
{
    int result = -1;

    if (size < sizeof(sa_family_t))
        return fail(EINVAL);
    if (sock->state == SOCKET_CONNECTED || sock->state == SOCKET_LISTENING)
        return fail(EISCONN);
    int count = parse_packed(sock, value, size);
    for (int i = 0; i < count; i++) {
        result = sock_connect(sock, &parsed[i]);
        if (result == 0 || (errno != ENETUNREACH && errno != EHOSTUNREACH))
            break;
    }
    return result == -1 ? -1 : fail(EINPROGRESS);
}
