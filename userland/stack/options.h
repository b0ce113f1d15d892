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

/* For struct sock_handlers. */
void options_open(struct sock *sock);
void options_prepare(struct sock *sock);
void options_inherit(struct sock *sock, const struct sock *listener);

#endif
