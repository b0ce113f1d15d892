/* receive.h - messages, one per call as SCTP has it (RFC 6458), with their ancillary data; connections. */
#ifndef FRONT_RECEIVE_H
#define FRONT_RECEIVE_H

#include <sys/socket.h>

/* As recvmsg(2) and accept4(2), of a socket with these marks. */
ssize_t receive_message(int fd, int marks, struct msghdr *message, int flags);
int accept_connection(int fd, int marks, struct sockaddr *address, socklen_t *size, int flags);

/* FIONREAD: the bytes that the next read can take. -1 with errno. */
int readable_bytes(int fd, int marks);

#endif
