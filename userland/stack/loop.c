/* The one event loop, on epoll(7). */
#include "loop.h"
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define EVENTS 64
#define LOOK_AGAIN_NS 50000u
#define EXPECTED_MAX 8 /* then the others have their turn */

static int epoll_fd = -1;
static struct epoll_event events[EVENTS]; /* of this round */
static int event_count, event_next;
static uint64_t now_ns;
static struct watch *expected;
static struct watch *garbage; /* to be freed after this round */

uint64_t loop_read_clock(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    now_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    return now_ns;
}

uint64_t loop_now_ns(void)
{
    return now_ns;
}

int loop_open(void)
{
    loop_read_clock();
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return epoll_fd < 0 ? -1 : 0;
}

static int control(int operation, struct watch *watch, uint32_t wanted)
{
    struct epoll_event event = {.events = wanted | EPOLLRDHUP, .data.ptr = watch};

    return epoll_ctl(epoll_fd, operation, watch->fd, &event);
}

int loop_watch(struct watch *watch, uint32_t wanted)
{
    return control(EPOLL_CTL_ADD, watch, wanted);
}

int loop_change(struct watch *watch, uint32_t wanted)
{
    return control(EPOLL_CTL_MOD, watch, wanted);
}

void loop_expect(struct watch *watch)
{
    expected = watch;
}

void loop_forget(struct watch *watch)
{
    if (expected == watch)
        expected = NULL;
    for (int i = event_next; i < event_count; i++)
        if (events[i].data.ptr == watch)
            events[i].data.ptr = NULL;
}

int loop_close(int fd, int result)
{
    int error = errno;

    close(fd);
    errno = error;
    return result;
}

void loop_free_later(struct watch *watch)
{
    watch->next_garbage = garbage;
    garbage = watch;
}

/* Whoever has just been served often answers at once: sleeping and waking up would take longer.
 * Meanwhile the processor goes to whoever else can use it. */
static int look_again(void)
{
    uint64_t end_ns = loop_read_clock() + LOOK_AGAIN_NS;
    int count;

    do {
        sched_yield();
        count = epoll_wait(epoll_fd, events, EVENTS, 0);
    } while (count == 0 && loop_read_clock() < end_ns);
    return count;
}

int loop_wait(int timeout_ms)
{
    static bool served; /* the round before did something */
    static unsigned in_a_row;

    event_next = 0;
    if (expected != NULL && in_a_row++ < EXPECTED_MAX) {
        events[0] = (struct epoll_event){.events = EPOLLIN, .data.ptr = expected};
        event_count = 1;
    } else {
        in_a_row = 0;
        event_count = epoll_wait(epoll_fd, events, EVENTS, 0);
        if (event_count == 0 && timeout_ms != 0 && served)
            event_count = look_again();
        if (event_count == 0 && timeout_ms != 0)
            event_count = epoll_wait(epoll_fd, events, EVENTS, timeout_ms);
        served = event_count > 0;
    }
    expected = NULL;
    loop_read_clock();
    return event_count < 0 ? -1 : 0;
}

void loop_handle(void)
{
    while (event_next < event_count) {
        struct epoll_event event = events[event_next++];
        struct watch *watch = event.data.ptr;
        if (watch != NULL)
            watch->ready(watch, event.events);
    }
    while (garbage != NULL) {
        struct watch *watch = garbage;
        garbage = watch->next_garbage;
        free(watch);
    }
}
