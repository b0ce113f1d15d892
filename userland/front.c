/* libc's names, in front of the kernel and the engine.
 *
 * socket() asks the kernel for SCTP first and the engine where the kernel has none;
 * SCTP_STACK chooses otherwise. Every other call looks whether its descriptor is the
 * engine's, and goes to libc if not. Linked into a program, or preloaded by withusrsctp.
 */
#include "engine.h"
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

/* Calls libc's function of that name: whatever comes behind us in the search order. */
#define LIBC(name, ...)                                                                            \
    __extension__({                                                                                \
        static _Atomic(void *) found;                                                              \
        void *function = found;                                                                    \
        __typeof__(&name) call;                                                                    \
        if (function == NULL)                                                                      \
            found = function = dlsym(RTLD_NEXT, #name);                                            \
        memcpy(&call, &function, sizeof call);                                                     \
        call(__VA_ARGS__);                                                                         \
    })

/* ---- which stack */

enum stack_choice { CHOICE_AUTO, CHOICE_KERNEL, CHOICE_ENGINE, CHOICE_INVALID };

static enum stack_choice choice;
static long udp_port = 9899; /* IANA: SCTP over UDP */

static void complain(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, why);
}

static void read_choice(void)
{
    const char *value = getenv("SCTP_STACK");

    if (value == NULL || strcmp(value, "auto") == 0) {
        choice = CHOICE_AUTO;
    } else if (strcmp(value, "kernel") == 0) {
        choice = CHOICE_KERNEL;
    } else if (strcmp(value, "usrsctp") == 0) {
        choice = CHOICE_ENGINE;
    } else {
        choice = CHOICE_INVALID;
        fprintf(stderr, "%s: SCTP_STACK: '%s' is not auto, kernel or usrsctp\n",
                program_invocation_short_name, value);
    }
}

static void read_udp_port(void)
{
    const char *value = getenv("SCTP_UDP_PORT");
    char *end;

    if (value == NULL)
        return;
    errno = 0;
    long port = strtol(value, &end, 10);
    if (errno != 0 || end == value || *end != '\0' || port < 1 || port > 65535) {
        choice = CHOICE_INVALID;
        fprintf(stderr, "%s: SCTP_UDP_PORT: '%s' is not a port, 1 to 65535\n",
                program_invocation_short_name, value);
        return;
    }
    udp_port = port;
}

static void read_environment(void)
{
    int saved = errno;

    read_choice();
    read_udp_port();
    us_configure((uint16_t)udp_port, complain);
    errno = saved;
}

static void announce(void)
{
    fprintf(stderr, "%s: socket: this kernel has no SCTP: using usrsctp, SCTP over UDP port %ld\n",
            program_invocation_short_name, udp_port);
}

static void explain_one_to_many(void)
{
    complain("socket", "over usrsctp there are one-to-one SCTP sockets (SOCK_STREAM) only");
}

static int engine_socket(int domain, int type, int protocol)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    if ((type & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) == SOCK_SEQPACKET)
        pthread_once(&once, explain_one_to_many);
    return us_socket(domain, type, protocol);
}

static int kernel_or_engine(int domain, int type, int protocol)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    int fd = LIBC(socket, domain, type, protocol);

    if (fd >= 0 || (errno != EPROTONOSUPPORT && errno != ESOCKTNOSUPPORT))
        return fd;
    fd = engine_socket(domain, type, protocol);
    if (fd >= 0)
        pthread_once(&once, announce);
    return fd;
}

EXPORT int socket(int domain, int type, int protocol)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    if (protocol != IPPROTO_SCTP || (domain != AF_INET && domain != AF_INET6) ||
        (type & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) == SOCK_RAW)
        return LIBC(socket, domain, type, protocol);
    pthread_once(&once, read_environment);
    switch (choice) {
    case CHOICE_KERNEL: return LIBC(socket, domain, type, protocol);
    case CHOICE_ENGINE: return engine_socket(domain, type, protocol);
    case CHOICE_INVALID: errno = EINVAL; return -1;
    default: return kernel_or_engine(domain, type, protocol);
    }
}

/* ---- the life of a socket */

EXPORT int bind(int fd, __CONST_SOCKADDR_ARG address, socklen_t length)
{
    if (us_owns(fd))
        return us_bind(fd, address.__sockaddr__, length);
    return LIBC(bind, fd, address, length);
}

EXPORT int listen(int fd, int backlog)
{
    if (us_owns(fd))
        return us_listen(fd, backlog);
    return LIBC(listen, fd, backlog);
}

EXPORT int accept(int fd, __SOCKADDR_ARG address, socklen_t *restrict length)
{
    if (us_owns(fd))
        return us_accept(fd, address.__sockaddr__, length, 0);
    return LIBC(accept, fd, address, length);
}

EXPORT int accept4(int fd, __SOCKADDR_ARG address, socklen_t *restrict length, int flags)
{
    if (us_owns(fd))
        return us_accept(fd, address.__sockaddr__, length, flags);
    return LIBC(accept4, fd, address, length, flags);
}

EXPORT int connect(int fd, __CONST_SOCKADDR_ARG address, socklen_t length)
{
    if (us_owns(fd))
        return us_connect(fd, address.__sockaddr__, length);
    return LIBC(connect, fd, address, length);
}

EXPORT int shutdown(int fd, int how)
{
    if (us_owns(fd))
        return us_shutdown(fd, how);
    return LIBC(shutdown, fd, how);
}

EXPORT int getsockname(int fd, __SOCKADDR_ARG address, socklen_t *restrict length)
{
    if (us_owns(fd))
        return us_getsockname(fd, address.__sockaddr__, length);
    return LIBC(getsockname, fd, address, length);
}

EXPORT int getpeername(int fd, __SOCKADDR_ARG address, socklen_t *restrict length)
{
    if (us_owns(fd))
        return us_getpeername(fd, address.__sockaddr__, length);
    return LIBC(getpeername, fd, address, length);
}

EXPORT int getsockopt(int fd, int level, int name, void *restrict value, socklen_t *restrict length)
{
    if (us_owns(fd))
        return us_getsockopt(fd, level, name, value, length);
    return LIBC(getsockopt, fd, level, name, value, length);
}

EXPORT int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
    if (us_owns(fd))
        return us_setsockopt(fd, level, name, value, length);
    return LIBC(setsockopt, fd, level, name, value, length);
}

/* ---- sending */

static ssize_t engine_send(int fd, const void *buffer, size_t size, int flags,
                           const struct sockaddr *address, socklen_t length)
{
    struct iovec part = {.iov_base = (void *)(uintptr_t)buffer, .iov_len = size};
    struct msghdr message = {.msg_name = (void *)(uintptr_t)address,
                             .msg_namelen = address == NULL ? 0 : length,
                             .msg_iov = &part,
                             .msg_iovlen = 1};

    return us_sendmsg(fd, &message, flags);
}

EXPORT ssize_t send(int fd, const void *buffer, size_t size, int flags)
{
    if (us_owns(fd))
        return engine_send(fd, buffer, size, flags, NULL, 0);
    return LIBC(send, fd, buffer, size, flags);
}

EXPORT ssize_t sendto(int fd, const void *buffer, size_t size, int flags,
                      __CONST_SOCKADDR_ARG address, socklen_t length)
{
    if (us_owns(fd))
        return engine_send(fd, buffer, size, flags, address.__sockaddr__, length);
    return LIBC(sendto, fd, buffer, size, flags, address, length);
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    if (us_owns(fd))
        return us_sendmsg(fd, message, flags);
    return LIBC(sendmsg, fd, message, flags);
}

EXPORT int sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
    if (!us_owns(fd))
        return LIBC(sendmmsg, fd, messages, count, flags);
    for (unsigned i = 0; i < count; i++) {
        ssize_t sent = us_sendmsg(fd, &messages[i].msg_hdr, flags);
        if (sent < 0)
            return i > 0 ? (int)i : -1;
        messages[i].msg_len = (unsigned)sent;
    }
    return (int)count;
}

EXPORT ssize_t write(int fd, const void *buffer, size_t size)
{
    if (us_owns(fd))
        return engine_send(fd, buffer, size, 0, NULL, 0);
    return LIBC(write, fd, buffer, size);
}

EXPORT ssize_t writev(int fd, const struct iovec *parts, int count)
{
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)parts,
                             .msg_iovlen = (size_t)count};

    if (us_owns(fd))
        return us_sendmsg(fd, &message, 0);
    return LIBC(writev, fd, parts, count);
}

/* ---- receiving */

static ssize_t engine_receive(int fd, void *buffer, size_t size, int flags,
                              struct sockaddr *address, socklen_t *length)
{
    struct iovec part = {.iov_base = buffer, .iov_len = size};
    struct msghdr message = {.msg_name = address,
                             .msg_namelen = address == NULL || length == NULL ? 0 : *length,
                             .msg_iov = &part,
                             .msg_iovlen = 1};
    ssize_t got = us_recvmsg(fd, &message, flags);

    if (got >= 0 && address != NULL && length != NULL)
        *length = message.msg_namelen;
    return got;
}

EXPORT ssize_t recv(int fd, void *buffer, size_t size, int flags)
{
    if (us_owns(fd))
        return engine_receive(fd, buffer, size, flags, NULL, NULL);
    return LIBC(recv, fd, buffer, size, flags);
}

EXPORT ssize_t recvfrom(int fd, void *restrict buffer, size_t size, int flags,
                        __SOCKADDR_ARG address, socklen_t *restrict length)
{
    if (us_owns(fd))
        return engine_receive(fd, buffer, size, flags, address.__sockaddr__, length);
    return LIBC(recvfrom, fd, buffer, size, flags, address, length);
}

EXPORT ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    if (us_owns(fd))
        return us_recvmsg(fd, message, flags);
    return LIBC(recvmsg, fd, message, flags);
}

EXPORT int recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
                    struct timespec *timeout)
{
    if (!us_owns(fd))
        return LIBC(recvmmsg, fd, messages, count, flags, timeout);
    for (unsigned i = 0; i < count; i++) {
        int more = i > 0 && (flags & MSG_WAITFORONE) ? MSG_DONTWAIT : 0;
        ssize_t got = us_recvmsg(fd, &messages[i].msg_hdr, (flags & ~MSG_WAITFORONE) | more);
        if (got < 0)
            return i > 0 ? (int)i : -1;
        messages[i].msg_len = (unsigned)got;
    }
    return (int)count;
}

EXPORT ssize_t read(int fd, void *buffer, size_t size)
{
    if (us_owns(fd))
        return engine_receive(fd, buffer, size, 0, NULL, NULL);
    return LIBC(read, fd, buffer, size);
}

EXPORT ssize_t readv(int fd, const struct iovec *parts, int count)
{
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)parts,
                             .msg_iovlen = (size_t)count};

    if (us_owns(fd))
        return us_recvmsg(fd, &message, 0);
    return LIBC(readv, fd, parts, count);
}

/* ---- what _FORTIFY_SOURCE makes of them: the size of the buffer comes along */

void __chk_fail(void) __attribute__((noreturn));

EXPORT ssize_t __read_chk(int fd, void *buffer, size_t size, size_t room);
EXPORT ssize_t __read_chk(int fd, void *buffer, size_t size, size_t room)
{
    if (size > room)
        __chk_fail();
    return read(fd, buffer, size);
}

EXPORT ssize_t __recv_chk(int fd, void *buffer, size_t size, size_t room, int flags);
EXPORT ssize_t __recv_chk(int fd, void *buffer, size_t size, size_t room, int flags)
{
    if (size > room)
        __chk_fail();
    return recv(fd, buffer, size, flags);
}

EXPORT ssize_t __recvfrom_chk(int fd, void *restrict buffer, size_t size, size_t room, int flags,
                              __SOCKADDR_ARG address, socklen_t *restrict length);
EXPORT ssize_t __recvfrom_chk(int fd, void *restrict buffer, size_t size, size_t room, int flags,
                              __SOCKADDR_ARG address, socklen_t *restrict length)
{
    if (size > room)
        __chk_fail();
    return recvfrom(fd, buffer, size, flags, address, length);
}

EXPORT int __poll_chk(struct pollfd *set, nfds_t count, int timeout_ms, size_t room);
EXPORT int __poll_chk(struct pollfd *set, nfds_t count, int timeout_ms, size_t room)
{
    if (room / sizeof *set < count)
        __chk_fail();
    return poll(set, count, timeout_ms);
}

EXPORT int __ppoll_chk(struct pollfd *set, nfds_t count, const struct timespec *timeout,
                       const sigset_t *mask, size_t room);
EXPORT int __ppoll_chk(struct pollfd *set, nfds_t count, const struct timespec *timeout,
                       const sigset_t *mask, size_t room)
{
    if (room / sizeof *set < count)
        __chk_fail();
    return ppoll(set, count, timeout, mask);
}

/* ---- descriptors */

EXPORT int close(int fd)
{
    if (us_owns(fd))
        return us_close(fd);
    if (us_reserved(fd)) {
        errno = EBADF;
        return -1;
    }
    us_epoll_closed(fd);
    return LIBC(close, fd);
}

/* The next descriptor from first on that the engine needs for itself, or last + 1. */
static unsigned next_reserved(unsigned first, unsigned last)
{
    unsigned limit = last < 1u << 20 ? last : 1u << 20;

    for (unsigned fd = first; fd <= limit; fd++)
        if (us_reserved((int)fd))
            return fd;
    return last == ~0u ? last : last + 1;
}

EXPORT int close_range(unsigned first, unsigned last, int flags)
{
    if (first > last || (flags & (int)CLOSE_RANGE_CLOEXEC))
        return LIBC(close_range, first, last, flags);
    for (unsigned fd = first; fd <= last && fd < 1u << 20; fd++)
        if (us_owns((int)fd))
            us_close((int)fd);
    while (first <= last) {
        unsigned stop = next_reserved(first, last);
        unsigned end = stop == ~0u ? last : stop - 1;
        if (stop > first && LIBC(close_range, first, end, flags) < 0)
            return -1;
        if (stop > last || stop == ~0u)
            break;
        first = stop + 1;
    }
    return 0;
}

EXPORT void closefrom(int first)
{
    close_range(first < 0 ? 0 : (unsigned)first, ~0u, 0);
}

EXPORT int dup(int fd)
{
    int copy = LIBC(dup, fd);

    if (copy >= 0 && us_owns(fd))
        us_alias(fd, copy);
    return copy;
}

/* copy has been made to name what fd names. */
static int take_over(int fd, int copy)
{
    if (fd == copy)
        return copy;
    us_epoll_closed(copy);
    if (us_owns(fd))
        us_alias(fd, copy);
    else
        us_forget(copy);
    return copy;
}

EXPORT int dup2(int fd, int copy)
{
    if (us_reserved(copy)) {
        errno = EBUSY;
        return -1;
    }
    int result = LIBC(dup2, fd, copy);
    return result < 0 ? -1 : take_over(fd, copy);
}

EXPORT int dup3(int fd, int copy, int flags)
{
    if (us_reserved(copy)) {
        errno = EBUSY;
        return -1;
    }
    int result = LIBC(dup3, fd, copy, flags);
    return result < 0 ? -1 : take_over(fd, copy);
}

/* The real descriptor has the flags too, for whoever asks or inherits it. */
static int control(int fd, int command, void *argument)
{
    int result = LIBC(fcntl, fd, command, argument);

    if (result < 0 || !us_owns(fd))
        return result;
    if (command == F_DUPFD || command == F_DUPFD_CLOEXEC)
        us_alias(fd, result);
    else if (command == F_SETFL)
        us_set_nonblocking(fd, ((intptr_t)argument & O_NONBLOCK) != 0);
    return result;
}

EXPORT int fcntl(int fd, int command, ...)
{
    va_list arguments;

    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    return control(fd, command, argument);
}

EXPORT int fcntl64(int fd, int command, ...)
{
    va_list arguments;

    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    return control(fd, command, argument);
}

EXPORT int ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;

    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    if (us_owns(fd) && request == FIONREAD) {
        int bytes = us_readable_bytes(fd);
        if (bytes >= 0)
            *(int *)argument = bytes;
        return bytes < 0 ? -1 : 0;
    }
    int result = LIBC(ioctl, fd, request, argument);
    if (result >= 0 && request == FIONBIO && us_owns(fd))
        us_set_nonblocking(fd, *(int *)argument != 0);
    return result;
}

/* ---- poll, select */

static bool owns_any(const struct pollfd *set, nfds_t count)
{
    for (nfds_t i = 0; i < count; i++)
        if (us_owns(set[i].fd))
            return true;
    return false;
}

EXPORT int poll(struct pollfd *set, nfds_t count, int timeout_ms)
{
    struct timespec timeout = {.tv_sec = timeout_ms / 1000,
                               .tv_nsec = (long)(timeout_ms % 1000) * 1000000};

    if (owns_any(set, count))
        return us_ppoll(set, count, timeout_ms < 0 ? NULL : &timeout, NULL);
    return LIBC(poll, set, count, timeout_ms);
}

EXPORT int ppoll(struct pollfd *set, nfds_t count, const struct timespec *timeout,
                 const sigset_t *mask)
{
    struct pollfd *members = set; /* glibc declares set as only written to */

    if (owns_any(members, count))
        return us_ppoll(set, count, timeout, mask);
    return LIBC(ppoll, set, count, timeout, mask);
}

struct fd_sets {
    fd_set *sets[3]; /* as select's arguments; NULL: none */
};

#define READ_EVENTS (POLLIN | POLLRDNORM | POLLHUP | POLLERR)
#define WRITE_EVENTS (POLLOUT | POLLWRNORM | POLLERR)

static const short asked_events[3] = {POLLIN, POLLOUT, POLLPRI};
static const short found_events[3] = {READ_EVENTS, WRITE_EVENTS, POLLPRI};

/* A set may be longer than fd_set says it is, as select(2) allows with care. */
static bool is_set(int fd, const fd_set *set)
{
    return set != NULL && (set->fds_bits[fd / NFDBITS] >> (fd % NFDBITS) & 1) != 0;
}

static bool owns_any_set(int count, const struct fd_sets *sets)
{
    for (int fd = 0; fd < count; fd++)
        for (int i = 0; i < 3; i++)
            if (us_owns(fd) && is_set(fd, sets->sets[i]))
                return true;
    return false;
}

static nfds_t to_poll(int count, const struct fd_sets *sets, struct pollfd *set)
{
    nfds_t used = 0;

    for (int fd = 0; fd < count; fd++) {
        short events = 0;
        for (int i = 0; i < 3; i++)
            if (is_set(fd, sets->sets[i]))
                events |= asked_events[i];
        if (events != 0)
            set[used++] = (struct pollfd){.fd = fd, .events = events};
    }
    return used;
}

static int from_poll(int count, const struct pollfd *set, nfds_t used, struct fd_sets *sets)
{
    int bits = 0;

    for (int i = 0; i < 3; i++)
        for (int word = 0; sets->sets[i] != NULL && word < (count + NFDBITS - 1) / NFDBITS; word++)
            sets->sets[i]->fds_bits[word] = 0;
    for (nfds_t k = 0; k < used; k++)
        for (int i = 0; i < 3; i++)
            if ((set[k].events & asked_events[i]) && (set[k].revents & found_events[i])) {
                sets->sets[i]->fds_bits[set[k].fd / NFDBITS] |=
                    (fd_mask)(1UL << (set[k].fd % NFDBITS));
                bits++;
            }
    return bits;
}

static int select_by_poll(int count, struct fd_sets *sets, const struct timespec *timeout,
                          const sigset_t *mask)
{
    struct pollfd *set = malloc((size_t)(count > 0 ? count : 1) * sizeof *set);

    if (set == NULL)
        return -1;
    nfds_t used = to_poll(count, sets, set);
    int result = us_ppoll(set, used, timeout, mask);
    for (nfds_t i = 0; result > 0 && i < used; i++)
        if (set[i].revents & POLLNVAL) {
            errno = EBADF;
            result = -1;
        }
    if (result >= 0)
        result = from_poll(count, set, used, sets);
    int saved = errno;
    free(set);
    errno = saved;
    return result;
}

/* As the system call, which select(2) says to do on Linux: what is left of the time. */
static void subtract(struct timeval *timeout, const struct timespec *from)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    long long us = (long long)timeout->tv_sec * 1000000 + timeout->tv_usec -
                   (now.tv_sec - from->tv_sec) * 1000000LL - (now.tv_nsec - from->tv_nsec) / 1000;
    if (us < 0)
        us = 0;
    *timeout = (struct timeval){.tv_sec = us / 1000000, .tv_usec = us % 1000000};
}

EXPORT int select(int count, fd_set *restrict read_set, fd_set *restrict write_set,
                  fd_set *restrict except_set, struct timeval *restrict timeout)
{
    struct fd_sets sets = {{read_set, write_set, except_set}};
    struct timespec start, limit;

    if (!owns_any_set(count, &sets))
        return LIBC(select, count, read_set, write_set, except_set, timeout);
    if (timeout == NULL)
        return select_by_poll(count, &sets, NULL, NULL);
    clock_gettime(CLOCK_MONOTONIC, &start);
    limit = (struct timespec){.tv_sec = timeout->tv_sec + timeout->tv_usec / 1000000,
                              .tv_nsec = timeout->tv_usec % 1000000 * 1000};
    int result = select_by_poll(count, &sets, &limit, NULL);
    subtract(timeout, &start);
    return result;
}

EXPORT int pselect(int count, fd_set *restrict read_set, fd_set *restrict write_set,
                   fd_set *restrict except_set, const struct timespec *restrict timeout,
                   const sigset_t *restrict mask)
{
    struct fd_sets sets = {{read_set, write_set, except_set}};

    if (owns_any_set(count, &sets))
        return select_by_poll(count, &sets, timeout, mask);
    return LIBC(pselect, count, read_set, write_set, except_set, timeout, mask);
}

/* ---- epoll */

EXPORT int epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event)
{
    if (us_owns(fd))
        return us_epoll_ctl(epoll_fd, operation, fd, event);
    return LIBC(epoll_ctl, epoll_fd, operation, fd, event);
}

EXPORT int epoll_pwait(int epoll_fd, struct epoll_event *events, int count, int timeout_ms,
                       const sigset_t *mask)
{
    struct timespec timeout = {.tv_sec = timeout_ms / 1000,
                               .tv_nsec = (long)(timeout_ms % 1000) * 1000000};

    if (us_epoll_member(epoll_fd))
        return us_epoll_pwait(epoll_fd, events, count, timeout_ms < 0 ? NULL : &timeout, mask);
    return LIBC(epoll_pwait, epoll_fd, events, count, timeout_ms, mask);
}

EXPORT int epoll_wait(int epoll_fd, struct epoll_event *events, int count, int timeout_ms)
{
    return epoll_pwait(epoll_fd, events, count, timeout_ms, NULL);
}

EXPORT int epoll_pwait2(int epoll_fd, struct epoll_event *events, int count,
                        const struct timespec *timeout, const sigset_t *mask)
{
    if (us_epoll_member(epoll_fd))
        return us_epoll_pwait(epoll_fd, events, count, timeout, mask);
    return LIBC(epoll_pwait2, epoll_fd, events, count, timeout, mask);
}
