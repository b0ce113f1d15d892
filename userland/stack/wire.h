/*
 * wire.h - SCTP packets to and from UDP (RFC 6951).
 *
 * usrsctp runs on AF_CONN sockets: packets go in and out through functions of ours, and what it
 * takes for the address of a peer is a pointer of ours, to a link.
 */
#ifndef STACK_WIRE_H
#define STACK_WIRE_H

#include "address.h"

/* Listeners are found on one UDP port; associations go out from another one, of the kernel's
 * choice. Both ends of an association may be in this stack. */
enum wire_side { WIRE_LISTEN, WIRE_CONNECT, WIRE_SIDES };

/* A way to a peer host: what the addresses of one UDP datagram say. */
struct link {
    struct address remote; /* port: UDP */
    struct address local;  /* port: UDP, of that side */
    enum wire_side side;
    unsigned users; /* sockets that have it: it stays theirs */
    uint64_t used_ns;
    struct link *next;
};

/* What a socket wants of the packets that it sends. 0: as always. */
struct wire_wishes {
    uint32_t ttl, mark, device;
    bool fragments; /* IP may cut them into pieces */
};

/* What the upper layer does with what comes in, and knows of what goes out. */
struct wire_handlers {
    /* An INIT or COOKIE ECHO for that port is about to go to usrsctp. */
    void (*asked)(uint16_t port, const struct address *local);
    /* A packet of the handshake's, from the peer, is about to go to the stack (before: true),
     * or has gone there. */
    void (*handshake)(struct link *link, uint16_t port, uint16_t peer_port, bool before);
    /* Of the socket with these ports; NULL: none. */
    const struct wire_wishes *(*wishes)(const struct link *link, uint16_t port, uint16_t peer_port);
    /* ICMP: nobody is there. */
    void (*refused)(const struct address *remote);
};

/* Opens nothing yet. handlers stay the caller's. */
void wire_start(uint16_t udp_port, const struct wire_handlers *handlers);
uint16_t wire_udp_port(enum wire_side side); /* of WIRE_CONNECT, while it is open */

/* Opens that UDP socket, if it is not open. 0, or -1 with errno (EADDRINUSE). */
int wire_open(enum wire_side side);

/* The link for these addresses, a new one if there is none; NULL without memory, or with too many
 * of them. That side must be open. */
struct link *wire_link(const struct address *remote, const struct address *local,
                       enum wire_side side);
/* After usrsctp_finish, with no socket left: another usrsctp would know none of the links, and
 * another stack may want the port. */
void wire_end(void);

/* Which local address leads to the remote one, and how large may an IP packet be there?
 * 0, or -1 with errno (ENETUNREACH ...). */
int wire_route(const struct address *remote, struct address *local, uint32_t *mtu);

/* For usrsctp_init: sends a packet over a link. */
int wire_output(void *link, void *packet, size_t size, uint8_t tos, uint8_t set_df);

#endif
