/*
 * Options of level IPPROTO_SCTP: a row each, in the table below. All as net/sctp/socket.c of Linux
 * 6.1 has it, for a one-to-one socket: such a socket has one association at most, so the
 * association's id in most of these structs says nothing, and stays as the program has written it.
 * An address that is all zeros stands for every path; there is one, to the peer.
 *
 * What a program sets is kept, and usrsctp is told. Linux has accepted it by then, so there are no
 * errors: what usrsctp refuses, it does as near to it as it can.
 */
#include "options_sctp.h"
#include "../protocol.h"
#include "notify.h"
#include "options_addresses.h"
#include "options_shared.h"
#include <errno.h>
#include <stddef.h>
#include <string.h>

union option_value {
    uint8_t bytes[256];
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
    struct lx_paddrthlds_v2 thresholds;
    struct lx_default_prinfo prinfo;
    struct lx_prstatus abandoned;
    struct lx_stream_value stream;
    struct lx_probeinterval probe;
    struct lx_reset_streams reset;
    struct lx_authkey key;
};

static void tell(struct sock *sock, int name, const void *value, size_t size)
{
    (void)sock_stack_set(sock, IPPROTO_SCTP, name, value, size);
}

static void tell_value(struct sock *sock, int name, uint32_t number)
{
    struct sctp_assoc_value value = {.assoc_value = number};

    tell(sock, name, &value, sizeof(value));
}

/* ---- addresses */

static bool names_all(const struct sock *sock, const uint8_t *address)
{
    static const uint8_t zeros[16];
    sa_family_t family;

    memcpy(&family, address, sizeof(family));
    if (family == AF_UNSPEC)
        family = (sa_family_t)sock->family;
    if (family == AF_INET)
        return memcmp(address + offsetof(struct sockaddr_in, sin_addr), zeros, 4) == 0;
    return family == AF_INET6 &&
           memcmp(address + offsetof(struct sockaddr_in6, sin6_addr), zeros, 16) == 0;
}

static bool names_peer(struct sock *sock, const uint8_t *address)
{
    struct address parsed;

    return sock_has_association(sock) && sock_association_state(sock) >= 0 &&
           sock_read_address(sock, address, sizeof(struct sockaddr_in6), &parsed) == 0 &&
           parsed.port == sock->peer_port && address_same_ip(&parsed, &sock->link->remote);
}

/* As much of the room for an address as it needs. */
static void show_peer(const struct sock *sock, uint8_t *to)
{
    struct sockaddr_storage address;
    struct address peer = sock_peer(sock);

    memcpy(to, &address, sock_write_address(sock, &peer, &address));
}

static struct sockaddr_storage stack_peer(const struct sock *sock)
{
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};

    if (sock_has_association(sock))
        address = sock_stack_name(sock->peer_port, sock->link).room;
    return address;
}

/* Of the path that the address names, or of all; NULL: there is no such path. */
static struct path_values *find_path(struct sock *sock, const uint8_t *address)
{
    if (names_all(sock, address))
        return &options_shared(sock)->path;
    return names_peer(sock, address) ? options_path(sock) : NULL;
}

/* What is set for all paths of an association is set for the one that there is, too. */
static struct path_values *next_path(struct sock *sock, const void *path)
{
    return path == &sock->options.association.path ? &sock->options.path : NULL;
}

/* ---- timers and windows */

static bool is_rto(const struct lx_rtoinfo *now, const struct lx_rtoinfo *rto)
{
    return (rto->srto_min != 0 ? rto->srto_min : now->srto_min) <=
           (rto->srto_max != 0 ? rto->srto_max : now->srto_max);
}

static void apply_rto(struct sock *sock)
{
    struct lx_rtoinfo to = options_shared(sock)->rto; /* usrsctp's struct is the same */

    if (to.srto_initial > to.srto_max)
        to.srto_initial = to.srto_max;
    if (to.srto_initial < to.srto_min)
        to.srto_initial = to.srto_min;
    tell(sock, SCTP_RTOINFO, &to, sizeof(to));
}

static void apply_association(struct sock *sock)
{
    const struct shared_values *from = options_shared(sock);
    struct sctp_assocparams to = {.sasoc_asocmaxrxt = from->retransmissions,
                                  .sasoc_cookie_life = from->cookie_life};

    tell(sock, SCTP_ASSOCINFO, &to, sizeof(to));
}

static bool get_association(struct sock *sock, union option_value *value)
{
    struct sctp_assocparams from = {.sasoc_peer_rwnd = 0};

    if (options_associated(sock))
        sock_stack_get(sock, IPPROTO_SCTP, SCTP_ASSOCINFO, &from, sizeof(from));
    value->association.sasoc_number_peer_destinations = from.sasoc_number_peer_destinations;
    value->association.sasoc_peer_rwnd = from.sasoc_peer_rwnd;
    value->association.sasoc_local_rwnd = from.sasoc_local_rwnd;
    return true;
}

static void apply_delivery_point(struct sock *sock)
{
    uint32_t *point = &sock->options.delivery_point;

    if (*point != 0)
        tell(sock, SCTP_PARTIAL_DELIVERY_POINT, point, sizeof(*point));
}

static bool is_segment(const struct sock *sock, uint32_t size)
{
    const uint32_t least = 512 - (sock->family == AF_INET ? 20 : 40) - 12 - 16;
    const uint32_t most = 65535 - 3 - 16;

    return size == 0 || (size >= least && size <= most);
}

static uint32_t fragment_size(struct sock *sock)
{
    uint32_t size = sock_status(sock).sstat_fragmentation_point;
    uint32_t limit = options_shared(sock)->max_segment;

    return (limit != 0 && limit < size ? limit : size) & ~3u;
}

static bool get_segment(struct sock *sock, union option_value *value)
{
    if (options_associated(sock))
        value->value.assoc_value = fragment_size(sock);
    return true;
}

/* ---- paths */

#define IPV4_OVERHEAD (20 + 8 + 12) /* IP, UDP, and SCTP's common header */
#define IPV6_OVERHEAD (40 + 8 + 12)
#define MTU_MIN 512 /* usrsctp's */

static void change_flags(struct path_values *path, uint32_t flags, uint32_t group)
{
    if (flags & group)
        path->flags = (path->flags & ~group) | (flags & group);
}

static bool has_flow_label(const struct sock *sock, const struct path_values *path)
{
    if (path == &sock->options.path)
        return !address_is_v4(&sock->link->remote.ip);
    return path == &sock->options.association.path || sock->family == AF_INET6;
}

static void change_path(struct sock *sock, struct path_values *path,
                        const struct lx_paddrparams *from)
{
    uint32_t flags = from->spp_flags;

    if ((flags & LX_SPP_PMTUD_ENABLE) && (path->flags & LX_SPP_PMTUD_DISABLE))
        path->mtu = 0;
    change_flags(path, flags, LX_SPP_HB);
    change_flags(path, flags, LX_SPP_PMTUD);
    change_flags(path, flags, LX_SPP_SACKDELAY);
    change_flags(path, flags, LX_SPP_DSCP);
    if ((flags & LX_SPP_HB_ENABLE) && (flags & LX_SPP_HB_TIME_IS_ZERO))
        path->interval = 0;
    else if ((flags & LX_SPP_HB_ENABLE) && from->spp_hbinterval != 0)
        path->interval = from->spp_hbinterval;
    if ((flags & LX_SPP_PMTUD_DISABLE) && from->spp_pathmtu != 0)
        path->mtu = from->spp_pathmtu;
    if ((flags & LX_SPP_SACKDELAY_ENABLE) && from->spp_sackdelay != 0)
        path->sack_delay = from->spp_sackdelay;
    if (from->spp_pathmaxrxt != 0)
        path->retransmissions = from->spp_pathmaxrxt;
    if (flags & LX_SPP_DSCP)
        path->dscp = from->spp_dscp & 0xfc;
    if ((flags & LX_SPP_IPV6_FLOWLABEL) && has_flow_label(sock, path)) {
        path->flags |= LX_SPP_IPV6_FLOWLABEL;
        path->flow_label = from->spp_ipv6_flowlabel & 0xfffff;
    }
}

/* Of flags not both at once, of numbers not more than there may be. */
static bool is_path(const struct lx_paddrparams *path)
{
    uint32_t flags = path->spp_flags;

    return (flags & LX_SPP_HB) != LX_SPP_HB && (flags & LX_SPP_PMTUD) != LX_SPP_PMTUD &&
           (flags & LX_SPP_SACKDELAY) != LX_SPP_SACKDELAY && path->spp_sackdelay <= 500 &&
           (path->spp_pathmtu == 0 || path->spp_pathmtu >= 512);
}

static bool set_path(struct sock *sock, const union option_value *value)
{
    const uint8_t *address = value->bytes + offsetof(struct lx_paddrparams, spp_address);
    struct sctp_paddrparams demand = {.spp_address = stack_peer(sock), .spp_flags = SPP_HB_DEMAND};
    bool demands = value->path.spp_flags & LX_SPP_HB_DEMAND;

    if (!is_path(&value->path) ||
        (demands && names_all(sock, address) && !options_associated(sock)))
        return false;
    for (struct path_values *path = find_path(sock, address); path != NULL;
         path = next_path(sock, path))
        change_path(sock, path, &value->path);
    if (demands)
        tell(sock, SCTP_PEER_ADDR_PARAMS, &demand, sizeof(demand));
    return true;
}

static bool get_path(struct sock *sock, union option_value *value)
{
    struct lx_paddrparams *to = &value->path;
    const struct path_values *from =
        find_path(sock, value->bytes + offsetof(struct lx_paddrparams, spp_address));

    if (to->spp_pathmtu == 0 && options_associated(sock))
        to->spp_pathmtu = sock_status(sock).sstat_primary.spinfo_mtu;
    if (from->flags & LX_SPP_IPV6_FLOWLABEL)
        to->spp_ipv6_flowlabel = from->flow_label;
    if (from->flags & LX_SPP_DSCP)
        to->spp_dscp = from->dscp;
    return true;
}

static bool is_to_v4(const struct sock *sock)
{
    return sock->family == AF_INET || (sock->link != NULL && address_is_v4(&sock->link->remote.ip));
}

/* Discovery of the path MTU stays off in usrsctp: the kernel does it, for our UDP. */
void options_apply_mtu(struct sock *sock)
{
    const struct path_values *path = options_path(sock);
    uint32_t overhead = is_to_v4(sock) ? IPV4_OVERHEAD : IPV6_OVERHEAD;
    struct sctp_paddrparams to = {.spp_address = stack_peer(sock), .spp_flags = SPP_PMTUD_DISABLE};

    if (path->mtu == 0 || (path->flags & LX_SPP_PMTUD_ENABLE))
        return;
    to.spp_pathmtu = path->mtu < MTU_MIN + overhead ? MTU_MIN : path->mtu - overhead;
    tell(sock, SCTP_PEER_ADDR_PARAMS, &to, sizeof(to));
}

void options_apply_path(struct sock *sock)
{
    const struct path_values *path = options_path(sock);
    int tos = is_to_v4(sock) ? sock->options.tos : sock->options.traffic_class;
    struct sctp_paddrparams to = {.spp_address = stack_peer(sock),
                                  .spp_hbinterval = path->interval,
                                  .spp_pathmaxrxt = path->retransmissions,
                                  .spp_flags = SPP_DSCP};
    struct sctp_sack_info sack = {.sack_delay = path->sack_delay,
                                  .sack_freq = path->sack_frequency};

    to.spp_flags |= path->flags & LX_SPP_HB_ENABLE ? SPP_HB_ENABLE : SPP_HB_DISABLE;
    if (path->interval == 0)
        to.spp_flags |= SPP_HB_TIME_IS_ZERO;
    to.spp_dscp = path->flags & LX_SPP_DSCP ? path->dscp : (uint8_t)(tos & 0xfc);
    tell(sock, SCTP_PEER_ADDR_PARAMS, &to, sizeof(to));
    options_apply_mtu(sock);
    sock->options.wishes.fragments = path->flags & LX_SPP_PMTUD_DISABLE;
    if (sock->options.wishes.fragments)
        options_wish();
    if (path->flags & LX_SPP_SACKDELAY_DISABLE)
        sack.sack_freq = 1; /* every packet at once */
    tell(sock, SCTP_DELAYED_SACK, &sack, sizeof(sack));
}

static bool set_sack(struct sock *sock, const union option_value *value)
{
    const struct lx_sack_info *from = &value->sack;
    uint32_t flag = from->sack_freq == 1 ? LX_SPP_SACKDELAY_DISABLE : LX_SPP_SACKDELAY_ENABLE;

    if (from->sack_delay > 500)
        return false;
    if (from->sack_delay == 0 && from->sack_freq == 0)
        return true;
    for (struct path_values *path = &options_shared(sock)->path; path != NULL;
         path = next_path(sock, path)) {
        if (from->sack_delay != 0)
            path->sack_delay = from->sack_delay;
        if (from->sack_freq > 1)
            path->sack_frequency = from->sack_freq;
        change_flags(path, flag, LX_SPP_SACKDELAY);
    }
    return true;
}

static bool get_sack(struct sock *sock, union option_value *value)
{
    const struct path_values *from = &options_shared(sock)->path;
    bool delays = from->flags & LX_SPP_SACKDELAY_ENABLE;

    value->sack.sack_delay = delays ? from->sack_delay : 0;
    value->sack.sack_freq = delays ? from->sack_frequency : 1;
    return true;
}

/* ---- what a message is sent with */

uint16_t options_stack_policy(uint16_t policy)
{
    switch (policy & LX_PR_SCTP_MASK) {
    case LX_PR_SCTP_TTL: return SCTP_PR_SCTP_TTL;
    case LX_PR_SCTP_RTX: return SCTP_PR_SCTP_RTX;
    case LX_PR_SCTP_PRIO: return SCTP_PR_SCTP_BUF;
    default: return SCTP_PR_SCTP_NONE;
    }
}

static void apply_send(struct sock *sock)
{
    const struct lx_sndrcvinfo *from = &options_shared(sock)->send;
    struct sctp_sndinfo info = {.snd_sid = from->sinfo_stream,
                                .snd_flags = from->sinfo_flags & LX_UNORDERED ? SCTP_UNORDERED : 0,
                                .snd_ppid = from->sinfo_ppid,
                                .snd_context = from->sinfo_context};
    struct sctp_default_prinfo policy = {.pr_policy = options_stack_policy(from->sinfo_flags),
                                         .pr_value = from->sinfo_timetolive};

    tell(sock, SCTP_DEFAULT_SNDINFO, &info, sizeof(info));
    tell(sock, SCTP_DEFAULT_PRINFO, &policy, sizeof(policy));
}

static bool set_policy(struct sock *sock, const union option_value *value)
{
    const struct lx_default_prinfo *from = &value->prinfo;
    struct lx_sndrcvinfo *to = &options_shared(sock)->send;

    if (from->pr_policy & ~LX_PR_SCTP_MASK)
        return false;
    to->sinfo_flags = (uint16_t)((to->sinfo_flags & ~LX_PR_SCTP_MASK) | from->pr_policy);
    to->sinfo_timetolive = from->pr_policy == 0 ? 0 : from->pr_value;
    return true;
}

static bool get_policy(struct sock *sock, union option_value *value)
{
    value->prinfo.pr_policy = options_shared(sock)->send.sinfo_flags & LX_PR_SCTP_MASK;
    value->prinfo.pr_value = options_shared(sock)->send.sinfo_timetolive;
    return true;
}

/* By stream, usrsctp does not count for each policy. */
static bool get_abandoned(struct sock *sock, union option_value *value, int name)
{
    const uint16_t all = 0x0f;
    uint16_t asked = value->abandoned.sprstat_policy, one = asked & LX_PR_SCTP_MASK;
    struct sctp_prstatus from = {.sprstat_sid = value->abandoned.sprstat_sid,
                                 .sprstat_policy = options_stack_policy(one)};

    if (((asked & LX_PR_SCTP_ALL) != 0) == (one != 0) ||
        (asked & ~(LX_PR_SCTP_MASK | LX_PR_SCTP_ALL)) != 0 || !options_associated(sock))
        return false;
    if (one == 0 || name == SCTP_PR_STREAM_STATUS)
        from.sprstat_policy = all;
    if (sock_stack_get(sock, IPPROTO_SCTP, name, &from, sizeof(from)) == -1)
        return false;
    value->abandoned.sprstat_abandoned_unsent = from.sprstat_abandoned_unsent;
    value->abandoned.sprstat_abandoned_sent = from.sprstat_abandoned_sent;
    return true;
}

static bool get_abandoned_of_all(struct sock *sock, union option_value *value)
{
    return get_abandoned(sock, value, SCTP_PR_ASSOC_STATUS);
}

static bool get_abandoned_of_stream(struct sock *sock, union option_value *value)
{
    return get_abandoned(sock, value, SCTP_PR_STREAM_STATUS);
}

/* ---- streams */

static void apply_scheduler(struct sock *sock)
{
    static const uint32_t schedulers[] = {[LX_SS_FCFS] = SCTP_SS_FIRST_COME,
                                          [LX_SS_PRIO] = SCTP_SS_PRIORITY,
                                          [LX_SS_RR] = SCTP_SS_ROUND_ROBIN};

    tell_value(sock, SCTP_PLUGGABLE_SS, schedulers[options_shared(sock)->scheduler]);
}

/* Only the scheduler with priorities has values for streams. The struct is usrsctp's, too. */
static bool set_stream(struct sock *sock, const union option_value *value)
{
    if (options_associated(sock) && value->stream.stream_id >= sock_status(sock).sstat_outstrms)
        return false;
    if (options_shared(sock)->scheduler == LX_SS_PRIO)
        tell(sock, SCTP_SS_VALUE, &value->stream, sizeof(value->stream));
    return true;
}

static bool get_stream(struct sock *sock, union option_value *value)
{
    struct lx_stream_value *stream = &value->stream;

    if (!options_associated(sock) || stream->stream_id >= sock_status(sock).sstat_outstrms)
        return false;
    stream->stream_value = 0;
    if (options_shared(sock)->scheduler == LX_SS_PRIO)
        sock_stack_get(sock, IPPROTO_SCTP, SCTP_SS_VALUE, stream, sizeof(*stream));
    return true;
}

/* ---- extensions */

/* Have both ends agreed on it? Without an association: is it on? */
static bool has_agreed(struct sock *sock, int stack_name, uint32_t own)
{
    struct sctp_assoc_value agreed = {.assoc_value = own};

    if (options_associated(sock) &&
        sock_stack_get(sock, IPPROTO_SCTP, stack_name, &agreed, sizeof(agreed)) == -1)
        return false;
    return agreed.assoc_value != 0;
}

static bool has_auth(struct sock *sock)
{
    return has_agreed(sock, SCTP_AUTH_SUPPORTED, sock->options.auth);
}

/* usrsctp asks for AUTH, as RFC 5061 does. */
static void apply_asconf(struct sock *sock)
{
    tell_value(sock, SCTP_ASCONF_SUPPORTED, sock->options.asconf && sock->options.auth);
}

static bool is_bound_to_all(const struct sock *sock)
{
    return sock->address_count == 1 && address_is_any(&sock->addresses[0].ip);
}

static bool get_auto_asconf(struct sock *sock, union option_value *value)
{
    value->number = value->number && is_bound_to_all(sock);
    return true;
}

/* Of an association it has been agreed on. */
static bool set_ecn(struct sock *sock, const union option_value *value)
{
    sock->options.socket.ecn = value->value.assoc_value;
    return true;
}

/* ---- the association and its path */

static bool get_primary(struct sock *sock, union option_value *value)
{
    if (!options_associated(sock))
        return false;
    show_peer(sock, value->bytes + offsetof(struct lx_prim, ssp_addr));
    return true;
}

static void fill_info(struct sock *sock, struct lx_paddrinfo *to)
{
    const struct sctp_status status = sock_status(sock);
    const struct sctp_paddrinfo *from = &status.sstat_primary;

    to->spinfo_assoc_id = (int32_t)status.sstat_assoc_id;
    show_peer(sock, (uint8_t *)to + offsetof(struct lx_paddrinfo, spinfo_address));
    /* From here on usrsctp's struct is the same. */
    memcpy((uint8_t *)to + offsetof(struct lx_paddrinfo, spinfo_state), &from->spinfo_state,
           sizeof(*to) - offsetof(struct lx_paddrinfo, spinfo_state));
    to->spinfo_state = from->spinfo_state & SCTP_UNCONFIRMED ? LX_UNCONFIRMED
                       : from->spinfo_state == SCTP_ACTIVE   ? LX_ACTIVE
                                                             : LX_INACTIVE;
}

static bool get_info(struct sock *sock, union option_value *value)
{
    if (!names_peer(sock, value->bytes + offsetof(struct lx_paddrinfo, spinfo_address)))
        return false;
    fill_info(sock, &value->info);
    return true;
}

static bool get_status(struct sock *sock, union option_value *value)
{
    static const int32_t states[] = {[SCTP_CLOSED] = LX_CLOSED,
                                     [SCTP_COOKIE_WAIT] = LX_COOKIE_WAIT,
                                     [SCTP_COOKIE_ECHOED] = LX_COOKIE_ECHOED,
                                     [SCTP_ESTABLISHED] = LX_ESTABLISHED,
                                     [SCTP_SHUTDOWN_PENDING] = LX_SHUTDOWN_PENDING,
                                     [SCTP_SHUTDOWN_SENT] = LX_SHUTDOWN_SENT,
                                     [SCTP_SHUTDOWN_RECEIVED] = LX_SHUTDOWN_RECEIVED,
                                     [SCTP_SHUTDOWN_ACK_SENT] = LX_SHUTDOWN_ACK_SENT};
    struct sctp_status from = sock_status(sock);

    if (!options_associated(sock))
        return false;
    memset(value, 0, sizeof(*value));
    /* Up to here usrsctp's struct is the same. */
    memcpy(value, &from, offsetof(struct lx_status, sstat_fragmentation_point));
    value->status.sstat_state = states[from.sstat_state];
    value->status.sstat_fragmentation_point = fragment_size(sock);
    fill_info(sock, &value->status.sstat_primary);
    return true;
}

/* ---- notifications */

/* Which messages have a head is the socket's affair, which events are told the association's. */
static void change_events(struct sock *sock)
{
    sock->options.subscribed =
        (uint16_t)((sock->options.socket.events & 1) | (options_shared(sock)->events & ~1));
}

/* 0: there is none of that type. */
static uint16_t event_bit(unsigned type)
{
    bool exists = type >= LX_DATA_IO_EVENT && type <= LX_SEND_FAILED_EVENT;

    if (!exists)
        return 0;
    return (uint16_t)(1u << (type - LX_DATA_IO_EVENT));
}

static bool set_event(struct sock *sock, const union option_value *value)
{
    uint16_t bit = event_bit(value->event.se_type), *events = &options_shared(sock)->events;

    *events = (uint16_t)(value->event.se_on ? *events | bit : *events & ~bit);
    change_events(sock);
    return bit != 0;
}

static bool get_event(struct sock *sock, union option_value *value)
{
    uint16_t bit = event_bit(value->event.se_type);

    value->event.se_on = (options_shared(sock)->events & bit) != 0;
    return bit != 0;
}

/* SCTP_EVENTS: a byte for each, as many as the program knows of. */
static int set_events(struct sock *sock, const uint8_t *value, size_t size)
{
    uint16_t events = sock->options.socket.events;

    if (size > sizeof(struct lx_event_subscribe))
        return fail(EINVAL);
    for (unsigned i = 0; i < size; i++)
        events = (uint16_t)(value[i] ? events | 1u << i : events & ~(1u << i));
    sock->options.socket.events = options_shared(sock)->events = events;
    change_events(sock);
    notify_subscribe(sock);
    return 0;
}

static int get_events(const struct sock *sock, uint8_t *value, socklen_t *size)
{
    if (*size == 0)
        return fail(EINVAL);
    if (*size > sizeof(struct lx_event_subscribe))
        *size = sizeof(struct lx_event_subscribe);
    for (unsigned i = 0; i < *size; i++)
        value[i] = sock->options.socket.events >> i & 1;
    return 0;
}

/* ---- the table */

/* What is in Linux' struct, and where it is kept: members of one size. */
struct field {
    uint8_t at, size, count;
    uint16_t in;
    enum { ALWAYS, UNLESS_ZERO, NEVER } kept; /* NEVER: only given */
};

struct row {
    uint8_t name;
    enum { READ_ONLY, EXACTLY, AT_LEAST } sizes;
    uint8_t size; /* of Linux' struct */
    enum {
        SOCKET, /* kept in struct socket_options */
        SHARED, /* struct shared_values */
        PATH,   /* struct path_values */
        AUTH,   /* RFC 4895, RFC 6525: usrsctp takes the same, and checks it, for programs that */
        CHANGE, /* have turned that on */
    } place;
    struct field fields[6]; /* up to one without a size */
    uint8_t address_at;     /* of PATH */
    uint8_t old_size;       /* of the struct as it was once, or of an int in its place */
    bool write_only;
    bool asks_first; /* whether AUTH is on, then about sizes */
    uint16_t limit;  /* the highest number, if there is one; FLAG: zero or not; CHANGE: see there */
    int stack_name;  /* usrsctp has the same */
    /* What fields do not say; false: EINVAL. */
    bool (*set)(struct sock *sock, const union option_value *value);
    bool (*get)(struct sock *sock, union option_value *value);
    void (*apply)(struct sock *sock); /* usrsctp is told */
};
#define FLAG 1

/* clang-format off */
#define FIELDS(count, type, first, in, kept, when) \
    {offsetof(struct type, first), sizeof(((struct type *)0)->first), count, offsetof(struct in, kept), when}
#define FIELD(type, member, in, kept, when) \
    FIELDS(1, type, member, in, kept, when)
#define NUMBER(member) \
    4, SOCKET, {{0, 4, 1, offsetof(struct socket_options, member), ALWAYS}}
#define VALUE(member) \
    8, SOCKET, {FIELD(lx_assoc_value, assoc_value, socket_options, member, ALWAYS)}
#define SHARED_VALUE(member) \
    8, SHARED, {FIELD(lx_assoc_value, assoc_value, shared_values, member, ALWAYS)}
#define STRUCT(type) \
    sizeof(struct type), SOCKET
#define ADDRESS(type, address) \
    .size = sizeof(struct type), .place = PATH, .address_at = offsetof(struct type, address)

static const struct row rows[] = {
    {LX_RTOINFO, EXACTLY, sizeof(struct lx_rtoinfo), SHARED, .apply = apply_rto, .fields = {
        FIELDS(3, lx_rtoinfo, srto_initial, shared_values, rto.srto_initial, UNLESS_ZERO)}},
    {LX_ASSOCINFO, EXACTLY, sizeof(struct lx_assocparams), SHARED, .get = get_association, .apply = apply_association, .fields = {
        FIELD(lx_assocparams, sasoc_asocmaxrxt, shared_values, retransmissions, UNLESS_ZERO),
        FIELD(lx_assocparams, sasoc_cookie_life, shared_values, cookie_life, UNLESS_ZERO)}},
    {LX_INITMSG, EXACTLY, STRUCT(lx_initmsg), .stack_name = SCTP_INITMSG, .fields = {
        FIELDS(4, lx_initmsg, sinit_num_ostreams, socket_options, init, UNLESS_ZERO)}},
    {LX_NODELAY, AT_LEAST, NUMBER(nodelay), .limit = FLAG, .stack_name = SCTP_NODELAY},
    {LX_PRIMARY_ADDR, EXACTLY, STRUCT(lx_prim), .get = get_primary},
    {LX_ADAPTATION_LAYER, EXACTLY, NUMBER(adaptation), .stack_name = SCTP_ADAPTATION_LAYER},
    {LX_DISABLE_FRAGMENTS, AT_LEAST, NUMBER(no_fragments), .limit = FLAG, .stack_name = SCTP_DISABLE_FRAGMENTS},
    {LX_PEER_ADDR_PARAMS, EXACTLY, ADDRESS(lx_paddrparams, spp_address), .old_size = 152, .set = set_path,
     .get = get_path, .apply = options_apply_path, .fields = {
        FIELD(lx_paddrparams, spp_hbinterval, path_values, interval, NEVER),
        FIELD(lx_paddrparams, spp_pathmaxrxt, path_values, retransmissions, NEVER),
        FIELD(lx_paddrparams, spp_pathmtu, path_values, mtu, NEVER),
        FIELD(lx_paddrparams, spp_sackdelay, path_values, sack_delay, NEVER),
        FIELD(lx_paddrparams, spp_flags, path_values, flags, NEVER)}},
    {LX_DEFAULT_SEND_PARAM, EXACTLY, sizeof(struct lx_sndrcvinfo), SHARED, .apply = apply_send, .fields = {
        FIELD(lx_sndrcvinfo, sinfo_stream, shared_values, send.sinfo_stream, ALWAYS),
        FIELD(lx_sndrcvinfo, sinfo_flags, shared_values, send.sinfo_flags, ALWAYS),
        FIELDS(3, lx_sndrcvinfo, sinfo_ppid, shared_values, send.sinfo_ppid, ALWAYS)}},
    {LX_I_WANT_MAPPED_V4_ADDR, AT_LEAST, NUMBER(mapped_v4), .limit = FLAG},
    {LX_MAXSEG, EXACTLY, SHARED_VALUE(max_segment), .old_size = 4, .stack_name = SCTP_MAXSEG, .get = get_segment},
    {LX_STATUS, READ_ONLY, STRUCT(lx_status), .get = get_status},
    {LX_GET_PEER_ADDR_INFO, READ_ONLY, STRUCT(lx_paddrinfo), .get = get_info},
    {LX_DELAYED_SACK, EXACTLY, STRUCT(lx_sack_info), .old_size = 8, .set = set_sack, .get = get_sack, .apply = options_apply_path},
    {LX_CONTEXT, EXACTLY, SHARED_VALUE(context), .stack_name = SCTP_CONTEXT},
    {LX_FRAGMENT_INTERLEAVE, EXACTLY, NUMBER(interleave), .limit = FLAG, .stack_name = SCTP_FRAGMENT_INTERLEAVE},
    {LX_PARTIAL_DELIVERY_POINT, EXACTLY, NUMBER(delivery_point), .apply = apply_delivery_point},
    {LX_MAX_BURST, EXACTLY, SHARED_VALUE(max_burst), .old_size = 4, .stack_name = SCTP_MAX_BURST},
    {LX_AUTH_CHUNK, EXACTLY, 1, AUTH, .asks_first = true, .write_only = true, .stack_name = SCTP_AUTH_CHUNK},
    {LX_HMAC_IDENT, AT_LEAST, 4, AUTH, .asks_first = true, .stack_name = SCTP_HMAC_IDENT},
    {LX_AUTH_KEY, AT_LEAST, 9, AUTH, .write_only = true, .stack_name = SCTP_AUTH_KEY},
    {LX_AUTH_ACTIVE_KEY, EXACTLY, 8, AUTH, .stack_name = SCTP_AUTH_ACTIVE_KEY},
    {LX_AUTH_DELETE_KEY, EXACTLY, 8, AUTH, .write_only = true, .stack_name = SCTP_AUTH_DELETE_KEY},
    {LX_PEER_AUTH_CHUNKS, READ_ONLY, 8, AUTH, .stack_name = SCTP_PEER_AUTH_CHUNKS},
    {LX_LOCAL_AUTH_CHUNKS, READ_ONLY, 8, AUTH, .stack_name = SCTP_LOCAL_AUTH_CHUNKS},
    {LX_AUTO_ASCONF, AT_LEAST, NUMBER(auto_asconf), .limit = FLAG, .get = get_auto_asconf},
    {LX_PEER_ADDR_THLDS, AT_LEAST, ADDRESS(lx_paddrthlds_v2, spt_address), .apply = options_apply_path, .fields = {
        FIELD(lx_paddrthlds_v2, spt_pathmaxrxt, path_values, retransmissions, UNLESS_ZERO),
        FIELD(lx_paddrthlds_v2, spt_pathpfthld, path_values, failed_after, ALWAYS),
        FIELD(lx_paddrthlds_v2, spt_pathcpthld, path_values, switched_after, NEVER)}},
    {LX_RECVRCVINFO, AT_LEAST, NUMBER(want_rcvinfo), .limit = FLAG},
    {LX_RECVNXTINFO, AT_LEAST, NUMBER(want_nxtinfo), .limit = FLAG, .stack_name = SCTP_RECVNXTINFO},
    {LX_DEFAULT_SNDINFO, EXACTLY, sizeof(struct lx_sndinfo), SHARED, .apply = apply_send, .fields = {
        FIELD(lx_sndinfo, snd_sid, shared_values, send.sinfo_stream, ALWAYS),
        FIELD(lx_sndinfo, snd_flags, shared_values, send.sinfo_flags, ALWAYS),
        FIELDS(2, lx_sndinfo, snd_ppid, shared_values, send.sinfo_ppid, ALWAYS)}},
    {LX_AUTH_DEACTIVATE_KEY, EXACTLY, 8, AUTH, .write_only = true, .stack_name = SCTP_AUTH_DEACTIVATE_KEY},
    {LX_REUSE_PORT, AT_LEAST, NUMBER(sctp_reuse_port), .limit = FLAG},
    {LX_PEER_ADDR_THLDS_V2, AT_LEAST, ADDRESS(lx_paddrthlds_v2, spt_address), .apply = options_apply_path, .fields = {
        FIELD(lx_paddrthlds_v2, spt_pathmaxrxt, path_values, retransmissions, UNLESS_ZERO),
        FIELD(lx_paddrthlds_v2, spt_pathpfthld, path_values, failed_after, ALWAYS),
        FIELD(lx_paddrthlds_v2, spt_pathcpthld, path_values, switched_after, ALWAYS)}},
    {LX_PR_SUPPORTED, EXACTLY, VALUE(partial_reliability), .limit = FLAG, .stack_name = SCTP_PR_SUPPORTED},
    {LX_DEFAULT_PRINFO, EXACTLY, STRUCT(lx_default_prinfo), .set = set_policy, .get = get_policy, .apply = apply_send},
    {LX_PR_ASSOC_STATUS, READ_ONLY, STRUCT(lx_prstatus), .get = get_abandoned_of_all},
    {LX_PR_STREAM_STATUS, READ_ONLY, STRUCT(lx_prstatus), .get = get_abandoned_of_stream},
    {LX_RECONFIG_SUPPORTED, EXACTLY, VALUE(reconfiguration), .limit = FLAG, .stack_name = SCTP_RECONFIG_SUPPORTED},
    {LX_ENABLE_STREAM_RESET, EXACTLY, SHARED_VALUE(stream_reset), .limit = LX_ENABLE_STRRESET_MASK, .stack_name = SCTP_ENABLE_STREAM_RESET},
    {LX_RESET_STREAMS, AT_LEAST, 8, CHANGE, .write_only = true, .limit = LX_ENABLE_RESET_STREAM_REQ, .stack_name = SCTP_RESET_STREAMS},
    {LX_RESET_ASSOC, EXACTLY, 4, CHANGE, .write_only = true, .limit = LX_ENABLE_RESET_ASSOC_REQ, .stack_name = SCTP_RESET_ASSOC},
    {LX_ADD_STREAMS, EXACTLY, 8, CHANGE, .write_only = true, .limit = LX_ENABLE_CHANGE_ASSOC_REQ, .stack_name = SCTP_ADD_STREAMS},
    {LX_STREAM_SCHEDULER, AT_LEAST, SHARED_VALUE(scheduler), .limit = LX_SS_RR, .apply = apply_scheduler},
    {LX_STREAM_SCHEDULER_VALUE, AT_LEAST, STRUCT(lx_stream_value), .set = set_stream, .get = get_stream},
    {LX_EVENT, AT_LEAST, STRUCT(lx_event), .set = set_event, .get = get_event, .apply = notify_subscribe},
    {LX_ASCONF_SUPPORTED, EXACTLY, VALUE(asconf), .limit = FLAG, .stack_name = SCTP_ASCONF_SUPPORTED, .apply = apply_asconf},
    {LX_AUTH_SUPPORTED, EXACTLY, VALUE(auth), .limit = FLAG, .stack_name = SCTP_AUTH_SUPPORTED},
    {LX_ECN_SUPPORTED, EXACTLY, 8, SHARED, .limit = FLAG, .set = set_ecn, .fields = {FIELD(lx_assoc_value, assoc_value, shared_values, ecn, NEVER)}},
    {LX_EXPOSE_POTENTIALLY_FAILED_STATE, EXACTLY, SHARED_VALUE(expose_failed), .limit = 2},
    {LX_REMOTE_UDP_ENCAPS_PORT, EXACTLY, ADDRESS(lx_udpencaps, sue_address), .fields = {
        FIELD(lx_udpencaps, sue_port, path_values, udp_port, ALWAYS)}},
    {LX_PLPMTUD_PROBE_INTERVAL, EXACTLY, ADDRESS(lx_probeinterval, spi_address), .fields = {
        FIELD(lx_probeinterval, spi_interval, path_values, probe_interval, ALWAYS)}},
};
/* clang-format on */
#define ROWS (sizeof(rows) / sizeof(rows[0]))
_Static_assert(ROWS <= 64, "touched has a bit for each");

/* ---- set */

#define SEND_FLAGS (LX_UNORDERED | LX_ADDR_OVER | LX_ABORT | LX_EOF)

/* False: EINVAL. */
static bool is_valid(struct sock *sock, const struct row *row, const union option_value *value)
{
    switch (row->name) {
    case LX_RTOINFO: return is_rto(&options_shared(sock)->rto, &value->rto);
    case LX_PRIMARY_ADDR:
        return names_peer(sock, value->bytes + offsetof(struct lx_prim, ssp_addr));
    case LX_DEFAULT_SEND_PARAM: return (value->sndrcv.sinfo_flags & ~SEND_FLAGS) == 0;
    case LX_DEFAULT_SNDINFO: return (value->snd.snd_flags & ~SEND_FLAGS) == 0;
    case LX_MAXSEG: return is_segment(sock, value->value.assoc_value);
    case LX_PARTIAL_DELIVERY_POINT:
        return value->number <= (uint32_t)sock->options.receive_buffer / 2;
    case LX_AUTO_ASCONF: return value->number == 0 || is_bound_to_all(sock);
    case LX_PEER_ADDR_THLDS_V2:
        return value->thresholds.spt_pathpfthld <= value->thresholds.spt_pathcpthld;
    case LX_PLPMTUD_PROBE_INTERVAL:
        return value->probe.spi_interval == 0 || value->probe.spi_interval >= 5000;
    default: return row->limit <= FLAG || value->value.assoc_value <= row->limit;
    }
}

/* ---- AUTH, and changes of streams: usrsctp checks the rest */

/* The errno, or 0. */
static int refuse(struct sock *sock, const struct row *row)
{
    if (row->name == LX_PEER_AUTH_CHUNKS && !options_associated(sock))
        return EINVAL;
    if (row->place == AUTH)
        return has_auth(sock) ? 0 : EACCES;
    if (!options_associated(sock))
        return EINVAL;
    return has_agreed(sock, SCTP_RECONFIG_SUPPORTED, 0) &&
                   (options_shared(sock)->stream_reset & row->limit)
               ? 0
               : ENOPROTOOPT;
}

/* In the form of today. False: it is not as long as it has to be. */
static bool take(const struct row *row, const void *from, size_t size, union option_value *value)
{
    memset(value, 0, sizeof(*value));
    memcpy(value, from, size < sizeof(*value) ? size : sizeof(*value));
    if ((row->name == LX_AUTH_KEY && value->key.sca_keylength + sizeof(value->key) > size) ||
        (row->name == LX_RESET_STREAMS &&
         value->reset.srs_number_streams * sizeof(uint16_t) + sizeof(value->reset) > size))
        return false;
    if (size == row->size || (row->sizes == AT_LEAST && size > row->size))
        return true;
    if (row->old_size == sizeof(int))
        value->value = (struct lx_assoc_value){.assoc_value = value->number};
    else if (row->name == LX_DELAYED_SACK)
        value->sack.sack_freq = value->sack.sack_delay == 0;
    else if (value->path.spp_flags & (LX_SPP_DSCP | LX_SPP_IPV6_FLOWLABEL))
        return false;
    return row->old_size != 0 && size == row->old_size;
}

/* Of those that are one number. */
static uint32_t *number_in(const struct row *row, union option_value *value)
{
    return row->size == sizeof(value->number) ? &value->number : &value->value.assoc_value;
}

/* Where fields are kept; NULL with errno: there is no such path. */
static char *find_place(struct sock *sock, const struct row *row, const union option_value *value)
{
    struct path_values *path;

    switch (row->place) {
    case SHARED: return (char *)options_shared(sock);
    case PATH:
        path = find_path(sock, value->bytes + row->address_at);
        errno =
            row->name == LX_PEER_ADDR_THLDS || row->name == LX_PEER_ADDR_THLDS_V2 ? ENOENT : EINVAL;
        return (char *)path;
    default: return (char *)&sock->options;
    }
}

static void keep_fields(const struct row *row, const union option_value *value, char *place)
{
    static const uint8_t zeros[4];

    for (const struct field *field = row->fields; field->size > 0; field++)
        for (size_t at = 0; at < field->count * field->size; at += field->size) {
            const uint8_t *from = value->bytes + field->at + at;
            if (field->kept == ALWAYS ||
                (field->kept == UNLESS_ZERO && memcmp(from, zeros, field->size) != 0))
                memcpy(place + field->in + at, from, field->size);
        }
}

static void apply(struct sock *sock, const struct row *row)
{
    const struct field *field = &row->fields[0];
    uint32_t number;

    if (row->apply != NULL) {
        row->apply(sock);
    } else if (row->stack_name != 0 && field->at == 0) {
        tell(sock, row->stack_name, (char *)&sock->options + field->in, field->count * field->size);
    } else if (row->stack_name != 0) {
        memcpy(&number, find_place(sock, row, NULL) + field->in, sizeof(number));
        tell_value(sock, row->stack_name, number);
    }
}

static int set_row(struct sock *sock, const struct row *row, union option_value *value)
{
    char *place;

    if (!is_valid(sock, row, value))
        return fail(EINVAL);
    if (row->limit == FLAG)
        *number_in(row, value) = *number_in(row, value) != 0;
    place = find_place(sock, row, value);
    if (place == NULL)
        return -1;
    if (row->set != NULL && !row->set(sock, value))
        return fail(EINVAL);
    for (; place != NULL; place = (char *)next_path(sock, place))
        keep_fields(row, value, place);
    sock->options.touched |= UINT64_C(1) << (row - rows);
    apply(sock, row);
    return 0;
}

static int set(struct sock *sock, const struct row *row, const void *value, size_t size)
{
    union option_value from;

    if (row->sizes == READ_ONLY)
        return fail(ENOPROTOOPT);
    if (row->name == LX_REUSE_PORT && sock->port != 0)
        return fail(EFAULT); /* whatever its size */
    if (row->asks_first && !has_auth(sock))
        return fail(EACCES);
    if (!take(row, value, size, &from))
        return fail(EINVAL);
    if (row->place != AUTH && row->place != CHANGE)
        return set_row(sock, row, &from);
    int error = refuse(sock, row);
    return error != 0 ? fail(error)
                      : sock_stack_set(sock, IPPROTO_SCTP, row->stack_name, value, size);
}

void options_sctp_prepare(struct sock *sock)
{
    for (size_t i = 0; i < ROWS; i++)
        if (sock->options.touched & UINT64_C(1) << i)
            apply(sock, &rows[i]);
    if (sock->options.subscribed != 0)
        notify_subscribe(sock);
}

static const struct row *find_row(int name)
{
    for (size_t i = 0; i < ROWS; i++)
        if (rows[i].name == name)
            return &rows[i];
    return NULL;
}

int options_sctp_set(struct sock *sock, int name, const void *value, size_t size)
{
    const struct row *row = find_row(name);

    if (row != NULL)
        return set(sock, row, value, size);
    switch (name) {
    case LX_EVENTS: return set_events(sock, value, size);
    case LX_SOCKOPT_BINDX_ADD:
    case LX_SOCKOPT_BINDX_REM: return options_bindx(sock, name, value, size);
    case LX_SOCKOPT_CONNECTX_OLD:
    case LX_SOCKOPT_CONNECTX: return options_connectx(sock, value, size);
    case LX_AUTOCLOSE: /* has no meaning with one association per socket */ return fail(EOPNOTSUPP);
    case LX_SET_PEER_PRIMARY_ADDR: /* nor has this one */
        return fail(sock->options.asconf && !options_associated(sock) ? EINVAL : EPERM);
    case LX_INTERLEAVING_SUPPORTED: /* net.sctp.intl_enable is off */
        return fail(size < sizeof(struct lx_assoc_value) ? EINVAL : EPERM);
    default: return fail(ENOPROTOOPT);
    }
}

/* ---- get */

/* How much of a buffer of that size is filled; 0: it is too short. */
static size_t given_size(const struct row *row, size_t room)
{
    if (room >= row->size)
        return row->size;
    return room == row->old_size || (room > row->old_size && row->place == PATH) ? row->old_size
                                                                                 : 0;
}

static int give(struct sock *sock, const struct row *row, union option_value *value)
{
    const char *place = find_place(sock, row, value);

    if (place == NULL)
        return -1;
    for (const struct field *field = row->fields; field->size > 0; field++)
        memcpy(value->bytes + field->at, place + field->in, field->count * field->size);
    if (place == (char *)&sock->options.path)
        show_peer(sock, value->bytes + row->address_at);
    if (row->place == SOCKET && row->limit == FLAG && row->size == sizeof(value->value))
        value->value.assoc_value = has_agreed(sock, row->stack_name, value->value.assoc_value);
    return row->get == NULL || row->get(sock, value) ? 0 : fail(EINVAL);
}

static int get(struct sock *sock, const struct row *row, void *value, socklen_t *size)
{
    union option_value to = {.bytes = {0}};
    size_t given = given_size(row, *size);

    if (row->write_only)
        return fail(row->place == AUTH ? EOPNOTSUPP : ENOPROTOOPT);
    if (row->asks_first && !has_auth(sock))
        return fail(EACCES);
    if (given == 0)
        return fail(EINVAL);
    if (row->place == AUTH) {
        int error = refuse(sock, row);
        return error != 0 || sock->so == NULL
                   ? fail(error != 0 ? error : EINVAL)
                   : usrsctp_getsockopt(sock->so, IPPROTO_SCTP, row->stack_name, value, size);
    }
    memcpy(&to, value, given);
    if (give(sock, row, &to) == -1)
        return -1;
    if (given == sizeof(int) && given < row->size)
        to.number = to.value.assoc_value;
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
        return fail(EINVAL);
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
        return get(sock, row, value, size);
    switch (name) {
    case LX_EVENTS: return get_events(sock, value, size);
    case LX_GET_PEER_ADDRS:
    case LX_GET_LOCAL_ADDRS: return options_get_addresses(sock, name, value, size);
    case LX_GET_ASSOC_STATS: /* usrsctp does not count */
        return options_associated(sock) ? give_zeros(value, size, id, sizeof(struct lx_assoc_stats))
                                        : fail(EINVAL);
    case LX_INTERLEAVING_SUPPORTED: return give_zeros(value, size, pair, pair);
    case LX_SOCKOPT_PEELOFF:
    case LX_SOCKOPT_PEELOFF_FLAGS: return fail(EINVAL);
    case LX_AUTOCLOSE:
    case LX_GET_ASSOC_NUMBER:
    case LX_GET_ASSOC_ID_LIST: return fail(EOPNOTSUPP);
    default: return fail(ENOPROTOOPT);
    }
}
