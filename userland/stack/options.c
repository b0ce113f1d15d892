/* Options, level by level; and their life: with a new usrsctp socket, an association, an accepted
 * socket. */
#include "options.h"
#include "../protocol.h"
#include "options_sctp.h"
#include "options_system.h"
#include <stddef.h>

static bool is_system(int level)
{
    return level == SOL_SOCKET || level == IPPROTO_IP || level == IPPROTO_IPV6;
}

int options_set(struct sock *sock, int level, int name, const void *value, size_t size)
{
    if (level == IPPROTO_SCTP)
        return options_sctp_set(sock, name, value, size);
    if (is_system(level))
        return options_system_set(sock, level, name, value, (socklen_t)size);
    return fail(ENOPROTOOPT);
}

int options_get(struct sock *sock, int level, int name, void *value, socklen_t *size)
{
    if (level == IPPROTO_SCTP)
        return options_sctp_get(sock, name, value, size);
    if (is_system(level))
        return options_system_get(sock, level, name, value, size);
    return fail(sock->family == AF_INET ? EOPNOTSUPP : ENOPROTOOPT);
}

/* ---- life */

/* net/sctp/socket.c, sctp_init_sock; net.sctp's values of a stock kernel. */
static const struct socket_options defaults = {
    .socket = {.rto = {.srto_initial = 3000, .srto_max = 60000, .srto_min = 1000},
               .cookie_life = 60000,
               .max_burst = 4,
               .ecn = 1,
               .retransmissions = 10,
               .path = {.interval = 30000,
                        .retransmissions = 5,
                        .switched_after = 0xffff,
                        .sack_delay = 200,
                        .sack_frequency = 2,
                        .flags = LX_SPP_HB_ENABLE | LX_SPP_PMTUD_ENABLE | LX_SPP_SACKDELAY_ENABLE}},
    .mapped_v4 = 1,
    .partial_reliability = 1,
    .init = {10, 65535, 8, 60000},
    .send_buffer = SOCKET_BUFFER,
    .receive_buffer = SOCKET_BUFFER,
};

void options_open(struct sock *sock)
{
    sock->options = defaults;
}

void options_prepare(struct sock *sock)
{
    sock->options.accepted = false;
    options_sctp_prepare(sock);
}

/* What an accepted socket has, usrsctp has given its own from the listener's. */
void options_inherit(struct sock *sock, const struct sock *listener)
{
    sock->options = listener->options;
    sock->options.has_association = false;
    sock->options.accepted = true;
    sock->options.reuse_port = sock->options.tos = 0;
    sock->options.wishes.mark = 0;
    sock->options.kept = NULL;
    options_system_inherit(sock, listener);
}
