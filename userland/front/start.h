/* start.h - starts the stack: a process of its own that no program has for a child. */
#ifndef FRONT_START_H
#define FRONT_START_H

#include <sys/socket.h>
#include <sys/un.h>

/*
 * Listens at that address and hands the listening socket to a new stack; where another program has
 * just done so, there is nothing to do. Connections can be made at once. 0, or -1 with errno; what
 * errno cannot tell is said on stderr.
 */
__attribute__((visibility("hidden"))) int start_stack(const struct sockaddr_un *address,
                                                      socklen_t size, unsigned udp_port);

#endif
