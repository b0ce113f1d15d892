/*
 * loop.h - the one event loop: descriptors that are watched, and the clock.
 *
 * Every watch is edge-triggered: its function is called when something has changed, and has to go
 * on until there is nothing left to do.
 */
#ifndef STACK_LOOP_H
#define STACK_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct watch {
    int fd;
    void (*ready)(struct watch *watch, uint32_t events); /* EPOLL* */
};

int loop_open(void); /* 0, or -1 with errno */

/* events: EPOLLIN and EPOLLOUT; hang-ups are always told. 0, or -1 with errno. */
int loop_watch(struct watch *watch, uint32_t events);
int loop_change(struct watch *watch, uint32_t events);
void loop_forget(struct watch *watch); /* before its fd is closed */

/* Memory that events which are already under way may still name: freed after them. */
void loop_free_later(void *memory);

/*
 * Handles what has happened, or happens within timeout_ms. Before it sleeps it looks again for a
 * few microseconds: a peer on this host is about to answer. Returns 0, or -1 with errno.
 */
int loop_turn(int timeout_ms);

uint64_t loop_now_ns(void); /* CLOCK_MONOTONIC */

#endif
