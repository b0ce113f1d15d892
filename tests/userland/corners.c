/*
 * corners.c - the calls and the arguments that programs seldom use: every libc name that takes a
 * socket, what is no memory of ours, and what makes no sense. Run by test_userland_calls.py.
 *
 * Compiled with _FORTIFY_SOURCE, and sizes that the compiler cannot know, so that the checked
 * variants are what runs.
 */
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/sctp.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static volatile size_t four = 4; // unknown to the compiler
static const struct timespec a_moment = {.tv_nsec = 20000000}, a_while = {.tv_sec = 30};

static void test_many_at_once(const int ends[2])
{
    char in[2][8] = {"", ""};
    struct iovec out_parts[2] = {{"first", 5}, {"second", 6}},
                 in_parts[2] = {{in[0], 8}, {in[1], 8}};
    struct mmsghdr out[2] = {{.msg_hdr = {.msg_iov = &out_parts[0], .msg_iovlen = 1}},
                             {.msg_hdr = {.msg_iov = &out_parts[1], .msg_iovlen = 1}}};
    struct mmsghdr got[2] = {{.msg_hdr = {.msg_iov = &in_parts[0], .msg_iovlen = 1}},
                             {.msg_hdr = {.msg_iov = &in_parts[1], .msg_iovlen = 1}}};
    expect(sendmmsg(ends[0], out, 2, 0) == 2 && out[1].msg_len == 6, "sendmmsg");
    expect(recvmmsg(ends[1], got, 2, 0, NULL) == 2 && got[1].msg_len == 6, "recvmmsg");
    expect(memcmp(in[0], "first", 5) == 0 && memcmp(in[1], "second", 6) == 0, "in order");
    send(ends[0], "one", 3, 0);
    expect(recvmmsg(ends[1], got, 2, MSG_WAITFORONE, NULL) == 1, "recvmmsg, MSG_WAITFORONE");
    expect(fails(recvmmsg(ends[1], got, 2, MSG_DONTWAIT, NULL), EAGAIN), "recvmmsg, MSG_DONTWAIT");
    out_parts[0].iov_base = NULL;
    expect(fails(sendmmsg(ends[0], out, 2, 0), EFAULT), "sendmmsg from nowhere");
    out_parts[0].iov_base = "first";
    out_parts[1].iov_base = NULL;
    expect(sendmmsg(ends[0], out, 2, 0) == 1, "sendmmsg, the second from nowhere");
    expect(recv(ends[1], in[0], four, 0) == 4, "the first arrives");
    expect(recv(ends[1], in[0], four, 0) == 1, "and its rest");
}

static void test_vectors(const int ends[2])
{
    char in[2][4];
    struct iovec out[2] = {{"abcd", 4}, {"ef", 2}}, parts[2] = {{in[0], 4}, {in[1], 4}};
    expect(writev(ends[0], out, 2) == 6, "writev");
    expect(readv(ends[1], parts, 2) == 6 && memcmp(in[1], "ef", 2) == 0, "readv");
    struct msghdr header = {.msg_iov = out, .msg_iovlen = IOV_MAX + 1};
    expect(fails(sendmsg(ends[0], &header, 0), EMSGSIZE), "too many vectors");
    header.msg_iovlen = 1;
    header.msg_iov = NULL;
    expect(fails(sendmsg(ends[0], &header, 0), EFAULT), "vectors from nowhere");
    expect(fails(recvmsg(ends[0], &header, MSG_DONTWAIT), EFAULT), "vectors to nowhere");
}

static void test_checked_variants(const int ends[2])
{
    char buffer[16];
    struct sockaddr_storage from;
    socklen_t length = sizeof(from);
    struct pollfd set[1] = {{.fd = ends[1], .events = POLLIN}};
    for (int i = 0; i < 3; i++)
        send(ends[0], "four", four, 0);
    expect(poll(set, (nfds_t)four / 4, 30000) == 1, "poll");
    expect(ppoll(set, (nfds_t)four / 4, &a_while, NULL) == 1, "ppoll");
    expect(read(ends[1], buffer, four) == 4, "read");
    expect(recv(ends[1], buffer, four, 0) == 4, "recv");
    expect(recvfrom(ends[1], buffer, four, 0, (struct sockaddr *)&from, &length) == 4, "recvfrom");
}

static void test_nowhere(const int ends[2])
{
    void *volatile nowhere = NULL;
    socklen_t length = 4, negative = (socklen_t)-1;
    struct sockaddr_in address;
    expect(fails(setsockopt(ends[0], IPPROTO_SCTP, SCTP_NODELAY, nowhere, 4), EFAULT),
           "setsockopt from nowhere");
    expect(fails(getsockopt(ends[0], SOL_SOCKET, SO_TYPE, nowhere, &length), EFAULT),
           "getsockopt to nowhere");
    expect(fails(getsockopt(ends[0], SOL_SOCKET, SO_TYPE, &address, nowhere), EFAULT),
           "getsockopt of no length");
    expect(fails(getsockopt(ends[0], SOL_SOCKET, SO_TYPE, &address, &negative), EINVAL),
           "getsockopt of a negative length");
    expect(fails(getsockname(ends[0], (struct sockaddr *)&address, &negative), EINVAL),
           "getsockname of a negative length");
    expect(fails(getsockname(ends[0], nowhere, &length), EFAULT), "getsockname to nowhere");
    expect(fails(sendmsg(ends[0], nowhere, 0), EFAULT), "sendmsg from nowhere");
    expect(fails(recvmsg(ends[0], nowhere, MSG_DONTWAIT), EFAULT), "recvmsg to nowhere");
    expect(fails(send(ends[0], nowhere, four, 0), EFAULT), "send from nowhere");
    expect(fails(recv(ends[0], &address, 4, MSG_ERRQUEUE | MSG_DONTWAIT), EAGAIN),
           "no error queue");
    expect(fails(shutdown(ends[0], 7), EINVAL), "shutdown of neither way");
    expect(getsockopt(ends[0], 77, 1, &address, &length) == -1, "getsockopt, level");
    expect(fails(setsockopt(ends[0], 77, 1, &address, 4), ENOPROTOOPT), "setsockopt, level");
}

/* Headers that say that there is more than msg_controllen does. */
static void test_ancillary_data_that_is_cut_off(const int ends[2])
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct sctp_sndinfo))] = {0};
    struct iovec part = {"x", 1};
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = control,
                            .msg_controllen = sizeof(control)};
    struct cmsghdr *head = CMSG_FIRSTHDR(&header);
    head->cmsg_level = IPPROTO_SCTP;
    head->cmsg_type = SCTP_SNDINFO;
    head->cmsg_len = CMSG_LEN(sizeof(struct sctp_sndinfo));
    header.msg_controllen = sizeof(*head);
    expect(fails(sendmsg(ends[0], &header, 0), EINVAL), "ancillary data that is cut off");
    header.msg_controllen = sizeof(control);
    head->cmsg_len = 3;
    expect(fails(sendmsg(ends[0], &header, 0), EINVAL), "ancillary data shorter than its head");
}

/* How a child ends that asks for more than its buffer holds. */
static bool is_caught(ssize_t (*overrun)(int fd), int fd)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        if (freopen("/dev/null", "w", stderr) != NULL)
            overrun(fd);
        exit(0);
    }
    return waitpid(child, &status, 0) == child && WIFSIGNALED(status) &&
           WTERMSIG(status) == SIGABRT;
}

static ssize_t overrun_read(int fd)
{
    char buffer[2];
    return read(fd, buffer, four);
}

static ssize_t overrun_recv(int fd)
{
    char buffer[2];
    return recv(fd, buffer, four, 0);
}

static ssize_t overrun_recvfrom(int fd)
{
    char buffer[2];
    return recvfrom(fd, buffer, four, 0, NULL, NULL);
}

static ssize_t overrun_poll(int fd)
{
    struct pollfd set[2] = {{.fd = fd}};
    return poll(set, (nfds_t)four, 0);
}

static ssize_t overrun_ppoll(int fd)
{
    struct pollfd set[2] = {{.fd = fd}};
    return ppoll(set, (nfds_t)four, &a_moment, NULL);
}

/* Only the checked variants notice; builds with sanitizers have none. */
static void test_overruns(void)
{
    int fd = __USE_FORTIFY_LEVEL > 0 ? open_socket() : -1;
    if (fd == -1)
        return;
    fflush(stdout); // else the children have its buffer, too
    expect(is_caught(overrun_read, fd), "read, too much");
    expect(is_caught(overrun_recv, fd), "recv, too much");
    expect(is_caught(overrun_recvfrom, fd), "recvfrom, too much");
    expect(is_caught(overrun_poll, fd), "poll, too many");
    expect(is_caught(overrun_ppoll, fd), "ppoll, too many");
    close(fd);
}

static void test_other_destinations(const int ends[2])
{
    struct sockaddr_in address = loopback(htons(9));
    struct sockaddr nonsense = {.sa_family = 77};
    socklen_t length = sizeof(address);
    expect(fails(sendto(ends[0], "x", 1, 0, (struct sockaddr *)&address, length), EADDRNOTAVAIL),
           "sendto somebody else");
    expect(sendto(ends[0], "x", 1, 0, &nonsense, sizeof(nonsense)) == -1, "sendto no address");
    expect(sendto(ends[0], "x", 1, 0, (struct sockaddr *)&address, 3) == -1, "sendto half of one");
    expect(fails(sendto(ends[0], "x", 1, 0, (struct sockaddr *)&address, 0), EINVAL),
           "sendto an empty one");
    struct iovec part = {"ab", 2};
    struct msghdr empty = {.msg_name = &address, .msg_iov = &part, .msg_iovlen = 1};
    expect(sendmsg(ends[0], &empty, 0) == 2, "sendmsg to an empty one: to the peer");
    expect(recv(ends[1], (char[2]){""}, 2, 0) == 2, "which has it");
    expect(connect(ends[0], &nonsense, sizeof(nonsense)) == -1, "connect to no address");
    expect(bind(ends[0], &nonsense, sizeof(nonsense)) == -1, "bind to no address");
}

static void test_a_closed_descriptor(void)
{
    int gone = open_socket();
    struct pollfd set[2] = {{.fd = open_socket(), .events = POLLIN}, {.fd = gone}};
    struct timeval no_time = {0};
    fd_set readable;
    FD_ZERO(&readable);
    FD_SET(set[0].fd, &readable);
    FD_SET(gone, &readable);
    close(gone);
    expect(poll(set, 2, 0) >= 1 && set[1].revents == POLLNVAL, "poll, a closed one");
    expect(fails(select(set[0].fd + 1, &readable, NULL, NULL, &no_time), EBADF),
           "select, a closed one");
    close(set[0].fd);
}

static void test_no_such_socket(void)
{
    expect(fails(socket(AF_INET, 77, IPPROTO_SCTP), EINVAL), "socket, no type");
    expect(fails(socket(AF_UNIX, SOCK_STREAM, IPPROTO_SCTP), EPROTONOSUPPORT), "socket, AF_UNIX");
    expect(fails(socket(AF_INET, SOCK_DGRAM, IPPROTO_SCTP), EPROTONOSUPPORT), "socket, SOCK_DGRAM");
}

static void test_listeners(void)
{
    struct sockaddr_in address;
    int listener = open_listener(&address), bytes;
    expect(fails(accept4(listener, NULL, NULL, 7), EINVAL), "accept4, flags");
    expect(fails(ioctl(listener, FIONREAD, &bytes), ENOTCONN), "FIONREAD of a listener");
    expect(fails(send(listener, "x", 1, MSG_NOSIGNAL), EPIPE), "send on a listener");
    expect(fails(connect(listener, (struct sockaddr *)&address, sizeof(address)), EISCONN),
           "connect a listener");
    expect(fails(accept4(listener, NULL, NULL, SOCK_NONBLOCK | 1), EINVAL), "accept4, more flags");
    expect(listen(listener, 9) == 0, "listen again");
    expect(listen(listener, 0) == 0, "listen, 0");
    close(listener);
}

static void test_waiting(const int ends[2])
{
    struct timespec negative = {.tv_sec = -1};
    struct pollfd set[2] = {{.fd = ends[1], .events = POLLIN}, {.fd = -1}};
    struct epoll_event event = {.events = EPOLLIN, .data.fd = ends[1]}, got;
    fd_set readable;
    int epoll_fd = check(epoll_create1(0), "epoll_create1");
    expect(ppoll(set, 2, &a_moment, NULL) == 0, "ppoll: nothing yet");
    expect(fails(ppoll(set, 2, &negative, NULL), EINVAL), "ppoll, negative time");
    check(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, ends[1], &event), "epoll_ctl");
    expect(epoll_pwait2(epoll_fd, &got, 1, &a_moment, NULL) == 0, "epoll_pwait2: nothing yet");
    expect(fails(epoll_pwait2(epoll_fd, &got, 0, &a_moment, NULL), EINVAL), "epoll_pwait2, none");
    expect(fails(epoll_ctl(epoll_fd, 77, ends[1], &event), EINVAL), "epoll_ctl, no operation");
    FD_ZERO(&readable);
    FD_SET(ends[1], &readable);
    expect(pselect(ends[1] + 1, &readable, NULL, NULL, &a_moment, NULL) == 0,
           "pselect: nothing yet");
    send(ends[0], "x", 1, 0);
    FD_SET(ends[1], &readable);
    expect(pselect(ends[1] + 1, &readable, NULL, NULL, &a_while, NULL) == 1, "pselect");
    expect(epoll_pwait2(epoll_fd, &got, 1, &a_while, NULL) == 1 && got.data.fd == ends[1],
           "epoll_pwait2");
    expect(epoll_ctl(epoll_fd, EPOLL_CTL_DEL, ends[1], NULL) == 0, "epoll_ctl, away");
    expect(fails(epoll_ctl(epoll_fd, EPOLL_CTL_DEL, ends[1], NULL), ENOENT), "epoll_ctl, twice");
    expect(fails(epoll_ctl(epoll_fd, EPOLL_CTL_MOD, ends[1], &event), ENOENT), "epoll_ctl, gone");
    char byte;
    recv(ends[1], &byte, 1, 0);
    close(epoll_fd);
}

static void test_descriptors(void)
{
    int ends[2], copy, flags = 1;
    char buffer[4];
    connect_pair(ends);
    copy = check(dup3(ends[1], 200, O_CLOEXEC), "dup3");
    expect(copy == 200 && fcntl(copy, F_GETFD) == FD_CLOEXEC, "dup3, O_CLOEXEC");
    expect(fails(dup3(ends[1], ends[1], 0), EINVAL), "dup3 onto itself");
    expect(dup2(ends[1], ends[1]) == ends[1], "dup2 onto itself");
    close(ends[1]);
    ends[1] = check(dup(copy), "dup");
    expect(close_range(200, 300, 0) == 0, "close_range");
    send(ends[0], "x", 1, 0);
    expect(recv(ends[1], buffer, 4, 0) == 1, "a duplicate outlives it");
    expect(fails(close_range(2, 1, 0), EINVAL), "close_range, backwards");
    expect(close_range(200, 300, CLOSE_RANGE_CLOEXEC) == 0, "close_range, CLOSE_RANGE_CLOEXEC");
    expect(ioctl(ends[1], FIONBIO, &flags) == 0 && fails(recv(ends[1], buffer, 4, 0), EAGAIN),
           "FIONBIO");
    expect(ioctl(ends[1], FIONREAD, &flags) == 0 && flags == 0, "FIONREAD: nothing");
    closefrom(3);
    expect(fails(send(ends[0], "x", 1, 0), EBADF), "closefrom");
}

/* What is no socket of ours goes to the kernel, by the same names. */
static void test_other_sockets(void)
{
    char buffer[8];
    int ends[2], copy;
    struct iovec part = {buffer, sizeof(buffer)};
    struct mmsghdr messages[1] = {{.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}}};
    fd_set readable;
    check(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends), "socketpair");
    expect(sendmmsg(ends[0], messages, 1, 0) == 1, "sendmmsg (unix)");
    expect(recvmmsg(ends[1], messages, 1, 0, NULL) == 1, "recvmmsg (unix)");
    expect(sendmsg(ends[0], &messages[0].msg_hdr, 0) == 8, "sendmsg (unix)");
    FD_ZERO(&readable);
    FD_SET(ends[1], &readable);
    expect(pselect(ends[1] + 1, &readable, NULL, NULL, &a_while, NULL) == 1, "pselect (unix)");
    expect(readv(ends[1], &part, 1) == 8, "readv (unix)");
    expect(writev(ends[0], &part, 1) == 8 && read(ends[1], buffer, 2 * four) == 8, "writev (unix)");
    expect(sendto(ends[0], buffer, four, 0, NULL, 0) == 4, "sendto (unix)");
    int epoll_fd = check(epoll_create1(0), "epoll_create1");
    struct epoll_event event = {.events = EPOLLIN};
    check(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, ends[1], &event), "epoll_ctl (unix)");
    expect(epoll_pwait2(epoll_fd, &event, 1, &a_while, NULL) == 1, "epoll_pwait2 (unix)");
    close(epoll_fd);
    copy = check(dup3(ends[1], 210, 0), "dup3 (unix)");
    expect(recvfrom(copy, buffer, four, 0, NULL, NULL) == 4, "recvfrom (unix)");
    expect(fails(dup2(-1, 210), EBADF) && fails(dup3(-1, 210, 0), EBADF), "dup of nothing");
    close(copy);
    close_pair(ends);
}

/* All is closed, and for so long that a stack in user space has been given back. */
static void test_again_after_a_pause(void)
{
    int ends[2];
    char byte;
    nanosleep(&(struct timespec){.tv_sec = 1, .tv_nsec = 500000000}, NULL);
    connect_pair(ends);
    expect(send(ends[0], "x", 1, 0) == 1 && recv(ends[1], &byte, 1, 0) == 1, "after a pause");
    close_pair(ends);
}

int main(void)
{
    int ends[2];
    signal(SIGPIPE, SIG_IGN);
    connect_pair(ends);
    test_many_at_once(ends);
    test_vectors(ends);
    test_checked_variants(ends);
    test_nowhere(ends);
    test_ancillary_data_that_is_cut_off(ends);
    test_other_destinations(ends);
    test_waiting(ends);
    close_pair(ends);
    test_overruns();
    test_no_such_socket();
    test_a_closed_descriptor();
    test_listeners();
    test_other_sockets();
    test_descriptors();
    test_again_after_a_pause();
    return failures != 0;
}
