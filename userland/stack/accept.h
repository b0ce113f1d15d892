/* accept.h - associations that come in over a listening socket, on their way to the program. */
#ifndef STACK_ACCEPT_H
#define STACK_ACCEPT_H

#include "socket.h"

/* Takes all that usrsctp has, and offers them to the program as far as the kernel has room. */
void accept_connections(struct sock *listener);

/* How many wait. */
unsigned accept_count(const struct sock *listener);

/* Whether one more may wait: as everywhere on Linux, one more than the backlog. */
bool accept_has_room(const struct sock *listener);

/* Whether the program has fetched it; true for one that did not come in over a listening socket. */
bool accept_is_done(const struct sock *sock);

/* The listener is closed: those that nobody has accepted end with it. */
void accept_forget(struct sock *listener);

#endif
