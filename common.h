/*
 * common.h - what server.c and client.c agree on.
 *
 * PROTO is the lesson: make it IPPROTO_TCP, rebuild, and both programs speak TCP.
 * What has an #ifndef can also come from the compiler, as in -DSERVER_PORT=5000.
 */
#ifndef COMMON_H
#define COMMON_H

#ifndef PROTO
#define PROTO IPPROTO_SCTP
#endif

/* With SOCK_STREAM, SCTP gives one association per socket, just like a TCP connection. */
#ifndef SOCK_TYPE
#define SOCK_TYPE SOCK_STREAM
#endif

#ifndef SERVER_PORT
#define SERVER_PORT 4444
#endif

#ifndef SERVER_LISTEN_QUEUE_SIZE
#define SERVER_LISTEN_QUEUE_SIZE SOMAXCONN
#endif

#ifndef SERVER_BUFFER_SIZE
#define SERVER_BUFFER_SIZE 65536
#endif

#ifndef SERVER_TIMEOUT_S
#define SERVER_TIMEOUT_S 3600
#endif

#ifndef CLIENT_SEND_COUNT
#define CLIENT_SEND_COUNT 5
#endif

#ifndef CLIENT_MESSAGE_SIZE
#define CLIENT_MESSAGE_SIZE 64
#endif

#ifndef CLIENT_TIMEOUT_S
#define CLIENT_TIMEOUT_S 10
#endif

#define ANSWER "OK"
#define ANSWER_SIZE (sizeof(ANSWER) - 1)

#define EXIT_MISUSE 2

#define NO_SCTP_HINT                                                                               \
    " (no SCTP in this kernel? \"modprobe sctp\", or install libusrsctp-dev and rebuild)"

#endif
