/* The list of sockets. See list.h. */
#include "list.h"
#include "../protocol.h"
#include "socket.h"
#include <errno.h>
#include <linux/sockios.h>
#include <netdb.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/un.h>
#include <unistd.h>

#define ADDRESS_TEXT 80
#define LINE_FORMAT "%-17s %6d %6d %22s %22s\n"

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

/* Of bytes that the program has not read (SIOCOUTQ), or that it has sent and the association has not
 * taken (SIOCINQ). */
static int count_bytes(const struct sock *sock, unsigned long which)
{
    int count = 0;

    if (which == SIOCINQ && sock->has_filler)
        return 0;
    return ioctl(sock->record_watch.fd, which, &count) == -1 ? 0 : count;
}

static const char *print_address(const struct address *address, char *text)
{
    char ip[NI_MAXHOST] = "?";
    struct sockaddr_storage name;
    socklen_t size = address_write(address, AF_UNSPEC, &name);

    getnameinfo((struct sockaddr *)&name, size, ip, sizeof(ip), NULL, 0, NI_NUMERICHOST);
    snprintf(text, ADDRESS_TEXT, address_is_v4(&address->ip) ? "%s:%u" : "[%s]:%u", ip,
             address->port);
    return text;
}

size_t list_sockets(unsigned first, char *text, size_t room, int32_t *next)
{
    char local[ADDRESS_TEXT], remote[ADDRESS_TEXT];
    size_t used = 0;
    unsigned number = 0;

    *next = 0;
    for (struct sock *sock = sock_first(); sock != NULL; sock = sock->next, number++) {
        if (number < first)
            continue;
        struct address name = sock_name(sock), peer = sock_peer(sock);
        size_t length = (size_t)snprintf(text + used, room - used, LINE_FORMAT, state_name(sock),
                                         count_bytes(sock, SIOCOUTQ), count_bytes(sock, SIOCINQ),
                                         print_address(&name, local),
                                         sock->link == NULL ? "*:*" : print_address(&peer, remote));
        if (length >= room - used) {
            *next = (int32_t)number;
            break;
        }
        used += length;
    }
    return used;
}

/* ---- and for whoever asks */

/* Asks for the lines from the first one on, and prints them. Returns the number of the next one, 0
 * after the last; or -1 with errno. */
static int print_part(const struct sockaddr_un *name, socklen_t size, int first)
{
    static char text[PAYLOAD_MAX];
    struct request request = {.kind = REQUEST_LIST, .number = first};
    struct reply reply;
    struct iovec parts[2] = {{&reply, sizeof(reply)}, {text, sizeof(text)}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (fd == -1)
        return -1;
    ssize_t got = -1;
    if (connect(fd, (const struct sockaddr *)name, size) == 0 &&
        send(fd, &request, sizeof(request), MSG_NOSIGNAL) == sizeof(request))
        got = recvmsg(fd, &message, 0);
    int error = got == -1 ? errno : ECONNRESET;
    close(fd);
    errno = error;
    if (got < (ssize_t)sizeof(reply))
        return -1;
    fwrite(text, 1, (size_t)got - sizeof(reply), stdout);
    return reply.value;
}

int list_print(unsigned udp_port)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int length = snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, PROTOCOL_STACK_FORMAT,
                          (unsigned)geteuid(), udp_port);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
    int next = 0;

    printf("%-17s %6s %6s %22s %22s\n", "State", "Recv-Q", "Send-Q", "Local Address:Port",
           "Peer Address:Port");
    do
        next = print_part(&name, size, next);
    while (next > 0);
    if (next == -1 && errno != ECONNREFUSED) { /* refused: no stack runs, so there is no socket */
        fprintf(stderr, "sctp-stack: UDP port %u: %s\n", udp_port, strerror(errno));
        return -1;
    }
    return fflush(stdout) == EOF ? -1 : 0;
}
