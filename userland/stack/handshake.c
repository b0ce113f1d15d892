/* The first round trip. See handshake.h. */
#include "handshake.h"

void handshake_bound_rto(struct sock *sock, bool before)
{
    static struct sctp_rtoinfo usual;
    static bool is_bound;

    if (before) {
        is_bound = sock_stack_get(sock, IPPROTO_SCTP, SCTP_RTOINFO, &usual, sizeof(usual)) == 0;
        struct sctp_rtoinfo bounded = usual;
        bounded.srto_max = bounded.srto_initial;
        if (is_bound)
            sock_stack_set(sock, IPPROTO_SCTP, SCTP_RTOINFO, &bounded, sizeof(bounded));
    } else if (is_bound) {
        sock_stack_set(sock, IPPROTO_SCTP, SCTP_RTOINFO, &usual, sizeof(usual));
    }
}

void handshake_measure_again(struct sock *sock)
{
    const unsigned doubtful_ms = 1000; /* RTO.min: nothing is sent again before */
    const int samples = 32;            /* each weighs an eighth */
    struct sctp_status status = {.sstat_assoc_id = 0};
    union stack_name peer = sock_stack_name(sock->peer_port, sock->link);
    struct sctp_paddrparams demand = {.spp_address = peer.room, .spp_flags = SPP_HB_DEMAND};

    sock->measured = true;
    if (sock_stack_get(sock, IPPROTO_SCTP, SCTP_STATUS, &status, sizeof(status)) == -1 ||
        status.sstat_primary.spinfo_srtt < doubtful_ms)
        return;
    for (int i = 0; i < samples; i++)
        usrsctp_setsockopt(sock->so, IPPROTO_SCTP, SCTP_PEER_ADDR_PARAMS, &demand, sizeof(demand));
}
