/*
 * server.c - answers "OK" to every message that a client sends. Partner: client.c.
 *
 * One thread serves one connection. The protocols differ in what a message is: SCTP keeps messages
 * apart by itself and marks where one ends (MSG_EOR); TCP is a stream of bytes without marks, so
 * there a message is a line.
 */
#define _GNU_SOURCE // ppoll, TEMP_FAILURE_RETRY

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/sctp.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common.h"

#define USAGE "usage: server [-6v] [-m COUNT] [-W SECONDS] [PORT]\n"
#define SHORT_SIZE (SERVER_BUFFER_SIZE < 1024 ? SERVER_BUFFER_SIZE : 1024)
#define STACK_SIZE (SERVER_BUFFER_SIZE + 65536) // the usual 8 MB are too much for 20,000 threads

struct connection {
    LIST_ENTRY(connection) entry;
    int fd;
    char address[INET6_ADDRSTRLEN + 16]; // as in fe80::1%eth0
    const char *peer;                    // the part of address to show
    time_t incomplete_since_s;           // when we had to wait for the rest of a message, or 0
};

static struct {
    bool ipv6, verbose, help;
    long port, connections_max, wait_s;
} options = {.port = SERVER_PORT, .wait_s = SERVER_TIMEOUT_S};

static atomic_bool stopping;
static atomic_ulong connections_served, messages_served;
static pthread_mutex_t connections_lock = PTHREAD_MUTEX_INITIALIZER;
static LIST_HEAD(, connection) connections = LIST_HEAD_INITIALIZER(connections);
static atomic_long connections_open;

/* Threads complain too, and warn writes piece by piece. */
static void complain(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    flockfile(stderr);
    vwarnx(format, arguments);
    funlockfile(stderr);
    va_end(arguments);
}

static int parse_whole(const char *what, const char *text, long max, long *value)
{
    char *end;
    errno = 0;
    *value = strtol(text, &end, 10);
    if (end != text && *end == '\0' && errno == 0 && *value >= 0 && *value <= max)
        return 0;
    warnx("%s %s: not a whole number from 0 to %ld", what, text, max);
    return -1;
}

/* Returns 0, or -1 after saying what makes no sense. */
static int parse_arguments(int argc, char *argv[])
{
    int option, result = 0;
    opterr = 0;
    while (result == 0 && (option = getopt(argc, argv, ":6hm:vW:")) != -1) {
        switch (option) {
        case '6': options.ipv6 = true; break;
        case 'h': options.help = true; break;
        case 'm': result = parse_whole("-m", optarg, INT_MAX, &options.connections_max); break;
        case 'v': options.verbose = true; break;
        case 'W': result = parse_whole("-W", optarg, INT_MAX, &options.wait_s); break;
        case ':': warnx("-%c: needs a value", optopt); return -1;
        default: warnx("-%c: unknown option", optopt); return -1;
        }
    }
    if (result == 0 && argc - optind > 1) {
        warnx("%s: only one PORT can be given", argv[optind + 1]);
        return -1;
    }
    if (result == 0 && optind < argc)
        result = parse_whole("port", argv[optind], 65535, &options.port);
    return result;
}

static int print_help(void)
{
    printf(USAGE
           "  -6          listen on IPv6 as well as on IPv4\n"
           "  -m COUNT    serve at most so many connections at once (default 0, no limit)\n"
           "  -v          tell of every read\n"
           "  -W SECONDS  longest wait for a peer to send or to read, 0 for ever (default %d)\n"
           "  PORT        0 to 65535, 0 lets the system pick (default %d)\n",
           SERVER_TIMEOUT_S, SERVER_PORT);
    return 0;
}

static void ask_to_stop(int signal_number)
{
    (void)signal_number;
    stopping = true;
}

/* Signals stay blocked, in the threads to come too, except while main waits in ppoll. */
static int handle_signals(void)
{
    sigset_t all;
    sigfillset(&all);
    if (sigprocmask(SIG_BLOCK, &all, NULL) == -1 || signal(SIGPIPE, SIG_IGN) == SIG_ERR ||
        signal(SIGINT, ask_to_stop) == SIG_ERR || signal(SIGTERM, ask_to_stop) == SIG_ERR)
        return -1;
    return 0;
}

static int raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
        return -1;
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit);
}

static int set_option(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value));
}

/* Sees to it that a peer which vanishes without a word is given up within a minute. */
static int watch_peers(int fd)
{
    if (PROTO == IPPROTO_TCP) // asks an idle peer whether it is still there only if told to
        return set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1) == -1 ||
                       set_option(fd, PROTO, TCP_KEEPIDLE, 20) == -1 ||
                       set_option(fd, PROTO, TCP_KEEPINTVL, 10) == -1 ||
                       set_option(fd, PROTO, TCP_KEEPCNT, 3) == -1 ||
                       set_option(fd, PROTO, TCP_USER_TIMEOUT, 50000) == -1
                   ? -1
                   : 0;
    // SCTP has heartbeats: every 30 s, and ten must be missed, unless we say otherwise. We give up
    // after six, at shorter intervals: still many, as a lossy link must not look like a dead peer.
    struct sctp_paddrparams path = {.spp_flags = SPP_HB_ENABLE, .spp_hbinterval = 3000};
    struct sctp_rtoinfo timeout = {.srto_max = 4000};
    struct sctp_assocparams association = {.sasoc_asocmaxrxt = 6};
    return setsockopt(fd, PROTO, SCTP_PEER_ADDR_PARAMS, &path, sizeof(path)) == -1 ||
                   setsockopt(fd, PROTO, SCTP_RTOINFO, &timeout, sizeof(timeout)) == -1 ||
                   setsockopt(fd, PROTO, SCTP_ASSOCINFO, &association, sizeof(association)) == -1
               ? -1
               : 0;
}

/* A recv or send that takes longer fails with EAGAIN. */
static int limit_waits(int fd)
{
    struct timeval wait = {.tv_sec = options.wait_s};
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) == -1)
        return -1;
    return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
}

/* Binds to all local addresses; options.port becomes the port that it got. */
static int bind_to_port(int fd)
{
    // Family and port stand at the same place in sockaddr_in, and all zeros is "any" in both.
    struct sockaddr_in6 any = {.sin6_family = options.ipv6 ? AF_INET6 : AF_INET,
                               .sin6_port = htons((in_port_t)options.port)};
    socklen_t size = sizeof(any);
    if (bind(fd, (struct sockaddr *)&any, size) == -1 ||
        getsockname(fd, (struct sockaddr *)&any, &size) == -1)
        return -1;
    options.port = ntohs(any.sin6_port);
    return 0;
}

/* Returns the listening socket, or -1 after saying why. Connections inherit its options. */
static int open_listener(void)
{
    // Non-blocking, so that accept cannot hang when a connection is gone again by then.
    int fd = socket(options.ipv6 ? AF_INET6 : AF_INET, SOCK_TYPE | SOCK_NONBLOCK, PROTO);
    if (fd == -1) {
        warnx("socket: %s%s", strerror(errno), errno == EPROTONOSUPPORT ? NO_SCTP_HINT : "");
        return -1;
    }
    if (set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) == -1 ||
        set_option(fd, PROTO, PROTO == IPPROTO_SCTP ? SCTP_NODELAY : TCP_NODELAY, 1) == -1 ||
        (options.ipv6 && set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0) == -1) ||
        watch_peers(fd) == -1 || limit_waits(fd) == -1)
        warn("socket options");
    else if (bind_to_port(fd) == -1 || listen(fd, SERVER_LISTEN_QUEUE_SIZE) == -1)
        warn("listen on port %ld", options.port);
    else
        return fd;
    close(fd);
    return -1;
}

/* memchr, since with a loop over the bytes a message of 64 KB takes half as long again. */
static int count_lines(const char *text, size_t size)
{
    int count = 0;
    const char *end = text + size;
    while ((text = memchr(text, '\n', (size_t)(end - text))) != NULL) {
        text++;
        count++;
    }
    return count;
}

/* Reads like recv, and counts the messages that end in what it read. Ctrl-Z and fg: EINTR. */
static ssize_t receive(int fd, char *buffer, size_t size, int *ends)
{
    struct iovec part = {.iov_base = buffer, .iov_len = size};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t received;
    if (PROTO == IPPROTO_TCP) {
        received = TEMP_FAILURE_RETRY(recv(fd, buffer, size, 0));
        *ends = received > 0 ? count_lines(buffer, (size_t)received) : 0;
    } else { // SCTP says by itself where a message ends, but only recvmsg hands that on
        received = TEMP_FAILURE_RETRY(recvmsg(fd, &header, 0));
        *ends = (header.msg_flags & MSG_EOR) != 0;
    }
    return received;
}

/* A peer that sends a byte now and then must not go on for ever either. */
static bool waited_too_long(struct connection *connection)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (connection->incomplete_since_s == 0)
        connection->incomplete_since_s = now.tv_sec;
    return options.wait_s > 0 && now.tv_sec - connection->incomplete_since_s > options.wait_s;
}

/*
 * Returns 0 when the connection has ended, -1 with errno when it broke or took too long (EAGAIN),
 * or a number above 0 after a read that has filled the buffer.
 */
static ssize_t answer_messages(struct connection *connection, size_t size)
{
    char buffer[size];
    int ends;
    ssize_t received;
    do {
        received = receive(connection->fd, buffer, size, &ends);
        if (received <= 0)
            break;
        if (options.verbose)
            printf("Read %zd bytes from %s, %d end%s of message.\n", received, connection->peer,
                   ends, ends == 1 ? "" : "s");
        if (ends > 0)
            connection->incomplete_since_s = 0;
        else if (waited_too_long(connection)) {
            errno = EAGAIN;
            return -1;
        }
        for (; ends > 0; ends--)
            if (TEMP_FAILURE_RETRY(send(connection->fd, ANSWER, ANSWER_SIZE, 0)) == ANSWER_SIZE)
                messages_served++;
            else if (!stopping) // once main has shut it down, we only read what still comes
                return -1;
    } while (received < (ssize_t)size);
    return received;
}

static void end_connection(struct connection *connection)
{
    pthread_mutex_lock(&connections_lock);
    LIST_REMOVE(connection, entry);
    close(connection->fd);
    pthread_mutex_unlock(&connections_lock);
    free(connection);
    connections_open--;
}

static void *serve_connection(void *argument)
{
    struct connection *connection = argument;
    // Memory is taken when it is first touched: the large buffer waits for a long message.
    ssize_t result = answer_messages(connection, SHORT_SIZE);
    while (result > 0)
        result = answer_messages(connection, SERVER_BUFFER_SIZE);
    if (result == -1 && !stopping)
        complain("connection from %s: %s", connection->peer,
                 errno == EAGAIN ? "took too long (-W)" : strerror(errno));
    else if (!stopping)
        printf("Connection from %s closed by remote peer.\n", connection->peer);
    end_connection(connection);
    return NULL;
}

static int start_thread(struct connection *connection)
{
    pthread_t thread;
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error == 0)
        error = pthread_attr_setstacksize(&attributes, STACK_SIZE);
    if (error == 0)
        error = pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (error == 0)
        error = pthread_create(&thread, &attributes, serve_connection, connection);
    pthread_attr_destroy(&attributes);
    errno = error;
    return error == 0 ? 0 : -1;
}

/* Returns 0, or -1 after saying what the system ran out of. */
static int accept_connection(int listener)
{
    if (options.connections_max > 0 && connections_open >= options.connections_max) {
        complain("accept: %ld connections are open (-m)", options.connections_max);
        return -1;
    }
    struct sockaddr_in6 peer;
    socklen_t size = sizeof(peer);
    int fd = accept(listener, (struct sockaddr *)&peer, &size);
    if (fd == -1 && (errno == EAGAIN || errno == ECONNABORTED))
        return 0; // it is gone again
    struct connection *connection = fd == -1 ? NULL : malloc(sizeof(*connection));
    if (connection == NULL) {
        complain("accept: %s", strerror(errno));
        if (fd != -1)
            close(fd);
        return -1;
    }
    *connection = (struct connection){.fd = fd, .address = "unknown"};
    getnameinfo((struct sockaddr *)&peer, size, connection->address, sizeof(connection->address),
                NULL, 0, NI_NUMERICHOST);
    // An IPv6 socket shows an IPv4 peer as ::ffff:127.0.0.1 (RFC 4291, section 2.5.5.2).
    bool mapped = peer.sin6_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&peer.sin6_addr);
    connection->peer = connection->address + (mapped ? strlen("::ffff:") : 0);
    printf("Got connection from %s\n", connection->peer);
    connections_served++;
    connections_open++;
    pthread_mutex_lock(&connections_lock);
    LIST_INSERT_HEAD(&connections, connection, entry);
    pthread_mutex_unlock(&connections_lock);
    if (start_thread(connection) == 0)
        return 0;
    complain("thread for %s: %s", connection->peer, strerror(errno));
    end_connection(connection);
    return -1;
}

/* Returns when a signal has asked us to stop. */
static void accept_connections(int listener)
{
    const struct timespec pause = {.tv_nsec = 500000000};
    struct pollfd waiting = {.fd = listener, .events = POLLIN};
    sigset_t none;
    sigemptyset(&none);
    while (!stopping)
        if (ppoll(&waiting, 1, NULL, &none) == 1 && accept_connection(listener) == -1)
            ppoll(NULL, 0, &pause, &none); // until the system has again what it ran out of
}

/*
 * SHUT_WR sends SHUTDOWN (TCP: FIN); the threads then read on until the peers have ended too,
 * since a close with data unread would ABORT (TCP: RST). SHUT_RDWR no longer waits for them.
 */
static void end_connections(void)
{
    const struct timespec pause = {.tv_nsec = 10000000};
    bool any = true;
    for (int waited_ms = 0; any && waited_ms < 500; waited_ms += 10) {
        struct connection *connection;
        pthread_mutex_lock(&connections_lock);
        LIST_FOREACH(connection, &connections, entry)
        shutdown(connection->fd, waited_ms < 400 ? SHUT_WR : SHUT_RDWR);
        any = !LIST_EMPTY(&connections);
        pthread_mutex_unlock(&connections_lock);
        if (any)
            nanosleep(&pause, NULL);
    }
}

/* Returns 0 after a signal has ended it, or -1 after saying why it could not begin. */
static int serve(void)
{
    if (handle_signals() == -1) {
        warn("signals");
        return -1;
    }
    if (raise_file_limit() == -1)
        warn("limit of open files"); // it stays as it was
    int listener = open_listener();
    if (listener == -1)
        return -1;
    printf("Listening on port %ld\n", options.port);
    accept_connections(listener);
    close(listener);
    end_connections();
    printf("Served %lu connections, %lu messages.\n", connections_served, messages_served);
    return 0;
}

int main(int argc, char *argv[])
{
    if (parse_arguments(argc, argv) == -1) {
        fputs(USAGE, stderr);
        return EXIT_MISUSE;
    }
    // If they are closed, a socket would take their place.
    if (fcntl(STDOUT_FILENO, F_GETFD) == -1 || fcntl(STDERR_FILENO, F_GETFD) == -1)
        err(EXIT_FAILURE, "stdout or stderr");
    setvbuf(stdout, NULL, _IOLBF, 0); // line by line, also into a pipe
    int result = options.help ? print_help() : serve();
    if (fflush(stdout) == EOF || ferror(stdout)) // serving went on without it until here
        err(EXIT_FAILURE, "stdout");
    return result == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
