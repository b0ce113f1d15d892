/* Messages and connections from records. See receive.h and ../protocol.h. */
#include "receive.h"
#include "ask.h"
#include "send.h"
#include <linux/sctp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <time.h>

#define LONG_WAIT_NS 100000u
#define REST_TIMEOUT_MS 100 /* the rest of a message follows at once, unless it is very long */

/* A call, and what it has found so far. */
struct receive {
    struct msghdr *message;
    size_t room, used; /* for bytes; by ancillary data */
    int fd, marks;
    int flags;  /* MSG_PEEK, MSG_DONTWAIT */
    bool peeks; /* since the program says so */
    int found;  /* msg_flags */
};

/* ---- ancillary data */

static void put_control(struct receive *call, int level, int type, const void *data, size_t size)
{
    struct msghdr *message = call->message;
    size_t room = message->msg_control == NULL ? 0 : message->msg_controllen - call->used;

    if (room < CMSG_LEN(size))
        call->found |= MSG_CTRUNC;
    if (room < CMSG_LEN(0))
        return;
    if (room < CMSG_LEN(size)) /* what there is room for (net/core/scm.c, put_cmsg) */
        size = room - CMSG_LEN(0);
    struct cmsghdr control = {.cmsg_level = level, .cmsg_type = type, .cmsg_len = CMSG_LEN(size)};
    char *at = (char *)message->msg_control + call->used;
    memcpy(at, &control, sizeof(control));
    memcpy(at + CMSG_LEN(0), data, size);
    call->used += room < CMSG_SPACE(size) ? room : CMSG_SPACE(size);
}

static void put_time(struct receive *call, const struct record_head *head)
{
    int name = (int)head->stamp;
    bool micro = name == SO_TIMESTAMP || name == SO_TIMESTAMP_NEW;
    long time[2] = {(long)head->seconds, (long)head->nanoseconds / (micro ? 1000 : 1)};
    int64_t new_time[2] = {time[0], time[1]};

    if (name == SO_TIMESTAMP || name == SO_TIMESTAMPNS)
        put_control(call, SOL_SOCKET, name, time, sizeof(time));
    else if (name != 0)
        put_control(call, SOL_SOCKET, name, new_time, sizeof(new_time));
}

static int peek_offset(int fd)
{
    int offset = 0;
    socklen_t size = sizeof(offset);

    KERNEL(getsockopt, fd, SOL_SOCKET, SO_PEEK_OFF, &offset, &size);
    return offset;
}

static void set_peek_offset(int fd, int offset)
{
    KERNEL(setsockopt, fd, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof(offset));
}

static bool is_head(int fd, const struct record_head *head, ssize_t size)
{
    struct socket_name name;

    return size >= (ssize_t)sizeof(*head) && head->magic == HEAD_MAGIC && name_of(fd, &name) == 0 &&
           head->id == name.id;
}

/* The head of the next message, if there is one, and its size. -1: there is none, or the message came
 * before the program asked for more than its bytes. */
static int look_at_next(int fd, struct record_head *head, size_t *size)
{
    int offset = peek_offset(fd);
    ssize_t got =
        KERNEL(recvfrom, fd, head, sizeof(*head), MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT, NULL, NULL);
    bool has_head = is_head(fd, head, got);

    if (got != -1)
        set_peek_offset(fd, offset);
    *size = got == -1 ? 0 : (size_t)got - (has_head ? sizeof(*head) : 0);
    return has_head ? 0 : -1;
}

/* That of a message that came before: the stack has kept it. */
static int ask_for_head(int fd, struct record_head *head, enum which_head which)
{
    struct question question = {
        .request = {REQUEST_HEAD, .number = (int)which}, .answer = head, .room = sizeof(*head)};

    return ask(fd, &question);
}

/* For Linux the next message is the one that follows, also where this one has not been read to its end;
 * but for MSG_PEEK it is this one. */
static void put_next(struct receive *call, bool is_left)
{
    struct record_head head;
    size_t size;
    int fd = call->fd, offset = peek_offset(fd);

    set_peek_offset(fd, 0);
    if (is_left) {
        ssize_t whole = KERNEL(recvfrom, fd, NULL, 0L, MSG_PEEK | MSG_TRUNC, NULL, NULL);
        set_peek_offset(fd, (int)whole);
    }
    bool has_head = look_at_next(fd, &head, &size) == 0;
    set_peek_offset(fd, offset);
    if (!has_head &&
        (size == 0 || ask_for_head(fd, &head, is_left ? HEAD_SECOND : HEAD_FIRST) == -1))
        return;
    struct sctp_nxtinfo next = {.nxt_sid = head.stream,
                                .nxt_flags = head.sctp_flags,
                                .nxt_ppid = head.ppid,
                                .nxt_length = (uint32_t)size,
                                .nxt_assoc_id = head.association};
    if (head.flags & HEAD_NOTIFICATION)
        next.nxt_flags = MSG_NOTIFICATION;
    put_control(call, IPPROTO_SCTP, SCTP_NXTINFO, &next, sizeof(next));
}

/* In the order of net/sctp/socket.c, sctp_recvmsg. Notifications have none but what comes next. */
static void put_ancillary(struct receive *call, const struct record_head *head, bool ends)
{
    struct sctp_rcvinfo info = {.rcv_sid = head->stream,
                                .rcv_ssn = head->ssn,
                                .rcv_flags = head->sctp_flags,
                                .rcv_ppid = head->ppid,
                                .rcv_tsn = head->tsn,
                                .rcv_cumtsn = head->cumtsn,
                                .rcv_context = head->context,
                                .rcv_assoc_id = head->association};
    struct sctp_sndrcvinfo old_info = {.sinfo_stream = head->stream,
                                       .sinfo_ssn = head->ssn,
                                       .sinfo_flags = head->sctp_flags,
                                       .sinfo_ppid = head->ppid,
                                       .sinfo_context = head->context,
                                       .sinfo_tsn = head->tsn,
                                       .sinfo_cumtsn = head->cumtsn,
                                       .sinfo_assoc_id = head->association};
    bool is_message = (head->flags & HEAD_NOTIFICATION) == 0;

    put_time(call, head);
    if (call->marks & MARK_NXTINFO)
        put_next(call, !call->peeks && (!ends || (call->flags & MSG_PEEK)));
    if ((call->marks & MARK_RCVINFO) && is_message)
        put_control(call, IPPROTO_SCTP, SCTP_RCVINFO, &info, sizeof(info));
    if ((call->marks & MARK_SNDRCV) && is_message)
        put_control(call, IPPROTO_SCTP, SCTP_SNDRCV, &old_info, sizeof(old_info));
}

/* ---- records in parts */

/* After a look at a record from where a part of it begins: the next look goes on behind it, or again
 * from there; what has been read to its end is taken away. */
static void leave_record(struct receive *call, int begin, bool ends)
{
    struct msghdr nothing = {.msg_iovlen = 0};
    int marks = ends ? call->marks & ~MARK_PARTS : call->marks | MARK_PARTS;

    if (call->flags & MSG_PEEK) {
        set_peek_offset(call->fd, begin);
        return;
    }
    if (ends)
        KERNEL(recvmsg, call->fd, &nothing, MSG_DONTWAIT);
    if (marks != call->marks)
        set_marks(call->fd, marks);
    call->marks = marks;
}

static int part_begin(const struct receive *call)
{
    return call->marks & MARK_PARTS ? peek_offset(call->fd) : 0;
}

/* Whoever has room for a whole record takes it at once; else the record stays until its last part
 * has been read, and SO_PEEK_OFF tells how far that is. */
static ssize_t receive_part(struct receive *call, struct msghdr *record, size_t room, int dontwait,
                            int begin, bool *message_ends)
{
    bool whole = room >= CHUNK_SIZE && (call->marks & (MARK_PARTS | MARK_HEAD)) == 0 &&
                 (call->flags & MSG_PEEK) == 0;
    ssize_t got = LIBC(recvmsg)(call->fd, record, whole ? dontwait : dontwait | MSG_PEEK);

    if (got <= 0)
        return got;
    bool ends = (record->msg_flags & MSG_TRUNC) == 0;
    *message_ends = ends && (begin + got != CHUNK_SIZE || (record->msg_flags & MSG_CTRUNC) != 0);
    if (!whole && (call->flags & MSG_PEEK) == 0)
        leave_record(call, begin, ends);
    return got;
}

/* One message, or as much of it as there is room for. */
static ssize_t receive_plain(struct receive *call, int dontwait)
{
    struct iovec parts[call->message->msg_iovlen + 1];
    int begin = part_begin(call);
    size_t total = 0;
    ssize_t got;
    bool ends;

    for (;;) {
        struct msghdr record = {.msg_iov = parts,
                                .msg_iovlen = skip_parts(call->message, total, parts)};
        got = receive_part(call, &record, call->room - total, dontwait, total == 0 ? begin : 0,
                           &ends);
        if (got <= 0)
            break;
        total += (size_t)got;
        if (ends)
            call->found = MSG_EOR;
        if (ends || total == call->room)
            break;
        poll(&(struct pollfd){.fd = call->fd, .events = POLLIN}, 1, REST_TIMEOUT_MS);
        dontwait = MSG_DONTWAIT;
    }
    if (call->flags & MSG_PEEK) /* which has gone on with each part */
        set_peek_offset(call->fd, begin);
    return total > 0 ? (ssize_t)total : got;
}

/* ---- records with heads */

#define NO_HEAD (-2)

/* Looks at the head of the record, and at as much of its message as there is room for behind the
 * part that has been read. */
static ssize_t look_with_head(const struct receive *call, struct record_head *head,
                              struct msghdr *record, int begin, int dontwait)
{
    struct msghdr only_head = {.msg_iov = record->msg_iov, .msg_iovlen = 1};
    int fd = call->fd;

    if (begin == 0) {
        ssize_t got = LIBC(recvmsg)(fd, record, dontwait | MSG_PEEK);
        if (got <= 0)
            return got;
        if (is_head(fd, head, got))
            return got - (ssize_t)sizeof(*head);
        set_peek_offset(fd, 0);
        return NO_HEAD;
    }
    set_peek_offset(fd, 0);
    bool has_head = is_head(fd, head, KERNEL(recvmsg, fd, &only_head, MSG_PEEK | MSG_DONTWAIT));
    set_peek_offset(fd, begin);
    record->msg_iov++;
    record->msg_iovlen--;
    return has_head ? KERNEL(recvmsg, fd, record, MSG_PEEK | MSG_DONTWAIT) : NO_HEAD;
}

static ssize_t receive_with_head(struct receive *call, int dontwait)
{
    struct record_head head;
    struct iovec parts[call->message->msg_iovlen + 1];
    struct msghdr record = {.msg_iov = parts};
    int begin = part_begin(call);

    parts[0] = (struct iovec){&head, sizeof(head)};
    record.msg_iovlen = 1 + skip_parts(call->message, 0, parts + 1);
    ssize_t got = look_with_head(call, &head, &record, begin, dontwait);
    if (got <= 0)
        return got;
    bool ends = (record.msg_flags & MSG_TRUNC) == 0;
    leave_record(call, begin, ends);
    if (ends && (head.flags & HEAD_CONTINUED) == 0)
        call->found |= MSG_EOR;
    if (head.flags & HEAD_NOTIFICATION)
        call->found |= MSG_NOTIFICATION;
    put_ancillary(call, &head, ends);
    return got;
}

/* The message came before the program asked for more than its bytes. */
static void put_early(struct receive *call)
{
    bool ends = (call->found & MSG_EOR) != 0;
    struct record_head head;

    if (ask_for_head(call->fd, &head,
                     ends && (call->flags & MSG_PEEK) == 0 ? HEAD_READ : HEAD_FIRST) != -1)
        put_ancillary(call, &head, ends);
}

/* ---- the call */

static ssize_t receive_once(struct receive *call, int dontwait)
{
    ssize_t got = call->marks & MARK_HEAD ? receive_with_head(call, dontwait) : NO_HEAD;

    if (got != NO_HEAD)
        return got;
    got = receive_plain(call, dontwait);
    if (got > 0 && (call->marks & MARK_HEAD))
        put_early(call);
    return got;
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Whoever asks and is answered at once waits for less than it takes to fall asleep and wake up: a
 * thread whose last wait was as short looks a few times, and lets others run, before it sleeps. */
static ssize_t receive_or_wait(struct receive *call, int dontwait)
{
    static _Thread_local bool waits_long __attribute__((tls_model("initial-exec")));

    for (int i = 0; i < LOOKS && !waits_long; i++) {
        ssize_t got = receive_once(call, MSG_DONTWAIT);
        if (got != -1 || errno != EAGAIN || dontwait)
            return got;
        if (i == 0 && !waits(call->fd, 0))
            return fail(EAGAIN);
        sched_yield();
    }
    uint64_t start_ns = now_ns();
    ssize_t got = receive_once(call, dontwait);
    waits_long = now_ns() - start_ns > LONG_WAIT_NS;
    return got;
}

/* Linux tells of a reset once, and before what there is to read. Without waiting it tells the end of
 * the file, too, before what there is to read, if both have just come (__unix_dgram_recvmsg). */
static ssize_t receive_any(struct receive *call, int dontwait)
{
    ssize_t got = receive_or_wait(call, dontwait);

    if (got == -1 && errno == ECONNRESET)
        got = receive_once(call, dontwait);
    if (got == 0)
        got = receive_once(call, MSG_DONTWAIT);
    return got;
}

/* Why is there nothing to read? 1: a receive may go ahead, 0: the end of the file, or -1 with errno. */
static int may_receive(const struct receive *call)
{
    struct question question = {.request.kind = REQUEST_MAY_RECEIVE};

    if (waits(call->fd, call->flags))
        question.request.flags = REQUEST_BLOCKING;
    return ask(call->fd, &question);
}

/* When an association ends that the program itself has shut down, that is no end of the file: recv
 * fails where it would wait, and poll tells of nothing. (EINPROGRESS: another thread waits.) */
static ssize_t receive_after_shutdown(struct receive *call)
{
    for (;;) {
        struct question question = {.request = {REQUEST_AWAIT_RECORD, .flags = REQUEST_WAIT}};
        ssize_t got = receive_any(call, MSG_DONTWAIT);
        if (got != -1 || errno != EAGAIN || !waits(call->fd, call->flags))
            return got;
        if (may_receive(call) == -1)
            return -1;
        if (ask(call->fd, &question) == -1) {
            if (errno != EINPROGRESS)
                return -1;
            rest();
        }
    }
}

/* Waits for a connection, and leaves it. */
static int await_connection(int fd)
{
    struct msghdr nothing = {.msg_iovlen = 0};

    return (int)LIBC(recvmsg)(fd, &nothing, MSG_PEEK);
}

static ssize_t receive_connected(struct receive *call)
{
    int dontwait = call->flags & MSG_DONTWAIT;
    ssize_t got =
        call->marks & MARK_SHUT_WRITE ? receive_after_shutdown(call) : receive_any(call, dontwait);
    /* The end of the file, or an error: the stack knows which. The peer's SHUTDOWN is the end of one
     * direction for our end of the socket; all else of both. */
    if (got == 0 ? has_event(call->fd, POLLHUP)
                 : got == -1 && (errno == ECONNRESET || errno == ENOTCONN))
        got = may_receive(call) == -1 ? -1 : 0;
    return got;
}

static ssize_t receive_unconnected(struct receive *call)
{
    /* There can be a notification; records of a listener are connections. */
    if ((call->marks & (MARK_HEAD | MARK_LISTENING)) == MARK_HEAD) {
        ssize_t got = receive_any(call, MSG_DONTWAIT);
        if (got > 0)
            return got;
    }
    int may = may_receive(call);
    if (may <= 0)
        return may;
    call->marks = marks_of(call->fd);
    return receive_connected(call);
}

/* No bytes are wanted, but all else that there is to say of a message. */
static void look_only(struct receive *call, struct msghdr *look)
{
    static char byte;
    static struct iovec part = {&byte, 1};

    *look = *call->message;
    look->msg_iov = &part;
    look->msg_iovlen = 1;
    call->message = look;
    call->room = 1;
    call->flags |= MSG_PEEK;
}

ssize_t receive_message(int fd, int marks, struct msghdr *message, int flags)
{
    struct receive call = {.message = message, .fd = fd, .marks = marks};
    struct msghdr look;
    int saved = errno;

    call.flags = flags & (MSG_DONTWAIT | MSG_PEEK);
    call.peeks = (flags & MSG_PEEK) != 0;
    if (bad_pointer(message))
        return fail(EFAULT);
    if (flags & MSG_ERRQUEUE)
        return fail(EAGAIN);
    ssize_t room = total_size(message);
    if (room == -1)
        return -1;
    call.room = (size_t)room;
    if (room == 0)
        look_only(&call, &look);
    ssize_t got = marks & MARK_CONNECTED ? receive_connected(&call) : receive_unconnected(&call);
    if (got == -1)
        return -1;
    if (message->msg_name != NULL &&
        (got == 0 || ask_name(fd, REQUEST_SOURCE, message->msg_name, &message->msg_namelen) == -1))
        message->msg_namelen = 0;
    message->msg_controllen = call.used;
    message->msg_flags =
        (room == 0 ? call.found & ~MSG_EOR : call.found) | (flags & MSG_CMSG_CLOEXEC);
    errno = saved;
    return room == 0 ? 0 : got;
}

int readable_bytes(int fd, int marks)
{
    int begin = peek_offset(fd), all = 0, saved = errno;
    struct record_head head;
    size_t size;

    if (marks & MARK_LISTENING)
        return fail(ENOTCONN);
    bool has_head = look_at_next(fd, &head, &size) == 0;
    errno = saved;
    if (!has_head && (size_t)begin + size == CHUNK_SIZE && KERNEL(ioctl, fd, FIONREAD, &all) == 0)
        return all;
    return (int)size;
}

/* ---- accepting */

/* Takes the next connection, if there is one, and if there is a descriptor for it: else it would be
 * lost. Its descriptor, or -1 with errno. */
static int take_connection(int fd, int flags, struct record_connection *connection)
{
    union descriptor_control control;
    struct iovec part = {connection, sizeof(*connection)};
    struct msghdr record = {.msg_iov = &part, .msg_iovlen = 1};
    int cloexec = flags & SOCK_CLOEXEC ? MSG_CMSG_CLOEXEC : 0, got = -1, accepted = -1;
    sigset_t before;

    expect_descriptor(&record, &control);
    block_signals(&before);
    int reserved = KERNEL(fcntl, fd, F_DUPFD_CLOEXEC, 0);
    if (reserved != -1) {
        KERNEL(close, reserved);
        got = KERNEL(recvmsg, fd, &record, MSG_DONTWAIT | cloexec);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (got == -1)
        return -1;
    accepted = take_descriptor(&record);
    if (accepted == -1)
        errno = got == 0 ? EINVAL : EMFILE;
    return accepted;
}

/* The wait is libc's, with its signals, time limit and cancellation. */
int accept_connection(int fd, int marks, struct sockaddr *address, socklen_t *size, int flags)
{
    struct question lost = {.request.kind = REQUEST_SOCKNAME}; /* which says so */
    struct record_connection connection;
    int saved = errno, accepted;

    if ((flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) || (marks & MARK_LISTENING) == 0)
        return fail(EINVAL);
    while ((accepted = take_connection(fd, flags, &connection)) == -1)
        if (errno != EAGAIN || !waits(fd, 0) || await_connection(fd) == -1)
            return errno == ECONNRESET && ask(fd, &lost) != -1 ? fail(ECONNRESET) : -1;
    if (((flags & SOCK_NONBLOCK) && KERNEL(fcntl, accepted, F_SETFL, O_RDWR | O_NONBLOCK) == -1) ||
        (address != NULL &&
         give_address(connection.address, connection.address_size, address, size) == -1))
        return fail_and_close(accepted);
    errno = saved;
    return accepted;
}
