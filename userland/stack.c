/* The stack as a whole: its lock, its clock and thread, how it starts and ends, and fork.
 *
 * usrsctp runs without threads of its own. Ours sleeps until a packet comes in that no
 * waiting thread takes, or until the next tick of the clock; ticks are rare while nothing
 * happens. When the last socket has been closed and every association has ended, the
 * stack is taken down again. */
#include "internal.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define TICK_MS 10         /* usrsctp's own resolution */
#define BUSY_NS 250000000u /* how long the clock ticks at full speed after something happened */
#define QUIET_TICK_MS 50
#define IDLE_NS 500000000u        /* no sockets for this long: the stack is taken down */
#define LEAVE_NS 1000000000u      /* at exit: how long peers may take to answer SHUTDOWN */
#define LEAVE_MAX_NS 10000000000u /* ... while data still flows */
#define WAKE_COUNT 16

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool running; /* usrsctp is initialised, the thread is there */
static pthread_t thread;
static struct us_sock *all_socks;
static struct us_sock *changed_socks;
static atomic_uint *wake_later[WAKE_COUNT];
static unsigned wake_count;
static uint64_t clock_ms;            /* what usrsctp's timers know */
static _Atomic uint64_t activity_ns; /* when something last happened */
static uint64_t emptied_ns;          /* when the last socket was closed */
static uint16_t udp_port = 9899;
static void (*warn)(const char *, const char *);

unsigned stack_generation;

void us_configure(uint16_t port, void (*report)(const char *what, const char *why))
{
    udp_port = port;
    warn = report;
}

uint16_t stack_udp_port(void)
{
    return udp_port;
}

void stack_warn(const char *what, const char *why)
{
    int saved = errno;

    if (warn != NULL)
        warn(what, why);
    errno = saved;
}

uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void stack_lock(void)
{
    pthread_mutex_lock(&lock);
}

void stack_wake_later(atomic_uint *word)
{
    if (wake_count < WAKE_COUNT)
        wake_later[wake_count++] = word;
    else
        wait_wake(word);
}

/* Threads are woken once the lock is free, so that they don't run into it. Their words
 * lie on their stacks, which may be gone by then: the kernel only uses the address. */
void stack_unlock(void)
{
    atomic_uint *words[WAKE_COUNT];

    while (changed_socks != NULL) {
        struct us_sock *sock = changed_socks;
        changed_socks = sock->changed_next;
        sock->changed = false;
        if (sock->state == US_LISTENING)
            sock_harvest(sock);
        for (struct us_watch *watch = sock->watches; watch != NULL; watch = watch->next)
            waiter_fire(watch->waiter);
        if (sock->armed)
            ready_update(sock, true);
    }
    unsigned count = wake_count;
    memcpy(words, wake_later, count * sizeof words[0]);
    wake_count = 0;
    pthread_mutex_unlock(&lock);
    for (unsigned i = 0; i < count; i++)
        wait_wake(words[i]);
}

void sock_changed(struct us_sock *sock)
{
    sock->send_blocked = false;
    if (sock->changed)
        return;
    sock->changed = true;
    sock->changed_next = changed_socks;
    changed_socks = sock;
}

/* By the stack, below the lock: something happened to so. */
void stack_upcall(struct socket *so, void *argument, int flags)
{
    (void)so;
    (void)flags;
    sock_changed(argument);
}

static void run_timers(uint64_t now)
{
    uint64_t ms = now / 1000000u;

    if (!running || ms - clock_ms < TICK_MS)
        return;
    usrsctp_handle_timers((uint32_t)(ms - clock_ms));
    clock_ms = ms;
}

void stack_advance_clock(void)
{
    uint64_t now = now_ns();

    atomic_store_explicit(&activity_ns, now, memory_order_relaxed);
    run_timers(now);
}

static void set_up_usrsctp(void)
{
    /* Each socket has a hash table of its associations: one-to-one sockets have one. */
    usrsctp_tunable_set_sctp_pcbtblsize(16);
    usrsctp_tunable_set_sctp_hashtblsize(1024);
    usrsctp_init_nothreads(0, wire_output, NULL);
    usrsctp_sysctl_set_sctp_sendspace(BUFFER_DEFAULT);
    usrsctp_sysctl_set_sctp_recvspace(BUFFER_DEFAULT);
    usrsctp_sysctl_set_sctp_max_chunks_on_queue(4096);
    usrsctp_sysctl_set_sctp_nr_incoming_streams_default(65535);
    /* Like Linux: tags are random, none is remembered for a minute after its end. */
    usrsctp_sysctl_set_sctp_vtag_time_wait(0);
    /* As Linux has them by default; ECN and address changes have no way through AF_CONN.
     */
    usrsctp_sysctl_set_sctp_ecn_enable(0);
    usrsctp_sysctl_set_sctp_asconf_enable(0);
    usrsctp_sysctl_set_sctp_auto_asconf(0);
    usrsctp_sysctl_set_sctp_auth_enable(0);
    usrsctp_sysctl_set_sctp_reconfig_enable(0);
}

/* Locked. Everything has ended: gives back what the stack holds. */
static bool take_down(void)
{
    if (usrsctp_finish() != 0)
        return false;
    wire_close_all();
    wait_stop();
    running = false;
    return true;
}

/* How long the thread may sleep. */
static int next_tick_ms(void)
{
    uint64_t quiet_ns = now_ns() - atomic_load(&activity_ns);

    return quiet_ns < BUSY_NS ? TICK_MS : QUIET_TICK_MS;
}

static void *run(void *unused)
{
    (void)unused;
    for (;;) {
        stack_lock();
        if (!running) { /* the process is leaving */
            stack_unlock();
            return NULL;
        }
        run_timers(now_ns());
        bool down = all_socks == NULL && now_ns() - emptied_ns > IDLE_NS && take_down();
        int timeout_ms = down ? 0 : next_tick_ms();
        if (down)
            pthread_detach(pthread_self());
        stack_unlock();
        if (down)
            return NULL;
        wait_engine_round(timeout_ms);
    }
}

static int start_thread(void)
{
    pthread_attr_t attributes;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 256 * 1024);
    int error = pthread_create(&thread, &attributes, run, NULL);
    pthread_attr_destroy(&attributes);
    errno = error;
    return error == 0 ? 0 : -1;
}

static void before_fork(void)
{
    stack_lock();
    table_lock();
}

static void after_fork_in_parent(void)
{
    table_unlock();
    stack_unlock();
}

/* No thread came along, and the UDP ports are the parent's: the child starts anew, and
 * its copies of the parent's sockets only report an error. */
static void after_fork_in_child(void)
{
    table_reset_after_fork();
    pthread_mutex_init(&lock, NULL);
    stack_generation++;
    if (!running)
        return;
    running = false;
    all_socks = changed_socks = NULL;
    wake_count = 0;
    wire_reset_after_fork();
    ports_reset_after_fork();
    ready_reset_after_fork();
    wait_stop();
}

static void watch_forks(void)
{
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* Locked. Our thread, and the one that usrsctp has in any case, take no signals: they are the
 * program's. */
static int set_up(void)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    clock_ms = now_ns() / 1000000u;
    emptied_ns = now_ns();
    set_up_usrsctp();
    int result = wait_start();
    if (result == 0)
        result = start_thread();
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    running = result == 0;
    return result;
}

int stack_start(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, watch_forks);
    return running ? 0 : set_up();
}

bool stack_usable(const struct us_sock *sock)
{
    if (sock->generation == stack_generation)
        return true;
    stack_warn("fork", "an SCTP socket of the parent process does not work in the child");
    errno = EOPNOTSUPP;
    return false;
}

void stack_sock_opened(struct us_sock *sock)
{
    sock->generation = stack_generation;
    sock->all_next = all_socks;
    sock->all_link = &all_socks;
    if (all_socks != NULL)
        all_socks->all_link = &sock->all_next;
    all_socks = sock;
}

void stack_sock_closed(struct us_sock *sock)
{
    *sock->all_link = sock->all_next;
    if (sock->all_next != NULL)
        sock->all_next->all_link = sock->all_link;
    for (struct us_sock **at = &changed_socks; *at != NULL; at = &(*at)->changed_next)
        if (*at == sock) {
            *at = sock->changed_next;
            break;
        }
    if (all_socks == NULL)
        emptied_ns = now_ns();
}

void for_each_on_link(const struct us_addr *remote, bool (*matches)(struct us_sock *),
                      void (*act)(struct us_sock *, int), int argument)
{
    for (struct us_sock *sock = all_socks; sock != NULL; sock = sock->all_next)
        if (sock->link != NULL && sock->link->remote.port == remote->port &&
            same_address(&sock->link->remote.ip, &remote->ip) && matches(sock))
            act(sock, argument);
}

/* The process ends: its sockets are closed as the kernel would, and get time to say so.
 */
static void close_all(void)
{
    for (struct us_sock *sock = all_socks; sock != NULL; sock = sock->all_next) {
        if (sock->so != NULL)
            usrsctp_close(sock->so);
        sock->so = NULL;
        sock->state = US_CLOSED;
        sock->error = ESHUTDOWN;
        sock_changed(sock);
    }
}

__attribute__((destructor)) static void leave(void)
{
    stack_lock();
    if (!running) {
        stack_unlock();
        return;
    }
    close_all();
    uint64_t started = now_ns(), progress = started;
    unsigned sent = atomic_load(&wire_data_sent);
    while (usrsctp_finish() != 0) {
        uint64_t now = now_ns();
        if (atomic_load(&wire_data_sent) - sent > 1) { // one is a probe of a closed window
            progress = now;
            sent = atomic_load(&wire_data_sent);
        }
        if (now - progress > LEAVE_NS || now - started > LEAVE_MAX_NS)
            break;
        stack_unlock();
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        wire_receive();
        stack_lock();
        run_timers(now_ns());
    }
    running = false;
    if (all_socks == NULL)
        wire_close_all();
    else
        wire_close_sockets(); // other threads still run, and may ask for their peers' names
    wait_kick();
    stack_unlock();
    pthread_join(thread, NULL);
    wait_stop();
}
