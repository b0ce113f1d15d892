/*
 * socket.h - a program's SCTP socket: its life from socket() to the end of its association.
 *
 * Each has two partners: record_watch.fd is the stack's end of the program's AF_UNIX socket, and
 * so is usrsctp's socket. transfer.c carries data between the two.
 */
#ifndef STACK_SOCKET_H
#define STACK_SOCKET_H

#include "address.h"
#include "loop.h"
#include "options_values.h"
#include <sys/queue.h>
#include <usrsctp.h>

enum socket_state { SOCKET_CLOSED, SOCKET_LISTENING, SOCKET_CONNECTING, SOCKET_CONNECTED };

struct held;    /* transfer.c */
struct control; /* control.c */

struct sock {
    struct watch record_watch; /* first; fd -1 once the stack's end is closed */
    uint64_t id;
    int family; /* AF_INET, AF_INET6 */
    enum socket_state state;
    struct socket *so; /* usrsctp's; NULL where there is none (any more) */
    struct socket_options options;

    int error;           /* SO_ERROR */
    bool error_reported; /* usrsctp's own error has been taken: no association any more */
    bool was_connected;
    bool has_filler;     /* the first record, which makes the socket unwritable, is still there */
    bool waits_for_room; /* of record_watch.fd: EPOLLOUT */
    bool is_wide;        /* its end has a larger buffer than usual */
    bool has_heads;      /* records begin with heads, or have done so */
    bool data_is_unread; /* the program has not read everything since it got data */
    bool set_up_by_send; /* for getpeername, Linux knows the peer of a connect only */
    bool send_is_due;    /* a message that sets up the association is about to come */
    bool end_is_due;     /* ... and then our end is to be closed */
    bool end_is_shown;   /* the program sees the end of the file */
    bool shut_read, shut_write;
    bool was_shut;         /* for reading, when there was no association: so is the next one */
    bool peer_ended;       /* the peer's SHUTDOWN came before ours */
    bool drained;          /* after shut_write: all that the program has sent has gone to usrsctp */
    bool closed;           /* by the program */
    bool aborts;           /* ... with unread data, or with SO_LINGER {1, 0} */
    bool listens_for_good; /* after a shutdown that failed, Linux' listen does too */
    bool owes_sack;        /* a message has come since messages to the peer are held */
    bool measured;         /* the round trip, without what the handshake lost */

    uint16_t port; /* 0: not bound */
    unsigned address_count;
    struct address *addresses; /* bound to: one wildcard, or those that bind and bindx named */
    struct link *link;         /* to the peer */
    uint16_t peer_port;
    struct address tried_from; /* the last association: its name stays, also when it was refused */

    /* Of one that listens. */
    unsigned backlog, offered_size; /* of one connection that waits for accept, in the kernel */
    STAILQ_HEAD(, sock) pending;    /* those that the kernel had no room for yet */
    unsigned pending_count, offered_count;
    uint64_t listener_id; /* of an accepted one; else 0 */
    unsigned offer;       /* how many had been offered before */
    bool is_used;         /* the program has asked or sent something */
    STAILQ_ENTRY(sock) next_pending;
    int pending_fd; /* the program's end, of one that is pending; else -1 */

    unsigned usual_size;               /* of the program's messages */
    bool has_small_buffer;             /* for them, in usrsctp */
    struct held *to_program, *to_peer; /* what one side could not take yet (transfer.c) */
    struct held *early;                /* heads of messages that went without (transfer.c) */
    unsigned early_size;
    bool early_is_over;
    struct control *waiter; /* who waits for connect, or for the end (control.c) */
    uint64_t linger_until_ns;
    bool changed;
    LIST_ENTRY(sock) others, same_id, same_port, others_changed;
};
LIST_HEAD(sock_list, sock);

/* What the upper layers do when something happens. */
struct sock_handlers {
    void (*records)(struct watch *watch, uint32_t events); /* the program sent, or closed */
    void (*changed)(struct sock *sock);                    /* usrsctp's socket changed */
    void (*settled)(struct sock *sock, int error); /* the association is up, or has failed */
    void (*ended)(struct sock *sock);              /* there is no association any more */
    void (*freed)(struct sock *sock);              /* the last that is heard of it */
    void (*opened)(struct sock *sock);             /* options: the first that is heard of it */
    void (*prepare)(struct sock *sock);            /* usrsctp's socket is a new one */
    void (*inherit)(struct sock *sock, const struct sock *listener);
    void (*fix_mtu)(struct sock *sock);        /* if the program has set one */
    bool (*accepted)(const struct sock *sock); /* by the program, if it came in */
};
void sock_start(const struct sock_handlers *handlers);
/* All that has changed is looked at; to be called before the loop sleeps. */
void sock_handle_changes(void);
/* About once per second: sockets of ended associations that their programs have closed are freed. */
void sock_sweep(void);
bool sock_is_ours(uid_t who); /* is it a program of our user's, or root's? */
unsigned sock_count(void);
struct sock_list *sock_all(void); /* by others; one that is freed stays readable for this round */

/* ---- life. What returns int returns 0, or -1 with errno as Linux has it. */

/* A program has opened its end; fd: the stack's, which becomes the socket's. NULL with errno. */
struct sock *sock_open(int fd, uint64_t id, int family);
struct sock *sock_find(uint64_t id);
/* An association has come in over usrsctp's socket of a listener. *fd: the program's end. */
struct sock *sock_accepted(struct sock *listener, struct socket *so,
                           const struct sockaddr_conn *peer, int *fd);
int sock_listen(struct sock *sock, int backlog);
/* Sends INIT; 0: the association is being set up. */
int sock_connect(struct sock *sock, const struct address *peer);
int sock_shutdown(struct sock *sock, int how);
void sock_drained(struct sock *sock); /* all records of one that is shut down have gone out */
/* Our end has been closed or shut, but for the program the socket can still connect. */
bool sock_is_stale(const struct sock *sock);
void sock_replace(struct sock *old, struct sock *fresh); /* fresh gets all but its own end */
void sock_fail(struct sock *sock, int error);            /* the association is lost */
/* The program is told the end of the file (or error), and the association is left to itself. */
void sock_end(struct sock *sock, int error);
void sock_close(struct sock *sock, bool aborts);  /* the program has closed it; frees it */
void sock_show_failure(struct sock *sock);        /* of a connect: its end is closed */
void sock_sent(struct sock *sock);                /* what was due has come */
bool sock_is_gone(const struct sock *sock);       /* the program has closed it */
void sock_refresh(struct sock *sock);             /* takes over what usrsctp says has happened */
void sock_changed(struct sock *sock);             /* to be looked at before the loop sleeps */
void sock_watch_room(struct sock *sock, bool on); /* records() when the program has read */

/* ---- what it is */
/* usrsctp's own options. 0, or -1 with errno. */
int sock_stack_set(struct sock *sock, int level, int name, const void *value, size_t size);
int sock_stack_get(struct sock *sock, int level, int name, void *value, size_t size);
struct sctp_status sock_status(struct sock *sock);  /* all zeros without an association */
bool sock_has_association(const struct sock *sock); /* one is there, or is being set up */
int sock_association_state(struct sock *sock);      /* usrsctp's SCTP_ESTABLISHED ..., or -1 */
bool sock_peer_ended(struct sock *sock);            /* its SHUTDOWN has come, before ours */
struct address sock_peer(const struct sock *sock);
struct address sock_name(const struct sock *sock);
uint32_t sock_marks(struct sock *sock);         /* MARK_* of protocol.h */
bool sock_wants_heads(const struct sock *sock); /* of its messages, for an option that is on */
bool sock_limits_messages(struct sock *sock);   /* SCTP_DISABLE_FRAGMENTS */
/* An address that a program has passed, checked as Linux does for that socket. */
int sock_read_address(const struct sock *sock, const void *bytes, size_t size,
                      struct address *address);
/* In the form that this socket's program expects. Returns its size. */
socklen_t sock_write_address(const struct sock *sock, const struct address *address,
                             struct sockaddr_storage *to);
/* usrsctp's name for a peer, or for ourselves with no link. */
union stack_name {
    struct sockaddr any;
    struct sockaddr_conn conn;
    struct sockaddr_storage room; /* usrsctp copies that much */
};
union stack_name sock_stack_name(uint16_t port, struct link *link);

#endif
