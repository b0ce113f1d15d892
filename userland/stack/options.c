/* getsockopt and setsockopt: Linux' options, in usrsctp's terms where those differ.
 *
 * What a socket cannot do fails with ENOPROTOOPT, as an unknown option does on Linux. */
#include "options.h"
#include "linux_sctp.h"
#include "ports.h"
#include <errno.h>
#include <ifaddrs.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LX_LEVEL_SOCKET 1000 /* keeps apart what is kept of two levels */

static int fail(int error)
{
    errno = error;
    return -1;
}

/* ---- options that outlive the stack socket that they were set on */

struct replay {
    int level, name;
    size_t length;
    struct replay *next;
    _Alignas(8) unsigned char value[];
};

/* Keeps a value in place of an older one. Level 0: an option of Linux' that usrsctp is not told. */
static int keep(struct sock *sock, int level, int name, const void *value, size_t length)
{
    struct replay **at = &sock->replay;

    while (*at != NULL && ((*at)->level != level || (*at)->name != name))
        at = &(*at)->next;
    if (*at != NULL) {
        struct replay *old = *at;
        *at = old->next;
        free(old);
    }
    while (*at != NULL)
        at = &(*at)->next;
    struct replay *kept = malloc(sizeof *kept + length);
    if (kept == NULL)
        return -1;
    *kept = (struct replay){.level = level, .name = name, .length = length};
    memcpy(kept->value, value, length);
    *at = kept;
    return 0;
}

/* 0 if there is none. */
static int kept_number(const struct sock *sock, int level, int name)
{
    int number = 0;

    for (struct replay *kept = sock->replay; kept != NULL; kept = kept->next)
        if (kept->level == level && kept->name == name && kept->length >= sizeof number)
            memcpy(&number, kept->value, sizeof number);
    return number;
}

int options_stack_set(struct sock *sock, int level, int name, const void *value, size_t length)
{
    if (sock->so != NULL && usrsctp_setsockopt(sock->so, level, name, value, (socklen_t)length) < 0)
        return -1;
    return sock->was_connected ? 0 : keep(sock, level, name, value, length);
}

int options_stack_get(struct sock *sock, int level, int name, void *value, size_t length)
{
    socklen_t size = (socklen_t)length;

    if (sock->so == NULL)
        return fail(EINVAL);
    return usrsctp_getsockopt(sock->so, level, name, value, &size);
}

static int replay_options(const struct sock *sock, struct socket *so)
{
    for (struct replay *kept = sock->replay; kept != NULL; kept = kept->next)
        if (kept->level != 0 && usrsctp_setsockopt(so, kept->level, kept->name, kept->value,
                                                   (socklen_t)kept->length) < 0)
            return -1;
    return 0;
}

void options_free(struct sock *sock)
{
    while (sock->replay != NULL) {
        struct replay *kept = sock->replay;
        sock->replay = kept->next;
        free(kept);
    }
}

/* ---- notifications */

/* By bit of subscribed, which is by Linux' order; 0: usrsctp has none, or none of its
 * own. */
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
                                        0,
                                        0,
                                        0,
                                        SCTP_SEND_FAILED_EVENT};
#define EVENT_COUNT (sizeof stack_events / sizeof stack_events[0])

static int subscribe(struct socket *so, uint16_t type, bool on)
{
    struct sctp_event event = {.se_type = type, .se_on = on};

    return type == 0 ? 0 : usrsctp_setsockopt(so, IPPROTO_SCTP, SCTP_EVENT, &event, sizeof event);
}

static int apply_subscriptions(struct sock *sock, struct socket *so, uint16_t changed)
{
    bool failures = sock->options.subscribed & (1u << 3 | 1u << 13); /* two forms of one event */

    for (unsigned i = 1; i < EVENT_COUNT; i++) {
        bool on = sock->options.subscribed & (1u << i) ||
                  (stack_events[i] == SCTP_SEND_FAILED_EVENT && failures);
        if ((changed & (1u << i)) && subscribe(so, stack_events[i], on) < 0)
            return -1;
    }
    return 0;
}

int options_prepare(struct sock *sock, struct socket *so)
{
    int on = 1;

    if (sock->options.want_nxtinfo &&
        usrsctp_setsockopt(so, IPPROTO_SCTP, SCTP_RECVNXTINFO, &on, sizeof on) < 0)
        return -1;
    return apply_subscriptions(sock, so, sock->options.subscribed) < 0 ? -1
                                                                       : replay_options(sock, so);
}

static int change_subscriptions(struct sock *sock, uint16_t subscribed)
{
    uint16_t changed = sock->options.subscribed ^ subscribed;

    sock->options.subscribed = subscribed;
    return sock->so == NULL ? 0 : apply_subscriptions(sock, sock->so, changed);
}

static int set_events(struct sock *sock, const void *value, size_t length)
{
    uint16_t subscribed = sock->options.subscribed;
    const uint8_t *bytes = value;

    if (length > sizeof(struct lx_event_subscribe))
        return fail(EINVAL);
    for (unsigned i = 0; i < length; i++)
        subscribed = (uint16_t)(bytes[i] ? subscribed | 1u << i : subscribed & ~(1u << i));
    return change_subscriptions(sock, subscribed);
}

static int get_events(struct sock *sock, void *value, socklen_t *length)
{
    uint8_t *bytes = value;

    if (*length == 0)
        return fail(EINVAL);
    if (*length > sizeof(struct lx_event_subscribe))
        *length = sizeof(struct lx_event_subscribe);
    for (unsigned i = 0; i < *length; i++)
        bytes[i] = (sock->options.subscribed >> i) & 1;
    return 0;
}

static int set_event(struct sock *sock, const void *value, size_t length)
{
    struct lx_event event;

    if (length < sizeof event)
        return fail(EINVAL);
    memcpy(&event, value, sizeof event);
    if (event.type < LX_SN_DATA_IO || event.type > LX_SN_SEND_FAILED_EVENT)
        return fail(EINVAL);
    unsigned bit = 1u << (event.type - LX_SN_DATA_IO);
    return change_subscriptions(sock, (uint16_t)(event.on ? sock->options.subscribed | bit
                                                          : sock->options.subscribed & ~bit));
}

static int get_event(struct sock *sock, void *value, socklen_t *length)
{
    struct lx_event event;

    if (*length < sizeof event)
        return fail(EINVAL);
    memcpy(&event, value, sizeof event);
    if (event.type < LX_SN_DATA_IO || event.type > LX_SN_SEND_FAILED_EVENT)
        return fail(EINVAL);
    event.on = (sock->options.subscribed >> (event.type - LX_SN_DATA_IO)) & 1;
    *length = sizeof event;
    memcpy(value, &event, sizeof event);
    return 0;
}

/* ---- helpers for the options below: each takes and gives Linux' struct. Some have to be of
 * the very size, some may be longer: as net/sctp/socket.c has it. */

#define TAKE(variable)                                                                             \
    do {                                                                                           \
        if (length < sizeof(variable))                                                             \
            return fail(EINVAL);                                                                   \
        memcpy(&(variable), value, sizeof(variable));                                              \
    } while (0)

#define TAKE_EXACTLY(variable)                                                                     \
    do {                                                                                           \
        if (length != sizeof(variable))                                                            \
            return fail(EINVAL);                                                                   \
        memcpy(&(variable), value, sizeof(variable));                                              \
    } while (0)

#define GIVE(variable)                                                                             \
    do {                                                                                           \
        *length = sizeof(variable);                                                                \
        memcpy(value, &(variable), sizeof(variable));                                              \
        return 0;                                                                                  \
    } while (0)

#define CHECK_ROOM(variable)                                                                       \
    do {                                                                                           \
        if (*length < sizeof(variable))                                                            \
            return fail(EINVAL);                                                                   \
        memcpy(&(variable), value, sizeof(variable));                                              \
    } while (0)

#define SET(name, structure)                                                                       \
    options_stack_set(sock, IPPROTO_SCTP, name, &(structure), sizeof(structure))
#define GET(name, structure)                                                                       \
    options_stack_get(sock, IPPROTO_SCTP, name, &(structure), sizeof(structure))

int32_t options_association_id(struct sock *sock)
{
    struct sctp_status status = {.sstat_assoc_id = 0};

    if (!sock_has_association(sock) || GET(SCTP_STATUS, status) < 0)
        return 0;
    return (int32_t)status.sstat_assoc_id;
}

/* ---- options of an association or of those to come */

/* Those that are the same but for the order and the width of what they hold. */
struct field {
    uint8_t offset, stack_offset, size;
    bool read_only;
};

struct record_option {
    int name, stack_name;
    size_t size, stack_size;
    struct field fields[6]; /* up to one without a size */
};

#define FIELD(ours, member, theirs, stack_member, is_read_only)                                    \
    {                                                                                              \
        offsetof(struct ours, member), offsetof(struct theirs, stack_member),                      \
            sizeof(((struct ours *)0)->member), is_read_only                                       \
    }
#define RECORD_MAX 64

_Static_assert(sizeof(struct sctp_assocparams) <= RECORD_MAX, "the largest of them");

static const struct record_option records[] = {
    {LX_RTOINFO,
     SCTP_RTOINFO,
     sizeof(struct lx_rtoinfo),
     sizeof(struct sctp_rtoinfo),
     {FIELD(lx_rtoinfo, initial, sctp_rtoinfo, srto_initial, false),
      FIELD(lx_rtoinfo, max, sctp_rtoinfo, srto_max, false),
      FIELD(lx_rtoinfo, min, sctp_rtoinfo, srto_min, false)}},
    {LX_ASSOCINFO,
     SCTP_ASSOCINFO,
     sizeof(struct lx_assocparams),
     sizeof(struct sctp_assocparams),
     {FIELD(lx_assocparams, asocmaxrxt, sctp_assocparams, sasoc_asocmaxrxt, false),
      FIELD(lx_assocparams, number_peer_destinations, sctp_assocparams,
            sasoc_number_peer_destinations, true),
      FIELD(lx_assocparams, peer_rwnd, sctp_assocparams, sasoc_peer_rwnd, true),
      FIELD(lx_assocparams, local_rwnd, sctp_assocparams, sasoc_local_rwnd, true),
      FIELD(lx_assocparams, cookie_life, sctp_assocparams, sasoc_cookie_life, false)}},
    {LX_INITMSG,
     SCTP_INITMSG,
     sizeof(struct lx_initmsg),
     sizeof(struct sctp_initmsg),
     {FIELD(lx_initmsg, num_ostreams, sctp_initmsg, sinit_num_ostreams, false),
      FIELD(lx_initmsg, max_instreams, sctp_initmsg, sinit_max_instreams, false),
      FIELD(lx_initmsg, max_attempts, sctp_initmsg, sinit_max_attempts, false),
      FIELD(lx_initmsg, max_init_timeo, sctp_initmsg, sinit_max_init_timeo, false)}},
};

static const struct record_option *find_record(int name)
{
    for (size_t i = 0; i < sizeof records / sizeof records[0]; i++)
        if (records[i].name == name)
            return &records[i];
    return NULL;
}

static int set_record(struct sock *sock, const struct record_option *option, const void *value,
                      size_t length)
{
    _Alignas(8) uint8_t to[RECORD_MAX] = {0};

    if (length != option->size)
        return fail(EINVAL);
    for (const struct field *field = option->fields; field->size > 0; field++)
        if (!field->read_only)
            memcpy(to + field->stack_offset, (const uint8_t *)value + field->offset, field->size);
    return options_stack_set(sock, IPPROTO_SCTP, option->stack_name, to, option->stack_size);
}

/* An association's id, which none of the fields is, stays as it was. */
static int get_record(struct sock *sock, const struct record_option *option, void *value,
                      socklen_t *length)
{
    _Alignas(8) uint8_t from[RECORD_MAX] = {0};

    if (*length < option->size)
        return fail(EINVAL);
    if (options_stack_get(sock, IPPROTO_SCTP, option->stack_name, from, option->stack_size) < 0)
        return -1;
    for (const struct field *field = option->fields; field->size > 0; field++)
        if (field->read_only && !sock_has_association(sock))
            memset((uint8_t *)value + field->offset, 0, field->size);
        else
            memcpy((uint8_t *)value + field->offset, from + field->stack_offset, field->size);
    *length = (socklen_t)option->size;
    return 0;
}

/* An address that an option names must be the peer's; none means every path, and there is
 * one. */
static bool names_peer(const struct sock *sock, const struct sockaddr_storage *address)
{
    struct address parsed;

    if (address->ss_family == AF_UNSPEC)
        return true;
    if (!sock_has_association(sock) ||
        sock_read_address(sock, (const struct sockaddr *)address, sizeof *address, &parsed) < 0)
        return false;
    return address_is_any(&parsed.ip) ||
           (parsed.port == sock->peer_port && address_same_ip(&parsed, &sock->link->remote));
}

static struct sockaddr_storage stack_peer(const struct sock *sock)
{
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    struct sockaddr_conn peer = {
        .sconn_family = AF_CONN, .sconn_port = htons(sock->peer_port), .sconn_addr = sock->link};

    if (sock_has_association(sock))
        memcpy(&address, &peer, sizeof peer);
    return address;
}

static int set_sack(struct sock *sock, uint32_t delay_ms, uint32_t frequency)
{
    struct sctp_sack_info to = {.sack_delay = delay_ms, .sack_freq = frequency};

    if (delay_ms > 500)
        return fail(EINVAL);
    return SET(SCTP_DELAYED_SACK, to);
}

/* Both at once, or more than there is of one: as net/sctp/socket.c has it. */
static bool valid_path_flags(const struct lx_paddrparams *params)
{
    uint32_t flags = params->flags;
    uint32_t heartbeat = flags & (LX_SPP_HB_ENABLE | LX_SPP_HB_DISABLE);
    uint32_t discovery = flags & (LX_SPP_PMTUD_ENABLE | LX_SPP_PMTUD_DISABLE);
    uint32_t sack = flags & (LX_SPP_SACKDELAY_ENABLE | LX_SPP_SACKDELAY_DISABLE);

    return heartbeat != (LX_SPP_HB_ENABLE | LX_SPP_HB_DISABLE) &&
           discovery != (LX_SPP_PMTUD_ENABLE | LX_SPP_PMTUD_DISABLE) &&
           sack != (LX_SPP_SACKDELAY_ENABLE | LX_SPP_SACKDELAY_DISABLE) &&
           params->sackdelay <= 500 && (params->pathmtu == 0 || params->pathmtu >= 512);
}

#define OLD_PADDRPARAMS_SIZE ((offsetof(struct lx_paddrparams, ipv6_flowlabel) + 3) & ~(size_t)3)

/* Path MTU discovery stays off: the kernel does it, for our UDP. */
static int set_paddrparams(struct sock *sock, const void *value, size_t length)
{
    struct lx_paddrparams from = {.assoc_id = 0};

    if (length != sizeof from && length != OLD_PADDRPARAMS_SIZE)
        return fail(EINVAL);
    memcpy(&from, value, length);
    struct sockaddr_storage address = from.address;
    if (!valid_path_flags(&from) || !names_peer(sock, &address))
        return fail(EINVAL);
    struct sctp_paddrparams to = {
        .spp_address = stack_peer(sock),
        .spp_hbinterval = from.hbinterval,
        .spp_pathmaxrxt = from.pathmaxrxt,
        .spp_flags = from.flags & (LX_SPP_HB_ENABLE | LX_SPP_HB_DISABLE | LX_SPP_HB_TIME_IS_ZERO)};
    if ((from.flags & LX_SPP_HB_DEMAND) && sock_has_association(sock))
        to.spp_flags |= SPP_HB_DEMAND;
    if (from.pathmtu != 0 && (from.flags & LX_SPP_PMTUD_DISABLE)) {
        to.spp_flags |= SPP_PMTUD_DISABLE;
        to.spp_pathmtu = from.pathmtu;
    }
    if ((from.flags & LX_SPP_SACKDELAY_DISABLE) && set_sack(sock, 0, 1) < 0)
        return -1;
    if ((from.flags & LX_SPP_SACKDELAY_ENABLE) && from.sackdelay != 0 &&
        set_sack(sock, from.sackdelay, 0) < 0)
        return -1;
    return SET(SCTP_PEER_ADDR_PARAMS, to);
}

static int get_paddrparams(struct sock *sock, void *value, socklen_t *length)
{
    struct lx_paddrparams to = {.assoc_id = 0};
    struct sctp_paddrparams from = {.spp_assoc_id = 0};
    struct sctp_sack_info sack = {.sack_assoc_id = 0};
    size_t size = *length >= sizeof to ? sizeof to : OLD_PADDRPARAMS_SIZE;

    if (*length < size)
        return fail(EINVAL);
    memcpy(&to, value, size);
    struct sockaddr_storage address = to.address;
    if (!names_peer(sock, &address))
        return fail(EINVAL);
    from.spp_address = stack_peer(sock);
    if (GET(SCTP_PEER_ADDR_PARAMS, from) < 0 || GET(SCTP_DELAYED_SACK, sack) < 0)
        return -1;
    to.hbinterval = from.spp_hbinterval;
    to.pathmaxrxt = from.spp_pathmaxrxt;
    to.pathmtu = sock_has_association(sock) ? from.spp_pathmtu : 0;
    to.sackdelay = sack.sack_delay;
    to.flags = (from.spp_flags & (LX_SPP_HB_ENABLE | LX_SPP_HB_DISABLE)) | LX_SPP_PMTUD_ENABLE |
               (sack.sack_freq == 1 ? LX_SPP_SACKDELAY_DISABLE : LX_SPP_SACKDELAY_ENABLE);
    *length = (socklen_t)size;
    memcpy(value, &to, size);
    return 0;
}

static int set_delayed_sack(struct sock *sock, const void *value, size_t length)
{
    struct lx_sack_info from = {.freq = 0};

    if (length == sizeof(struct lx_assoc_value)) { /* the older form: 0 turns it off */
        memcpy(&from, value, length);
        return from.delay == 0 ? set_sack(sock, 0, 1) : set_sack(sock, from.delay, 2);
    }
    TAKE_EXACTLY(from);
    return from.delay == 0 && from.freq == 0 ? 0 : set_sack(sock, from.delay, from.freq);
}

static int get_delayed_sack(struct sock *sock, void *value, socklen_t *length)
{
    struct lx_sack_info to;
    struct sctp_sack_info from = {.sack_assoc_id = 0};

    struct lx_assoc_value old; /* before there was a frequency */

    if (*length < sizeof to && *length != sizeof old)
        return fail(EINVAL);
    memcpy(&to, value, *length < sizeof to ? sizeof old : sizeof to);
    if (GET(SCTP_DELAYED_SACK, from) < 0)
        return -1;
    to.delay = from.sack_freq == 1 ? 0 : from.sack_delay; /* every packet at once: no delay */
    to.freq = from.sack_freq;
    if (*length < sizeof to) {
        old = (struct lx_assoc_value){.assoc_id = to.assoc_id, .value = to.delay};
        GIVE(old);
    }
    GIVE(to);
}

/* ---- what one number says */

struct number_option {
    int name, stack_name;
    bool boolean, exact, remembered;
};

static const struct number_option numbers[] = {
    {LX_NODELAY, SCTP_NODELAY, true, false, false},
    {LX_DISABLE_FRAGMENTS, SCTP_DISABLE_FRAGMENTS, true, false, false},
    {LX_FRAGMENT_INTERLEAVE, SCTP_FRAGMENT_INTERLEAVE, true, true, true},
    {LX_PARTIAL_DELIVERY_POINT, SCTP_PARTIAL_DELIVERY_POINT, false, true, true},
    {LX_ADAPTATION_LAYER, SCTP_ADAPTATION_LAYER, false, true, false},
};

static const struct number_option *find_number(int name)
{
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (numbers[i].name == name)
            return &numbers[i];
    return NULL;
}

static int set_number(struct sock *sock, const struct number_option *option, const void *value,
                      size_t length)
{
    int number;

    TAKE(number);
    if (option->exact && length != sizeof number)
        return fail(EINVAL);
    if (option->boolean)
        number = number != 0;
    if (option->remembered && keep(sock, 0, option->name, &number, sizeof number) < 0)
        return -1;
    return SET(option->stack_name, number);
}

static int get_number(struct sock *sock, const struct number_option *option, void *value,
                      socklen_t *length)
{
    int number = 0;

    if (*length < sizeof number)
        return fail(EINVAL);
    if (GET(option->stack_name, number) < 0)
        return -1;
    if (option->boolean)
        number = number != 0;
    if (option->remembered) /* usrsctp has another default */
        number = kept_number(sock, 0, option->name);
    GIVE(number);
}

/* A struct, or for some a bare number. */
struct value_option {
    int name, stack_name;
    bool bare;
};

static const struct value_option values[] = {
    {LX_MAXSEG, SCTP_MAXSEG, true},
    {LX_MAX_BURST, SCTP_MAX_BURST, true},
    {LX_CONTEXT, SCTP_CONTEXT, false},
    {LX_PR_SUPPORTED, SCTP_PR_SUPPORTED, false},
};

static const struct value_option *find_value(int name)
{
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        if (values[i].name == name)
            return &values[i];
    return NULL;
}

static int set_value(struct sock *sock, const struct value_option *option, const void *value,
                     size_t length)
{
    struct sctp_assoc_value to = {.assoc_id = 0};
    struct lx_assoc_value from;

    if (length == sizeof to.assoc_value && option->bare) {
        memcpy(&to.assoc_value, value, sizeof to.assoc_value);
    } else {
        TAKE_EXACTLY(from);
        to.assoc_value = from.value;
    }
    if (option->name == LX_MAXSEG && to.assoc_value != 0 && to.assoc_value < 460)
        return fail(EINVAL);
    return SET(option->stack_name, to);
}

static int get_value(struct sock *sock, const struct value_option *option, void *value,
                     socklen_t *length)
{
    struct sctp_assoc_value from = {.assoc_id = 0};
    struct lx_assoc_value to;

    if (*length < (option->bare ? sizeof from.assoc_value : sizeof to))
        return fail(EINVAL);
    if (GET(option->stack_name, from) < 0)
        return -1;
    if (*length < sizeof to)
        GIVE(from.assoc_value);
    memcpy(&to, value, sizeof to);
    to.value = from.assoc_value;
    GIVE(to);
}

/* ---- defaults of a send */

static int set_default_send(struct sock *sock, uint16_t stream, uint16_t flags, uint32_t ppid,
                            uint32_t context)
{
    struct sctp_sndinfo to = {.snd_sid = stream,
                              .snd_flags = (uint16_t)(flags & LX_UNORDERED ? SCTP_UNORDERED : 0),
                              .snd_ppid = ppid,
                              .snd_context = context};

    if (flags & (uint16_t) ~(LX_UNORDERED | LX_ADDR_OVER | LX_ABORT | LX_EOF))
        return fail(EINVAL);
    return SET(SCTP_DEFAULT_SNDINFO, to);
}

static int set_default_sndrcv(struct sock *sock, const void *value, size_t length)
{
    struct lx_sndrcvinfo from;

    TAKE_EXACTLY(from);
    return set_default_send(sock, from.stream, from.flags, from.ppid, from.context);
}

static int set_default_sndinfo(struct sock *sock, const void *value, size_t length)
{
    struct lx_sndinfo from;

    TAKE_EXACTLY(from);
    return set_default_send(sock, from.sid, from.flags, from.ppid, from.context);
}

static int get_default_sndinfo(struct sock *sock, void *value, socklen_t *length)
{
    struct lx_sndinfo to;
    struct sctp_sndinfo from = {.snd_sid = 0};

    CHECK_ROOM(to);
    if (GET(SCTP_DEFAULT_SNDINFO, from) < 0)
        return -1;
    to.sid = from.snd_sid;
    to.flags = from.snd_flags & SCTP_UNORDERED ? LX_UNORDERED : 0;
    to.ppid = from.snd_ppid;
    to.context = from.snd_context;
    GIVE(to);
}

static int get_default_sndrcv(struct sock *sock, void *value, socklen_t *length)
{
    struct lx_sndrcvinfo to;
    struct sctp_sndinfo from = {.snd_sid = 0};

    CHECK_ROOM(to);
    if (GET(SCTP_DEFAULT_SNDINFO, from) < 0)
        return -1;
    to.stream = from.snd_sid;
    to.flags = from.snd_flags & SCTP_UNORDERED ? LX_UNORDERED : 0;
    to.ppid = from.snd_ppid;
    to.context = from.snd_context;
    to.timetolive = 0;
    GIVE(to);
}

/* ---- what is only read */

static int32_t path_state(int32_t state)
{
    if (state & SCTP_UNCONFIRMED)
        return LX_UNCONFIRMED;
    return state == SCTP_ACTIVE ? LX_ACTIVE : LX_INACTIVE;
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

static void fill_path(const struct sock *sock, const struct sctp_paddrinfo *from,
                      struct lx_paddrinfo *to)
{
    struct sockaddr_storage address;
    struct address peer = sock_peer(sock);

    sock_write_address(sock, &peer, &address);
    *to = (struct lx_paddrinfo){.assoc_id = (int32_t)from->spinfo_assoc_id,
                                .address = address,
                                .state = path_state(from->spinfo_state),
                                .cwnd = from->spinfo_cwnd,
                                .srtt = from->spinfo_srtt,
                                .rto = from->spinfo_rto,
                                .mtu = from->spinfo_mtu};
}

static int get_status(struct sock *sock, void *value, socklen_t *length)
{
    struct lx_status to;
    struct sctp_status from = {.sstat_assoc_id = 0};

    if (*length < sizeof to || !sock_has_association(sock))
        return fail(EINVAL);
    if (GET(SCTP_STATUS, from) < 0)
        return -1;
    to = (struct lx_status){.assoc_id = (int32_t)from.sstat_assoc_id,
                            .state = association_state(from.sstat_state),
                            .rwnd = from.sstat_rwnd,
                            .unackdata = from.sstat_unackdata,
                            .penddata = from.sstat_penddata,
                            .instrms = from.sstat_instrms,
                            .outstrms = from.sstat_outstrms,
                            .fragmentation_point = from.sstat_fragmentation_point};
    from.sstat_primary.spinfo_assoc_id = from.sstat_assoc_id;
    fill_path(sock, &from.sstat_primary, &to.primary);
    GIVE(to);
}

static int get_peer_info(struct sock *sock, void *value, socklen_t *length)
{
    struct lx_paddrinfo to;
    struct sctp_paddrinfo from = {.spinfo_assoc_id = 0};

    CHECK_ROOM(to);
    struct sockaddr_storage address = to.address;
    if (!sock_has_association(sock) || address.ss_family == AF_UNSPEC ||
        !names_peer(sock, &address))
        return fail(EINVAL);
    from.spinfo_address = stack_peer(sock);
    if (GET(SCTP_GET_PEER_ADDR_INFO, from) < 0)
        return -1;
    from.spinfo_assoc_id = (sctp_assoc_t)options_association_id(sock);
    fill_path(sock, &from, &to);
    GIVE(to);
}

/* ---- addresses */

struct address_list {
    uint8_t *at;
    size_t room;
    uint32_t count;
};

static int list_address(const struct sock *sock, const struct address *address,
                        struct address_list *list)
{
    struct sockaddr_storage formatted;
    size_t size = sock_write_address(sock, address, &formatted);

    if (size > list->room)
        return fail(ENOMEM);
    memcpy(list->at, &formatted, size);
    list->at += size;
    list->room -= size;
    list->count++;
    return 0;
}

/* The wildcard stands for every address that the host has, of the families that the
 * socket speaks. */
static int list_host_addresses(const struct sock *sock, struct address_list *list)
{
    struct ifaddrs *all;
    int result = 0;

    if (getifaddrs(&all) < 0)
        return -1;
    for (struct ifaddrs *one = all; one != NULL && result == 0; one = one->ifa_next) {
        struct address address;
        int saved = errno;
        if (one->ifa_addr == NULL ||
            sock_read_address(sock, one->ifa_addr, sizeof(struct sockaddr_in6), &address) < 0) {
            errno = saved;
            continue;
        }
        address.port = sock->port;
        result = list_address(sock, &address, list);
    }
    freeifaddrs(all);
    return result;
}

static int list_bound(const struct sock *sock, struct address_list *list)
{
    if (sock->link != NULL) {
        struct address address = sock->link->local;
        address.port = sock->port;
        return list_address(sock, &address, list);
    }
    for (unsigned i = 0; i < sock->address_count; i++) {
        struct address address = sock->addresses[i];
        address.port = sock->port;
        int result = address_is_any(&address.ip) ? list_host_addresses(sock, list)
                                                 : list_address(sock, &address, list);
        if (result < 0)
            return -1;
    }
    return 0;
}

static int get_addresses(struct sock *sock, int name, void *value, socklen_t *length)
{
    struct lx_getaddrs head;

    if (*length < sizeof head)
        return fail(EINVAL);
    memcpy(&head, value, sizeof head);
    struct address_list list = {.at = (uint8_t *)value + sizeof head,
                                .room = *length - sizeof head};
    int result;
    if (name == LX_GET_LOCAL_ADDRS) {
        result = list_bound(sock, &list);
    } else if (sock_has_association(sock) && sock_association_state(sock) >= 0) {
        struct address peer = sock_peer(sock);
        result = list_address(sock, &peer, &list);
    } else {
        return fail(EINVAL);
    }
    if (result < 0)
        return -1;
    head.addr_num = list.count;
    memcpy(value, &head, sizeof head);
    *length = (socklen_t)(list.at - (uint8_t *)value); /* of local ones, without the head */
    if (name == LX_GET_LOCAL_ADDRS)
        *length -= (socklen_t)sizeof head;
    return 0;
}

/* sctp_bindx(3) and sctp_connectx(3) pass addresses of both families, one after the
 * other. How many there are, or -1 with errno. *addresses is the caller's to free. */
static int parse_packed(const struct sock *sock, const void *value, size_t length,
                        struct address **addresses)
{
    const uint8_t *at = value;
    unsigned count = 0;
    struct address *list = calloc(length / sizeof(struct sockaddr_in) + 1, sizeof *list);

    *addresses = list;
    if (list == NULL)
        return -1;
    while (length > 0) {
        sa_family_t family = AF_UNSPEC;
        if (length >= sizeof family)
            memcpy(&family, at, sizeof family);
        size_t size = family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
        struct sockaddr_storage one = {.ss_family = AF_UNSPEC};
        if (size > length)
            return fail(EINVAL);
        memcpy(&one, at, size);
        if (sock_read_address(sock, (struct sockaddr *)&one, (socklen_t)size, &list[count]) < 0)
            return -1;
        count++;
        at += size;
        length -= size;
    }
    return count == 0 ? fail(EINVAL) : (int)count;
}

static int bindx(struct sock *sock, int name, const void *value, size_t length)
{
    struct address *addresses;
    int count = parse_packed(sock, value, length, &addresses);
    int result = -1;

    if (count > 0)
        result = name == LX_BINDX_ADD ? ports_add(sock, addresses, (unsigned)count)
                                      : ports_remove(sock, addresses, (unsigned)count);
    free(addresses);
    return result;
}

/* There is one path per association: the first address that can be reached is taken. */
static int connectx(struct sock *sock, const void *value, size_t length)
{
    struct address *addresses;
    int result = -1;

    if (length > 0 && (sock->state == SOCKET_CONNECTED || sock->state == SOCKET_LISTENING))
        return fail(EISCONN);
    int count = parse_packed(sock, value, length, &addresses);
    for (int i = 0; i < count; i++) {
        result = sock_connect(sock, &addresses[i]);
        if (result == 0 || (errno != ENETUNREACH && errno != EHOSTUNREACH))
            break;
    }
    free(addresses);
    return result < 0 ? -1 : fail(EINPROGRESS);
}

/* A getsockopt that connects. */
static int connectx3(struct sock *sock, const void *value, size_t length)
{
    struct lx_getaddrs_old head;

    TAKE(head);
    if (head.addr_num < 0 || (size_t)head.addr_num > length - sizeof head)
        return fail(EINVAL);
    return connectx(sock, (const uint8_t *)value + sizeof head, (size_t)head.addr_num);
}

static int set_primary(struct sock *sock, const void *value, size_t length)
{
    struct lx_prim prim;

    TAKE(prim);
    struct sockaddr_storage address = prim.addr;
    return address.ss_family != AF_UNSPEC && names_peer(sock, &address) ? 0 : fail(EINVAL);
}

static int get_primary(struct sock *sock, void *value, socklen_t *length)
{
    struct lx_prim prim;
    struct sockaddr_storage address;
    struct address peer = sock_peer(sock);

    CHECK_ROOM(prim);
    if (!sock_has_association(sock))
        return fail(EINVAL);
    sock_write_address(sock, &peer, &address);
    prim.addr = address;
    GIVE(prim);
}

/* ---- flags that are ours alone */

static int set_flag(bool *flag, const void *value, size_t length)
{
    int on;

    TAKE(on);
    *flag = on != 0;
    return 0;
}

static int give_int(int number, void *value, socklen_t *length)
{
    if (*length < sizeof number)
        return fail(EINVAL);
    GIVE(number);
}

static int set_want_nxtinfo(struct sock *sock, const void *value, size_t length)
{
    if (set_flag(&sock->options.want_nxtinfo, value, length) < 0)
        return -1;
    int on = sock->options.want_nxtinfo;
    return sock->so == NULL
               ? 0
               : usrsctp_setsockopt(sock->so, IPPROTO_SCTP, SCTP_RECVNXTINFO, &on, sizeof on);
}

static int set_mapped(struct sock *sock, const void *value, size_t length)
{
    bool mapped = true;

    if (set_flag(&mapped, value, length) < 0)
        return -1;
    sock->options.v4_unmapped = !mapped;
    return 0;
}

static int set_reuse_port(struct sock *sock, const void *value, size_t length)
{
    if (sock->port != 0)
        return fail(EFAULT); /* as net/sctp/socket.c */
    return set_flag(&sock->options.reuse_port, value, length);
}

/* ---- level SCTP */

/* Those that the stack doesn't know, or knows otherwise. */
static int set_sctp_own(struct sock *sock, int name, const void *value, size_t length)
{
    switch (name) {
    case LX_RECVRCVINFO: return set_flag(&sock->options.want_rcvinfo, value, length);
    case LX_RECVNXTINFO: return set_want_nxtinfo(sock, value, length);
    case LX_I_WANT_MAPPED_V4_ADDR: return set_mapped(sock, value, length);
    case LX_REUSE_PORT: return set_reuse_port(sock, value, length);
    case LX_BINDX_ADD:
    case LX_BINDX_REM: return bindx(sock, name, value, length);
    case LX_CONNECTX: return connectx(sock, value, length);
    case LX_PRIMARY_ADDR: return set_primary(sock, value, length);
    case LX_AUTOCLOSE: /* has no meaning with one association per socket */ return fail(EOPNOTSUPP);
    default: return fail(ENOPROTOOPT);
    }
}

static int set_sctp(struct sock *sock, int name, const void *value, size_t length)
{
    const struct number_option *number = find_number(name);
    const struct value_option *bare = find_value(name);
    const struct record_option *record = find_record(name);

    if (record != NULL)
        return set_record(sock, record, value, length);
    if (number != NULL)
        return set_number(sock, number, value, length);
    if (bare != NULL)
        return set_value(sock, bare, value, length);
    switch (name) {
    case LX_PEER_ADDR_PARAMS: return set_paddrparams(sock, value, length);
    case LX_DELAYED_SACK: return set_delayed_sack(sock, value, length);
    case LX_DEFAULT_SEND_PARAM: return set_default_sndrcv(sock, value, length);
    case LX_DEFAULT_SNDINFO: return set_default_sndinfo(sock, value, length);
    case LX_EVENTS: return set_events(sock, value, length);
    case LX_EVENT: return set_event(sock, value, length);
    default: return set_sctp_own(sock, name, value, length);
    }
}

static int get_sctp_own(struct sock *sock, int name, void *value, socklen_t *length)
{
    switch (name) {
    case LX_GET_PEER_ADDRS:
    case LX_GET_LOCAL_ADDRS: return get_addresses(sock, name, value, length);
    case LX_CONNECTX3: return connectx3(sock, value, *length);
    case LX_PRIMARY_ADDR: return get_primary(sock, value, length);
    case LX_RECVRCVINFO: return give_int(sock->options.want_rcvinfo, value, length);
    case LX_RECVNXTINFO: return give_int(sock->options.want_nxtinfo, value, length);
    case LX_I_WANT_MAPPED_V4_ADDR: return give_int(!sock->options.v4_unmapped, value, length);
    case LX_REUSE_PORT: return give_int(sock->options.reuse_port, value, length);
    case LX_PEELOFF: return fail(EINVAL);
    case LX_AUTOCLOSE:
    case LX_GET_ASSOC_NUMBER:
    case LX_GET_ASSOC_ID_LIST: return fail(EOPNOTSUPP);
    default: return fail(ENOPROTOOPT);
    }
}

static int get_sctp(struct sock *sock, int name, void *value, socklen_t *length)
{
    const struct number_option *number = find_number(name);
    const struct value_option *bare = find_value(name);
    const struct record_option *record = find_record(name);

    if (record != NULL)
        return get_record(sock, record, value, length);
    if (number != NULL)
        return get_number(sock, number, value, length);
    if (bare != NULL)
        return get_value(sock, bare, value, length);
    switch (name) {
    case LX_PEER_ADDR_PARAMS: return get_paddrparams(sock, value, length);
    case LX_DELAYED_SACK: return get_delayed_sack(sock, value, length);
    case LX_DEFAULT_SEND_PARAM: return get_default_sndrcv(sock, value, length);
    case LX_DEFAULT_SNDINFO: return get_default_sndinfo(sock, value, length);
    case LX_EVENTS: return get_events(sock, value, length);
    case LX_EVENT: return get_event(sock, value, length);
    case LX_STATUS: return get_status(sock, value, length);
    case LX_GET_PEER_ADDR_INFO: return get_peer_info(sock, value, length);
    default: return get_sctp_own(sock, name, value, length);
    }
}

/* ---- level SOL_SOCKET */

#define SEND_BUFFER_MIN 4608
#define RECEIVE_BUFFER_MIN 2304

/* net.core.{r,w}mem_max */
static int buffer_max(const char *path)
{
    FILE *file = fopen(path, "re");
    int max = SOCKET_BUFFER;

    if (file == NULL)
        return max;
    if (fscanf(file, "%d", &max) != 1 || max <= 0 || max > INT_MAX / 2)
        max = SOCKET_BUFFER;
    fclose(file);
    return max;
}

/* Linux doubles what it is asked for, within limits (socket(7)). */
static int set_buffer(struct sock *sock, int name, const void *value, size_t length)
{
    bool sends = name == SO_SNDBUF;
    int size, least = sends ? SEND_BUFFER_MIN : RECEIVE_BUFFER_MIN;

    TAKE(size);
    int most = buffer_max(sends ? "/proc/sys/net/core/wmem_max" : "/proc/sys/net/core/rmem_max");
    if (size > most || size < 0)
        size = most;
    size = size * 2 < least ? least : size * 2;
    if (options_stack_set(sock, SOL_SOCKET, name, &size, sizeof size) < 0)
        return -1;
    *(sends ? &sock->options.send_buffer : &sock->options.receive_buffer) = size;
    return 0;
}

/* At this level the kernel gives as much as there is room for (net/core/sock.c). */
static int give_part(const void *from, size_t size, void *value, socklen_t *length)
{
    if (*length > size)
        *length = (socklen_t)size;
    memcpy(value, from, *length);
    return 0;
}

static int give_int_part(int number, void *value, socklen_t *length)
{
    return give_part(&number, sizeof number, value, length);
}

static int set_linger(struct sock *sock, const void *value, size_t length)
{
    TAKE(sock->options.linger);
    return 0;
}

static int set_timeout(struct timeval *timeout, const void *value, size_t length)
{
    struct timeval from;

    TAKE(from);
    if (from.tv_usec < 0 || from.tv_usec >= 1000000)
        return fail(EDOM);
    if (from.tv_sec < 0)
        from = (struct timeval){.tv_sec = 0};
    *timeout = from;
    return 0;
}

/* Those without an effect on SCTP. */
static bool only_kept(int name)
{
    switch (name) {
    case SO_KEEPALIVE:
    case SO_BROADCAST:
    case SO_OOBINLINE:
    case SO_DEBUG:
    case SO_DONTROUTE:
    case SO_PRIORITY:
    case SO_RCVLOWAT: return true;
    default: return false;
    }
}

static int set_kept(struct sock *sock, int name, const void *value, size_t length)
{
    int number;

    TAKE(number);
    return keep(sock, 0, LX_LEVEL_SOCKET + name, &number, sizeof number);
}

static int set_socket(struct sock *sock, int name, const void *value, size_t length)
{
    switch (name) {
    case SO_SNDBUF:
    case SO_RCVBUF: return set_buffer(sock, name, value, length);
    case SO_RCVTIMEO: return set_timeout(&sock->options.receive_timeout, value, length);
    case SO_SNDTIMEO: return set_timeout(&sock->options.send_timeout, value, length);
    case SO_REUSEADDR: return set_flag(&sock->options.reuse_address, value, length);
    case SO_REUSEPORT: return set_flag(&sock->options.reuse_port, value, length);
    case SO_LINGER: return set_linger(sock, value, length);
    default: return only_kept(name) ? set_kept(sock, name, value, length) : fail(ENOPROTOOPT);
    }
}

static int take_error(struct sock *sock)
{
    sock_refresh(sock);
    int error = sock->error;
    sock->error = 0;
    return error;
}

static int get_socket(struct sock *sock, int name, void *value, socklen_t *length)
{
    switch (name) {
    case SO_ERROR: return give_int_part(take_error(sock), value, length);
    case SO_TYPE: return give_int_part(SOCK_STREAM, value, length);
    case SO_PROTOCOL: return give_int_part(IPPROTO_SCTP, value, length);
    case SO_DOMAIN: return give_int_part(sock->family, value, length);
    case SO_ACCEPTCONN: return give_int_part(sock->state == SOCKET_LISTENING, value, length);
    case SO_SNDBUF:
        return give_int_part(sock->options.send_buffer != 0 ? sock->options.send_buffer
                                                            : SOCKET_BUFFER,
                             value, length);
    case SO_RCVBUF:
        return give_int_part(sock->options.receive_buffer != 0 ? sock->options.receive_buffer
                                                               : SOCKET_BUFFER,
                             value, length);
    case SO_RCVTIMEO:
        return give_part(&sock->options.receive_timeout, sizeof(struct timeval), value, length);
    case SO_SNDTIMEO:
        return give_part(&sock->options.send_timeout, sizeof(struct timeval), value, length);
    case SO_REUSEADDR: return give_int_part(sock->options.reuse_address, value, length);
    case SO_REUSEPORT: return give_int_part(sock->options.reuse_port, value, length);
    case SO_LINGER:
        return give_part(&sock->options.linger, sizeof sock->options.linger, value, length);
    default:
        return only_kept(name)
                   ? give_int_part(kept_number(sock, 0, LX_LEVEL_SOCKET + name), value, length)
                   : fail(ENOPROTOOPT);
    }
}

/* ---- */

static int set_v6only(struct sock *sock, const void *value, size_t length)
{
    if (sock->family != AF_INET6)
        return fail(ENOPROTOOPT);
    if (sock->port != 0)
        return fail(EINVAL);
    return set_flag(&sock->options.v6only, value, length);
}

int options_set(struct sock *sock, int level, int name, const void *value, size_t size)
{
    if (level == SOL_SOCKET)
        return set_socket(sock, name, value, size);
    if (level == IPPROTO_SCTP)
        return set_sctp(sock, name, value, size);
    if (level == IPPROTO_IPV6 && name == IPV6_V6ONLY)
        return set_v6only(sock, value, size);
    return fail(ENOPROTOOPT);
}

int options_get(struct sock *sock, int level, int name, void *value, socklen_t *size)
{
    if (level == SOL_SOCKET)
        return get_socket(sock, name, value, size);
    if (level == IPPROTO_SCTP)
        return get_sctp(sock, name, value, size);
    if (level == IPPROTO_IPV6 && name == IPV6_V6ONLY && sock->family == AF_INET6)
        return give_int(sock->options.v6only, value, size);
    return fail(ENOPROTOOPT);
}

void options_inherit(struct sock *sock, const struct sock *listener)
{
    sock->options = listener->options;
    for (struct replay *kept = listener->replay; kept != NULL; kept = kept->next)
        if (kept->level == 0)
            keep(sock, 0, kept->name, kept->value, kept->length);
}
