/*
 * front.h - what the files of the front offer to each other.
 *
 * There is no table of sockets: what there is to know of one stands in the socket itself, so that it
 * holds for every process that shares it. Nothing takes a lock or memory, so that all of it may be
 * called in signal handlers and after vfork.
 */
#ifndef FRONT_H
#define FRONT_H

#include "../protocol.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- libc's own functions of the names that front.c takes over: what comes behind us in the search
 * order */

#define LIBC_FUNCTIONS(F)                                                                          \
    F(socket), F(bind), F(listen), F(accept), F(accept4), F(connect), F(shutdown), F(getsockname), \
        F(getpeername), F(getsockopt), F(setsockopt), F(send), F(sendto), F(sendmsg), F(sendmmsg), \
        F(write), F(writev), F(recv), F(recvfrom), F(recvmsg), F(recvmmsg), F(read), F(readv),     \
        F(close), F(ioctl), F(dlopen)

#define LIBC_INDEX(name) LIBC_##name
enum libc_index { LIBC_FUNCTIONS(LIBC_INDEX), LIBC_COUNT };

extern void *libc_functions[LIBC_COUNT];
void libc_find(void);

/* They are looked up when the program starts, since dlsym must not be called in a signal handler;
 * or at once where a constructor runs before ours. */
#define LIBC(name)                                                                                 \
    ((libc_functions[LIBC_##name] == NULL ? libc_find() : (void)0),                                \
     (__extension__(__typeof__(&name)) libc_functions[LIBC_##name]))

/* Straight to the kernel: by no name that front.c takes over, and no cancellation point. */
#define KERNEL(call, ...) as_int(syscall(SYS_##call, __VA_ARGS__))

static inline int as_int(long result)
{
    return (int)result;
}

/* ---- errors */

/* Closes a descriptor of ours, and fails with the error that there was before. */
static inline int fail_and_close(int fd)
{
    int error = errno;

    KERNEL(close, fd);
    return fail(error);
}

/* What the kernel would call EFAULT, as far as that can be known without asking it. */
static inline bool bad_pointer(const void *pointer)
{
    return (uintptr_t)pointer < 4096 || (uintptr_t)pointer > (uintptr_t)0x7fffffffffffULL;
}

/* May so much be given to the program? 0, or -1 with errno. */
int check_room(const void *value, const socklen_t *size);
/* As much of a socket's name as there is room for. 0, or -1 with errno. */
int give_address(const void *name, size_t name_size, struct sockaddr *address, socklen_t *size);

/* A line on stderr, in one piece; only once for each flag that is given. Keeps errno. */
void complain(atomic_flag *once, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- ask.c: which descriptors are SCTP sockets of the stack's, and questions to the stack */

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

/* Where a handler that does not return (siglongjmp) would leave something behind. */
void block_signals(sigset_t *before);

/* For a millisecond. */
void rest(void);

/* Runs a function, which ends by _exit, in a child that shares memory with us, but not descriptors,
 * and waits for it. 0, or -1 with errno. */
int run_in_child(int (*function)(void *), void *argument);

/* ---- open.c: as socket(2), with the family of struct socket_name; a stack is started where there is
 * none */

int open_socket(char family, int type, unsigned udp_port);

/* ESTALE: an association could not be set up while nobody waited, so the stack has closed its end for
 * poll to tell; or the socket was shut down without one. It can connect again: a new socket takes its
 * place. 0, or -1 with errno. */
int replace_socket(int fd);

/* ---- send.c, receive.c: one message per call, as SCTP has it (RFC 6458), with its ancillary data.
 * As sendmsg(2), recvmsg(2), accept4(2). */

ssize_t send_message(int fd, int marks, const struct msghdr *message, int flags);
ssize_t receive_message(int fd, int marks, struct msghdr *message, int flags);
int accept_connection(int fd, int marks, struct sockaddr *address, socklen_t *size, int flags);

/* FIONREAD: the bytes that the next read can take. -1 with errno. */
int readable_bytes(int fd, int marks);

/* The sum of all parts, or -1 with errno. */
ssize_t total_size(const struct msghdr *message);

/* The parts behind the first skip bytes. Returns how many they are. */
size_t skip_parts(const struct msghdr *message, size_t skip, struct iovec *parts);

#endif
