/* options_addresses.h - of level IPPROTO_SCTP, lists of addresses. 0, or -1 with errno. */
#ifndef STACK_OPTIONS_ADDRESSES_H
#define STACK_OPTIONS_ADDRESSES_H

#include "socket.h"

int options_bindx(struct sock *sock, int name, const void *value, size_t size);
int options_connectx(struct sock *sock, const void *value, size_t size);
int options_get_addresses(struct sock *sock, int name, void *value, socklen_t *size);

#endif
