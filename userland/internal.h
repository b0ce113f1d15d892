/* What the files of the engine share. Only they include this.
 *
 *   table.c     descriptors: which number names which socket
 *   stack.c     the stack itself: its lock, clock and thread, start and end, fork
 *   wire.c      SCTP packets to and from UDP (RFC 6951): links, demultiplexing, ICMP
 *   wait.c      blocking: waiters, who reads the wire while they wait, EINTR
 *   ports.c     SCTP ports and local addresses: who is bound to what
 *   engine.c    socket, bind, listen, accept, connect, shutdown, close, names
 *   transfer.c  sending and receiving, ancillary data;  notify.c: notifications
 *   options.c   getsockopt and setsockopt
 *   ready.c     poll, epoll, and the real descriptor's own readiness
 *
 * The stack runs on AF_CONN sockets: packets go in and out through functions of ours, so
 * that we own the UDP sockets. The "address" that it sees is a struct us_link, one per
 * peer host and UDP port.
 *
 * One lock, the stack lock, guards the stack and every struct us_sock (but for the
 * atomics). It is never held across a wait. */
#ifndef USERLAND_INTERNAL_H
#define USERLAND_INTERNAL_H

#include "engine.h"
#include "kernel.h"
#include <errno.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <usrsctp.h>

#define NEVER UINT64_MAX      /* a deadline that does not come */
#define BUFFER_DEFAULT 212992 /* net.core.{r,w}mem_default of a stock kernel */

/* An address and a port. IPv4 is kept v4-mapped; the port is in host order. */
struct us_addr {
    struct in6_addr ip;
    uint32_t scope;
    uint16_t port;
};

/* Which of the process's two UDP sockets: the one on SCTP_UDP_PORT, which listeners need,
 * or one on a port of the kernel's choice, which connect uses. A process that does both
 * can talk to itself. */
enum us_side { SIDE_LISTEN, SIDE_CONNECT, SIDE_COUNT };

/* A way to a peer host: what one UDP datagram's addresses say. */
struct us_link {
    struct us_addr remote; /* port: UDP */
    struct in6_addr local;
    enum us_side side;
    unsigned users;       /* sockets that hold it */
    uint64_t used_ms;     /* when a packet last went over it */
    struct us_link *next; /* in its hash bucket, or in the list of free ones */
};

enum us_state { US_CLOSED, US_LISTENING, US_CONNECTING, US_CONNECTED };

struct us_watch;

/* An association that waits to be accepted. */
struct us_pending {
    struct socket *so;
    struct us_link *link;
    uint16_t peer_port;
    struct us_pending *next;
};

struct us_sock {
    atomic_int refs; /* descriptors that name it, and calls under way */
    atomic_bool nonblocking;
    struct socket *so; /* usrsctp's; NULL where there is none (any more) */
    int domain;
    int fd;          /* one of the descriptors that name it */
    int descriptors; /* how many do; guarded by the table's lock */
    enum us_state state;
    int error;           /* SO_ERROR */
    bool error_reported; /* the stack's own error has been taken: no association any more */
    bool was_connected;
    bool measured;            /* the round trip, without what the handshake lost */
    bool peer_ended;          /* the peer's SHUTDOWN came before ours */
    unsigned backlog, queued; /* of one that listens */
    struct us_pending *queue, **queue_end;
    bool shut_read, shut_write;
    bool listens_for_good; /* after a shutdown that failed, Linux's listen does too */
    bool reuse_address, reuse_port, v6only, linger_set;
    bool v4_unmapped;  /* SCTP_I_WANT_MAPPED_V4_ADDR is off */
    bool send_blocked; /* a send found no room, and nothing has changed since */
    uint64_t receive_timeout_ns, send_timeout_ns; /* 0: none */
    int send_buffer, receive_buffer;              /* as SO_SNDBUF and SO_RCVBUF report */
    struct linger linger;
    int fragment_interleave, partial_delivery_point; /* as set */

    uint16_t port;          /* bound to, 0 for not yet */
    unsigned address_count; /* 1 and the wildcard, or those that bind and bindx named */
    struct in6_addr *addresses;
    struct us_sock *port_next, **port_link; /* others on this port */
    struct us_link *link;
    uint16_t peer_port;

    uint16_t subscribed;      /* SCTP_EVENTS, bit per lx_event_subscribe member */
    uint16_t ever_subscribed; /* of these a notification may wait to be read */
    bool want_rcvinfo, want_nxtinfo;
    struct us_note *note;     /* a notification that is being read */
    struct us_replay *replay; /* options to set again on a fresh stack socket */

    struct us_watch *watches; /* who waits for a change */
    unsigned waits;           /* how often somebody has, since one was long */
    bool changed;             /* is on the list of changed sockets */
    struct us_sock *changed_next;
    struct us_sock *all_next, **all_link; /* every open socket */
    unsigned generation; /* of the stack that so belongs to (fork starts a new one) */

    /* ready.c: kept only once somebody polls the real descriptor */
    bool armed, signalled;
    short epoll_interest, poll_interest; /* POLL* that somebody waits for */
    unsigned edge_watchers, poll_readers, poll_writers;
};

/* ---- table.c */
struct us_sock *table_get(int fd);       /* with a reference; NULL and EBADF otherwise */
void sock_release(struct us_sock *sock); /* gives one back; the last one closes */
int table_put(int fd, struct us_sock *sock);
void table_lock(void);
void table_unlock(void);
void table_reset_after_fork(void);
int reserve_descriptor(int fd); /* moves fd out of the program's way; -1 with errno */
void release_descriptor(int fd);

/* ---- stack.c */
extern unsigned stack_generation; /* counts forks */
int stack_start(void);            /* locked, until there is a socket. 0, or -1 with errno */
void stack_lock(void);
void stack_unlock(void);                       /* also wakes whom the changes concern */
void stack_advance_clock(void);                /* locked: timers that are due by now run */
bool stack_usable(const struct us_sock *sock); /* locked; false with errno set */
void stack_sock_opened(struct us_sock *sock);  /* locked */
void stack_sock_closed(struct us_sock *sock);  /* locked */
void stack_kick(void);                         /* the thread should look at the clock again */
void stack_warn(const char *what, const char *why);
uint16_t stack_udp_port(void);
uint64_t now_ns(void);
/* Locked: act on each socket whose peer is at that address and UDP port and that matches.
 */
void for_each_on_link(const struct us_addr *remote, bool (*matches)(struct us_sock *),
                      void (*act)(struct us_sock *, int), int argument);
void sock_changed(struct us_sock *sock);  /* locked: wakes its waiters at stack_unlock */
void stack_wake_later(atomic_uint *word); /* locked: futex wake, once the lock is free */
void stack_upcall(struct socket *so, void *argument, int flags);

/* ---- wire.c */
int wire_open(enum us_side side); /* locked; opens that UDP socket. 0, or -1 with errno */
void wire_close_all(void);        /* locked */
void wire_close_sockets(void);
void wire_reset_after_fork(void);
void wire_receive(void); /* takes the lock itself: all packets that are there */
/* Packets between sockets of this very process arrive as if the kernel had delivered
 * them: before the call that sent them returns. Takes the lock itself. */
void wire_settle(void);
int wire_output(void *link, void *packet, size_t length, uint8_t tos, uint8_t set_df);
struct us_link *wire_link(const struct us_addr *remote, const struct in6_addr *local,
                          enum us_side side); /* locked */
void wire_link_drop(struct us_link *link);
/* Which local address leads to the remote one? 0, or -1 with errno (ENETUNREACH ...). */
int wire_route(const struct us_addr *remote, struct in6_addr *local, uint32_t *mtu);
extern atomic_uint wire_data_sent; /* packets with DATA that went out */

/* ---- wait.c */
struct us_waiter {
    atomic_uint fired;
    bool quiet, leads;
};
struct us_watch {
    struct us_waiter *waiter;
    struct us_watch *next, **link;
};
int wait_start(void);                             /* locked. 0, or -1 with errno */
void wait_wire_opened(enum us_side side, int fd); /* locked */
void watch_add(struct us_watch *watch, struct us_sock *sock, struct us_waiter *waiter);
void watch_remove(struct us_watch *watch);
void waiter_fire(struct us_waiter *waiter); /* locked */
/* Locked, with the watches in place. sock: one that is waited for. */
void waiter_begin(struct us_waiter *waiter, struct us_sock *sock);
void waiter_end(struct us_waiter *waiter); /* locked */
/* Between the two, unlocked: sleeps until fired or deadline_ns. 0, or -1 with EINTR or
 * ETIMEDOUT. With a time limit no signal restarts the call (signal(7)). */
int waiter_sleep(struct us_waiter *waiter, uint64_t deadline_ns);
/* One round of waiting for sock to change; locked on entry and on return. */
int sock_wait(struct us_sock *sock, uint64_t deadline_ns);
uint64_t deadline_after(uint64_t timeout_ns); /* 0: NEVER */
int milliseconds_until(uint64_t deadline_ns); /* for poll: rounded up, -1 for NEVER */
void wait_engine_round(int timeout_ms);       /* the stack's thread: sleep, then receive */
void wait_kick(void);
void wait_wake(atomic_uint *word);
void wait_stop(void);

/* ---- engine.c */
void ports_reset_after_fork(void);
bool same_address(const struct in6_addr *a, const struct in6_addr *b);
bool is_any(const struct in6_addr *ip);
int parse_address(const struct us_sock *sock, const struct sockaddr *address, socklen_t length,
                  struct us_addr *parsed);
socklen_t format_address(const struct us_sock *sock, const struct us_addr *address,
                         struct sockaddr_storage *formatted);
void copy_address(const struct us_sock *sock, const struct us_addr *from, struct sockaddr *address,
                  socklen_t *length);
struct us_addr sock_peer(const struct us_sock *sock);
void sock_harvest(struct us_sock *listener); /* locked: new associations join the queue */
bool queue_full(const struct us_sock *listener);
bool peer_has_ended(struct us_sock *sock);          /* locked: its SHUTDOWN has come, before ours */
void sock_stop_reading(struct us_sock *sock);       /* locked: after SHUT_RD */
void sock_drop_notes(struct us_sock *sock);         /* locked: before close */
void sock_drop_confirmations(struct us_sock *sock); /* locked: before a look at what there is */
void sock_refresh(struct us_sock *sock); /* locked: takes over what the stack says has happened */
void sock_destroy(struct us_sock *sock); /* by the last sock_release */
void sock_fail(struct us_sock *sock, int error); /* locked: the association is lost */
void sock_give_up(struct us_sock *sock);         /* locked: what connects no longer does */
int sock_connect(struct us_sock *sock, const struct us_addr *peer);          /* locked; waits */
int sock_start_connecting(struct us_sock *sock, const struct us_addr *peer); /* locked */
int sock_await_connected(struct us_sock *sock);                              /* locked; waits */

static inline bool bad_pointer(const void *pointer)
{
    /* What the kernel would call EFAULT, as far as that can be known without asking it.
     */
    return (uintptr_t)pointer < 4096 || (uintptr_t)pointer > UINT64_C(0x7fffffffffff);
}

/* ---- ports.c: all of it locked */
int port_bind(struct us_sock *sock, const struct us_addr *address); /* 0, or -1 with errno */
int port_autobind(struct us_sock *sock);
int port_add_addresses(struct us_sock *sock, const struct us_addr *addresses, unsigned count);
int port_remove_addresses(struct us_sock *sock, const struct us_addr *addresses, unsigned count);
int port_claim_listening(struct us_sock *sock); /* EADDRINUSE where somebody listens already */
void port_join(struct us_sock *sock, struct us_sock *listener); /* an accepted socket */
void port_leave(struct us_sock *sock);
/* Who listens on that port for that local address? port_taken: somebody does, for
 * another. */
struct us_sock *find_listener(uint16_t port, const struct in6_addr *local, bool *port_taken);
struct us_sock *find_connecting(uint16_t port, const struct us_link *link); /* NULL: none does */

/* ---- notify.c: a notification of usrsctp's, rewritten as Linux's */
struct us_note {
    size_t length, taken;
    _Alignas(8) unsigned char bytes[];
};
void note_refusal(struct us_sock *sock); /* locked: what tells of a connect that has failed */
struct us_note *note_translate(const struct us_sock *sock, const void *raw, size_t length);

/* ---- options.c */
int stack_set(struct us_sock *sock, int level, int name, const void *value, size_t length);
int stack_get(struct us_sock *sock, int level, int name, void *value, size_t length);
int replay_options(struct us_sock *sock, struct socket *so);
void replay_free(struct us_sock *sock);
int option_prepare_socket(struct us_sock *sock, struct socket *so);
int32_t association_id(struct us_sock *sock);
void sock_measure_again(struct us_sock *sock);
int stack_association_state(struct us_sock *sock); /* SCTP_ESTABLISHED ...; -1 when it is gone */

/* ---- ready.c */
/* Locked: POLL* that hold now. asked: POLLRDHUP is only looked for if it is in there. */
short sock_events(struct us_sock *sock, short asked);
void ready_update(struct us_sock *sock, bool event); /* locked */
void ready_forget(int fd); /* a descriptor is closed: it leaves every epoll */
void ready_reset_after_fork(void);

#endif
