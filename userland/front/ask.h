/* ask.h - which descriptors are SCTP sockets of the stack's, and questions to the stack. */
#ifndef FRONT_ASK_H
#define FRONT_ASK_H

#include "libc.h"

#define LOOKS 20 /* for what is about to come, before a thread sleeps */

/* The marks (MARK_*) of a socket of the stack's, or -1 for any other descriptor. Keeps errno. */
int marks_of(int fd);
void set_marks(int fd, int marks);

/* Its name. 0, or -1. Keeps errno. */
int name_of(int fd, struct socket_name *name);

/* Would poll tell of it at once? */
bool has_event(int fd, short event);

/* Is a call with these flags (MSG_DONTWAIT) to wait? */
bool waits(int fd, int flags);

/* An abstract address; printf makes the text. */
struct address {
    struct sockaddr_un name;
    socklen_t size;
};
struct address make_address(const char *format, ...) __attribute__((format(printf, 1, 2)));

struct question {
    struct request request; /* its .id is filled in */
    const void *payload;    /* request.size of it */
    void *answer;
    size_t room;         /* for the answer; then: how much there is */
    const int *attached; /* a descriptor that goes along, or NULL */

    struct address stack; /* this and the rest is filled in */
    struct reply reply;
    int error;
    struct timeval limit; /* of a wait */
};

/*
 * Asks the stack about a socket, or does something to it. Returns the reply's value, or -1 with
 * errno: the stack's, or ECONNRESET when there is no stack any more. With REQUEST_WAIT in its flags
 * it can last, and can be interrupted and cancelled. REQUEST_LINGER closes the socket first.
 */
int ask(int fd, struct question *question);

/* REQUEST_SOCKNAME and its like. As getsockname(2). */
int ask_name(int fd, enum request_kind kind, struct sockaddr *address, socklen_t *size);

/* The same where it is about no socket. */
int ask_stack(unsigned uid, unsigned udp_port, struct question *question);

/* Has a question remained without a reply? */
extern bool stack_was_lost;

/* May so much be given to the program? 0, or -1 with errno. */
int check_room(const void *value, const socklen_t *size);
/* As much of a socket's name as there is room for. 0, or -1 with errno. */
int give_address(const void *name, size_t name_size, struct sockaddr *address, socklen_t *size);

#endif
