/* address.h - an IP address and a port, in the one form that the stack uses inside. */
#ifndef STACK_ADDRESS_H
#define STACK_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* IPv4 is v4-mapped; the wildcard of IPv4 is ::ffff:0.0.0.0. The port is in host order. */
struct address {
    struct in6_addr ip;
    uint32_t scope; /* interface, of a link-local address */
    uint16_t port;
};

bool address_is_v4(const struct in6_addr *ip);
bool address_is_any(const struct in6_addr *ip);
bool address_is_loopback(const struct in6_addr *ip);
bool address_same_ip(const struct address *a, const struct address *b); /* and interface */
/* May it be a peer's? Not "this host", as TCP has it (net/sctp: addr_valid, send_verify). */
bool address_is_usable(const struct address *address);

/* The wildcard of a family: AF_INET or AF_INET6. */
struct address address_any(int family);
struct address address_from_v4(const struct in_addr *v4);
struct address address_from_v6(const struct in6_addr *v6, uint32_t interface);

/* Takes over what bytes of that size hold: AF_INET or AF_INET6. 0, or -1 when neither. */
int address_read(struct address *address, const void *bytes, size_t size);

/* Gives it in the form of a socket of that family, or of its own (AF_UNSPEC). Returns its size. */
socklen_t address_write(const struct address *address, int family, struct sockaddr_storage *to);

#endif
