/*
 * Options, level by level; and their life: with a new usrsctp socket, an association, an accepted
 * socket.
 *
 *   options_sctp.c       IPPROTO_SCTP: a table of them
 *   options_addresses.c  ... lists of addresses
 *   options_apply.c      usrsctp is told
 *   options_system.c     SOL_SOCKET, IPPROTO_IP, IPPROTO_IPV6: the kernel is asked
 */
#include "options_values.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int options_fail(int error)
{
    errno = error;
    return -1;
}

int options_set(struct sock *sock, int level, int name, const void *value, size_t size)
{
    if (level == IPPROTO_SCTP)
        return options_sctp_set(sock, name, value, size);
    if (level == SOL_SOCKET || level == IPPROTO_IP || level == IPPROTO_IPV6)
        return options_system_set(sock, level, name, value, (socklen_t)size);
    return options_fail(ENOPROTOOPT);
}

int options_get(struct sock *sock, int level, int name, void *value, socklen_t *size)
{
    if (level == IPPROTO_SCTP)
        return options_sctp_get(sock, name, value, size);
    if (level == SOL_SOCKET || level == IPPROTO_IP || level == IPPROTO_IPV6)
        return options_system_get(sock, level, name, value, size);
    return options_fail(sock->family == AF_INET ? EOPNOTSUPP : ENOPROTOOPT);
}

int options_stack_set(struct sock *sock, int level, int name, const void *value, size_t size)
{
    if (sock->so == NULL)
        return options_fail(EINVAL);
    return usrsctp_setsockopt(sock->so, level, name, value, (socklen_t)size);
}

int options_stack_get(struct sock *sock, int level, int name, void *value, size_t size)
{
    socklen_t room = (socklen_t)size;

    if (sock->so == NULL)
        return options_fail(EINVAL);
    return usrsctp_getsockopt(sock->so, level, name, value, &room);
}

/* ---- life */

/* net/sctp/socket.c, sctp_init_sock; net.sctp's values of a stock kernel. */
static const struct shared_values defaults = {
    .rto_initial = 3000,
    .rto_max = 60000,
    .rto_min = 1000,
    .cookie_life = 60000,
    .retransmissions = 10,
    .max_burst = 4,
    .path = {.interval = 30000,
             .retransmissions = 5,
             .switched_after = 0xffff,
             .sack_delay = 200,
             .sack_frequency = 2,
             .flags = LX_SPP_HB_ENABLE | LX_SPP_PMTUD_ENABLE | LX_SPP_SACKDELAY_ENABLE},
};

static struct option_values *new_values(void)
{
    struct option_values *values = calloc(1, sizeof(*values));

    if (values == NULL)
        return NULL;
    values->socket = defaults;
    values->init = (struct lx_initmsg){10, 65535, 8, 60000};
    values->partial_reliability = values->socket.ecn = 1;
    return values;
}

int options_prepare(struct sock *sock, struct socket *so)
{
    if (sock->values == NULL)
        sock->values = new_values();
    if (sock->values == NULL)
        return -1;
    sock->values->prepared++;
    options_sctp_apply_all(sock, so);
    return 0;
}

/* What an accepted socket has, usrsctp has given its own from the listener's. */
int options_inherit(struct sock *sock, const struct sock *listener)
{
    struct option_values *values = new_values();

    if (values == NULL)
        return -1;
    sock->values = values;
    sock->options = listener->options;
    sock->options.reuse_port = false;
    sock->options.wishes.mark = 0;
    *values = *listener->values;
    values->has_association = false;
    values->prepared = 0;
    values->kept = NULL;
    options_system_inherit(sock, listener);
    return 0;
}

void options_free(struct sock *sock)
{
    if (sock->values != NULL)
        options_system_free(sock->values);
    free(sock->values);
    sock->values = NULL;
}

/* ---- the association */

bool options_associated(struct sock *sock)
{
    return sock->state == SOCKET_CONNECTED && sock_association_state(sock) >= 0;
}

static void begin_association(struct option_values *values)
{
    if (values->has_association)
        return;
    values->association = values->socket;
    if (values->prepared == 0) /* accepted: as the peer has it */
        values->association.path.udp_port = 0;
    values->path = values->association.path;
    values->has_association = true;
}

struct shared_values *options_shared(struct sock *sock)
{
    struct option_values *values = sock->values;

    if (options_associated(sock)) {
        begin_association(values);
        return &values->association;
    }
    if (sock->state != SOCKET_CONNECTING)
        values->has_association = false;
    return &values->socket;
}

struct path_values *options_path(struct sock *sock)
{
    if (!sock_has_association(sock))
        return &sock->values->socket.path;
    begin_association(sock->values);
    return &sock->values->path;
}

struct sctp_status options_status(struct sock *sock)
{
    struct sctp_status status = {.sstat_assoc_id = 0};

    if (sock_has_association(sock))
        options_stack_get(sock, IPPROTO_SCTP, SCTP_STATUS, &status, sizeof(status));
    return status;
}

int32_t options_association_id(struct sock *sock)
{
    return (int32_t)options_status(sock).sstat_assoc_id;
}

uint32_t options_fragment_size(struct sock *sock)
{
    uint32_t size = options_status(sock).sstat_fragmentation_point;
    uint32_t limit = options_shared(sock)->max_segment;

    return (limit != 0 && limit < size ? limit : size) & ~3u;
}

uint16_t options_udp_port(const struct sock *sock)
{
    return sock->values == NULL ? 0 : ntohs(sock->values->socket.path.udp_port);
}
