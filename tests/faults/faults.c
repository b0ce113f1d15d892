/*
 * faults.c - makes library calls fail, to be preloaded. Partner: test_faults.py.
 *
 * FAULTS         CALL:ERROR:FIRST:TIMES:ONE_IN,...  From the FIRST-th call on, up to TIMES calls
 *                (0: no end to it) fail with that errno, each with a chance of one in ONE_IN. With
 *                ERROR 0, a send or recv takes one byte instead of failing.
 * FAULTS_SEED    decides which: the n-th call's fate is the same in every run.
 * FAULTS_COUNTS  a file of 16 bytes per entry of FAULTS; gets how many calls there were, and how
 *                many were made to fail.
 *
 * CALL is malloc (with calloc and realloc), pthread_create, accept, send, recv (with recvmsg),
 * datagram_send, datagram_recv (sendmsg and recvmmsg with addresses), socket, setsockopt, getsockopt,
 * bind, or dup. The front of the stack in user space asks the kernel by syscall(2): its calls count
 * as well, but for SO_RCVLOWAT, by which it knows its sockets: that cannot fail. And what libusrsctp
 * 0.9.5 itself allocates always succeeds: else it writes to where NULL points.
 */
#define _GNU_SOURCE // RTLD_NEXT

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FAULT_COUNT_MAX 8

struct counts {
    _Atomic uint64_t calls, failures;
};

static struct fault {
    char call[16];
    int error;
    uint64_t first, times, one_in;
} faults[FAULT_COUNT_MAX];
static int fault_count;
static uint64_t seed;
static struct counts own_counts[FAULT_COUNT_MAX], *counts = own_counts;

static void map_counts(void)
{
    const char *path = getenv("FAULTS_COUNTS");
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
    if (fd == -1)
        return;
    void *map = mmap(NULL, sizeof(own_counts), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (map != MAP_FAILED)
        counts = map;
}

__attribute__((constructor)) static void read_environment(void)
{
    const char *next = getenv("FAULTS"), *seed_text = getenv("FAULTS_SEED");
    int taken, count = 0;
    seed = seed_text == NULL ? 0 : strtoull(seed_text, NULL, 10);
    map_counts();
    for (; next != NULL && *next != '\0' && count < FAULT_COUNT_MAX; next += taken, count++) {
        struct fault *fault = &faults[count];
        if (sscanf(next, "%15[a-z0-9_]:%d:%lu:%lu:%lu%n", fault->call, &fault->error, &fault->first,
                   &fault->times, &fault->one_in, &taken) != 5 ||
            fault->one_in == 0) {
            fprintf(stderr, "faults: FAULTS: makes no sense from %s on\n", next);
            _exit(99);
        }
        taken += next[taken] == ',';
    }
    fault_count = count;
}

/* Mixes the bits as SplitMix64 does. */
static uint64_t mix(uint64_t value)
{
    value += 0x9e3779b97f4a7c15;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
    value = (value ^ value >> 27) * 0x94d049bb133111eb;
    return value ^ value >> 31;
}

/* Counts a call. Is it to fail? If so, the error is in *error. */
static bool fails(const char *call, int *error)
{
    bool failed = false;
    for (int i = 0; i < fault_count && !failed; i++) {
        const struct fault *fault = &faults[i];
        if (strcmp(fault->call, call) != 0)
            continue;
        uint64_t number = ++counts[i].calls;
        if (number < fault->first || mix(seed + number) % fault->one_in != 0)
            continue;
        failed = fault->times == 0 || counts[i].failures < fault->times;
        counts[i].failures += failed;
        if (failed)
            *error = fault->error;
    }
    return failed;
}

#define NEXT(name)                                                                                 \
    __extension__({                                                                                \
        static _Atomic(void *) found;                                                              \
        void *function = found;                                                                    \
        __typeof__(&name) call;                                                                    \
        if (function == NULL)                                                                      \
            found = function = dlsym(RTLD_NEXT, #name);                                            \
        memcpy(&call, &function, sizeof(call));                                                    \
        call;                                                                                      \
    })

/* ---- memory: glibc has these under a second name, since dlsym allocates */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);

static bool allocation_fails(const void *caller)
{
    Dl_info object;
    if (fault_count == 0 ||
        (dladdr(caller, &object) != 0 && strstr(object.dli_fname, "libusrsctp")))
        return false;
    return fails("malloc", &errno);
}

void *malloc(size_t size)
{
    return allocation_fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return allocation_fails(__builtin_return_address(0)) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    return allocation_fails(__builtin_return_address(0)) ? NULL : __libc_realloc(memory, size);
}

/* ---- threads */

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                   void *argument)
{
    int error;
    return fails("pthread_create", &error)
               ? error
               : NEXT(pthread_create)(thread, attributes, start, argument);
}

/* ---- sockets */

int socket(int domain, int type, int protocol)
{
    return fails("socket", &errno) ? -1 : NEXT(socket)(domain, type, protocol);
}

int accept(int fd, __SOCKADDR_ARG address, socklen_t *restrict length)
{
    return fails("accept", &errno) ? -1 : NEXT(accept)(fd, address, length);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
    return fails("setsockopt", &errno) ? -1 : NEXT(setsockopt)(fd, level, name, value, length);
}

int getsockopt(int fd, int level, int name, void *restrict value, socklen_t *restrict length)
{
    return fails("getsockopt", &errno) ? -1 : NEXT(getsockopt)(fd, level, name, value, length);
}

int bind(int fd, __CONST_SOCKADDR_ARG address, socklen_t length)
{
    return fails("bind", &errno) ? -1 : NEXT(bind)(fd, address, length);
}

/* Returns -1 with errno if it is to fail, else how much it is to take. */
static ssize_t limit(const char *call, size_t size)
{
    int error = 0;
    if (!fails(call, &error))
        return (ssize_t)size;
    errno = error;
    return error == 0 && size > 0 ? 1 : -1;
}

ssize_t send(int fd, const void *buffer, size_t size, int flags)
{
    ssize_t part = limit("send", size);
    return part == -1 ? -1 : NEXT(send)(fd, buffer, (size_t)part, flags);
}

ssize_t recv(int fd, void *buffer, size_t size, int flags)
{
    ssize_t part = limit("recv", size);
    return part == -1 ? -1 : NEXT(recv)(fd, buffer, (size_t)part, flags);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    struct iovec first = message->msg_iovlen == 0 ? (struct iovec){0} : message->msg_iov[0];
    ssize_t part = limit("recv", first.iov_len);
    if (part == -1)
        return -1;
    if (message->msg_iovlen > 0)
        message->msg_iov[0].iov_len = (size_t)part;
    ssize_t received = NEXT(recvmsg)(fd, message, flags);
    if (message->msg_iovlen > 0)
        message->msg_iov[0] = first;
    return received;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    return message->msg_name != NULL && fails("datagram_send", &errno)
               ? -1
               : NEXT(sendmsg)(fd, message, flags);
}

int recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout)
{
    return messages[0].msg_hdr.msg_name != NULL && fails("datagram_recv", &errno)
               ? -1
               : NEXT(recvmmsg)(fd, messages, count, flags, timeout);
}

static const char *find_call(long number, const long *values)
{
    bool marks = values[1] == SOL_SOCKET && values[2] == SO_RCVLOWAT;

    switch (number) {
    case SYS_socket: return "socket";
    case SYS_setsockopt: return marks ? "" : "setsockopt";
    case SYS_getsockopt: return marks ? "" : "getsockopt";
    case SYS_bind: return "bind";
    case SYS_fcntl: return values[1] == F_DUPFD_CLOEXEC ? "dup" : "";
    default: return "";
    }
}

long syscall(long number, ...)
{
    va_list arguments;
    long values[6];
    va_start(arguments, number);
    for (int i = 0; i < 6; i++) // more than were given, perhaps; the kernel ignores those
        values[i] = va_arg(arguments, long);
    va_end(arguments);
    if (fails(find_call(number, values), &errno))
        return -1;
    return NEXT(syscall)(number, values[0], values[1], values[2], values[3], values[4], values[5]);
}
