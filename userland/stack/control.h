/*
 * control.h - what programs ask for: requests and replies (../protocol.h).
 */
#ifndef STACK_CONTROL_H
#define STACK_CONTROL_H

#include "socket.h"
#include <sys/un.h>

/* What a program's end of a connection is called: a socket's has a name (../protocol.h). */
struct program {
    struct sockaddr_un name;
    socklen_t size;
};

/* As accept(2). */
int control_accept(int listener, struct program *program);

/*
 * fd is either the stack's end of a new socket, or a connection for a request. Programs of other
 * users may only ask, and only about sockets that they have. fd becomes the stack's.
 */
void control_serve(int fd, const struct program *program);

/* For struct sock_handlers: what somebody may wait for has happened. */
void control_settled(struct sock *sock, int error);
void control_moved(struct sock *sock); /* a record came, or the association has ended */
void control_freed(struct sock *sock);

#endif
