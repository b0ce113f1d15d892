/*
 * direct.c - plain.c, written on libusrsctp's own calls, with its threads and its UDP sockets.
 *
 * What SCTP over usrsctp costs at least. Over ordinary sockets, userland/ adds to it. The client
 * also prints the connections per second, each with one exchange, one after the other.
 */
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
#include <usrsctp.h>

#include "bench.h"

#define SCTP_PORT 4446
#define WARM_UP 1000 // round trips
#define SIZE_MAX_BYTES 65536

static uint16_t remote_udp_port;
static size_t size;

static struct socket *open_direct(void)
{
    struct sctp_udpencaps encaps = {.sue_address.ss_family = AF_INET,
                                    .sue_port = htons(remote_udp_port)};
    int on = 1;
    struct socket *so = usrsctp_socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP, NULL, NULL, 0, NULL);
    if (so == NULL)
        err(EXIT_FAILURE, "usrsctp_socket");
    if (usrsctp_setsockopt(so, IPPROTO_SCTP, SCTP_NODELAY, &on, sizeof(on)) == -1 ||
        (remote_udp_port != 0 && usrsctp_setsockopt(so, IPPROTO_SCTP, SCTP_REMOTE_UDP_ENCAPS_PORT,
                                                    &encaps, sizeof(encaps)) == -1))
        err(EXIT_FAILURE, "usrsctp_setsockopt");
    return so;
}

/* Returns the bytes of what was read, 0 at the end of the association. */
static size_t receive(struct socket *so, void *buffer, size_t buffer_size)
{
    struct sctp_rcvinfo info;
    socklen_t length = sizeof(info);
    unsigned type = 0;
    int flags = 0;
    ssize_t count =
        usrsctp_recvv(so, buffer, buffer_size, NULL, NULL, &info, &length, &type, &flags);
    return count > 0 ? (size_t)count : 0;
}

static void transmit(struct socket *so, const void *data, size_t data_size)
{
    if (usrsctp_sendv(so, data, data_size, NULL, 0, NULL, 0, SCTP_SENDV_NOINFO, 0) !=
        (ssize_t)data_size)
        err(EXIT_FAILURE, "usrsctp_sendv");
}

static void *serve_association(void *argument)
{
    struct socket *so = argument;
    char buffer[SIZE_MAX_BYTES];
    size_t count, received = 0;
    while ((count = receive(so, buffer, sizeof(buffer))) > 0) {
        received += count;
        if (received < size)
            continue;
        received = 0;
        transmit(so, ANSWER, ANSWER_SIZE);
    }
    usrsctp_close(so);
    return NULL;
}

static void serve(void)
{
    struct sockaddr_in address = loopback(1, SCTP_PORT);
    int on = 1;
    struct socket *listener = open_direct();
    if (usrsctp_bind(listener, (struct sockaddr *)&address, sizeof(address)) == -1 ||
        usrsctp_listen(listener, SOMAXCONN) == -1)
        err(EXIT_FAILURE, "usrsctp_listen");
    printf("Listening on port %d\n", SCTP_PORT);
    fflush(stdout);
    for (;;) {
        pthread_t thread;
        struct socket *so = usrsctp_accept(listener, NULL, NULL);
        if (so == NULL || usrsctp_setsockopt(so, IPPROTO_SCTP, SCTP_NODELAY, &on, sizeof(on)) == -1)
            err(EXIT_FAILURE, "usrsctp_accept");
        if (pthread_create(&thread, NULL, serve_association, so) != 0 ||
            pthread_detach(thread) != 0)
            errx(EXIT_FAILURE, "pthread_create");
    }
}

static struct socket *connect_direct(void)
{
    struct sockaddr_in address = loopback(1, SCTP_PORT);
    struct socket *so = open_direct();
    if (usrsctp_connect(so, (struct sockaddr *)&address, sizeof(address)) == -1)
        err(EXIT_FAILURE, "usrsctp_connect");
    return so;
}

static void exchange_direct(struct socket *so, const char *message)
{
    char answer[64];
    transmit(so, message, size);
    if (receive(so, answer, sizeof(answer)) != ANSWER_SIZE)
        errx(EXIT_FAILURE, "not the answer");
}

static double time_round_trip_us(const char *message, int count)
{
    struct socket *so = connect_direct();
    for (int i = 0; i < WARM_UP; i++)
        exchange_direct(so, message);
    double start_s = now_s();
    for (int i = 0; i < count; i++)
        exchange_direct(so, message);
    double us = (now_s() - start_s) / count * 1e6;
    usrsctp_close(so);
    return us;
}

static double measure_rate(const char *message, int count)
{
    double start_s = now_s();
    for (int i = 0; i < count; i++) {
        struct socket *so = connect_direct();
        exchange_direct(so, message);
        usrsctp_close(so);
    }
    return count / (now_s() - start_s);
}

int main(int argc, char *argv[])
{
    static char message[SIZE_MAX_BYTES];
    memset(message, 'm', sizeof(message));
    if (argc != 3 && (argc != 6 || (strcmp(argv[4], "ask") && strcmp(argv[4], "rate"))))
        errx(2, "usage: direct UDP_PORT SIZE\n       direct UDP_PORT SIZE SERVER_UDP_PORT ask|rate "
                "COUNT");
    size = (size_t)atoi(argv[2]);
    if (size < 1 || size > SIZE_MAX_BYTES)
        errx(2, "size %s: not from 1 to %d", argv[2], SIZE_MAX_BYTES);
    usrsctp_init((uint16_t)atoi(argv[1]), NULL, NULL);
    if (argc == 3)
        serve();
    remote_udp_port = (uint16_t)atoi(argv[3]);
    int count = atoi(argv[5]);
    printf("%.3f\n", strcmp(argv[4], "ask") == 0 ? time_round_trip_us(message, count)
                                                 : measure_rate(message, count));
    fflush(stdout);
    _exit(0); // usrsctp's threads would hold up a tidy end, which is not measured
}
