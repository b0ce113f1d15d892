/* Notifications (RFC 6458 section 6): usrsctp's structs, rewritten as Linux'. */
#include "notify.h"
#include "linux_sctp.h"
#include <stddef.h>
#include <string.h>

/* Writes the fixed part and what follows it in the raw one; returns the size. */
static size_t write_note(void *to, const void *fixed, size_t size, const void *rest,
                         size_t rest_size)
{
    if (rest_size > NOTE_MAX - size)
        rest_size = NOTE_MAX - size;
    uint32_t length = (uint32_t)(size + rest_size);
    memcpy(to, fixed, size);
    if (rest_size > 0)
        memcpy((uint8_t *)to + size, rest, rest_size);
    memcpy((uint8_t *)to + 4, &length, sizeof length); /* every kind has its length there */
    return length;
}

static size_t beyond(size_t length, size_t fixed)
{
    return length > fixed ? length - fixed : 0;
}

/* sac_info is the list of features at the start, which Linux doesn't have, and the ABORT chunk at
 * the end: Linux has what follows its header, and the cause as it came from the wire. */
static size_t association_change(const union sctp_notification *raw, size_t length, void *out)
{
    static const uint16_t states[] = {[SCTP_COMM_UP] = 0,
                                      [SCTP_COMM_LOST] = 1,
                                      [SCTP_RESTART] = 2,
                                      [SCTP_SHUTDOWN_COMP] = 3,
                                      [SCTP_CANT_STR_ASSOC] = LX_CANT_STR_ASSOC};
    const struct sctp_assoc_change *from = &raw->sn_assoc_change;
    uint16_t state = from->sac_state <= SCTP_CANT_STR_ASSOC ? states[from->sac_state] : 1;
    struct lx_assoc_change to = {.type = LX_SN_ASSOC_CHANGE,
                                 .state = state,
                                 .error = htons(from->sac_error),
                                 .assoc_id = (int32_t)from->sac_assoc_id};
    const size_t chunk_header = 4;
    bool up = from->sac_state == SCTP_COMM_UP || from->sac_state == SCTP_RESTART;

    if (up) {
        to.outbound_streams = from->sac_outbound_streams;
        to.inbound_streams = from->sac_inbound_streams;
    }

    return write_note(out, &to, sizeof to, from->sac_info + chunk_header,
                      up ? 0 : beyond(length, sizeof *from + chunk_header));
}

static size_t address_change(const struct sock *sock, const union sctp_notification *raw, void *out)
{
    const struct sctp_paddr_change *from = &raw->sn_paddr_change;
    struct address peer = sock_peer(sock);
    struct lx_paddr_change to = {.type = LX_SN_PEER_ADDR_CHANGE,
                                 .state = (int)(from->spc_state - 1),
                                 .error = (int)from->spc_error,
                                 .assoc_id = (int32_t)from->spc_assoc_id};

    if (from->spc_state == SCTP_ADDR_CONFIRMED) /* Linux says so only of further paths */
        return 0;
    sock_write_address(
        sock, &peer,
        (struct sockaddr_storage *)((char *)&to + offsetof(struct lx_paddr_change, aaddr)));
    return write_note(out, &to, sizeof to, NULL, 0);
}

static size_t send_failed(const struct sock *sock, const union sctp_notification *raw,
                          size_t length, void *out)
{
    const struct sctp_send_failed_event *from = &raw->sn_send_failed_event;
    uint16_t flags = from->ssfe_flags & SCTP_DATA_SENT ? 1 : 0;
    struct lx_sndinfo info = {.sid = from->ssfe_info.snd_sid,
                              .ppid = from->ssfe_info.snd_ppid,
                              .context = from->ssfe_info.snd_context,
                              .assoc_id = (int32_t)from->ssfe_assoc_id};
    struct lx_send_failed_event newer = {.type = LX_SN_SEND_FAILED_EVENT,
                                         .flags = flags,
                                         .error = from->ssfe_error,
                                         .info = info,
                                         .assoc_id = info.assoc_id};
    struct lx_send_failed older = {.type = LX_SN_SEND_FAILED,
                                   .flags = flags,
                                   .error = from->ssfe_error,
                                   .info = {.stream = info.sid,
                                            .ppid = info.ppid,
                                            .context = info.context,
                                            .assoc_id = info.assoc_id},
                                   .assoc_id = info.assoc_id};
    size_t rest = beyond(length, sizeof *from);
    bool wants_older = sock->options.subscribed & (1u << (LX_SN_SEND_FAILED - LX_SN_DATA_IO));

    return wants_older ? write_note(out, &older, sizeof older, from->ssfe_data, rest)
                       : write_note(out, &newer, sizeof newer, from->ssfe_data, rest);
}

static size_t remote_error(const union sctp_notification *raw, size_t length, void *out)
{
    const struct sctp_remote_error *from = &raw->sn_remote_error;
    struct lx_remote_error to = {.type = LX_SN_REMOTE_ERROR,
                                 .error = from->sre_error,
                                 .assoc_id = (int32_t)from->sre_assoc_id};

    return write_note(out, &to, sizeof to, from->sre_data, beyond(length, sizeof *from));
}

static size_t partial_delivery(const union sctp_notification *raw, void *out)
{
    const struct sctp_pdapi_event *from = &raw->sn_pdapi_event;
    struct lx_pdapi_event to = {.type = LX_SN_PARTIAL_DELIVERY,
                                .assoc_id = (int32_t)from->pdapi_assoc_id,
                                .stream = from->pdapi_stream,
                                .seq = from->pdapi_seq};

    return write_note(out, &to, sizeof to, NULL, 0);
}

static size_t adaptation(const union sctp_notification *raw, void *out)
{
    const struct sctp_adaptation_event *from = &raw->sn_adaptation_event;
    struct lx_adaptation_event to = {.type = LX_SN_ADAPTATION,
                                     .adaptation_ind = from->sai_adaptation_ind,
                                     .assoc_id = (int32_t)from->sai_assoc_id};

    return write_note(out, &to, sizeof to, NULL, 0);
}

/* Of the events of AUTH only this one can be: the peer doesn't have it, as we don't. */
static size_t authentication(const union sctp_notification *raw, void *out)
{
    const struct sctp_authkey_event *from = &raw->sn_auth_event;
    struct lx_authkey_event to = {.type = LX_SN_AUTHENTICATION,
                                  .keynumber = from->auth_keynumber,
                                  .indication = LX_AUTH_NO_AUTH,
                                  .assoc_id = (int32_t)from->auth_assoc_id};

    return from->auth_indication == SCTP_AUTH_NO_AUTH ? write_note(out, &to, sizeof to, NULL, 0)
                                                      : 0;
}

/* SHUTDOWN and "sender dry" say nothing but that they are. */
static size_t bare(uint16_t type, sctp_assoc_t id, void *out)
{
    struct lx_shutdown_event to = {.type = type, .assoc_id = (int32_t)id};

    return write_note(out, &to, sizeof to, NULL, 0);
}

/* RFC 6525's: Linux has the same structs and flags. */
static size_t same_but_type(uint16_t type, const void *from, size_t size, void *out)
{
    if (size > NOTE_MAX)
        size = NOTE_MAX;
    memcpy(out, from, size);
    memcpy(out, &type, sizeof(type));
    return size;
}

static bool subscribed(const struct sock *sock, unsigned type)
{
    return sock->options.subscribed >> (type - LX_SN_DATA_IO) & 1;
}

static size_t translate(const struct sock *sock, const union sctp_notification *from, size_t size,
                        void *out)
{
    switch (from->sn_header.sn_type) {
    case SCTP_ASSOC_CHANGE: return association_change(from, size, out);
    case SCTP_PEER_ADDR_CHANGE: return address_change(sock, from, out);
    case SCTP_SEND_FAILED_EVENT: return send_failed(sock, from, size, out);
    case SCTP_REMOTE_ERROR: return remote_error(from, size, out);
    case SCTP_PARTIAL_DELIVERY_EVENT: return partial_delivery(from, out);
    case SCTP_ADAPTATION_INDICATION: return adaptation(from, out);
    case SCTP_AUTHENTICATION_EVENT: return authentication(from, out);
    case SCTP_SHUTDOWN_EVENT:
        return bare(LX_SN_SHUTDOWN, from->sn_shutdown_event.sse_assoc_id, out);
    case SCTP_SENDER_DRY_EVENT:
        return bare(LX_SN_SENDER_DRY, from->sn_sender_dry_event.sender_dry_assoc_id, out);
    case SCTP_STREAM_RESET_EVENT: return same_but_type(LX_SN_STREAM_RESET, from, size, out);
    case SCTP_ASSOC_RESET_EVENT: return same_but_type(LX_SN_ASSOC_RESET, from, size, out);
    case SCTP_STREAM_CHANGE_EVENT: return same_but_type(LX_SN_STREAM_CHANGE, from, size, out);
    default: return 0;
    }
}

size_t notify_translate(const struct sock *sock, const void *raw, size_t size, void *to)
{
    union sctp_notification whole;
    uint16_t type;

    if (size < sizeof whole.sn_header)
        return 0;
    memset(&whole, 0, sizeof whole);
    memcpy(&whole, raw, size < sizeof whole ? size : sizeof whole);
    size_t written = translate(sock, size < sizeof whole ? &whole : raw, size, to);
    if (written < sizeof type)
        return 0;
    memcpy(&type, to, sizeof type);
    return subscribed(sock, type) ? written : 0;
}

size_t notify_refusal(const struct sock *sock, void *to)
{
    struct lx_assoc_change note = {.type = LX_SN_ASSOC_CHANGE, .state = LX_CANT_STR_ASSOC};

    return subscribed(sock, note.type) ? write_note(to, &note, sizeof note, NULL, 0) : 0;
}
