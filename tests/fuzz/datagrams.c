/*
 * datagrams.c - libFuzzer target: what comes in over UDP, with a good checksum, for a port where a
 * program listens, and for one where none does. To be run in a network of its own.
 */
#include "stack.h"

#define UDP_PORT 9899
#define PORT 4444
#define COMMON_HEAD 12

static int sender;

static void listen_on_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    struct request bind_request = {.kind = REQUEST_BIND, .id = 1, .size = sizeof(address)};
    struct request listen_request = {.kind = REQUEST_LISTEN, .id = 1, .number = 5};

    connect_to_stack(UDP_PORT, 1); /* stays open */
    run_stack();
    send_request(UDP_PORT, &bind_request, &address, sizeof(address));
    send_request(UDP_PORT, &listen_request, NULL, 0);
}

static void start_all(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(UDP_PORT),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    start_stack_inside(UDP_PORT);
    listen_on_port();
    sender = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (connect(sender, (struct sockaddr *)&address, sizeof(address)) == -1)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool started;
    static uint8_t packet[65536], answer[65536];
    uint32_t checksum;

    if (!started)
        start_all();
    started = true;
    if (size < 1 || size > sizeof(packet))
        return 0;
    memcpy(packet, data + 1, --size);
    if (size >= COMMON_HEAD && (data[0] & 1)) {
        packet[2] = PORT >> 8;
        packet[3] = PORT & 0xff;
        memset(packet + 8, 0, 4);
        checksum = usrsctp_crc32c(packet, size);
        memcpy(packet + 8, &checksum, sizeof(checksum));
    }
    (void)!send(sender, packet, size, 0);
    run_stack();
    while (recv(sender, answer, sizeof(answer), 0) > 0)
        continue;
    return 0;
}
