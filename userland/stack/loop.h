/*
 * loop.h - the one event loop: descriptors that are watched, and the clock.
 *
 * A watch is edge-triggered: its function is called when something has changed, and has to go on
 * until there is nothing left to do. With LOOP_AGAIN it is called as long as there is.
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
/* That function is called whenever the loop has waited, before it handles what has happened: to
 * set clocks right. */
void loop_on_wake(void (*function)(void));

#define LOOP_AGAIN EPOLLEXCLUSIVE /* a bit that epoll's own uses leave free here */

/* events: EPOLLIN, EPOLLOUT, LOOP_AGAIN; hang-ups are always told. 0, or -1 with errno. */
int loop_watch(struct watch *watch, uint32_t events);
int loop_change(struct watch *watch, uint32_t events);
/* There is something to read for that watch: without a look, its function is called in the next round
 * (and must bear it if there is nothing). */
void loop_expect(struct watch *watch);
/* Before its fd is closed, which is the end for epoll. Events that are already under way do not
 * reach it any more. */
void loop_forget(struct watch *watch);

/* For memory that a function further up the call stack may still use: it is freed at the end of
 * the round. */
void loop_free_later(void *memory);

/*
 * Handles what has happened, or happens within timeout_ms. Before it sleeps it looks again for a
 * few microseconds: a peer on this host is about to answer. Returns 0, or -1 with errno (EINTR).
 */
int loop_turn(int timeout_ms);

uint64_t loop_now_ns(void);     /* CLOCK_MONOTONIC, when this round began */
uint64_t loop_read_clock(void); /* the same, now */

#endif
