/* Messages and connections, from and to records. See messages.h and ../protocol.h. */
#include "messages.h"
#include "ask.h"
#include "libc.h"
#include "system.h"
#include <errno.h>
#include <limits.h>
#include <linux/sctp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <time.h>

#define SEND_BUFFER_MIN 4096 /* no send buffer is smaller */
#define LONG_WAIT_NS 100000u
#define REST_TIMEOUT_MS 100 /* the rest of a message follows at once, unless it is very long */

/* ---- vectors */

/* The sum of all parts, or -1 with errno as the kernel has it. */
static ssize_t total_size(const struct msghdr *message)
{
    size_t total = 0;

    if (message->msg_iovlen > IOV_MAX) {
        errno = EMSGSIZE;
        return -1;
    }
    if (message->msg_iovlen > 0 && bad_pointer(message->msg_iov)) {
        errno = EFAULT;
        return -1;
    }
    for (size_t i = 0; i < message->msg_iovlen; i++) {
        if (message->msg_iov[i].iov_len > SSIZE_MAX - total) {
            errno = EINVAL;
            return -1;
        }
        if (message->msg_iov[i].iov_len > 0 && bad_pointer(message->msg_iov[i].iov_base)) {
            errno = EFAULT;
            return -1;
        }
        total += message->msg_iov[i].iov_len;
    }
    return (ssize_t)total;
}

/* The parts behind the first skip bytes. Returns how many they are. */
static size_t skip_parts(const struct msghdr *message, size_t skip, struct iovec *parts)
{
    size_t count = 0;

    for (size_t i = 0; i < message->msg_iovlen; i++) {
        struct iovec part = message->msg_iov[i];
        size_t cut = skip < part.iov_len ? skip : part.iov_len;
        skip -= cut;
        part.iov_base = (char *)part.iov_base + cut;
        part.iov_len -= cut;
        if (part.iov_len > 0)
            parts[count++] = part;
    }
    return count;
}

/* ---- ancillary data of a send (RFC 6458, section 5.3) */

struct send_info {
    struct record_head head;
    bool given, has_init;
    struct sctp_initmsg init;
};

static void take_sndrcv(struct record_head *head, const void *data)
{
    struct sctp_sndrcvinfo info;

    memcpy(&info, data, sizeof(info));
    head->stream = info.sinfo_stream;
    head->sctp_flags = info.sinfo_flags;
    head->ppid = info.sinfo_ppid;
    head->context = info.sinfo_context;
    head->policy = info.sinfo_flags & SCTP_PR_SCTP_MASK;
    head->policy_value = info.sinfo_timetolive;
    if (head->policy == 0 && info.sinfo_timetolive > 0)
        head->policy = SCTP_PR_SCTP_TTL;
}

static void take_sndinfo(struct record_head *head, const void *data)
{
    struct sctp_sndinfo info;

    memcpy(&info, data, sizeof(info));
    head->stream = info.snd_sid;
    head->sctp_flags = info.snd_flags;
    head->ppid = info.snd_ppid;
    head->context = info.snd_context;
}

static void take_prinfo(struct record_head *head, const void *data)
{
    struct sctp_prinfo info;

    memcpy(&info, data, sizeof(info));
    head->policy = info.pr_policy;
    head->policy_value = info.pr_policy == SCTP_PR_SCTP_NONE ? 0 : info.pr_value;
}

static int take_one(struct send_info *info, const struct cmsghdr *control)
{
    const void *data = CMSG_DATA(control);
    size_t size = control->cmsg_len - CMSG_LEN(0);

    if (control->cmsg_type == SCTP_SNDRCV && size == sizeof(struct sctp_sndrcvinfo)) {
        take_sndrcv(&info->head, data);
    } else if (control->cmsg_type == SCTP_SNDINFO && size == sizeof(struct sctp_sndinfo)) {
        take_sndinfo(&info->head, data);
    } else if (control->cmsg_type == SCTP_PRINFO && size == sizeof(struct sctp_prinfo)) {
        take_prinfo(&info->head, data);
    } else if (control->cmsg_type == SCTP_DSTADDRV4 || control->cmsg_type == SCTP_DSTADDRV6) {
        return 0; /* more paths of an association to come: there is one */
    } else if (control->cmsg_type == SCTP_INIT && size == sizeof(info->init)) {
        memcpy(&info->init, data, sizeof(info->init));
        info->has_init = true;
        return 0;
    } else {
        errno = EINVAL;
        return -1;
    }
    info->given = true;
    return 0;
}

static int take_control(const struct msghdr *message, struct send_info *info)
{
    struct msghdr walk = *message;

    if (message->msg_control == NULL || message->msg_controllen == 0)
        return 0;
    for (struct cmsghdr *control = CMSG_FIRSTHDR(&walk); control != NULL;
         control = CMSG_NXTHDR(&walk, control)) {
        size_t room =
            message->msg_controllen - (size_t)((char *)control - (char *)message->msg_control);
        if (control->cmsg_len < sizeof(*control) || control->cmsg_len > room) {
            errno = EINVAL;
            return -1;
        }
        if (control->cmsg_level == IPPROTO_SCTP && take_one(info, control) == -1)
            return -1;
    }
    return 0;
}

/* As net/sctp/socket.c, sctp_sendmsg_parse: SCTP_EOF and SCTP_ABORT are for one-to-many sockets. */
static int check_send(const struct msghdr *message, ssize_t size, const struct send_info *info)
{
    const unsigned known = SCTP_UNORDERED | SCTP_ADDR_OVER | SCTP_SACK_IMMEDIATELY | SCTP_SENDALL |
                           SCTP_PR_SCTP_MASK | 0x80;
    unsigned flags = info->head.sctp_flags;

    if (size > 0 && (flags & ~known) == 0 &&
        ((flags & SCTP_ADDR_OVER) == 0 || message->msg_name != NULL))
        return 0;
    errno = EINVAL;
    return -1;
}

/* ---- sending */

/* A message must fit into the send buffer. */
static int check_size(int fd, int marks, ssize_t size)
{
    struct request request = {.kind = REQUEST_GET, .level = SOL_SOCKET, .number = SO_SNDBUF};
    int buffer = 0;
    struct answer answer = {&buffer, sizeof(buffer)};
    socklen_t length = sizeof(buffer);

    if (size < SEND_BUFFER_MIN)
        return 0;
    if ((marks & MARK_CONNECTED) == 0) /* it has not got its size yet */
        (void)ask(fd, &request, &buffer, sizeof(buffer), &answer);
    else if (k_getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, &length) == 0)
        buffer -= 32;
    if (buffer <= 0 || size <= buffer)
        return 0;
    errno = EMSGSIZE;
    return -1;
}

/* Then the association takes no messages any more, though the kernel would. */
static bool peer_has_ended(int fd)
{
    struct pollfd end = {.fd = fd, .events = POLLRDHUP};

    return poll(&end, 1, 0) == 1 && (end.revents & POLLRDHUP) != 0;
}

/* Without an association, or with a destination: the stack decides. 0, or -1 with errno. */
static int ask_whether_to_send(int fd, const struct msghdr *message, ssize_t size,
                               const struct send_info *info)
{
    struct request request = {
        .kind = REQUEST_MAY_SEND, .stream = info->head.stream, .message_size = (uint32_t)size};

    if (info->has_init) {
        request.flags |= REQUEST_HAS_INIT;
        memcpy(request.init, &info->init, sizeof(request.init));
    }
    return ask(fd, &request, message->msg_name,
               message->msg_name == NULL ? 0 : message->msg_namelen, NULL);
}

/* The stack knows what the association has ended of. */
static ssize_t explain_failed_send(int fd, int flags)
{
    struct request request = {.kind = REQUEST_MAY_SEND};

    if (errno != EPIPE && errno != ECONNRESET && errno != ENOTCONN)
        return -1;
    if (ask(fd, &request, NULL, 0, NULL) >= 0)
        errno = EPIPE;
    if (errno == EPIPE && (flags & MSG_NOSIGNAL) == 0) {
        raise(SIGPIPE);
        errno = EPIPE;
    }
    return -1;
}

static ssize_t send_record(int fd, const struct msghdr *message, const struct send_info *info,
                           int flags)
{
    struct iovec parts[message->msg_iovlen + 1];
    struct record_head head = info->head;
    struct msghdr record = {.msg_iov = parts};
    struct socket_name name;

    if (!info->given) {
        record.msg_iov = message->msg_iov;
        record.msg_iovlen = message->msg_iovlen;
        return LIBC(sendmsg)(fd, &record, flags);
    }
    if (message->msg_iovlen > IOV_MAX - 1) {
        errno = EMSGSIZE;
        return -1;
    }
    head.magic = HEAD_MAGIC;
    head.id = name_of(fd, &name) == 0 ? name.id : 0;
    parts[0] = (struct iovec){&head, sizeof(head)};
    record.msg_iovlen = 1 + skip_parts(message, 0, parts + 1);
    ssize_t sent = LIBC(sendmsg)(fd, &record, flags);
    return sent > (ssize_t)sizeof(head) ? sent - (ssize_t)sizeof(head) : sent == -1 ? -1 : 0;
}

/* A message that sets up an association waits for it, too, but does not fail with it. */
static void await_association(int fd, int flags)
{
    struct request request = {.kind = REQUEST_AWAIT, .flags = REQUEST_WAIT};
    int saved = errno;

    if ((flags & MSG_DONTWAIT) == 0 && (k_fcntl(fd, F_GETFL, 0) & O_NONBLOCK) == 0)
        (void)ask(fd, &request, NULL, 0, NULL);
    errno = saved;
}

ssize_t send_message(int fd, int marks, const struct msghdr *message, int flags)
{
    const int passed_on = MSG_DONTWAIT | MSG_CONFIRM | MSG_MORE;
    struct send_info info = {.given = false};

    if (bad_pointer(message)) {
        errno = EFAULT;
        return -1;
    }
    if (marks & MARK_LISTENING) {
        errno = EPIPE;
        return explain_failed_send(fd, flags);
    }
    ssize_t size = total_size(message);
    if (size == -1 || check_size(fd, marks, size) == -1 || take_control(message, &info) == -1 ||
        check_send(message, size, &info) == -1)
        return -1;
    bool has_name = message->msg_name != NULL;
    if (has_name && message->msg_namelen == 0) {
        errno = EINVAL;
        return -1;
    }
    bool sets_up = (marks & MARK_CONNECTED) == 0;
    bool asks = has_name || sets_up || (marks & MARK_ASK) || peer_has_ended(fd) ||
                info.head.stream >= (marks & MARK_STREAMS) >> MARK_STREAMS_SHIFT;
    if (asks && ask_whether_to_send(fd, message, size, &info) == -1)
        return errno == EPIPE ? explain_failed_send(fd, flags) : -1;
    ssize_t sent = send_record(fd, message, &info, (flags & passed_on) | MSG_NOSIGNAL);
    if (sent == -1)
        return explain_failed_send(fd, flags);
    if (has_name && sets_up)
        await_association(fd, flags);
    return sent;
}

/* ---- ancillary data of a receive */

static void put_any_control(struct msghdr *message, size_t *used, int level, int type,
                            const void *data, size_t size)
{
    size_t room = message->msg_control == NULL ? 0 : message->msg_controllen - *used;

    if (room < CMSG_LEN(size))
        message->msg_flags |= MSG_CTRUNC;
    if (room < CMSG_LEN(0))
        return;
    if (room < CMSG_LEN(size)) /* what there is room for (net/core/scm.c, put_cmsg) */
        size = room - CMSG_LEN(0);
    struct cmsghdr control = {.cmsg_level = level, .cmsg_type = type, .cmsg_len = CMSG_LEN(size)};
    char *at = (char *)message->msg_control + *used;
    memcpy(at, &control, sizeof(control));
    memcpy(at + CMSG_LEN(0), data, size);
    *used += room < CMSG_SPACE(size) ? room : CMSG_SPACE(size);
}

static void put_control(struct msghdr *message, size_t *used, int type, const void *data,
                        size_t size)
{
    put_any_control(message, used, IPPROTO_SCTP, type, data, size);
}

static void put_time(const struct record_head *head, struct msghdr *message, size_t *used)
{
    int name = (int)head->stamp;
    bool micro = name == SO_TIMESTAMP || name == SO_TIMESTAMP_NEW;
    long time[2] = {(long)head->seconds, (long)head->nanoseconds / (micro ? 1000 : 1)};
    int64_t new_time[2] = {time[0], time[1]};

    if (name == SO_TIMESTAMP || name == SO_TIMESTAMPNS)
        put_any_control(message, used, SOL_SOCKET, name, time, sizeof(time));
    else if (name != 0)
        put_any_control(message, used, SOL_SOCKET, name, new_time, sizeof(new_time));
}

static void put_next(int fd, struct msghdr *message, size_t *used)
{
    struct record_head head;
    int zero = 0;
    ssize_t size = LIBC(recv)(fd, &head, sizeof(head), MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);

    if (size != -1)
        k_setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &zero, sizeof(zero));
    if (size <= (ssize_t)sizeof(head) || head.magic != HEAD_MAGIC)
        return;
    struct sctp_nxtinfo next = {.nxt_sid = head.stream,
                                .nxt_flags = head.sctp_flags,
                                .nxt_ppid = head.ppid,
                                .nxt_length = (uint32_t)((size_t)size - sizeof(head)),
                                .nxt_assoc_id = head.association};
    if (head.flags & HEAD_NOTIFICATION)
        next.nxt_flags = MSG_NOTIFICATION;
    put_control(message, used, SCTP_NXTINFO, &next, sizeof(next));
}

static void put_rcvinfo(const struct record_head *head, struct msghdr *message, size_t *used)
{
    struct sctp_rcvinfo info = {.rcv_sid = head->stream,
                                .rcv_ssn = head->ssn,
                                .rcv_flags = head->sctp_flags,
                                .rcv_ppid = head->ppid,
                                .rcv_tsn = head->tsn,
                                .rcv_cumtsn = head->cumtsn,
                                .rcv_context = head->context,
                                .rcv_assoc_id = head->association};

    put_control(message, used, SCTP_RCVINFO, &info, sizeof(info));
}

static void put_sndrcv(const struct record_head *head, struct msghdr *message, size_t *used)
{
    struct sctp_sndrcvinfo info = {.sinfo_stream = head->stream,
                                   .sinfo_ssn = head->ssn,
                                   .sinfo_flags = head->sctp_flags,
                                   .sinfo_ppid = head->ppid,
                                   .sinfo_context = head->context,
                                   .sinfo_tsn = head->tsn,
                                   .sinfo_cumtsn = head->cumtsn,
                                   .sinfo_assoc_id = head->association};

    put_control(message, used, SCTP_SNDRCV, &info, sizeof(info));
}

/* In the order of net/sctp/socket.c, sctp_recvmsg. Notifications have none but what comes next. */
static void put_ancillary(int fd, int marks, const struct record_head *head, bool peeked,
                          struct msghdr *message, size_t *used)
{
    bool is_message = (head->flags & HEAD_NOTIFICATION) == 0;

    put_time(head, message, used);
    if ((marks & MARK_NXTINFO) && !peeked)
        put_next(fd, message, used);
    if ((marks & MARK_RCVINFO) && is_message)
        put_rcvinfo(head, message, used);
    if ((marks & MARK_SNDRCV) && is_message)
        put_sndrcv(head, message, used);
}

/* ---- receiving: records in parts */

static int peek_offset(int fd)
{
    int offset = 0;
    socklen_t size = sizeof(offset);

    k_getsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &offset, &size);
    return offset;
}

static void set_peek_offset(int fd, int offset)
{
    int saved = errno;

    k_setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof(offset));
    errno = saved;
}

/* What a look at a record has found. */
struct part {
    ssize_t size;      /* as recvmsg returns it */
    bool record_ends;  /* nothing of the record is left */
    bool message_ends; /* nor of the message */
};

/* Takes away the record whose last part has been looked at. */
static void drop_record(int fd, int *marks)
{
    int saved = errno;

    LIBC(recv)(fd, NULL, 0, MSG_DONTWAIT);
    errno = saved;
    if (*marks & MARK_PARTS)
        set_marks(fd, *marks &= ~MARK_PARTS);
}

static void keep_record(int fd, int *marks)
{
    if ((*marks & MARK_PARTS) == 0)
        set_marks(fd, *marks |= MARK_PARTS);
}

/* Whoever has room for a whole record takes it at once; else the record stays until its last part
 * has been read, and SO_PEEK_OFF tells how far that is. */
static struct part receive_part(int fd, int *marks, struct iovec *parts, size_t count, size_t room,
                                int flags)
{
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    bool whole =
        room >= CHUNK_SIZE && (*marks & (MARK_PARTS | MARK_HEAD)) == 0 && (flags & MSG_PEEK) == 0;
    int begin = *marks & MARK_PARTS ? peek_offset(fd) : 0;
    struct part part = {.size = LIBC(recvmsg)(fd, &message, whole ? flags : flags | MSG_PEEK)};

    if (part.size <= 0)
        return part;
    part.record_ends = (message.msg_flags & MSG_TRUNC) == 0;
    part.message_ends = part.record_ends &&
                        (begin + part.size != CHUNK_SIZE || (message.msg_flags & MSG_CTRUNC) != 0);
    if (whole)
        return part;
    if (flags & MSG_PEEK)
        set_peek_offset(fd, begin);
    else if (part.record_ends)
        drop_record(fd, marks);
    else
        keep_record(fd, marks);
    return part;
}

static void await_rest(int fd)
{
    struct pollfd rest = {.fd = fd, .events = POLLIN};

    poll(&rest, 1, REST_TIMEOUT_MS);
}

/* One message, or as much of it as there is room for. */
static ssize_t receive_plain(int fd, int *marks, struct msghdr *message, size_t room, int flags,
                             int *end)
{
    struct iovec parts[message->msg_iovlen + 1];
    size_t got = 0;

    for (;;) {
        size_t count = skip_parts(message, got, parts);
        struct part part = receive_part(fd, marks, parts, count, room - got, flags);
        if (part.size <= 0)
            return got > 0 ? (ssize_t)got : part.size;
        got += (size_t)part.size;
        if (part.message_ends && (flags & MSG_PEEK) == 0)
            *end = MSG_EOR;
        if (part.message_ends || got == room || (flags & MSG_PEEK))
            return (ssize_t)got;
        await_rest(fd);
        flags |= MSG_DONTWAIT;
    }
}

/* ---- receiving: records with heads */

static bool is_head(int fd, const struct record_head *head, ssize_t size)
{
    struct socket_name name;

    return size >= (ssize_t)sizeof(*head) && head->magic == HEAD_MAGIC && name_of(fd, &name) == 0 &&
           head->id == name.id;
}

/* Looks at the head of the record, and at as much of its message as there is room for behind the
 * part that has been read. Sets *begin to where that part ends. -2: there is no head. */
static ssize_t peek_with_head(int fd, int marks, struct msghdr *record, struct record_head *head,
                              int flags, int *begin)
{
    struct msghdr only_head = {.msg_iov = record->msg_iov, .msg_iovlen = 1};
    ssize_t got;

    *begin = marks & MARK_PARTS ? peek_offset(fd) : 0;
    if (*begin == 0) {
        got = LIBC(recvmsg)(fd, record, flags | MSG_PEEK);
        if (got > 0 && !is_head(fd, head, got)) {
            set_peek_offset(fd, 0);
            return -2;
        }
        return got > 0 ? got - (ssize_t)sizeof(*head) : got;
    }
    set_peek_offset(fd, 0);
    got = LIBC(recvmsg)(fd, &only_head, MSG_PEEK | MSG_DONTWAIT);
    bool has_head = is_head(fd, head, got);
    set_peek_offset(fd, *begin);
    if (!has_head)
        return -2;
    record->msg_iov++;
    record->msg_iovlen--;
    got = LIBC(recvmsg)(fd, record, MSG_PEEK | MSG_DONTWAIT);
    return got;
}

static ssize_t receive_with_head(int fd, int *marks, struct msghdr *message, size_t room, int flags,
                                 int *end, size_t *used)
{
    struct record_head head;
    struct iovec parts[message->msg_iovlen + 1];
    struct msghdr record = {.msg_iov = parts};
    int begin;
    bool peeks = (flags & MSG_PEEK) != 0;

    parts[0] = (struct iovec){&head, sizeof(head)};
    record.msg_iovlen = 1 + skip_parts(message, 0, parts + 1);
    ssize_t got = peek_with_head(fd, *marks, &record, &head, flags, &begin);
    if (got == -2)
        return receive_plain(fd, marks, message, room, flags, end);
    if (got <= 0)
        return got;
    bool record_ends = (record.msg_flags & MSG_TRUNC) == 0;
    if (peeks)
        set_peek_offset(fd, begin);
    else if (record_ends)
        drop_record(fd, marks);
    else
        keep_record(fd, marks);
    if (record_ends && !peeks && (head.flags & HEAD_CONTINUED) == 0)
        *end |= MSG_EOR;
    if (head.flags & HEAD_NOTIFICATION)
        *end |= MSG_NOTIFICATION;
    message->msg_flags = 0;
    put_ancillary(fd, *marks, &head, peeks || !record_ends, message, used);
    *end |= message->msg_flags;
    return got;
}

/* ---- receiving: the call */

static ssize_t receive_once(int fd, int *marks, struct msghdr *message, size_t room, int flags,
                            int *end, size_t *used)
{
    if (*marks & MARK_HEAD)
        return receive_with_head(fd, marks, message, room, flags, end, used);
    return receive_plain(fd, marks, message, room, flags, end);
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Whoever asks and is answered at once waits for less than it takes to fall asleep and wake up: a
 * thread whose last wait was as short looks a few times, and lets others run, before it sleeps. */
static ssize_t receive_or_wait(int fd, int *marks, struct msghdr *message, size_t room, int flags,
                               int *end, size_t *used)
{
    static _Thread_local bool waits_long __attribute__((tls_model("initial-exec")));

    for (int i = 0; i < LOOKS && !waits_long; i++) {
        ssize_t got = receive_once(fd, marks, message, room, flags | MSG_DONTWAIT, end, used);
        if (got != -1 || errno != EAGAIN || (flags & MSG_DONTWAIT))
            return got;
        if (i == 0 && (k_fcntl(fd, F_GETFL, 0) & O_NONBLOCK)) {
            errno = EAGAIN;
            return -1;
        }
        sched_yield();
    }
    uint64_t start_ns = now_ns();
    ssize_t got = receive_once(fd, marks, message, room, flags, end, used);
    waits_long = now_ns() - start_ns > LONG_WAIT_NS;
    return got;
}

/* Linux tells of a reset once, and before what there is to read. Without waiting it tells the end of
 * the file, too, before what there is to read, if both have just come (__unix_dgram_recvmsg). */
static ssize_t receive_any(int fd, int *marks, struct msghdr *message, size_t room, int flags,
                           int *end, size_t *used)
{
    ssize_t got = receive_or_wait(fd, marks, message, room, flags, end, used);

    if (got == -1 && errno == ECONNRESET)
        got = receive_once(fd, marks, message, room, flags, end, used);
    if (got == 0)
        got = receive_once(fd, marks, message, room, flags | MSG_DONTWAIT, end, used);
    return got;
}

/* The peer's SHUTDOWN is the end of one direction for our end of the socket; all else of both. */
static bool has_hung_up(int fd)
{
    struct pollfd end = {.fd = fd};

    return poll(&end, 1, 0) == 1 && (end.revents & POLLHUP) != 0;
}

/* The end of the file, or an error: the stack knows which. */
static ssize_t explain_end(int fd, ssize_t got, int flags)
{
    struct request request = {.kind = REQUEST_MAY_RECEIVE,
                              .flags = flags & MSG_DONTWAIT ? 0 : REQUEST_BLOCKING};

    if (got == -1 && errno != ECONNRESET && errno != ENOTCONN)
        return -1;
    if (got == 0 && !has_hung_up(fd))
        return 0;
    return ask(fd, &request, NULL, 0, NULL) == -1 ? -1 : 0;
}

static int ask_whether_to_receive(int fd, int flags)
{
    bool waits = (flags & MSG_DONTWAIT) == 0 && (k_fcntl(fd, F_GETFL, 0) & O_NONBLOCK) == 0;
    struct request request = {.kind = REQUEST_MAY_RECEIVE, .flags = waits ? REQUEST_BLOCKING : 0};

    return ask(fd, &request, NULL, 0, NULL);
}

/* No bytes are wanted: waits for a message, and leaves it. */
static ssize_t await_message(int fd, int flags)
{
    struct msghdr nothing = {.msg_iovlen = 0};

    return LIBC(recvmsg)(fd, &nothing, (flags & MSG_DONTWAIT) | MSG_PEEK);
}

static void give_peer(int fd, struct msghdr *message, bool has_one)
{
    struct request request = {.kind = REQUEST_PEERNAME};
    struct sockaddr_storage peer;
    struct answer answer = {&peer, sizeof(peer)};

    if (message->msg_name == NULL)
        return;
    if (has_one && ask(fd, &request, NULL, 0, &answer) != -1)
        give_address(&peer, (socklen_t)answer.room, message->msg_name, &message->msg_namelen);
    else
        message->msg_namelen = 0;
}

/* When an association ends that the program itself has shut down, that is no end of the file: recv
 * fails where it would wait, and poll tells of nothing. */
static ssize_t receive_after_shutdown(int fd, int *marks, struct msghdr *message, size_t room,
                                      int flags, int *end, size_t *used)
{
    struct request request = {.kind = REQUEST_MAY_RECEIVE, .flags = REQUEST_BLOCKING};
    bool waits = (flags & MSG_DONTWAIT) == 0 && (k_fcntl(fd, F_GETFL, 0) & O_NONBLOCK) == 0;

    for (;;) {
        ssize_t got = receive_any(fd, marks, message, room, flags | MSG_DONTWAIT, end, used);
        if (got != -1 || errno != EAGAIN || !waits)
            return got;
        if (ask(fd, &request, NULL, 0, NULL) == -1 || await_message_or_end(fd) == -1)
            return -1;
    }
}

static ssize_t finish_receive(int fd, struct msghdr *message, ssize_t got, int end, int flags,
                              size_t used)
{
    give_peer(fd, message, got > 0);
    message->msg_controllen = used;
    message->msg_flags = end | (flags & MSG_CMSG_CLOEXEC);
    return got;
}

ssize_t receive_message(int fd, int marks, struct msghdr *message, int flags)
{
    size_t used = 0;
    int end = 0;
    ssize_t got;

    if (bad_pointer(message)) {
        errno = EFAULT;
        return -1;
    }
    if (flags & MSG_ERRQUEUE) {
        errno = EAGAIN;
        return -1;
    }
    ssize_t room = total_size(message);
    if (room == -1)
        return -1;
    int wanted = flags & (MSG_DONTWAIT | MSG_PEEK);
    if ((marks & MARK_CONNECTED) == 0) {
        got = -1;
        if ((marks & MARK_HEAD) && room > 0) /* notifications come without an association, too */
            got =
                receive_any(fd, &marks, message, (size_t)room, MSG_DONTWAIT | wanted, &end, &used);
        if (got > 0)
            return finish_receive(fd, message, got, end, flags, used);
        int may = ask_whether_to_receive(fd, flags);
        if (may <= 0)
            return may;
        marks = marks_of(fd);
    }
    if (room == 0)
        got = await_message(fd, flags);
    else if (marks & MARK_SHUT_WRITE)
        got = receive_after_shutdown(fd, &marks, message, (size_t)room, wanted, &end, &used);
    else
        got = receive_any(fd, &marks, message, (size_t)room, wanted, &end, &used);
    if (got <= 0 && room > 0)
        got = explain_end(fd, got, flags);
    return got == -1 ? -1 : finish_receive(fd, message, got, end, flags, used);
}

int readable_bytes(int fd, int marks)
{
    if (marks & MARK_LISTENING) {
        errno = ENOTCONN;
        return -1;
    }
    int begin = peek_offset(fd), all = 0, saved = errno;
    ssize_t size = LIBC(recv)(fd, NULL, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
    errno = saved;
    if (size <= 0)
        return 0;
    if ((marks & MARK_HEAD) && begin == 0)
        size -= (ssize_t)sizeof(struct record_head);
    if (begin + size == CHUNK_SIZE && LIBC(ioctl)(fd, FIONREAD, &all) == 0)
        return all;
    return (int)size;
}

/* ---- accepting */

int give_address(const void *from, socklen_t size, struct sockaddr *address, socklen_t *room)
{
    if (bad_pointer(address) || bad_pointer(room)) {
        errno = EFAULT;
        return -1;
    }
    if ((int)*room < 0) {
        errno = EINVAL;
        return -1;
    }
    memcpy(address, from, *room < size ? *room : size);
    *room = size;
    return 0;
}

/* A connection would be lost if there were no descriptor for it. */
static int reserve_descriptor(int fd)
{
    int reserved = k_fcntl(fd, F_DUPFD_CLOEXEC, 0);

    if (reserved == -1)
        return -1;
    k_close(reserved);
    return 0;
}

/* Takes the next connection, if there is one. Its descriptor, or -1 with errno. */
static int take_connection(int fd, int flags, struct record_connection *connection)
{
    union descriptor_control control;
    struct iovec part = {connection, sizeof(*connection)};
    struct msghdr record = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t got = -1;
    sigset_t before;

    expect_descriptor(&record, &control);
    block_signals(&before);
    if (reserve_descriptor(fd) == 0)
        got = k_recvmsg(fd, &record, MSG_DONTWAIT | (flags & SOCK_CLOEXEC ? MSG_CMSG_CLOEXEC : 0));
    restore_signals(&before);
    if (got == -1)
        return -1;
    int accepted = take_descriptor(&record);
    if (accepted == -1)
        errno = got == 0 ? EINVAL : EMFILE;
    return accepted;
}

/* Waits as accept does, with its signals, time limit and cancellation; but takes nothing. */
static int await_connection(int fd)
{
    struct msghdr nothing = {.msg_iovlen = 0};

    return (int)LIBC(recvmsg)(fd, &nothing, MSG_PEEK);
}

static int next_connection(int fd, int flags, struct record_connection *connection)
{
    bool waits = (k_fcntl(fd, F_GETFL, 0) & O_NONBLOCK) == 0;

    for (;;) {
        int accepted = take_connection(fd, flags, connection);
        if (accepted != -1 || errno != EAGAIN || !waits)
            return accepted;
        if (await_connection(fd) == -1)
            return -1;
    }
}

int accept_connection(int fd, int marks, struct sockaddr *address, socklen_t *size, int flags)
{
    struct record_connection connection;
    int saved = errno;

    if ((flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) || (marks & MARK_LISTENING) == 0) {
        errno = EINVAL;
        return -1;
    }
    int accepted = next_connection(fd, flags, &connection);
    if (accepted == -1)
        return -1;
    if ((flags & SOCK_NONBLOCK) && k_fcntl(accepted, F_SETFL, O_RDWR | O_NONBLOCK) == -1)
        goto failed;
    if (address != NULL &&
        give_address(connection.address, connection.address_size, address, size) == -1)
        goto failed;
    errno = saved;
    return accepted;

failed:
    saved = errno;
    k_close(accepted);
    errno = saved;
    return -1;
}
