/* Benchmark helper: echo written directly on libusrsctp's calls, with its threads and its
 * UDP sockets. Partner: userland_sockets.c, the same over ordinary sockets. */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <usrsctp.h>

#define SCTP_PORT 4446

static void *check(void *pointer, const char *what)
{
    if (pointer == NULL) {
        perror(what);
        exit(1);
    }
    return pointer;
}

static struct socket *open_socket(uint16_t remote_udp_port)
{
    struct sctp_udpencaps encaps = {.sue_address.ss_family = AF_INET,
                                    .sue_port = htons(remote_udp_port)};
    int on = 1;
    struct socket *so = check(
        usrsctp_socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP, NULL, NULL, 0, NULL), "usrsctp_socket");

    usrsctp_setsockopt(so, IPPROTO_SCTP, SCTP_NODELAY, &on, sizeof on);
    if (remote_udp_port != 0)
        usrsctp_setsockopt(so, IPPROTO_SCTP, SCTP_REMOTE_UDP_ENCAPS_PORT, &encaps, sizeof encaps);
    return so;
}

static ssize_t receive(struct socket *so, void *buffer, size_t size)
{
    struct sctp_rcvinfo info;
    socklen_t length = sizeof info;
    unsigned type = 0;
    int flags = 0;

    return usrsctp_recvv(so, buffer, size, NULL, NULL, &info, &length, &type, &flags);
}

static ssize_t transmit(struct socket *so, const void *buffer, size_t size)
{
    return usrsctp_sendv(so, buffer, size, NULL, 0, NULL, 0, SCTP_SENDV_NOINFO, 0);
}

static int serve(struct sockaddr_in *address)
{
    struct socket *listener = open_socket(0);
    char buffer[4096];
    ssize_t got;
    int on = 1;

    if (usrsctp_bind(listener, (struct sockaddr *)address, sizeof *address) < 0 ||
        usrsctp_listen(listener, 8) < 0) {
        perror("listen");
        return 1;
    }
    puts("ready");
    fflush(stdout);
    struct socket *so = check(usrsctp_accept(listener, NULL, NULL), "usrsctp_accept");
    usrsctp_setsockopt(so, IPPROTO_SCTP, SCTP_NODELAY, &on, sizeof on);
    while ((got = receive(so, buffer, sizeof buffer)) > 0)
        transmit(so, buffer, (size_t)got);
    return 0;
}

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int round_trips(struct sockaddr_in *address, uint16_t remote_udp_port, int count)
{
    struct socket *so = open_socket(remote_udp_port);
    char buffer[64];
    double start = 0;

    if (usrsctp_connect(so, (struct sockaddr *)address, sizeof *address) < 0) {
        perror("usrsctp_connect");
        return 1;
    }
    for (int i = -1000; i < count; i++) {
        if (i == 0)
            start = now_s();
        if (transmit(so, "x", 1) != 1 || receive(so, buffer, sizeof buffer) != 1) {
            perror("exchange");
            return 1;
        }
    }
    printf("%.3f\n", (now_s() - start) / count * 1e6);
    fflush(stdout);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: userland_direct UDP_PORT REMOTE_UDP_PORT serve|rtt [COUNT]\n");
        return 2;
    }
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(SCTP_PORT),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    usrsctp_init((uint16_t)atoi(argv[1]), NULL, NULL);
    int result = strcmp(argv[3], "serve") == 0 ? serve(&address)
                                               : round_trips(&address, (uint16_t)atoi(argv[2]),
                                                             argc > 4 ? atoi(argv[4]) : 1000);
    fflush(stdout);
    _exit(result); /* usrsctp's threads would hold up a tidy end, which is not measured */
}
