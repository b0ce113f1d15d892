/* The functions of libsctp (lksctp-tools): they reach the stack through the socket calls.
 * Run by test_userland_calls.py, over any stack. Exit status 0: all is as it should be.
 */
#include "check.h"
#include <arpa/inet.h>
#include <netinet/sctp.h>
#include <unistd.h>

static struct sockaddr_in address_of(const char *host, in_port_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = port};

    inet_pton(AF_INET, host, &address.sin_addr);
    return address;
}

static struct sockaddr_in name_of(int fd)
{
    struct sockaddr_in name;
    socklen_t length = sizeof name;

    check(getsockname(fd, (struct sockaddr *)&name, &length), "getsockname");
    return name;
}

static int listen_on_two(void)
{
    int fd = open_socket();
    struct sockaddr_in first = address_of("127.0.0.1", 0), second, *listed;

    expect(sctp_bindx(fd, (struct sockaddr *)&first, 1, SCTP_BINDX_ADD_ADDR) == 0, "sctp_bindx");
    second = address_of("127.0.0.2", name_of(fd).sin_port);
    expect(sctp_bindx(fd, (struct sockaddr *)&second, 1, SCTP_BINDX_ADD_ADDR) == 0,
           "sctp_bindx: another address");
    expect(sctp_getladdrs(fd, 0, (struct sockaddr **)&listed) == 2, "sctp_getladdrs");
    expect(listed[0].sin_addr.s_addr == first.sin_addr.s_addr &&
               listed[1].sin_addr.s_addr == second.sin_addr.s_addr,
           "sctp_getladdrs: the addresses");
    sctp_freeladdrs((struct sockaddr *)listed);
    expect(sctp_bindx(fd, (struct sockaddr *)&second, 1, SCTP_BINDX_REM_ADDR) == 0,
           "sctp_bindx: remove");
    expect(sctp_bindx(fd, (struct sockaddr *)&first, 1, SCTP_BINDX_REM_ADDR) == -1 &&
               errno == EBUSY,
           "sctp_bindx: the last one stays");
    check(listen(fd, 4), "listen");
    return fd;
}

static int connect_client(int listener)
{
    int fd = open_socket();
    // Not the listener's name: Linux goes on naming the address that was added last.
    struct sockaddr_in name = address_of("127.0.0.1", name_of(listener).sin_port);
    sctp_assoc_t id = -1;

    check(sctp_connectx(fd, (struct sockaddr *)&name, 1, &id), "sctp_connectx");
    expect(id > 0, "sctp_connectx tells the association's id");
    return fd;
}

static void lists_peers(int fd, int listener)
{
    struct sockaddr_in *listed = NULL;

    expect(sctp_getpaddrs(fd, 0, (struct sockaddr **)&listed) == 1, "sctp_getpaddrs");
    expect(listed != NULL && listed->sin_port == name_of(listener).sin_port &&
               listed->sin_addr.s_addr == htonl(INADDR_LOOPBACK),
           "sctp_getpaddrs: the peer's address");
    sctp_freepaddrs((struct sockaddr *)listed);
}

static void sends_and_receives(int sender, int receiver)
{
    struct sctp_event_subscribe events = {.sctp_data_io_event = 1};
    struct sctp_sndrcvinfo info;
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    char buffer[100];
    int flags = 0;

    check(setsockopt(receiver, IPPROTO_SCTP, SCTP_EVENTS, &events, sizeof events), "SCTP_EVENTS");
    expect(sctp_sendmsg(sender, "hello", 5, NULL, 0, htonl(51), 0, 2, 0, 0) == 5, "sctp_sendmsg");
    int got = sctp_recvmsg(receiver, buffer, sizeof buffer, (struct sockaddr *)&from, &length,
                           &info, &flags);
    expect(got == 5 && (flags & MSG_EOR), "sctp_recvmsg");
    expect(info.sinfo_stream == 2 && info.sinfo_ppid == htonl(51), "sctp_recvmsg: stream, ppid");
    expect(from.sin_port == name_of(sender).sin_port, "sctp_recvmsg: the sender");
}

static void send_v(int sender, int receiver)
{
    struct sctp_sendv_spa spa = {.sendv_flags = SCTP_SEND_SNDINFO_VALID | SCTP_SEND_PRINFO_VALID,
                                 .sendv_sndinfo = {.snd_sid = 1, .snd_ppid = htonl(7)},
                                 .sendv_prinfo = {.pr_policy = SCTP_PR_SCTP_TTL, .pr_value = 5000}};
    struct iovec part = {.iov_base = "sendv", .iov_len = 5};
    struct sctp_rcvinfo info = {.rcv_sid = 99};
    char buffer[100];
    struct iovec room = {.iov_base = buffer, .iov_len = sizeof buffer};
    socklen_t info_length = sizeof info, from_length = 0;
    unsigned type = 0;
    int flags = 0, on = 1;

    check(setsockopt(receiver, IPPROTO_SCTP, SCTP_RECVRCVINFO, &on, sizeof on), "RECVRCVINFO");
    expect(sctp_sendv(sender, &part, 1, NULL, 0, &spa, sizeof spa, SCTP_SENDV_SPA, 0) == 5,
           "sctp_sendv");
    expect(sctp_recvv(receiver, &room, 1, NULL, &from_length, &info, &info_length, &type, &flags) ==
               5,
           "sctp_recvv");
    expect(type == SCTP_RECVV_RCVINFO && info.rcv_sid == 1 && info.rcv_ppid == htonl(7),
           "sctp_recvv: stream, ppid");
}

static void tells_options(int fd)
{
    struct sctp_status status;
    struct sctp_paddrinfo path;
    socklen_t length = sizeof status;

    expect(sctp_opt_info(fd, 0, SCTP_STATUS, &status, &length) == 0 &&
               status.sstat_state == SCTP_ESTABLISHED,
           "sctp_opt_info: SCTP_STATUS");
    path = status.sstat_primary;
    length = sizeof path;
    expect(sctp_opt_info(fd, 0, SCTP_GET_PEER_ADDR_INFO, &path, &length) == 0 &&
               path.spinfo_state == SCTP_ACTIVE && path.spinfo_rto > 0 && path.spinfo_mtu > 0,
           "sctp_opt_info: SCTP_GET_PEER_ADDR_INFO");
}

static uint32_t heartbeat_ms(int fd)
{
    struct sctp_paddrparams params = {.spp_assoc_id = 0};
    socklen_t length = sizeof params;

    check(getsockopt(fd, IPPROTO_SCTP, SCTP_PEER_ADDR_PARAMS, &params, &length), "get heartbeat");
    return params.spp_hbinterval;
}

static void inherits_heartbeat(int listener)
{
    struct sctp_paddrparams params = {.spp_hbinterval = 2000, .spp_flags = SPP_HB_ENABLE};
    struct sockaddr_in name = name_of(listener);

    expect(heartbeat_ms(listener) == 30000, "the default heartbeat");
    check(setsockopt(listener, IPPROTO_SCTP, SCTP_PEER_ADDR_PARAMS, &params, sizeof params),
          "set heartbeat");
    expect(heartbeat_ms(listener) == 2000, "another heartbeat");
    int client = open_socket();
    check(connect(client, (struct sockaddr *)&name, sizeof name), "connect");
    int accepted = check(accept(listener, NULL, NULL), "accept");
    expect(heartbeat_ms(accepted) == 2000, "the accepted socket inherits it");
    close(accepted);
    close(client);
}

static void refuses(void)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = open_socket();

    expect(bind(fd, (struct sockaddr *)&six, sizeof six) == -1 && errno == EINVAL,
           "an IPv6 address on an IPv4 socket");
    expect(sctp_peeloff(fd, 1) == -1 && errno == EINVAL, "sctp_peeloff: not of one-to-one");
    expect(bind(fd, (struct sockaddr *)-1, sizeof six) == -1 && errno == EFAULT, "EFAULT");
    close(fd);
}

int main(void)
{
    int listener = listen_on_two();
    int client = connect_client(listener);
    int accepted = check(accept(listener, NULL, NULL), "accept");

    lists_peers(client, listener);
    sends_and_receives(client, accepted);
    send_v(accepted, client);
    tells_options(client);
    inherits_heartbeat(listener);
    refuses();
    close(client);
    close(accepted);
    close(listener);
    return failures == 0 ? 0 : 1;
}
