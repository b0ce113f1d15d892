/* options_sctp.h - level IPPROTO_SCTP. What returns int returns 0, or -1 with errno. */
#ifndef STACK_OPTIONS_SCTP_H
#define STACK_OPTIONS_SCTP_H

#include "socket.h"

int options_sctp_set(struct sock *sock, int name, const void *value, size_t size);
int options_sctp_get(struct sock *sock, int name, void *value, socklen_t *size);
/* A new usrsctp socket gets what was set so far. */
void options_sctp_prepare(struct sock *sock);

void options_apply_path(struct sock *sock);
/* The path MTU that the program has fixed (SPP_PMTUD_DISABLE), in place of another one. */
void options_apply_mtu(struct sock *sock);

uint16_t options_stack_policy(uint16_t policy); /* of partial reliability */

#endif
