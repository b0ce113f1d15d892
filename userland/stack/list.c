/* The list of sockets. See list.h. */
#include "list.h"
#include "socket.h"
#include <linux/sockios.h>
#include <stdio.h>
#include <sys/ioctl.h>

static const char *state_name(struct sock *sock)
{
    if (sock->state == SOCKET_LISTENING)
        return "LISTEN";
    if (sock->state == SOCKET_CONNECTING)
        return "COOKIE-WAIT";
    if (sock->state != SOCKET_CONNECTED)
        return "UNCONN";
    switch (sock_association_state(sock)) {
    case SCTP_ESTABLISHED: return "ESTAB";
    case SCTP_SHUTDOWN_PENDING: return "SHUTDOWN-PENDING";
    case SCTP_SHUTDOWN_SENT: return "SHUTDOWN-SENT";
    case SCTP_SHUTDOWN_RECEIVED: return "SHUTDOWN-RECEIVED";
    case SCTP_SHUTDOWN_ACK_SENT: return "SHUTDOWN-ACK-SENT";
    default: return "CLOSED";
    }
}

/* Bytes that the program has not read, and that it has sent and the association has not taken. */
static void count_queues(const struct sock *sock, int *unread, int *unsent)
{
    *unread = *unsent = 0;
    if (sock->record_watch.fd == -1)
        return;
    if (ioctl(sock->record_watch.fd, SIOCOUTQ, unread) == -1)
        *unread = 0;
    if (sock->has_filler || ioctl(sock->record_watch.fd, SIOCINQ, unsent) == -1)
        *unsent = 0;
}

static int print_socket(struct sock *sock, char *line, size_t room)
{
    char local[ADDRESS_TEXT], remote[ADDRESS_TEXT] = "*:*";
    struct address name = sock_name(sock), peer = sock_peer(sock);
    int unread, unsent;

    count_queues(sock, &unread, &unsent);
    address_print(&name, local);
    if (sock->link != NULL)
        address_print(&peer, remote);
    return snprintf(line, room, "%-17s %6d %6d %22s %22s\n", state_name(sock), unread, unsent,
                    local, remote);
}

size_t list_sockets(unsigned first, char *text, size_t room, int32_t *next)
{
    size_t used = 0;
    unsigned number = 0;

    *next = 0;
    for (struct sock *sock = sock_first(); sock != NULL; sock = sock->next, number++) {
        if (number < first)
            continue;
        int length = print_socket(sock, text + used, room - used);
        if (length < 0 || (size_t)length >= room - used) {
            *next = (int32_t)number;
            break;
        }
        used += (size_t)length;
    }
    return used;
}
