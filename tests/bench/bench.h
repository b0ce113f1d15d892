/* bench.h - what the benchmark's programs share. Every failure ends them: a number would be wrong.
 */
#ifndef BENCH_H
#define BENCH_H

#include <err.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define NODELAY(protocol) ((protocol) == IPPROTO_TCP ? 1 : 3) // TCP_NODELAY, SCTP_NODELAY
#define ANSWER "OK"
#define ANSWER_SIZE 2

/* The protocol that an argument names. */
static inline int parse_protocol(const char *name)
{
    return strcmp(name, "tcp") == 0 ? IPPROTO_TCP : IPPROTO_SCTP;
}

static inline double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* 127.0.0.HOST */
static inline struct sockaddr_in loopback(int host, int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + (uint32_t)host)};
}

static inline void set_nodelay(int fd, int protocol)
{
    int on = 1;
    if (setsockopt(fd, protocol, NODELAY(protocol), &on, sizeof(on)) == -1)
        err(EXIT_FAILURE, "nodelay");
}

static inline int open_socket(int protocol)
{
    int fd = socket(AF_INET, SOCK_STREAM, protocol);
    if (fd == -1)
        err(EXIT_FAILURE, "socket");
    set_nodelay(fd, protocol);
    return fd;
}

/* Connects to a port of 127.0.0.1. */
static inline int connect_to(int protocol, int port)
{
    struct sockaddr_in address = loopback(1, port);
    int fd = open_socket(protocol);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == -1)
        err(EXIT_FAILURE, "connect");
    return fd;
}

/* Sends a message, which ends with a newline, and waits for two bytes of answer. */
static inline void exchange(int fd, const char *message, size_t size)
{
    char answer[64];
    ssize_t received = 0;
    if (send(fd, message, size, MSG_NOSIGNAL) != (ssize_t)size)
        err(EXIT_FAILURE, "send");
    while (received < ANSWER_SIZE) {
        ssize_t count = recv(fd, answer + received, sizeof(answer) - (size_t)received, 0);
        if (count <= 0)
            err(EXIT_FAILURE, "recv");
        received += count;
    }
}

#endif
