/* One-to-one SCTP sockets on libusrsctp, under an own prefix.
 *
 * Each us_ function takes, returns and sets errno like the call of the same name (RFC
 * 6458 section 4, sctp(7), socket(7)), for descriptors that us_socket and us_accept made.
 * Each is a real descriptor. The engine knows nothing of libc's names: front.c puts them
 * in front of it. */
#ifndef USERLAND_ENGINE_H
#define USERLAND_ENGINE_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* udp_port: where listeners are found. warn: is told, once per event, what failed and
 * why, for the failures that no errno describes. To be called before the first us_socket.
 */
void us_configure(uint16_t udp_port, void (*warn)(const char *what, const char *why));

bool us_owns(int fd);     /* fd is an SCTP socket of the engine */
bool us_reserved(int fd); /* fd belongs to the engine itself: nobody else may close it */

int us_socket(int domain, int type, int protocol);
int us_bind(int fd, const struct sockaddr *address, socklen_t length);
int us_listen(int fd, int backlog);
int us_accept(int fd, struct sockaddr *address, socklen_t *length, int flags);
int us_connect(int fd, const struct sockaddr *address, socklen_t length);
int us_shutdown(int fd, int how);
int us_close(int fd);
int us_getsockname(int fd, struct sockaddr *address, socklen_t *length);
int us_getpeername(int fd, struct sockaddr *address, socklen_t *length);
int us_getsockopt(int fd, int level, int name, void *value, socklen_t *length);
int us_setsockopt(int fd, int level, int name, const void *value, socklen_t length);
ssize_t us_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t us_recvmsg(int fd, struct msghdr *message, int flags);

/* O_NONBLOCK of the open socket, which every duplicate of the descriptor shares. */
void us_set_nonblocking(int fd, bool on);
/* FIONREAD: the bytes that the next read can take now. -1 with errno set. */
int us_readable_bytes(int fd);

/* newfd was made from fd by dup(2) or its kin: it is the same socket from now on. */
void us_alias(int fd, int newfd);
/* fd is gone, or about to name something else: forget what it named. */
void us_forget(int fd);

/* As ppoll(2) and epoll(7), for sets that hold at least one socket of the engine. */
int us_ppoll(struct pollfd *set, nfds_t count, const struct timespec *timeout,
             const sigset_t *mask);
int us_epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event);
/* Some socket of the engine is, or was, a member of epoll_fd. */
bool us_epoll_member(int epoll_fd);
void us_epoll_closed(int epoll_fd);
int us_epoll_pwait(int epoll_fd, struct epoll_event *events, int count,
                   const struct timespec *timeout, const sigset_t *mask);

#endif
