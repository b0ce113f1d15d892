/*
 * client.c - sends messages, one at a time, and waits for the answer to each. Partner: server.c.
 *
 * Options and statistics are those of ping(8). SCTP and TCP differ in three functions: set_options,
 * receive_answer, and, for -v, print_transport.
 */
#define USAGE "usage: client [-46qv] [-c COUNT] [-i SECONDS] [-s SIZE] [-W SECONDS] HOST [PORT]\n"
#include "common.h"

#include <math.h>

static struct {
    int family;
    bool quiet, verbose;
    long count, size, port;
    double pause_s, timeout_s;
    const char *host;
} options = {.count = CLIENT_SEND_COUNT,
             .size = CLIENT_MESSAGE_SIZE,
             .port = SERVER_PORT,
             .timeout_s = CLIENT_TIMEOUT_S};

static struct {
    long sent, answered;
    double start_ms, min_ms, max_ms, sum_ms, sum_of_squares;
} statistics;

static int connect_to_host(void);
static int connect_to(const struct addrinfo *address, double limit_s);
static int set_options(int fd);
static int exchange_messages(int fd);
static void write_message(char *message);
static int exchange_message(int fd, const char *message);
static ssize_t receive_answer(int fd, char *answer, size_t size);
static int check_answer(char *answer, ssize_t size);
static void print_transport(int fd, const char *when);

static struct addrinfo *resolve_host(void);
static double share_time_s(double deadline_ms, const struct addrinfo *left);
static int set_timeout(int fd, int name, double seconds);
static const char *show_address(const struct sockaddr *address, socklen_t size);
static const char *show_error(int error);
static double read_clock_ms(void);
static void record_time(double rtt_ms);
static void print_statistics(void);
static void handle_signals(void);
static void parse_arguments(int argc, char *argv[]);

int main(int argc, char *argv[])
{
    open_output();
    parse_arguments(argc, argv);
    handle_signals();
    statistics.start_ms = read_clock_ms();
    int fd = connect_to_host();
    int result = fd == -1 ? -1 : exchange_messages(fd);
    if (interrupts > 0 || (fd != -1 && (options.quiet || options.verbose)))
        print_statistics();
    if (fd != -1)
        close(fd);
    if (interrupts > 0 && statistics.answered == 0) // as with ping
        result = -1;
    return close_output(result == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}

/* ---- The socket calls, in the order in which they happen. */

/* Tries one address of HOST after the other. Returns a socket, or -1 after saying why. */
static int connect_to_host(void)
{
    struct addrinfo *addresses = resolve_host();
    double deadline_ms = read_clock_ms() + options.timeout_s * 1e3;
    int fd = -1;
    for (struct addrinfo *address = addresses; fd == -1 && address != NULL && interrupts == 0;
         address = address->ai_next) {
        do
            fd = connect_to(address, share_time_s(deadline_ms, address));
        while (fd == -1 && errno == EINTR && interrupts == 0); // Ctrl-Z, and then fg
        int error = errno;
        if (fd == -1 && interrupts == 0 && (options.verbose || address->ai_next == NULL))
            complain("connect to %s port %ld: %s%s",
                     show_address(address->ai_addr, address->ai_addrlen), options.port,
                     strerror(error), error == EPROTONOSUPPORT ? NO_SCTP_HINT : "");
    }
    if (addresses != NULL)
        freeaddrinfo(addresses);
    return fd;
}

/* Returns a connected socket, or -1 with errno. */
static int connect_to(const struct addrinfo *address, double limit_s)
{
    int fd = socket(address->ai_family, SOCK_TYPE, PROTO);
    if (fd == -1)
        return -1;
    if (set_options(fd) == 0 && set_timeout(fd, SO_SNDTIMEO, limit_s) == 0 && // connect heeds it
        connect(fd, address->ai_addr, address->ai_addrlen) == 0 &&
        set_timeout(fd, SO_SNDTIMEO, options.timeout_s) == 0 &&
        set_timeout(fd, SO_RCVTIMEO, options.timeout_s) == 0)
        return fd;
    int error = errno == EINPROGRESS ? ETIMEDOUT : errno; // what SO_SNDTIMEO makes of connect
    close(fd);
    errno = error;
    return -1;
}

static int set_options(int fd)
{
    const int buffer_size = options.size > 65536 ? (int)options.size : 65536;
    const struct setting both[] = {SETTING(PROTO, NODELAY, int, 1)};
    const struct setting sctp[] = {SETTING(SOL_SOCKET, SO_SNDBUF, int, buffer_size)};
    if (PROTO == IPPROTO_SCTP && APPLY(fd, sctp) == -1) // it takes only whole messages
        return -1;
    return APPLY(fd, both);
}

/* Returns 0, or -1 after saying what failed. */
static int exchange_messages(int fd)
{
    char *message = malloc((size_t)options.size);
    if (message == NULL) {
        complain("message of %ld bytes: %s", options.size, strerror(errno));
        return -1;
    }
    memset(message, '.', (size_t)options.size);
    struct timespec pause = {.tv_sec = (time_t)options.pause_s};
    pause.tv_nsec = (long)((options.pause_s - (double)pause.tv_sec) * 1e9);
    int result = 0;
    if (options.verbose)
        print_transport(fd, "at the start");
    while (result == 0 && statistics.sent < options.count && interrupts == 0) {
        if (statistics.sent > 0 && options.pause_s > 0 && nanosleep(&pause, NULL) == -1)
            continue; // a signal has ended the pause
        write_message(message);
        result = exchange_message(fd, message);
    }
    if (options.verbose && result == 0)
        print_transport(fd, "at the end");
    free(message);
    return result;
}

/* Writes what can be found in a capture, "message 2 of 5 .....", or its beginning. */
static void write_message(char *message)
{
    long length = snprintf(message, (size_t)options.size, "message %ld of %ld ",
                           statistics.sent + 1, options.count);
    if (length < options.size)
        message[length] = '.';        // instead of the '\0' at the end of the text
    message[options.size - 1] = '\n'; // where a message ends in TCP; SCTP does not need it
}

/* Returns 0, or -1 after saying what failed. Ctrl-C is no failure. */
static int exchange_message(int fd, const char *message)
{
    char answer[32];
    double start_ms = read_clock_ms();
    if (send_message(fd, message, (size_t)options.size) == -1) {
        if (errno == EINTR)
            return 0;
        complain("send message %ld (%ld bytes): %s", statistics.sent + 1, options.size,
                 show_error(errno));
        return -1;
    }
    statistics.sent++;
    ssize_t size = receive_answer(fd, answer, sizeof(answer));
    if (size == -1 && errno == EINTR)
        return 0;
    if (check_answer(answer, size) == -1)
        return -1;
    record_time(read_clock_ms() - start_ms);
    if (!options.quiet)
        printf("Sending message %ld of %ld. Result: " ANSWER "\n", statistics.sent, options.count);
    return ferror(stdout) ? -1 : 0;
}

/* Returns the size of the answer, or of as much as fits; 0 after the last one; or -1 with errno. */
static ssize_t receive_answer(int fd, char *answer, size_t size)
{
    size_t received = 0;
    bool ended = false;
    while (!ended && received < size) {
        ssize_t count = receive(fd, answer + received, size - received, &ended);
        if (count <= 0)
            return count == 0 ? (ssize_t)received : -1;
        received += (size_t)count;
        if (PROTO == IPPROTO_TCP) // no mark: only the length tells that the answer is whole
            ended = received >= ANSWER_SIZE;
    }
    return (ssize_t)received;
}

/* Returns 0 if the answer is what it should be, or -1 after saying what it is instead. */
static int check_answer(char *answer, ssize_t size)
{
    if (size == ANSWER_SIZE && memcmp(answer, ANSWER, ANSWER_SIZE) == 0)
        return 0;
    for (ssize_t i = 0; i < size; i++)
        if (answer[i] < ' ' || answer[i] > '~')
            answer[i] = '.';
    if (size > 0)
        complain("answer to message %ld: \"%.*s\" instead of \"" ANSWER "\"", statistics.sent,
                 (int)size, answer);
    else
        complain("answer to message %ld: %s", statistics.sent,
                 size == 0 ? "the server closed the connection" : show_error(errno));
    return -1;
}

/* ---- What the transport negotiated and measured (-v). */

static int print_path(int fd, const struct sockaddr *address, socklen_t address_size)
{
    static const char *const states[] = // as numbered by enum sctp_spinfo_state
        {"inactive", "potentially failed", "active", "unconfirmed"};
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

/* A host can have several addresses in SCTP, and each is a path that can fail by itself. */
static int print_association(int fd, const char *when)
{
    struct sctp_status status = {0};
    socklen_t size = sizeof(status);
    struct sockaddr *addresses;
    if (getsockopt(fd, PROTO, SCTP_STATUS, &status, &size) == -1)
        return -1;
    printf("SCTP %s: %d streams out, %d in\n", when, status.sstat_outstrms, status.sstat_instrms);
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

static void print_transport(int fd, const char *when)
{
    struct tcp_info tcp;
    socklen_t size = sizeof(tcp);
    if ((PROTO == IPPROTO_SCTP ? print_association(fd, when)
                               : getsockopt(fd, PROTO, TCP_INFO, &tcp, &size)) == -1)
        complain("transport: %s", strerror(errno));
    else if (PROTO == IPPROTO_TCP)
        printf("TCP %s: MSS %u bytes, smoothed RTT %.3f ms\n", when, tcp.tcpi_snd_mss,
               tcp.tcpi_rtt / 1e3);
}

/* ---- What every client needs. */

/* Returns the addresses of HOST, or NULL after saying why there are none. */
static struct addrinfo *resolve_host(void)
{
    struct addrinfo hints = {.ai_family = options.family, .ai_socktype = SOCK_TYPE}, *addresses;
    char port[sizeof("65535")];
    snprintf(port, sizeof(port), "%ld", options.port);
    int error = getaddrinfo(options.host, port, &hints, &addresses);
    if (error == 0)
        return addresses;
    complain("host %s: %s", options.host,
             error == EAI_SYSTEM ? strerror(errno) : gai_strerror(error));
    return NULL;
}

/* Shares the time that is left among the addresses that are left. */
static double share_time_s(double deadline_ms, const struct addrinfo *left)
{
    int count = 0;
    for (; left != NULL; left = left->ai_next)
        count++;
    return fmax((deadline_ms - read_clock_ms()) / 1e3 / count, 0.001);
}

static int set_timeout(int fd, int name, double seconds)
{
    struct timeval time = {(time_t)seconds, (suseconds_t)(fmod(seconds, 1) * 1e6)};
    return setsockopt(fd, SOL_SOCKET, name, &time, sizeof(time));
}

static const char *show_address(const struct sockaddr *address, socklen_t size)
{
    static char text[NI_MAXHOST];
    int error = getnameinfo(address, size, text, sizeof(text), NULL, 0, NI_NUMERICHOST);
    return error == 0 ? text : gai_strerror(error);
}

/* When SO_RCVTIMEO or SO_SNDTIMEO is over, recv or send fails with EAGAIN. */
static const char *show_error(int error)
{
    return strerror(error == EAGAIN ? ETIMEDOUT : error);
}

static double read_clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void record_time(double rtt_ms)
{
    statistics.answered++;
    statistics.min_ms = statistics.answered == 1 ? rtt_ms : fmin(statistics.min_ms, rtt_ms);
    statistics.max_ms = fmax(statistics.max_ms, rtt_ms);
    statistics.sum_ms += rtt_ms;
    statistics.sum_of_squares += rtt_ms * rtt_ms;
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

/* After the first Ctrl-C, the answer may take one more second. Then the alarm interrupts, too. */
static void count_interrupt(int signal_number)
{
    (void)signal_number;
    interrupts++;
    alarm(1);
}

static void handle_signals(void)
{
    signal(SIGINT, count_interrupt);
    signal(SIGTERM, count_interrupt);
    signal(SIGALRM, count_interrupt);
    signal(SIGPIPE, SIG_IGN); // send fails with EPIPE instead
}

static double parse_seconds(const char *what, const char *text, double min)
{
    char *end;
    double value = strtod(text, &end), max = 86400;
    if (end == text || *end != '\0' || !(value >= min && value <= max)) // as it is for NaN
        misuse("%s %s: not a number of seconds from %g to %g", what, text, min, max);
    return value;
}

#define HELP                                                                                       \
    "  -4, -6      use IPv4 only, IPv6 only\n"                                                     \
    "  -c COUNT    send COUNT messages (default %d)\n"                                             \
    "  -i SECONDS  pause between messages (default 0)\n"                                           \
    "  -q          print only the statistics\n"                                                    \
    "  -s SIZE     bytes per message (default %d)\n"                                               \
    "  -v          report what the transport negotiated, too\n"                                    \
    "  -W SECONDS  longest wait for the connection and for each answer (default %d)\n"             \
    "  PORT        1 to 65535 (default %d)\n"

static void parse_arguments(int argc, char *argv[])
{
    bool ipv4 = false, ipv6 = false;
    int option;
    opterr = 0;
    while ((option = getopt(argc, argv, ":46c:hi:qs:vW:")) != -1) {
        switch (option) {
        case '4': ipv4 = true; break;
        case '6': ipv6 = true; break;
        case 'c': options.count = parse_whole("-c", optarg, 1, INT_MAX); break;
        case 'h': print_help(CLIENT_SEND_COUNT, CLIENT_MESSAGE_SIZE, CLIENT_TIMEOUT_S, SERVER_PORT);
        case 'i': options.pause_s = parse_seconds("-i", optarg, 0); break;
        case 'q': options.quiet = true; break;
        case 's': options.size = parse_whole("-s", optarg, 1, 1 << 30); break;
        case 'v': options.verbose = true; break;
        case 'W': options.timeout_s = parse_seconds("-W", optarg, 0.001); break;
        case ':': misuse("-%c: needs a value", optopt);
        default: misuse("-%c: unknown option", optopt);
        }
    }
    if (ipv4 && ipv6)
        misuse("%s: only one of them can be given", "-4 and -6");
    options.family = ipv4 ? AF_INET : ipv6 ? AF_INET6 : AF_UNSPEC;
    if (optind == argc)
        misuse("%s", "no HOST given");
    if (argc - optind > 2)
        misuse("%s: only one HOST and one PORT can be given", argv[optind + 2]);
    options.host = argv[optind];
    if (argc - optind == 2)
        options.port = parse_whole("port", argv[optind + 1], 1, 65535);
}
