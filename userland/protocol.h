/*
 * protocol.h - what a program (front/) and the stack (stack/) say to each other.
 *
 * A program's SCTP socket is an AF_UNIX SOCK_SEQPACKET socket, and the stack has its peer. What
 * the program sends is a record, and a record is a message of SCTP's. The other way a message
 * travels in records of CHUNK_SIZE bytes and one that is shorter, so that a plain read with a
 * usual buffer never cuts a record off.
 *
 * All else is asked for: a request and its reply, over a connection of their own to the address
 * where the stack listens.
 *
 * Addresses are abstract (unix(7)), so each network namespace has its own:
 *     sctp/UID/UDP-PORT                  the stack of a user and a UDP port
 *     sctp/UID/UDP-PORT/FAMILY/ID        a program's socket; FAMILY 4 or 6, ID 16 hex digits
 */
#ifndef USERLAND_PROTOCOL_H
#define USERLAND_PROTOCOL_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static inline int fail(int error)
{
    errno = error;
    return -1;
}

#define PROTOCOL_STACK_FORMAT "sctp/%u/%u"
#define PROTOCOL_SOCKET_FORMAT PROTOCOL_STACK_FORMAT "/%c/%016llx"
#define PROTOCOL_SOCKET_SCAN PROTOCOL_STACK_FORMAT "/%c/%llx" /* the same, for scanf */
#define PROTOCOL_UDP_PORT 9899 /* registered for SCTP in UDP (RFC 6951) */

/* Which socket of a program's an address names. */
struct socket_name {
    unsigned uid, udp_port;
    char family;
    unsigned long long id;
};

/* size: as getsockname has returned it. False for every other address. */
static inline bool read_socket_name(const struct sockaddr_un *address, socklen_t size,
                                    struct socket_name *name)
{
    const size_t begin = offsetof(struct sockaddr_un, sun_path) + 1;
    char text[sizeof(address->sun_path)] = "";

    if (size <= begin || size > sizeof(*address) || address->sun_family != AF_UNIX ||
        address->sun_path[0] != '\0')
        return false;
    memcpy(text, address->sun_path + 1, size - begin);
    return sscanf(text, PROTOCOL_SOCKET_SCAN, &name->uid, &name->udp_port, &name->family,
                  &name->id) == 4;
}

/* A descriptor that goes along with a record (SCM_RIGHTS, unix(7)). */
union descriptor_control {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(int))];
};

static inline void attach_descriptor(struct msghdr *message, union descriptor_control *control,
                                     int fd)
{
    memset(control, 0, sizeof(*control));
    control->head.cmsg_level = SOL_SOCKET;
    control->head.cmsg_type = SCM_RIGHTS;
    control->head.cmsg_len = CMSG_LEN(sizeof(fd));
    memcpy(CMSG_DATA(&control->head), &fd, sizeof(fd));
    message->msg_control = control;
    message->msg_controllen = sizeof(*control);
}

/* Before recvmsg: there is room for one. */
static inline void expect_descriptor(struct msghdr *message, union descriptor_control *control)
{
    message->msg_control = control;
    message->msg_controllen = CMSG_LEN(sizeof(int));
}

/* After recvmsg: the one that came along, or -1. */
static inline int take_descriptor(const struct msghdr *message)
{
    const struct cmsghdr *head = CMSG_FIRSTHDR(message);
    int fd = -1;

    if (head != NULL && head->cmsg_type == SCM_RIGHTS && head->cmsg_len == CMSG_LEN(sizeof(fd)))
        memcpy(&fd, CMSG_DATA(head), sizeof(fd));
    return fd;
}

/*
 * A record of this size is continued by the next one, unless a descriptor comes with it
 * (SCM_RIGHTS, so MSG_CTRUNC for whoever does not ask for it): then the message ends there. With
 * the kernel's own bookkeeping it fits into a page.
 */
#define CHUNK_SIZE 3712

#define MESSAGE_MAX (4 * 1024 * 1024) /* of a message of a program's, whatever its buffer size */

/*
 * The first record of a socket's says nothing: it fills the smallest send buffer that there can be,
 * so that the socket is unwritable until there is an association. Then the buffer gets its size.
 */
#define FILLER_SIZE 4000

/*
 * What a program may know of its socket without a question stands in SO_RCVLOWAT of the socket
 * itself, which a SEQPACKET socket has no other use for: all processes that share the socket see
 * it. The upper half tells that it is one of ours.
 */
#define MARK_MAGIC 0x5c790000
#define MARK_MASK 0x7fff0000
enum mark {
    MARK_CONNECTED = 0x01,    /* there is, or was, an association: send and recv go ahead */
    MARK_LISTENING = 0x02,    /* records are connections to accept */
    MARK_LINGER = 0x04,       /* SO_LINGER with a time: close has to wait */
    MARK_SNDRCV = 0x08,       /* SCTP_EVENTS, data_io: messages have a head, and that is shown */
    MARK_RCVINFO = 0x10,      /* SCTP_RECVRCVINFO: likewise */
    MARK_NXTINFO = 0x20,      /* SCTP_RECVNXTINFO: likewise */
    MARK_HEAD = 0x40,         /* records can have a head, also when none of these is on any more */
    MARK_PARTS = 0x80,        /* the beginning of the next message has been read: SO_PEEK_OFF */
    MARK_STREAMS = 0x3f00,    /* how many there are to send on, or 63 of them */
    MARK_SHUT_WRITE = 0x4000, /* the program has shut it down for writing */
    MARK_ASK = 0x8000         /* the stack has to look at every message that is to be sent */
};
#define MARK_STREAMS_SHIFT 8

/*
 * What a record begins with, in both directions, where there is more to say than bytes. Such a
 * record is not cut into chunks. No message is taken for a head: nobody else knows the socket's ID.
 */
#define HEAD_MAGIC UINT64_C(0x53435450206d7367)
enum head_flag {
    HEAD_NOTIFICATION = 0x01, /* the message is a notification, in Linux' form */
    HEAD_CONTINUED = 0x02,    /* the message goes on in the next record */
    HEAD_MORE = 0x04,         /* MSG_MORE: another message follows at once */
    HEAD_USUAL = 0x08         /* and nothing is said of how to send this one */
};
struct record_head {
    _Alignas(8) uint64_t magic;
    uint64_t id;
    uint32_t flags;
    uint16_t stream, ssn, sctp_flags, policy;
    uint32_t ppid, context, tsn, cumtsn, policy_value;
    int32_t association;
    uint32_t stamp, nanoseconds; /* SO_TIMESTAMP or one of its kind, or 0; and when it came */
    uint64_t seconds;
};

/* Of the messages that went without. HEAD_READ: all of the first message has been read. */
enum which_head { HEAD_FIRST, HEAD_READ, HEAD_SECOND };

/* A new connection, in a record of a listening socket, with its descriptor (SCM_RIGHTS). */
struct record_connection {
    uint32_t address_size;
    unsigned char address[28]; /* sockaddr_in or sockaddr_in6 */
};

enum request_kind {
    REQUEST_BIND,         /* payload: address */
    REQUEST_LISTEN,       /* number: backlog */
    REQUEST_CONNECT,      /* payload: address; flag: REQUEST_WAIT */
    REQUEST_AWAIT,        /* the association that is being set up */
    REQUEST_AWAIT_RECORD, /* to read, or the end of the association */
    REQUEST_SHUTDOWN,     /* number: how */
    REQUEST_SOCKNAME,
    REQUEST_PEERNAME,
    REQUEST_SOURCE,   /* of its messages */
    REQUEST_GET,      /* level, number: option; payload: what the buffer holds */
    REQUEST_SET,      /* level, number: option; payload: value */
    REQUEST_MAY_SEND, /* may a send go ahead? payload: destination, or none */
    REQUEST_MAY_RECEIVE,
    REQUEST_HEAD,    /* of a message without one; number: enum which_head */
    REQUEST_LINGER,  /* number: seconds; the reply comes when the association has ended */
    REQUEST_REPLACE, /* other: the socket that this one takes the place of */
    REQUEST_CAPTURE, /* with a descriptor: packets go into that file, too */
    REQUEST_LIST     /* with a descriptor: the list of sockets goes into that file */
};

enum request_flag {
    REQUEST_WAIT = 0x01,     /* the caller waits: it is not O_NONBLOCK */
    REQUEST_HAS_INIT = 0x02, /* MAY_SEND: init holds an SCTP_INIT */
    REQUEST_BLOCKING = 0x04  /* the call would block, but asks no more than why */
};

struct request {
    _Alignas(8) uint32_t kind; /* a program of 32 bits has the same layout */
    uint32_t flags;
    uint64_t id, other;
    int32_t level, number;
    uint32_t size;                 /* of the payload behind it; GET: of the buffer */
    uint16_t init[4];              /* struct sctp_initmsg */
    uint32_t stream, message_size; /* MAY_SEND */
};

/* A reply's payload is at most as long as a request's. */
#define PAYLOAD_MAX 65536

struct reply {
    int32_t error;       /* an errno, or 0 */
    int32_t value;       /* of the call */
    uint32_t marks;      /* the socket's, from now on */
    int32_t send_buffer; /* SO_SNDBUF */
    uint32_t size; /* of the payload behind it; with an error: what errno cannot tell, as text */
};

#endif
