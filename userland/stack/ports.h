/*
 * ports.h - SCTP ports and local addresses: who is bound to what, as Linux has it.
 *
 * usrsctp itself is only told a port: an AF_CONN endpoint knows no IP addresses. Where two sockets
 * listen on one port, for different addresses, the second one has another port inside of usrsctp,
 * and so has what it accepts; wire.c exchanges the two in each packet. What connects always has the
 * same port inside and outside.
 *
 * What returns int returns 0, or -1 with errno as Linux has it (net/sctp/socket.c).
 */
#ifndef STACK_PORTS_H
#define STACK_PORTS_H

#include "socket.h"

int ports_bind(struct sock *sock, const struct address *address);
/* If it is not bound yet. Call it before listen and connect: one that is closed gets its own port
 * back as inner port, whatever it had while it listened before. */
int ports_bind_any(struct sock *sock);
int ports_add(struct sock *sock, const struct address *addresses, unsigned count);
int ports_remove(struct sock *sock, const struct address *addresses, unsigned count);
/* Before the usrsctp socket is bound: chooses the inner port. EADDRINUSE where somebody else
 * listens already, or all inner ports are in use. */
int ports_claim_listening(struct sock *sock);
void ports_join(struct sock *sock, struct sock *listener); /* an accepted socket */
void ports_leave(struct sock *sock);
void ports_move(struct sock *from, struct sock *to); /* to takes from's place */

/* Who listens on that port for that local address? taken: somebody does, for another one. */
struct sock *ports_find_listener(uint16_t port, const struct address *local, bool *taken);
struct sock *ports_find(uint16_t port, const struct link *link, uint16_t peer_port);
struct sock *ports_find_connecting(uint16_t port, const struct link *link);
/* For whom is a new association? 0: for nobody, and that port is the inner one of others. */
uint16_t ports_inner(uint16_t port, const struct address *local);
uint16_t ports_outer(uint16_t inner_port);

#endif
