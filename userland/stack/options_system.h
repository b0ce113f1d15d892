/* options_system.h - SOL_SOCKET, IPPROTO_IP, IPPROTO_IPV6. What returns int returns 0, or -1 with errno. */
#ifndef STACK_OPTIONS_SYSTEM_H
#define STACK_OPTIONS_SYSTEM_H

#include "socket.h"

int options_system_set(struct sock *sock, int level, int name, const void *value, socklen_t size);
int options_system_get(struct sock *sock, int level, int name, void *value, socklen_t *size);
void options_system_inherit(struct sock *sock, const struct sock *listener);
void options_free(struct sock *sock);

#endif
