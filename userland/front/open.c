/*
 * open.c - new sockets, and the start of the stack: a process of its own that no program has for a
 * child. See open.h and ../protocol.h.
 */
#include "open.h"
#include "ask.h"
#include <dlfcn.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#define STACK_PROGRAM "sctp-stack"
#define LISTENER_FD 3 /* where the stack expects it */
#define CHILD_STACK_SIZE 16384
#define ATTEMPTS 1000

/* ---- where is the stack's program? */

/* The directory of the file that this code is in: the library, or the program. */
static int find_own_directory(char *path)
{
    Dl_info info = {.dli_fname = NULL};
    bool is_library = dladdr(__extension__(void *)(uintptr_t) & open_socket, &info) != 0 &&
                      info.dli_fname != NULL && strstr(info.dli_fname, ".so") != NULL &&
                      realpath(info.dli_fname, path) != NULL;

    if (!is_library && realpath("/proc/self/exe", path) == NULL)
        return -1;
    *strrchr(path, '/') = '\0';
    return 0;
}

/* Beside the library or the program as built, or where it is installed. */
static int find_program(char *path, size_t size)
{
    static const char *const places[] = {STACK_PLACES};
    char own[PATH_MAX];

    if (find_own_directory(own) == -1)
        own[0] = '\0';
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        bool is_absolute = places[i][0] == '/';
        snprintf(path, size, "%s%s%s", is_absolute ? "" : own, is_absolute ? "" : "/", places[i]);
        if (access(path, X_OK) == 0)
            return 0;
    }
    complain(NULL, "socket: %s: not found, neither beside %s nor as %s", STACK_PROGRAM, own, path);
    return fail(EPROTONOSUPPORT);
}

/* ---- its start */

struct launch {
    const char *path;
    char *const *arguments, *const *environment;
    int listener;
    volatile int error;
};

static int become_stack(void *argument)
{
    struct launch *launch = argument;
    int moved = launch->listener == LISTENER_FD ? KERNEL(fcntl, LISTENER_FD, F_SETFD, 0)
                                                : KERNEL(dup3, launch->listener, LISTENER_FD, 0);

    if (moved != -1)
        execve(launch->path, launch->arguments, launch->environment);
    launch->error = errno;
    _exit(1);
}

/* Leaves the stack without a parent. */
static int become_parent(void *argument)
{
    struct launch *launch = argument;
    _Alignas(16) char child_stack[CHILD_STACK_SIZE];

    if (clone(become_stack, child_stack + sizeof(child_stack), CLONE_VM | CLONE_VFORK, launch) ==
        -1)
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

static int launch_stack(int listener, unsigned udp_port)
{
    char path[2 * PATH_MAX], port[12], *environment[512];
    char *arguments[] = {(char[]){STACK_PROGRAM}, port, NULL};
    struct launch launch = {path, arguments, environment, listener, 0};

    if (find_program(path, sizeof(path)) == -1)
        return -1;
    snprintf(port, sizeof(port), "%u", udp_port);
    copy_environment(environment, sizeof(environment) / sizeof(environment[0]));
    if (run_in_child(become_parent, &launch) == -1)
        return -1;
    return launch.error == 0 ? 0 : fail(launch.error);
}

/* Listens where a stack does, and hands that to a new one. Connections can be made at once. 0, or -1
 * with errno; what errno cannot tell is said on stderr. */
static int start_stack(const struct address *address, unsigned udp_port)
{
    int listener = KERNEL(socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), result = -1;

    if (listener == -1)
        return -1;
    if (KERNEL(bind, listener, &address->name, address->size) == 0 &&
        KERNEL(listen, listener, SOMAXCONN) == 0) {
        result = launch_stack(listener, udp_port);
    } else if (errno == EADDRINUSE) { /* somebody else is about to start it */
        rest();
        result = 0;
    }
    fail_and_close(listener);
    return result;
}

/* ---- a new socket */

/* Anybody can have taken the stack's address. */
static int check_owner(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);

    if (KERNEL(getsockopt, fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == -1)
        return -1;
    return peer.uid == geteuid() || peer.uid == 0 ? 0 : fail(EACCES);
}

/* See FILLER_SIZE. */
static int prepare(int fd)
{
    static const char filler[FILLER_SIZE];
    int smallest = 1, zero = 0;

    if (KERNEL(setsockopt, fd, SOL_SOCKET, SO_SNDBUF, &smallest, sizeof(smallest)) == -1 ||
        KERNEL(setsockopt, fd, SOL_SOCKET, SO_PEEK_OFF, &zero, sizeof(zero)) == -1 ||
        KERNEL(sendto, fd, filler, sizeof(filler), MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0) == -1)
        return -1;
    set_marks(fd, 0);
    return 0;
}

/* Under a name that no other socket has. ECONNREFUSED: there is no stack. */
static int try_socket(char family, int type, unsigned udp_port, const struct address *stack)
{
    int fd = KERNEL(socket, AF_UNIX, SOCK_SEQPACKET | (type & SOCK_CLOEXEC), 0);
    unsigned long long id;

    if (fd == -1)
        return -1;
    if (getrandom(&id, sizeof(id), 0) != sizeof(id))
        return fail_and_close(fd);
    struct address own =
        make_address(PROTOCOL_SOCKET_FORMAT, (unsigned)geteuid(), udp_port, family, id);
    if (KERNEL(bind, fd, &own.name, own.size) == -1 ||
        KERNEL(connect, fd, &stack->name, stack->size) == -1 || check_owner(fd) == -1 ||
        prepare(fd) == -1 ||
        ((type & SOCK_NONBLOCK) && KERNEL(fcntl, fd, F_SETFL, O_RDWR | O_NONBLOCK) == -1))
        return fail_and_close(fd);
    return fd;
}

/* A stack that has been killed can be connected to until the kernel has closed all that it had. */
int open_socket(char family, int type, unsigned udp_port)
{
    struct address stack = make_address(PROTOCOL_STACK_FORMAT, (unsigned)geteuid(), udp_port);

    for (int i = 0; i < ATTEMPTS; i++) {
        struct question question = {.request.kind = REQUEST_SOCKNAME};
        int fd = try_socket(family, type, udp_port, &stack);
        if (fd != -1) {
            if (!stack_was_lost || ask(fd, &question) != -1)
                return fd;
            KERNEL(close, fd);
            rest();
        } else if (errno == ECONNREFUSED) {
            if (start_stack(&stack, udp_port) == -1)
                return -1;
        } else if (errno != EINTR) {
            return -1;
        }
    }
    return fail(ECONNRESET);
}

static int replace_socket(int fd)
{
    struct question question = {.request.kind = REQUEST_REPLACE};
    struct socket_name name;
    int cloexec = KERNEL(fcntl, fd, F_GETFD, 0) & FD_CLOEXEC ? O_CLOEXEC : 0;

    if (name_of(fd, &name) == -1)
        return -1;
    question.request.other = name.id;
    int fresh = open_socket(name.family, waits(fd, 0) ? 0 : SOCK_NONBLOCK, name.udp_port);
    if (fresh == -1)
        return -1;
    if (ask(fresh, &question) == -1 || KERNEL(dup3, fresh, fd, cloexec) == -1)
        return fail_and_close(fresh);
    KERNEL(close, fresh);
    return 0;
}

int ask_or_replace(int fd, struct question *question)
{
    const struct question again = *question;
    int result = ask(fd, question);

    if (result == -1 && errno == ESTALE && replace_socket(fd) == 0) {
        *question = again;
        result = ask(fd, question);
    }
    return result;
}
