/* open.h - new sockets, and the start of the stack. */
#ifndef FRONT_OPEN_H
#define FRONT_OPEN_H

#include "ask.h"

/* As socket(2), with the family of struct socket_name; a stack is started where there is none. */
int open_socket(char family, int type, unsigned udp_port);

/*
 * As ask. ESTALE: an association could not be set up while nobody waited, so the stack has closed its
 * end for poll to tell; or the socket was shut down without one. For the program it can connect again:
 * a new socket takes its place, and is asked.
 */
int ask_or_replace(int fd, struct question *question);

#endif
