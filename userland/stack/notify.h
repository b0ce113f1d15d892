/* notify.h - notifications (RFC 6458, section 6): usrsctp's structs, rewritten as Linux'. */
#ifndef STACK_NOTIFY_H
#define STACK_NOTIFY_H

#include "socket.h"

#define NOTE_MAX 4096

/* Rewrites one, which is aligned for any struct and has room for some bytes more. Returns its size;
 * 0 for one that Linux does not have, or that the program has not subscribed to (any more). */
size_t notify_translate(const struct sock *sock, void *note, size_t size);
/* What tells of a connect that has failed: usrsctp's own is lost with its socket. */
size_t notify_refusal(const struct sock *sock, struct lx_assoc_change *note);
void notify_subscribe(struct sock *sock); /* usrsctp is told which ones */

#endif
