/* send.h - one message per call, as SCTP has it (RFC 6458), with its ancillary data. */
#ifndef FRONT_SEND_H
#define FRONT_SEND_H

#include <sys/socket.h>

/* As sendmsg(2), of a socket with these marks. */
ssize_t send_message(int fd, int marks, const struct msghdr *message, int flags);

/* The sum of all parts, or -1 with errno. */
ssize_t total_size(const struct msghdr *message);

/* The parts behind the first skip bytes. Returns how many they are. */
size_t skip_parts(const struct msghdr *message, size_t skip, struct iovec *parts);

#endif
