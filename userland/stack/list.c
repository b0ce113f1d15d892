/* The list of sockets. See list.h. */
#include "list.h"
#include "../protocol.h"
#include "accept.h"
#include "socket.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netdb.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define ADDRESS_TEXT 80

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

    if (sock->state == SOCKET_LISTENING) /* connections, and how many there may be, as ss has it */
        return (int)(which == SIOCOUTQ ? accept_count(sock) : sock->backlog);
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

int list_sockets(int fd)
{
    char local[ADDRESS_TEXT], remote[ADDRESS_TEXT];
    struct sock *sock;
    FILE *file = fcntl(fd, F_GET_SEALS) == -1 ? NULL : fdopen(fd, "w");

    if (file == NULL) {
        close(fd);
        return fail(EINVAL);
    }
    LIST_FOREACH(sock, sock_all(), others) {
        struct address name = sock_name(sock), peer = sock_peer(sock);
        fprintf(file, "%-17s %6d %6d %22s %22s\n", state_name(sock), count_bytes(sock, SIOCOUTQ),
                count_bytes(sock, SIOCINQ), print_address(&name, local),
                sock->link == NULL ? "*:*" : print_address(&peer, remote));
    }
    return fclose(file) == EOF ? -1 : 0;
}

/* ---- and for whoever asks */

/* The stack at that address fills the file. 0, or -1 with errno. */
static int ask_for_list(int file, int fd, const struct sockaddr_un *name, socklen_t size)
{
    struct request request = {.kind = REQUEST_LIST};
    struct reply reply;
    struct iovec part = {&request, sizeof(request)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    union descriptor_control control;

    attach_descriptor(&message, &control, file);
    if (connect(fd, (const struct sockaddr *)name, size) == -1)
        return errno == ECONNREFUSED ? 0 : -1; /* no stack runs, so there is no socket */
    if (sendmsg(fd, &message, MSG_NOSIGNAL) == -1)
        return -1;
    errno = ECONNRESET;
    if (recv(fd, &reply, sizeof(reply), 0) != sizeof(reply))
        return -1;
    errno = reply.error;
    return reply.error == 0 ? 0 : -1;
}

int list_print(unsigned udp_port)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int length = snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, PROTOCOL_STACK_FORMAT,
                          (unsigned)geteuid(), udp_port);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0), file = memfd_create("list", 0), byte;
    FILE *list = file == -1 ? NULL : fdopen(file, "r");

    if (fd == -1 || list == NULL || ask_for_list(file, fd, &name, size) == -1) {
        fprintf(stderr, "sctp-stack: UDP port %u: %s\n", udp_port, strerror(errno));
        return -1;
    }
    printf("%-17s %6s %6s %22s %22s\n", "State", "Recv-Q", "Send-Q", "Local Address:Port",
           "Peer Address:Port");
    rewind(list);
    while ((byte = getc(list)) != EOF)
        putchar(byte);
    return fflush(stdout) == EOF ? -1 : 0;
}
