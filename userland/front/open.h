/* open.h - new sockets, and the start of the stack. */
#ifndef FRONT_OPEN_H
#define FRONT_OPEN_H

/* As socket(2), with the family of struct socket_name; a stack is started where there is none. */
int open_socket(char family, int type, unsigned udp_port);

/* ESTALE: an association could not be set up while nobody waited, so the stack has closed its end for
 * poll to tell; or the socket was shut down without one. It can connect again: a new socket takes its
 * place. 0, or -1 with errno. */
int replace_socket(int fd);

#endif
