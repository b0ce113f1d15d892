/* libc.h - libc's own functions of the names that front.c takes over: what comes behind us in the
 * search order. */
#ifndef FRONT_LIBC_H
#define FRONT_LIBC_H

#include <stdarg.h>
#include <stddef.h>

#define LIBC_FUNCTIONS(F)                                                                          \
    F(socket), F(bind), F(listen), F(accept), F(accept4), F(connect), F(shutdown), F(getsockname), \
        F(getpeername), F(getsockopt), F(setsockopt), F(send), F(sendto), F(sendmsg), F(sendmmsg), \
        F(write), F(writev), F(recv), F(recvfrom), F(recvmsg), F(recvmmsg), F(read), F(readv),     \
        F(close), F(ioctl), F(dlopen)

#define LIBC_INDEX(name) LIBC_##name
enum libc_index { LIBC_FUNCTIONS(LIBC_INDEX), LIBC_COUNT };

__attribute__((visibility("hidden"))) extern void *libc_functions[LIBC_COUNT];
__attribute__((visibility("hidden"))) void libc_find(void);

/* They are looked up when the program starts, since dlsym must not be called in a signal handler;
 * or at once where a constructor runs before ours. */
#define LIBC(name)                                                                                 \
    ((libc_functions[LIBC_##name] == NULL ? libc_find() : (void)0),                                \
     (__extension__(__typeof__(&name)) libc_functions[LIBC_##name]))

#endif
