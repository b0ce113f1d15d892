/*
 * transfer.h - messages between a program's socket and its association.
 *
 * What one side cannot take yet is held, and nothing more is read from the other: so a program
 * that does not read closes the peer's window, and a window that is closed makes the program's
 * socket unwritable.
 */
#ifndef STACK_TRANSFER_H
#define STACK_TRANSFER_H

#include "socket.h"

/* The program has sent, has read (EPOLLOUT), or has closed its end. */
void transfer_records(struct watch *watch, uint32_t events);

/* Whatever can be moved either way is moved. The socket may be freed by that. */
void transfer_move(struct sock *sock);

/* A notification for the program, in Linux' form. */
void transfer_note(struct sock *sock, const void *note, size_t size);

/*
 * Many programs ask for stream numbers and the like when messages have come already. So the heads of
 * a socket's first messages are kept, until it is clear that the program has read one of them.
 */
void transfer_check_early(struct sock *sock); /* before heads are asked for */
/* which: enum which_head. NULL where nothing is known. */
const struct record_head *transfer_early_head(struct sock *sock, int which);

/* Memory of what is held. */
void transfer_forget(struct sock *sock);

#endif
