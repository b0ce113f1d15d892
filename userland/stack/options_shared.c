/* Which values count, and whose packets are special. See options_shared.h. */
#include "options_shared.h"
#include "ports.h"
#include <stddef.h>

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

/* ---- packets */

static bool anybody_wishes;

void options_wish(void)
{
    anybody_wishes = true;
}

const struct wire_wishes *options_wishes(const struct link *link, uint16_t port, uint16_t peer_port)
{
    if (!anybody_wishes)
        return NULL;
    const struct sock *sock = ports_find(port, link, peer_port);
    if (sock == NULL && link->side == WIRE_LISTEN)
        sock = ports_find_listener(port, &link->local);
    return sock == NULL ? NULL : &sock->options.wishes;
}
