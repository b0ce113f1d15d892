/*
 * client.c - sends messages, one at a time, and waits for the answer to each. Partner: server.c.
 *
 * Options and statistics are those of ping(8). The calls are the same for SCTP and TCP; only
 * where an answer ends, what must fit into the send buffer, and what there is to tell about the
 * transport (-v) differ.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
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

#include "common.h"

#define USAGE "usage: client [-46qv] [-c COUNT] [-i SECONDS] [-s SIZE] [-W SECONDS] HOST [PORT]\n"
#define SECONDS_MAX 86400.0
#define BYTES_MAX 1073741824

static struct {
    int family;
    bool quiet, verbose, help;
    long count, size;
    double pause_s, timeout_s;
    const char *host;
    long port;
} options = {
    .family = AF_UNSPEC,
    .count = CLIENT_SEND_COUNT,
    .size = CLIENT_MESSAGE_SIZE,
    .timeout_s = CLIENT_TIMEOUT_S,
    .port = SERVER_PORT,
};

static struct {
    long sent, answered;
    double start_ms, clock_ms, min_ms, max_ms, sum_ms, sum_of_squares;
} statistics;

static volatile sig_atomic_t interrupts;

static int parse_whole(const char *what, const char *text, long max, long *value)
{
    char *end;
    errno = 0;
    *value = strtol(text, &end, 10);
    if (end != text && *end == '\0' && errno == 0 && *value >= 1 && *value <= max)
        return 0;
    warnx("%s %s: not a whole number from 1 to %ld", what, text, max);
    return -1;
}

static int parse_seconds(const char *what, const char *text, double min, double *value)
{
    char *end;
    *value = strtod(text, &end);
    if (end != text && *end == '\0' && *value >= min && *value <= SECONDS_MAX) // not NaN either
        return 0;
    warnx("%s %s: not a number of seconds from %g to %g", what, text, min, SECONDS_MAX);
    return -1;
}

/* Returns 0, or -1 after saying what makes no sense. */
static int parse_options(int argc, char *argv[])
{
    bool only4 = false, only6 = false;
    int option, result = 0;
    opterr = 0;
    while (result == 0 && (option = getopt(argc, argv, ":46c:hi:qs:vW:")) != -1) {
        switch (option) {
        case '4': only4 = true; break;
        case '6': only6 = true; break;
        case 'c': result = parse_whole("-c", optarg, INT_MAX, &options.count); break;
        case 'h': options.help = true; break;
        case 'i': result = parse_seconds("-i", optarg, 0, &options.pause_s); break;
        case 'q': options.quiet = true; break;
        case 's': result = parse_whole("-s", optarg, BYTES_MAX, &options.size); break;
        case 'v': options.verbose = true; break;
        case 'W': result = parse_seconds("-W", optarg, 0.001, &options.timeout_s); break;
        case ':': warnx("-%c: needs a value", optopt); return -1;
        default: warnx("-%c: unknown option", optopt); return -1;
        }
    }
    if (only4 && only6) {
        warnx("-4 and -6: only one of them can be given");
        return -1;
    }
    options.family = only4 ? AF_INET : only6 ? AF_INET6 : AF_UNSPEC;
    return result;
}

/* The operands, which getopt has moved behind the options: HOST [PORT]. */
static int parse_operands(int count, char *operands[])
{
    if (options.help)
        return 0;
    if (count < 1) {
        warnx("no HOST given");
        return -1;
    }
    if (count > 2) {
        warnx("%s: only one HOST and one PORT can be given", operands[2]);
        return -1;
    }
    options.host = operands[0];
    return count == 1 ? 0 : parse_whole("port", operands[1], 65535, &options.port);
}

static int print_help(void)
{
    printf(USAGE "  -4, -6      use IPv4 only, IPv6 only\n"
                 "  -c COUNT    send so many messages (default %d)\n"
                 "  -i SECONDS  pause between messages (default 0)\n"
                 "  -q          print only the statistics\n"
                 "  -s SIZE     bytes per message (default %d)\n"
                 "  -v          tell what the transport negotiated, too\n"
                 "  -W SECONDS  longest wait for the connection and for each answer (default %d)\n"
                 "  PORT        1 to 65535 (default %d)\n",
           CLIENT_SEND_COUNT, CLIENT_MESSAGE_SIZE, CLIENT_TIMEOUT_S, SERVER_PORT);
    return 0;
}

/* The first Ctrl-C lets the message under way be answered, for a second; the next one doesn't. */
static void interrupt(int signal_number)
{
    (void)signal_number;
    interrupts++;
    alarm(1); // comes back here, also when the signal came just before a call that blocks
}

static int handle_signals(void)
{
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR || signal(SIGINT, interrupt) == SIG_ERR ||
        signal(SIGTERM, interrupt) == SIG_ERR || signal(SIGALRM, interrupt) == SIG_ERR)
        return -1;
    return 0;
}

static double read_clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* Returns the addresses of HOST, or NULL after saying why there are none. */
static struct addrinfo *resolve_host(void)
{
    struct addrinfo hints = {.ai_family = options.family, .ai_socktype = SOCK_TYPE}, *addresses;
    char port[sizeof("65535")];
    snprintf(port, sizeof(port), "%ld", options.port);
    int error = getaddrinfo(options.host, port, &hints, &addresses);
    if (error == 0)
        return addresses;
    warnx("host %s: %s", options.host, error == EAI_SYSTEM ? strerror(errno) : gai_strerror(error));
    return NULL;
}

static const char *show_address(const struct sockaddr *address, socklen_t size)
{
    static char text[NI_MAXHOST];
    int error = getnameinfo(address, size, text, sizeof(text), NULL, 0, NI_NUMERICHOST);
    return error == 0 ? text : gai_strerror(error);
}

static int set_options(int fd)
{
    time_t seconds = (time_t)options.timeout_s;
    struct timeval timeout = {.tv_sec = seconds};
    timeout.tv_usec = (suseconds_t)((options.timeout_s - (double)seconds) * 1e6);
    int on = 1, size = (int)options.size, buffer_size;
    socklen_t length = sizeof(buffer_size);
    // Without it, Nagle's algorithm and the delayed SACK (TCP: ACK) wait 200 ms for each other.
    if (setsockopt(fd, PROTO, PROTO == IPPROTO_SCTP ? SCTP_NODELAY : TCP_NODELAY, &on, sizeof(on)))
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) == -1 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) == -1 || // connect, too
        getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer_size, &length) == -1)
        return -1;
    if (PROTO == IPPROTO_TCP || size <= buffer_size)
        return 0;
    return setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)); // must hold a whole message
}

/* SO_RCVTIMEO and SO_SNDTIMEO report that time ran out in ways that users would not expect. */
static int fail(void)
{
    if (errno == EAGAIN || errno == EINPROGRESS)
        errno = ETIMEDOUT;
    return -1;
}

static int connect_to(const struct addrinfo *address)
{
    int fd = socket(address->ai_family, SOCK_TYPE, PROTO);
    if (fd == -1)
        return -1;
    if (set_options(fd) == 0 && connect(fd, address->ai_addr, address->ai_addrlen) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return fail();
}

/* Tries one address after the other. Returns the socket, or -1 after saying why. */
static int connect_to_any(const struct addrinfo *address)
{
    int fd = -1;
    for (; fd == -1 && address != NULL && interrupts == 0; address = address->ai_next) {
        do
            fd = connect_to(address);
        while (fd == -1 && errno == EINTR && interrupts == 0); // Ctrl-Z and fg
        int error = errno;
        if (fd == -1 && interrupts == 0 && (options.verbose || address->ai_next == NULL))
            warnx("connect to %s port %ld: %s%s",
                  show_address(address->ai_addr, address->ai_addrlen), options.port,
                  strerror(error), error == EPROTONOSUPPORT ? NO_SCTP_HINT : "");
    }
    return fd;
}

static int print_path(int fd, const struct sockaddr *address, socklen_t address_size)
{
    static const char *const states[] = {[SCTP_INACTIVE] = "inactive",
                                         [SCTP_PF] = "potentially failed",
                                         [SCTP_ACTIVE] = "active",
                                         [SCTP_UNCONFIRMED] = "unconfirmed"};
    struct sctp_paddrinfo path = {0};
    socklen_t size = sizeof(path);
    memcpy(&path.spinfo_address, address, address_size);
    if (getsockopt(fd, PROTO, SCTP_GET_PEER_ADDR_INFO, &path, &size) == -1)
        return -1;
    bool known = path.spinfo_state >= 0 && path.spinfo_state <= SCTP_UNCONFIRMED;
    printf("Path to %s: %s, RTO %u ms, MTU %u bytes\n", show_address(address, address_size),
           known ? states[path.spinfo_state] : "unknown", path.spinfo_rto, path.spinfo_mtu);
    return 0;
}

/* A host can have several addresses in SCTP, each of them a path that can fail by itself. */
static int print_association(int fd)
{
    struct sctp_status status = {0};
    socklen_t size = sizeof(status);
    struct sockaddr *addresses;
    if (getsockopt(fd, PROTO, SCTP_STATUS, &status, &size) == -1)
        return -1;
    printf("SCTP: %d streams out, %d in\n", status.sstat_outstrms, status.sstat_instrms);
    int count = sctp_getpaddrs(fd, 0, &addresses), result = count == -1 ? -1 : 0;
    const char *next = (const char *)addresses; // sockaddr_in and sockaddr_in6 in a row
    for (int i = 0; i < count && result == 0; i++, next += size) {
        const struct sockaddr *address = (const struct sockaddr *)next;
        bool ipv4 = address->sa_family == AF_INET;
        size = ipv4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
        result = print_path(fd, address, size);
    }
    if (count != -1)
        sctp_freepaddrs(addresses);
    return result;
}

/* Prints what the transport negotiated and measured. */
static int print_transport(int fd)
{
    struct tcp_info info;
    socklen_t size = sizeof(info);
    if (PROTO == IPPROTO_SCTP)
        return print_association(fd);
    if (getsockopt(fd, PROTO, TCP_INFO, &info, &size) == -1)
        return -1;
    printf("TCP: MSS %u bytes, smoothed RTT %.3f ms\n", info.tcpi_snd_mss, info.tcpi_rtt / 1e3);
    return 0;
}

static int send_message(int fd, const char *message, size_t size)
{
    size_t sent = 0;
    while (sent < size) {
        ssize_t count = send(fd, message + sent, size - sent, 0);
        if (count > 0)
            sent += (size_t)count;
        else if (errno != EINTR || interrupts > 1)
            return fail();
    }
    return 0;
}

/* SCTP marks the end of a message, for recvmsg; in TCP only we know how long an answer is. */
static ssize_t receive_part(int fd, char *buffer, size_t size, bool *marked)
{
    if (PROTO == IPPROTO_TCP)
        return recv(fd, buffer, size, 0);
    struct iovec part = {.iov_base = buffer, .iov_len = size};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t received = recvmsg(fd, &header, 0);
    *marked = (header.msg_flags & MSG_EOR) != 0;
    return received;
}

/* Reads an answer, or the beginning of one that is too long. Returns its size or -1. */
static ssize_t receive_answer(int fd, char *answer, size_t size)
{
    size_t received = 0;
    bool ended = false;
    while (!ended && received < size) {
        bool marked = false;
        ssize_t count = receive_part(fd, answer + received, size - received, &marked);
        if (count == -1 && errno == EINTR && interrupts < 2)
            continue;
        if (count == -1)
            return fail();
        received += (size_t)count;
        ended = count == 0 || marked || (PROTO == IPPROTO_TCP && received >= ANSWER_SIZE);
    }
    return (ssize_t)received;
}

static void record_time(double rtt_ms)
{
    statistics.answered++;
    statistics.min_ms = statistics.answered == 1 ? rtt_ms : fmin(statistics.min_ms, rtt_ms);
    statistics.max_ms = fmax(statistics.max_ms, rtt_ms);
    statistics.sum_ms += rtt_ms;
    statistics.sum_of_squares += rtt_ms * rtt_ms;
}

/* Returns 0 if the answer is what it should be, or -1 after saying what it is instead. */
static int check_answer(char *answer, ssize_t size)
{
    if (size == ANSWER_SIZE && memcmp(answer, ANSWER, ANSWER_SIZE) == 0)
        return 0;
    if (size == -1)
        warn("answer to message %ld", statistics.sent);
    if (size == 0)
        warnx("answer to message %ld: the server closed the connection", statistics.sent);
    for (ssize_t i = 0; i < size; i++)
        if (answer[i] < ' ' || answer[i] > '~')
            answer[i] = '.';
    if (size > 0)
        warnx("answer to message %ld: \"%.*s\" instead of \"" ANSWER "\"", statistics.sent,
              (int)size, answer);
    return -1;
}

/* Returns 0, or -1 after saying what failed; Ctrl-C is no failure. */
static int exchange_message(int fd, const char *message)
{
    char answer[32];
    if (statistics.sent == 0 || !options.quiet || options.pause_s > 0)
        statistics.clock_ms = read_clock_ms(); // else a message begins when the last one has ended
    if (send_message(fd, message, (size_t)options.size) == -1) {
        if (errno == EINTR)
            return 0;
        warn("send message %ld (%ld bytes)", statistics.sent + 1, options.size);
        return -1;
    }
    statistics.sent++;
    ssize_t size = receive_answer(fd, answer, sizeof(answer));
    if (size == -1 && errno == EINTR)
        return 0;
    if (check_answer(answer, size) == -1)
        return -1;
    double end_ms = read_clock_ms();
    record_time(end_ms - statistics.clock_ms);
    statistics.clock_ms = end_ms;
    if (!options.quiet)
        printf("Sending message %ld of %ld. Result: " ANSWER "\n", statistics.sent, options.count);
    return ferror(stdout) ? -1 : 0;
}

static int exchange_messages(int fd)
{
    struct timespec pause = {.tv_sec = (time_t)options.pause_s};
    pause.tv_nsec = (long)((options.pause_s - (double)pause.tv_sec) * 1e9);
    char *message = malloc((size_t)options.size);
    if (message == NULL) {
        warn("message of %ld bytes", options.size);
        return -1;
    }
    memset(message, 'm', (size_t)options.size - 1);
    message[options.size - 1] = '\n'; // where TCP's message ends; SCTP does not need it
    int result = 0;
    while (result == 0 && statistics.sent < options.count && interrupts == 0) {
        if (statistics.sent > 0 && options.pause_s > 0)
            nanosleep(&pause, NULL);
        if (interrupts == 0)
            result = exchange_message(fd, message);
    }
    free(message);
    return result;
}

static void print_statistics(void)
{
    printf("%s--- %s port %ld statistics ---\n", interrupts > 0 ? "\n" : "", options.host,
           options.port);
    printf("%ld messages sent, %ld answered, time %.0fms\n", statistics.sent, statistics.answered,
           read_clock_ms() - statistics.start_ms);
    if (statistics.answered == 0)
        return;
    double mean_ms = statistics.sum_ms / (double)statistics.answered;
    double variance = statistics.sum_of_squares / (double)statistics.answered - mean_ms * mean_ms;
    printf("rtt min/avg/max/mdev = %.3f/%.3f/%.3f/%.3f ms\n", statistics.min_ms, mean_ms,
           statistics.max_ms, sqrt(fmax(variance, 0)));
}

/* Returns 0 or -1; stopped by Ctrl-C, -1 means that no message was answered, as with ping. */
static int run(void)
{
    struct addrinfo *addresses = resolve_host();
    if (addresses == NULL || handle_signals() == -1)
        return -1;
    statistics.start_ms = read_clock_ms();
    int fd = connect_to_any(addresses), result = fd == -1 ? -1 : 0;
    freeaddrinfo(addresses);
    if (fd == -1 && interrupts == 0)
        return -1;
    if (result == 0 && options.verbose && print_transport(fd) == -1)
        warn("transport");
    if (result == 0)
        result = exchange_messages(fd);
    if (result == 0 && options.verbose && print_transport(fd) == -1)
        warn("transport");
    if (options.quiet || options.verbose || interrupts > 0)
        print_statistics();
    if (fd != -1)
        close(fd);
    return interrupts > 0 && statistics.answered == 0 ? -1 : result;
}

int main(int argc, char *argv[])
{
    if (parse_options(argc, argv) == -1 || parse_operands(argc - optind, argv + optind) == -1) {
        fputs(USAGE, stderr);
        return EXIT_MISUSE;
    }
    // If they are closed, a socket would take their place.
    if (fcntl(STDOUT_FILENO, F_GETFD) == -1 || fcntl(STDERR_FILENO, F_GETFD) == -1)
        err(EXIT_FAILURE, "stdout or stderr");
    setvbuf(stdout, NULL, _IOLBF, 0); // line by line, also into a pipe
    int result = options.help ? print_help() : run();
    if (fflush(stdout) == EOF || ferror(stdout))
        err(EXIT_FAILURE, "stdout");
    return result == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
