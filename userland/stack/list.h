/* list.h - what the stack has, for people: a line per socket, as ss(8) shows them. */
#ifndef STACK_LIST_H
#define STACK_LIST_H

#include <stddef.h>
#include <stdint.h>

/* Whole lines from the first one on, as many as there is room for. Returns their size; *next is the
 * number of the line after them, 0 when there are no more. */
size_t list_sockets(unsigned first, char *text, size_t room, int32_t *next);

/* For "sctp-stack -l": prints what the stack of this user and that UDP port has. 0, or -1 after
 * saying what failed. */
int list_print(unsigned udp_port);

#endif
