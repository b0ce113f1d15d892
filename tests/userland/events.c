/*
 * events.c - epoll with several threads, duplicated descriptors, edges and one-shots; select over
 * all kinds of descriptors. Run by test_userland_calls.py, over any stack. Exit status 0: all is as
 * it should be.
 */
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/wait.h>

#define WAIT_MS 30000
#define CLIENTS 8
#define WORKERS 4
#define ROUNDS 30

static void watch(int epoll_fd, int operation, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event event = {.events = events, .data.u64 = data};

    check(epoll_ctl(epoll_fd, operation, fd, &event), "epoll_ctl");
}

/* The next event within so long; 0 in .events: there is none. */
static struct epoll_event next_event(int epoll_fd, int timeout_ms)
{
    struct epoll_event event = {.events = 0};

    if (epoll_wait(epoll_fd, &event, 1, timeout_ms) != 1)
        event.events = 0;
    return event;
}

/* ---- workers that share one epoll descriptor */

struct work {
    int epoll_fd;
    int echoed; /* by this worker */
};

static int answer(int fd)
{
    char buffer[64];
    ssize_t got = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);

    return got > 0 && send(fd, buffer, (size_t)got, 0) == got ? 1 : 0;
}

static void *serve(void *argument)
{
    struct work *work = argument;

    for (;;) {
        struct epoll_event event = next_event(work->epoll_fd, WAIT_MS);
        int fd = (int)event.data.u64;
        if (event.events == 0 || fd == 0)
            return NULL;
        work->echoed += answer(fd);
        watch(work->epoll_fd, EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLONESHOT, (uint64_t)fd);
    }
}

static int ask_all(int ends[CLIENTS][2])
{
    char buffer[64];
    int answered = 0;

    for (int i = 0; i < CLIENTS; i++)
        send(ends[i][0], &i, sizeof(i), 0);
    for (int i = 0; i < CLIENTS; i++)
        answered += recv(ends[i][0], buffer, sizeof(buffer), 0) == sizeof(i) &&
                    memcmp(buffer, &i, sizeof(i)) == 0;
    return answered;
}

static void test_workers(void)
{
    int ends[CLIENTS][2], stop[2], answered = 0, echoed = 0;
    struct work work[WORKERS];
    pthread_t threads[WORKERS];
    int epoll_fd = check(epoll_create1(0), "epoll_create1");

    check(pipe(stop), "pipe");
    for (int i = 0; i < CLIENTS; i++) {
        connect_pair(ends[i]);
        watch(epoll_fd, EPOLL_CTL_ADD, ends[i][1], EPOLLIN | EPOLLONESHOT, (uint64_t)ends[i][1]);
    }
    for (int i = 0; i < WORKERS; i++) {
        work[i] = (struct work){.epoll_fd = epoll_fd};
        check(-pthread_create(&threads[i], NULL, serve, &work[i]), "pthread_create");
    }
    for (int round = 0; round < ROUNDS; round++)
        answered += ask_all(ends);
    watch(epoll_fd, EPOLL_CTL_ADD, stop[0], EPOLLIN, 0);
    close(stop[1]);
    for (int i = 0; i < WORKERS; i++) {
        pthread_join(threads[i], NULL);
        echoed += work[i].echoed;
    }
    expect(answered == ROUNDS * CLIENTS && echoed == answered,
           "four threads in epoll_wait, one-shot: each message is answered once");
    for (int i = 0; i < CLIENTS; i++)
        close_pair(ends[i]);
    close(stop[0]);
    close(epoll_fd);
}

/* ---- duplicates */

static void test_duplicates(void)
{
    int ends[2];

    connect_pair(ends);
    int first = check(epoll_create1(0), "epoll_create1"), second = check(dup(first), "dup");
    watch(first, EPOLL_CTL_ADD, ends[1], EPOLLIN, 0x123456789abcdef0);
    send(ends[0], "!", 1, 0);
    struct epoll_event event = next_event(second, WAIT_MS);
    expect(event.events == EPOLLIN && event.data.u64 == 0x123456789abcdef0,
           "a duplicated epoll descriptor gives what the program has put in");
    close(first);
    event = next_event(second, WAIT_MS);
    expect(event.events == EPOLLIN && event.data.u64 == 0x123456789abcdef0,
           "and outlives the first one");
    pid_t child = check(fork(), "fork");
    if (child == 0)
        _exit(next_event(second, WAIT_MS).data.u64 == 0x123456789abcdef0 ? 0 : 1);
    int status = -1;
    waitpid(child, &status, 0);
    expect(status == 0, "in a child, too");
    int copy = check(dup(ends[1]), "dup");
    watch(second, EPOLL_CTL_ADD, copy, EPOLLIN, 7);
    struct epoll_event both[3];
    expect(epoll_wait(second, both, 3, WAIT_MS) == 2, "a socket and its duplicate are two");
    close(copy);
    close_pair(ends);
    close(second);
}

/* ---- edges and one-shots */

static void test_edges(void)
{
    char buffer[16];
    int ends[2];

    connect_pair(ends);
    int epoll_fd = check(epoll_create1(0), "epoll_create1");
    watch(epoll_fd, EPOLL_CTL_ADD, ends[1], EPOLLIN | EPOLLET, 1);
    send(ends[0], "1", 1, 0);
    expect(next_event(epoll_fd, WAIT_MS).events == EPOLLIN, "the edge of the first message");
    expect(next_event(epoll_fd, 0).events == 0, "is told once");
    send(ends[0], "2", 1, 0);
    expect(next_event(epoll_fd, WAIT_MS).events == EPOLLIN,
           "the second one's, though the first is unread");
    expect(recv(ends[1], buffer, 16, 0) == 1 && recv(ends[1], buffer, 16, 0) == 1 &&
               next_event(epoll_fd, 0).events == 0,
           "and reading is none");
    watch(epoll_fd, EPOLL_CTL_MOD, ends[1], EPOLLIN | EPOLLONESHOT, 1);
    send(ends[0], "3", 1, 0);
    expect(next_event(epoll_fd, WAIT_MS).events == EPOLLIN, "one-shot");
    expect(next_event(epoll_fd, 0).events == 0, "only one");
    watch(epoll_fd, EPOLL_CTL_MOD, ends[1], EPOLLIN | EPOLLONESHOT, 1);
    expect(next_event(epoll_fd, WAIT_MS).events == EPOLLIN, "and again when it is asked for");
    close(ends[0]);
    recv(ends[1], buffer, 16, 0);
    watch(epoll_fd, EPOLL_CTL_MOD, ends[1], EPOLLIN | EPOLLRDHUP | EPOLLET, 1);
    uint32_t seen = 0;
    while ((seen & EPOLLRDHUP) == 0) {
        struct epoll_event event = next_event(epoll_fd, WAIT_MS);
        if (event.events == 0)
            break;
        seen |= event.events;
    }
    expect((seen & (EPOLLIN | EPOLLRDHUP)) == (EPOLLIN | EPOLLRDHUP), "the edge of the end");
    close(ends[1]);
    close(epoll_fd);
}

/* ---- select */

static void test_select(void)
{
    int ends[2], tubes[2], local[2];
    struct timeval patience = {.tv_sec = WAIT_MS / 1000};
    fd_set readable, writable;

    connect_pair(ends);
    check(pipe(tubes), "pipe");
    check(socketpair(AF_UNIX, SOCK_STREAM, 0, local), "socketpair");
    for (int i = 0; i < 2; i++) {
        FD_ZERO(&readable);
        FD_ZERO(&writable);
        FD_SET(ends[1], &readable);
        FD_SET(tubes[0], &readable);
        FD_SET(local[0], &readable);
        if (i == 0)
            check((int)write(tubes[1], "!", 1), "write");
        else
            check((int)send(ends[0], "!", 1, 0), "send");
        int ready = select(FD_SETSIZE, &readable, NULL, NULL, &patience);
        expect(ready == 1 && FD_ISSET(i == 0 ? tubes[0] : ends[1], &readable),
               "select over a pipe, a local socket and an association");
        char byte;
        (void)!read(i == 0 ? tubes[0] : ends[1], &byte, 1);
    }
    FD_ZERO(&writable);
    FD_SET(ends[0], &writable);
    FD_SET(tubes[1], &writable);
    expect(select(FD_SETSIZE, NULL, &writable, NULL, &patience) == 2, "both can be written to");
    close_pair(ends);
    close_pair(tubes);
    close_pair(local);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    test_workers();
    test_duplicates();
    test_edges();
    test_select();
    return failures != 0;
}
