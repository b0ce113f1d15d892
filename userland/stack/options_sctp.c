/*
 * Options of level IPPROTO_SCTP, one row each: which sizes there may be, where the value is kept,
 * and whether usrsctp has the same. All as net/sctp/socket.c of Linux 6.1 has it, for a one-to-one
 * socket: such a socket has one association at most, so the association's id in most of these
 * structs says nothing, and stays as the program has written it. An address that is all zeros
 * stands for every path; there is one, to the peer.
 */
#include "options_values.h"
#include <errno.h>
#include <string.h>

enum size_rule { NEVER, EXACTLY, AT_LEAST, OR_INT /* exactly; or a bare int */ };
enum place {
    SOCKET,  /* struct option_values */
    FLAGS,   /* struct socket_options: for the upper layers */
    SHARED,  /* struct shared_values */
    PATH,    /* struct path_values */
    USRSCTP, /* which checks the rest */
};
enum limit { ANY_NUMBER, FLAG, INVERTED_FLAG = 0xffff }; /* others: the highest number */

/* What is in Linux' struct, and where it is kept. */
struct field {
    uint8_t at, size;
    uint16_t in;
    enum { ALWAYS, UNLESS_ZERO, ONLY_GIVEN } when;
};

struct row {
    uint8_t name, size, set_size, get_size; /* enum size_rule */
    uint8_t place, address_at;              /* 0: there is none in it */
    uint16_t in, limit;                     /* of an option that is one number */
    int stack_name;                         /* usrsctp takes the same */
    struct field fields[8];                 /* of others, up to one without a size */
};

/* ---- the table */

/* clang-format off */
#define NUMBER(name, size, set, get, place, type, member, limit, stack_name) \
    {name, size, set, get, place, 0, offsetof(struct type, member), limit, stack_name, {{0}}}
#define STRUCT(name, type, set, place, ...) \
    {name, sizeof(struct type), set, AT_LEAST, place, 0, 0, 0, 0, {__VA_ARGS__}}
#define ADDRESS(name, type, set, ...) \
    {name, sizeof(struct type), set, AT_LEAST, PATH, offsetof(struct type, address), 0, 0, 0, {__VA_ARGS__}}
#define PASSED(name, size, set, get, stack_name) \
    {name, size, set, get, USRSCTP, 0, 0, 0, stack_name, {{0}}}
#define FIELD(type, member, place, kept, when) \
    {offsetof(struct type, member), sizeof(((struct type *)0)->member), offsetof(struct place, kept), when}

static const struct row rows[] = {
    STRUCT(LX_RTOINFO, lx_rtoinfo, EXACTLY, SHARED,
           FIELD(lx_rtoinfo, initial, shared_values, rto_initial, UNLESS_ZERO),
           FIELD(lx_rtoinfo, max, shared_values, rto_max, UNLESS_ZERO),
           FIELD(lx_rtoinfo, min, shared_values, rto_min, UNLESS_ZERO)),
    STRUCT(LX_ASSOCINFO, lx_assocparams, EXACTLY, SHARED,
           FIELD(lx_assocparams, asocmaxrxt, shared_values, retransmissions, UNLESS_ZERO),
           FIELD(lx_assocparams, cookie_life, shared_values, cookie_life, UNLESS_ZERO)),
    STRUCT(LX_INITMSG, lx_initmsg, EXACTLY, SOCKET,
           FIELD(lx_initmsg, num_ostreams, option_values, init.num_ostreams, UNLESS_ZERO),
           FIELD(lx_initmsg, max_instreams, option_values, init.max_instreams, UNLESS_ZERO),
           FIELD(lx_initmsg, max_attempts, option_values, init.max_attempts, UNLESS_ZERO),
           FIELD(lx_initmsg, max_init_timeo, option_values, init.max_init_timeo, UNLESS_ZERO)),
    NUMBER(LX_NODELAY, 4, AT_LEAST, AT_LEAST, SOCKET, option_values, nodelay, FLAG, SCTP_NODELAY),
    STRUCT(LX_PRIMARY_ADDR, lx_prim, EXACTLY, SOCKET, {0}),
    NUMBER(LX_ADAPTATION_LAYER, 4, EXACTLY, AT_LEAST, SOCKET, option_values, adaptation, ANY_NUMBER, SCTP_ADAPTATION_LAYER),
    NUMBER(LX_DISABLE_FRAGMENTS, 4, AT_LEAST, AT_LEAST, SOCKET, option_values, no_fragments, FLAG, SCTP_DISABLE_FRAGMENTS),
    ADDRESS(LX_PEER_ADDR_PARAMS, lx_paddrparams, EXACTLY,
            FIELD(lx_paddrparams, hbinterval, path_values, interval, ONLY_GIVEN),
            FIELD(lx_paddrparams, pathmaxrxt, path_values, retransmissions, ONLY_GIVEN),
            FIELD(lx_paddrparams, pathmtu, path_values, mtu, ONLY_GIVEN),
            FIELD(lx_paddrparams, sackdelay, path_values, sack_delay, ONLY_GIVEN),
            FIELD(lx_paddrparams, flags, path_values, flags, ONLY_GIVEN)),
    STRUCT(LX_DEFAULT_SEND_PARAM, lx_sndrcvinfo, EXACTLY, SHARED,
           FIELD(lx_sndrcvinfo, stream, shared_values, send.stream, ALWAYS),
           FIELD(lx_sndrcvinfo, flags, shared_values, send.flags, ALWAYS),
           FIELD(lx_sndrcvinfo, ppid, shared_values, send.ppid, ALWAYS),
           FIELD(lx_sndrcvinfo, context, shared_values, send.context, ALWAYS),
           FIELD(lx_sndrcvinfo, timetolive, shared_values, send.timetolive, ALWAYS)),
    NUMBER(LX_I_WANT_MAPPED_V4_ADDR, 4, AT_LEAST, AT_LEAST, FLAGS, socket_options, v4_unmapped, INVERTED_FLAG, 0),
    NUMBER(LX_MAXSEG, 8, OR_INT, OR_INT, SHARED, shared_values, max_segment, ANY_NUMBER, SCTP_MAXSEG),
    STRUCT(LX_STATUS, lx_status, NEVER, SOCKET, {0}),
    STRUCT(LX_GET_PEER_ADDR_INFO, lx_paddrinfo, NEVER, SOCKET, {0}),
    STRUCT(LX_DELAYED_SACK, lx_sack_info, EXACTLY, SOCKET, {0}),
    NUMBER(LX_CONTEXT, 8, EXACTLY, AT_LEAST, SHARED, shared_values, context, ANY_NUMBER, SCTP_CONTEXT),
    NUMBER(LX_FRAGMENT_INTERLEAVE, 4, EXACTLY, AT_LEAST, SOCKET, option_values, interleave, FLAG, SCTP_FRAGMENT_INTERLEAVE),
    NUMBER(LX_PARTIAL_DELIVERY_POINT, 4, EXACTLY, AT_LEAST, SOCKET, option_values, delivery_point, ANY_NUMBER, SCTP_PARTIAL_DELIVERY_POINT),
    NUMBER(LX_MAX_BURST, 8, OR_INT, OR_INT, SHARED, shared_values, max_burst, ANY_NUMBER, SCTP_MAX_BURST),
    PASSED(LX_AUTH_CHUNK, 1, EXACTLY, NEVER, SCTP_AUTH_CHUNK),
    PASSED(LX_HMAC_IDENT, 4, AT_LEAST, AT_LEAST, SCTP_HMAC_IDENT),
    PASSED(LX_AUTH_KEY, 9, AT_LEAST, NEVER, SCTP_AUTH_KEY),
    PASSED(LX_AUTH_ACTIVE_KEY, 8, EXACTLY, AT_LEAST, SCTP_AUTH_ACTIVE_KEY),
    PASSED(LX_AUTH_DELETE_KEY, 8, EXACTLY, NEVER, SCTP_AUTH_DELETE_KEY),
    PASSED(LX_PEER_AUTH_CHUNKS, 8, NEVER, AT_LEAST, SCTP_PEER_AUTH_CHUNKS),
    PASSED(LX_LOCAL_AUTH_CHUNKS, 8, NEVER, AT_LEAST, SCTP_LOCAL_AUTH_CHUNKS),
    NUMBER(LX_AUTO_ASCONF, 4, AT_LEAST, AT_LEAST, SOCKET, option_values, auto_asconf, FLAG, 0),
    ADDRESS(LX_PEER_ADDR_THLDS, lx_paddrthlds, AT_LEAST,
            FIELD(lx_paddrthlds, pathmaxrxt, path_values, retransmissions, UNLESS_ZERO),
            FIELD(lx_paddrthlds, pathpfthld, path_values, failed_after, ALWAYS),
            FIELD(lx_paddrthlds, pathcpthld, path_values, switched_after, ONLY_GIVEN)),
    NUMBER(LX_RECVRCVINFO, 4, AT_LEAST, AT_LEAST, FLAGS, socket_options, want_rcvinfo, FLAG, 0),
    NUMBER(LX_RECVNXTINFO, 4, AT_LEAST, AT_LEAST, FLAGS, socket_options, want_nxtinfo, FLAG, 0),
    STRUCT(LX_DEFAULT_SNDINFO, lx_sndinfo, EXACTLY, SHARED,
           FIELD(lx_sndinfo, sid, shared_values, send.stream, ALWAYS),
           FIELD(lx_sndinfo, flags, shared_values, send.flags, ALWAYS),
           FIELD(lx_sndinfo, ppid, shared_values, send.ppid, ALWAYS),
           FIELD(lx_sndinfo, context, shared_values, send.context, ALWAYS)),
    PASSED(LX_AUTH_DEACTIVATE_KEY, 8, EXACTLY, NEVER, SCTP_AUTH_DEACTIVATE_KEY),
    NUMBER(LX_REUSE_PORT, 4, AT_LEAST, AT_LEAST, FLAGS, socket_options, sctp_reuse_port, FLAG, 0),
    ADDRESS(LX_PEER_ADDR_THLDS_V2, lx_paddrthlds, AT_LEAST,
            FIELD(lx_paddrthlds, pathmaxrxt, path_values, retransmissions, UNLESS_ZERO),
            FIELD(lx_paddrthlds, pathpfthld, path_values, failed_after, ALWAYS),
            FIELD(lx_paddrthlds, pathcpthld, path_values, switched_after, ALWAYS)),
    NUMBER(LX_PR_SUPPORTED, 8, EXACTLY, AT_LEAST, SOCKET, option_values, partial_reliability, FLAG, SCTP_PR_SUPPORTED),
    STRUCT(LX_DEFAULT_PRINFO, lx_default_prinfo, EXACTLY, SOCKET, {0}),
    STRUCT(LX_PR_ASSOC_STATUS, lx_prstatus, NEVER, SOCKET, {0}),
    STRUCT(LX_PR_STREAM_STATUS, lx_prstatus, NEVER, SOCKET, {0}),
    NUMBER(LX_RECONFIG_SUPPORTED, 8, EXACTLY, AT_LEAST, SOCKET, option_values, reconfiguration, FLAG, SCTP_RECONFIG_SUPPORTED),
    NUMBER(LX_ENABLE_STREAM_RESET, 8, EXACTLY, AT_LEAST, SHARED, shared_values, stream_reset, 7, SCTP_ENABLE_STREAM_RESET),
    PASSED(LX_RESET_STREAMS, 8, AT_LEAST, NEVER, SCTP_RESET_STREAMS),
    PASSED(LX_RESET_ASSOC, 4, EXACTLY, NEVER, SCTP_RESET_ASSOC),
    PASSED(LX_ADD_STREAMS, 8, EXACTLY, NEVER, SCTP_ADD_STREAMS),
    NUMBER(LX_STREAM_SCHEDULER, 8, AT_LEAST, AT_LEAST, SHARED, shared_values, scheduler, LX_SS_RR, SCTP_PLUGGABLE_SS),
    STRUCT(LX_STREAM_SCHEDULER_VALUE, lx_stream_value, AT_LEAST, SOCKET, {0}),
    STRUCT(LX_EVENT, lx_event, AT_LEAST, SOCKET, {0}),
    NUMBER(LX_ASCONF_SUPPORTED, 8, EXACTLY, AT_LEAST, SOCKET, option_values, asconf, FLAG, SCTP_ASCONF_SUPPORTED),
    NUMBER(LX_AUTH_SUPPORTED, 8, EXACTLY, AT_LEAST, SOCKET, option_values, auth, FLAG, SCTP_AUTH_SUPPORTED),
    STRUCT(LX_ECN_SUPPORTED, lx_assoc_value, EXACTLY, SHARED,
           FIELD(lx_assoc_value, value, shared_values, ecn, ONLY_GIVEN)),
    NUMBER(LX_EXPOSE_POTENTIALLY_FAILED_STATE, 8, EXACTLY, AT_LEAST, SHARED, shared_values, expose_failed, 2, 0),
    ADDRESS(LX_REMOTE_UDP_ENCAPS_PORT, lx_udpencaps, EXACTLY,
            FIELD(lx_udpencaps, port, path_values, udp_port, ALWAYS)),
    ADDRESS(LX_PLPMTUD_PROBE_INTERVAL, lx_probeinterval, EXACTLY,
            FIELD(lx_probeinterval, interval, path_values, probe_interval, ALWAYS)),
};
/* clang-format on */
#define ROWS (sizeof(rows) / sizeof(rows[0]))
_Static_assert(ROWS <= 64, "touched has a bit for each");

static const struct row *find_row(int name)
{
    for (size_t i = 0; i < ROWS; i++)
        if (rows[i].name == name)
            return &rows[i];
    return NULL;
}

/* ---- addresses */

static bool names_all(const struct sock *sock, const struct sockaddr_storage *address)
{
    static const uint8_t zeros[16];
    const uint8_t *bytes = (const uint8_t *)address;
    int family = address->ss_family == AF_UNSPEC ? sock->family : address->ss_family;

    if (family == AF_INET)
        return memcmp(bytes + offsetof(struct sockaddr_in, sin_addr), zeros, 4) == 0;
    return family == AF_INET6 &&
           memcmp(bytes + offsetof(struct sockaddr_in6, sin6_addr), zeros, 16) == 0;
}

static bool names_peer(struct sock *sock, const struct sockaddr_storage *address)
{
    struct address parsed;
    size_t size =
        address->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);

    return sock_has_association(sock) && sock_association_state(sock) >= 0 &&
           sock_read_address(sock, address, size, &parsed) == 0 && parsed.port == sock->peer_port &&
           address_same_ip(&parsed, &sock->link->remote);
}

/* As much of the room for an address as it needs. */
static void show_peer(const struct sock *sock, void *to)
{
    struct sockaddr_storage address;
    struct address peer = sock_peer(sock);

    memcpy(to, &address, sock_write_address(sock, &peer, &address));
}

/* Where an option is kept: a second place is the path of the association. NULL: no such path. */
static char *find_place(struct sock *sock, const struct row *row, const union option_value *value,
                        char **second)
{
    struct sockaddr_storage address;

    *second = NULL;
    switch (row->place) {
    case FLAGS: return (char *)&sock->options;
    case SHARED: return (char *)options_shared(sock);
    case PATH: break;
    default: return (char *)sock->values;
    }
    memcpy(&address, value->bytes + row->address_at, sizeof(address));
    if (!names_all(sock, &address))
        return names_peer(sock, &address) ? (char *)options_path(sock) : NULL;
    if (options_associated(sock))
        *second = (char *)options_path(sock);
    return (char *)&options_shared(sock)->path;
}

/* ---- what is checked */

#define HEARTBEAT (LX_SPP_HB_ENABLE | LX_SPP_HB_DISABLE)
#define DISCOVERY (LX_SPP_PMTUD_ENABLE | LX_SPP_PMTUD_DISABLE)
#define SACK_DELAY (LX_SPP_SACKDELAY_ENABLE | LX_SPP_SACKDELAY_DISABLE)
#define SEND_FLAGS (LX_UNORDERED | LX_ADDR_OVER | LX_ABORT | LX_EOF)

/* Of flags not both at once, of numbers not more than there may be. */
static bool is_path(struct sock *sock, const struct lx_paddrparams *path)
{
    struct sockaddr_storage address = path->address;
    uint32_t flags = path->flags;
    bool demands_of_socket = (flags & LX_SPP_HB_DEMAND) && names_all(sock, &address);

    return (flags & HEARTBEAT) != HEARTBEAT && (flags & DISCOVERY) != DISCOVERY &&
           (flags & SACK_DELAY) != SACK_DELAY && path->sackdelay <= 500 &&
           (path->pathmtu == 0 || path->pathmtu >= 512) &&
           (!demands_of_socket || options_associated(sock));
}

static bool is_rto(const struct shared_values *now, const struct lx_rtoinfo *rto)
{
    return (rto->min != 0 ? rto->min : now->rto_min) <= (rto->max != 0 ? rto->max : now->rto_max);
}

static bool is_segment(const struct sock *sock, int size)
{
    const int least = 512 - (sock->family == AF_INET ? 20 : 40) - 12 - 16;
    const int most = 65535 - 3 - 16;

    return size == 0 || (size >= least && size <= most);
}

static bool is_bound_to_all(const struct sock *sock)
{
    return sock->address_count == 1 && address_is_any(&sock->addresses[0].ip);
}

/* Have both ends agreed on it? Without an association: is it on? */
static bool has_agreed(struct sock *sock, int stack_name, uint32_t own)
{
    struct sctp_assoc_value agreed = {.assoc_value = own};

    if (options_associated(sock) &&
        options_stack_get(sock, IPPROTO_SCTP, stack_name, &agreed, sizeof(agreed)) == -1)
        return false;
    return agreed.assoc_value != 0;
}

static bool has_auth(struct sock *sock)
{
    return has_agreed(sock, SCTP_AUTH_SUPPORTED, sock->values->auth);
}

static bool is_event(const struct lx_event *event)
{
    return event->type >= LX_SN_DATA_IO && event->type <= LX_SN_SEND_FAILED_EVENT;
}

static bool is_stream(struct sock *sock, uint16_t stream)
{
    return !options_associated(sock) || stream < options_status(sock).sstat_outstrms;
}

/* False: EINVAL. */
static bool is_valid(struct sock *sock, const struct row *row, const union option_value *value)
{
    struct sockaddr_storage address;

    switch (row->name) {
    case LX_RTOINFO: return is_rto(options_shared(sock), &value->rto);
    case LX_PRIMARY_ADDR: address = value->primary.addr; return names_peer(sock, &address);
    case LX_PEER_ADDR_PARAMS: return is_path(sock, &value->path);
    case LX_DEFAULT_SEND_PARAM: return (value->sndrcv.flags & ~SEND_FLAGS) == 0;
    case LX_MAXSEG: return is_segment(sock, (int)value->value.value);
    case LX_DELAYED_SACK: return value->sack.delay <= 500;
    case LX_PARTIAL_DELIVERY_POINT:
        return value->number <= (uint32_t)sock->options.receive_buffer / 2;
    case LX_AUTO_ASCONF: return value->number == 0 || is_bound_to_all(sock);
    case LX_DEFAULT_SNDINFO: return (value->snd.flags & ~SEND_FLAGS) == 0;
    case LX_PEER_ADDR_THLDS_V2: return value->thresholds.pathpfthld <= value->thresholds.pathcpthld;
    case LX_DEFAULT_PRINFO: return (value->prinfo.policy & ~LX_PR_MASK) == 0;
    case LX_STREAM_SCHEDULER_VALUE: return is_stream(sock, value->stream.stream_id);
    case LX_EVENT: return is_event(&value->event);
    case LX_PLPMTUD_PROBE_INTERVAL:
        return value->probe.interval == 0 || value->probe.interval >= 5000;
    default:
        return (row->limit <= FLAG || row->limit == INVERTED_FLAG ||
                value->value.value <= row->limit);
    }
}

/* ---- what has rules of its own: set */

static void change_flags(struct path_values *path, uint32_t flags, uint32_t group)
{
    if (flags & group)
        path->flags = (path->flags & ~group) | (flags & group);
}

static void change_sack(struct path_values *path, const struct lx_sack_info *from)
{
    if (from->delay != 0)
        path->sack_delay = from->delay;
    if (from->freq > 1)
        path->sack_frequency = from->freq;
    change_flags(path, from->freq == 1 ? LX_SPP_SACKDELAY_DISABLE : LX_SPP_SACKDELAY_ENABLE,
                 SACK_DELAY);
}

static void change_path(struct path_values *path, const struct lx_paddrparams *from, bool v6)
{
    if ((from->flags & LX_SPP_PMTUD_ENABLE) && (path->flags & LX_SPP_PMTUD_DISABLE))
        path->mtu = 0;
    change_flags(path, from->flags, HEARTBEAT);
    change_flags(path, from->flags, DISCOVERY);
    change_flags(path, from->flags, SACK_DELAY);
    if ((from->flags & LX_SPP_HB_ENABLE) && (from->flags & LX_SPP_HB_TIME_IS_ZERO))
        path->interval = 0;
    else if ((from->flags & LX_SPP_HB_ENABLE) && from->hbinterval != 0)
        path->interval = from->hbinterval;
    if ((from->flags & LX_SPP_PMTUD_DISABLE) && from->pathmtu != 0)
        path->mtu = from->pathmtu;
    if ((from->flags & LX_SPP_SACKDELAY_ENABLE) && from->sackdelay != 0)
        path->sack_delay = from->sackdelay;
    if (from->pathmaxrxt != 0)
        path->retransmissions = from->pathmaxrxt;
    if ((from->flags & LX_SPP_IPV6_FLOWLABEL) && v6) {
        path->flags |= LX_SPP_IPV6_FLOWLABEL;
        path->flow_label = from->ipv6_flowlabel & 0xfffff;
    }
    if (from->flags & LX_SPP_DSCP) {
        path->flags |= LX_SPP_DSCP;
        path->dscp = from->dscp & 0xfc;
    }
}

/* place: of the path, or of all that the association or the socket has; then second is the path. */
static void set_path(struct sock *sock, const struct lx_paddrparams *from, char *place,
                     char *second)
{
    bool v6 = sock->family == AF_INET6;
    char *path = second != NULL ? second : place;

    if (second != NULL)
        change_path((struct path_values *)(void *)place, from, true);
    if (options_associated(sock))
        v6 = v6 && !address_is_v4(&sock->link->remote.ip);
    change_path((struct path_values *)(void *)path, from, v6);
    if (from->flags & LX_SPP_HB_DEMAND)
        options_send_heartbeat(sock);
}

/* Which messages have a head is the socket's affair, which events are told the association's. */
static void change_events(struct sock *sock)
{
    sock->options.subscribed =
        (uint16_t)((sock->values->socket.events & 1) | (options_shared(sock)->events & ~1));
}

static void set_events(struct sock *sock, const uint8_t *value, size_t size)
{
    uint16_t events = sock->values->socket.events;

    for (unsigned i = 0; i < size; i++)
        events = (uint16_t)(value[i] ? events | 1u << i : events & ~(1u << i));
    sock->values->socket.events = options_shared(sock)->events = events;
    change_events(sock);
    if (sock->so != NULL)
        options_apply(sock, sock->so, LX_EVENTS);
}

static void set_event(struct sock *sock, const struct lx_event *event)
{
    uint16_t *events = &options_shared(sock)->events;
    unsigned bit = 1u << (event->type - LX_SN_DATA_IO);

    *events = (uint16_t)(event->on ? *events | bit : *events & ~bit);
    change_events(sock);
}

static void set_policy(struct lx_sndrcvinfo *to, const struct lx_default_prinfo *from)
{
    to->flags = (uint16_t)((to->flags & ~LX_PR_MASK) | from->policy);
    to->timetolive = from->policy == 0 ? 0 : from->value;
}

static void set_sack(struct sock *sock, const struct lx_sack_info *from)
{
    if (from->delay == 0 && from->freq == 0)
        return;
    change_sack(&options_shared(sock)->path, from);
    if (options_associated(sock))
        change_sack(options_path(sock), from);
}

/* Only the scheduler with priorities knows them. */
static void set_stream_value(struct sock *sock, const struct lx_stream_value *from)
{
    struct sctp_stream_value to = {.stream_id = from->stream_id,
                                   .stream_value = from->stream_value};

    if (options_shared(sock)->scheduler == LX_SS_PRIO)
        options_stack_set(sock, IPPROTO_SCTP, SCTP_SS_VALUE, &to, sizeof(to));
}

static void set_own(struct sock *sock, int name, const union option_value *value)
{
    struct shared_values *shared = options_shared(sock);

    switch (name) {
    case LX_DELAYED_SACK: set_sack(sock, &value->sack); break;
    case LX_DEFAULT_PRINFO: set_policy(&shared->send, &value->prinfo); break;
    case LX_STREAM_SCHEDULER_VALUE: set_stream_value(sock, &value->stream); break;
    case LX_EVENT: set_event(sock, &value->event); break;
    case LX_ECN_SUPPORTED: sock->values->socket.ecn = value->value.value != 0; break;
    default: break;
    }
}

/* ---- what has rules of its own: get. Each returns 0, or -1 with errno. */

static void fill_info(const struct sctp_status *from, struct lx_paddrinfo *to)
{
    const struct sctp_paddrinfo *path = &from->sstat_primary;

    to->assoc_id = (int32_t)from->sstat_assoc_id;
    to->state = path->spinfo_state & SCTP_UNCONFIRMED ? LX_UNCONFIRMED
                : path->spinfo_state == SCTP_ACTIVE   ? LX_ACTIVE
                                                      : LX_INACTIVE;
    to->cwnd = path->spinfo_cwnd;
    to->srtt = path->spinfo_srtt;
    to->rto = path->spinfo_rto;
    to->mtu = path->spinfo_mtu;
}

static int32_t association_state(int32_t state)
{
    switch (state) {
    case SCTP_COOKIE_WAIT: return LX_COOKIE_WAIT;
    case SCTP_COOKIE_ECHOED: return LX_COOKIE_ECHOED;
    case SCTP_ESTABLISHED: return LX_ESTABLISHED;
    case SCTP_SHUTDOWN_PENDING: return LX_SHUTDOWN_PENDING;
    case SCTP_SHUTDOWN_SENT: return LX_SHUTDOWN_SENT;
    case SCTP_SHUTDOWN_RECEIVED: return LX_SHUTDOWN_RECEIVED;
    case SCTP_SHUTDOWN_ACK_SENT: return LX_SHUTDOWN_ACK_SENT;
    default: return LX_CLOSED;
    }
}

static int get_status(struct sock *sock, struct lx_status *to)
{
    struct sctp_status from = options_status(sock);

    if (!options_associated(sock))
        return options_fail(EINVAL);
    *to = (struct lx_status){.assoc_id = (int32_t)from.sstat_assoc_id,
                             .state = association_state(from.sstat_state),
                             .rwnd = from.sstat_rwnd,
                             .unackdata = from.sstat_unackdata,
                             .penddata = from.sstat_penddata,
                             .instrms = from.sstat_instrms,
                             .outstrms = from.sstat_outstrms,
                             .fragmentation_point = options_fragment_size(sock)};
    fill_info(&from, &to->primary);
    show_peer(sock, (char *)&to->primary + offsetof(struct lx_paddrinfo, address));
    return 0;
}

static int get_info(struct sock *sock, struct lx_paddrinfo *to)
{
    struct sockaddr_storage address = to->address;
    struct sctp_status from = options_status(sock);

    if (!names_peer(sock, &address))
        return options_fail(EINVAL);
    fill_info(&from, to);
    show_peer(sock, (char *)to + offsetof(struct lx_paddrinfo, address));
    return 0;
}

static int get_association(struct sock *sock, struct lx_assocparams *to)
{
    struct sctp_assocparams from = {.sasoc_peer_rwnd = 0};

    if (options_associated(sock))
        options_stack_get(sock, IPPROTO_SCTP, SCTP_ASSOCINFO, &from, sizeof(from));
    to->number_peer_destinations = from.sasoc_number_peer_destinations;
    to->peer_rwnd = from.sasoc_peer_rwnd;
    to->local_rwnd = from.sasoc_local_rwnd;
    return 0;
}

static int get_path(struct sock *sock, struct lx_paddrparams *to, const struct path_values *from)
{
    if (to->pathmtu == 0 && options_associated(sock))
        to->pathmtu = options_status(sock).sstat_primary.spinfo_mtu;
    if (from->flags & LX_SPP_IPV6_FLOWLABEL)
        to->ipv6_flowlabel = from->flow_label;
    if (from->flags & LX_SPP_DSCP)
        to->dscp = from->dscp;
    return 0;
}

static int get_sack(const struct path_values *from, struct lx_sack_info *to)
{
    bool delays = from->flags & LX_SPP_SACKDELAY_ENABLE;

    to->delay = delays ? from->sack_delay : 0;
    to->freq = delays ? from->sack_frequency : 1;
    return 0;
}

/* By stream, usrsctp does not count for each policy. */
static int get_abandoned(struct sock *sock, struct lx_prstatus *to, bool of_stream)
{
    const uint16_t all = 0x0f;
    const uint16_t policies[] = {all, SCTP_PR_SCTP_TTL, SCTP_PR_SCTP_RTX, SCTP_PR_SCTP_BUF};
    uint16_t one = to->policy & LX_PR_MASK;
    int name = of_stream ? SCTP_PR_STREAM_STATUS : SCTP_PR_ASSOC_STATUS;
    struct sctp_prstatus from = {.sprstat_sid = to->sid,
                                 .sprstat_policy = of_stream ? all : policies[one / LX_PR_TTL]};

    if (((to->policy & LX_PR_ALL) != 0) == (one != 0) ||
        (to->policy & ~(LX_PR_MASK | LX_PR_ALL)) != 0 || !options_associated(sock))
        return options_fail(EINVAL);
    if (options_stack_get(sock, IPPROTO_SCTP, name, &from, sizeof(from)) == -1)
        return -1;
    to->abandoned_unsent = from.sprstat_abandoned_unsent;
    to->abandoned_sent = from.sprstat_abandoned_sent;
    return 0;
}

static int get_stream_value(struct sock *sock, struct lx_stream_value *to)
{
    struct sctp_stream_value from = {.stream_id = to->stream_id};

    if (!options_associated(sock) || !is_stream(sock, to->stream_id))
        return options_fail(EINVAL);
    if (options_shared(sock)->scheduler == LX_SS_PRIO)
        options_stack_get(sock, IPPROTO_SCTP, SCTP_SS_VALUE, &from, sizeof(from));
    to->stream_value = from.stream_value;
    return 0;
}

/* What is kept is in value already. */
static int get_own(struct sock *sock, const struct row *row, union option_value *value,
                   const char *place)
{
    const struct shared_values *shared = options_shared(sock);

    switch (row->name) {
    case LX_ASSOCINFO: return get_association(sock, &value->association);
    case LX_PRIMARY_ADDR:
        if (!options_associated(sock))
            return options_fail(EINVAL);
        show_peer(sock, &value->primary.addr);
        return 0;
    case LX_PEER_ADDR_PARAMS:
        return get_path(sock, &value->path, (const struct path_values *)(const void *)place);
    case LX_MAXSEG:
        if (options_associated(sock))
            value->value.value = options_fragment_size(sock);
        return 0;
    case LX_STATUS: return get_status(sock, &value->status);
    case LX_GET_PEER_ADDR_INFO: return get_info(sock, &value->info);
    case LX_DELAYED_SACK: return get_sack(&shared->path, &value->sack);
    case LX_AUTO_ASCONF: value->number = value->number && is_bound_to_all(sock); return 0;
    case LX_DEFAULT_PRINFO:
        value->prinfo.policy = shared->send.flags & LX_PR_MASK;
        value->prinfo.value = shared->send.timetolive;
        return 0;
    case LX_PR_ASSOC_STATUS:
    case LX_PR_STREAM_STATUS:
        return get_abandoned(sock, &value->abandoned, row->name == LX_PR_STREAM_STATUS);
    case LX_STREAM_SCHEDULER_VALUE: return get_stream_value(sock, &value->stream);
    case LX_EVENT:
        if (!is_event(&value->event))
            return options_fail(EINVAL);
        value->event.on = shared->events >> (value->event.type - LX_SN_DATA_IO) & 1;
        return 0;
    default: return 0;
    }
}

/* ---- what usrsctp does itself: changes of streams (RFC 6525), and AUTH (RFC 4895), for programs
 * that have turned that on */

static bool is_auth(const struct row *row)
{
    return row->place == USRSCTP && row->name < LX_RESET_STREAMS;
}

/* 0, or the errno. */
static int refuse(struct sock *sock, const struct row *row)
{
    const uint32_t how = row->name == LX_RESET_STREAMS ? SCTP_ENABLE_RESET_STREAM_REQ
                         : row->name == LX_RESET_ASSOC ? SCTP_ENABLE_RESET_ASSOC_REQ
                                                       : SCTP_ENABLE_CHANGE_ASSOC_REQ;

    if (row->name == LX_PEER_AUTH_CHUNKS && !options_associated(sock))
        return EINVAL;
    if (is_auth(row))
        return has_auth(sock) ? 0 : EACCES;
    if (!options_associated(sock))
        return EINVAL;
    return has_agreed(sock, SCTP_RECONFIG_SUPPORTED, 0) &&
                   (options_shared(sock)->stream_reset & how)
               ? 0
               : ENOPROTOOPT;
}

static bool asks_before_size(const struct row *row)
{
    return row->name == LX_AUTH_CHUNK || row->name == LX_HMAC_IDENT;
}

/* ---- set */

/* The end of struct sctp_paddrparams as it was once. */
#define OLD_PATH_SIZE ((offsetof(struct lx_paddrparams, ipv6_flowlabel) + 3) & ~(size_t)3)

/* Older forms of a struct, in the form of today. False: there is none of that size. */
static bool take_old_form(const struct row *row, size_t size, union option_value *value)
{
    if (row->name == LX_DELAYED_SACK && size == sizeof(value->value)) {
        value->sack.freq = value->sack.delay == 0;
        return true;
    }
    return row->name == LX_PEER_ADDR_PARAMS && size == OLD_PATH_SIZE &&
           (value->path.flags & (LX_SPP_DSCP | LX_SPP_IPV6_FLOWLABEL)) == 0;
}

static bool take(const struct row *row, const void *from, size_t size, union option_value *value)
{
    memset(value, 0, sizeof(*value));
    memcpy(value, from, size < sizeof(*value) ? size : sizeof(*value));
    if (row->set_size == OR_INT && size == sizeof(int)) {
        value->value = (struct lx_assoc_value){.value = value->number};
        return true;
    }
    if ((row->name == LX_AUTH_KEY && value->key.sca_keylength + sizeof(value->key) > size) ||
        (row->name == LX_RESET_STREAMS &&
         value->reset.number_streams * sizeof(uint16_t) + sizeof(value->reset) > size))
        return false;
    return size == row->size || (row->set_size == AT_LEAST && size > row->size) ||
           take_old_form(row, size, value);
}

static void keep_number(const struct row *row, char *place, const union option_value *value)
{
    uint32_t number = row->size == sizeof(number) ? value->number : value->value.value;

    if (row->limit == FLAG || row->limit == INVERTED_FLAG)
        number = (number != 0) == (row->limit == FLAG);
    if (row->place == FLAGS)
        *(bool *)(place + row->in) = number;
    else
        memcpy(place + row->in, &number, sizeof(number));
}

static void keep_fields(const struct row *row, char *place, const union option_value *value)
{
    static const uint8_t zeros[4];

    for (const struct field *field = row->fields; field->size > 0; field++) {
        const uint8_t *from = value->bytes + field->at;
        if (field->when == ALWAYS ||
            (field->when == UNLESS_ZERO && memcmp(from, zeros, field->size) != 0))
            memcpy(place + field->in, from, field->size);
    }
}

static int no_such_path(const struct row *row)
{
    bool other = row->name == LX_PEER_ADDR_THLDS || row->name == LX_PEER_ADDR_THLDS_V2;

    return options_fail(other ? ENOENT : EINVAL);
}

static int keep(struct sock *sock, const struct row *row, const union option_value *value)
{
    char *second, *place = find_place(sock, row, value, &second);

    if (place == NULL)
        return no_such_path(row);
    if (row->in != 0)
        keep_number(row, place, value);
    keep_fields(row, place, value);
    if (second != NULL)
        keep_fields(row, second, value);
    if (row->name == LX_PEER_ADDR_PARAMS)
        set_path(sock, &value->path, place, second);
    set_own(sock, row->name, value);
    return 0;
}

static void apply(struct sock *sock, struct socket *so, const struct row *row)
{
    char *second, *place;
    uint32_t number;

    if (row->stack_name == 0) {
        options_apply(sock, so, row->name);
        return;
    }
    place = find_place(sock, row, NULL, &second);
    memcpy(&number, place + row->in, sizeof(number));
    options_apply_number(sock, so, row->stack_name, number, row->size == sizeof(number));
}

static int set_row(struct sock *sock, const struct row *row, const void *value, size_t size)
{
    union option_value from;
    int error;

    if (row->set_size == NEVER)
        return options_fail(ENOPROTOOPT);
    if (row->name == LX_REUSE_PORT && sock->port != 0)
        return options_fail(EFAULT); /* whatever its size */
    if (asks_before_size(row) && !has_auth(sock))
        return options_fail(EACCES);
    if (!take(row, value, size, &from))
        return options_fail(EINVAL);
    if (row->place == USRSCTP) {
        error = refuse(sock, row);
        return error != 0 ? options_fail(error)
                          : options_stack_set(sock, IPPROTO_SCTP, row->stack_name, value, size);
    }
    if (!is_valid(sock, row, &from))
        return options_fail(EINVAL);
    if (keep(sock, row, &from) == -1)
        return -1;
    sock->values->touched |= UINT64_C(1) << (row - rows);
    if (sock->so != NULL)
        apply(sock, sock->so, row);
    return 0;
}

void options_sctp_apply_all(struct sock *sock, struct socket *so)
{
    for (size_t i = 0; i < ROWS; i++)
        if (sock->values->touched & UINT64_C(1) << i)
            apply(sock, so, &rows[i]);
    if (sock->options.subscribed != 0)
        options_apply(sock, so, LX_EVENTS);
}

int options_sctp_set(struct sock *sock, int name, const void *value, size_t size)
{
    const struct row *row = find_row(name);

    if (row != NULL)
        return set_row(sock, row, value, size);
    switch (name) {
    case LX_EVENTS:
        if (size > sizeof(struct lx_event_subscribe))
            return options_fail(EINVAL);
        set_events(sock, value, size);
        return 0;
    case LX_BINDX_ADD:
    case LX_BINDX_REM: return options_bindx(sock, name, value, size);
    case LX_CONNECTX_OLD:
    case LX_CONNECTX: return options_connectx(sock, value, size);
    case LX_AUTOCLOSE: /* has no meaning with one association per socket */
        return options_fail(EOPNOTSUPP);
    case LX_SET_PEER_PRIMARY_ADDR: /* nor has this one */
        return options_fail(sock->values->asconf && !options_associated(sock) ? EINVAL : EPERM);
    case LX_INTERLEAVING_SUPPORTED: /* net.sctp.intl_enable is off */
        return options_fail(size < sizeof(struct lx_assoc_value) ? EINVAL : EPERM);
    default: return options_fail(ENOPROTOOPT);
    }
}

/* ---- get */

/* How much of a buffer of that size is filled; 0: it is too short. */
static size_t given_size(const struct row *row, size_t room)
{
    if (room >= row->size)
        return row->size;
    if ((row->get_size == OR_INT && room == sizeof(int)) ||
        (row->name == LX_DELAYED_SACK && room == sizeof(struct lx_assoc_value)))
        return room;
    return row->name == LX_PEER_ADDR_PARAMS && room >= OLD_PATH_SIZE ? OLD_PATH_SIZE : 0;
}

static void give_number(struct sock *sock, const struct row *row, const char *place,
                        union option_value *value)
{
    uint32_t number;

    if (row->place == FLAGS)
        number = *(const bool *)(place + row->in) == (row->limit == FLAG);
    else
        memcpy(&number, place + row->in, sizeof(number));
    if (row->place == SOCKET && row->size == sizeof(value->value))
        number = has_agreed(sock, row->stack_name, number);
    *(row->size == sizeof(number) ? &value->number : &value->value.value) = number;
}

static int give(struct sock *sock, const struct row *row, union option_value *value)
{
    char *second, *place = find_place(sock, row, value, &second);

    if (place == NULL)
        return no_such_path(row);
    if (row->in != 0)
        give_number(sock, row, place, value);
    if (place == (char *)&sock->values->path)
        show_peer(sock, value->bytes + row->address_at);
    for (const struct field *field = row->fields; field->size > 0; field++)
        memcpy(value->bytes + field->at, place + field->in, field->size);
    return get_own(sock, row, value, place);
}

static int get_row(struct sock *sock, const struct row *row, void *value, socklen_t *size)
{
    union option_value to;
    size_t given = given_size(row, *size);

    if (row->get_size == NEVER)
        return options_fail(is_auth(row) ? EOPNOTSUPP : ENOPROTOOPT);
    if (asks_before_size(row) && !has_auth(sock))
        return options_fail(EACCES);
    if (given == 0)
        return options_fail(EINVAL);
    if (row->place == USRSCTP) {
        int error = refuse(sock, row);
        if (error == 0 && sock->so == NULL)
            error = EINVAL;
        return error != 0
                   ? options_fail(error)
                   : usrsctp_getsockopt(sock->so, IPPROTO_SCTP, row->stack_name, value, size);
    }
    memset(&to, 0, sizeof(to));
    memcpy(&to, value, given);
    if (give(sock, row, &to) == -1)
        return -1;
    if (row->get_size == OR_INT && given == sizeof(int))
        to.number = to.value.value;
    memcpy(value, &to, given);
    if (row->name != LX_MAX_BURST) /* which leaves the length as it was */
        *size = (socklen_t)given;
    return 0;
}

static int get_events(const struct sock *sock, uint8_t *value, socklen_t *size)
{
    if (*size == 0)
        return options_fail(EINVAL);
    if (*size > sizeof(struct lx_event_subscribe))
        *size = sizeof(struct lx_event_subscribe);
    for (unsigned i = 0; i < *size; i++)
        value[i] = sock->values->socket.events >> i & 1;
    return 0;
}

/* A struct of which as much is given as there is room for: zeros behind the association's id. */
static int give_zeros(void *value, socklen_t *size, size_t least, size_t most)
{
    const size_t id = sizeof(int32_t);

    if (*size < least)
        return options_fail(EINVAL);
    if (*size > most)
        *size = (socklen_t)most;
    memset((char *)value + id, 0, *size - id);
    return 0;
}

int options_sctp_get(struct sock *sock, int name, void *value, socklen_t *size)
{
    const size_t id = sizeof(int32_t), pair = sizeof(struct lx_assoc_value);
    const struct row *row = find_row(name);

    if (row != NULL)
        return get_row(sock, row, value, size);
    switch (name) {
    case LX_EVENTS: return get_events(sock, value, size);
    case LX_GET_PEER_ADDRS:
    case LX_GET_LOCAL_ADDRS: return options_get_addresses(sock, name, value, size);
    case LX_GET_ASSOC_STATS: /* usrsctp does not count */
        return options_associated(sock) ? give_zeros(value, size, id, sizeof(struct lx_assoc_stats))
                                        : options_fail(EINVAL);
    case LX_INTERLEAVING_SUPPORTED: return give_zeros(value, size, pair, pair);
    case LX_PEELOFF:
    case LX_PEELOFF_FLAGS: return options_fail(EINVAL);
    case LX_AUTOCLOSE:
    case LX_GET_ASSOC_NUMBER:
    case LX_GET_ASSOC_ID_LIST: return options_fail(EOPNOTSUPP);
    default: return options_fail(ENOPROTOOPT);
    }
}
