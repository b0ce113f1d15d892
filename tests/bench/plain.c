/*
 * plain.c - the plainest server and client of their kind: as fast as the calls themselves allow.
 *
 * The server has one thread per connection and answers two bytes to every SIZE bytes; that it knows
 * the size spares it looking for the end of a message. The client prints the microseconds of one
 * round trip.
 */
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "bench.h"

#define WARM_UP 1000 // round trips
#define SIZE_MAX_BYTES 65536

static int protocol;
static size_t size;

static void *serve_connection(void *argument)
{
    int fd = (int)(intptr_t)argument;
    char buffer[SIZE_MAX_BYTES];
    ssize_t count;
    size_t received = 0;
    while ((count = recv(fd, buffer, size - received, 0)) > 0) {
        received += (size_t)count;
        if (received < size)
            continue;
        received = 0;
        if (send(fd, ANSWER, ANSWER_SIZE, MSG_NOSIGNAL) != ANSWER_SIZE)
            break;
    }
    close(fd);
    return NULL;
}

static int open_listener(int port)
{
    int on = 1, listener = open_socket(protocol);
    struct sockaddr_in address = loopback(1, port);
    socklen_t length = sizeof(address);
    if (setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1 ||
        bind(listener, (struct sockaddr *)&address, sizeof(address)) == -1 ||
        listen(listener, SOMAXCONN) == -1 ||
        getsockname(listener, (struct sockaddr *)&address, &length) == -1)
        err(EXIT_FAILURE, "listen");
    printf("Listening on port %d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

static void serve(int port)
{
    int listener = open_listener(port);
    for (;;) {
        pthread_t thread;
        int fd = accept(listener, NULL, NULL);
        if (fd == -1)
            err(EXIT_FAILURE, "accept");
        set_nodelay(fd, protocol);
        if (pthread_create(&thread, NULL, serve_connection, (void *)(intptr_t)fd) != 0 ||
            pthread_detach(thread) != 0)
            errx(EXIT_FAILURE, "pthread_create");
    }
}

static void ask(int port, int count)
{
    static char message[SIZE_MAX_BYTES];
    memset(message, 'm', size - 1);
    message[size - 1] = '\n';
    int fd = connect_to(protocol, port);
    for (int i = 0; i < WARM_UP; i++)
        exchange(fd, message, size);
    double start_s = now_s();
    for (int i = 0; i < count; i++)
        exchange(fd, message, size);
    printf("%.3f\n", (now_s() - start_s) / count * 1e6);
    close(fd);
}

int main(int argc, char *argv[])
{
    if (argc < 4)
        errx(2, "usage: plain tcp|sctp PORT SIZE [COUNT]\nWith COUNT it is the client.");
    protocol = parse_protocol(argv[1]);
    size = (size_t)atoi(argv[3]);
    if (size < 1 || size > SIZE_MAX_BYTES)
        errx(2, "size %s: not from 1 to %d", argv[3], SIZE_MAX_BYTES);
    if (argc == 4)
        serve(atoi(argv[2]));
    ask(atoi(argv[2]), atoi(argv[4]));
    return 0;
}
