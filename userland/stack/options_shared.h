/*
 * options_shared.h - which values count, the socket's or its association's (options_values.h); and
 * what a socket wishes of its packets.
 */
#ifndef STACK_OPTIONS_SHARED_H
#define STACK_OPTIONS_SHARED_H

#include "socket.h"

bool options_associated(struct sock *sock); /* for Linux: sctp_id2assoc finds one */
/* The association's if there is one, else the socket's. */
struct shared_values *options_shared(struct sock *sock);
struct path_values *options_path(struct sock *sock); /* likewise */

void options_wish(void); /* from now on packets are asked for wishes */
/* For wire.h: of the socket with these ports, what it wants of its packets. */
const struct wire_wishes *options_wishes(const struct link *link, uint16_t port,
                                         uint16_t peer_port);

#endif
