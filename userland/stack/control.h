/*
 * control.h - what programs ask for: requests and replies (../protocol.h).
 */
#ifndef STACK_CONTROL_H
#define STACK_CONTROL_H

#include "socket.h"

/*
 * A program has connected: fd is either the stack's end of a new socket, or a connection for a
 * request. Programs of other users may only ask, and only about sockets that they have. fd
 * becomes the stack's.
 */
void control_accept(int fd);

/* For struct sock_handlers: what somebody may wait for has happened. */
void control_settled(struct sock *sock, int error);
void control_moved(struct sock *sock); /* a record came, or the association has ended */
void control_freed(struct sock *sock);

#endif
