/* system.h - straight to the kernel: calls that front.c takes over under libc's names, as no
 * cancellation points. */
#ifndef FRONT_SYSTEM_H
#define FRONT_SYSTEM_H

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline int k_socket(int domain, int type, int protocol)
{
    return (int)syscall(SYS_socket, domain, type, protocol);
}

static inline int k_close(int fd)
{
    return (int)syscall(SYS_close, fd);
}

static inline int k_bind(int fd, const void *address, socklen_t size)
{
    return (int)syscall(SYS_bind, fd, address, size);
}

static inline int k_listen(int fd, int backlog)
{
    return (int)syscall(SYS_listen, fd, backlog);
}

static inline int k_connect(int fd, const void *address, socklen_t size)
{
    return (int)syscall(SYS_connect, fd, address, size);
}

static inline int k_getsockname(int fd, void *address, socklen_t *size)
{
    return (int)syscall(SYS_getsockname, fd, address, size);
}

static inline int k_setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
    return (int)syscall(SYS_setsockopt, fd, level, name, value, size);
}

static inline int k_getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
    return (int)syscall(SYS_getsockopt, fd, level, name, value, size);
}

static inline ssize_t k_sendmsg(int fd, const struct msghdr *message, int flags)
{
    return syscall(SYS_sendmsg, fd, message, flags);
}

static inline ssize_t k_recvmsg(int fd, struct msghdr *message, int flags)
{
    return syscall(SYS_recvmsg, fd, message, flags);
}

static inline int k_fcntl(int fd, int command, long argument)
{
    return (int)syscall(SYS_fcntl, fd, command, argument);
}

/* Where a handler that does not return (siglongjmp) would leave something behind. */
static inline void block_signals(sigset_t *before)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, before);
}

static inline void restore_signals(const sigset_t *before)
{
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

#endif
