/*
 * server.c - answers "OK" to every message that a client sends. Partner: client.c.
 *
 * One thread accepts connections, one more serves each of them, and main waits for Ctrl-C. SCTP and
 * TCP differ in two functions: count_messages and set_options.
 */
#define USAGE "usage: server [-6v] [-m COUNT] [-W SECONDS] [PORT]\n"
#include "common.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>
#include <sys/resource.h>

struct connection {
    LIST_ENTRY(connection) entry;
    int fd;
    char peer[INET6_ADDRSTRLEN + 16]; // the address of the peer, as in fe80::1%eth0
    time_t wait_began_s;              // for the end of a message, or 0
};

#define STACK_SIZE (SERVER_BUFFER_SIZE + 131072) // the usual 8 MB are too much for 20,000 threads

union address {
    struct sockaddr any;
    struct sockaddr_in ipv4;
    struct sockaddr_in6 ipv6;
};

static struct {
    bool ipv6, verbose;
    long port, connections_max, wait_s;
} options = {.port = SERVER_PORT, .wait_s = SERVER_TIMEOUT_S};

static int open_listener(void);
static int bind_to_port(int fd);
static void *accept_connections(void *listener);
static void *serve_connection(void *connection);
static int answer_messages(struct connection *connection, size_t buffer_size);

static int count_messages(const char *data, size_t size, bool record_ended);
static int set_options(int fd);

static int begin_connection(int fd, const union address *peer, socklen_t size);
static void end_connection(struct connection *connection);
static void end_connections(void);
static bool has_waited_too_long(struct connection *connection);
static int start_thread(void *(*function)(void *), void *argument, const char *whom);
static void block_signals(sigset_t *signals);
static void raise_file_limit(void);
static void parse_arguments(int argc, char *argv[]);

static atomic_bool stopping;
static atomic_ulong connections_served, messages_served;

int main(int argc, char *argv[])
{
    sigset_t signals;
    int signal_number;
    open_output();
    parse_arguments(argc, argv);
    raise_file_limit();
    block_signals(&signals);
    int listener = open_listener();
    if (listener == -1 || start_thread(accept_connections, &listener, "the listener") == -1)
        return EXIT_FAILURE;
    sigwait(&signals, &signal_number);
    end_connections();
    close(listener);
    printf("Served %lu connections, %lu messages.\n", connections_served, messages_served);
    return close_output(EXIT_SUCCESS);
}

/* ---- The socket calls, in the order in which they happen. */

/* Returns a socket that listens, or -1 after saying why there is none. */
static int open_listener(void)
{
    int fd = socket(options.ipv6 ? AF_INET6 : AF_INET, SOCK_TYPE, PROTO);
    if (fd == -1) {
        complain("socket: %s%s", strerror(errno), errno == EPROTONOSUPPORT ? NO_SCTP_HINT : "");
        return -1;
    }
    if (set_options(fd) == -1)
        complain("socket options: %s", strerror(errno));
    else if (bind_to_port(fd) == -1 || listen(fd, SERVER_LISTEN_QUEUE_SIZE) == -1)
        complain("listen on port %ld: %s", options.port, strerror(errno));
    else
        return fd;
    close(fd);
    return -1;
}

/* Binds to all local addresses, all zeros. If that is port 0, the system picks options.port. */
static int bind_to_port(int fd)
{
    in_port_t port = htons((in_port_t)options.port);
    union address local = {.ipv4 = {.sin_family = AF_INET, .sin_port = port}};
    socklen_t size = sizeof(local);
    if (options.ipv6)
        local.ipv6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = port};
    if (bind(fd, &local.any, size) == -1 || getsockname(fd, &local.any, &size) == -1)
        return -1;
    options.port = ntohs(options.ipv6 ? local.ipv6.sin6_port : local.ipv4.sin_port);
    return 0;
}

/* A thread: accepts connections until the server stops. */
static void *accept_connections(void *listener)
{
    printf("Listening on port %ld\n", options.port);
    while (!stopping) {
        union address peer;
        socklen_t size = sizeof(peer);
        int fd = accept(*(int *)listener, &peer.any, &size);
        if (fd == -1 && (errno == EINTR || errno == EAGAIN || errno == ECONNABORTED || stopping))
            continue; // there was no connection, or it has ended already
        if (fd == -1)
            complain("accept: %s", strerror(errno));
        if (fd == -1 || begin_connection(fd, &peer, size) == -1)
            usleep(500000); // until a connection that ends gives back what was missing
    }
    return NULL;
}

/* A thread: serves one connection until it ends. */
static void *serve_connection(void *argument)
{
    struct connection *connection = argument;
    int result = answer_messages(connection, 1024); // takes less memory than the large buffer
    while (result == 1)
        result = answer_messages(connection, SERVER_BUFFER_SIZE);
    if (result == -1 && !stopping)
        complain("connection from %s: %s", connection->peer,
                 errno == EAGAIN ? "took too long (-W)" : strerror(errno));
    else if (!stopping)
        printf("Connection from %s closed by remote peer.\n", connection->peer);
    end_connection(connection);
    return NULL;
}

/* Returns 0 when the connection has ended, -1 with errno, 1 when a read has filled the buffer. */
static int answer_messages(struct connection *connection, size_t buffer_size)
{
    char buffer[buffer_size];
    ssize_t size;
    do {
        bool record_ended;
        size = receive(connection->fd, buffer, buffer_size, &record_ended);
        if (size <= 0)
            return (int)size;
        int count = count_messages(buffer, (size_t)size, record_ended);
        if (options.verbose)
            printf("Read %zd bytes from %s, %d end%s of message.\n", size, connection->peer, count,
                   count == 1 ? "" : "s");
        if (count > 0)
            connection->wait_began_s = 0;
        else if (has_waited_too_long(connection))
            return -1;
        for (; count > 0; count--) {
            if (send_message(connection->fd, ANSWER, ANSWER_SIZE) == 0)
                messages_served++;
            else if (!stopping) // after end_connections, there is only something to read
                return -1;
        }
    } while (size < (ssize_t)buffer_size);
    return 1;
}

/* ---- What SCTP and TCP do differently. */

/*
 * Returns how many messages end in what was read. An SCTP message is a record: the system marks its
 * end. TCP is a stream of bytes without marks, so there a message is a line.
 */
static int count_messages(const char *data, size_t size, bool record_ended)
{
    const char *end = data + size;
    int lines = 0;
    if (PROTO == IPPROTO_SCTP)
        return record_ended;
    while ((data = memchr(data, '\n', (size_t)(end - data))) != NULL) {
        data++;
        lines++;
    }
    return lines;
}

/* The connections inherit these options from the listening socket. Returns 0, or -1 with errno. */
static int set_options(int fd)
{
    const struct setting both[] = {
        SETTING(SOL_SOCKET, SO_REUSEADDR, int, 1),
        SETTING(SOL_SOCKET, SO_RCVTIMEO, struct timeval, .tv_sec = options.wait_s), // then EAGAIN
        SETTING(SOL_SOCKET, SO_SNDTIMEO, struct timeval, .tv_sec = options.wait_s),
        SETTING(PROTO, NODELAY, int, 1),
    };
    const struct setting ipv6[] = {SETTING(IPPROTO_IPV6, IPV6_V6ONLY, int, 0)};
    // A peer that vanishes is to be noticed within a minute. TCP asks a silent peer whether it is
    // still there only if it is told to.
    const struct setting tcp[] = {
        SETTING(SOL_SOCKET, SO_KEEPALIVE, int, 1),
        SETTING(IPPROTO_TCP, TCP_KEEPIDLE, int, 20),
        SETTING(IPPROTO_TCP, TCP_KEEPINTVL, int, 10),
        SETTING(IPPROTO_TCP, TCP_USER_TIMEOUT, int, 50000),
    };
    // SCTP sends heartbeats by itself, but takes minutes to give up. Here about six losses in a row
    // suffice: seldom, even on a bad link. Heartbeats are 3 s and an RTO (at most 4 s) apart.
    const struct setting sctp[] = {
        SETTING(IPPROTO_SCTP, SCTP_PEER_ADDR_PARAMS, struct sctp_paddrparams,
                .spp_flags = SPP_HB_ENABLE, .spp_hbinterval = 3000),
        SETTING(IPPROTO_SCTP, SCTP_RTOINFO, struct sctp_rtoinfo, .srto_max = 4000),
        SETTING(IPPROTO_SCTP, SCTP_ASSOCINFO, struct sctp_assocparams, .sasoc_asocmaxrxt = 6),
    };
    if (APPLY(fd, both) == -1 || (options.ipv6 && APPLY(fd, ipv6) == -1))
        return -1;
    return PROTO == IPPROTO_TCP ? APPLY(fd, tcp) : APPLY(fd, sctp);
}

/* ---- What every server with threads needs. */

static LIST_HEAD(, connection) connections = LIST_HEAD_INITIALIZER(connections);
static long connections_open;
static pthread_mutex_t connections_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t connection_ended = PTHREAD_COND_INITIALIZER;

static void show_peer(const union address *address, socklen_t size, char text[], size_t text_size)
{
    // An IPv6 socket shows an IPv4 peer as ::ffff:127.0.0.1 (RFC 4291, section 2.5.5.2).
    if (address->any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&address->ipv6.sin6_addr))
        inet_ntop(AF_INET, &address->ipv6.sin6_addr.s6_addr[12], text, (socklen_t)text_size);
    else
        getnameinfo(&address->any, size, text, (socklen_t)text_size, NULL, 0, NI_NUMERICHOST);
}

/*
 * Waits until -m allows one more connection; once the server is stopping, that is never. Returns 0,
 * or -1 after saying what the system lacks.
 */
static int begin_connection(int fd, const union address *peer, socklen_t size)
{
    struct connection *connection = malloc(sizeof(*connection));
    if (connection == NULL) {
        complain("accept: %s", strerror(errno));
        close(fd);
        return -1;
    }
    *connection = (struct connection){.fd = fd, .peer = "unknown"};
    show_peer(peer, size, connection->peer, sizeof(connection->peer));
    pthread_mutex_lock(&connections_lock);
    if (connections_open >= options.connections_max)
        complain("accept: %ld connections are open (-m)", options.connections_max);
    while (connections_open >= options.connections_max || stopping)
        pthread_cond_wait(&connection_ended, &connections_lock);
    LIST_INSERT_HEAD(&connections, connection, entry);
    connections_open++;
    connections_served++;
    pthread_mutex_unlock(&connections_lock);
    printf("Got connection from %s\n", connection->peer);
    if (start_thread(serve_connection, connection, connection->peer) == 0)
        return 0;
    end_connection(connection);
    return -1;
}

static void end_connection(struct connection *connection)
{
    pthread_mutex_lock(&connections_lock);
    LIST_REMOVE(connection, entry);
    close(connection->fd); // with the lock: end_connections must not shut down a new socket
    connections_open--;
    pthread_cond_signal(&connection_ended);
    pthread_mutex_unlock(&connections_lock);
    free(connection);
}

/*
 * SHUT_WR sends SHUTDOWN (TCP: FIN). The threads then read on until the peers have ended, too: a
 * close with unread data would send ABORT (TCP: RST). The peers have 400 ms for that. SHUT_RDWR no
 * longer waits for them, and leaves the threads 100 ms to end.
 */
static void end_connections(void)
{
    struct connection *connection;
    pthread_mutex_lock(&connections_lock);
    stopping = true;
    for (int waited_ms = 0; waited_ms < 500 && !LIST_EMPTY(&connections); waited_ms += 10) {
        LIST_FOREACH(connection, &connections, entry)
            shutdown(connection->fd, waited_ms < 400 ? SHUT_WR : SHUT_RDWR);
        pthread_mutex_unlock(&connections_lock);
        usleep(10000);
        pthread_mutex_lock(&connections_lock);
    }
    pthread_mutex_unlock(&connections_lock);
}

/* Limits the time for one message, since a peer could send a byte now and then for ever. */
static bool has_waited_too_long(struct connection *connection)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (connection->wait_began_s == 0)
        connection->wait_began_s = now.tv_sec;
    errno = EAGAIN; // as after a timeout of recv
    return options.wait_s > 0 && now.tv_sec - connection->wait_began_s > options.wait_s;
}

/* Returns 0, or -1 after saying why there is no thread. */
static int start_thread(void *(*function)(void *), void *argument, const char *whom)
{
    pthread_t thread;
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error == 0)
        error = pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (error == 0)
        error = pthread_attr_setstacksize(&attributes, STACK_SIZE);
    if (error == 0)
        error = pthread_create(&thread, &attributes, function, argument);
    pthread_attr_destroy(&attributes);
    if (error == 0)
        return 0;
    complain("thread for %s: %s", whom, strerror(error));
    return -1;
}

/* Threads inherit what is blocked. So Ctrl-C and kill are left to main, which waits for them. */
static void block_signals(sigset_t *signals)
{
    sigemptyset(signals);
    sigaddset(signals, SIGINT);
    sigaddset(signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, signals, NULL);
    signal(SIGPIPE, SIG_IGN); // send fails with EPIPE instead
}

static void raise_file_limit(void)
{
    struct rlimit limit = {0};
    int result = getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    if (result == -1 || setrlimit(RLIMIT_NOFILE, &limit) == -1)
        complain("limit of open files: %s", strerror(errno));
}

#define HELP                                                                                       \
    "  -6          listen on IPv6 as well as on IPv4\n"                                            \
    "  -m COUNT    serve at most COUNT connections at once (default 0, no limit)\n"                \
    "  -v          report every read\n"                                                            \
    "  -W SECONDS  longest wait for a peer to send or to read, 0 for ever (default %d)\n"          \
    "  PORT        0 to 65535, 0 lets the system pick (default %d)\n"

static void parse_arguments(int argc, char *argv[])
{
    int option;
    opterr = 0;
    while ((option = getopt(argc, argv, ":6hm:vW:")) != -1) {
        switch (option) {
        case '6': options.ipv6 = true; break;
        case 'h': print_help(SERVER_TIMEOUT_S, SERVER_PORT);
        case 'm': options.connections_max = parse_whole("-m", optarg, 0, INT_MAX); break;
        case 'v': options.verbose = true; break;
        case 'W': options.wait_s = parse_whole("-W", optarg, 0, INT_MAX); break;
        case ':': misuse("-%c: needs a value", optopt);
        default: misuse("-%c: unknown option", optopt);
        }
    }
    if (argc - optind > 1)
        misuse("%s: only one PORT can be given", argv[optind + 1]);
    if (argc - optind == 1)
        options.port = parse_whole("port", argv[optind], 0, 65535);
    if (options.connections_max == 0)
        options.connections_max = LONG_MAX;
}
