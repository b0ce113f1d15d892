/* messages.h - send and receive on a socket of the stack's: one message per call, as SCTP has it
 * (RFC 6458), with its ancillary data. Each is as sendmsg(2) and recvmsg(2). */
#ifndef FRONT_MESSAGES_H
#define FRONT_MESSAGES_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

__attribute__((visibility("hidden"))) ssize_t send_message(int fd, int marks,
                                                           const struct msghdr *message, int flags);
__attribute__((visibility("hidden"))) ssize_t receive_message(int fd, int marks,
                                                              struct msghdr *message, int flags);
/* FIONREAD: the bytes that the next read can take. -1 with errno. */
__attribute__((visibility("hidden"))) int readable_bytes(int fd, int marks);
/* As accept4(2). */
__attribute__((visibility("hidden"))) int
accept_connection(int fd, int marks, struct sockaddr *address, socklen_t *size, int flags);
/* An address for the program, as much of it as there is room for. 0, or -1 with errno. */
__attribute__((visibility("hidden"))) int give_address(const void *from, socklen_t size,
                                                       struct sockaddr *address, socklen_t *room);

static inline int bad_pointer(const void *pointer)
{
    /* What the kernel would call EFAULT, as far as that can be known without asking it. */
    return (uintptr_t)pointer < 4096 || (uintptr_t)pointer > (uintptr_t)0x7fffffffffffULL;
}

#endif
