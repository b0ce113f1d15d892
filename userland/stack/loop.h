/* loop.h - the one event loop: descriptors that are watched, and the clock. */
#ifndef STACK_LOOP_H
#define STACK_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct watch {
    int fd;
    void (*ready)(struct watch *watch, uint32_t events); /* EPOLL* */
    struct watch *next_garbage;                          /* loop.c's own */
};

int loop_open(void); /* 0, or -1 with errno */

/* events: EPOLL*; hang-ups are always told. 0, or -1 with errno. */
int loop_watch(struct watch *watch, uint32_t events);
int loop_change(struct watch *watch, uint32_t events);
/* There is something to read for that watch: without a look, its function is called in the next round
 * (and must bear it if there is nothing). */
void loop_expect(struct watch *watch);
/* Before its fd is closed, which is the end for epoll. Events that are already under way do not
 * reach it any more. */
void loop_forget(struct watch *watch);

/* Returns result, with errno as it was. */
int loop_close(int fd, int result);

/* Frees what begins with that watch at the end of the round: a function further up the call stack
 * may still use it. */
void loop_free_later(struct watch *watch);

/*
 * Waits until something happens, for at most timeout_ms. Before it sleeps it looks again for a few
 * microseconds: a peer on this host is about to answer. Returns 0, or -1 with errno (EINTR).
 */
int loop_wait(int timeout_ms);
void loop_handle(void); /* what has happened */

uint64_t loop_now_ns(void);     /* CLOCK_MONOTONIC, when this round began */
uint64_t loop_read_clock(void); /* the same, now */

#endif
