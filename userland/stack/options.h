/*
 * options.h - getsockopt and setsockopt: Linux' options (6.1), in usrsctp's terms.
 *
 * What returns int returns 0, or -1 with errno as Linux has it.
 */
#ifndef STACK_OPTIONS_H
#define STACK_OPTIONS_H

#include "socket.h"

int options_set(struct sock *sock, int level, int name, const void *value, size_t size);
/* value: what the program's buffer holds, and then what Linux would put there; *size likewise. */
int options_get(struct sock *sock, int level, int name, void *value, socklen_t *size);

/* usrsctp's own options. */
int options_stack_set(struct sock *sock, int level, int name, const void *value, size_t size);
int options_stack_get(struct sock *sock, int level, int name, void *value, size_t size);

int options_prepare(struct sock *sock, struct socket *so); /* a new usrsctp socket */
int options_inherit(struct sock *sock, const struct sock *listener);
void options_free(struct sock *sock);

/* The path MTU that the program has fixed (SPP_PMTUD_DISABLE), in place of another one. */
void options_apply_mtu(struct sock *sock);

int32_t options_association_id(struct sock *sock);
uint32_t options_fragment_size(struct sock *sock); /* of a message in one packet */
/* For wire.h: of the socket with these ports, what it wants of its packets. */
const struct wire_wishes *options_wishes(const struct link *link, uint16_t port,
                                         uint16_t peer_port);
uint16_t options_udp_port(const struct sock *sock); /* the peer's, or 0 */

#endif
