/*
 * common.h - what server.c and client.c agree on, and what both of them need.
 *
 * PROTO is the lesson: make it IPPROTO_TCP, rebuild, and both programs speak TCP.
 * What has an #ifndef can also come from the compiler, as in -DSERVER_PORT=5000.
 */
#ifndef COMMON_H
#define COMMON_H

#define _GNU_SOURCE // program_invocation_short_name

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/sctp.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#ifndef PROTO
#define PROTO IPPROTO_SCTP
#endif

/* With SOCK_STREAM, a socket has one SCTP association, just as it has one TCP connection. */
#ifndef SOCK_TYPE
#define SOCK_TYPE SOCK_STREAM
#endif

#ifndef SERVER_PORT
#define SERVER_PORT 4444
#endif
#ifndef SERVER_LISTEN_QUEUE_SIZE
#define SERVER_LISTEN_QUEUE_SIZE SOMAXCONN
#endif
#ifndef SERVER_BUFFER_SIZE
#define SERVER_BUFFER_SIZE 65536
#endif
#ifndef SERVER_TIMEOUT_S
#define SERVER_TIMEOUT_S 3600
#endif

#ifndef CLIENT_SEND_COUNT
#define CLIENT_SEND_COUNT 5
#endif
#ifndef CLIENT_MESSAGE_SIZE
#define CLIENT_MESSAGE_SIZE 64
#endif
#ifndef CLIENT_TIMEOUT_S
#define CLIENT_TIMEOUT_S 10
#endif

#define ANSWER "OK"
#define ANSWER_SIZE (sizeof(ANSWER) - 1)

#define NO_SCTP_HINT                                                                               \
    " (no SCTP in this kernel? \"modprobe sctp\", or install libusrsctp-dev and rebuild)"

/* Without NODELAY, Nagle's algorithm and the peer's delayed SACK (TCP: ACK) wait for each other. */
#define NODELAY (PROTO == IPPROTO_SCTP ? SCTP_NODELAY : TCP_NODELAY)

/* Writes a line of diagnostics in one piece, so that the lines of several threads do not mix. */
#define complain(format, ...)                                                                      \
    fprintf(stderr, "%s: " format "\n", program_invocation_short_name, __VA_ARGS__)

/* These two end the program: one that is used wrongly, and one that is asked for help (-h). */
#define misuse(format, ...) (complain(format, __VA_ARGS__), fputs(USAGE, stderr), exit(2))
#define print_help(...) (printf(USAGE HELP, __VA_ARGS__), exit(close_output(EXIT_SUCCESS)))

/* A socket option, as a row of a table: SETTING(SOL_SOCKET, SO_KEEPALIVE, int, 1) */
struct setting {
    int level, name;
    const void *value;
    socklen_t size;
};
#define SETTING(level, name, type, ...)                                                            \
    {                                                                                              \
        level, name, &(const type){__VA_ARGS__}, sizeof(type)                                      \
    }
#define APPLY(fd, table) apply_settings(fd, table, sizeof(table) / sizeof((table)[0]))

/* Returns 0, or -1 with errno from the first option that could not be set. */
static int apply_settings(int fd, const struct setting *settings, size_t count)
{
    int result = 0;
    for (const struct setting *row = settings; result == 0 && row < settings + count; row++)
        result = setsockopt(fd, row->level, row->name, row->value, row->size);
    return result;
}

static volatile sig_atomic_t interrupts; // how often Ctrl-C has interrupted the client

/* A call that blocks is to be repeated, also after Ctrl-Z and fg, but not after a second Ctrl-C. */
static bool must_repeat(ssize_t result)
{
    return result == -1 && errno == EINTR && interrupts < 2;
}

/*
 * Reads like recv(2), and says whether a message ends with what it read. SCTP marks the end of each
 * message (MSG_EOR), and recvmsg hands that mark on. TCP knows no messages: there is never a mark.
 */
static ssize_t receive(int fd, char *buffer, size_t size, bool *message_ended)
{
    struct iovec part = {.iov_base = buffer, .iov_len = size};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t received;
    do
        received = recvmsg(fd, &header, 0);
    while (must_repeat(received));
    *message_ended = received > 0 && (header.msg_flags & MSG_EOR) != 0;
    return received;
}

/* SCTP takes a message whole; TCP can take a part of it. Returns 0, or -1 with errno. */
static int send_message(int fd, const char *message, size_t size)
{
    size_t sent = 0;
    while (sent < size) {
        ssize_t count = send(fd, message + sent, size - sent, 0);
        if (count > 0)
            sent += (size_t)count;
        else if (!must_repeat(count))
            return -1;
    }
    return 0;
}

static long parse_whole(const char *what, const char *text, long min, long max)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || value < min || value > max)
        misuse("%s %s: not a whole number from %ld to %ld", what, text, min, max);
    return value;
}

/* Makes stdout write line by line, also into a pipe. */
static void open_output(void)
{
    // A socket would take the place of a closed stream, and the peer would get what is printed.
    if (fcntl(STDOUT_FILENO, F_GETFD) == -1 || fcntl(STDERR_FILENO, F_GETFD) == -1) {
        complain("stdout or stderr: %s", strerror(errno));
        exit(EXIT_FAILURE);
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
}

/* Returns the exit status: a program has also failed if its stdout could not be written. */
static int close_output(int status)
{
    if (fflush(stdout) != EOF && !ferror(stdout))
        return status;
    complain("stdout: %s", strerror(errno));
    return EXIT_FAILURE;
}

#endif
