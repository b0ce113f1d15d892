/* sctp_bindx, sctp_connectx, sctp_getpaddrs, sctp_getladdrs: they are options that hold lists of
 * addresses. */
#include "options_values.h"
#include "ports.h"
#include <errno.h>
#include <ifaddrs.h>
#include <stdlib.h>
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
        return options_fail(ENOMEM);
    memcpy(list->at, &written, size);
    list->at += size;
    list->room -= size;
    list->count++;
    return 0;
}

/* The wildcard stands for every address that the host has, of the families that the socket speaks;
 * but link-local ones. */
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
        result = list_address(sock, address, list);
    }
    freeifaddrs(all);
    return result;
}

static int list_bound(const struct sock *sock, struct address_list *list)
{
    for (unsigned i = 0; i < sock->address_count; i++) {
        struct address address = sock->addresses[i];
        address.port = sock->port;
        int result = address_is_any(&address.ip) ? list_host_addresses(sock, list)
                                                 : list_address(sock, address, list);
        if (result == -1)
            return -1;
    }
    return 0;
}

static int list_local(struct sock *sock, int32_t association, struct address_list *list)
{
    if (association != 0 && !options_associated(sock))
        return options_fail(EINVAL);
    if (association == 0 || sock->link == NULL)
        return list_bound(sock, list);
    struct address address = sock->link->local;
    address.port = sock->port;
    return list_address(sock, address, list);
}

int options_get_addresses(struct sock *sock, int name, void *value, socklen_t *size)
{
    struct lx_getaddrs head;
    int result;

    if (*size < sizeof(head))
        return options_fail(EINVAL);
    memcpy(&head, value, sizeof(head));
    struct address_list list = {.at = (uint8_t *)value + sizeof(head),
                                .room = *size - sizeof(head)};
    if (name == LX_GET_LOCAL_ADDRS)
        result = list_local(sock, head.assoc_id, &list);
    else if (options_associated(sock))
        result = list_address(sock, sock_peer(sock), &list);
    else
        return options_fail(EINVAL);
    if (result == -1)
        return -1;
    head.addr_num = list.count;
    memcpy(value, &head, sizeof(head));
    *size = (socklen_t)(list.at - (uint8_t *)value);
    return 0;
}

/* ---- addresses in */

static size_t size_of_family(const uint8_t *at, size_t size)
{
    sa_family_t family = AF_UNSPEC;

    if (size >= sizeof(family))
        memcpy(&family, at, sizeof(family));
    return family == AF_INET    ? sizeof(struct sockaddr_in)
           : family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                : SIZE_MAX;
}

/* Addresses of both families, one after the other. How many there are, or -1 with errno; *addresses
 * is the caller's to free. */
static int parse_packed(const struct sock *sock, const void *value, size_t size,
                        struct address **addresses)
{
    const uint8_t *at = value;
    int count = 0;

    *addresses = calloc(size / sizeof(struct sockaddr_in) + 1, sizeof(**addresses));
    if (*addresses == NULL)
        return -1;
    while (size > 0) {
        size_t one = size_of_family(at, size);
        if (one > size)
            return options_fail(EINVAL);
        if (sock_read_address(sock, at, one, &(*addresses)[count]) == -1)
            return -1;
        count++;
        at += one;
        size -= one;
    }
    return count == 0 ? options_fail(EINVAL) : count;
}

int options_bindx(struct sock *sock, int name, const void *value, size_t size)
{
    struct address *addresses;
    int count = parse_packed(sock, value, size, &addresses);
    int result = -1;

    if (count > 0)
        result = name == LX_BINDX_ADD ? ports_add(sock, addresses, (unsigned)count)
                                      : ports_remove(sock, addresses, (unsigned)count);
    free(addresses);
    return result;
}

/* There is one path per association: the first address that can be reached is taken. */
int options_connectx(struct sock *sock, const void *value, size_t size)
{
    struct address *addresses;
    int result = -1;

    if (size < sizeof(sa_family_t))
        return options_fail(EINVAL);
    if (sock->state == SOCKET_CONNECTED || sock->state == SOCKET_LISTENING)
        return options_fail(EISCONN);
    int count = parse_packed(sock, value, size, &addresses);
    for (int i = 0; i < count; i++) {
        result = sock_connect(sock, &addresses[i]);
        if (result == 0 || (errno != ENETUNREACH && errno != EHOSTUNREACH))
            break;
    }
    free(addresses);
    return result == -1 ? -1 : options_fail(EINPROGRESS);
}
