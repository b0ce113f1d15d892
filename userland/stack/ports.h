/*
 * ports.h - SCTP ports and local addresses: who is bound to what, as Linux has it.
 *
 * usrsctp itself is only told a port: an AF_CONN endpoint knows no IP addresses. Where two sockets
 * share a port but not an address, the second one has another port inside of usrsctp, which wire.c
 * puts in place of the real one in each packet.
 *
 * What returns int returns 0, or -1 with errno as Linux has it (net/sctp/socket.c).
 */
#ifndef STACK_PORTS_H
#define STACK_PORTS_H

#include "socket.h"

int ports_bind(struct sock *sock, const struct address *address);
int ports_bind_any(struct sock *sock); /* if it is not bound yet */
int ports_add(struct sock *sock, const struct address *addresses, unsigned count);
int ports_remove(struct sock *sock, const struct address *addresses, unsigned count);
int ports_claim_listening(struct sock *sock); /* EADDRINUSE where somebody listens already */
void ports_join(struct sock *sock, struct sock *listener); /* an accepted socket */
void ports_leave(struct sock *sock);

/* Who listens on that port for that local address? taken: somebody does, for another one. */
struct sock *ports_find_listener(uint16_t port, const struct address *local, bool *taken);
struct sock *ports_find_connecting(uint16_t port, const struct link *link);
uint16_t ports_inner(uint16_t port, const struct address *local);
uint16_t ports_outer(uint16_t inner_port);

#endif
