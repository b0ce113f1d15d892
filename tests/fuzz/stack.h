/* stack.h - the stack inside of a libFuzzer target: main.c without its loop. */
#ifndef FUZZ_STACK_H
#define FUZZ_STACK_H

#define main run_main
#include "../../userland/stack/main.c"
#undef main
#include "../../userland/protocol.h"
#include "../../userland/stack/control.h"
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct sockaddr_un abstract(const char *text, socklen_t *size)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};

    memcpy(name.sun_path + 1, text, strlen(text));
    *size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(text));
    return name;
}

/* To be run in a network of its own. */
static void start_stack_inside(uint16_t udp_port)
{
    char text[64];
    socklen_t size;

    snprintf(text, sizeof(text), PROTOCOL_STACK_FORMAT, (unsigned)geteuid(), (unsigned)udp_port);
    struct sockaddr_un name = abstract(text, &size);
    listener_watch.fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
    listener_watch.ready = accept_programs;
    if (bind(listener_watch.fd, (struct sockaddr *)&name, size) == -1 ||
        listen(listener_watch.fd, SOMAXCONN) == -1 || loop_open() == -1 ||
        loop_watch(&listener_watch, EPOLLIN) == -1)
        abort();
    wire_start(udp_port, &wire_handlers);
    sock_start(&sock_handlers);
    start_usrsctp();
}

/* All that has happened is handled. */
static void run_stack(void)
{
    for (int i = 0; i < 3; i++) {
        sock_handle_changes();
        loop_wait(0);
        loop_handle();
        sock_handle_changes();
    }
}

/* A program's connection to the stack; with an ID, a socket. */
static int connect_to_stack(uint16_t udp_port, uint64_t id)
{
    char text[96];
    socklen_t size;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);

    if (id != 0) {
        snprintf(text, sizeof(text), PROTOCOL_SOCKET_FORMAT, (unsigned)geteuid(),
                 (unsigned)udp_port, id % 2 ? '4' : '6', (unsigned long long)id);
        struct sockaddr_un name = abstract(text, &size);
        if (bind(fd, (struct sockaddr *)&name, size) == -1)
            abort();
    }
    snprintf(text, sizeof(text), PROTOCOL_STACK_FORMAT, (unsigned)geteuid(), (unsigned)udp_port);
    struct sockaddr_un name = abstract(text, &size);
    if (connect(fd, (struct sockaddr *)&name, size) == -1)
        abort();
    return fd;
}

/* A request with any payload. */
static void send_request(uint16_t udp_port, const struct request *request, const void *payload,
                         size_t size)
{
    struct iovec parts[2] = {{(void *)(uintptr_t)request, sizeof(*request)},
                             {(void *)(uintptr_t)payload, size}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    int fd = connect_to_stack(udp_port, 0);

    (void)!sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    run_stack();
    close(fd);
}

#endif
