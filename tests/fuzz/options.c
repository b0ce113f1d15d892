/*
 * options.c - libFuzzer target: getsockopt and setsockopt of the engine, with any value, on a fresh
 * socket. To be run in a network of its own: sctp_connectx is an option, too.
 *
 * Each option is three bytes (what to do and the level, its name, the size of its value), and the
 * value.
 */
#include "engine.h"
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define CONNECTX3 111
#define OPTIONS_MAX 16
#define VALUE_MAX 255

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void call(int fd, const uint8_t *head, const void *value, size_t size)
{
    static const int levels[] = {IPPROTO_SCTP, IPPROTO_SCTP, SOL_SOCKET, IPPROTO_IPV6};
    int level = levels[head[0] >> 1 & 3], name = head[1];
    if (name == CONNECTX3) // its value has a pointer in it: no memory of ours
        return;
    void *bytes = malloc(VALUE_MAX); // all of it the program's, as far as it says so
    socklen_t length = (socklen_t)size;
    memset(bytes, 0, VALUE_MAX);
    memcpy(bytes, value, size);
    void *exact = realloc(bytes, size > 0 ? size : 1);
    if (head[0] & 1)
        us_setsockopt(fd, level, name, exact, length);
    else if (us_getsockopt(fd, level, name, exact, &length) == 0 && length > size)
        abort();
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    int fd = us_socket(data[0] & 1 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, IPPROTO_SCTP);
    if (fd == -1)
        abort();
    size_t at = 1;
    for (int i = 0; i < OPTIONS_MAX && at + 3 <= size; i++) {
        size_t length = data[at + 2] < size - at - 3 ? data[at + 2] : size - at - 3;
        call(fd, data + at, data + at + 3, length);
        at += 3 + length;
    }
    us_close(fd);
    return 0;
}
