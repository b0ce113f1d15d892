/*
 * interrupts.c - calls on SCTP sockets in signal handlers, left by siglongjmp, and in threads that
 * are cancelled. Run by test_userland_calls.py, over any stack. Exit status 0: all is as it should
 * be.
 */
#include "check.h"
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/time.h>

#define NODELAY 3 /* SCTP_NODELAY */
#define SPARE_FD 250

/* One signal: a machine that is slow would do nothing else if there was another before long. */
static void alarm_in(int us)
{
    struct itimerval timer = {.it_value.tv_usec = us};

    setitimer(ITIMER_REAL, &timer, NULL);
}

static void install(int number, void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};

    sigaction(number, &action, NULL);
}

static int count_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int count = 0;

    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

/* ---- calls in a handler */

static int handlers_ends[2];
static volatile sig_atomic_t handled, went_wrong;

static void use_sockets(int number)
{
    int saved = errno, on = 0;
    socklen_t size = sizeof(on);

    (void)number;
    bool well = talks(handlers_ends[0], handlers_ends[1]) &&
                getsockopt(handlers_ends[0], IPPROTO_SCTP, NODELAY, &on, &size) == 0 && on == 1 &&
                setsockopt(handlers_ends[0], IPPROTO_SCTP, NODELAY, &on, size) == 0 &&
                dup2(handlers_ends[0], SPARE_FD) == SPARE_FD && talks(SPARE_FD, handlers_ends[1]) &&
                close(SPARE_FD) == 0;
    handled++;
    went_wrong += !well;
    errno = saved;
}

static void test_handlers(void)
{
    int ends[2], on = 1, failed = 0;
    socklen_t size = sizeof(on);

    connect_pair(ends);
    connect_pair(handlers_ends);
    check(setsockopt(handlers_ends[0], IPPROTO_SCTP, NODELAY, &on, size), "SCTP_NODELAY");
    install(SIGALRM, use_sockets, SA_RESTART);
    for (int seen = -1; handled < 30;) {
        if (seen != handled) {
            seen = handled;
            alarm_in(100 + 37 * seen);
        }
        failed += !talks(ends[0], ends[1]);
        failed += getsockopt(ends[1], IPPROTO_SCTP, NODELAY, &on, &size) != 0;
    }
    expect(failed == 0, "calls that a handler interrupts");
    expect(went_wrong == 0, "send, recv, options, dup2 and close in a handler");
    close_pair(ends);
    close_pair(handlers_ends);
}

/* ---- siglongjmp */

static sigjmp_buf way_out;

static void jump(int number)
{
    (void)number;
    siglongjmp(way_out, 1);
}

static void test_jumps(void)
{
    struct sockaddr_in address;
    int ends[2], listener = open_listener(&address);
    char byte;
    volatile int jumps = 0;

    connect_pair(ends);
    install(SIGALRM, jump, 0);
    int before = count_descriptors();
    if (sigsetjmp(way_out, 1) != 0)
        jumps++;
    if (jumps < 20) {
        alarm_in(3000);
        if (jumps % 2)
            (void)!recv(ends[1], &byte, 1, 0);
        else
            accept(listener, NULL, NULL);
        jumps = 100;
    }
    expect(jumps == 20, "siglongjmp out of recv and accept");
    expect(talks(ends[0], ends[1]) && talks(ends[1], ends[0]), "the sockets are as they were");
    int client = connect_to(&address), accepted = check(accept(listener, NULL, NULL), "accept");
    expect(talks(client, accepted), "and so is the listener");
    close(client);
    close(accepted);
    expect(count_descriptors() == before, "nothing is left over");
    close_pair(ends);
    close(listener);
}

/* ---- pthread_cancel */

static void *receive(void *fd)
{
    char byte;

    (void)!recv(*(int *)fd, &byte, 1, 0);
    return NULL;
}

static void *accept_one(void *fd)
{
    accept(*(int *)fd, NULL, NULL);
    return NULL;
}

static void *send_all(void *fd)
{
    static char message[20000];

    while (send(*(int *)fd, message, sizeof(message), 0) > 0)
        continue;
    return NULL;
}

static void *read_all(void *fd)
{
    static char buffer[20000];

    while (read(*(int *)fd, buffer, sizeof(buffer)) > 0)
        continue;
    return NULL;
}

/* Whether the thread waits already is not known, and does not matter. */
static void cancel(void *(*function)(void *), int fd, const char *what)
{
    pthread_t thread;
    void *result = NULL;

    check(-pthread_create(&thread, NULL, function, &fd), "pthread_create");
    poll(NULL, 0, 20);
    pthread_cancel(thread);
    expect(pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED, what);
}

static void test_cancelling(void)
{
    struct sockaddr_in address;
    int ends[2], listener = open_listener(&address);

    connect_pair(ends);
    int before = count_descriptors();
    cancel(receive, ends[1], "recv is cancelled");
    cancel(read_all, ends[1], "read is cancelled");
    cancel(accept_one, listener, "accept is cancelled");
    expect(talks(ends[0], ends[1]) && talks(ends[1], ends[0]), "the sockets are as they were");
    cancel(send_all, ends[0], "send is cancelled");
    expect(count_descriptors() == before, "no descriptor is left over");
    close_pair(ends);
    close(listener);
}

/* ---- SIGIO */

static void test_sigio(void)
{
    sigset_t only, before;
    struct timespec patience = {.tv_sec = 30};
    int ends[2];

    connect_pair(ends);
    sigemptyset(&only);
    sigaddset(&only, SIGIO);
    pthread_sigmask(SIG_BLOCK, &only, &before);
    expect(fcntl(ends[1], F_SETOWN, getpid()) == 0 &&
               fcntl(ends[1], F_SETFL, O_RDWR | O_ASYNC) == 0,
           "F_SETOWN, O_ASYNC");
    expect(send(ends[0], "!", 1, 0) == 1 && sigtimedwait(&only, NULL, &patience) == SIGIO,
           "SIGIO tells of a message");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    close_pair(ends);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGIO, SIG_IGN);
    test_handlers();
    test_jumps();
    test_cancelling();
    test_sigio();
    return failures != 0;
}
