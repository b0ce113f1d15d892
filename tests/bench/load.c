/*
 * load.c - connections by the thousand, against any server that answers two bytes to a line.
 *
 * rate: connects, exchanges one message and closes, COUNT times in all, in PARALLEL threads; prints
 * the connections per second.
 *
 * hold: keeps connections open. A number on stdin: opens more, up to so many, one exchange each,
 * and says "open". Zero: prints, in microseconds with those open, a round trip on one of them, a
 * round trip on each in turn, and a connection more (connect, exchange, close).
 */
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bench.h"

#define MESSAGE "m\n"
#define MESSAGE_SIZE 2
#define CONNECTIONS_MAX 20000
#define PER_ADDRESS 4000 // with more, finding a free port would take its time, too
#define EXCHANGES 5000   // or, if there are more, one for each connection
#define MORE_CONNECTIONS 200

static int protocol, port, per_thread;

static void visit(void)
{
    int fd = connect_to(protocol, port);
    exchange(fd, MESSAGE, MESSAGE_SIZE);
    close(fd);
}

static void *visit_often(void *unused)
{
    for (int i = 0; i < per_thread; i++)
        visit();
    return unused;
}

static void measure_rate(int count, int parallel)
{
    pthread_t threads[parallel];
    per_thread = count / parallel;
    double start_s = now_s();
    for (int i = 0; i < parallel; i++)
        if (pthread_create(&threads[i], NULL, visit_often, NULL) != 0)
            errx(EXIT_FAILURE, "pthread_create");
    for (int i = 0; i < parallel; i++)
        pthread_join(threads[i], NULL);
    printf("%.0f\n", per_thread * parallel / (now_s() - start_s));
}

/* Connects from 127.0.0.2 and following: one address has not enough ports. */
static int connect_from(int number)
{
    struct sockaddr_in from = loopback(2 + number / PER_ADDRESS, 0), to = loopback(1, port);
    int on = 1, fd = open_socket(protocol);
    // A port is picked only when it is known that it need be free for this server alone.
    if (protocol == IPPROTO_TCP &&
        (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) == -1 ||
         bind(fd, (struct sockaddr *)&from, sizeof(from)) == -1))
        err(EXIT_FAILURE, "bind");
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == -1)
        err(EXIT_FAILURE, "connect %d", number);
    return fd;
}

static double time_exchanges_us(const int fds[], int count)
{
    int exchanges = count > EXCHANGES ? count : EXCHANGES;
    double start_s = now_s();
    for (int i = 0; i < exchanges; i++)
        exchange(fds[i % count], MESSAGE, MESSAGE_SIZE);
    return (now_s() - start_s) / exchanges * 1e6;
}

static double time_visits_us(void)
{
    double start_s = now_s();
    for (int i = 0; i < MORE_CONNECTIONS; i++)
        visit();
    return (now_s() - start_s) / MORE_CONNECTIONS * 1e6;
}

static void hold(void)
{
    static int fds[CONNECTIONS_MAX];
    int count = 0, wanted;
    while (scanf("%d", &wanted) == 1) {
        for (; count < wanted && count < CONNECTIONS_MAX; count++) {
            fds[count] = connect_from(count);
            exchange(fds[count], MESSAGE, MESSAGE_SIZE);
        }
        if (wanted > 0) {
            puts("open");
        } else {
            double one_us = time_exchanges_us(fds, 1), each_us = time_exchanges_us(fds, count);
            printf("%.3f %.3f %.3f\n", one_us, each_us, time_visits_us());
        }
        fflush(stdout);
    }
}

static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
        err(EXIT_FAILURE, "file limit");
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) == -1)
        err(EXIT_FAILURE, "file limit");
}

int main(int argc, char *argv[])
{
    bool rates = argc == 6 && strcmp(argv[3], "rate") == 0;
    if (!rates && (argc != 4 || strcmp(argv[3], "hold") != 0))
        errx(2, "usage: load tcp|sctp PORT rate COUNT PARALLEL\n       load tcp|sctp PORT hold");
    protocol = parse_protocol(argv[1]);
    port = atoi(argv[2]);
    raise_file_limit();
    if (rates)
        measure_rate(atoi(argv[4]), atoi(argv[5]));
    else
        hold();
    return 0;
}
