/* What the C tests share: told expectations, calls that must succeed, and sockets on loopback. */
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int failures;

static void expect(bool holds, const char *what)
{
    int saved = errno;

    printf("%s: %s\n", what, holds ? "ok" : "FAILED");
    if (!holds)
        printf("  errno %s\n", strerror(saved));
    failures += !holds;
}

static int check(int result, const char *what)
{
    if (result < 0) {
        perror(what);
        exit(1);
    }
    return result;
}

static int open_socket(void)
{
    return check(socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP), "socket");
}

static inline bool fails(long result, int error)
{
    return result == -1 && errno == error;
}

static inline struct sockaddr_in loopback(in_port_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static inline int open_listener(struct sockaddr_in *address)
{
    socklen_t length = sizeof(*address);
    int listener = open_socket();

    *address = loopback(0);
    check(bind(listener, (struct sockaddr *)address, length), "bind");
    check(listen(listener, 5), "listen");
    check(getsockname(listener, (struct sockaddr *)address, &length), "getsockname");
    return listener;
}

static inline int connect_to(const struct sockaddr_in *address)
{
    int fd = open_socket();

    check(connect(fd, (const struct sockaddr *)address, sizeof(*address)), "connect");
    return fd;
}

/* The one that connected, and the one that was accepted. */
static inline void connect_pair(int ends[2])
{
    struct sockaddr_in address;
    int listener = open_listener(&address);

    ends[0] = connect_to(&address);
    ends[1] = check(accept4(listener, NULL, NULL, SOCK_CLOEXEC), "accept4");
    close(listener);
}

static inline void close_pair(const int ends[2])
{
    close(ends[0]);
    close(ends[1]);
}

/* Reads to the end of the file, and returns how much there was; or -1 with errno. */
static inline long drain(int fd)
{
    char buffer[65536];
    long total = 0;
    ssize_t got;

    while ((got = recv(fd, buffer, sizeof(buffer), 0)) > 0)
        total += got;
    return got == 0 ? total : -1;
}

/* Both ends are there, and connected to each other. */
static inline bool talks(int from, int to)
{
    char byte = 0;

    return send(from, "!", 1, 0) == 1 && recv(to, &byte, 1, 0) == 1 && byte == '!';
}
