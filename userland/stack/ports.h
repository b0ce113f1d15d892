/*
 * ports.h - SCTP ports and local addresses: who is bound to what, as Linux has it.
 *
 * usrsctp itself is only told a port: an AF_CONN endpoint knows no IP addresses, and a port has one
 * listener. Where several sockets listen on one port, for different addresses, the one that is
 * meant becomes that listener just before usrsctp sees who asks; associations it finds by
 * themselves.
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
int ports_may_listen(const struct sock *sock); /* EADDRINUSE where somebody else does already */
/* That one is usrsctp's listener from now on; NULL: there is none. */
int ports_listen(uint16_t port, struct sock *sock);
void ports_join(struct sock *sock, struct sock *listener); /* an accepted socket */
void ports_leave(struct sock *sock);
void ports_move(struct sock *from, struct sock *to); /* to takes from's place */

/* Who listens on that port for that local address? */
struct sock *ports_find_listener(uint16_t port, const struct address *local);
struct sock *ports_find(uint16_t port, const struct link *link, uint16_t peer_port);

#endif
