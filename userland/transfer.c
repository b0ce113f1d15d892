/* Sending and receiving messages, and their ancillary data (RFC 6458 section 5.3). */
#include "internal.h"
#include "linux_sctp.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* ---- scatter and gather: the stack takes one buffer */

struct flat {
    unsigned char *bytes;
    size_t size;
    void *heap; /* to be freed, where the program's own buffer does not do */
};

static int check_vectors(const struct msghdr *message, size_t *total)
{
    *total = 0;
    if (message->msg_iovlen > IOV_MAX ||
        (message->msg_iovlen > 0 && bad_pointer(message->msg_iov))) {
        errno = message->msg_iovlen > IOV_MAX ? EMSGSIZE : EFAULT;
        return -1;
    }
    for (size_t i = 0; i < message->msg_iovlen; i++) {
        const struct iovec *part = &message->msg_iov[i];
        if (part->iov_len > 0 && bad_pointer(part->iov_base)) {
            errno = EFAULT;
            return -1;
        }
        if (part->iov_len > SSIZE_MAX - *total) {
            errno = EINVAL;
            return -1;
        }
        *total += part->iov_len;
    }
    return 0;
}

/* limit: there is no use in more. 0, or -1 with errno. */
static int flatten(const struct msghdr *message, size_t limit, struct flat *flat)
{
    static unsigned char nothing[1];

    *flat = (struct flat){.bytes = nothing};
    if (check_vectors(message, &flat->size) < 0)
        return -1;
    for (size_t i = 0; i < message->msg_iovlen; i++)
        if (message->msg_iov[i].iov_len == flat->size && flat->size > 0) {
            flat->bytes = message->msg_iov[i].iov_base;
            return 0;
        }
    if (flat->size > limit)
        flat->size = limit;
    if (flat->size == 0)
        return 0;
    flat->heap = malloc(flat->size);
    flat->bytes = flat->heap;
    return flat->heap == NULL ? -1 : 0;
}

static void gather(const struct msghdr *message, const struct flat *flat)
{
    size_t at = 0;

    for (size_t i = 0; flat->heap != NULL && i < message->msg_iovlen; i++) {
        memcpy(flat->bytes + at, message->msg_iov[i].iov_base, message->msg_iov[i].iov_len);
        at += message->msg_iov[i].iov_len;
    }
}

static void scatter(const struct msghdr *message, const struct flat *flat, size_t size)
{
    size_t at = 0;

    for (size_t i = 0; flat->heap != NULL && at < size; i++) {
        size_t part = message->msg_iov[i].iov_len;
        if (part > size - at)
            part = size - at;
        memcpy(message->msg_iov[i].iov_base, flat->bytes + at, part);
        at += part;
    }
}

/* ---- ancillary data of a send */

struct send_info {
    bool given;
    uint16_t sid, flags; /* Linux's flags */
    uint32_t ppid, context;
    uint16_t policy; /* LX_PR_* */
    uint32_t policy_value;
    bool has_init;
    struct sctp_initmsg init; /* of an association that the message sets up */
};

static void take_sndrcv(struct send_info *info, const void *data)
{
    struct lx_sndrcvinfo from;

    memcpy(&from, data, sizeof from);
    info->sid = from.stream;
    info->flags = from.flags;
    info->ppid = from.ppid;
    info->context = from.context;
    info->policy = from.flags & LX_PR_MASK;
    info->policy_value = from.timetolive;
    if (info->policy == 0 && from.timetolive > 0)
        info->policy = 0x0010; /* SCTP_PR_SCTP_TTL */
}

static void take_sndinfo(struct send_info *info, const void *data)
{
    struct lx_sndinfo from;

    memcpy(&from, data, sizeof from);
    info->sid = from.sid;
    info->flags = from.flags;
    info->ppid = from.ppid;
    info->context = from.context;
}

static int take_one(struct send_info *info, const struct cmsghdr *head)
{
    size_t length = head->cmsg_len - CMSG_LEN(0);
    struct lx_prinfo policy;

    if (head->cmsg_type == LX_CMSG_SNDRCV && length == sizeof(struct lx_sndrcvinfo)) {
        take_sndrcv(info, CMSG_DATA(head));
    } else if (head->cmsg_type == LX_CMSG_SNDINFO && length == sizeof(struct lx_sndinfo)) {
        take_sndinfo(info, CMSG_DATA(head));
    } else if (head->cmsg_type == LX_CMSG_PRINFO && length == sizeof policy) {
        memcpy(&policy, CMSG_DATA(head), sizeof policy);
        info->policy = policy.policy;
        info->policy_value = policy.policy == 0 ? 0 : policy.value;
    } else if (head->cmsg_type == LX_CMSG_DSTADDRV4 || head->cmsg_type == LX_CMSG_DSTADDRV6) {
        return 0; /* more paths of an association to come: there is one */
    } else if (head->cmsg_type == LX_CMSG_INIT && length == sizeof info->init) {
        memcpy(&info->init, CMSG_DATA(head), sizeof info->init);
        info->has_init = true;
    } else {
        errno = EINVAL;
        return -1;
    }
    info->given = true;
    return 0;
}

static int parse_send_info(const struct msghdr *message, struct send_info *info)
{
    *info = (struct send_info){.given = false};
    if (message->msg_control == NULL || message->msg_controllen == 0)
        return 0;
    struct msghdr walk = *message;
    for (struct cmsghdr *head = CMSG_FIRSTHDR(&walk); head != NULL;
         head = CMSG_NXTHDR(&walk, head)) {
        size_t room = message->msg_controllen -
                      (size_t)((unsigned char *)head - (unsigned char *)message->msg_control);
        if (head->cmsg_len < sizeof *head || head->cmsg_len > room) {
            errno = EINVAL;
            return -1;
        }
        if (head->cmsg_level == IPPROTO_SCTP && take_one(info, head) < 0)
            return -1;
    }
    if (info->flags & (uint16_t) ~(LX_UNORDERED | LX_ADDR_OVER | LX_ABORT | LX_SACK_IMMEDIATELY |
                                   LX_PR_MASK | LX_SENDALL | LX_EOF | 0x80)) {
        errno = EINVAL;
        return -1;
    }
    return 0;
}

static uint16_t stack_send_flags(uint16_t flags)
{
    return (uint16_t)((flags & LX_UNORDERED ? SCTP_UNORDERED : 0) |
                      (flags & LX_SACK_IMMEDIATELY ? SCTP_SACK_IMMEDIATELY : 0) |
                      (flags & LX_EOF ? SCTP_EOF : 0) | (flags & LX_ABORT ? SCTP_ABORT : 0));
}

static uint16_t stack_policy(uint16_t policy)
{
    switch (policy) {
    case 0x0010: return SCTP_PR_SCTP_TTL;
    case 0x0020: return SCTP_PR_SCTP_RTX;
    case 0x0030: return SCTP_PR_SCTP_BUF;
    default: return SCTP_PR_SCTP_NONE;
    }
}

static ssize_t stack_send(struct us_sock *sock, const struct flat *flat,
                          const struct send_info *info)
{
    struct sctp_sendv_spa spa = {.sendv_flags = SCTP_SEND_SNDINFO_VALID};

    if (!info->given)
        return usrsctp_sendv(sock->so, flat->bytes, flat->size, NULL, 0, NULL, 0, SCTP_SENDV_NOINFO,
                             0);
    spa.sendv_sndinfo.snd_sid = info->sid;
    spa.sendv_sndinfo.snd_flags = stack_send_flags(info->flags);
    spa.sendv_sndinfo.snd_ppid = info->ppid;
    spa.sendv_sndinfo.snd_context = info->context;
    if (info->policy != 0) {
        spa.sendv_flags |= SCTP_SEND_PRINFO_VALID;
        spa.sendv_prinfo.pr_policy = stack_policy(info->policy);
        spa.sendv_prinfo.pr_value = info->policy_value;
    }
    return usrsctp_sendv(sock->so, flat->bytes, flat->size, NULL, 0, &spa, sizeof spa,
                         SCTP_SENDV_SPA, 0);
}

/* ---- sending */

/* Linux reports every end of an association as EPIPE, but for an error that has not been
 * seen yet. */
static int broken_pipe(struct us_sock *sock)
{
    errno = sock->error != 0 ? sock->error : EPIPE;
    sock->error = 0;
    return -1;
}

/* With a destination: the peer's, or else the association is set up by the way (and *sets_up). */
static int send_target(struct us_sock *sock, const struct msghdr *message,
                       const struct send_info *info, bool *sets_up)
{
    struct us_addr to;

    *sets_up = false;
    if (message->msg_name == NULL || message->msg_namelen == 0)
        return sock->state == US_CONNECTED ? 0 : broken_pipe(sock);
    if (parse_address(sock, message->msg_name, message->msg_namelen, &to) < 0)
        return -1;
    errno = EINVAL;
    if (is_any(&to.ip))
        return -1;
    bool to_peer = sock->link != NULL && to.port == sock->peer_port &&
                   same_address(&to.ip, &sock->link->remote.ip);
    if (sock->state == US_CONNECTED && (!to_peer || stack_association_state(sock) < 0)) {
        errno = EADDRNOTAVAIL;
        return -1;
    }
    if (sock->state == US_CONNECTED || (sock->state == US_CONNECTING && to_peer))
        return 0;
    *sets_up = true;
    if (info->has_init &&
        stack_set(sock, IPPROTO_SCTP, SCTP_INITMSG, &info->init, sizeof info->init) < 0)
        return -1;
    return sock_start_connecting(sock, &to);
}

static size_t send_buffer_size(const struct us_sock *sock)
{
    int size = sock->send_buffer != 0 ? sock->send_buffer : BUFFER_DEFAULT;
    socklen_t length = sizeof size;

    if (sock->so != NULL)
        usrsctp_getsockopt(sock->so, SOL_SOCKET, SO_SNDBUF, &size, &length);
    return (size_t)size;
}

/* In the order of Linux's sctp_sendmsg_parse. SCTP_EOF and SCTP_ABORT are for one-to-many sockets
 * there. */
static int check_send(struct us_sock *sock, const struct msghdr *message, const struct flat *flat,
                      struct send_info *info)
{
    if (sock->state == US_LISTENING)
        return broken_pipe(sock);
    if (flat->size > send_buffer_size(sock)) {
        errno = EMSGSIZE;
        return -1;
    }
    if (parse_send_info(message, info) < 0)
        return -1;
    if ((info->flags & (LX_EOF | LX_ABORT)) || flat->size == 0 ||
        ((info->flags & LX_ADDR_OVER) && message->msg_name == NULL)) {
        errno = EINVAL;
        return -1;
    }
    return 0;
}

/* One try. The number of bytes, or -1 with errno (EAGAIN: no room). */
static ssize_t try_send(struct us_sock *sock, const struct flat *flat, const struct send_info *info)
{
    sock_refresh(sock);
    if (sock->error != 0 || sock->shut_write || sock->so == NULL ||
        (sock->state != US_CONNECTED && sock->state != US_CONNECTING))
        return broken_pipe(sock);
    stack_advance_clock();
    if (!sock->measured && sock->state == US_CONNECTED)
        sock_measure_again(sock);
    ssize_t sent = stack_send(sock, flat, info);
    if (sent >= 0)
        return sent;
    if (errno == ECONNRESET || errno == ENOENT || errno == ENOTCONN)
        return broken_pipe(sock);
    if (errno == EWOULDBLOCK)
        sock->send_blocked = true;
    return -1;
}

static ssize_t send_when_possible(struct us_sock *sock, const struct flat *flat,
                                  const struct send_info *info, bool wait)
{
    uint64_t deadline = deadline_after(sock->send_timeout_ns);

    for (;;) {
        ssize_t sent = try_send(sock, flat, info);
        if (sent >= 0 || errno != EWOULDBLOCK || !wait) {
            ready_update(sock, false);
            return sent;
        }
        if (sock_wait(sock, deadline) < 0) {
            if (errno == ETIMEDOUT)
                errno = EAGAIN;
            return -1;
        }
    }
}

/* A message that sets up the association counts as sent, even if nobody then answers: the error is
 * the next call's. */
static ssize_t send_locked(struct us_sock *sock, const struct msghdr *message,
                           const struct flat *flat, bool wait)
{
    struct send_info info;
    bool sets_up;

    if (!stack_usable(sock))
        return -1;
    sock_refresh(sock);
    if (check_send(sock, message, flat, &info) < 0 ||
        send_target(sock, message, &info, &sets_up) < 0)
        return -1;
    ssize_t sent = send_when_possible(sock, flat, &info, wait);
    if (sets_up && sent < 0) {
        int saved = errno;
        sock_give_up(sock);
        errno = saved;
    } else if (sets_up && wait) {
        (void)sock_await_connected(sock);
    }
    return sent;
}

ssize_t us_sendmsg(int fd, const struct msghdr *message, int flags)
{
    struct us_sock *sock = table_get(fd);
    struct flat flat = {.heap = NULL};
    ssize_t sent = -1;
    int errno_before = errno;

    if (sock == NULL)
        return -1;
    if (bad_pointer(message)) {
        errno = EFAULT;
    } else if (flatten(message, SSIZE_MAX, &flat) == 0) {
        gather(message, &flat);
        stack_lock();
        sent = send_locked(sock, message, &flat,
                           !(flags & MSG_DONTWAIT) && !atomic_load(&sock->nonblocking));
        stack_unlock();
        wire_settle();
    }
    free(flat.heap);
    sock_release(sock);
    if (sent >= 0)
        errno = errno_before;
    if (sent < 0 && errno == EPIPE && !(flags & MSG_NOSIGNAL)) {
        raise(SIGPIPE);
        errno = EPIPE;
    }
    return sent;
}

/* ---- ancillary data of a receive */

struct received {
    int flags;    /* MSG_EOR, LX_MSG_NOTIFICATION */
    bool is_some; /* there is a message, even if no byte of it was asked for */
    bool has_info, has_next;
    struct sctp_recvv_rn info;
};

static void put_control(struct msghdr *message, size_t *used, int type, const void *data,
                        size_t size)
{
    size_t room = message->msg_control == NULL ? 0 : message->msg_controllen - *used;

    if (room < CMSG_LEN(size))
        message->msg_flags |= MSG_CTRUNC;
    if (room < CMSG_LEN(0))
        return;
    if (room < CMSG_LEN(size)) /* what there is room for (net/core/scm.c, put_cmsg) */
        size = room - CMSG_LEN(0);
    struct cmsghdr head = {
        .cmsg_level = IPPROTO_SCTP, .cmsg_type = type, .cmsg_len = CMSG_LEN(size)};
    unsigned char *at = (unsigned char *)message->msg_control + *used;
    memcpy(at, &head, sizeof head);
    memcpy(at + CMSG_LEN(0), data, size);
    *used += room < CMSG_SPACE(size) ? room : CMSG_SPACE(size);
}

static uint16_t linux_flags(uint16_t flags)
{
    return flags & SCTP_UNORDERED ? LX_UNORDERED : 0;
}

static void put_next(struct msghdr *message, size_t *used, const struct sctp_nxtinfo *from)
{
    struct lx_nxtinfo next = {.sid = from->nxt_sid,
                              .flags = linux_flags(from->nxt_flags),
                              .ppid = from->nxt_ppid,
                              .length = from->nxt_length,
                              .assoc_id = (int32_t)from->nxt_assoc_id};

    if (from->nxt_flags & SCTP_NOTIFICATION)
        next.flags |= LX_MSG_NOTIFICATION;
    put_control(message, used, LX_CMSG_NXTINFO, &next, sizeof next);
}

static void put_sndrcv(struct msghdr *message, size_t *used, const struct sctp_rcvinfo *from)
{
    struct lx_sndrcvinfo info = {.stream = from->rcv_sid,
                                 .ssn = from->rcv_ssn,
                                 .flags = linux_flags(from->rcv_flags),
                                 .ppid = from->rcv_ppid,
                                 .context = from->rcv_context,
                                 .tsn = from->rcv_tsn,
                                 .cumtsn = from->rcv_cumtsn,
                                 .assoc_id = (int32_t)from->rcv_assoc_id};

    put_control(message, used, LX_CMSG_SNDRCV, &info, sizeof info);
}

static void put_rcvinfo(struct msghdr *message, size_t *used, const struct sctp_rcvinfo *from)
{
    struct lx_rcvinfo info = {.sid = from->rcv_sid,
                              .ssn = from->rcv_ssn,
                              .flags = linux_flags(from->rcv_flags),
                              .ppid = from->rcv_ppid,
                              .tsn = from->rcv_tsn,
                              .cumtsn = from->rcv_cumtsn,
                              .context = from->rcv_context,
                              .assoc_id = (int32_t)from->rcv_assoc_id};

    put_control(message, used, LX_CMSG_RCVINFO, &info, sizeof info);
}

static void put_ancillary(const struct us_sock *sock, const struct received *received,
                          struct msghdr *message)
{
    size_t used = 0;

    message->msg_flags = received->flags;
    if (received->has_next && sock->want_nxtinfo)
        put_next(message, &used, &received->info.recvv_nxtinfo);
    if (received->has_info && sock->want_rcvinfo)
        put_rcvinfo(message, &used, &received->info.recvv_rcvinfo);
    if (received->has_info && (sock->subscribed & 1))
        put_sndrcv(message, &used, &received->info.recvv_rcvinfo);
    message->msg_controllen = used;
}

/* ---- receiving */

#define LONGEST_READ (1 << 20)

/* One call of the stack's. flags: MSG_PEEK. */
static ssize_t stack_receive(struct us_sock *sock, void *buffer, size_t size, int flags,
                             struct received *received)
{
    union sctp_sockstore from;
    socklen_t from_length = sizeof from, info_length = sizeof received->info;
    unsigned info_type = 0;
    int stack_flags = flags;
    ssize_t got = usrsctp_recvv(sock->so, buffer, size, &from.sa, &from_length, &received->info,
                                &info_length, &info_type, &stack_flags);

    *received = (struct received){.is_some = got > 0, .info = received->info};
    if (got <= 0)
        return got;
    received->flags =
        (stack_flags & MSG_EOR) | (stack_flags & MSG_NOTIFICATION ? LX_MSG_NOTIFICATION : 0);
    received->has_next = info_type == SCTP_RECVV_RN;
    received->has_info = info_type == SCTP_RECVV_RCVINFO;
    if (received->has_next) /* the struct of the other case is its first member */
        received->has_info = true;
    return got;
}

/* The next message is a notification of the stack's: takes it in, rewritten. 0, or -1
 * with errno. */
static int take_note(struct us_sock *sock)
{
    size_t room = 1024, length = 0;
    unsigned char *raw = malloc(room);
    struct received received = {.flags = 0};

    while (raw != NULL && !(received.flags & MSG_EOR)) {
        ssize_t got = stack_receive(sock, raw + length, room - length, 0, &received);
        if (got <= 0)
            break;
        length += (size_t)got;
        if (length == room) {
            unsigned char *grown = realloc(raw, room *= 2);
            if (grown == NULL)
                break;
            raw = grown;
        }
    }
    free(sock->note);
    sock->note = raw == NULL ? NULL : note_translate(sock, raw, length);
    free(raw);
    return 0;
}

static ssize_t read_note(struct us_sock *sock, const struct flat *flat, int flags,
                         struct received *received)
{
    struct us_note *note = sock->note;
    size_t part = note->length - note->taken;

    if (part > flat->size)
        part = flat->size;
    memcpy(flat->bytes, note->bytes + note->taken, part);
    *received = (struct received){.flags = LX_MSG_NOTIFICATION, .is_some = true};
    if (note->taken + part == note->length)
        received->flags |= MSG_EOR;
    if (!(flags & MSG_PEEK))
        note->taken += part;
    if (note->taken == note->length) {
        free(note);
        sock->note = NULL;
    }
    return (ssize_t)part;
}

static bool next_is_note(struct us_sock *sock)
{
    unsigned char byte;
    struct received received;

    return (sock->ever_subscribed & ~1u) &&
           stack_receive(sock, &byte, 1, MSG_PEEK, &received) > 0 &&
           (received.flags & LX_MSG_NOTIFICATION);
}

/* usrsctp says that the first path is confirmed, Linux only that further ones are. */
static bool next_is_confirmation(struct us_sock *sock)
{
    union sctp_notification note;
    struct received received;
    ssize_t got = stack_receive(sock, &note, sizeof note, MSG_PEEK, &received);

    return got >= (ssize_t)sizeof note.sn_paddr_change && (received.flags & LX_MSG_NOTIFICATION) &&
           note.sn_header.sn_type == SCTP_PEER_ADDR_CHANGE &&
           note.sn_paddr_change.spc_state == SCTP_ADDR_CONFIRMED;
}

static void drop_note(struct us_sock *sock)
{
    take_note(sock);
    free(sock->note);
    sock->note = NULL;
}

void sock_drop_confirmations(struct us_sock *sock)
{
    const unsigned address = 1u << (LX_SN_PEER_ADDR_CHANGE - LX_SN_DATA_IO);
    int saved = errno;

    while ((sock->ever_subscribed & address) && sock->note == NULL && sock->so != NULL &&
           sock->state == US_CONNECTED && next_is_confirmation(sock))
        drop_note(sock);
    errno = saved;
}

/* No association any more: see peer_has_ended. */
static ssize_t end_of_file(struct us_sock *sock, bool wait)
{
    if (sock->shut_read || peer_has_ended(sock))
        return 0;
    errno = wait ? ENOTCONN : EAGAIN;
    return -1;
}

/* Nothing to read: why, and is that the end? 0 at the end of the file, or -1 with errno.
 */
static ssize_t nothing_to_read(struct us_sock *sock, int error, bool wait)
{
    if (sock->error != 0) {
        errno = sock->error;
        sock->error = 0;
        return -1;
    }
    if (error == EWOULDBLOCK) {
        if (sock->shut_read)
            return 0;
        errno = EAGAIN;
        return -1;
    }
    if (sock->error_reported || error == ENOTCONN)
        return end_of_file(sock, wait);
    sock->error_reported = true;
    errno = error == ECONNABORTED ? ETIMEDOUT : error;
    return -1;
}

static ssize_t not_connected(struct us_sock *sock, bool wait)
{
    errno = ENOTCONN;
    if (sock->state == US_LISTENING)
        return -1;
    if (sock->error != 0 || sock->was_connected)
        return nothing_to_read(sock, ENOTCONN, wait);
    if (sock->shut_read)
        return 0;
    errno = wait ? ENOTCONN : EAGAIN;
    return -1;
}

/* After SHUT_RD what was there can still be read; what comes later is dropped. */
void sock_stop_reading(struct us_sock *sock)
{
    struct received received;
    unsigned char byte;
    int saved = errno;

    if (stack_receive(sock, &byte, 1, MSG_PEEK, &received) < 0 && errno == EWOULDBLOCK)
        usrsctp_shutdown(sock->so, SHUT_RD);
    errno = saved;
}

/* Closing with data that nobody has read aborts the association; with notifications it
 * must not. */
void sock_drop_notes(struct us_sock *sock)
{
    int saved = errno;

    while (next_is_note(sock))
        drop_note(sock);
    errno = saved;
}

/* One try. The number of bytes, 0 at the end of the file, or -1 with errno (EAGAIN:
 * nothing yet). */
static ssize_t try_receive(struct us_sock *sock, const struct flat *flat, int flags, bool wait,
                           struct received *received)
{
    *received = (struct received){.flags = 0};
    if (sock->note == NULL && sock->state == US_CONNECTING)
        sock_refresh(sock);
    sock_drop_confirmations(sock);
    if (sock->note == NULL && sock->so != NULL && next_is_note(sock))
        take_note(sock);
    if (sock->note != NULL)
        return read_note(sock, flat, flags, received);
    if (sock->state == US_CONNECTING) {
        errno = EAGAIN;
        return -1;
    }
    if (sock->so == NULL || sock->state != US_CONNECTED)
        return not_connected(sock, wait);
    if (sock->shut_read)
        sock_stop_reading(sock);
    stack_advance_clock();
    unsigned char byte;
    bool empty = flat->size == 0; /* waits for a message, and leaves it */
    ssize_t got = stack_receive(sock, empty ? &byte : flat->bytes, empty ? 1 : flat->size,
                                empty ? MSG_PEEK : flags & MSG_PEEK, received);
    if (got < 0)
        return nothing_to_read(sock, errno, wait);
    if (got == 0)
        return end_of_file(sock, wait);
    if (empty)
        received->flags = 0;
    return empty ? 0 : got;
}

static ssize_t receive_locked(struct us_sock *sock, const struct flat *flat, int flags, bool wait,
                              struct received *received)
{
    uint64_t deadline = 0;

    for (;;) {
        if (!stack_usable(sock))
            return -1;
        ssize_t got = try_receive(sock, flat, flags, wait, received);
        if (got >= 0 || errno != EAGAIN || !wait) {
            ready_update(sock, false);
            return got;
        }
        if (deadline == 0)
            deadline = deadline_after(sock->receive_timeout_ns);
        if (sock_wait(sock, deadline) < 0) {
            if (errno == ETIMEDOUT)
                errno = EAGAIN;
            return -1;
        }
    }
}

ssize_t us_recvmsg(int fd, struct msghdr *message, int flags)
{
    struct us_sock *sock = table_get(fd);
    struct received received;
    struct flat flat = {.heap = NULL};
    ssize_t got = -1;
    int errno_before = errno;

    if (sock == NULL)
        return -1;
    if (bad_pointer(message)) {
        errno = EFAULT;
    } else if (flags & MSG_ERRQUEUE) {
        errno = EAGAIN;
    } else if (flatten(message, LONGEST_READ, &flat) == 0) {
        stack_lock();
        got =
            receive_locked(sock, &flat, flags,
                           !(flags & MSG_DONTWAIT) && !atomic_load(&sock->nonblocking), &received);
        struct us_addr peer = sock_peer(sock);
        stack_unlock();
        if (got >= 0) {
            scatter(message, &flat, (size_t)got);
            if (message->msg_name != NULL && received.is_some)
                copy_address(sock, &peer, message->msg_name, &message->msg_namelen);
            else if (message->msg_name != NULL)
                message->msg_namelen = 0;
            put_ancillary(sock, &received, message);
        }
    }
    free(flat.heap);
    sock_release(sock);
    if (got >= 0)
        errno = errno_before;
    return got;
}

/* As Linux counts: what is there of the next message. Locked. */
static int next_message_size(struct us_sock *sock)
{
    struct received received;
    const size_t room = LONGEST_READ;

    sock_drop_confirmations(sock);
    if (sock->note == NULL && sock->so != NULL && next_is_note(sock))
        take_note(sock);
    if (sock->note != NULL)
        return (int)(sock->note->length - sock->note->taken);
    if (sock->so == NULL || sock->state != US_CONNECTED)
        return 0;
    void *buffer = malloc(room);
    if (buffer == NULL)
        return -1;
    ssize_t got = stack_receive(sock, buffer, room, MSG_PEEK, &received);
    free(buffer);
    return got > 0 ? (int)got : 0;
}

int us_readable_bytes(int fd)
{
    struct us_sock *sock = table_get(fd);
    int bytes = -1;

    if (sock == NULL)
        return -1;
    stack_lock();
    if (sock->state == US_LISTENING)
        errno = ENOTCONN;
    else
        bytes = next_message_size(sock);
    stack_unlock();
    sock_release(sock);
    return bytes;
}
