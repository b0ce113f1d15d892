/*
 * requests.c - libFuzzer target: requests of programs to the stack, options above all, about two
 * sockets of theirs. To be run in a network of its own.
 *
 * Each request is eight bytes (kind, flags, level, option, size of the payload in two, sockets) and
 * its payload.
 */
#include "stack.h"

#define UDP_PORT 9899
#define REQUESTS_MAX 16
#define HEAD 8

static const uint64_t ids[] = {1, 2, 3}; /* the third is nobody's */
static const int levels[] = {132, 132, 132, 132, SOL_SOCKET, IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool started;
    size_t at = 0;

    if (!started)
        start_stack_inside(UDP_PORT);
    started = true;
    int first = connect_to_stack(UDP_PORT, ids[0]), second = connect_to_stack(UDP_PORT, ids[1]);
    run_stack();
    for (int i = 0; i < REQUESTS_MAX && at + HEAD <= size; i++) {
        const uint8_t *head = data + at;
        size_t length = (size_t)(head[4] | head[5] << 8);
        at += HEAD;
        length = length < size - at ? length : size - at;
        struct request request = {.kind = head[0] % 18,
                                  .flags = head[1] & 7,
                                  .id = ids[head[6] % 3],
                                  .other = ids[head[7] % 3],
                                  .level = levels[head[2] % 8],
                                  .number = (int8_t)head[3] < 0 ? (int8_t)head[3] : head[3],
                                  .size =
                                      head[2] & 0x80 ? (uint32_t)head[7] << 24 : (uint32_t)length,
                                  .stream = head[7]};
        send_request(UDP_PORT, &request, data + at, length);
        if (head[1] & 8)
            (void)!send(first, data + at, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        at += length;
    }
    close(first);
    close(second);
    run_stack();
    sock_sweep();
    return 0;
}
