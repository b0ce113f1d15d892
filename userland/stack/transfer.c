/* Messages between programs and associations. See transfer.h and ../protocol.h. */
#include "transfer.h"
#include "../protocol.h"
#include "handshake.h"
#include "notify.h"
#include "options_sctp.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define PIECE_MAX 200000 /* of a message with a head: so much fits into a record at once */
#define BATCH 64
#define RECORDS 8
#define SMALL_SIZE 512
#define SMALL_BUFFER 16384
#define EARLY_MAX 16

struct held {
    struct held *next; /* to the peer; what is to go to the program is in one piece */
    size_t size, taken;
    bool has_head, ends;
    struct record_head head;
    unsigned char bytes[];
};

/* Records are read several at a time: memory is only taken for what they need. */
static _Alignas(8) unsigned char buffer[sizeof(struct record_head) + MESSAGE_MAX];
static unsigned char records[RECORDS][sizeof(struct record_head) + MESSAGE_MAX];

static struct held *hold(const void *bytes, size_t size)
{
    struct held *held = malloc(sizeof(*held) + size);

    if (held == NULL)
        return NULL;
    *held = (struct held){.size = size};
    memcpy(held->bytes, bytes, size);
    return held;
}

static void let_go(struct held **held)
{
    struct held *next = (*held)->next;

    free(*held);
    *held = next;
}

void transfer_forget(struct sock *sock)
{
    while (sock->to_program != NULL)
        let_go(&sock->to_program);
    while (sock->to_peer != NULL)
        let_go(&sock->to_peer);
    while (sock->early != NULL)
        let_go(&sock->early);
}

/* ---- to the peer */

static uint16_t stack_send_flags(uint16_t flags)
{
    return (uint16_t)((flags & LX_UNORDERED ? SCTP_UNORDERED : 0) |
                      (flags & LX_SACK_IMMEDIATELY ? SCTP_SACK_IMMEDIATELY : 0));
}

/* The head of a record of the program's, if it has one. */
static bool read_head(const struct sock *sock, const unsigned char *bytes, size_t size,
                      struct record_head *head)
{
    if (size <= sizeof(*head))
        return false;
    memcpy(head, bytes, sizeof(*head));
    return head->magic == HEAD_MAGIC && head->id == sock->id;
}

/* A lifetime of no time at all: Linux drops such a message. */
static bool has_expired(const struct sock *sock, const struct record_head *head)
{
    const struct socket_options *options = &sock->options;
    const struct lx_sndrcvinfo *usual =
        options->has_association ? &options->association.send : &options->socket.send;
    unsigned policy = head != NULL ? head->policy : usual->sinfo_flags;

    return (policy & LX_PR_SCTP_MASK) == LX_PR_SCTP_TTL &&
           (head != NULL ? head->policy_value : usual->sinfo_timetolive) == 0;
}

/* One record of the program's, with or without a head. As usrsctp_sendv. */
static ssize_t send_record(struct sock *sock, const unsigned char *bytes, size_t size)
{
    struct sctp_sendv_spa info = {.sendv_flags = SCTP_SEND_SNDINFO_VALID};
    struct record_head head;
    size_t head_size = read_head(sock, bytes, size, &head) ? sizeof(head) : 0;
    bool is_usual = head_size == 0 || (head.flags & HEAD_USUAL);

    if (has_expired(sock, is_usual ? NULL : &head))
        return 0;
    if (is_usual)
        return usrsctp_sendv(sock->so, bytes + head_size, size - head_size, NULL, 0, NULL, 0,
                             SCTP_SENDV_NOINFO, 0);
    info.sendv_sndinfo.snd_sid = head.stream;
    info.sendv_sndinfo.snd_flags = stack_send_flags(head.sctp_flags);
    info.sendv_sndinfo.snd_ppid = head.ppid;
    info.sendv_sndinfo.snd_context = head.context;
    if (head.policy != 0) {
        info.sendv_flags |= SCTP_SEND_PRINFO_VALID;
        info.sendv_prinfo.pr_policy = options_stack_policy(head.policy);
        info.sendv_prinfo.pr_value = head.policy_value;
    }
    return usrsctp_sendv(sock->so, bytes + sizeof(head), size - sizeof(head), NULL, 0, &info,
                         sizeof(info), SCTP_SENDV_SPA, 0);
}

/* Each message costs some hundred bytes of memory beside its own, which usrsctp does not count but
 * Linux does (net/sctp/socket.c, sctp_wspace). So the buffer for messages that are small on average
 * is smaller, and has its size again for the first that needs it. */
static void fit_buffer(struct sock *sock, size_t size)
{
    sock->usual_size =
        (sock->usual_size * 7 + (unsigned)(size < SMALL_SIZE ? size : SMALL_SIZE)) / 8;
    bool small = sock->usual_size < SMALL_SIZE / 2 && size < SMALL_BUFFER / 2;
    if (small == sock->has_small_buffer)
        return;
    int room = small ? SMALL_BUFFER : sock->options.send_buffer;
    if (room <= sock->options.send_buffer &&
        usrsctp_setsockopt(sock->so, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)) == 0)
        sock->has_small_buffer = small;
}

/* Has usrsctp room again, and not only for a byte? A probe of a closed window frees so much. */
static bool has_room(struct sock *sock)
{
    return sock->so == NULL || (usrsctp_get_events(sock->so) & SCTP_EVENT_WRITE) != 0;
}

/* False: usrsctp has no room. What cannot be sent for another reason is
 * lost: the association has ended. */
static bool pass_on(struct sock *sock, const unsigned char *bytes, size_t size)
{
    if (sock->so == NULL)
        return true;
    if (!sock->measured)
        handshake_measure_again(sock);
    fit_buffer(sock, size);
    return send_record(sock, bytes, size) >= 0 || errno != EWOULDBLOCK;
}

/* MSG_MORE: Linux waits for more, until that is enough for a packet, or there will be no more, or a
 * packet goes out anyway, with a SACK. */
static bool waits_for_more(struct sock *sock)
{
    const struct held *last = sock->to_peer;
    size_t total = 0;
    struct record_head head;

    if (last == NULL || sock->closed || sock->shut_write || sock->owes_sack)
        return false;
    for (; last->next != NULL; last = last->next)
        total += last->size;
    return read_head(sock, last->bytes, last->size, &head) && (head.flags & HEAD_MORE) &&
           total + last->size < sock_status(sock).sstat_fragmentation_point;
}

static bool flush_to_peer(struct sock *sock)
{
    if (waits_for_more(sock))
        return true;
    while (sock->to_peer != NULL) {
        if (!has_room(sock) || !pass_on(sock, sock->to_peer->bytes, sock->to_peer->size))
            return false;
        let_go(&sock->to_peer);
    }
    sock->owes_sack = false;
    return true;
}

/* recv has returned 0: what for? A record without bytes says nothing (SCTP has no such messages).
 * Returns whether there may be more. */
static bool handle_end_of_records(struct sock *sock)
{
    struct pollfd end = {.fd = sock->record_watch.fd, .events = POLLIN | POLLRDHUP};

    if (poll(&end, 1, 0) != 1)
        return false;
    if (end.revents & POLLHUP)
        sock->closed = !(sock->shut_read && sock->shut_write) || sock_is_gone(sock);
    if (sock->shut_write && !sock->closed)
        sock_drained(sock);
    else if (end.revents & POLLHUP)
        return false;
    else if ((end.revents & POLLRDHUP) == 0)
        return true;
    else
        (void)sock_shutdown(sock, SHUT_WR); /* by a way that we do not see */
    return false;
}

/* As many as there are, up to RECORDS: their sizes. Returns how many, or -1 with errno. */
static int receive_records(int fd, size_t *sizes)
{
    struct mmsghdr messages[RECORDS];
    struct iovec parts[RECORDS];

    for (int i = 0; i < RECORDS; i++) {
        parts[i] = (struct iovec){records[i], sizeof(records[i])};
        messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &parts[i], .msg_iovlen = 1}};
    }
    int count = recvmmsg(fd, messages, RECORDS, MSG_DONTWAIT, NULL);
    for (int i = 0; i < count; i++)
        sizes[i] = messages[i].msg_len;
    return count;
}

/* Those that usrsctp has no room for are held, one after the other. */
static void pass_on_all(struct sock *sock, const size_t *sizes, int count)
{
    struct held **last = &sock->to_peer;
    struct record_head head;

    while (*last != NULL)
        last = &(*last)->next;
    sock->is_used = true;
    for (int i = 0; i < count; i++) {
        if (sizes[i] == 0)
            continue;
        if (sock->has_filler) {
            sock->has_filler = false;
            continue;
        }
        sock->send_is_due = false;
        bool has_more = read_head(sock, records[i], sizes[i], &head) && (head.flags & HEAD_MORE);
        if (sock->to_peer != NULL || has_more || !pass_on(sock, records[i], sizes[i])) {
            *last = hold(records[i], sizes[i]);
            if (*last != NULL)
                last = &(*last)->next;
        }
    }
    (void)flush_to_peer(sock);
}

/* All that the program has sent, as far as usrsctp has room. Linux can tell the end before the last
 * record (see receive_any in front/receive.c): it has to be told twice. */
static void move_to_peer(struct sock *sock)
{
    size_t sizes[RECORDS];
    bool end_was_told = false;

    if (sock->record_watch.fd == -1 || sock->closed)
        return;
    while (flush_to_peer(sock)) {
        int count = receive_records(sock->record_watch.fd, sizes);
        if (count == -1 && errno == ECONNRESET) /* it has closed, and not read all */
            sock->closed = sock->aborts = sock->data_is_unread;
        if (count == -1 && !sock->closed && (errno == EINTR || errno == ECONNRESET))
            continue;
        if (count == -1)
            return;
        pass_on_all(sock, sizes, count);
        bool may_have_ended = count > 0 && sizes[count - 1] == 0;
        if (may_have_ended && end_was_told ? !handle_end_of_records(sock)
                                           : !may_have_ended && count < RECORDS)
            return;
        end_was_told = may_have_ended && !end_was_told;
    }
}

/* ---- to the program */

static int end_marker(void)
{
    static int fd = -1;

    if (fd == -1)
        fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return fd;
}

/* Sends chunks, as many as there is room for. The beginning of a message is sent only up to the
 * last full chunk. Returns how many bytes went, or -1 with errno when none did. */
static ssize_t send_chunks(int fd, const unsigned char *bytes, size_t size, bool ends)
{
    struct mmsghdr messages[BATCH];
    struct iovec parts[BATCH];
    union descriptor_control control;
    unsigned count = 0;
    size_t at = 0;

    while (count < BATCH && (size - at >= CHUNK_SIZE || (ends && at < size))) {
        size_t part = size - at < CHUNK_SIZE ? size - at : CHUNK_SIZE;
        parts[count] = (struct iovec){(void *)(uintptr_t)(bytes + at), part};
        messages[count] = (struct mmsghdr){.msg_hdr = {.msg_iov = &parts[count], .msg_iovlen = 1}};
        at += part;
        if (ends && at == size && part == CHUNK_SIZE)
            attach_descriptor(&messages[count].msg_hdr, &control, end_marker());
        count++;
    }
    if (count == 0)
        return 0;
    if (count == 1) /* as most messages are */
        return sendmsg(fd, &messages[0].msg_hdr, MSG_DONTWAIT | MSG_NOSIGNAL) == -1 ? -1
                                                                                    : (ssize_t)at;
    int sent = sendmmsg(fd, messages, count, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent <= 0)
        return -1;
    return sent == (int)count ? (ssize_t)at : (ssize_t)sent * CHUNK_SIZE;
}

/* A piece of a message, or all of it, with its head: as send_chunks. */
static ssize_t send_with_head(int fd, const struct record_head *head, const unsigned char *bytes,
                              size_t size, bool ends)
{
    struct record_head copy = *head;
    size_t part = size < PIECE_MAX ? size : PIECE_MAX;
    struct iovec parts[2] = {{&copy, sizeof(copy)}, {(void *)(uintptr_t)bytes, part}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};

    if (!ends || part < size)
        copy.flags |= HEAD_CONTINUED;
    return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == -1 ? -1 : (ssize_t)part;
}

/* The kernel counts each chunk with its bookkeeping: a buffer of twice the size holds as much as the
 * association's own. Only programs that are slower than their peers need that. */
static bool widen(struct sock *sock)
{
    const int size = SOCKET_BUFFER;

    if (sock->is_wide)
        return false;
    sock->is_wide = true;
    return setsockopt(sock->record_watch.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) == 0;
}

/* Returns how much the program's socket took. What it refuses for good counts as taken. */
static size_t deliver(struct sock *sock, const struct record_head *head, const unsigned char *bytes,
                      size_t size, bool ends)
{
    size_t done = 0;

    while (done < size) {
        int fd = sock->record_watch.fd;
        ssize_t sent = head != NULL ? send_with_head(fd, head, bytes + done, size - done, ends)
                                    : send_chunks(fd, bytes + done, size - done, ends);
        if (sent == -1 && errno == EINTR)
            continue;
        if (sent == -1 && errno == EAGAIN && widen(sock))
            continue;
        if (sent == -1 && errno == EAGAIN) {
            sock_watch_room(sock, true);
            return done;
        }
        if (sent == -1)
            return size;
        if (sent == 0)
            return done;
        done += (size_t)sent;
    }
    return done;
}

/* How many bytes of the kernel's memory take the records that the program has not read? */
static unsigned unread_size(const struct sock *sock)
{
    int size = 0;

    return ioctl(sock->record_watch.fd, SIOCOUTQ, &size) == 0 ? (unsigned)size : 0;
}

void transfer_check_early(struct sock *sock)
{
    bool is_first = sock->early == NULL && sock->early_size == 0;

    if (sock->has_heads ||
        (!sock->early_is_over && (is_first || unread_size(sock) == sock->early_size)))
        return;
    sock->early_is_over = true;
    while (sock->early != NULL)
        let_go(&sock->early);
}

/* To be called when a message has been delivered without a head, and nothing was read before. */
static void keep_early(struct sock *sock, const struct record_head *head)
{
    struct held **last = &sock->early;
    unsigned count = 0;

    for (; *last != NULL; last = &(*last)->next)
        count++;
    *last = hold("", 0);
    if (*last == NULL || count == EARLY_MAX || sock->to_program != NULL) {
        sock->early_is_over = true;
        transfer_check_early(sock);
        return;
    }
    (*last)->head = *head;
    sock->early_size = unread_size(sock);
}

static void stamp(const struct sock *sock, struct record_head *head)
{
    struct timespec now = {.tv_sec = 0};

    head->stamp = sock->options.stamps;
    if (head->stamp != 0)
        clock_gettime(CLOCK_REALTIME, &now);
    head->seconds = (uint64_t)now.tv_sec;
    head->nanoseconds = (uint32_t)now.tv_nsec;
}

const struct record_head *transfer_early_head(struct sock *sock, int which)
{
    static struct record_head head;
    const struct held *held = sock->early;

    if (held != NULL && which == HEAD_SECOND)
        held = held->next;
    if (held == NULL)
        return NULL;
    head = held->head;
    stamp(sock, &head); /* as Linux does where it has not noted the time */
    if (which == HEAD_READ)
        let_go(&sock->early);
    return &head;
}

/* Closing with unread data aborts the association, but notifications do not count. */
static void note_unread(struct sock *sock, bool is_note)
{
    if (!sock->has_heads)
        sock->data_is_unread = true;
    else if (unread_size(sock) == 0)
        sock->data_is_unread = !is_note;
    else if (!is_note)
        sock->data_is_unread = true;
}

/* Delivers what is new, and holds what there is no room for. */
static void deliver_or_hold(struct sock *sock, const struct record_head *head,
                            const unsigned char *bytes, size_t size, bool ends)
{
    note_unread(sock, head != NULL && (head->flags & HEAD_NOTIFICATION));
    size_t done = deliver(sock, head, bytes, size, ends);

    if (done == size)
        return;
    struct held *held = hold(bytes + done, size - done);
    if (held == NULL)
        return;
    held->has_head = head != NULL;
    if (head != NULL)
        held->head = *head;
    held->ends = ends;
    sock->to_program = held;
}

/* True when nothing is held any more but the beginning of a message. */
static bool flush_to_program(struct sock *sock)
{
    struct held *held = sock->to_program;

    if (held == NULL)
        return true;
    held->taken += deliver(sock, held->has_head ? &held->head : NULL, held->bytes + held->taken,
                           held->size - held->taken, held->ends);
    if (held->taken == held->size)
        let_go(&sock->to_program);
    return sock->to_program == NULL || (!held->ends && held->size - held->taken < CHUNK_SIZE);
}

/* What was held of the message's beginning comes first. Returns the size of both, in buffer. */
static size_t begin_with_held(struct sock *sock)
{
    struct held *held = sock->to_program;

    if (held == NULL)
        return 0;
    size_t size = held->size - held->taken;
    memcpy(buffer, held->bytes + held->taken, size);
    let_go(&sock->to_program);
    return size;
}

struct received {
    ssize_t size;
    bool ends, is_note, has_info;
    struct sctp_rcvinfo info;
};

static struct received receive(struct sock *sock, unsigned char *bytes, size_t room)
{
    struct received received = {.size = 0};
    struct sctp_recvv_rn info;
    union sctp_sockstore from;
    socklen_t from_size = sizeof(from), info_size = sizeof(info);
    unsigned type = 0;
    int flags = 0;

    received.size = usrsctp_recvv(sock->so, bytes, room, &from.sa, &from_size, &info, &info_size,
                                  &type, &flags);
    sock->owes_sack |= received.size > 0 && sock->to_peer != NULL;
    received.ends = (flags & MSG_EOR) != 0;
    received.is_note = (flags & MSG_NOTIFICATION) != 0;
    received.has_info = type == SCTP_RECVV_RCVINFO || type == SCTP_RECVV_RN;
    if (received.has_info)
        received.info = info.recvv_rcvinfo;
    return received;
}

static struct record_head make_head(const struct sock *sock, const struct received *received)
{
    const struct sctp_rcvinfo *info = &received->info;
    struct record_head head = {.magic = HEAD_MAGIC,
                               .id = sock->id,
                               .stream = info->rcv_sid,
                               .ssn = info->rcv_ssn,
                               .sctp_flags = info->rcv_flags & SCTP_UNORDERED ? LX_UNORDERED : 0,
                               .ppid = info->rcv_ppid,
                               .context = info->rcv_context,
                               .tsn = info->rcv_tsn,
                               .cumtsn = info->rcv_cumtsn,
                               .association = (int32_t)info->rcv_assoc_id};

    stamp(sock, &head);
    return head;
}

void transfer_note(struct sock *sock, const void *note, size_t size)
{
    static const struct received nothing;
    struct record_head head = make_head(sock, &nothing);

    head.flags = HEAD_NOTIFICATION;
    if (size > 0 && sock->record_watch.fd != -1 && sock->to_program == NULL)
        deliver_or_hold(sock, &head, note, size, true);
}

static void receive_note(struct sock *sock, size_t size)
{
    transfer_note(sock, buffer, notify_translate(sock, buffer, size));
}

/* A message, or what has come of it. The beginning of one can wait in to_program. */
static struct received receive_message(struct sock *sock, size_t *size)
{
    struct received received;

    *size = begin_with_held(sock);
    do {
        received = receive(sock, buffer + *size, sizeof(buffer) - *size);
        if (received.size > 0)
            *size += (size_t)received.size;
    } while (received.size > 0 && !received.ends && *size < sizeof(buffer));
    return received;
}

static void deliver_message(struct sock *sock, const struct record_head *head, size_t size,
                            bool ends)
{
    bool has_head = sock_wants_heads(sock), is_early = !sock->has_heads && !sock->early_is_over;

    if (is_early)
        transfer_check_early(sock);
    deliver_or_hold(sock, has_head ? head : NULL, buffer, size, ends);
    if (is_early && !sock->early_is_over)
        keep_early(sock, head);
}

/* All messages that are there and that the program has room for. Returns 0, or -1 with errno, or 1
 * at the end of the file. */
static int move_to_program(struct sock *sock)
{
    for (;;) {
        size_t size;
        if (!flush_to_program(sock))
            return fail(EAGAIN);
        struct received received = receive_message(sock, &size);
        int error = errno;
        struct record_head head = make_head(sock, &received);
        if (size > 0 && received.is_note)
            receive_note(sock, size);
        else if (size > 0 && !sock->shut_read)
            deliver_message(sock, &head, size, received.ends);
        if (received.size > 0)
            continue;
        if (sock->owes_sack)
            (void)flush_to_peer(sock);
        errno = error;
        return received.size == 0 ? 1 : -1;
    }
}

/* ---- the end */

/* Closing with data that nobody has read aborts the association; with notifications it must not. */
static bool has_unread_data(struct sock *sock)
{
    if (sock->to_program != NULL &&
        !(sock->to_program->has_head && (sock->to_program->head.flags & HEAD_NOTIFICATION)))
        return true;
    while (sock->so != NULL) {
        struct received received = receive(sock, buffer, sizeof(buffer));
        if (received.size <= 0)
            return false;
        if (!received.is_note)
            return true;
    }
    return false;
}

/* The program has closed it: when all that it sent has gone to usrsctp, the rest is SCTP's. */
static void finish_closed(struct sock *sock)
{
    if (!sock->aborts && sock->record_watch.fd != -1 && has_unread_data(sock))
        sock->aborts = true;
    if (sock->aborts || flush_to_peer(sock))
        sock_close(sock, sock->aborts);
}

/* A peer's SHUTDOWN is the end of the file; but where the program wants to know how the
 * association ends, that comes first. */
static bool more_is_to_come(struct sock *sock)
{
    const unsigned association = 1u << (LX_ASSOC_CHANGE - LX_DATA_IO_EVENT);

    return (sock->options.subscribed & association) != 0 && sock_association_state(sock) >= 0;
}

static void handle_end(struct sock *sock, int result)
{
    if (result == 1 && more_is_to_come(sock))
        return;
    if (result == 1 || errno == ENOTCONN) {
        move_to_peer(sock);
        if (sock->closed)
            finish_closed(sock);
        else
            sock_end(sock, sock->error);
    } else if (errno != EWOULDBLOCK) {
        int error = sock->error != 0 ? sock->error : errno == ECONNABORTED ? ETIMEDOUT : errno;
        sock_end(sock, error);
    }
}

/* has_sent: there may be records of the program's. */
static void move_connected(struct sock *sock, bool has_sent)
{
    if (sock->linger_until_ns != 0) { /* closed already: somebody waits for the end */
        if (sock_association_state(sock) < 0 || loop_now_ns() > sock->linger_until_ns)
            sock_end(sock, 0);
        return;
    }
    if (has_sent || (sock->to_peer != NULL && has_room(sock)))
        move_to_peer(sock);
    if (sock->closed) {
        finish_closed(sock);
        return;
    }
    int result = move_to_program(sock);
    if (result == 1 || errno != EAGAIN)
        handle_end(sock, result);
}

void transfer_move(struct sock *sock)
{
    bool was_connecting = sock->state == SOCKET_CONNECTING;

    sock_refresh(sock);
    if (sock->state == SOCKET_CONNECTED && sock->so != NULL)
        move_connected(sock, was_connecting || sock->has_filler);
}

/* Without an association nothing can come but the end; and what is sent all the same is lost. */
static void handle_unconnected(struct sock *sock, bool has_hung_up)
{
    bool both_shut = (sock->shut_read || sock->end_is_shown) && sock->shut_write;

    if (sock->send_is_due)
        sock_sent(sock);
    if (sock->record_watch.fd == -1)
        return;
    if (sock->was_connected)
        while (recv(sock->record_watch.fd, buffer, sizeof(buffer), MSG_DONTWAIT) > 0)
            continue;
    if (has_hung_up && (!both_shut || sock_is_gone(sock)))
        sock_close(sock, sock->state == SOCKET_CONNECTING);
}

void transfer_records(struct watch *watch, uint32_t events)
{
    struct sock *sock = (struct sock *)watch;

    if (events & EPOLLOUT) {
        sock_watch_room(sock, false);
        sock_changed(sock);
    }
    sock_refresh(sock);
    if (sock->state == SOCKET_CONNECTED && sock->so != NULL)
        move_connected(sock, true);
    else
        handle_unconnected(sock, (events & EPOLLHUP) != 0);
}
