/* Benchmark helper: echo over ordinary sockets, SCTP or TCP. Partner: userland_direct.c,
 * the same over libusrsctp's own calls. userland.py runs both and compares. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SCTP_NODELAY_OPTION 3
#define MESSAGE "x"

static int open_socket(int protocol)
{
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM, protocol);

    if (fd < 0 ||
        setsockopt(fd, protocol, protocol == IPPROTO_TCP ? TCP_NODELAY : SCTP_NODELAY_OPTION, &on,
                   sizeof on) < 0) {
        perror("socket");
        exit(1);
    }
    return fd;
}

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void *echo(void *argument)
{
    int fd = (int)(intptr_t)argument;
    char buffer[4096];
    ssize_t got;

    while ((got = recv(fd, buffer, sizeof buffer, 0)) > 0)
        if (send(fd, buffer, (size_t)got, MSG_NOSIGNAL) < 0)
            break;
    close(fd);
    return NULL;
}

static int serve(int protocol, int port)
{
    struct sockaddr_in address = loopback(port);
    pthread_attr_t attributes;
    int on = 1, listener = open_socket(protocol);

    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(listener, 1024) < 0) {
        perror("listen");
        return 1;
    }
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 128 * 1024);
    puts("ready");
    fflush(stdout);
    for (;;) {
        pthread_t thread;
        int fd = accept(listener, NULL, NULL);
        if (fd < 0 ||
            setsockopt(fd, protocol, protocol == IPPROTO_TCP ? TCP_NODELAY : SCTP_NODELAY_OPTION,
                       &on, sizeof on) < 0 ||
            pthread_create(&thread, &attributes, echo, (void *)(intptr_t)fd) != 0) {
            perror("accept");
            return 1;
        }
    }
}

static int connect_to(int protocol, int port)
{
    struct sockaddr_in address = loopback(port);
    int fd = open_socket(protocol);

    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        perror("connect");
        exit(1);
    }
    return fd;
}

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void exchange(int fd)
{
    char buffer[64];

    if (send(fd, MESSAGE, 1, 0) != 1 || recv(fd, buffer, sizeof buffer, 0) != 1) {
        perror("exchange");
        exit(1);
    }
}

/* Prints the microseconds of one round trip. */
static int round_trips(int protocol, int port, int count)
{
    int fd = connect_to(protocol, port);

    for (int i = 0; i < 1000; i++)
        exchange(fd);
    double start = now_s();
    for (int i = 0; i < count; i++)
        exchange(fd);
    printf("%.3f\n", (now_s() - start) / count * 1e6);
    close(fd);
    return 0;
}

/* Prints how many connections there were per second, one after the other. */
static int connections(int protocol, int port, int count)
{
    double start = now_s();

    for (int i = 0; i < count; i++) {
        int fd = connect_to(protocol, port);
        exchange(fd);
        close(fd);
    }
    printf("%.0f\n", count / (now_s() - start));
    return 0;
}

/* Holds many connections open, says so, and waits for a line on stdin. */
static int hold(int protocol, int port, int count)
{
    int *fds = calloc((size_t)count, sizeof *fds);

    for (int i = 0; fds != NULL && i < count; i++) {
        fds[i] = connect_to(protocol, port);
        exchange(fds[i]);
    }
    puts("holding");
    fflush(stdout);
    (void)getchar();
    free(fds);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: userland_sockets sctp|tcp PORT serve|rtt|connect|hold [COUNT]\n");
        return 2;
    }
    int protocol = strcmp(argv[1], "tcp") == 0 ? IPPROTO_TCP : IPPROTO_SCTP;
    int port = atoi(argv[2]), count = argc > 4 ? atoi(argv[4]) : 1000;
    if (strcmp(argv[3], "serve") == 0)
        return serve(protocol, port);
    if (strcmp(argv[3], "connect") == 0)
        return connections(protocol, port, count);
    if (strcmp(argv[3], "hold") == 0)
        return hold(protocol, port, count);
    return round_trips(protocol, port, count);
}
