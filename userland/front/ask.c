/* Questions to the stack. See ask.h and ../protocol.h. */
#include "ask.h"
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/uio.h>
#include <sys/wait.h>

#define ATTEMPTS 10

/* ---- what a socket tells of itself */

int marks_of(int fd)
{
    int value = 0, saved = errno;
    socklen_t size = sizeof(value);

    int result = KERNEL(getsockopt, fd, SOL_SOCKET, SO_RCVLOWAT, &value, &size);
    errno = saved;
    return result == 0 && (value & MARK_MASK) == MARK_MAGIC ? value & ~MARK_MASK : -1;
}

void set_marks(int fd, int marks)
{
    int value = MARK_MAGIC | marks, saved = errno;

    KERNEL(setsockopt, fd, SOL_SOCKET, SO_RCVLOWAT, &value, sizeof(value));
    errno = saved;
}

int name_of(int fd, struct socket_name *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNSPEC};
    socklen_t size = sizeof(address);
    int saved = errno, result = KERNEL(getsockname, fd, &address, &size);

    errno = saved;
    return result == 0 && read_socket_name(&address, size, name) ? 0 : -1;
}

bool waits(int fd, int flags)
{
    return (flags & MSG_DONTWAIT) == 0 && (KERNEL(fcntl, fd, F_GETFL, 0) & O_NONBLOCK) == 0;
}

bool has_event(int fd, short event)
{
    struct pollfd look = {.fd = fd, .events = event};

    return poll(&look, 1, 0) == 1 && (look.revents & event) != 0;
}

int check_room(const void *value, const socklen_t *size)
{
    if (bad_pointer(size) || bad_pointer(value))
        return fail(EFAULT);
    return (int)*size < 0 ? fail(EINVAL) : 0;
}

int give_address(const void *name, size_t name_size, struct sockaddr *address, socklen_t *size)
{
    if (check_room(address, size) == -1)
        return -1;
    memcpy(address, name, *size < name_size ? *size : name_size);
    *size = (socklen_t)name_size;
    return 0;
}

struct address make_address(const char *format, ...)
{
    struct address address = {.name = {.sun_family = AF_UNIX}};
    va_list arguments;

    va_start(arguments, format);
    int length =
        vsnprintf(address.name.sun_path + 1, sizeof(address.name.sun_path) - 1, format, arguments);
    va_end(arguments);
    address.size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1) + (socklen_t)length;
    return address;
}

/* ---- one question */

bool stack_was_lost;

static int connect_to(const struct address *address)
{
    int fd = KERNEL(socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (fd != -1 && KERNEL(connect, fd, &address->name, address->size) == -1)
        return fail_and_close(fd);
    return fd;
}

static int send_question(int connection, const struct question *question)
{
    const struct request *request = &question->request;
    struct iovec parts[2] = {{(void *)(uintptr_t)request, sizeof(*request)},
                             {(void *)(uintptr_t)question->payload, request->size}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    union descriptor_control control;

    if (question->attached != NULL)
        attach_descriptor(&message, &control, *question->attached);
    return KERNEL(sendmsg, connection, &message, MSG_NOSIGNAL);
}

static void close_descriptor(void *fd)
{
    KERNEL(close, *(int *)fd);
}

/* Most replies are there before a thread could fall asleep and wake up again. (0 is no end yet:
 * without waiting, Linux tells the end of the file too early if data and end come just then.) A wait
 * goes through libc, where the thread can be cancelled; the connection is closed then. */
static ssize_t receive_reply(int connection, struct msghdr *message, bool can_last)
{
    ssize_t got = -1;

    for (int i = 0; i < LOOKS; i++) {
        got = KERNEL(recvmsg, connection, message, MSG_DONTWAIT);
        if (got > 0 || (got == -1 && errno != EAGAIN))
            return got;
        sched_yield();
    }
    if (got == 0 || !can_last)
        return got == 0 ? 0 : KERNEL(recvmsg, connection, message, 0);
    pthread_cleanup_push(close_descriptor, &connection);
    got = LIBC(recvmsg)(connection, message, 0);
    pthread_cleanup_pop(0);
    return got;
}

/* Connects, asks, and closes. 0, or -1 with errno. */
static int ask_once(struct question *question)
{
    struct iovec parts[2] = {{&question->reply, sizeof(question->reply)},
                             {question->answer, question->room}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    bool can_last = (question->request.flags & REQUEST_WAIT) != 0;
    int connection = connect_to(&question->stack);

    if (connection == -1)
        return -1;
    if (can_last)
        KERNEL(setsockopt, connection, SOL_SOCKET, SO_RCVTIMEO, &question->limit,
               sizeof(question->limit));
    ssize_t got = send_question(connection, question) == -1
                      ? -1
                      : receive_reply(connection, &message, can_last);
    if (got >= 0)
        errno = ECONNRESET;
    fail_and_close(connection);
    return got < (ssize_t)sizeof(question->reply) ? -1 : 0;
}

static bool is_lost(int error)
{
    return error == ECONNREFUSED || error == EPIPE || error == ENOTCONN || error == ECONNRESET;
}

/* A stack that was about to end, and goes on, cannot be reached for a moment (stack/main.c); and one
 * that has no descriptor for us turns us away. */
static void ask_repeatedly(struct question *question)
{
    int result = ask_once(question);

    for (int i = 1; i < ATTEMPTS && result == -1 && is_lost(errno); i++) {
        rest();
        result = ask_once(question);
    }
    question->error = result == -1 ? errno : 0;
}

/* There is room for a descriptor after a close. */
static int ask_in_child(void *argument)
{
    struct question *question = argument;

    KERNEL(close, question->attached != NULL && *question->attached == STDIN_FILENO);
    ask_repeatedly(question);
    _exit(0);
}

/* A handler that does not return would leave a connection behind. The program may have no descriptor
 * left: the calls of a kernel's SCTP need none. */
int ask_stack(unsigned uid, unsigned udp_port, struct question *question)
{
    static atomic_flag said = ATOMIC_FLAG_INIT;
    bool can_last = (question->request.flags & REQUEST_WAIT) != 0;
    int saved = errno;
    sigset_t before;

    question->stack = make_address(PROTOCOL_STACK_FORMAT, uid, udp_port);
    if (!can_last)
        block_signals(&before);
    ask_repeatedly(question);
    if (!can_last)
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (question->error == EMFILE)
        (void)run_in_child(ask_in_child, question);
    question->room = question->reply.size;
    if (is_lost(question->error)) {
        complain(&said, "sctp-stack %s",
                 question->error == ECONNREFUSED ? "has ended: its connections are reset"
                                                 : "turns this program away");
        stack_was_lost = true;
        question->error = ECONNRESET;
    }
    int error = question->error != 0 ? question->error : question->reply.error;
    errno = error == 0 ? saved : error;
    return error == 0 ? question->reply.value : -1;
}

/* ---- questions about a socket */

/* What has changed with the answer. A record may have 32 bytes less than SO_SNDBUF says
 * (net/unix/af_unix.c), and Linux doubles what it is told (socket(7)). */
static void update_socket(int fd, int before, const struct question *question)
{
    const struct request *request = &question->request;
    int after = (int)question->reply.marks | (before & MARK_PARTS);
    int half = question->reply.send_buffer / 2 + 16;
    bool resizes = request->kind == REQUEST_SET && request->level == SOL_SOCKET &&
                   request->number == SO_SNDBUF;

    if ((after & MARK_CONNECTED) && (resizes || (before & MARK_CONNECTED) == 0))
        KERNEL(setsockopt, fd, SOL_SOCKET, SO_SNDBUF, &half, sizeof(half));
    if (after != before)
        set_marks(fd, after);
}

int ask(int fd, struct question *question)
{
    struct request *request = &question->request;
    bool closes = request->kind == REQUEST_LINGER;
    socklen_t limit_size = sizeof(question->limit);
    struct socket_name name;
    int before = marks_of(fd);

    if (name_of(fd, &name) == -1)
        return fail(EBADF);
    request->id = name.id;
    if (closes)
        KERNEL(close, fd);
    else if (name.uid != (unsigned)geteuid()) /* since it was opened: who has the socket may ask */
        question->attached = &fd;
    if (!closes && (request->flags & REQUEST_WAIT)) /* the socket's own time limit counts */
        KERNEL(getsockopt, fd, SOL_SOCKET,
               request->kind == REQUEST_AWAIT_RECORD ? SO_RCVTIMEO : SO_SNDTIMEO, &question->limit,
               &limit_size);
    int result = ask_stack(name.uid, name.udp_port, question);
    if (question->error == 0 && !closes)
        update_socket(fd, before, question);
    return result;
}

int ask_name(int fd, enum request_kind kind, struct sockaddr *address, socklen_t *size)
{
    struct sockaddr_storage name;
    struct question question = {.request.kind = kind, .answer = &name, .room = sizeof(name)};

    if (ask(fd, &question) == -1)
        return -1;
    return give_address(&name, question.room, address, size);
}
