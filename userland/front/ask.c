/* Questions to the stack, and new sockets. See ask.h and ../protocol.h. */
#include "ask.h"
#include "start.h"
#include "system.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/un.h>
#include <sys/wait.h>

int marks_of(int fd)
{
    int value = 0, saved = errno;
    socklen_t size = sizeof(value);

    int result = k_getsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &value, &size);
    errno = saved;
    return result == 0 && (value & MARK_MASK) == MARK_MAGIC ? value & ~MARK_MASK : -1;
}

void set_marks(int fd, int marks)
{
    int value = MARK_MAGIC | marks, saved = errno;

    k_setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &value, sizeof(value));
    errno = saved;
}

#define CHILD_STACK_SIZE 32768

/* ---- names */

struct name {
    struct sockaddr_un address;
    socklen_t size;
};

static struct name abstract_name(const char *text)
{
    struct name name = {.address = {.sun_family = AF_UNIX}};

    size_t length = strnlen(text, sizeof(name.address.sun_path) - 1);
    memcpy(name.address.sun_path + 1, text, length);
    name.size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length);
    return name;
}

static struct name stack_name(unsigned udp_port)
{
    char text[64];

    snprintf(text, sizeof(text), PROTOCOL_STACK_FORMAT, (unsigned)geteuid(), udp_port);
    return abstract_name(text);
}

/* Which socket is it, and whose? 0, or -1 for one that the stack does not know. Keeps errno. */
int name_of(int fd, struct socket_name *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNSPEC};
    socklen_t size = sizeof(address);
    int saved = errno, result = k_getsockname(fd, &address, &size);

    errno = saved;
    return result == 0 && read_socket_name(&address, size, name) ? 0 : -1;
}

/* ---- one question */

/* The socket's own time limit for connect and send is the question's, too. */
static void limit_wait(int fd, int connection)
{
    struct timeval limit;
    socklen_t size = sizeof(limit);

    if (k_getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, &size) == 0)
        k_setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &limit, size);
}

static int send_request(int connection, const struct request *request, const void *payload)
{
    struct iovec parts[2] = {{(void *)(uintptr_t)request, sizeof(*request)},
                             {(void *)(uintptr_t)payload, payload == NULL ? 0 : request->size}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t sent;

    do
        sent = k_sendmsg(connection, &message, MSG_NOSIGNAL);
    while (sent == -1 && errno == EINTR);
    return sent == -1 ? -1 : 0;
}

static void close_descriptor(void *fd)
{
    k_close(*(int *)fd);
}

/* A wait goes through libc, where the thread can be cancelled; the connection is closed then. */
static ssize_t receive_reply(int connection, struct msghdr *message, bool waits)
{
    ssize_t got;

    if (waits) {
        pthread_cleanup_push(close_descriptor, &connection);
        got = recvmsg(connection, message, 0);
        pthread_cleanup_pop(0);
        return got;
    }
    /* Most replies are there before a thread could fall asleep and wake up again. (0 is no end yet:
     * without waiting, Linux tells the end of the file too early if data and end come just then.) */
    for (int i = 0; i < LOOKS; i++) {
        got = k_recvmsg(connection, message, MSG_DONTWAIT);
        if (got > 0 || (got == -1 && errno != EAGAIN))
            break;
        sched_yield();
    }
    while (got == -1 && (errno == EINTR || errno == EAGAIN))
        got = k_recvmsg(connection, message, 0);
    return got;
}

static int exchange(int connection, const struct request *request, const void *payload,
                    struct answer *answer, struct reply *reply)
{
    struct iovec parts[2] = {
        {reply, sizeof(*reply)},
        {answer == NULL ? NULL : answer->bytes, answer == NULL ? 0 : answer->room}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};

    if (send_request(connection, request, payload) == -1)
        return -1;
    ssize_t got = receive_reply(connection, &message, (request->flags & REQUEST_WAIT) != 0);
    if (got == -1)
        return -1;
    if (got < (ssize_t)sizeof(*reply)) {
        errno = ECONNRESET;
        return -1;
    }
    if (answer != NULL)
        answer->room = reply->size;
    return 0;
}

/* A stack that was about to end, and goes on, cannot be reached for a moment (stack/main.c). */
static int connect_name(const struct name *name)
{
    int fd = k_socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (fd == -1)
        return -1;
    for (int attempts = 0; attempts < 10; attempts++) {
        if (k_connect(fd, &name->address, name->size) == 0)
            return fd;
        if (errno != ECONNREFUSED)
            break;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        errno = ECONNREFUSED;
    }
    int error = errno;
    k_close(fd);
    errno = error;
    return -1;
}

/* A question to the stack at that address: connects, asks, and closes. */
struct question {
    struct name stack;
    struct request *request;
    const void *payload;
    struct answer *answer;
    struct reply *reply;
    int fd; /* whose time limit holds, and what is closed first if that is wanted */
    bool closes;
    int error; /* an errno, or 0 */
};

static void ask_question(struct question *question)
{
    unsigned flags = question->request->flags;
    int connection = connect_name(&question->stack), result = connection == -1 ? -1 : 0;

    if (result == 0 && (flags & REQUEST_WAIT) && !question->closes)
        limit_wait(question->fd, connection);
    if (question->closes)
        k_close(question->fd);
    if (result == 0)
        result = exchange(connection, question->request, question->payload, question->answer,
                          question->reply);
    question->error = result == -1 ? errno : 0;
    if (connection != -1)
        k_close(connection);
}

/* In a child that shares memory with us, but not descriptors: there is room for one after a close. */
static int ask_in_child(void *argument)
{
    struct question *question = argument;

    k_close(question->fd);
    ask_question(question);
    _exit(0);
}

/* The program may have no descriptor left; the calls of a kernel's SCTP need none. */
static void ask_without_descriptor(struct question *question)
{
    _Alignas(16) char child_stack[CHILD_STACK_SIZE];
    sigset_t before;

    block_signals(&before);
    question->error = EMFILE;
    pid_t child =
        clone(ask_in_child, child_stack + sizeof(child_stack), CLONE_VM | CLONE_VFORK, question);
    if (child != -1)
        while (syscall(SYS_wait4, child, NULL, __WCLONE, NULL) == -1 && errno == EINTR)
            continue;
    restore_signals(&before);
}

/* The stack has ended, or lost the socket: that is what a reset looks like. */
static bool stack_was_lost;

static int lost(void)
{
    int error = errno;

    if (error != ECONNREFUSED && error != EPIPE && error != ENOTCONN && error != ECONNRESET)
        return -1;
    if (!stack_was_lost)
        fprintf(stderr, "%s: sctp-stack has ended: its connections are reset\n",
                program_invocation_short_name);
    stack_was_lost = true;
    errno = ECONNRESET;
    return -1;
}

/* A record may have 32 bytes less than SO_SNDBUF says (net/unix/af_unix.c), and Linux doubles what it
 * is told (socket(7)). */
static void set_send_buffer(int fd, int size)
{
    int half = size / 2 + 16;

    k_setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &half, sizeof(half));
}

/* 0, or -1 with errno. */
static int find_stack(struct question *question)
{
    struct socket_name name;
    char text[64];

    if (name_of(question->fd, &name) == -1) {
        errno = EBADF;
        return -1;
    }
    question->request->id = name.id;
    snprintf(text, sizeof(text), PROTOCOL_STACK_FORMAT, name.uid, name.udp_port);
    question->stack = abstract_name(text);
    return 0;
}

static int put_question(struct question *question)
{
    bool waits = (question->request->flags & REQUEST_WAIT) != 0;
    sigset_t before;

    if (find_stack(question) == -1)
        return -1;
    if (!waits)
        block_signals(&before);
    ask_question(question);
    if (!waits)
        restore_signals(&before);
    if (question->error == EMFILE && !question->closes)
        ask_without_descriptor(question);
    errno = question->error;
    if (errno == 0)
        return 0;
    if (question->answer != NULL)
        question->answer->room = 0;
    return lost();
}

int ask(int fd, struct request *request, const void *payload, size_t size, struct answer *answer)
{
    struct reply reply = {0};
    struct question question = {
        .request = request, .payload = payload, .answer = answer, .reply = &reply, .fd = fd};
    int before = marks_of(fd), saved = errno;

    if (payload != NULL)
        request->size = (uint32_t)size;
    if (put_question(&question) == -1)
        return -1;
    int after = (int)reply.marks | (before & MARK_PARTS);
    bool resizes = request->kind == REQUEST_SET && request->level == SOL_SOCKET &&
                   request->number == SO_SNDBUF;
    if ((after & MARK_CONNECTED) && (resizes || (before & MARK_CONNECTED) == 0))
        set_send_buffer(fd, reply.send_buffer);
    if (after != before)
        set_marks(fd, after);
    errno = reply.error == 0 ? saved : reply.error;
    return reply.error == 0 ? reply.value : -1;
}

/* How long may a recv wait? In milliseconds, -1 for ever. */
static int receive_timeout_ms(int fd)
{
    struct timeval limit = {.tv_sec = 0};
    socklen_t size = sizeof(limit);

    if (k_getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, &size) == -1 ||
        (limit.tv_sec == 0 && limit.tv_usec == 0))
        return -1;
    return limit.tv_sec > 1000000 ? -1 : (int)(limit.tv_sec * 1000 + (limit.tv_usec + 999) / 1000);
}

int await_message_or_end(int fd)
{
    struct request request = {.kind = REQUEST_AWAIT_END, .flags = REQUEST_WAIT};
    struct question question = {.request = &request, .fd = fd};

    if (find_stack(&question) == -1)
        return -1;
    int connection = connect_name(&question.stack), ready = -1;
    if (connection == -1)
        return lost();
    pthread_cleanup_push(close_descriptor, &connection);
    struct pollfd either[2] = {{.fd = fd, .events = POLLIN}, {.fd = connection, .events = POLLIN}};
    if (send_request(connection, &request, NULL) == 0)
        ready = poll(either, 2, receive_timeout_ms(fd));
    pthread_cleanup_pop(0);
    int error = ready == 0 ? EAGAIN : errno;
    k_close(connection);
    errno = error;
    return ready > 0 ? 0 : -1;
}

int close_and_ask(int fd, struct request *request)
{
    struct reply reply;
    struct question question = {.request = request, .reply = &reply, .fd = fd, .closes = true};
    int saved = errno;

    (void)put_question(&question);
    errno = saved;
    return 0;
}

/* ---- a new socket */

/* A name that no other socket has. */
static int bind_to_id(int fd, int domain, unsigned udp_port)
{
    unsigned long long id = 0;
    char text[96];

    for (int i = 0; i < 100; i++) {
        if (getrandom(&id, sizeof(id), GRND_NONBLOCK) != sizeof(id))
            id =
                (unsigned long long)(uintptr_t)&id * 2654435761u + (unsigned)getpid() + (unsigned)i;
        snprintf(text, sizeof(text), PROTOCOL_SOCKET_FORMAT, (unsigned)geteuid(), udp_port,
                 domain == AF_INET ? '4' : '6', id);
        struct name name = abstract_name(text);
        if (k_bind(fd, &name.address, name.size) == 0)
            return 0;
        if (errno != EADDRINUSE)
            return -1;
    }
    return -1;
}

/* Anybody can have taken the stack's address. */
static int check_owner(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);

    if (k_getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == -1)
        return -1;
    if (peer.uid == geteuid() || peer.uid == 0)
        return 0;
    errno = EACCES;
    return -1;
}

static int connect_to_stack(int fd, unsigned udp_port)
{
    struct name name = stack_name(udp_port);

    for (int attempts = 0; attempts < 1000; attempts++) {
        if (k_connect(fd, &name.address, name.size) == 0)
            return check_owner(fd);
        if (errno == EINTR)
            continue;
        if (errno != ECONNREFUSED || start_stack(&name.address, name.size, udp_port) == -1)
            return -1;
    }
    return -1;
}

/* See FILLER_SIZE. */
static int prepare(int fd)
{
    static const char filler[FILLER_SIZE];
    struct iovec part = {(void *)(uintptr_t)filler, sizeof(filler)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    int smallest = 1, zero = 0;

    if (k_setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &smallest, sizeof(smallest)) == -1 ||
        k_setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &zero, sizeof(zero)) == -1 ||
        k_sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == -1)
        return -1;
    set_marks(fd, 0);
    return 0;
}

int ask_to_capture(unsigned udp_port, int fd)
{
    struct request request = {.kind = REQUEST_CAPTURE};
    struct reply reply = {.error = 0};
    struct name name = stack_name(udp_port);
    union descriptor_control control;
    struct iovec part = {&request, sizeof(request)}, answer = {&reply, sizeof(reply)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    int connection = connect_name(&name);

    if (connection == -1)
        return -1;
    attach_descriptor(&message, &control, fd);
    ssize_t sent = k_sendmsg(connection, &message, MSG_NOSIGNAL);
    message = (struct msghdr){.msg_iov = &answer, .msg_iovlen = 1};
    ssize_t got = sent == -1 ? -1 : receive_reply(connection, &message, false);
    k_close(connection);
    if (got == sizeof(reply))
        errno = reply.error;
    return got == sizeof(reply) && reply.error == 0 ? 0 : -1;
}

/* A stack that has been killed can be connected to until the kernel has closed all that it had. */
static bool is_answered(int fd)
{
    struct request request = {.kind = REQUEST_SOCKNAME};

    return ask(fd, &request, NULL, 0, NULL) != -1;
}

static int try_socket(int domain, int type, unsigned udp_port)
{
    int fd = k_socket(AF_UNIX, SOCK_SEQPACKET | (type & SOCK_CLOEXEC), 0);

    if (fd == -1)
        return -1;
    if (bind_to_id(fd, domain, udp_port) == 0 && connect_to_stack(fd, udp_port) == 0 &&
        prepare(fd) == 0 &&
        ((type & SOCK_NONBLOCK) == 0 || k_fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) == 0))
        return fd;
    int error = errno;
    k_close(fd);
    errno = error;
    return -1;
}

int ask_for_socket(int domain, int type, unsigned udp_port)
{
    for (int attempts = 0; attempts < 1000; attempts++) {
        int fd = try_socket(domain, type, udp_port);
        if (fd == -1 || !stack_was_lost || is_answered(fd))
            return fd;
        k_close(fd);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    errno = ECONNRESET;
    return -1;
}
