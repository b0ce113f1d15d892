/* usrsctp is told of an option. Linux has accepted the value by then, so there are no errors: what
 * usrsctp refuses, it does as near to it as it can. */
#include "options_values.h"
#include <string.h>

#define IPV4_OVERHEAD (20 + 8 + 12) /* IP, UDP, and SCTP's common header */
#define IPV6_OVERHEAD (40 + 8 + 12)
#define MTU_MIN 512 /* usrsctp's */

static void tell(struct socket *so, int name, const void *value, size_t size)
{
    usrsctp_setsockopt(so, IPPROTO_SCTP, name, value, (socklen_t)size);
}

static struct sockaddr_storage peer_name(const struct sock *sock)
{
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};

    if (sock_has_association(sock))
        address = sock_stack_name(sock->peer_port, sock->link).room;
    return address;
}

/* ---- one after the other */

static void apply_rto(const struct shared_values *values, struct socket *so)
{
    uint32_t initial = values->rto_initial;

    if (initial > values->rto_max)
        initial = values->rto_max;
    if (initial < values->rto_min)
        initial = values->rto_min;
    struct sctp_rtoinfo to = {
        .srto_initial = initial, .srto_max = values->rto_max, .srto_min = values->rto_min};
    tell(so, SCTP_RTOINFO, &to, sizeof(to));
}

static void apply_association(const struct shared_values *values, struct socket *so)
{
    struct sctp_assocparams to = {.sasoc_asocmaxrxt = values->retransmissions,
                                  .sasoc_cookie_life = values->cookie_life};

    tell(so, SCTP_ASSOCINFO, &to, sizeof(to));
}

static void apply_init(const struct lx_initmsg *from, struct socket *so)
{
    struct sctp_initmsg to = {.sinit_num_ostreams = from->num_ostreams,
                              .sinit_max_instreams = from->max_instreams,
                              .sinit_max_attempts = from->max_attempts,
                              .sinit_max_init_timeo = from->max_init_timeo};

    tell(so, SCTP_INITMSG, &to, sizeof(to));
}

static uint16_t stack_policy(uint16_t flags)
{
    switch (flags & LX_PR_MASK) {
    case LX_PR_TTL: return SCTP_PR_SCTP_TTL;
    case LX_PR_RTX: return SCTP_PR_SCTP_RTX;
    case LX_PR_PRIO: return SCTP_PR_SCTP_BUF;
    default: return SCTP_PR_SCTP_NONE;
    }
}

static void apply_send(const struct lx_sndrcvinfo *from, struct socket *so)
{
    struct sctp_sndinfo info = {.snd_sid = from->stream,
                                .snd_flags = from->flags & LX_UNORDERED ? SCTP_UNORDERED : 0,
                                .snd_ppid = from->ppid,
                                .snd_context = from->context};
    struct sctp_default_prinfo policy = {.pr_policy = stack_policy(from->flags),
                                         .pr_value = from->timetolive};

    tell(so, SCTP_DEFAULT_SNDINFO, &info, sizeof(info));
    tell(so, SCTP_DEFAULT_PRINFO, &policy, sizeof(policy));
}

static void apply_sack(const struct path_values *path, struct socket *so)
{
    struct sctp_sack_info to = {.sack_delay = path->sack_delay, .sack_freq = path->sack_frequency};

    if (path->flags & LX_SPP_SACKDELAY_DISABLE)
        to.sack_freq = 1; /* every packet at once */
    tell(so, SCTP_DELAYED_SACK, &to, sizeof(to));
}

/* Discovery of the path MTU stays off in usrsctp: the kernel does it, for our UDP. */
static void apply_mtu(const struct sock *sock, const struct path_values *path, struct socket *so)
{
    bool v4 =
        sock->family == AF_INET || (sock->link != NULL && address_is_v4(&sock->link->remote.ip));
    uint32_t overhead = v4 ? IPV4_OVERHEAD : IPV6_OVERHEAD;
    struct sctp_paddrparams to = {.spp_address = peer_name(sock), .spp_flags = SPP_PMTUD_DISABLE};

    if (path->mtu == 0 || (path->flags & LX_SPP_PMTUD_ENABLE))
        return;
    to.spp_pathmtu = path->mtu < MTU_MIN + overhead ? MTU_MIN : path->mtu - overhead;
    tell(so, SCTP_PEER_ADDR_PARAMS, &to, sizeof(to));
}

void options_apply_mtu(struct sock *sock)
{
    apply_mtu(sock, options_path(sock), sock->so);
}

static void apply_path(struct sock *sock, const struct path_values *path, struct socket *so)
{
    struct sctp_paddrparams to = {.spp_address = peer_name(sock),
                                  .spp_hbinterval = path->interval,
                                  .spp_pathmaxrxt = path->retransmissions,
                                  .spp_flags = SPP_DSCP};

    to.spp_flags |= path->flags & LX_SPP_HB_ENABLE ? SPP_HB_ENABLE : SPP_HB_DISABLE;
    if (path->interval == 0)
        to.spp_flags |= SPP_HB_TIME_IS_ZERO;
    to.spp_dscp = path->flags & LX_SPP_DSCP ? path->dscp : options_system_tos(sock);
    tell(so, SCTP_PEER_ADDR_PARAMS, &to, sizeof(to));
    apply_mtu(sock, path, so);
    sock->options.wishes.fragments = path->flags & LX_SPP_PMTUD_DISABLE;
    if (sock->options.wishes.fragments)
        options_system_wish();
    apply_sack(path, so);
}

void options_send_heartbeat(struct sock *sock)
{
    struct sctp_paddrparams to = {.spp_address = peer_name(sock), .spp_flags = SPP_HB_DEMAND};

    options_stack_set(sock, IPPROTO_SCTP, SCTP_PEER_ADDR_PARAMS, &to, sizeof(to));
}

/* ---- notifications */

/* By bit of events, which is by Linux' order; 0: usrsctp has none, or none of its own. */
static const uint16_t stack_events[] = {0,
                                        SCTP_ASSOC_CHANGE,
                                        SCTP_PEER_ADDR_CHANGE,
                                        SCTP_SEND_FAILED_EVENT,
                                        SCTP_REMOTE_ERROR,
                                        SCTP_SHUTDOWN_EVENT,
                                        SCTP_PARTIAL_DELIVERY_EVENT,
                                        SCTP_ADAPTATION_INDICATION,
                                        SCTP_AUTHENTICATION_EVENT,
                                        SCTP_SENDER_DRY_EVENT,
                                        SCTP_STREAM_RESET_EVENT,
                                        SCTP_ASSOC_RESET_EVENT,
                                        SCTP_STREAM_CHANGE_EVENT,
                                        SCTP_SEND_FAILED_EVENT};

static void apply_events(uint16_t events, struct socket *so)
{
    if (events & 1u << (LX_SN_SEND_FAILED - LX_SN_DATA_IO)) /* two forms of one event */
        events |= 1u << (LX_SN_SEND_FAILED_EVENT - LX_SN_DATA_IO);
    for (unsigned i = 0; i < sizeof(stack_events) / sizeof(stack_events[0]); i++) {
        struct sctp_event event = {.se_type = stack_events[i], .se_on = events >> i & 1};
        struct sctp_event now = event;
        socklen_t size = sizeof(now);
        if (event.se_type != 0 &&
            usrsctp_getsockopt(so, IPPROTO_SCTP, SCTP_EVENT, &now, &size) == 0 &&
            now.se_on != event.se_on)
            tell(so, SCTP_EVENT, &event, sizeof(event));
    }
}

/* ---- */

void options_apply_number(struct sock *sock, struct socket *so, int stack_name, uint32_t number,
                          bool bare)
{
    static const uint32_t schedulers[] = {SCTP_SS_FIRST_COME, SCTP_SS_PRIORITY,
                                          SCTP_SS_ROUND_ROBIN};
    struct sctp_assoc_value value = {.assoc_value = number};

    if (stack_name == SCTP_PARTIAL_DELIVERY_POINT && number == 0)
        return;
    if (stack_name == SCTP_PLUGGABLE_SS)
        value.assoc_value = schedulers[number];
    if (stack_name == SCTP_ASCONF_SUPPORTED) /* usrsctp asks for AUTH, as RFC 5061 does */
        value.assoc_value = number && sock->values->auth;
    if (bare)
        tell(so, stack_name, &number, sizeof(number));
    else
        tell(so, stack_name, &value, sizeof(value));
}

void options_apply(struct sock *sock, struct socket *so, int name)
{
    const struct shared_values *shared = options_shared(sock);
    int wanted = sock->options.want_nxtinfo;

    switch (name) {
    case LX_RTOINFO: apply_rto(shared, so); break;
    case LX_ASSOCINFO: apply_association(shared, so); break;
    case LX_INITMSG: apply_init(&sock->values->init, so); break;
    case LX_DEFAULT_SEND_PARAM:
    case LX_DEFAULT_SNDINFO:
    case LX_DEFAULT_PRINFO: apply_send(&shared->send, so); break;
    case LX_EVENT:
    case LX_EVENTS: apply_events(sock->options.subscribed, so); break;
    case LX_RECVNXTINFO: tell(so, SCTP_RECVNXTINFO, &wanted, sizeof(wanted)); break;
    case LX_PEER_ADDR_PARAMS:
    case LX_PEER_ADDR_THLDS:
    case LX_PEER_ADDR_THLDS_V2:
    case LX_DELAYED_SACK: apply_path(sock, options_path(sock), so); break;
    default: break;
    }
}
