/* Straight to the kernel: the calls that front.c takes over under libc's names. The
 * engine must not meet itself there, neither for the descriptors that it hands out nor
 * for its own. */
#ifndef USERLAND_KERNEL_H
#define USERLAND_KERNEL_H

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static inline int k_socket(int domain, int type, int protocol)
{
    return (int)syscall(SYS_socket, domain, type, protocol);
}

static inline int k_close(int fd)
{
    return (int)syscall(SYS_close, fd);
}

static inline int k_bind(int fd, const void *address, socklen_t length)
{
    return (int)syscall(SYS_bind, fd, address, length);
}

static inline int k_connect(int fd, const void *address, socklen_t length)
{
    return (int)syscall(SYS_connect, fd, address, length);
}

static inline int k_getsockname(int fd, void *address, socklen_t *length)
{
    return (int)syscall(SYS_getsockname, fd, address, length);
}

static inline int k_setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
    return (int)syscall(SYS_setsockopt, fd, level, name, value, length);
}

static inline int k_getsockopt(int fd, int level, int name, void *value, socklen_t *length)
{
    return (int)syscall(SYS_getsockopt, fd, level, name, value, length);
}

static inline ssize_t k_sendmsg(int fd, const struct msghdr *message, int flags)
{
    return syscall(SYS_sendmsg, fd, message, flags);
}

static inline ssize_t k_recvmsg(int fd, struct msghdr *message, int flags)
{
    return syscall(SYS_recvmsg, fd, message, flags);
}

static inline int k_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
    return (int)syscall(SYS_recvmmsg, fd, messages, count, flags, NULL);
}

static inline ssize_t k_read(int fd, void *buffer, size_t size)
{
    return syscall(SYS_read, fd, buffer, size);
}

static inline ssize_t k_write(int fd, const void *buffer, size_t size)
{
    return syscall(SYS_write, fd, buffer, size);
}

static inline int k_fcntl(int fd, int command, long argument)
{
    return (int)syscall(SYS_fcntl, fd, command, argument);
}

#define K_SIGSET_SIZE (_NSIG / 8) /* the kernel's sigset_t, not libc's */

/* timeout is written to, as the system call does: pass a copy. NULL waits for ever. */
static inline int k_ppoll(struct pollfd *set, nfds_t count, struct timespec *timeout,
                          const sigset_t *mask)
{
    return (int)syscall(SYS_ppoll, set, count, timeout, mask, K_SIGSET_SIZE);
}

/* timeout_ms < 0 waits for ever. */
static inline int k_epoll_pwait(int fd, struct epoll_event *events, int count, int timeout_ms,
                                const sigset_t *mask)
{
    return (int)syscall(SYS_epoll_pwait, fd, events, count, timeout_ms, mask, K_SIGSET_SIZE);
}

static inline int k_epoll_ctl(int fd, int operation, int member, struct epoll_event *event)
{
    return (int)syscall(SYS_epoll_ctl, fd, operation, member, event);
}

#endif
