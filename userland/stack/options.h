/*
 * options.h - getsockopt and setsockopt: Linux' options (6.1), in usrsctp's terms.
 *
 * What returns int returns 0, or -1 with errno as Linux has it.
 */
#ifndef STACK_OPTIONS_H
#define STACK_OPTIONS_H

#include "socket.h"

extern const struct socket_options options_defaults;

int options_set(struct sock *sock, int level, int name, const void *value, size_t size);
/* value: what the program's buffer holds, and then what Linux would put there; *size likewise. */
int options_get(struct sock *sock, int level, int name, void *value, socklen_t *size);

/* usrsctp's own options. */
int options_stack_set(struct sock *sock, int level, int name, const void *value, size_t size);
int options_stack_get(struct sock *sock, int level, int name, void *value, size_t size);

void options_prepare(struct sock *sock); /* a new usrsctp socket: it gets what was set so far */
void options_inherit(struct sock *sock, const struct sock *listener);
void options_free(struct sock *sock);

/* The path MTU that the program has fixed (SPP_PMTUD_DISABLE), in place of another one. */
void options_apply_mtu(struct sock *sock);

struct sctp_status options_status(struct sock *sock); /* all zeros without an association */
uint16_t options_stack_policy(uint16_t policy);       /* of partial reliability */
/* For wire.h: of the socket with these ports, what it wants of its packets. */
const struct wire_wishes *options_wishes(const struct link *link, uint16_t port,
                                         uint16_t peer_port);

/* ---- between the files of the options */

/* options.c */
bool options_associated(struct sock *sock); /* for Linux: sctp_id2assoc finds one */
/* The association's if there is one, else the socket's. */
struct shared_values *options_shared(struct sock *sock);
struct path_values *options_path(struct sock *sock); /* likewise */

/* options_sctp.c: level IPPROTO_SCTP */
int options_sctp_set(struct sock *sock, int name, const void *value, size_t size);
int options_sctp_get(struct sock *sock, int name, void *value, socklen_t *size);
void options_sctp_prepare(struct sock *sock);
void options_apply_path(struct sock *sock);

/* options_addresses.c: of that level, lists of addresses */
int options_bindx(struct sock *sock, int name, const void *value, size_t size);
int options_connectx(struct sock *sock, const void *value, size_t size);
int options_get_addresses(struct sock *sock, int name, void *value, socklen_t *size);

/* options_system.c: SOL_SOCKET, IPPROTO_IP, IPPROTO_IPV6 */
int options_system_set(struct sock *sock, int level, int name, const void *value, socklen_t size);
int options_system_get(struct sock *sock, int level, int name, void *value, socklen_t *size);
void options_system_inherit(struct sock *sock, const struct sock *listener);
void options_system_wish(void); /* from now on packets are asked for wishes */

#endif
