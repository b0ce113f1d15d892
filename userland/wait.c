/* Blocking, without a lock held, and who reads the wire meanwhile.
 *
 * A thread that waits sleeps on a futex of its own: like a system call that waits, it is
 * restarted after a signal whose handler has SA_RESTART, and fails with EINTR otherwise
 * or where it has a time limit (signal(7)).
 *
 * A packet that wakes one thread, which then wakes another, costs two wake-ups. So one of
 * the threads that wait leads: it sleeps on the UDP sockets themselves and takes in
 * packets for everybody until one is its own. It then goes its way, which mostly ends in
 * the next wait; only if it doesn't come back within a tick does the stack's thread take
 * over. While a leader sleeps, or has just left, that thread keeps away from the UDP
 * sockets and sleeps too.
 */
#include "internal.h"
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

enum { LEADER, ENGINE, EPOLL_COUNT };

static int epolls[EPOLL_COUNT] = {-1, -1};
static int events[EPOLL_COUNT] = {-1, -1}; /* eventfds that wake the one that waits there */
static atomic_bool led;                    /* somebody leads */
static atomic_bool hot;                    /* ... or did a moment ago: the stack's thread ticks */
static _Atomic uint64_t left_ns;           /* when the last leader left */
static atomic_uint woken;                  /* counts waiters that were woken */
static _Thread_local bool takes_in;        /* this thread leads, and is awake */

#define HOT_TICK_MS 1
#define ABSENT_NS 500000u /* a leader that has been away for this long does not come back soon */
#define QUIET_WAITS 16    /* the first waits for a socket do not lead */
#define LONG_WAIT_NS 100000000u /* after which it is quiet again */
#define OWN_FRAME 512u          /* more than give_back_stack itself needs */
#define DEEPEST 65536u          /* further down nobody has been */
#define MAX_THREAD_STACK (UINT64_C(1) << 30)
#define FOREIGN_LIMIT 3 /* wake-ups of others in a row, after which another leads better */

static int futex_wait(atomic_uint *word, unsigned value, uint64_t deadline_ns)
{
    struct timespec at = {.tv_sec = (time_t)(deadline_ns / 1000000000u),
                          .tv_nsec = (long)(deadline_ns % 1000000000u)};
    return (int)syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, value,
                        deadline_ns == NEVER ? NULL : &at, NULL, FUTEX_BITSET_MATCH_ANY);
}

void wait_wake(atomic_uint *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX);
}

static int add_member(int epoll_fd, int fd, uint32_t flags)
{
    struct epoll_event event = {.events = EPOLLIN | flags, .data.fd = fd};
    return k_epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

/* Locked. 0, or -1 with errno. */
int wait_start(void)
{
    for (int i = 0; i < EPOLL_COUNT; i++) {
        epolls[i] = reserve_descriptor(epoll_create1(EPOLL_CLOEXEC));
        events[i] = reserve_descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
        if (epolls[i] < 0 || events[i] < 0 || add_member(epolls[i], events[i], 0) < 0)
            return -1;
    }
    atomic_store(&led, false);
    atomic_store(&hot, false);
    return 0;
}

void wait_stop(void)
{
    for (int i = 0; i < EPOLL_COUNT; i++) {
        if (epolls[i] >= 0)
            release_descriptor(epolls[i]);
        if (events[i] >= 0)
            release_descriptor(events[i]);
        epolls[i] = events[i] = -1;
    }
}

void wait_wire_opened(enum us_side side, int fd)
{
    (void)side;
    for (int i = 0; i < EPOLL_COUNT; i++)
        add_member(epolls[i], fd, EPOLLEXCLUSIVE);
    wait_kick();
}

static void signal_event(int which)
{
    uint64_t one = 1;
    (void)!k_write(events[which], &one, sizeof one);
}

static void drain_event(int which)
{
    uint64_t count;
    (void)!k_read(events[which], &count, sizeof count);
}

void wait_kick(void)
{
    signal_event(ENGINE);
}

void watch_add(struct us_watch *watch, struct us_sock *sock, struct us_waiter *waiter)
{
    watch->waiter = waiter;
    watch->next = sock->watches;
    watch->link = &sock->watches;
    if (watch->next != NULL)
        watch->next->link = &watch->next;
    sock->watches = watch;
}

void watch_remove(struct us_watch *watch)
{
    *watch->link = watch->next;
    if (watch->next != NULL)
        watch->next->link = watch->link;
}

void waiter_fire(struct us_waiter *waiter)
{
    if (atomic_exchange(&waiter->fired, 1) != 0)
        return;
    atomic_fetch_add(&woken, 1);
    if (!waiter->leads)
        stack_wake_later(&waiter->fired);
    else if (!takes_in)
        signal_event(LEADER);
}

/* A leader's system call is not restarted by the kernel. Whether it should be, the
 * handlers say, as far as they agree: which of them ran, nobody can tell. */
enum handlers { NONE_RESTARTS, ALL_RESTART, DISAGREE };

static enum handlers handlers_restart(void)
{
    bool some = false, others = false;

    for (int number = 1; number < NSIG; number++) {
        struct sigaction action;
        if (number == SIGSEGV || number == SIGBUS || number == SIGFPE || number == SIGILL ||
            number == SIGTRAP || sigaction(number, NULL, &action) < 0)
            continue;
        if (action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN)
            continue;
        if (action.sa_flags & SA_RESTART)
            some = true;
        else
            others = true;
    }
    if (some && others)
        return DISAGREE;
    return some ? ALL_RESTART : NONE_RESTARTS;
}

/* Where they disagree, nobody leads: the futex knows. Looked up anew every 20 ms at most.
 */
static bool may_lead(void)
{
    static _Atomic uint64_t looked_ns;
    static atomic_bool allowed = true;
    uint64_t now = now_ns();

    if (now - atomic_load(&looked_ns) > 20000000u) {
        atomic_store(&allowed, handlers_restart() != DISAGREE);
        atomic_store(&looked_ns, now);
    }
    return atomic_load(&allowed);
}

int milliseconds_until(uint64_t deadline_ns)
{
    uint64_t now = now_ns();

    if (deadline_ns == NEVER)
        return -1;
    if (deadline_ns <= now)
        return 0;
    uint64_t ms = (deadline_ns - now + 999999u) / 1000000u;
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

/* Sleeps on the wire and receives, once. 0, or -1 with EINTR or ETIMEDOUT. */
static int lead_once(struct us_waiter *waiter, uint64_t deadline_ns)
{
    struct epoll_event found[EPOLL_COUNT + SIDE_COUNT];
    int count = k_epoll_pwait(epolls[LEADER], found, EPOLL_COUNT + SIDE_COUNT,
                              milliseconds_until(deadline_ns), NULL);

    if (count < 0 && errno == EINTR) {
        wire_receive(); /* the packet that woke us, if one did, woke nobody else */
        if (deadline_ns == NEVER && handlers_restart() == ALL_RESTART)
            return 0;
        errno = EINTR;
        return -1;
    }
    for (int i = 0; i < count; i++)
        if (found[i].data.fd == events[LEADER])
            drain_event(LEADER);
    takes_in = true;
    wire_receive();
    takes_in = false;
    if (count == 0 && atomic_load(&waiter->fired) == 0 && now_ns() >= deadline_ns) {
        errno = ETIMEDOUT;
        return -1;
    }
    return 0;
}

/* A conversation has to be a lively one: who leads runs the stack, which takes memory of its own
 * stack. */
void waiter_begin(struct us_waiter *waiter, struct us_sock *sock)
{
    bool vacant = false;

    waiter->quiet = ++sock->waits <= QUIET_WAITS;
    waiter->leads =
        !waiter->quiet && may_lead() && atomic_compare_exchange_strong(&led, &vacant, true);
}

static void leave_lead(struct us_waiter *waiter, bool for_good)
{
    waiter->leads = false;
    atomic_store(&left_ns, for_good ? 0 : now_ns());
    atomic_store(&led, false);
    if (for_good || !atomic_exchange(&hot, true))
        wait_kick();
}

void waiter_end(struct us_waiter *waiter)
{
    if (waiter->leads)
        leave_lead(waiter, false);
}

static int sleep_leading(struct us_waiter *waiter, uint64_t deadline_ns)
{
    int result = 0;

    for (int foreign = 0; foreign < FOREIGN_LIMIT; foreign++) {
        unsigned before = atomic_load(&woken);
        while (result == 0 && atomic_load(&waiter->fired) == 0 && atomic_load(&woken) == before)
            result = lead_once(waiter, deadline_ns);
        if (result < 0 || atomic_load(&waiter->fired) != 0)
            return result;
    }
    stack_lock();
    leave_lead(waiter, true);
    stack_unlock();
    return 0;
}

/* The lowest address of this thread's stack. UINTPTR_MAX where that is not known, and for main: it
 * has but one. */
static uintptr_t find_stack_end(void)
{
    pthread_attr_t attributes;
    void *end;
    size_t size;

    if (getpid() == gettid() || pthread_getattr_np(pthread_self(), &attributes) != 0)
        return UINTPTR_MAX;
    pthread_attr_getstack(&attributes, &end, &size);
    pthread_attr_destroy(&attributes);
    return (uintptr_t)end;
}

/* SCTP runs deep: a send takes pages of the thread's stack that it does not need while it sleeps.
 * With a thread per connection, they are a good part of what each costs: MADV_DONTNEED frees
 * what lies below the frames that are in use (madvise(2)). */
static __attribute__((noinline)) void give_back_stack(void)
{
    static _Thread_local uintptr_t end;
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    uintptr_t page_mask = ~((uintptr_t)getpagesize() - 1);

    if (end == 0)
        end = find_stack_end();
    if (here < end || here - end > MAX_THREAD_STACK) /* a coroutine's, say: leave it alone */
        return;
    uintptr_t to = (here - OWN_FRAME) & page_mask;
    uintptr_t from = to - end > DEEPEST ? to - DEEPEST : end;
    if (from < to)
        madvise((void *)from, to - from, MADV_DONTNEED);
}

int waiter_sleep(struct us_waiter *waiter, uint64_t deadline_ns)
{
    if (waiter->leads && sleep_leading(waiter, deadline_ns) < 0)
        return -1;
    if (waiter->quiet)
        give_back_stack();
    while (atomic_load(&waiter->fired) == 0)
        if (futex_wait(&waiter->fired, 0, deadline_ns) < 0 && errno != EAGAIN)
            return -1;
    return 0;
}

int sock_wait(struct us_sock *sock, uint64_t deadline_ns)
{
    struct us_waiter waiter = {.fired = 0};
    struct us_watch watch;
    uint64_t began_ns = now_ns();

    watch_add(&watch, sock, &waiter);
    waiter_begin(&waiter, sock);
    stack_unlock();
    int result = waiter_sleep(&waiter, deadline_ns);
    int saved = errno;
    stack_lock();
    if (now_ns() - began_ns > LONG_WAIT_NS)
        sock->waits = 0;
    waiter_end(&waiter);
    watch_remove(&watch);
    errno = saved;
    return result;
}

uint64_t deadline_after(uint64_t timeout_ns)
{
    return timeout_ns == 0 ? NEVER : now_ns() + timeout_ns;
}

/* Somebody leads, or will do so again in a moment: only sleeps. */
static bool sleep_beside_leader(int timeout_ms)
{
    struct pollfd kick = {.fd = events[ENGINE], .events = POLLIN};
    bool ticking = atomic_load(&hot);
    struct timespec limit = {.tv_nsec = (ticking ? HOT_TICK_MS : timeout_ms) * 1000000L};

    if (!ticking && !atomic_load(&led))
        return false;
    if (k_ppoll(&kick, 1, &limit, NULL) > 0)
        drain_event(ENGINE);
    if (!atomic_load(&led)) {
        wire_receive();
        if (now_ns() - atomic_load(&left_ns) > ABSENT_NS)
            atomic_store(&hot, false);
    } else if (now_ns() - atomic_load(&left_ns) > 10 * ABSENT_NS) {
        atomic_store(&hot, false); /* sleeps for longer: the next one to leave says so */
    }
    return true;
}

void wait_engine_round(int timeout_ms)
{
    struct epoll_event found[EPOLL_COUNT + SIDE_COUNT];

    if (sleep_beside_leader(timeout_ms))
        return;
    int count = k_epoll_pwait(epolls[ENGINE], found, EPOLL_COUNT + SIDE_COUNT, timeout_ms, NULL);
    for (int i = 0; i < count; i++)
        if (found[i].data.fd == events[ENGINE])
            drain_event(ENGINE);
    if (count > 0)
        wire_receive();
}
