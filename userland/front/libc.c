/* Libc's own functions, lines on stderr, signals and children. See libc.h. */
#include "libc.h"
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#define CHILD_STACK_SIZE 32768

void *libc_functions[LIBC_COUNT];

__attribute__((constructor)) void libc_find(void)
{
#define LIBC_NAME(name) #name
    static const char *const names[] = {LIBC_FUNCTIONS(LIBC_NAME)};
    int saved = errno;

    for (int i = 0; i < LIBC_COUNT; i++)
        libc_functions[i] = dlsym(RTLD_NEXT, names[i]);
    errno = saved;
}

void complain(atomic_flag *once, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    int saved = errno;

    if (once != NULL && atomic_flag_test_and_set(once))
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    struct iovec parts[] = {{program_invocation_short_name, strlen(program_invocation_short_name)},
                            {(char[]){": "}, 2},
                            {text, strlen(text)},
                            {(char[]){"\n"}, 1}};
    KERNEL(writev, STDERR_FILENO, parts, sizeof(parts) / sizeof(parts[0]));
    errno = saved;
}

/* ---- signals, and children */

void block_signals(sigset_t *before)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, before);
}

void rest(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* No signal handler of the program's may run in the child; and its end is told to nobody but us (no
 * SIGCHLD, hence __WCLONE). */
int run_in_child(int (*function)(void *), void *argument)
{
    _Alignas(16) char child_stack[CHILD_STACK_SIZE];
    sigset_t before;

    block_signals(&before);
    pid_t child =
        clone(function, child_stack + sizeof(child_stack), CLONE_VM | CLONE_VFORK, argument);
    int error = errno;
    if (child != -1)
        while (KERNEL(wait4, child, NULL, __WCLONE, NULL) == -1 && errno == EINTR)
            continue;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return child == -1 ? -1 : 0;
}
