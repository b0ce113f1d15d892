/* Readiness: poll and epoll, for sets that mix sockets of the engine with other
 * descriptors.
 *
 * A blocking program pays nothing for this. A set of ours alone waits as recv does. Only
 * in a mixed set, or in an epoll, is the real descriptor's own readiness kept up: it then
 * is a datagram socket connected to itself, and holds one datagram while an event that
 * somebody asked for is there. The kernel thus only says "look again"; which events hold
 * is found out here. */
#include "internal.h"
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

/* ---- what holds now */

static short listener_events(struct us_sock *sock)
{
    return sock->queue != NULL ? POLLIN | POLLRDNORM : 0;
}

static bool has_data(struct us_sock *sock)
{
    char byte;
    unsigned type;
    int flags = MSG_PEEK;

    return usrsctp_recvv(sock->so, &byte, 1, NULL, NULL, NULL, &(socklen_t){0}, &type, &flags) > 0;
}

/* The stack takes every end for one of the file: see peer_has_ended. */
static bool readable(struct us_sock *sock)
{
    bool ambiguous = (sock->shut_write || sock->error_reported) && !sock->peer_ended;

    return !ambiguous || has_data(sock);
}

static short connected_events(struct us_sock *sock, short asked)
{
    int stack_events = usrsctp_get_events(sock->so);
    short events = 0;

    if ((stack_events & SCTP_EVENT_READ) && readable(sock))
        events |= POLLIN | POLLRDNORM;
    if ((stack_events & SCTP_EVENT_READ) && (asked & POLLRDHUP) && peer_has_ended(sock))
        events |= POLLRDHUP;
    if ((stack_events & SCTP_EVENT_WRITE) && !sock->send_blocked)
        events |= POLLOUT | POLLWRNORM;
    return events;
}

/* As net/sctp/socket.c, sctp_poll: without an association, a socket is neither readable
 * nor writable. */
short sock_events(struct us_sock *sock, short asked)
{
    short events = 0;

    if (sock->generation != stack_generation)
        return POLLERR | POLLHUP;
    sock_refresh(sock);
    if (sock->state == US_LISTENING)
        return listener_events(sock);
    sock_drop_confirmations(sock);
    if (sock->error != 0)
        events |= POLLERR;
    if (sock->note != NULL)
        events |= POLLIN | POLLRDNORM;
    if (sock->shut_read)
        events |= POLLRDHUP | POLLIN | POLLRDNORM;
    if ((sock->shut_read || sock->peer_ended) && sock->shut_write)
        events |= POLLHUP;
    if (sock->so != NULL && sock->state == US_CONNECTED)
        events |= connected_events(sock, asked);
    else if (sock->was_connected)
        events |= POLLOUT | POLLWRNORM;
    return events;
}

/* ---- the real descriptor */

static int connect_to_itself(int fd)
{
    struct sockaddr_un self = {.sun_family = AF_UNIX};
    socklen_t length = sizeof self;

    if (k_bind(fd, &self, sizeof self.sun_family) < 0 || k_getsockname(fd, &self, &length) < 0)
        return -1;
    return k_connect(fd, &self, length);
}

static void raise_signal(struct us_sock *sock)
{
    struct msghdr nothing = {.msg_name = NULL};

    sock->signalled = k_sendmsg(sock->fd, &nothing, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

static void drop_signal(struct us_sock *sock)
{
    struct msghdr nothing = {.msg_name = NULL};

    while (k_recvmsg(sock->fd, &nothing, MSG_DONTWAIT) >= 0)
        continue;
    sock->signalled = errno != EAGAIN;
}

static short interest(const struct us_sock *sock)
{
    return (short)(sock->epoll_interest | sock->poll_interest | POLLERR | POLLHUP);
}

/* Locked. event: something has happened, which who waits for edges must hear of each
 * time. */
void ready_update(struct us_sock *sock, bool event)
{
    if (!sock->armed || sock->fd < 0)
        return;
    bool wanted = (sock_events(sock, interest(sock)) & interest(sock)) != 0;
    if (sock->signalled && (!wanted || (event && sock->edge_watchers > 0)))
        drop_signal(sock);
    if (wanted && !sock->signalled)
        raise_signal(sock);
}

/* Locked. From now on the real descriptor follows what is asked for. */
static int arm(struct us_sock *sock)
{
    if (!sock->armed && connect_to_itself(sock->fd) < 0)
        return -1;
    sock->armed = true;
    ready_update(sock, false);
    return 0;
}

/* ---- poll */

#define REPORTED(asked) ((short)((asked) | POLLERR | POLLHUP | POLLNVAL))

struct member {
    struct us_sock *sock; /* NULL: not ours */
    struct us_watch watch;
};

/* Locked. How many members of the set have something to say. */
static int look(struct pollfd *set, nfds_t count, struct member *members)
{
    int ready = 0;

    for (nfds_t i = 0; i < count; i++) {
        if (members[i].sock == NULL)
            continue;
        set[i].revents =
            (short)(sock_events(members[i].sock, set[i].events) & REPORTED(set[i].events));
        if (set[i].revents != 0)
            ready++;
    }
    return ready;
}

static struct us_sock *first_of(nfds_t count, const struct member *members)
{
    nfds_t i = 0;

    while (i + 1 < count && members[i].sock == NULL)
        i++;
    return members[i].sock;
}

/* All are ours: sleeps as recv does. */
static int poll_ours(struct pollfd *set, nfds_t count, struct member *members, uint64_t deadline_ns)
{
    /* poll is not restarted after a signal: with a time limit, waiting isn't either. */
    uint64_t limit_ns = deadline_ns == NEVER ? INT64_MAX : deadline_ns;

    stack_lock();
    for (;;) {
        struct us_waiter waiter = {.fired = 0};
        int ready = look(set, count, members);
        if (ready > 0 || deadline_ns == 0) {
            stack_unlock();
            return ready;
        }
        for (nfds_t i = 0; i < count; i++)
            if (members[i].sock != NULL)
                watch_add(&members[i].watch, members[i].sock, &waiter);
        waiter_begin(&waiter, first_of(count, members));
        stack_unlock();
        int result = waiter_sleep(&waiter, limit_ns);
        int saved = errno;
        stack_lock();
        waiter_end(&waiter);
        for (nfds_t i = 0; i < count; i++)
            if (members[i].sock != NULL)
                watch_remove(&members[i].watch);
        if (result < 0) {
            ready = saved == ETIMEDOUT ? look(set, count, members) : -1;
            stack_unlock();
            errno = saved;
            return ready;
        }
    }
}

static struct timespec *time_left(uint64_t deadline_ns, struct timespec *left)
{
    uint64_t now = now_ns();
    uint64_t ns = deadline_ns > now ? deadline_ns - now : 0;

    if (deadline_ns == NEVER)
        return NULL;
    *left = (struct timespec){.tv_sec = (time_t)(ns / 1000000000u),
                              .tv_nsec = (long)(ns % 1000000000u)};
    return left;
}

/* A round of the kernel's poll, in which ours are represented by their real descriptors.
 */
static int poll_kernel(struct pollfd *set, nfds_t count, struct member *members,
                       uint64_t deadline_ns, const sigset_t *mask)
{
    struct timespec left;
    struct pollfd *shadow = malloc(count * sizeof *shadow);
    int ready = 0;

    if (shadow == NULL)
        return -1;
    memcpy(shadow, set, count * sizeof *shadow);
    for (nfds_t i = 0; i < count; i++)
        if (members[i].sock != NULL)
            shadow[i].events = POLLIN;
    int result = k_ppoll(shadow, count, time_left(deadline_ns, &left), mask);
    for (nfds_t i = 0; result >= 0 && i < count; i++) {
        if (members[i].sock != NULL)
            continue;
        set[i].revents = shadow[i].revents;
        if (set[i].revents != 0)
            ready++;
    }
    int saved = errno;
    free(shadow);
    errno = saved;
    return result < 0 ? -1 : ready;
}

static void count_poller(struct us_sock *sock, short events, int change)
{
    if (events & (POLLIN | POLLRDNORM | POLLRDHUP))
        sock->poll_readers += (unsigned)change;
    if (events & (POLLOUT | POLLWRNORM))
        sock->poll_writers += (unsigned)change;
    sock->poll_interest = (short)((sock->poll_readers > 0 ? POLLIN | POLLRDHUP : 0) |
                                  (sock->poll_writers > 0 ? POLLOUT : 0));
}

/* change: 1 before the poll, -1 after it. */
static int arm_members(struct pollfd *set, nfds_t count, struct member *members, int change)
{
    int result = 0;

    stack_lock();
    for (nfds_t i = 0; i < count; i++) {
        if (members[i].sock == NULL)
            continue;
        count_poller(members[i].sock, set[i].events, change);
        if (arm(members[i].sock) < 0)
            result = -1;
    }
    stack_unlock();
    return result;
}

static int poll_round(struct pollfd *set, nfds_t count, struct member *members,
                      uint64_t deadline_ns, const sigset_t *mask)
{
    stack_lock();
    int ours = look(set, count, members);
    stack_unlock();
    int others = poll_kernel(set, count, members, ours > 0 ? 0 : deadline_ns, mask);
    if (others < 0)
        return -1;
    stack_lock();
    ours = look(set, count, members);
    for (nfds_t i = 0; i < count; i++)
        if (members[i].sock != NULL)
            ready_update(members[i].sock, false);
    stack_unlock();
    return ours + others;
}

static int poll_mixed(struct pollfd *set, nfds_t count, struct member *members,
                      uint64_t deadline_ns, const sigset_t *mask)
{
    int ready = arm_members(set, count, members, 1);

    if (ready == 0)
        do
            ready = poll_round(set, count, members, deadline_ns, mask);
        while (ready == 0 && now_ns() < deadline_ns);
    int saved = errno;
    arm_members(set, count, members, -1);
    errno = saved;
    return ready;
}

static struct member *find_members(const struct pollfd *set, nfds_t count, bool *mixed)
{
    struct member *members = calloc(count, sizeof *members);

    *mixed = false;
    for (nfds_t i = 0; members != NULL && i < count; i++) {
        if (set[i].fd < 0)
            continue;
        members[i].sock = us_owns(set[i].fd) ? table_get(set[i].fd) : NULL;
        if (members[i].sock == NULL)
            *mixed = true;
    }
    return members;
}

static int valid_timeout(const struct timespec *timeout)
{
    if (timeout != NULL &&
        (timeout->tv_sec < 0 || timeout->tv_nsec < 0 || timeout->tv_nsec > 999999999)) {
        errno = EINVAL;
        return -1;
    }
    return 0;
}

/* An instant from which on waiting is over: 0 not to wait at all, NEVER for ever. */
static uint64_t deadline_of(const struct timespec *timeout)
{
    if (timeout == NULL)
        return NEVER;
    if (timeout->tv_sec == 0 && timeout->tv_nsec == 0)
        return 0;
    return now_ns() + (uint64_t)timeout->tv_sec * 1000000000u + (uint64_t)timeout->tv_nsec;
}

/* With a signal mask, only the kernel can wait: changing the mask and waiting must be one
 * step. */
int us_ppoll(struct pollfd *set, nfds_t count, const struct timespec *timeout, const sigset_t *mask)
{
    bool mixed;

    if (valid_timeout(timeout) < 0)
        return -1;
    uint64_t deadline_ns = deadline_of(timeout);
    struct member *members = find_members(set, count, &mixed);
    if (members == NULL)
        return -1;
    for (nfds_t i = 0; i < count; i++)
        set[i].revents = 0;
    int result = mixed || mask != NULL ? poll_mixed(set, count, members, deadline_ns, mask)
                                       : poll_ours(set, count, members, deadline_ns);
    int saved = errno;
    for (nfds_t i = 0; i < count; i++)
        if (members[i].sock != NULL)
            sock_release(members[i].sock);
    free(members);
    errno = saved;
    return result;
}

/* ---- epoll */

/* A socket of ours in an epoll. The kernel's event carries the address of this one. */
struct membership {
    int epoll_fd, fd;
    struct us_sock *sock; /* no reference: us_close takes it out first */
    uint32_t events;
    epoll_data_t data;
    struct membership *next;
};

#define EPOLL_BUCKETS 256
static struct membership *memberships[EPOLL_BUCKETS]; /* by epoll_fd */
static atomic_int membership_count;
static pthread_mutex_t registry = PTHREAD_MUTEX_INITIALIZER; /* taken before the stack lock */

#define FLAGS_FOR_KERNEL (EPOLLET | EPOLLONESHOT | EPOLLWAKEUP | EPOLLEXCLUSIVE)
#define FLAGS_OF_POLL (POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM | POLLRDHUP)

void ready_reset_after_fork(void)
{
    pthread_mutex_init(&registry, NULL);
}

static struct membership **find_membership(int epoll_fd, int fd)
{
    struct membership **at = &memberships[(unsigned)epoll_fd % EPOLL_BUCKETS];

    while (*at != NULL && ((*at)->epoll_fd != epoll_fd || (*at)->fd != fd))
        at = &(*at)->next;
    return at;
}

/* What all epolls together want of sock. */
static void recount(struct us_sock *sock)
{
    stack_lock();
    sock->epoll_interest = 0;
    sock->edge_watchers = 0;
    for (int i = 0; i < EPOLL_BUCKETS; i++)
        for (struct membership *member = memberships[i]; member != NULL; member = member->next)
            if (member->sock == sock) {
                sock->epoll_interest |= (short)(member->events & FLAGS_OF_POLL);
                sock->edge_watchers += (member->events & EPOLLET) != 0;
            }
    ready_update(sock, false);
    stack_unlock();
}

static int control_kernel(int operation, const struct membership *member)
{
    struct epoll_event event = {.events = EPOLLIN | (member->events & FLAGS_FOR_KERNEL),
                                .data.ptr = (void *)member};
    return k_epoll_ctl(member->epoll_fd, operation, member->fd, &event);
}

static int epoll_add(int epoll_fd, int fd, struct us_sock *sock, const struct epoll_event *event)
{
    struct membership *member = calloc(1, sizeof *member);

    if (member == NULL)
        return -1;
    *member = (struct membership){
        .epoll_fd = epoll_fd, .fd = fd, .sock = sock, .events = event->events, .data = event->data};
    stack_lock();
    int result = arm(sock);
    stack_unlock();
    if (result == 0)
        result = control_kernel(EPOLL_CTL_ADD, member);
    if (result < 0) {
        free(member);
        return -1;
    }
    struct membership **place = &memberships[(unsigned)epoll_fd % EPOLL_BUCKETS];
    member->next = *place;
    *place = member;
    atomic_fetch_add(&membership_count, 1);
    recount(sock);
    return 0;
}

static int epoll_modify(int epoll_fd, int fd, struct us_sock *sock, const struct epoll_event *event)
{
    struct membership *member = *find_membership(epoll_fd, fd);

    if (member == NULL) {
        errno = ENOENT;
        return -1;
    }
    member->events = event->events;
    member->data = event->data;
    if (control_kernel(EPOLL_CTL_MOD, member) < 0)
        return -1;
    recount(sock);
    return 0;
}

static int epoll_delete(int epoll_fd, int fd, struct us_sock *sock)
{
    struct membership **at = find_membership(epoll_fd, fd), *member = *at;

    if (member != NULL) {
        *at = member->next;
        free(member);
        atomic_fetch_sub(&membership_count, 1);
        recount(sock);
    }
    return k_epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

int us_epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event)
{
    struct us_sock *sock = table_get(fd);
    int result;

    if (sock == NULL)
        return -1;
    pthread_mutex_lock(&registry);
    if (operation == EPOLL_CTL_DEL)
        result = epoll_delete(epoll_fd, fd, sock);
    else if (event != NULL && operation == EPOLL_CTL_ADD)
        result = epoll_add(epoll_fd, fd, sock, event);
    else if (event != NULL && operation == EPOLL_CTL_MOD)
        result = epoll_modify(epoll_fd, fd, sock, event);
    else /* the kernel says what is wrong with it */
        result = k_epoll_ctl(epoll_fd, operation, fd, event);
    pthread_mutex_unlock(&registry);
    sock_release(sock);
    return result;
}

bool us_epoll_member(int epoll_fd)
{
    bool found = false;

    if (atomic_load(&membership_count) == 0)
        return false;
    pthread_mutex_lock(&registry);
    for (struct membership *member = memberships[(unsigned)epoll_fd % EPOLL_BUCKETS];
         member != NULL && !found; member = member->next)
        found = member->epoll_fd == epoll_fd;
    pthread_mutex_unlock(&registry);
    return found;
}

/* Takes those that match out of every epoll. fd or epoll_fd may be -1: any. */
static void forget(int epoll_fd, int fd)
{
    if (atomic_load(&membership_count) == 0)
        return;
    pthread_mutex_lock(&registry);
    for (int i = 0; i < EPOLL_BUCKETS; i++) {
        struct membership **at = &memberships[i];
        while (*at != NULL) {
            struct membership *member = *at;
            if ((fd >= 0 && member->fd != fd) || (epoll_fd >= 0 && member->epoll_fd != epoll_fd)) {
                at = &member->next;
                continue;
            }
            *at = member->next;
            if (fd >= 0) /* a duplicate would keep the kernel's half alive */
                k_epoll_ctl(member->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
            recount(member->sock);
            free(member);
            atomic_fetch_sub(&membership_count, 1);
        }
    }
    pthread_mutex_unlock(&registry);
}

void ready_forget(int fd)
{
    forget(-1, fd);
}

void us_epoll_closed(int epoll_fd)
{
    forget(epoll_fd, -1);
}

/* Registry locked. Is this event one of ours? */
static struct membership *member_of_event(int epoll_fd, const struct epoll_event *event)
{
    struct membership *member = memberships[(unsigned)epoll_fd % EPOLL_BUCKETS];

    while (member != NULL && (member->epoll_fd != epoll_fd || member != event->data.ptr))
        member = member->next;
    return member;
}

/* What the kernel reported, in terms of what was asked for. How many events are left. */
static int translate_events(int epoll_fd, struct epoll_event *events, int count)
{
    int kept = 0;

    pthread_mutex_lock(&registry);
    for (int i = 0; i < count; i++) {
        struct membership *member = member_of_event(epoll_fd, &events[i]);
        if (member == NULL) {
            events[kept++] = events[i];
            continue;
        }
        stack_lock();
        short asked = (short)(member->events & FLAGS_OF_POLL);
        uint32_t found = (uint32_t)(unsigned short)sock_events(member->sock, asked) &
                         (member->events | EPOLLERR | EPOLLHUP);
        ready_update(member->sock, false);
        stack_unlock();
        if (found == 0 && (member->events & EPOLLONESHOT))
            control_kernel(EPOLL_CTL_MOD, member); /* that was no shot */
        if (found != 0)
            events[kept++] = (struct epoll_event){.events = found, .data = member->data};
    }
    pthread_mutex_unlock(&registry);
    return kept;
}

int us_epoll_pwait(int epoll_fd, struct epoll_event *events, int count,
                   const struct timespec *timeout, const sigset_t *mask)
{
    if (valid_timeout(timeout) < 0)
        return -1;
    uint64_t deadline_ns = deadline_of(timeout);
    for (;;) {
        int found = k_epoll_pwait(epoll_fd, events, count, milliseconds_until(deadline_ns), mask);
        if (found <= 0)
            return found;
        found = translate_events(epoll_fd, events, found);
        if (found > 0 || now_ns() >= deadline_ns)
            return found;
    }
}
