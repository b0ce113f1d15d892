/*
 * sctp-stack - SCTP in a process of its own: what a kernel with SCTP does for programs.
 *
 * Theory of operation
 *
 * A program's SCTP socket is one end of an AF_UNIX SOCK_SEQPACKET connection, and the stack has the
 * other (../protocol.h). So all that a program does with a descriptor is done by the kernel: send
 * and recv, poll and epoll, time limits, dup, fork, exec, kill. The stack sees records come in,
 * and the end of the file when the last copy of the descriptor is closed, however that came about.
 *
 * usrsctp does SCTP. It runs without threads: it works when a packet comes in (wire.c, over UDP),
 * when a program sends, and when the clock ticks. What it then has for a program it says by an
 * upcall, which only makes a note; sock_handle_changes looks at the notes before the loop sleeps.
 *
 * The way of a message: a record of the program's -> transfer.c -> usrsctp -> wire.c -> UDP; and
 * back: UDP -> wire.c -> usrsctp -> upcall -> transfer.c -> record. If one side has no room, the
 * other one is not read: windows and buffers are full as they would be in a kernel.
 *
 * Everything else (bind, connect, options ...) is a request over a connection of its own
 * (control.c). None is waited for: whoever waits is noted in its socket, and answered later.
 *
 * The layers, from top to bottom, each with a header that says what it offers:
 *     main.c                     the loop, its clock, the beginning and the end
 *     control.c list.c           requests
 *     transfer.c accept.c        messages, connections
 *     notify.c options*.c        Linux' notifications and options in usrsctp's terms
 *     handshake.c                what lost packets do to the first round trip
 *     socket.c                   the life of a socket
 *     ports.c                    who is bound to what
 *     wire.c capture.c           packets in UDP, and in a file
 *     loop.c address.c           descriptors to watch, addresses
 * What must go up (a packet came, a socket changed) goes through functions handed down at the
 * start: struct wire_handlers, struct sock_handlers.
 *
 * The front of the first program that opens a socket starts the stack with a listening socket; the
 * stack ends when there has been no socket and no association for a second.
 */
#include "accept.h"
#include "control.h"
#include "handshake.h"
#include "list.h"
#include "loop.h"
#include "options.h"
#include "options_sctp.h"
#include "options_shared.h"
#include "ports.h"
#include "socket.h"
#include "transfer.h"
#include "wire.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>

#define LISTENER_FD 3
#define TICK_MS 10         /* usrsctp's own resolution */
#define BUSY_NS 250000000u /* how long the clock ticks at full speed after something happened */
#define QUIET_TICK_MS 50
#define TICK_MAX_MS 200
#define SWEEP_NS 500000000u
#define IDLE_NS 1000000000u /* no socket for this long: the stack may end */
#define TICK_SHARE 50       /* the timers may take one part in that many of the time */

static struct watch listener_watch;
static uint64_t ticked_ms, tick_cost_ns, active_ns, swept_ns, emptied_ns;

/* ---- what happens below */

/* Without a listener that has room, usrsctp answers with ABORT. */
static void choose_listener(uint16_t port, const struct address *local)
{
    struct sock *listener = ports_find_listener(port, local);

    ports_listen(port, listener == NULL || !accept_has_room(listener) ? NULL : listener);
}

static void handle_handshake(struct link *link, uint16_t port, uint16_t peer_port, bool before)
{
    struct sock *sock = ports_find(port, link, peer_port);

    if (sock != NULL && sock->state == SOCKET_CONNECTING)
        handshake_bound_rto(sock, before);
}

/* ICMP says that nobody is there. For an association that is being set up, and for one with this
 * very host, that is the end. */
static void handle_refusal(const struct address *remote)
{
    struct sock *sock;

    LIST_FOREACH(sock, sock_all(), others) {
        const struct link *link = sock->link;
        if (link == NULL || link->remote.port != remote->port ||
            !address_same_ip(&link->remote, remote) || !sock_has_association(sock))
            continue;
        if (sock->state == SOCKET_CONNECTING || address_same_ip(&link->local, &link->remote))
            sock_fail(sock, ECONNREFUSED);
    }
}

static void handle_change(struct sock *sock)
{
    active_ns = loop_now_ns();
    if (sock->state == SOCKET_LISTENING)
        accept_connections(sock);
    else
        transfer_move(sock);
    control_moved(sock);
}

/* Without a descriptor for a program, the one of stdin takes its place: whoever came is told at
 * once, by a reset. */
static void turn_away_program(int listener)
{
    close(STDIN_FILENO);
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd != -1)
        close(fd);
    dup2(STDOUT_FILENO, STDIN_FILENO);
}

static void accept_programs(struct watch *watch, uint32_t events)
{
    int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC);

    (void)events;
    if (fd != -1)
        control_accept(fd);
    else if (errno == EMFILE || errno == ENFILE)
        turn_away_program(watch->fd);
}

/* ---- the clock */

/* usrsctp goes through all timers at each tick: the more there are, the longer the pause. */
static int tick_ms(void)
{
    bool busy = loop_now_ns() - active_ns < BUSY_NS && sock_count() > 0;
    int usual_ms = busy ? TICK_MS : QUIET_TICK_MS;
    int bearable_ms = (int)(tick_cost_ns * TICK_SHARE / 1000000u);

    return bearable_ms < usual_ms      ? usual_ms
           : bearable_ms < TICK_MAX_MS ? bearable_ms
                                       : TICK_MAX_MS;
}

static void run_timers(void)
{
    uint64_t before = loop_now_ns(), ms = before / 1000000u;

    if (ms - ticked_ms < (uint64_t)tick_ms())
        return;
    usrsctp_handle_timers((uint32_t)(ms - ticked_ms));
    ticked_ms = ms;
    uint64_t cost_ns = loop_read_clock() - before;
    tick_cost_ns = tick_cost_ns == 0 ? cost_ns : (tick_cost_ns * 7 + cost_ns) / 8;
}

/* ---- beginning */

static const struct wire_handlers wire_handlers = {.asked = choose_listener,
                                                   .handshake = handle_handshake,
                                                   .wishes = options_wishes,
                                                   .refused = handle_refusal};
static const struct sock_handlers sock_handlers = {.records = transfer_records,
                                                   .changed = handle_change,
                                                   .settled = control_settled,
                                                   .ended = control_moved,
                                                   .freed = control_freed,
                                                   .opened = options_open,
                                                   .prepare = options_prepare,
                                                   .inherit = options_inherit,
                                                   .fix_mtu = options_apply_mtu,
                                                   .accepted = accept_is_done};

static void start_usrsctp(void)
{
    /* Each socket has a hash table of its associations: one-to-one sockets have one. */
    usrsctp_tunable_set_sctp_pcbtblsize(16);
    usrsctp_tunable_set_sctp_hashtblsize(1024);
    usrsctp_init_nothreads(0, wire_output, NULL);
    usrsctp_enable_crc32c_offload(); /* wire.c does it */
    usrsctp_sysctl_set_sctp_sendspace(SOCKET_BUFFER);
    usrsctp_sysctl_set_sctp_recvspace(SOCKET_BUFFER);
    usrsctp_sysctl_set_sctp_max_chunks_on_queue(4096);
    usrsctp_sysctl_set_sctp_abort_if_one_2_one_hits_limit(1);
    usrsctp_sysctl_set_sctp_nr_incoming_streams_default(65535);
    /* Like Linux: tags are random, none is remembered for a minute after its end. */
    usrsctp_sysctl_set_sctp_vtag_time_wait(0);
    /* As Linux has them by default; ECN and address changes have no way through AF_CONN. */
    usrsctp_sysctl_set_sctp_ecn_enable(0);
    usrsctp_sysctl_set_sctp_asconf_enable(0);
    usrsctp_sysctl_set_sctp_auto_asconf(0);
    usrsctp_sysctl_set_sctp_auth_enable(0);
    usrsctp_sysctl_set_sctp_reconfig_enable(0);
    ticked_ms = loop_now_ns() / 1000000u;
}

/* Nothing of the program that started us stays: its terminal, directory, files and signals. */
static int become_daemon(void)
{
    struct rlimit limit;
    sigset_t none;
    int null = open("/dev/null", O_RDWR);

    if (null == -1)
        return -1;
    for (int fd = 0; fd < LISTENER_FD; fd++)
        if (dup2(null, fd) == -1)
            return -1;
    if (null > LISTENER_FD)
        close(null);
    close_range(LISTENER_FD + 1, ~0u, 0);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int number = 1; number < NSIG; number++)
        if (number != SIGKILL && number != SIGSTOP)
            signal(number, SIG_DFL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    return setsid() == -1 || chdir("/") == -1 ? -1 : 0;
}

static int start(unsigned long udp_port)
{
    if (become_daemon() == -1 || loop_open() == -1)
        return -1;
    wire_start((uint16_t)udp_port, &wire_handlers);
    sock_start(&sock_handlers);
    start_usrsctp();
    listener_watch = (struct watch){.fd = LISTENER_FD, .ready = accept_programs};
    if (fcntl(LISTENER_FD, F_SETFL, O_NONBLOCK) == -1)
        return -1;
    return loop_watch(&listener_watch, EPOLLIN);
}

/* ---- end */

/* The listener was shut down: another one takes its address. */
static int listen_again(void)
{
    struct sockaddr_un name;
    socklen_t size = sizeof(name);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd == -1 || getsockname(listener_watch.fd, (struct sockaddr *)&name, &size) == -1)
        return -1;
    loop_forget(&listener_watch);
    close(listener_watch.fd);
    listener_watch.fd = fd;
    if (bind(fd, (struct sockaddr *)&name, size) == -1 || listen(fd, SOMAXCONN) == -1)
        return -1;
    return loop_watch(&listener_watch, EPOLLIN);
}

/* Whether the stack has ended: when there is no association any more, and nobody comes. All who came
 * at the last moment are served; whoever comes between the two listeners tries again (ask.c). */
static bool has_ended(void)
{
    if (usrsctp_finish() != 0)
        return false;
    wire_end();
    shutdown(listener_watch.fd, SHUT_RD);
    int fd = accept4(listener_watch.fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd == -1)
        return true;
    start_usrsctp();
    for (; fd != -1; fd = accept4(listener_watch.fd, NULL, NULL, SOCK_CLOEXEC))
        control_accept(fd);
    emptied_ns = loop_now_ns();
    return listen_again() == -1;
}

static bool is_over(void)
{
    uint64_t now = loop_now_ns();

    if (sock_count() > 0 || emptied_ns == 0)
        emptied_ns = now;
    return now - emptied_ns > IDLE_NS && has_ended();
}

static void sweep(void)
{
    if (loop_now_ns() - swept_ns < SWEEP_NS)
        return;
    sock_sweep();
    swept_ns = loop_now_ns();
}

int main(int argc, char *argv[])
{
    bool lists = argc == 3 && strcmp(argv[1], "-l") == 0;
    char *end = "";
    unsigned long udp_port = argc < 2 ? 0 : strtoul(argv[argc - 1], &end, 10);

    if ((argc != 2 && !lists) || *end != '\0' || udp_port < 1 || udp_port > 65535 ||
        (!lists && fcntl(LISTENER_FD, F_GETFD) == -1)) {
        fputs("usage: sctp-stack [-l] UDP-PORT\n"
              "With -l, lists the sockets of the stack with that port. Without, is that stack:\n"
              "programs start it by themselves, with a listening socket as descriptor 3.\n",
              stderr);
        return 2;
    }
    if (lists)
        return list_print((unsigned)udp_port) == -1 ? 1 : 0;
    if (start(udp_port) == -1)
        return 1;
    while (!is_over()) {
        sock_handle_changes();
        if (loop_wait(tick_ms()) == -1 && errno != EINTR)
            return 1;
        run_timers(); /* first: what has happened may start some */
        loop_handle();
        sock_handle_changes();
        sweep();
    }
    return 0;
}
