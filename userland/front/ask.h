/*
 * ask.h - which descriptors are SCTP sockets of the stack's, and questions to the stack.
 *
 * There is no table: what there is to know of a socket stands in the socket itself, so that it
 * holds for every process that shares it. Nothing here takes a lock or memory, so that all of it
 * may be called in signal handlers and after vfork.
 */
#ifndef FRONT_ASK_H
#define FRONT_ASK_H

#include "../protocol.h"
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#define LOOKS 20 /* for what is about to come, before a thread sleeps */

#define LOCAL __attribute__((visibility("hidden")))

/* The marks (MARK_*) of a socket of the stack's, or -1 for any other descriptor. Keeps errno. */
LOCAL int marks_of(int fd);
LOCAL void set_marks(int fd, int marks);

struct answer {
    void *bytes; /* NULL: none is wanted */
    size_t room;
};

/*
 * Asks the stack about a socket, or does something to it; request.id and .size are filled in.
 * Returns the reply's value, or -1 with errno: the stack's, or ECONNRESET when there is no stack
 * any more. With REQUEST_WAIT in its flags it can last, and can be interrupted and cancelled.
 */
LOCAL int ask(int fd, struct request *request, const void *payload, size_t size,
              struct answer *answer);

/* Waits until there is something to read, or the association has ended. 0, or -1 with errno as recv. */
LOCAL int await_message_or_end(int fd);

/* As ask, but the socket is closed first: the request is about its end. */
LOCAL int close_and_ask(int fd, struct request *request);

/* socket(2). udp_port names the stack; one is started where there is none. -1 with errno. */
LOCAL int ask_for_socket(int domain, int type, unsigned udp_port);

/* SCTP_CAPTURE: the stack writes every packet into that open file, too. 0, or -1 with errno. */
LOCAL int ask_to_capture(unsigned udp_port, int fd);

/* 0, or -1 for what is no socket of the stack's. Keeps errno. */
LOCAL int name_of(int fd, struct socket_name *name);

#endif
