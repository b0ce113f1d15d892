/* Options, level by level; and their life: with a new usrsctp socket, an association, an accepted
 * socket. */
#include "options.h"
#include "../protocol.h"
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

int options_stack_set(struct sock *sock, int level, int name, const void *value, size_t size)
{
    if (sock->so == NULL)
        return fail(EINVAL);
    return usrsctp_setsockopt(sock->so, level, name, value, (socklen_t)size);
}

int options_stack_get(struct sock *sock, int level, int name, void *value, size_t size)
{
    socklen_t room = (socklen_t)size;

    if (sock->so == NULL)
        return fail(EINVAL);
    return usrsctp_getsockopt(sock->so, level, name, value, &room);
}

/* ---- life */

/* net/sctp/socket.c, sctp_init_sock; net.sctp's values of a stock kernel. */
const struct socket_options options_defaults = {
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

/* ---- the association */

bool options_associated(struct sock *sock)
{
    return sock->state == SOCKET_CONNECTED && sock_association_state(sock) >= 0;
}

static void begin_association(struct socket_options *options)
{
    if (options->has_association)
        return;
    options->association = options->socket;
    if (options->accepted) /* as the peer has it */
        options->association.path.udp_port = 0;
    options->path = options->association.path;
    options->has_association = true;
}

struct shared_values *options_shared(struct sock *sock)
{
    if (options_associated(sock)) {
        begin_association(&sock->options);
        return &sock->options.association;
    }
    if (sock->state != SOCKET_CONNECTING)
        sock->options.has_association = false;
    return &sock->options.socket;
}

struct path_values *options_path(struct sock *sock)
{
    if (!sock_has_association(sock))
        return &sock->options.socket.path;
    begin_association(&sock->options);
    return &sock->options.path;
}

struct sctp_status options_status(struct sock *sock)
{
    struct sctp_status status = {.sstat_assoc_id = 0};

    if (sock_has_association(sock))
        options_stack_get(sock, IPPROTO_SCTP, SCTP_STATUS, &status, sizeof(status));
    return status;
}
