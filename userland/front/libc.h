/*
 * libc.h - libc's own functions, and the kernel's own calls, behind the names that front.c takes over.
 *
 * There is no table of sockets: what there is to know of one stands in the socket itself, so that it
 * holds for every process that shares it. Nothing in front/ takes a lock or memory, so that all of it
 * may be called in signal handlers and after vfork.
 */
#ifndef FRONT_LIBC_H
#define FRONT_LIBC_H

#include "../protocol.h"
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What comes behind us in the search order. */
#define LIBC_FUNCTIONS(F)                                                                          \
    F(socket), F(bind), F(listen), F(accept), F(accept4), F(connect), F(shutdown), F(getsockname), \
        F(getpeername), F(getsockopt), F(setsockopt), F(send), F(sendto), F(sendmsg), F(sendmmsg), \
        F(write), F(writev), F(recv), F(recvfrom), F(recvmsg), F(recvmmsg), F(read), F(readv),     \
        F(close), F(ioctl), F(dlopen)

#define LIBC_INDEX(name) LIBC_##name
enum libc_index { LIBC_FUNCTIONS(LIBC_INDEX), LIBC_COUNT };

extern void *libc_functions[LIBC_COUNT];
void libc_find(void);

/* They are looked up when the program starts, since dlsym must not be called in a signal handler;
 * or at once where a constructor runs before ours. */
#define LIBC(name)                                                                                 \
    ((libc_functions[LIBC_##name] == NULL ? libc_find() : (void)0),                                \
     (__extension__(__typeof__(&name)) libc_functions[LIBC_##name]))

/* Straight to the kernel: by no name that front.c takes over, and no cancellation point. */
#define KERNEL(call, ...) as_int(syscall(SYS_##call, __VA_ARGS__))

static inline int as_int(long result)
{
    return (int)result;
}

/* Closes a descriptor of ours, and fails with the error that there was before. */
static inline int fail_and_close(int fd)
{
    int error = errno;

    KERNEL(close, fd);
    return fail(error);
}

/* What the kernel would call EFAULT, as far as that can be known without asking it. */
static inline bool bad_pointer(const void *pointer)
{
    return (uintptr_t)pointer < 4096 || (uintptr_t)pointer > (uintptr_t)0x7fffffffffffULL;
}

/* A line on stderr, in one piece; only once for each flag that is given. Keeps errno. */
void complain(atomic_flag *once, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Where a handler that does not return (siglongjmp) would leave something behind. */
void block_signals(sigset_t *before);

/* For a millisecond. */
void rest(void);

/* Runs a function, which ends by _exit, in a child that shares memory with us, but not descriptors,
 * and waits for it. 0, or -1 with errno. */
int run_in_child(int (*function)(void *), void *argument);

#endif
