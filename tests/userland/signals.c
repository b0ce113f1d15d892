/*
 * EINTR and SA_RESTART of the calls that wait, as signal(7) has them; Python would hide it.
 * Run by test_userland_calls.py, over any stack. Exit status 0: all is as it should be.
 */
#include "check.h"
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

static volatile sig_atomic_t handled;

static void handle(int number)
{
    (void)number;
    handled++;
}

static void install(int flags)
{
    struct sigaction action = {.sa_handler = handle, .sa_flags = flags};

    handled = 0;
    sigaction(SIGALRM, &action, NULL);
}

/* The signal comes every 20 ms, until it is switched off. */
static void alarm_every(int ms)
{
    struct itimerval timer = {.it_interval.tv_usec = ms * 1000, .it_value.tv_usec = ms * 1000};

    setitimer(ITIMER_REAL, &timer, NULL);
}

static struct sockaddr_in listener_name;

static int listen_on_loopback(void)
{
    int fd = open_socket();
    socklen_t length = sizeof listener_name;

    listener_name =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    check(bind(fd, (struct sockaddr *)&listener_name, sizeof listener_name), "bind");
    check(listen(fd, 8), "listen");
    check(getsockname(fd, (struct sockaddr *)&listener_name, &length), "getsockname");
    return fd;
}

static int connect_to_listener(void)
{
    int fd = open_socket();

    check(connect(fd, (struct sockaddr *)&listener_name, sizeof listener_name), "connect");
    return fd;
}

static void set_limit(int fd, int option, long seconds)
{
    struct timeval limit = {.tv_sec = seconds};

    check(setsockopt(fd, SOL_SOCKET, option, &limit, sizeof limit), "setsockopt");
}

/* A thread that writes after a while, so that restarted calls come to an end. */
static void *write_later(void *argument)
{
    sigset_t alarm_only;

    sigemptyset(&alarm_only);
    sigaddset(&alarm_only, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &alarm_only, NULL);
    usleep(150000);
    check((int)send((int)(intptr_t)argument, "x", 1, 0), "send");
    return NULL;
}

static void *connect_later(void *argument)
{
    sigset_t alarm_only;

    sigemptyset(&alarm_only);
    sigaddset(&alarm_only, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &alarm_only, NULL);
    usleep(150000);
    *(int *)argument = connect_to_listener();
    return NULL;
}

static void receives(int receiver, int sender)
{
    char byte;
    pthread_t thread;

    install(0);
    alarm_every(20);
    ssize_t got = recv(receiver, &byte, 1, 0);
    expect(got == -1 && errno == EINTR, "recv is interrupted");

    install(SA_RESTART);
    pthread_create(&thread, NULL, write_later, (void *)(intptr_t)sender);
    got = recv(receiver, &byte, 1, 0);
    expect(got == 1 && handled > 0, "recv is restarted");
    pthread_join(thread, NULL);

    set_limit(receiver, SO_RCVTIMEO, 30);
    got = recv(receiver, &byte, 1, 0);
    expect(got == -1 && errno == EINTR, "recv with a time limit is interrupted all the same");
    set_limit(receiver, SO_RCVTIMEO, 0);
    alarm_every(0);
}

static void accepts(int listener)
{
    pthread_t thread;
    int client = -1;

    install(0);
    alarm_every(20);
    expect(accept(listener, NULL, NULL) == -1 && errno == EINTR, "accept is interrupted");

    install(SA_RESTART);
    pthread_create(&thread, NULL, connect_later, &client);
    int fd = accept(listener, NULL, NULL);
    expect(fd >= 0 && handled > 0, "accept is restarted");
    pthread_join(thread, NULL);
    alarm_every(0);
    close(fd);
    close(client);
}

static void sends(int sender, int receiver)
{
    static char message[50000], sink[100000];
    ssize_t sent = 0;

    install(0);
    while (send(sender, message, sizeof message, MSG_DONTWAIT) > 0)
        continue;
    alarm_every(20);
    while (sent >= 0 && handled < 1500)
        sent = send(sender, message, sizeof message, 0);
    expect(sent == -1 && errno == EINTR, "send is interrupted");
    alarm_every(0);
    while (recv(receiver, sink, sizeof sink, MSG_DONTWAIT) > 0)
        continue;
}

static void polls(int fd)
{
    struct pollfd one = {.fd = fd, .events = POLLIN};

    install(SA_RESTART);
    alarm_every(20);
    expect(poll(&one, 1, 30000) == -1 && errno == EINTR, "poll is never restarted");
    expect(poll(&one, 1, -1) == -1 && errno == EINTR, "not even without a time limit");
    alarm_every(0);
}

/* The way out of an accept loop: the signal is blocked but within ppoll. */
static void ppolls(int listener)
{
    struct pollfd one = {.fd = listener, .events = POLLIN};
    sigset_t blocked, before;

    install(0);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &blocked, &before);
    raise(SIGALRM);
    expect(handled == 0, "a blocked signal waits");
    int ready = ppoll(&one, 1, &(struct timespec){.tv_sec = 30}, &before);
    expect(ready == -1 && errno == EINTR && handled == 1, "ppoll lets it in at once");
    expect(ppoll(&one, 1, &(struct timespec){.tv_nsec = 1000000}, &before) == 0, "ppoll times out");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

int main(void)
{
    int listener = listen_on_loopback();
    int client = connect_to_listener();
    int accepted = check(accept(listener, NULL, NULL), "accept");

    receives(accepted, client);
    accepts(listener);
    polls(accepted);
    ppolls(listener);
    sends(client, accepted);
    close(client);
    close(accepted);
    close(listener);
    return failures == 0 ? 0 : 1;
}
