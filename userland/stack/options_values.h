/*
 * options_values.h - what a socket's options hold. Only the options_ files include it.
 *
 * As in Linux (struct sctp_sock, sctp_association, sctp_transport) many are there three times: the
 * association begins with the socket's values, its path with the association's, and whoever sets
 * one of an association leaves the socket's alone. Programs read back what is here;
 * options_apply.c tells usrsctp.
 */
#ifndef STACK_OPTIONS_VALUES_H
#define STACK_OPTIONS_VALUES_H

#include "linux_sctp.h"
#include "options.h"
#include <stddef.h>

struct path_values {
    uint32_t interval, mtu, sack_delay, sack_frequency, flags, flow_label, probe_interval;
    uint16_t retransmissions, failed_after, switched_after, udp_port;
    uint8_t dscp;
};

struct shared_values { /* by the socket and its association */
    uint32_t rto_initial, rto_max, rto_min, cookie_life;
    uint32_t context, max_burst, max_segment, stream_reset, scheduler, expose_failed, ecn;
    struct lx_sndrcvinfo send;
    uint16_t retransmissions, events;
    struct path_values path;
};

struct kept; /* options_system.c */

struct option_values {
    struct shared_values socket, association;
    struct path_values path;
    bool has_association; /* association and path have been filled in */
    uint32_t nodelay, no_fragments, interleave, delivery_point, adaptation, auto_asconf;
    uint32_t partial_reliability, reconfiguration, asconf, auth;
    struct lx_initmsg init;
    uint64_t touched;  /* rows of the table in options_sctp.c that were set */
    unsigned prepared; /* usrsctp sockets so far; 0: it is an accepted one */
    struct kept *kept;
};

union option_value {
    unsigned char bytes[256];
    uint32_t number;
    struct lx_assoc_value value;
    struct lx_rtoinfo rto;
    struct lx_assocparams association;
    struct lx_prim primary;
    struct lx_paddrparams path;
    struct lx_sndrcvinfo sndrcv;
    struct lx_sndinfo snd;
    struct lx_status status;
    struct lx_paddrinfo info;
    struct lx_sack_info sack;
    struct lx_event event;
    struct lx_paddrthlds thresholds;
    struct lx_default_prinfo prinfo;
    struct lx_prstatus abandoned;
    struct lx_stream_value stream;
    struct lx_probeinterval probe;
    struct lx_reset_streams reset;
    struct sctp_authkey key;
};

/* ---- options.c */
int options_fail(int error);                /* sets errno; -1 */
bool options_associated(struct sock *sock); /* for Linux: sctp_id2assoc finds one */
/* The association's if there is one, else the socket's. */
struct shared_values *options_shared(struct sock *sock);
struct path_values *options_path(struct sock *sock);  /* likewise */
struct sctp_status options_status(struct sock *sock); /* all zeros without an association */

/* ---- options_sctp.c: level IPPROTO_SCTP */
int options_sctp_set(struct sock *sock, int name, const void *value, size_t size);
int options_sctp_get(struct sock *sock, int name, void *value, socklen_t *size);
void options_sctp_apply_all(struct sock *sock, struct socket *so); /* what was set so far */

/* ---- options_addresses.c: of that level, lists of addresses */
int options_bindx(struct sock *sock, int name, const void *value, size_t size);
int options_connectx(struct sock *sock, const void *value, size_t size);
int options_get_addresses(struct sock *sock, int name, void *value, socklen_t *size);

/* ---- options_apply.c: usrsctp is told of an option, or a number of that option */
void options_apply(struct sock *sock, struct socket *so, int name);
void options_apply_number(struct sock *sock, struct socket *so, int stack_name, uint32_t number,
                          bool bare);
void options_send_heartbeat(struct sock *sock);

/* ---- options_system.c: the other levels */
int options_system_set(struct sock *sock, int level, int name, const void *value, socklen_t size);
int options_system_get(struct sock *sock, int level, int name, void *value, socklen_t *size);
void options_system_inherit(struct sock *sock, const struct sock *listener);
void options_system_free(struct option_values *values);
uint8_t options_system_tos(struct sock *sock);
void options_system_wish(void); /* from now on packets are asked for wishes */

#endif
