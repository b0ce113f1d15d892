/*
 * options_values.h - what a socket's options hold.
 *
 * As in Linux (struct sctp_sock, sctp_association, sctp_transport) many are there three times: the
 * association begins with the socket's values, its path with the association's, and whoever sets
 * one of an association leaves the socket's alone. Programs read back what is here.
 */
#ifndef STACK_OPTIONS_VALUES_H
#define STACK_OPTIONS_VALUES_H

#include "wire.h"
#include <lx_sctp.h>
#include <stdbool.h>
#include <sys/time.h>

#define SOCKET_BUFFER 212992 /* net.core.{r,w}mem_default of a stock kernel */

struct path_values {
    uint32_t interval, mtu, sack_delay, sack_frequency, flags, flow_label, probe_interval;
    uint16_t retransmissions, failed_after, switched_after, udp_port;
    uint8_t dscp;
};

struct shared_values { /* by the socket and its association */
    struct lx_rtoinfo rto;
    uint32_t cookie_life, context, max_burst, max_segment, stream_reset, scheduler, expose_failed,
        ecn;
    struct lx_sndrcvinfo send;
    uint16_t retransmissions, events;
    struct path_values path;
};

struct socket_options {
    struct shared_values socket, association;
    struct path_values path;
    bool has_association; /* association and path have been filled in */
    bool accepted;        /* usrsctp has made its socket, from the listener's */

    /* SCTP's. */
    uint32_t nodelay, no_fragments, interleave, delivery_point, adaptation, auto_asconf, mapped_v4;
    uint32_t partial_reliability, reconfiguration, asconf, auth;
    uint32_t want_rcvinfo, want_nxtinfo, sctp_reuse_port;
    struct lx_initmsg init;
    uint16_t subscribed; /* SCTP_EVENTS, a bit per member of lx_event_subscribe */
    uint64_t touched;    /* rows of the table in options_sctp.c that were set */

    /* Those of other levels that the stack itself carries out, and all that have been set. */
    int reuse_address, reuse_port, v6only, tos, traffic_class;
    int send_buffer, receive_buffer; /* as SO_SNDBUF and SO_RCVBUF report them */
    struct linger linger;
    struct timeval receive_timeout, send_timeout;
    struct wire_wishes wishes;
    uint32_t stamps; /* SO_TIMESTAMP or one of its kind; 0: messages tell no time */
    struct kept *kept;
};

#endif
