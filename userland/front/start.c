/* Starting the stack. See start.h. */
#define STACK_PROGRAM "sctp-stack"
#include "start.h"
#include "system.h"
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#define LISTENER_FD 3 /* where the stack expects it */
#define CHILD_STACK_SIZE 16384

/* ---- where is it? */

/* The directory of the file that this code is in: the library, or the program. */
static int find_own_directory(char *path, size_t size)
{
    Dl_info info = {.dli_fname = NULL};

    if (dladdr(__extension__(void *)(uintptr_t) & start_stack, &info) == 0 ||
        info.dli_fname == NULL || strstr(info.dli_fname, ".so") == NULL ||
        realpath(info.dli_fname, path) == NULL) {
        ssize_t length = readlink("/proc/self/exe", path, size - 1);
        if (length == -1)
            return -1;
        path[length] = '\0';
    }
    char *slash = strrchr(path, '/');
    if (slash == NULL)
        return -1;
    *slash = '\0';
    return 0;
}

/* Beside the library or the program as built, or where it is installed. */
static int find_program(char *path, size_t size)
{
    static const char *const places[] = {STACK_PLACES};
    char own[PATH_MAX];

    if (find_own_directory(own, sizeof(own)) == -1)
        own[0] = '\0';
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (places[i][0] == '/')
            snprintf(path, size, "%s", places[i]);
        else
            snprintf(path, size, "%s/%s", own, places[i]);
        if (access(path, X_OK) == 0)
            return 0;
    }
    fprintf(stderr, "%s: socket: %s: not found, neither beside %s nor as %s\n",
            program_invocation_short_name, STACK_PROGRAM, own, path);
    errno = EPROTONOSUPPORT;
    return -1;
}

/* ---- the child */

struct launch {
    const char *path;
    char *const *arguments, *const *environment;
    char *child_stack;
    int listener;
    volatile int error;
};

/* Both share memory with the program (CLONE_VM), which goes on when they are done (CLONE_VFORK), but
 * not its descriptors. */
static int become_stack(void *argument)
{
    struct launch *launch = argument;

    if (launch->listener == LISTENER_FD)
        k_fcntl(LISTENER_FD, F_SETFD, 0);
    else if (syscall(SYS_dup3, launch->listener, LISTENER_FD, 0) == -1)
        launch->error = errno;
    if (launch->error == 0)
        execve(launch->path, launch->arguments, launch->environment);
    if (launch->error == 0)
        launch->error = errno;
    _exit(1);
}

/* Leaves the stack without a parent. */
static int become_parent(void *argument)
{
    struct launch *launch = argument;

    if (clone(become_stack, launch->child_stack + CHILD_STACK_SIZE, CLONE_VM | CLONE_VFORK,
              launch) == -1)
        launch->error = errno;
    _exit(0);
}

/* What is meant for the program is not for the stack. */
static void copy_environment(char **to, size_t room)
{
    size_t count = 0;

    for (char **from = environ; from != NULL && *from != NULL && count + 1 < room; from++)
        if (strncmp(*from, "LD_PRELOAD=", 11) != 0 && strncmp(*from, "SCTP_", 5) != 0)
            to[count++] = *from;
    to[count] = NULL;
}

/* No signal handler of the program's may run in the children; and the end of the first is told to
 * nobody but us (no SIGCHLD, hence __WCLONE). */
static int launch_stack(struct launch *launch)
{
    _Alignas(16) char child_stacks[2 * CHILD_STACK_SIZE];
    sigset_t before;

    launch->child_stack = child_stacks;
    block_signals(&before);
    pid_t child =
        clone(become_parent, child_stacks + sizeof(child_stacks), CLONE_VM | CLONE_VFORK, launch);
    if (child == -1)
        launch->error = errno;
    else
        while (syscall(SYS_wait4, child, NULL, __WCLONE, NULL) == -1 && errno == EINTR)
            continue;
    restore_signals(&before);
    errno = launch->error;
    return launch->error == 0 ? 0 : -1;
}

int start_stack(const struct sockaddr_un *address, socklen_t size, unsigned udp_port)
{
    char path[2 * PATH_MAX], port[12];
    char *environment[512];
    char *arguments[] = {(char[]){STACK_PROGRAM}, port, NULL};
    struct launch launch = {.path = path, .arguments = arguments, .environment = environment};

    launch.listener = k_socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (launch.listener == -1)
        return -1;
    if (k_bind(launch.listener, address, size) == -1) {
        int error = errno;
        k_close(launch.listener);
        if (error == EADDRINUSE) /* somebody else is about to start it */
            return nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL), 0;
        errno = error;
        return -1;
    }
    snprintf(port, sizeof(port), "%u", udp_port);
    copy_environment(environment, sizeof(environment) / sizeof(environment[0]));
    int result = -1;
    if (k_listen(launch.listener, SOMAXCONN) == 0 && find_program(path, sizeof(path)) == 0)
        result = launch_stack(&launch);
    int error = errno;
    k_close(launch.listener);
    errno = error;
    return result;
}
