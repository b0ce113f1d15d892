/*
 * Options of level IPPROTO_SCTP, one row each: which sizes there may be, what is checked, what is
 * kept, and what usrsctp is told. All of it as net/sctp/socket.c of Linux 6.1 has it, for a
 * one-to-one socket: such a socket has one association at most, so the association's id in most of
 * these structs says nothing, and stays as the program has written it. An address that is all zeros
 * stands for every path; there is one, to the peer.
 */
#include "options_values.h"
#include <errno.h>
#include <string.h>

enum size_rule { NEVER, EXACTLY, AT_LEAST, OR_INT /* exactly; or a bare int */ };
enum place {
    NOWHERE,
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
    uint8_t name, size;
    uint8_t set_size, get_size; /* enum size_rule */
    uint8_t place;
    uint8_t address_at; /* 0: there is none in it */
    uint16_t in, limit; /* of an option that is one number */
    int stack_name;     /* usrsctp takes the same number */
    int (*check)(struct sock *sock, const union option_value *value); /* set; it may do all */
    int (*get)(struct sock *sock, union option_value *value);         /* what is not kept */
    struct field fields[8];                                           /* up to one without a size */
};

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
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};

    *second = NULL;
    if (row->place == SOCKET)
        return (char *)sock->values;
    if (row->place == FLAGS)
        return (char *)&sock->options;
    if (row->place == SHARED)
        return (char *)options_shared(sock);
    if (row->address_at != 0)
        memcpy(&address, value->bytes + row->address_at, sizeof(address));
    if (row->address_at == 0 || names_all(sock, &address)) {
        if (options_associated(sock))
            *second = (char *)options_path(sock);
        return (char *)&options_shared(sock)->path;
    }
    return names_peer(sock, &address) ? (char *)options_path(sock) : NULL;
}

/* ---- what is checked before a set; some do all of it */

static int check_auto_asconf(struct sock *sock, const union option_value *value)
{
    bool all = sock->address_count == 1 && address_is_any(&sock->addresses[0].ip);

    return value->number != 0 && !all ? options_fail(EINVAL) : 0;
}

static int check_segment(struct sock *sock, const union option_value *value)
{
    const int least = 512 - (sock->family == AF_INET ? 20 : 40) - 12 - 16;
    const int most = 65535 - 3 - 16;
    int size = (int)value->value.value;

    return size != 0 && (size < least || size > most) ? options_fail(EINVAL) : 0;
}

static int check_delivery_point(struct sock *sock, const union option_value *value)
{
    return value->number > (uint32_t)sock->options.receive_buffer / 2 ? options_fail(EINVAL) : 0;
}

static int check_rto(struct sock *sock, const union option_value *value)
{
    const struct shared_values *now = options_shared(sock);
    uint32_t max = value->rto.max != 0 ? value->rto.max : now->rto_max;
    uint32_t min = value->rto.min != 0 ? value->rto.min : now->rto_min;

    return min > max ? options_fail(EINVAL) : 0;
}

#define SEND_FLAGS (LX_UNORDERED | LX_ADDR_OVER | LX_ABORT | LX_EOF)

static int check_sndrcv(struct sock *sock, const union option_value *value)
{
    (void)sock;
    return value->sndrcv.flags & ~SEND_FLAGS ? options_fail(EINVAL) : 0;
}

static int check_snd(struct sock *sock, const union option_value *value)
{
    (void)sock;
    return value->snd.flags & ~SEND_FLAGS ? options_fail(EINVAL) : 0;
}

static int set_policy(struct sock *sock, const union option_value *value)
{
    struct lx_sndrcvinfo *to = &options_shared(sock)->send;
    uint16_t policy = value->prinfo.policy;

    if (policy & ~LX_PR_MASK)
        return options_fail(EINVAL);
    to->flags = (uint16_t)((to->flags & ~LX_PR_MASK) | policy);
    to->timetolive = policy == 0 ? 0 : value->prinfo.value;
    return 0;
}

static void change_flags(struct path_values *path, uint32_t flags, uint32_t group)
{
    if (flags & group)
        path->flags = (path->flags & ~group) | (flags & group);
}

#define HEARTBEAT (LX_SPP_HB_ENABLE | LX_SPP_HB_DISABLE)
#define DISCOVERY (LX_SPP_PMTUD_ENABLE | LX_SPP_PMTUD_DISABLE)
#define SACK_DELAY (LX_SPP_SACKDELAY_ENABLE | LX_SPP_SACKDELAY_DISABLE)

static void change_sack(struct path_values *path, const struct lx_sack_info *from)
{
    if (from->delay != 0)
        path->sack_delay = from->delay;
    if (from->freq > 1)
        path->sack_frequency = from->freq;
    if (from->freq == 1)
        change_flags(path, LX_SPP_SACKDELAY_DISABLE, SACK_DELAY);
    else
        change_flags(path, LX_SPP_SACKDELAY_ENABLE, SACK_DELAY);
}

static int set_sack(struct sock *sock, const union option_value *value)
{
    if (value->sack.delay == 0 && value->sack.freq == 0)
        return 0;
    if (value->sack.delay > 500)
        return options_fail(EINVAL);
    change_sack(&options_shared(sock)->path, &value->sack);
    if (options_associated(sock))
        change_sack(options_path(sock), &value->sack);
    return 0;
}

static int check_path(struct sock *sock, const union option_value *value)
{
    uint32_t flags = value->path.flags;
    struct sockaddr_storage address = value->path.address;
    bool all = names_all(sock, &address);

    /* Both at once, or more than there may be. */
    if ((flags & HEARTBEAT) == HEARTBEAT || (flags & DISCOVERY) == DISCOVERY ||
        (flags & SACK_DELAY) == SACK_DELAY || value->path.sackdelay > 500 ||
        (value->path.pathmtu != 0 && value->path.pathmtu < 512) ||
        (!all && !names_peer(sock, &address)))
        return options_fail(EINVAL);
    if (!(flags & LX_SPP_HB_DEMAND))
        return 0;
    if (all && !options_associated(sock))
        return options_fail(EINVAL);
    options_send_heartbeat(sock);
    return 0;
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

static int set_path(struct sock *sock, const union option_value *value)
{
    struct sockaddr_storage address = value->path.address;
    bool v6 = sock->family == AF_INET6, associated = options_associated(sock);

    if (check_path(sock, value) == -1)
        return -1;
    if (names_all(sock, &address))
        change_path(&options_shared(sock)->path, &value->path, v6 || associated);
    if (associated)
        change_path(options_path(sock), &value->path, v6 && !address_is_v4(&sock->link->remote.ip));
    return 0;
}

static int check_thresholds(struct sock *sock, const union option_value *value)
{
    (void)sock;
    return value->thresholds.pathpfthld > value->thresholds.pathcpthld ? options_fail(EINVAL) : 0;
}

static int check_probe(struct sock *sock, const union option_value *value)
{
    const uint32_t least_ms = 5000;

    (void)sock;
    return value->probe.interval != 0 && value->probe.interval < least_ms ? options_fail(EINVAL)
                                                                          : 0;
}

/* What an association has agreed on stays. */
static int set_ecn(struct sock *sock, const union option_value *value)
{
    options_shared(sock);
    sock->values->socket.ecn = value->value.value != 0;
    return 0;
}

static int check_primary(struct sock *sock, const union option_value *value)
{
    struct sockaddr_storage address = value->primary.addr;

    return names_peer(sock, &address) ? 0 : options_fail(EINVAL);
}

static int check_peer_primary(struct sock *sock, const union option_value *value)
{
    (void)value;
    return options_fail(sock->values->asconf && !options_associated(sock) ? EINVAL : EPERM);
}

/* ---- notifications */

/* Which messages have a head is the socket's affair, which events are told the association's. */
static void change_events(struct sock *sock)
{
    sock->options.subscribed =
        (uint16_t)((sock->values->socket.events & 1) | (options_shared(sock)->events & ~1));
}

static int event_bit(const struct lx_event *event)
{
    if (event->type < LX_SN_DATA_IO || event->type > LX_SN_SEND_FAILED_EVENT)
        return options_fail(EINVAL);
    return event->type - LX_SN_DATA_IO;
}

static int set_event(struct sock *sock, const union option_value *value)
{
    uint16_t *events = &options_shared(sock)->events;
    int bit = event_bit(&value->event);

    if (bit == -1)
        return -1;
    *events = (uint16_t)(value->event.on ? *events | 1u << bit : *events & ~(1u << bit));
    change_events(sock);
    return 0;
}

static int get_event(struct sock *sock, union option_value *value)
{
    int bit = event_bit(&value->event);

    if (bit == -1)
        return -1;
    value->event.on = options_shared(sock)->events >> bit & 1;
    return 0;
}

static int set_events(struct sock *sock, const uint8_t *value, size_t size)
{
    uint16_t events = sock->values->socket.events;

    if (size > sizeof(struct lx_event_subscribe))
        return options_fail(EINVAL);
    for (unsigned i = 0; i < size; i++)
        events = (uint16_t)(value[i] ? events | 1u << i : events & ~(1u << i));
    sock->values->socket.events = options_shared(sock)->events = events;
    change_events(sock);
    return 0;
}

static int get_events(struct sock *sock, uint8_t *value, socklen_t *size)
{
    if (*size == 0)
        return options_fail(EINVAL);
    if (*size > sizeof(struct lx_event_subscribe))
        *size = sizeof(struct lx_event_subscribe);
    for (unsigned i = 0; i < *size; i++)
        value[i] = sock->values->socket.events >> i & 1;
    return 0;
}

/* ---- what usrsctp knows */

static int get_segment(struct sock *sock, union option_value *value)
{
    if (options_associated(sock))
        value->value.value = options_fragment_size(sock);
    return 0;
}

static int get_auto_asconf(struct sock *sock, union option_value *value)
{
    if (check_auto_asconf(sock, value) == -1)
        value->number = 0;
    return 0;
}

static int get_association(struct sock *sock, union option_value *value)
{
    struct sctp_assocparams from = {.sasoc_peer_rwnd = 0};

    if (options_associated(sock))
        options_stack_get(sock, IPPROTO_SCTP, SCTP_ASSOCINFO, &from, sizeof(from));
    value->association.number_peer_destinations = from.sasoc_number_peer_destinations;
    value->association.peer_rwnd = from.sasoc_peer_rwnd;
    value->association.local_rwnd = from.sasoc_local_rwnd;
    return 0;
}

static int get_sack(struct sock *sock, union option_value *value)
{
    const struct path_values *path = &options_shared(sock)->path;
    bool delays = path->flags & LX_SPP_SACKDELAY_ENABLE;

    value->sack.delay = delays ? path->sack_delay : 0;
    value->sack.freq = delays ? path->sack_frequency : 1;
    return 0;
}

static int get_policy(struct sock *sock, union option_value *value)
{
    value->prinfo.policy = options_shared(sock)->send.flags & LX_PR_MASK;
    value->prinfo.value = options_shared(sock)->send.timetolive;
    return 0;
}

static int get_path(struct sock *sock, union option_value *value)
{
    if (value->path.pathmtu == 0 && options_associated(sock))
        value->path.pathmtu = options_status(sock).sstat_primary.spinfo_mtu;
    return 0;
}

static int get_primary(struct sock *sock, union option_value *value)
{
    if (!options_associated(sock))
        return options_fail(EINVAL);
    show_peer(sock, &value->primary.addr);
    return 0;
}

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

static int get_status(struct sock *sock, union option_value *value)
{
    struct sctp_status from = options_status(sock);

    if (!options_associated(sock))
        return options_fail(EINVAL);
    value->status = (struct lx_status){.assoc_id = (int32_t)from.sstat_assoc_id,
                                       .state = association_state(from.sstat_state),
                                       .rwnd = from.sstat_rwnd,
                                       .unackdata = from.sstat_unackdata,
                                       .penddata = from.sstat_penddata,
                                       .instrms = from.sstat_instrms,
                                       .outstrms = from.sstat_outstrms,
                                       .fragmentation_point = options_fragment_size(sock)};
    fill_info(&from, &value->status.primary);
    show_peer(sock, (char *)&value->status.primary + offsetof(struct lx_paddrinfo, address));
    return 0;
}

static int get_info(struct sock *sock, union option_value *value)
{
    struct sockaddr_storage address = value->info.address;
    struct sctp_status from = options_status(sock);

    if (!names_peer(sock, &address))
        return options_fail(EINVAL);
    show_peer(sock, (char *)&value->info + offsetof(struct lx_paddrinfo, address));
    fill_info(&from, &value->info);
    return 0;
}

static int get_abandoned(struct sock *sock, union option_value *value, int stack_name)
{
    struct lx_prstatus *to = &value->abandoned;
    const uint16_t all = 0x0f;
    const uint16_t policies[] = {all, SCTP_PR_SCTP_TTL, SCTP_PR_SCTP_RTX, SCTP_PR_SCTP_BUF};
    uint16_t one = to->policy & LX_PR_MASK;
    bool by_policy = stack_name == SCTP_PR_ASSOC_STATUS; /* usrsctp does not count it by stream */
    struct sctp_prstatus from = {.sprstat_sid = to->sid,
                                 .sprstat_policy = policies[by_policy ? one / 16 : 0]};

    if (((to->policy & LX_PR_ALL) != 0) == (one != 0) ||
        (to->policy & ~(LX_PR_MASK | LX_PR_ALL)) != 0 || !options_associated(sock))
        return options_fail(EINVAL);
    if (options_stack_get(sock, IPPROTO_SCTP, stack_name, &from, sizeof(from)) == -1)
        return -1;
    to->abandoned_unsent = from.sprstat_abandoned_unsent;
    to->abandoned_sent = from.sprstat_abandoned_sent;
    return 0;
}

static int get_all_abandoned(struct sock *sock, union option_value *value)
{
    return get_abandoned(sock, value, SCTP_PR_ASSOC_STATUS);
}

static int get_abandoned_of_stream(struct sock *sock, union option_value *value)
{
    return get_abandoned(sock, value, SCTP_PR_STREAM_STATUS);
}

/* Only a scheduler with priorities knows them. */
static int check_stream(struct sock *sock, const union option_value *value)
{
    bool exists = value->stream.stream_id < options_status(sock).sstat_outstrms;

    return exists || !options_associated(sock) ? 0 : options_fail(EINVAL);
}

static int set_stream_value(struct sock *sock, const union option_value *value)
{
    struct sctp_stream_value to = {.stream_id = value->stream.stream_id,
                                   .stream_value = value->stream.stream_value};

    if (check_stream(sock, value) == -1)
        return -1;
    if (options_associated(sock) && options_shared(sock)->scheduler == LX_SS_PRIO)
        options_stack_set(sock, IPPROTO_SCTP, SCTP_SS_VALUE, &to, sizeof(to));
    return 0;
}

static int get_stream_value(struct sock *sock, union option_value *value)
{
    struct sctp_stream_value from = {.stream_id = value->stream.stream_id};

    if (!options_associated(sock) || check_stream(sock, value) == -1)
        return options_fail(EINVAL);
    value->stream.stream_value = 0;
    if (options_shared(sock)->scheduler == LX_SS_PRIO &&
        options_stack_get(sock, IPPROTO_SCTP, SCTP_SS_VALUE, &from, sizeof(from)) == 0)
        value->stream.stream_value = from.stream_value;
    return 0;
}

/* ---- what usrsctp does: changes of streams (RFC 6525), and AUTH (RFC 4895), for programs that
 * have turned that on */

/* Have both ends agreed on it? Without an association: is it on? */
static bool has_agreed(struct sock *sock, int stack_name, uint32_t own)
{
    struct sctp_assoc_value agreed = {.assoc_value = own};

    if (options_associated(sock) &&
        options_stack_get(sock, IPPROTO_SCTP, stack_name, &agreed, sizeof(agreed)) == -1)
        return false;
    return agreed.assoc_value != 0;
}

static int check_change(struct sock *sock, uint32_t how)
{
    if (!options_associated(sock))
        return options_fail(EINVAL);
    if (!has_agreed(sock, SCTP_RECONFIG_SUPPORTED, 0) ||
        !(options_shared(sock)->stream_reset & how))
        return options_fail(ENOPROTOOPT);
    return 0;
}

static int check_reset(struct sock *sock, const union option_value *value)
{
    (void)value;
    return check_change(sock, SCTP_ENABLE_RESET_STREAM_REQ);
}

static int check_reset_all(struct sock *sock, const union option_value *value)
{
    (void)value;
    return check_change(sock, SCTP_ENABLE_RESET_ASSOC_REQ);
}

static int check_more_streams(struct sock *sock, const union option_value *value)
{
    (void)value;
    return check_change(sock, SCTP_ENABLE_CHANGE_ASSOC_REQ);
}

static int check_auth(struct sock *sock, const union option_value *value)
{
    (void)value;
    return has_agreed(sock, SCTP_AUTH_SUPPORTED, sock->values->auth) ? 0 : options_fail(EACCES);
}

/* ---- the table */

#define NO_FIELDS                                                                                  \
    {                                                                                              \
        {                                                                                          \
            0                                                                                      \
        }                                                                                          \
    }
#define NUMBER(name, rule, member, limit, stack_name)                                              \
    {                                                                                              \
        name, 4, rule, AT_LEAST, SOCKET, 0, offsetof(struct option_values, member), limit,         \
            stack_name, NULL, NULL, NO_FIELDS                                                      \
    }
#define VALUE(name, member, stack_name)                                                            \
    {                                                                                              \
        name, 8, EXACTLY, AT_LEAST, SOCKET, 0, offsetof(struct option_values, member), FLAG,       \
            stack_name, NULL, NULL, NO_FIELDS                                                      \
    }
#define BOTH(name, rule, get_rule, member, limit, stack_name)                                      \
    {                                                                                              \
        name, 8, rule, get_rule, SHARED, 0, offsetof(struct shared_values, member), limit,         \
            stack_name, NULL, NULL, NO_FIELDS                                                      \
    }
#define SEEN(name, member, limit)                                                                  \
    {                                                                                              \
        name, 4, AT_LEAST, AT_LEAST, FLAGS, 0, offsetof(struct socket_options, member), limit, 0,  \
            NULL, NULL, NO_FIELDS                                                                  \
    }
#define STRUCT(name, type, rule, place, check, get, ...)                                           \
    {                                                                                              \
        name, sizeof(struct type), rule, AT_LEAST, place, 0, 0, 0, 0, check, get,                  \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
#define ADDRESS(name, type, member, rule, check, get, ...)                                         \
    {                                                                                              \
        name, sizeof(struct type), rule, AT_LEAST, PATH, offsetof(struct type, member), 0, 0, 0,   \
            check, get,                                                                            \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
#define PASSED(name, size, rule, get_rule, check, stack_name)                                      \
    {                                                                                              \
        name, size, rule, get_rule, USRSCTP, 0, 0, 0, stack_name, check, NULL, NO_FIELDS           \
    }
#define FIELD(type, member, place, kept, when)                                                     \
    {                                                                                              \
        offsetof(struct type, member), sizeof(((struct type *)0)->member),                         \
            offsetof(struct place, kept), when                                                     \
    }

/* clang-format off */
static const struct row rows[] = {
    STRUCT(LX_RTOINFO, lx_rtoinfo, EXACTLY, SHARED, check_rto, NULL,
           FIELD(lx_rtoinfo, initial, shared_values, rto_initial, UNLESS_ZERO),
           FIELD(lx_rtoinfo, max, shared_values, rto_max, UNLESS_ZERO),
           FIELD(lx_rtoinfo, min, shared_values, rto_min, UNLESS_ZERO)),
    STRUCT(LX_ASSOCINFO, lx_assocparams, EXACTLY, SHARED, NULL, get_association,
           FIELD(lx_assocparams, asocmaxrxt, shared_values, retransmissions, UNLESS_ZERO),
           FIELD(lx_assocparams, cookie_life, shared_values, cookie_life, UNLESS_ZERO)),
    STRUCT(LX_INITMSG, lx_initmsg, EXACTLY, SOCKET, NULL, NULL,
           FIELD(lx_initmsg, num_ostreams, option_values, init.num_ostreams, UNLESS_ZERO),
           FIELD(lx_initmsg, max_instreams, option_values, init.max_instreams, UNLESS_ZERO),
           FIELD(lx_initmsg, max_attempts, option_values, init.max_attempts, UNLESS_ZERO),
           FIELD(lx_initmsg, max_init_timeo, option_values, init.max_init_timeo, UNLESS_ZERO)),
    NUMBER(LX_NODELAY, AT_LEAST, nodelay, FLAG, SCTP_NODELAY),
    {LX_SET_PEER_PRIMARY_ADDR, 0, AT_LEAST, NEVER, SOCKET, 0, 0, 0, 0, check_peer_primary, NULL,
     NO_FIELDS},
    STRUCT(LX_PRIMARY_ADDR, lx_prim, EXACTLY, SOCKET, check_primary, get_primary, {0}),
    NUMBER(LX_ADAPTATION_LAYER, EXACTLY, adaptation, ANY_NUMBER, SCTP_ADAPTATION_LAYER),
    NUMBER(LX_DISABLE_FRAGMENTS, AT_LEAST, no_fragments, FLAG, SCTP_DISABLE_FRAGMENTS),
    ADDRESS(LX_PEER_ADDR_PARAMS, lx_paddrparams, address, EXACTLY, set_path, get_path,
            FIELD(lx_paddrparams, hbinterval, path_values, interval, ALWAYS),
            FIELD(lx_paddrparams, pathmaxrxt, path_values, retransmissions, ALWAYS),
            FIELD(lx_paddrparams, pathmtu, path_values, mtu, ALWAYS),
            FIELD(lx_paddrparams, sackdelay, path_values, sack_delay, ALWAYS),
            FIELD(lx_paddrparams, flags, path_values, flags, ALWAYS),
            FIELD(lx_paddrparams, ipv6_flowlabel, path_values, flow_label, UNLESS_ZERO),
            FIELD(lx_paddrparams, dscp, path_values, dscp, UNLESS_ZERO)),
    STRUCT(LX_DEFAULT_SEND_PARAM, lx_sndrcvinfo, EXACTLY, SHARED, check_sndrcv, NULL,
           FIELD(lx_sndrcvinfo, stream, shared_values, send.stream, ALWAYS),
           FIELD(lx_sndrcvinfo, flags, shared_values, send.flags, ALWAYS),
           FIELD(lx_sndrcvinfo, ppid, shared_values, send.ppid, ALWAYS),
           FIELD(lx_sndrcvinfo, context, shared_values, send.context, ALWAYS),
           FIELD(lx_sndrcvinfo, timetolive, shared_values, send.timetolive, ALWAYS)),
    SEEN(LX_I_WANT_MAPPED_V4_ADDR, v4_unmapped, INVERTED_FLAG),
    {LX_MAXSEG, 8, OR_INT, OR_INT, SHARED, 0, offsetof(struct shared_values, max_segment),
     ANY_NUMBER, SCTP_MAXSEG, check_segment, get_segment, NO_FIELDS},
    STRUCT(LX_STATUS, lx_status, NEVER, SOCKET, NULL, get_status, {0}),
    STRUCT(LX_GET_PEER_ADDR_INFO, lx_paddrinfo, NEVER, SOCKET, NULL, get_info, {0}),
    STRUCT(LX_DELAYED_SACK, lx_sack_info, EXACTLY, PATH, set_sack, get_sack, {0}),
    BOTH(LX_CONTEXT, EXACTLY, AT_LEAST, context, ANY_NUMBER, SCTP_CONTEXT),
    NUMBER(LX_FRAGMENT_INTERLEAVE, EXACTLY, interleave, FLAG, SCTP_FRAGMENT_INTERLEAVE),
    {LX_PARTIAL_DELIVERY_POINT, 4, EXACTLY, AT_LEAST, SOCKET, 0,
     offsetof(struct option_values, delivery_point), ANY_NUMBER, SCTP_PARTIAL_DELIVERY_POINT,
     check_delivery_point, NULL, NO_FIELDS},
    BOTH(LX_MAX_BURST, OR_INT, OR_INT, max_burst, ANY_NUMBER, SCTP_MAX_BURST),
    PASSED(LX_AUTH_CHUNK, 1, EXACTLY, NEVER, check_auth, SCTP_AUTH_CHUNK),
    PASSED(LX_HMAC_IDENT, 4, AT_LEAST, AT_LEAST, check_auth, SCTP_HMAC_IDENT),
    PASSED(LX_AUTH_KEY, 9, AT_LEAST, NEVER, check_auth, SCTP_AUTH_KEY),
    PASSED(LX_AUTH_ACTIVE_KEY, 8, EXACTLY, AT_LEAST, check_auth, SCTP_AUTH_ACTIVE_KEY),
    PASSED(LX_AUTH_DELETE_KEY, 8, EXACTLY, NEVER, check_auth, SCTP_AUTH_DELETE_KEY),
    PASSED(LX_PEER_AUTH_CHUNKS, 8, NEVER, AT_LEAST, check_auth, SCTP_PEER_AUTH_CHUNKS),
    PASSED(LX_LOCAL_AUTH_CHUNKS, 8, NEVER, AT_LEAST, check_auth, SCTP_LOCAL_AUTH_CHUNKS),
    {LX_AUTO_ASCONF, 4, AT_LEAST, AT_LEAST, SOCKET, 0, offsetof(struct option_values, auto_asconf),
     FLAG, 0, check_auto_asconf, get_auto_asconf, NO_FIELDS},
    ADDRESS(LX_PEER_ADDR_THLDS, lx_paddrthlds, address, AT_LEAST, NULL, NULL,
            FIELD(lx_paddrthlds, pathmaxrxt, path_values, retransmissions, UNLESS_ZERO),
            FIELD(lx_paddrthlds, pathpfthld, path_values, failed_after, ALWAYS),
            FIELD(lx_paddrthlds, pathcpthld, path_values, switched_after, ONLY_GIVEN)),
    SEEN(LX_RECVRCVINFO, want_rcvinfo, FLAG),
    SEEN(LX_RECVNXTINFO, want_nxtinfo, FLAG),
    STRUCT(LX_DEFAULT_SNDINFO, lx_sndinfo, EXACTLY, SHARED, check_snd, NULL,
           FIELD(lx_sndinfo, sid, shared_values, send.stream, ALWAYS),
           FIELD(lx_sndinfo, flags, shared_values, send.flags, ALWAYS),
           FIELD(lx_sndinfo, ppid, shared_values, send.ppid, ALWAYS),
           FIELD(lx_sndinfo, context, shared_values, send.context, ALWAYS)),
    PASSED(LX_AUTH_DEACTIVATE_KEY, 8, EXACTLY, NEVER, check_auth, SCTP_AUTH_DEACTIVATE_KEY),
    SEEN(LX_REUSE_PORT, sctp_reuse_port, FLAG),
    ADDRESS(LX_PEER_ADDR_THLDS_V2, lx_paddrthlds, address, AT_LEAST, check_thresholds, NULL,
            FIELD(lx_paddrthlds, pathmaxrxt, path_values, retransmissions, UNLESS_ZERO),
            FIELD(lx_paddrthlds, pathpfthld, path_values, failed_after, ALWAYS),
            FIELD(lx_paddrthlds, pathcpthld, path_values, switched_after, ALWAYS)),
    VALUE(LX_PR_SUPPORTED, partial_reliability, SCTP_PR_SUPPORTED),
    STRUCT(LX_DEFAULT_PRINFO, lx_default_prinfo, EXACTLY, SHARED, set_policy, get_policy, {0}),
    STRUCT(LX_PR_ASSOC_STATUS, lx_prstatus, NEVER, SOCKET, NULL, get_all_abandoned, {0}),
    STRUCT(LX_PR_STREAM_STATUS, lx_prstatus, NEVER, SOCKET, NULL, get_abandoned_of_stream, {0}),
    VALUE(LX_RECONFIG_SUPPORTED, reconfiguration, SCTP_RECONFIG_SUPPORTED),
    BOTH(LX_ENABLE_STREAM_RESET, EXACTLY, AT_LEAST, stream_reset, 7, SCTP_ENABLE_STREAM_RESET),
    PASSED(LX_RESET_STREAMS, 8, AT_LEAST, NEVER, check_reset, SCTP_RESET_STREAMS),
    PASSED(LX_RESET_ASSOC, 4, EXACTLY, NEVER, check_reset_all, SCTP_RESET_ASSOC),
    PASSED(LX_ADD_STREAMS, 8, EXACTLY, NEVER, check_more_streams, SCTP_ADD_STREAMS),
    BOTH(LX_STREAM_SCHEDULER, AT_LEAST, AT_LEAST, scheduler, LX_SS_RR, SCTP_PLUGGABLE_SS),
    STRUCT(LX_STREAM_SCHEDULER_VALUE, lx_stream_value, AT_LEAST, SOCKET, set_stream_value,
           get_stream_value, {0}),
    STRUCT(LX_EVENT, lx_event, AT_LEAST, SOCKET, set_event, get_event, {0}),
    VALUE(LX_ASCONF_SUPPORTED, asconf, SCTP_ASCONF_SUPPORTED),
    VALUE(LX_AUTH_SUPPORTED, auth, SCTP_AUTH_SUPPORTED),
    STRUCT(LX_ECN_SUPPORTED, lx_assoc_value, EXACTLY, SHARED, set_ecn, NULL,
           FIELD(lx_assoc_value, value, shared_values, ecn, ONLY_GIVEN)),
    BOTH(LX_EXPOSE_POTENTIALLY_FAILED_STATE, EXACTLY, AT_LEAST, expose_failed, 2, 0),
    ADDRESS(LX_REMOTE_UDP_ENCAPS_PORT, lx_udpencaps, address, EXACTLY, NULL, NULL,
            FIELD(lx_udpencaps, port, path_values, udp_port, ALWAYS)),
    ADDRESS(LX_PLPMTUD_PROBE_INTERVAL, lx_probeinterval, address, EXACTLY, check_probe, NULL,
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

static int take(const struct row *row, const void *from, size_t size, union option_value *value)
{
    memset(value, 0, sizeof(*value));
    memcpy(value, from, size < sizeof(*value) ? size : sizeof(*value));
    if (row->set_size == OR_INT && size == sizeof(int)) {
        value->value = (struct lx_assoc_value){.value = value->number};
        return 0;
    }
    if ((row->name == LX_AUTH_KEY && value->key.sca_keylength + sizeof(value->key) > size) ||
        (row->name == LX_RESET_STREAMS &&
         value->reset.number_streams * sizeof(uint16_t) + sizeof(value->reset) > size))
        return options_fail(EINVAL);
    if (size == row->size || (row->set_size == AT_LEAST && size > row->size) ||
        take_old_form(row, size, value))
        return 0;
    return options_fail(EINVAL);
}

static int keep_number(const struct row *row, char *place, const union option_value *value)
{
    uint32_t number = row->size == sizeof(number) ? value->number : value->value.value;

    if (row->limit == FLAG || row->limit == INVERTED_FLAG)
        number = (number != 0) == (row->limit == FLAG);
    else if (row->limit != ANY_NUMBER && number > row->limit)
        return options_fail(EINVAL);
    if (row->place == FLAGS)
        *(bool *)(place + row->in) = number;
    else
        memcpy(place + row->in, &number, sizeof(number));
    return 0;
}

static bool is_left_out(const struct field *field, const void *from)
{
    static const uint8_t zeros[4];

    return field->when == UNLESS_ZERO && memcmp(from, zeros, field->size) == 0;
}

static void keep_fields(const struct row *row, char *place, const union option_value *value)
{
    for (const struct field *field = row->fields; field->size > 0; field++)
        if (field->when != ONLY_GIVEN && !is_left_out(field, value->bytes + field->at))
            memcpy(place + field->in, value->bytes + field->at, field->size);
}

static bool is_number(const struct row *row)
{
    return row->size <= sizeof(struct lx_assoc_value) && row->in != 0 && row->fields[0].size == 0;
}

static int keep(struct sock *sock, const struct row *row, const union option_value *value)
{
    char *second, *place = find_place(sock, row, value, &second);

    if (place == NULL)
        return options_fail(row->size == sizeof(struct lx_paddrthlds) && row->name < 100 ? ENOENT
                                                                                         : EINVAL);
    if (is_number(row))
        return keep_number(row, place, value);
    if (row->check == set_path)
        return 0;
    keep_fields(row, place, value);
    if (second != NULL)
        keep_fields(row, second, value);
    return 0;
}

static void apply_row(struct sock *sock, struct socket *so, const struct row *row)
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
    bool asks_first = row->name == LX_AUTH_CHUNK || row->name == LX_HMAC_IDENT;

    if (row->set_size == NEVER)
        return options_fail(ENOPROTOOPT);
    if (row->name == LX_REUSE_PORT && sock->port != 0)
        return options_fail(EFAULT); /* whatever its size */
    if ((asks_first && check_auth(sock, NULL) == -1) || take(row, value, size, &from) == -1 ||
        (row->check != NULL && row->check(sock, &from) == -1))
        return -1;
    if (row->place == USRSCTP)
        return options_stack_set(sock, IPPROTO_SCTP, row->stack_name, value, size);
    if (keep(sock, row, &from) == -1)
        return -1;
    sock->values->touched |= UINT64_C(1) << (row - rows);
    if (sock->so != NULL)
        apply_row(sock, sock->so, row);
    return 0;
}

void options_sctp_apply_all(struct sock *sock, struct socket *so)
{
    for (size_t i = 0; i < ROWS; i++)
        if (sock->values->touched & UINT64_C(1) << i)
            apply_row(sock, so, &rows[i]);
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
        if (set_events(sock, value, size) == -1)
            return -1;
        if (sock->so != NULL)
            options_apply(sock, sock->so, LX_EVENTS);
        return 0;
    case LX_BINDX_ADD:
    case LX_BINDX_REM: return options_bindx(sock, name, value, size);
    case LX_CONNECTX_OLD:
    case LX_CONNECTX: return options_connectx(sock, value, size);
    case LX_AUTOCLOSE: /* has no meaning with one association per socket */
        return options_fail(EOPNOTSUPP);
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
    if (row->place == SOCKET && row->size == sizeof(value->value) && row->stack_name != 0)
        number = has_agreed(sock, row->stack_name, number);
    *(row->size == sizeof(number) ? &value->number : &value->value.value) = number;
}

static int give(struct sock *sock, const struct row *row, union option_value *value)
{
    char *second, *place = find_place(sock, row, value, &second);

    if (place == NULL)
        return options_fail(row->size == sizeof(struct lx_paddrthlds) && row->name < 100 ? ENOENT
                                                                                         : EINVAL);
    if (is_number(row))
        give_number(sock, row, place, value);
    if (row->address_at != 0 && sock->values->has_association &&
        place == (char *)options_path(sock))
        show_peer(sock, value->bytes + row->address_at);
    for (const struct field *field = row->fields; field->size > 0; field++)
        if (!is_left_out(field, place + field->in))
            memcpy(value->bytes + field->at, place + field->in, field->size);
    return row->get == NULL ? 0 : row->get(sock, value);
}

static int get_from_stack(struct sock *sock, const struct row *row, void *value, socklen_t *size)
{
    if (row->name == LX_PEER_AUTH_CHUNKS && !options_associated(sock))
        return options_fail(EINVAL);
    if (row->check(sock, NULL) == -1)
        return -1;
    return sock->so == NULL
               ? options_fail(EINVAL)
               : usrsctp_getsockopt(sock->so, IPPROTO_SCTP, row->stack_name, value, size);
}

static int get_row(struct sock *sock, const struct row *row, void *value, socklen_t *size)
{
    union option_value to;
    size_t given = given_size(row, *size);

    if (row->get_size == NEVER)
        return options_fail(row->check == check_auth ? EOPNOTSUPP : ENOPROTOOPT);
    if (row->name == LX_HMAC_IDENT && check_auth(sock, NULL) == -1)
        return -1;
    if (given == 0)
        return options_fail(EINVAL);
    if (row->place == USRSCTP)
        return get_from_stack(sock, row, value, size);
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
    const struct row *row = find_row(name);

    if (row != NULL)
        return get_row(sock, row, value, size);
    switch (name) {
    case LX_EVENTS: return get_events(sock, value, size);
    case LX_GET_PEER_ADDRS:
    case LX_GET_LOCAL_ADDRS: return options_get_addresses(sock, name, value, size);
    case LX_GET_ASSOC_STATS: /* usrsctp does not count */
        return options_associated(sock)
                   ? give_zeros(value, size, sizeof(int32_t), sizeof(struct lx_assoc_stats))
                   : options_fail(EINVAL);
    case LX_INTERLEAVING_SUPPORTED:
        return give_zeros(value, size, sizeof(struct lx_assoc_value),
                          sizeof(struct lx_assoc_value));
    case LX_PEELOFF:
    case LX_PEELOFF_FLAGS: return options_fail(EINVAL);
    case LX_AUTOCLOSE:
    case LX_GET_ASSOC_NUMBER:
    case LX_GET_ASSOC_ID_LIST: return options_fail(EOPNOTSUPP);
    default: return options_fail(ENOPROTOOPT);
    }
}
