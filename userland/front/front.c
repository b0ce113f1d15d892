/*
 * front.c - libc's names, in front of the kernel and the stack.
 *
 * socket() asks the kernel for SCTP first, and the stack where the kernel has none; SCTP_STACK
 * chooses otherwise. Every other call looks whether its descriptor is one of the stack's; if not,
 * and for all that needs no question, it goes to libc. What is not here (poll, dup, fcntl, close,
 * sendfile ...) is the kernel's own on the kernel's own descriptor.
 *
 * Linked into a program, or preloaded by withusrsctp.
 */
#include "ask.h"
#include "libc.h"
#include "open.h"
#include "receive.h"
#include "send.h"
#include <dlfcn.h>
#include <linux/sctp.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#define EXPORT __attribute__((visibility("default")))

/* ---- which stack */

enum choice { CHOICE_AUTO, CHOICE_KERNEL, CHOICE_STACK, CHOICE_INVALID };

/* The environment is read for each socket: that needs no lock. */
static enum choice read_choice(void)
{
    static const char *const names[] = {"auto", "kernel", "usrsctp"};
    static atomic_flag said = ATOMIC_FLAG_INIT;
    const char *value = getenv("SCTP_STACK");
    int choice = CHOICE_AUTO;

    while (value != NULL && choice < CHOICE_INVALID && strcmp(value, names[choice]) != 0)
        choice++;
    if (choice == CHOICE_INVALID)
        complain(&said, "SCTP_STACK: '%s' is not auto, kernel or usrsctp", value);
    return (enum choice)choice;
}

/* 0: what is given is none. */
static unsigned read_udp_port(void)
{
    static atomic_flag said = ATOMIC_FLAG_INIT;
    const char *value = getenv("SCTP_UDP_PORT");
    int saved = errno;
    char *end;

    if (value == NULL)
        return PROTOCOL_UDP_PORT;
    long port = strtol(value, &end, 10);
    errno = saved;
    if (end != value && *end == '\0' && port >= 1 && port <= 65535)
        return (unsigned)port;
    complain(&said, "SCTP_UDP_PORT: '%s' is not a port, 1 to 65535", value);
    return 0;
}

/* With each socket, since each may be the first of a new stack's. */
static void capture(const char *path, unsigned udp_port)
{
    static atomic_flag said = ATOMIC_FLAG_INIT;
    int saved = errno, file = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    struct question question = {.request.kind = REQUEST_CAPTURE, .attached = &file};

    if (file == -1 || ask_stack((unsigned)geteuid(), udp_port, &question) == -1)
        complain(&said, "SCTP_CAPTURE: %s: %s", path,
                 errno == EINVAL ? "not a capture in the pcapng format" : strerror(errno));
    if (file != -1)
        KERNEL(close, file);
    errno = saved;
}

/* What there is none of fails as in the kernel. */
static int stack_socket(int domain, int type, unsigned udp_port)
{
    static atomic_flag said = ATOMIC_FLAG_INIT;
    const char *path = getenv("SCTP_CAPTURE");
    int plain_type = type & ~(SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (plain_type < 0 || plain_type > SOCK_PACKET)
        return fail(EINVAL);
    if (plain_type == SOCK_SEQPACKET) {
        complain(&said,
                 "socket: over usrsctp there are one-to-one SCTP sockets (SOCK_STREAM) only");
        return fail(ESOCKTNOSUPPORT);
    }
    if (plain_type != SOCK_STREAM)
        return fail(EPROTONOSUPPORT);
    int fd = open_socket(domain == AF_INET ? '4' : '6', type, udp_port);
    if (fd != -1 && path != NULL && *path != '\0')
        capture(path, udp_port);
    return fd;
}

EXPORT int socket(int domain, int type, int protocol)
{
    static atomic_flag said = ATOMIC_FLAG_INIT;
    int saved = errno;

    if (protocol != IPPROTO_SCTP || (domain != AF_INET && domain != AF_INET6) ||
        (type & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) == SOCK_RAW)
        return LIBC(socket)(domain, type, protocol);
    enum choice choice = read_choice();
    unsigned udp_port = read_udp_port();
    if (choice == CHOICE_INVALID || udp_port == 0)
        return fail(EINVAL);
    int fd = choice == CHOICE_STACK ? -1 : LIBC(socket)(domain, type, protocol);
    if (choice == CHOICE_KERNEL || fd != -1 ||
        (choice == CHOICE_AUTO && errno != EPROTONOSUPPORT && errno != ESOCKTNOSUPPORT))
        return fd;
    fd = stack_socket(domain, type, udp_port);
    if (fd != -1)
        errno = saved;
    if (choice == CHOICE_AUTO && fd != -1)
        complain(&said, "socket: this kernel has no SCTP: using usrsctp, SCTP over UDP port %u",
                 udp_port);
    return fd;
}

/* ---- the life of a socket */

static int ask_with_address(int fd, enum request_kind kind, const struct sockaddr *address,
                            socklen_t size)
{
    struct question question = {.request = {.kind = kind, .size = size}, .payload = address};

    if (size > sizeof(struct sockaddr_storage))
        return fail(EINVAL);
    if (kind == REQUEST_CONNECT && waits(fd, 0))
        question.request.flags = REQUEST_WAIT;
    return ask_or_replace(fd, &question);
}

EXPORT int bind(int fd, __CONST_SOCKADDR_ARG address, socklen_t size)
{
    if (marks_of(fd) == -1)
        return LIBC(bind)(fd, address, size);
    return ask_with_address(fd, REQUEST_BIND, address.__sockaddr__, size);
}

EXPORT int listen(int fd, int backlog)
{
    char why[256];
    struct question question = {
        .request = {.kind = REQUEST_LISTEN, .number = backlog}, .answer = why, .room = sizeof(why)};

    if (marks_of(fd) == -1)
        return LIBC(listen)(fd, backlog);
    int result = ask_or_replace(fd, &question);
    if (result == -1 && question.room > 0)
        complain(NULL, "listen: %.*s", (int)question.room, why);
    return result;
}

EXPORT int accept4(int fd, __SOCKADDR_ARG address, socklen_t *restrict size, int flags)
{
    int marks = marks_of(fd);

    if (marks == -1)
        return LIBC(accept4)(fd, address, size, flags);
    return accept_connection(fd, marks, address.__sockaddr__, size, flags);
}

EXPORT int accept(int fd, __SOCKADDR_ARG address, socklen_t *restrict size)
{
    int marks = marks_of(fd);

    if (marks == -1)
        return LIBC(accept)(fd, address, size);
    return accept_connection(fd, marks, address.__sockaddr__, size, 0);
}

EXPORT int connect(int fd, __CONST_SOCKADDR_ARG address, socklen_t size)
{
    const struct sockaddr *to = address.__sockaddr__;
    int saved = errno;

    if (marks_of(fd) == -1)
        return LIBC(connect)(fd, address, size);
    if (!bad_pointer(to) && size >= sizeof(to->sa_family) &&
        size <= sizeof(struct sockaddr_storage) && to->sa_family == AF_UNSPEC)
        return fail(EOPNOTSUPP);
    int result = ask_with_address(fd, REQUEST_CONNECT, to, size);
    if (result == -1 && errno == EAGAIN) /* SO_SNDTIMEO */
        errno = EINPROGRESS;
    if (result != -1)
        errno = saved;
    return result;
}

EXPORT int shutdown(int fd, int how)
{
    struct question question = {.request = {.kind = REQUEST_SHUTDOWN, .number = how}};

    if (marks_of(fd) == -1)
        return LIBC(shutdown)(fd, how);
    return ask(fd, &question);
}

/* SO_LINGER with a time: the last close waits for the end of the association. */
EXPORT int close(int fd)
{
    struct question question = {.request = {.kind = REQUEST_LINGER, .flags = REQUEST_WAIT}};
    int marks = marks_of(fd), saved = errno;

    if (marks == -1 || (marks & MARK_LINGER) == 0)
        return LIBC(close)(fd);
    (void)ask(fd, &question);
    errno = saved;
    return 0;
}

/* ---- names and options */

EXPORT int getsockname(int fd, __SOCKADDR_ARG address, socklen_t *restrict size)
{
    if (marks_of(fd) == -1)
        return LIBC(getsockname)(fd, address, size);
    return ask_name(fd, REQUEST_SOCKNAME, address.__sockaddr__, size);
}

EXPORT int getpeername(int fd, __SOCKADDR_ARG address, socklen_t *restrict size)
{
    if (marks_of(fd) == -1)
        return LIBC(getpeername)(fd, address, size);
    return ask_name(fd, REQUEST_PEERNAME, address.__sockaddr__, size);
}

/* Time limits, by either number (SO_RCVTIMEO_NEW is for a time_t of 64 bits on 32). The stack is told,
 * too, for sockets that are accepted; but not in the old form of 32 bits. */
static bool is_kept_by_kernel(int level, int name)
{
    return level == SOL_SOCKET && (name == SO_RCVTIMEO_OLD || name == SO_SNDTIMEO_OLD ||
                                   name == SO_RCVTIMEO_NEW || name == SO_SNDTIMEO_NEW);
}

EXPORT int setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
    struct question question = {.request = {.kind = REQUEST_SET, .level = level, .number = name},
                                .payload = value};

    if (marks_of(fd) == -1)
        return LIBC(setsockopt)(fd, level, name, value, size);
    if ((int)size < 0)
        return fail(EINVAL);
    question.request.size = size < PAYLOAD_MAX ? size : PAYLOAD_MAX; /* no option needs more */
    if (is_kept_by_kernel(level, name)) {
        int result = KERNEL(setsockopt, fd, level, name, value, size);
        if (result == -1 || size < 2 * sizeof(int64_t))
            return result;
    }
    if (level == IPPROTO_SCTP && name == SCTP_SOCKOPT_CONNECTX && waits(fd, 0))
        question.request.flags = REQUEST_WAIT;
    return ask(fd, &question);
}

/* sctp_connectx(3): the addresses are behind a pointer within the option. */
static int connect_by_getsockopt(int fd, void *value, socklen_t *size)
{
    struct sctp_getaddrs_old option;

    if (*size < sizeof(option))
        return fail(EINVAL);
    memcpy(&option, value, sizeof(option));
    int id = setsockopt(fd, IPPROTO_SCTP, SCTP_SOCKOPT_CONNECTX, option.addrs,
                        (socklen_t)option.addr_num);
    option.assoc_id = id == -1 ? 0 : id;
    memcpy(value, &option, sizeof(option));
    *size = sizeof(option);
    return id == -1 ? -1 : 0;
}

EXPORT int getsockopt(int fd, int level, int name, void *restrict value, socklen_t *restrict size)
{
    struct question question = {.request = {.kind = REQUEST_GET, .level = level, .number = name},
                                .payload = value,
                                .answer = value};

    if (marks_of(fd) == -1 || is_kept_by_kernel(level, name))
        return LIBC(getsockopt)(fd, level, name, value, size);
    if (check_room(value, size) == -1)
        return -1;
    if (level == IPPROTO_SCTP && name == SCTP_SOCKOPT_CONNECTX3)
        return connect_by_getsockopt(fd, value, size);
    question.room = question.request.size = *size < PAYLOAD_MAX ? *size : PAYLOAD_MAX;
    if (ask(fd, &question) == -1)
        return -1;
    *size = (socklen_t)question.room;
    if (level == IPPROTO_SCTP && name == SCTP_GET_LOCAL_ADDRS) /* Linux counts the addresses only */
        *size -= (socklen_t)sizeof(struct sctp_getaddrs);
    return 0;
}

EXPORT int ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;

    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    /* SCTP has only the first of these, the kernel's own socket all but the last. */
    bool is_ours = request == FIONREAD || request == SIOCOUTQ || request == SIOCATMARK ||
                   request == SIOCOUTQNSD;
    int marks = is_ours ? marks_of(fd) : -1;
    if (marks == -1)
        return LIBC(ioctl)(fd, request, argument);
    if (request != FIONREAD)
        return fail(marks & MARK_LISTENING ? ENOTCONN : ENOTTY);
    int bytes = readable_bytes(fd, marks);
    if (bytes == -1)
        return -1;
    *(int *)argument = bytes;
    return 0;
}

/* ---- sending */

/* An empty address is none for sendmsg, but for sendto one that is too short. */
static ssize_t send_bytes(int fd, int marks, const void *bytes, size_t size, int flags,
                          const struct sockaddr *address, socklen_t address_size)
{
    struct iovec part = {(void *)(uintptr_t)bytes, size};
    struct msghdr message = {.msg_name = (void *)(uintptr_t)address,
                             .msg_namelen = address_size > 0 ? address_size : 1,
                             .msg_iov = &part,
                             .msg_iovlen = 1};

    return send_message(fd, marks, &message, flags);
}

EXPORT ssize_t sendto(int fd, const void *bytes, size_t size, int flags,
                      __CONST_SOCKADDR_ARG address, socklen_t address_size)
{
    int marks = marks_of(fd);

    if (marks == -1)
        return LIBC(sendto)(fd, bytes, size, flags, address, address_size);
    return send_bytes(fd, marks, bytes, size, flags, address.__sockaddr__, address_size);
}

EXPORT ssize_t send(int fd, const void *bytes, size_t size, int flags)
{
    int marks = marks_of(fd);

    if (marks == -1)
        return LIBC(send)(fd, bytes, size, flags);
    return send_bytes(fd, marks, bytes, size, flags, NULL, 0);
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    int marks = marks_of(fd);

    if (marks == -1)
        return LIBC(sendmsg)(fd, message, flags);
    return send_message(fd, marks, message, flags);
}

EXPORT int sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
    int marks = marks_of(fd);

    if (marks == -1)
        return LIBC(sendmmsg)(fd, messages, count, flags);
    for (unsigned i = 0; i < count; i++) {
        ssize_t sent = send_message(fd, marks, &messages[i].msg_hdr, flags);
        if (sent == -1)
            return i > 0 ? (int)i : -1;
        messages[i].msg_len = (unsigned)sent;
    }
    return (int)count;
}

EXPORT ssize_t write(int fd, const void *bytes, size_t size)
{
    int marks = marks_of(fd);

    if (marks == -1)
        return LIBC(write)(fd, bytes, size);
    return send_bytes(fd, marks, bytes, size, 0, NULL, 0);
}

EXPORT ssize_t writev(int fd, const struct iovec *parts, int count)
{
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)parts,
                             .msg_iovlen = (size_t)count};
    int marks = marks_of(fd);

    if (marks == -1)
        return LIBC(writev)(fd, parts, count);
    return send_message(fd, marks, &message, 0);
}

/* ---- receiving */

static ssize_t receive_bytes(int fd, int marks, void *bytes, size_t size, int flags,
                             struct sockaddr *address, socklen_t *address_size)
{
    struct iovec part = {bytes, size};
    bool wants_address = address != NULL && address_size != NULL;
    struct msghdr message = {.msg_name = wants_address ? address : NULL,
                             .msg_namelen = wants_address ? *address_size : 0,
                             .msg_iov = &part,
                             .msg_iovlen = 1};
    ssize_t got = receive_message(fd, marks, &message, flags);

    if (got >= 0 && wants_address)
        *address_size = message.msg_namelen;
    return got;
}

EXPORT ssize_t recvfrom(int fd, void *restrict bytes, size_t size, int flags,
                        __SOCKADDR_ARG address, socklen_t *restrict address_size)
{
    int marks = marks_of(fd);

    if (marks == -1)
        return LIBC(recvfrom)(fd, bytes, size, flags, address, address_size);
    return receive_bytes(fd, marks, bytes, size, flags, address.__sockaddr__, address_size);
}

EXPORT ssize_t recv(int fd, void *bytes, size_t size, int flags)
{
    int marks = marks_of(fd);

    if (marks == -1)
        return LIBC(recv)(fd, bytes, size, flags);
    return receive_bytes(fd, marks, bytes, size, flags, NULL, NULL);
}

EXPORT ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    int marks = marks_of(fd);

    if (marks == -1)
        return LIBC(recvmsg)(fd, message, flags);
    return receive_message(fd, marks, message, flags);
}

EXPORT int recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
                    struct timespec *timeout)
{
    int marks = marks_of(fd);

    if (marks == -1)
        return LIBC(recvmmsg)(fd, messages, count, flags, timeout);
    for (unsigned i = 0; i < count; i++) {
        int more = i > 0 && (flags & MSG_WAITFORONE) ? MSG_DONTWAIT : 0;
        ssize_t got = receive_message(fd, marks_of(fd), &messages[i].msg_hdr,
                                      (flags & ~MSG_WAITFORONE) | more);
        if (got == -1)
            return i > 0 ? (int)i : -1;
        messages[i].msg_len = (unsigned)got;
    }
    return (int)count;
}

EXPORT ssize_t read(int fd, void *bytes, size_t size)
{
    int marks = marks_of(fd);

    if (marks == -1)
        return LIBC(read)(fd, bytes, size);
    return receive_bytes(fd, marks, bytes, size, 0, NULL, NULL);
}

EXPORT ssize_t readv(int fd, const struct iovec *parts, int count)
{
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)parts,
                             .msg_iovlen = (size_t)count};
    int marks = marks_of(fd);

    if (marks == -1)
        return LIBC(readv)(fd, parts, count);
    return receive_message(fd, marks, &message, 0);
}

/* ---- what _FORTIFY_SOURCE makes of them: the size of the buffer comes along */

void __chk_fail(void) __attribute__((noreturn));

static size_t check_fits(size_t size, size_t room)
{
    if (size > room)
        __chk_fail();
    return size;
}

EXPORT ssize_t __read_chk(int fd, void *bytes, size_t size, size_t room)
{
    return read(fd, bytes, check_fits(size, room));
}

EXPORT ssize_t __recv_chk(int fd, void *bytes, size_t size, size_t room, int flags)
{
    return recv(fd, bytes, check_fits(size, room), flags);
}

EXPORT ssize_t __recvfrom_chk(int fd, void *restrict bytes, size_t size, size_t room, int flags,
                              __SOCKADDR_ARG address, socklen_t *restrict address_size)
{
    return recvfrom(fd, bytes, check_fits(size, room), flags, address, address_size);
}

#if defined __TIMESIZE && __TIMESIZE == 32
/* ---- what a 32-bit program calls whose time_t has 64 bits (-D_TIME_BITS=64). As in glibc, most are
 * the same functions. */

#define SAME_64(name, alias_name)                                                                  \
    EXPORT __typeof__(name) alias_name __attribute__((alias(#name), nothrow, leaf))

SAME_64(getsockopt, __getsockopt64);
SAME_64(setsockopt, __setsockopt64);
SAME_64(sendmsg, __sendmsg64);
SAME_64(sendmmsg, __sendmmsg64);
SAME_64(ioctl, __ioctl_time64);

#define LIBC_64(name) ((__typeof__(&name))(uintptr_t)dlsym(RTLD_NEXT, "__" #name "64"))

EXPORT ssize_t __recvmsg64(int fd, struct msghdr *message, int flags)
{
    return marks_of(fd) == -1 ? LIBC_64(recvmsg)(fd, message, flags) : recvmsg(fd, message, flags);
}

/* The time limit, which has two forms, is not looked at. */
EXPORT int __recvmmsg64(int fd, struct mmsghdr *messages, unsigned count, int flags,
                        struct timespec *timeout)
{
    return marks_of(fd) == -1 ? LIBC_64(recvmmsg)(fd, messages, count, flags, timeout)
                              : recvmmsg(fd, messages, count, flags, NULL);
}
#endif

/* ---- libraries */

/* RTLD_DEEPBIND (PHP's extensions) would put libc's names before ours again. */
EXPORT void *dlopen(const char *file, int mode)
{
    return LIBC(dlopen)(file, mode & ~RTLD_DEEPBIND);
}
