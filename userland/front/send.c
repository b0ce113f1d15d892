/* Messages to records. See send.h and ../protocol.h. */
#include "send.h"
#include "ask.h"
#include "open.h"
#include <limits.h>
#include <linux/sctp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/uio.h>

#define SEND_BUFFER_MIN 4096 /* no send buffer is smaller */

/* ---- vectors */

ssize_t total_size(const struct msghdr *message)
{
    size_t total = 0;

    if (message->msg_iovlen > IOV_MAX)
        return fail(EMSGSIZE);
    if (message->msg_iovlen > 0 && bad_pointer(message->msg_iov))
        return fail(EFAULT);
    for (size_t i = 0; i < message->msg_iovlen; i++) {
        if (message->msg_iov[i].iov_len > SSIZE_MAX - total)
            return fail(EINVAL);
        if (message->msg_iov[i].iov_len > 0 && bad_pointer(message->msg_iov[i].iov_base))
            return fail(EFAULT);
        total += message->msg_iov[i].iov_len;
    }
    return (ssize_t)total;
}

size_t skip_parts(const struct msghdr *message, size_t skip, struct iovec *parts)
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

/* ---- ancillary data (RFC 6458, section 5.3) */

struct send_info {
    struct record_head head;
    bool given, has_init;
    struct sctp_initmsg init;
};

union send_data {
    struct sctp_initmsg init;
    struct sctp_sndrcvinfo sndrcv;
    struct sctp_sndinfo snd;
    struct sctp_prinfo pr;
};

static void take_data(struct send_info *info, int type, const union send_data *data)
{
    struct record_head *head = &info->head;

    if (type == SCTP_INIT) {
        info->init = data->init;
        info->has_init = true;
        return;
    }
    info->given = true;
    if (type == SCTP_SNDRCV) {
        head->stream = data->sndrcv.sinfo_stream;
        head->sctp_flags = data->sndrcv.sinfo_flags;
        head->ppid = data->sndrcv.sinfo_ppid;
        head->context = data->sndrcv.sinfo_context;
        head->policy_value = data->sndrcv.sinfo_timetolive;
    } else if (type == SCTP_SNDINFO) {
        head->stream = data->snd.snd_sid;
        head->sctp_flags = data->snd.snd_flags;
        head->ppid = data->snd.snd_ppid;
        head->context = data->snd.snd_context;
    } else {
        head->sctp_flags = (uint16_t)((head->sctp_flags & ~SCTP_PR_SCTP_MASK) | data->pr.pr_policy);
        head->policy_value = data->pr.pr_policy == SCTP_PR_SCTP_NONE ? 0 : data->pr.pr_value;
    }
}

/* As net/sctp/socket.c, sctp_msghdr_parse. */
static bool has_known_flags(unsigned type, const union send_data *data)
{
    const unsigned known = SCTP_UNORDERED | SCTP_ADDR_OVER | SCTP_SACK_IMMEDIATELY | SCTP_SENDALL |
                           SCTP_PR_SCTP_MASK | SCTP_ABORT | SCTP_EOF;

    switch (type) {
    case SCTP_SNDRCV: return (data->sndrcv.sinfo_flags & ~known) == 0;
    case SCTP_SNDINFO: return (data->snd.snd_flags & ~known) == 0;
    case SCTP_PRINFO: return (data->pr.pr_policy & ~SCTP_PR_SCTP_MASK) == 0;
    default: return true;
    }
}

static int take_one(union send_data *data, unsigned *found, const struct cmsghdr *control)
{
    static const size_t sizes[] = {[SCTP_INIT] = sizeof(struct sctp_initmsg),
                                   [SCTP_SNDRCV] = sizeof(struct sctp_sndrcvinfo),
                                   [SCTP_SNDINFO] = sizeof(struct sctp_sndinfo),
                                   [SCTP_PRINFO] = sizeof(struct sctp_prinfo)};
    unsigned type = (unsigned)control->cmsg_type;

    if (type == SCTP_DSTADDRV4 || type == SCTP_DSTADDRV6)
        return 0; /* more paths of an association to come: there is one */
    if (type > SCTP_PRINFO || sizes[type] == 0 || control->cmsg_len != CMSG_LEN(sizes[type]))
        return fail(EINVAL);
    memcpy(&data[type], CMSG_DATA(control), sizes[type]);
    *found |= 1u << type;
    return has_known_flags(type, &data[type]) ? 0 : fail(EINVAL);
}

/* Of each type the last counts, and they do in the order of their numbers. */
static int take_control(const struct msghdr *message, struct send_info *info)
{
    struct msghdr walk = *message;
    union send_data data[SCTP_PRINFO + 1];
    unsigned found = 0;

    if (message->msg_control == NULL || message->msg_controllen == 0)
        return 0;
    for (struct cmsghdr *control = CMSG_FIRSTHDR(&walk); control != NULL;
         control = CMSG_NXTHDR(&walk, control)) {
        size_t room =
            message->msg_controllen - (size_t)((char *)control - (char *)message->msg_control);
        if (control->cmsg_len < sizeof(*control) || control->cmsg_len > room)
            return fail(EINVAL);
        if (control->cmsg_level == IPPROTO_SCTP && take_one(data, &found, control) == -1)
            return -1;
    }
    for (int type = 0; type <= SCTP_PRINFO; type++)
        if (found & 1u << type)
            take_data(info, type, &data[type]);
    info->head.policy = info->head.sctp_flags & SCTP_PR_SCTP_MASK;
    if (info->head.policy == SCTP_PR_SCTP_NONE && info->head.policy_value > 0)
        info->head.policy = SCTP_PR_SCTP_TTL;
    return 0;
}

/* ---- checks */

/* A message must fit into the send buffer. */
static int check_size(int fd, int marks, ssize_t size)
{
    int buffer = 0;
    socklen_t length = sizeof(buffer);
    struct question question = {
        .request = {REQUEST_GET, .level = SOL_SOCKET, .number = SO_SNDBUF, .size = sizeof(buffer)},
        .payload = &buffer,
        .answer = &buffer,
        .room = sizeof(buffer)};

    if (size < SEND_BUFFER_MIN)
        return 0;
    if ((marks & MARK_CONNECTED) == 0) /* it has not got its size yet */
        (void)ask(fd, &question);
    else if (KERNEL(getsockopt, fd, SOL_SOCKET, SO_SNDBUF, &buffer, &length) == 0)
        buffer -= 32;
    return buffer <= 0 || size <= buffer ? 0 : fail(EMSGSIZE);
}

static bool has_name(const struct msghdr *message)
{
    return message->msg_name != NULL && message->msg_namelen > 0;
}

/* As net/sctp/socket.c, sctp_sendmsg_parse: SCTP_EOF and SCTP_ABORT are for one-to-many sockets. */
static int check_send(const struct msghdr *message, ssize_t size, const struct send_info *info)
{
    unsigned flags = info->head.sctp_flags;

    if (size == 0 || (flags & (SCTP_EOF | SCTP_ABORT)) ||
        ((flags & SCTP_ADDR_OVER) && !has_name(message)))
        return fail(EINVAL);
    return 0;
}

/* Without an association, or with a destination: the stack decides. 0, or -1 with errno. */
static int ask_whether_to_send(int fd, const struct msghdr *message, ssize_t size,
                               const struct send_info *info)
{
    struct question question = {.request = {.kind = REQUEST_MAY_SEND,
                                            .stream = info->head.stream,
                                            .message_size = (uint32_t)size}};

    if (has_name(message)) {
        question.payload = message->msg_name;
        question.request.size = message->msg_namelen;
    }
    if (info->has_init) {
        question.request.flags = REQUEST_HAS_INIT;
        memcpy(question.request.init, &info->init, sizeof(info->init));
    }
    return ask_or_replace(fd, &question);
}

/* ---- sending */

/* The stack knows what the association has ended of. */
static ssize_t explain_failed_send(int fd, int flags)
{
    struct question question = {.request.kind = REQUEST_MAY_SEND};

    if (errno != EPIPE && errno != ECONNRESET && errno != ENOTCONN)
        return -1;
    if (ask(fd, &question) >= 0)
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
    struct msghdr record = {.msg_iov = message->msg_iov, .msg_iovlen = message->msg_iovlen};
    struct socket_name name;

    if (!info->given && (flags & MSG_MORE) == 0)
        return LIBC(sendmsg)(fd, &record, flags);
    if (message->msg_iovlen > IOV_MAX - 1)
        return fail(EMSGSIZE);
    head.magic = HEAD_MAGIC;
    head.flags = (flags & MSG_MORE ? HEAD_MORE : 0) | (info->given ? 0 : HEAD_USUAL);
    head.id = name_of(fd, &name) == 0 ? name.id : 0;
    parts[0] = (struct iovec){&head, sizeof(head)};
    record.msg_iov = parts;
    record.msg_iovlen = 1 + skip_parts(message, 0, parts + 1);
    ssize_t sent = LIBC(sendmsg)(fd, &record, flags);
    return sent == -1 ? -1 : sent - (ssize_t)sizeof(head);
}

ssize_t send_message(int fd, int marks, const struct msghdr *message, int flags)
{
    const int passed_on = MSG_DONTWAIT | MSG_CONFIRM | MSG_MORE;
    struct send_info info = {.given = false};

    if (bad_pointer(message))
        return fail(EFAULT);
    if (marks & MARK_LISTENING) {
        errno = EPIPE;
        return explain_failed_send(fd, flags);
    }
    ssize_t size = total_size(message);
    if (size == -1 || check_size(fd, marks, size) == -1 || take_control(message, &info) == -1 ||
        check_send(message, size, &info) == -1)
        return -1;
    bool is_named = has_name(message), sets_up = (marks & MARK_CONNECTED) == 0;
    /* After the peer's end the association takes no messages any more, though the kernel would. */
    bool asks = is_named || sets_up || (marks & MARK_ASK) || has_event(fd, POLLRDHUP) ||
                info.head.stream >= (marks & MARK_STREAMS) >> MARK_STREAMS_SHIFT;
    if (asks && ask_whether_to_send(fd, message, size, &info) == -1)
        return errno == EPIPE ? explain_failed_send(fd, flags) : -1;
    ssize_t sent = send_record(fd, message, &info, (flags & passed_on) | MSG_NOSIGNAL);
    if (sent == -1)
        return explain_failed_send(fd, flags);
    if (is_named && sets_up && waits(fd, flags)) { /* and does not fail with it */
        struct question wait = {.request = {.kind = REQUEST_AWAIT, .flags = REQUEST_WAIT}};
        (void)ask(fd, &wait);
    }
    return sent;
}
