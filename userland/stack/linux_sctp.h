/*
 * The Linux numbers and structs of the SCTP socket API (linux/sctp.h), under a prefix of their own:
 * usrsctp.h uses the same names with other values, so that one source file cannot include both.
 * tests/userland/abi_check.c compares them with the system's.
 */
#ifndef USERLAND_LINUX_SCTP_H
#define USERLAND_LINUX_SCTP_H

#include <stdint.h>
#include <sys/socket.h>

#define LX_MSG_NOTIFICATION 0x8000

enum lx_option {
    LX_RTOINFO = 0,
    LX_ASSOCINFO = 1,
    LX_INITMSG = 2,
    LX_NODELAY = 3,
    LX_AUTOCLOSE = 4,
    LX_SET_PEER_PRIMARY_ADDR = 5,
    LX_PRIMARY_ADDR = 6,
    LX_ADAPTATION_LAYER = 7,
    LX_DISABLE_FRAGMENTS = 8,
    LX_PEER_ADDR_PARAMS = 9,
    LX_DEFAULT_SEND_PARAM = 10,
    LX_EVENTS = 11,
    LX_I_WANT_MAPPED_V4_ADDR = 12,
    LX_MAXSEG = 13,
    LX_STATUS = 14,
    LX_GET_PEER_ADDR_INFO = 15,
    LX_DELAYED_SACK = 16,
    LX_CONTEXT = 17,
    LX_FRAGMENT_INTERLEAVE = 18,
    LX_PARTIAL_DELIVERY_POINT = 19,
    LX_MAX_BURST = 20,
    LX_AUTH_CHUNK = 21,
    LX_HMAC_IDENT = 22,
    LX_AUTH_KEY = 23,
    LX_AUTH_ACTIVE_KEY = 24,
    LX_AUTH_DELETE_KEY = 25,
    LX_PEER_AUTH_CHUNKS = 26,
    LX_LOCAL_AUTH_CHUNKS = 27,
    LX_GET_ASSOC_NUMBER = 28,
    LX_GET_ASSOC_ID_LIST = 29,
    LX_AUTO_ASCONF = 30,
    LX_PEER_ADDR_THLDS = 31,
    LX_RECVRCVINFO = 32,
    LX_RECVNXTINFO = 33,
    LX_DEFAULT_SNDINFO = 34,
    LX_AUTH_DEACTIVATE_KEY = 35,
    LX_REUSE_PORT = 36,
    LX_PEER_ADDR_THLDS_V2 = 37,
    LX_BINDX_ADD = 100,
    LX_BINDX_REM = 101,
    LX_PEELOFF = 102,
    LX_CONNECTX_OLD = 107,
    LX_GET_PEER_ADDRS = 108,
    LX_GET_LOCAL_ADDRS = 109,
    LX_CONNECTX = 110,
    LX_GET_ASSOC_STATS = 112,
    LX_PR_SUPPORTED = 113,
    LX_DEFAULT_PRINFO = 114,
    LX_PR_ASSOC_STATUS = 115,
    LX_PR_STREAM_STATUS = 116,
    LX_RECONFIG_SUPPORTED = 117,
    LX_ENABLE_STREAM_RESET = 118,
    LX_RESET_STREAMS = 119,
    LX_RESET_ASSOC = 120,
    LX_ADD_STREAMS = 121,
    LX_PEELOFF_FLAGS = 122,
    LX_STREAM_SCHEDULER = 123,
    LX_STREAM_SCHEDULER_VALUE = 124,
    LX_INTERLEAVING_SUPPORTED = 125,
    LX_EVENT = 127,
    LX_ASCONF_SUPPORTED = 128,
    LX_AUTH_SUPPORTED = 129,
    LX_ECN_SUPPORTED = 130,
    LX_EXPOSE_POTENTIALLY_FAILED_STATE = 131,
    LX_REMOTE_UDP_ENCAPS_PORT = 132,
    LX_PLPMTUD_PROBE_INTERVAL = 133,
};

enum lx_send_flag {
    LX_UNORDERED = 0x0001,
    LX_ADDR_OVER = 0x0002,
    LX_ABORT = 0x0004,
    LX_SACK_IMMEDIATELY = 0x0008,
    LX_PR_MASK = 0x0030,
    LX_EOF = 0x0200,
};

enum lx_notification {
    LX_SN_DATA_IO = 0x8000,
    LX_SN_ASSOC_CHANGE = 0x8001,
    LX_SN_PEER_ADDR_CHANGE,
    LX_SN_SEND_FAILED,
    LX_SN_REMOTE_ERROR,
    LX_SN_SHUTDOWN,
    LX_SN_PARTIAL_DELIVERY,
    LX_SN_ADAPTATION,
    LX_SN_AUTHENTICATION,
    LX_SN_SENDER_DRY,
    LX_SN_STREAM_RESET,
    LX_SN_ASSOC_RESET,
    LX_SN_STREAM_CHANGE,
    LX_SN_SEND_FAILED_EVENT,
};

/* Association states of SCTP_STATUS, path states of SCTP_GET_PEER_ADDR_INFO. */
enum lx_state {
    LX_EMPTY,
    LX_CLOSED,
    LX_COOKIE_WAIT,
    LX_COOKIE_ECHOED,
    LX_ESTABLISHED,
    LX_SHUTDOWN_PENDING,
    LX_SHUTDOWN_SENT,
    LX_SHUTDOWN_RECEIVED,
    LX_SHUTDOWN_ACK_SENT,
};
enum lx_path { LX_INACTIVE, LX_PF, LX_ACTIVE, LX_UNCONFIRMED };

struct lx_initmsg {
    uint16_t num_ostreams, max_instreams, max_attempts, max_init_timeo;
};

struct lx_sndrcvinfo {
    uint16_t stream, ssn, flags;
    uint32_t ppid, context, timetolive, tsn, cumtsn;
    int32_t assoc_id;
};

struct lx_sndinfo {
    uint16_t sid, flags;
    uint32_t ppid, context;
    int32_t assoc_id;
};

struct lx_default_prinfo {
    int32_t assoc_id;
    uint32_t value;
    uint16_t policy;
};

struct lx_rtoinfo {
    int32_t assoc_id;
    uint32_t initial, max, min;
};

struct lx_assocparams {
    int32_t assoc_id;
    uint16_t asocmaxrxt, number_peer_destinations;
    uint32_t peer_rwnd, local_rwnd, cookie_life;
};

struct lx_prim {
    int32_t assoc_id;
    struct sockaddr_storage addr;
} __attribute__((packed, aligned(4)));

struct lx_paddrparams {
    int32_t assoc_id;
    struct sockaddr_storage address;
    uint32_t hbinterval;
    uint16_t pathmaxrxt;
    uint32_t pathmtu, sackdelay, flags, ipv6_flowlabel;
    uint8_t dscp;
} __attribute__((packed, aligned(4)));

enum lx_spp_flag {
    LX_SPP_HB_ENABLE = 0x001,
    LX_SPP_HB_DISABLE = 0x002,
    LX_SPP_HB_DEMAND = 0x004,
    LX_SPP_PMTUD_ENABLE = 0x008,
    LX_SPP_PMTUD_DISABLE = 0x010,
    LX_SPP_SACKDELAY_ENABLE = 0x020,
    LX_SPP_SACKDELAY_DISABLE = 0x040,
    LX_SPP_HB_TIME_IS_ZERO = 0x080,
    LX_SPP_IPV6_FLOWLABEL = 0x100,
    LX_SPP_DSCP = 0x200,
};

struct lx_sack_info {
    int32_t assoc_id;
    uint32_t delay, freq;
};

struct lx_assoc_value {
    int32_t assoc_id;
    uint32_t value;
};

struct lx_paddrinfo {
    int32_t assoc_id;
    struct sockaddr_storage address;
    int32_t state;
    uint32_t cwnd, srtt, rto, mtu;
} __attribute__((packed, aligned(4)));

struct lx_status {
    int32_t assoc_id, state;
    uint32_t rwnd;
    uint16_t unackdata, penddata, instrms, outstrms;
    uint32_t fragmentation_point;
    struct lx_paddrinfo primary;
};

struct lx_getaddrs {
    int32_t assoc_id;
    uint32_t addr_num;
    uint8_t addrs[];
};

/* SCTP_EVENTS: one byte per kind of event, in this order. */
struct lx_event_subscribe {
    uint8_t data_io, association, address, send_failure, peer_error, shutdown, partial_delivery,
        adaptation_layer, authentication, sender_dry, stream_reset, assoc_reset, stream_change,
        send_failure_event;
};

struct lx_event {
    int32_t assoc_id;
    uint16_t type;
    uint8_t on;
};

struct lx_udpencaps {
    int32_t assoc_id;
    struct sockaddr_storage address;
    uint16_t port;
};

struct lx_paddrthlds { /* without cpthld: the older form */
    int32_t assoc_id;
    struct sockaddr_storage address;
    uint16_t pathmaxrxt, pathpfthld, pathcpthld;
};

struct lx_probeinterval {
    int32_t assoc_id;
    struct sockaddr_storage address;
    uint32_t interval;
};

enum lx_pr_policy { LX_PR_TTL = 0x10, LX_PR_RTX = 0x20, LX_PR_PRIO = 0x30, LX_PR_ALL = 0x80 };

struct lx_prstatus {
    int32_t assoc_id;
    uint16_t sid, policy;
    uint64_t abandoned_unsent, abandoned_sent;
};

enum lx_scheduler { LX_SS_FCFS, LX_SS_PRIO, LX_SS_RR };

struct lx_stream_value {
    int32_t assoc_id;
    uint16_t stream_id, stream_value;
};

struct lx_reset_streams {
    int32_t assoc_id;
    uint16_t flags, number_streams, stream_list[];
};

struct lx_assoc_stats {
    int32_t assoc_id;
    struct sockaddr_storage obs_rto_ipaddr;
    uint64_t maxrto, isacks, osacks, opackets, ipackets, rtxchunks, outofseqtsns, idupchunks,
        gapcnt, ouodchunks, iuodchunks, oodchunks, iodchunks, octrlchunks, ictrlchunks;
};

enum lx_assoc_state { LX_CANT_STR_ASSOC = 4 };

struct lx_assoc_change {
    uint16_t type, flags;
    uint32_t length;
    uint16_t state, error, outbound_streams, inbound_streams;
    int32_t assoc_id;
};

struct lx_paddr_change {
    uint16_t type, flags;
    uint32_t length;
    struct sockaddr_storage aaddr;
    int state, error;
    int32_t assoc_id;
} __attribute__((packed, aligned(4)));

struct lx_remote_error {
    uint16_t type, flags;
    uint32_t length;
    uint16_t error;
    int32_t assoc_id;
};

struct lx_send_failed {
    uint16_t type, flags;
    uint32_t length, error;
    struct lx_sndrcvinfo info;
    int32_t assoc_id;
};

struct lx_send_failed_event {
    uint16_t type, flags;
    uint32_t length, error;
    struct lx_sndinfo info;
    int32_t assoc_id;
};

struct lx_shutdown_event {
    uint16_t type, flags;
    uint32_t length;
    int32_t assoc_id;
};

struct lx_adaptation_event {
    uint16_t type, flags;
    uint32_t length, adaptation_ind;
    int32_t assoc_id;
};

struct lx_pdapi_event {
    uint16_t type, flags;
    uint32_t length, indication;
    int32_t assoc_id;
    uint32_t stream, seq;
};

struct lx_authkey_event {
    uint16_t type, flags;
    uint32_t length;
    uint16_t keynumber, altkeynumber;
    uint32_t indication;
    int32_t assoc_id;
};
enum lx_auth_indication { LX_AUTH_NEW_KEY, LX_AUTH_FREE_KEY, LX_AUTH_NO_AUTH };

#endif
