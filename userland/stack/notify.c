/* Notifications. usrsctp's structs are Linux' but for their types, and where a function is named
 * here. */
#include "notify.h"
#include <string.h>

/* What Linux has as sac_info is the cause of an ABORT as it came from the wire: without the header
 * of its chunk, and without usrsctp's list of features. */
static size_t change_association(const struct sock *sock, union lx_notification *note, size_t size)
{
    struct lx_assoc_change *change = &note->sn_assoc_change;
    const size_t chunk_header = 4;

    (void)sock;
    change->sac_state--; /* usrsctp counts from 1 */
    change->sac_error = htons(change->sac_error);
    if (change->sac_state == LX_COMM_UP || change->sac_state == LX_RESTART)
        return sizeof(*change);
    change->sac_outbound_streams = change->sac_inbound_streams = 0;
    if (size < sizeof(*change) + chunk_header)
        return sizeof(*change);
    size -= chunk_header;
    memmove(change->sac_info, change->sac_info + chunk_header, size - sizeof(*change));
    return size;
}

static size_t change_path(const struct sock *sock, union lx_notification *note, size_t size)
{
    struct lx_paddr_change *change = &note->sn_paddr_change;
    struct sockaddr_storage name = {.ss_family = AF_UNSPEC};
    struct address peer = sock_peer(sock);

    (void)size;
    sock_write_address(sock, &peer, &name);
    change->spc_aaddr = name;
    change->spc_state--; /* usrsctp counts from 1 */
    /* That one is confirmed Linux says only of further paths. */
    return change->spc_state == LX_ADDR_CONFIRMED ? 0 : sizeof(*change);
}

static bool is_subscribed(const struct sock *sock, unsigned type)
{
    return sock->options.subscribed >> (type - LX_DATA_IO_EVENT) & 1;
}

/* There are two forms; whoever has subscribed to both gets the older one. */
static size_t change_failed(const struct sock *sock, union lx_notification *note, size_t size)
{
    struct lx_send_failed_event *newer = &note->sn_send_failed_event;
    struct lx_send_failed older = {.ssf_type = LX_SEND_FAILED,
                                   .ssf_error = newer->ssf_error,
                                   .ssf_info = {.sinfo_stream = newer->ssfe_info.snd_sid,
                                                .sinfo_ppid = newer->ssfe_info.snd_ppid,
                                                .sinfo_context = newer->ssfe_info.snd_context,
                                                .sinfo_assoc_id = newer->ssf_assoc_id},
                                   .ssf_assoc_id = newer->ssf_assoc_id};

    newer->ssf_flags = newer->ssf_flags & SCTP_DATA_SENT ? LX_DATA_SENT : LX_DATA_UNSENT;
    newer->ssfe_info.snd_flags = 0;
    newer->ssfe_info.snd_assoc_id = newer->ssf_assoc_id;
    if (!is_subscribed(sock, LX_SEND_FAILED))
        return size;
    older.ssf_flags = newer->ssf_flags;
    memmove(note->sn_send_failed.ssf_data, newer->ssf_data, size - sizeof(*newer));
    memcpy(note, &older, sizeof(older));
    return size + sizeof(older) - sizeof(*newer);
}

static size_t change_delivery(const struct sock *sock, union lx_notification *note, size_t size)
{
    struct sctp_pdapi_event from;

    (void)sock;
    memcpy(&from, note, sizeof(from));
    note->sn_pdapi_event.pdapi_indication = LX_PARTIAL_DELIVERY_ABORTED;
    note->sn_pdapi_event.pdapi_assoc_id = (int32_t)from.pdapi_assoc_id;
    note->sn_pdapi_event.pdapi_stream = from.pdapi_stream;
    note->sn_pdapi_event.pdapi_seq = from.pdapi_seq;
    return size;
}

/* Of the events of AUTH only this one can be: the peer doesn't have it, as we don't. */
static size_t change_key(const struct sock *sock, union lx_notification *note, size_t size)
{
    (void)sock;
    if (note->sn_authkey_event.auth_indication != SCTP_AUTH_NO_AUTH)
        return 0;
    note->sn_authkey_event.auth_indication = LX_AUTH_NO_AUTH;
    note->sn_authkey_event.auth_altkeynumber = 0;
    return size;
}

static const struct kind {
    uint16_t stack_type, type;
    /* Returns the size that it has then, 0 for one that Linux does not have. */
    size_t (*change)(const struct sock *sock, union lx_notification *note, size_t size);
} kinds[] = {
    {SCTP_ASSOC_CHANGE, LX_ASSOC_CHANGE, change_association},
    {SCTP_PEER_ADDR_CHANGE, LX_PEER_ADDR_CHANGE, change_path},
    {SCTP_SEND_FAILED_EVENT, LX_SEND_FAILED_EVENT, change_failed},
    {SCTP_REMOTE_ERROR, LX_REMOTE_ERROR, NULL},
    {SCTP_SHUTDOWN_EVENT, LX_SHUTDOWN_EVENT, NULL},
    {SCTP_PARTIAL_DELIVERY_EVENT, LX_PARTIAL_DELIVERY_EVENT, change_delivery},
    {SCTP_ADAPTATION_INDICATION, LX_ADAPTATION_INDICATION, NULL},
    {SCTP_AUTHENTICATION_EVENT, LX_AUTHENTICATION_EVENT, change_key},
    {SCTP_SENDER_DRY_EVENT, LX_SENDER_DRY_EVENT, NULL},
    {SCTP_STREAM_RESET_EVENT, LX_STREAM_RESET_EVENT, NULL},
    {SCTP_ASSOC_RESET_EVENT, LX_ASSOC_RESET_EVENT, NULL},
    {SCTP_STREAM_CHANGE_EVENT, LX_STREAM_CHANGE_EVENT, NULL},
};

size_t notify_translate(const struct sock *sock, void *bytes, size_t size)
{
    union lx_notification *note = bytes;
    uint16_t stack_type = note->sn_header.sn_type;

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (kinds[i].stack_type != stack_type)
            continue;
        note->sn_header.sn_type = kinds[i].type;
        if (kinds[i].change != NULL)
            size = kinds[i].change(sock, note, size);
        if (size > NOTE_MAX)
            size = NOTE_MAX;
        note->sn_header.sn_length = (uint32_t)size;
        return is_subscribed(sock, note->sn_header.sn_type) ? size : 0;
    }
    return 0;
}

void notify_subscribe(struct sock *sock)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct sctp_event event = {.se_type = kinds[i].stack_type};
        bool on = is_subscribed(sock, kinds[i].type) ||
                  (kinds[i].change == change_failed && is_subscribed(sock, LX_SEND_FAILED));
        if (sock_stack_get(sock, IPPROTO_SCTP, SCTP_EVENT, &event, sizeof(event)) == -1 ||
            event.se_on == on)
            continue;
        event.se_on = on;
        sock_stack_set(sock, IPPROTO_SCTP, SCTP_EVENT, &event, sizeof(event));
    }
}

size_t notify_refusal(const struct sock *sock, struct lx_assoc_change *note)
{
    *note = (struct lx_assoc_change){
        .sac_type = LX_ASSOC_CHANGE, .sac_length = sizeof(*note), .sac_state = LX_CANT_STR_ASSOC};
    return is_subscribed(sock, LX_ASSOC_CHANGE) ? sizeof(*note) : 0;
}
