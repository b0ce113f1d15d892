/* list.h - what the stack has, for people: a line per socket, as ss(8) shows them. */
#ifndef STACK_LIST_H
#define STACK_LIST_H

/* Into a file in memory (memfd_create): no other is sure to take all at once. Closes it. 0, or -1 with
 * errno. */
int list_sockets(int fd);

/* For "sctp-stack -l": prints what the stack of this user and that UDP port has. 0, or -1 after
 * saying what failed. */
int list_print(unsigned udp_port);

#endif
