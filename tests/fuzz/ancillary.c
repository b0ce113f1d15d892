/*
 * ancillary.c - libFuzzer target: what a program hands to sendmsg, and what the front puts beside a
 * message that it receives. The files are included, since what translates is static.
 */
#include "../../userland/front/receive.c"
#include "../../userland/front/send.c"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In memory of exactly that size, so that a byte too far is noticed. */
static void parse(const uint8_t *data, size_t size)
{
    struct send_info info = {.given = false};
    void *control = malloc(size > 0 ? size : 1);
    struct msghdr message = {.msg_control = control, .msg_controllen = size};

    memcpy(control, data, size);
    if (take_control(&message, &info) == 0)
        check_send(&message, 1, &info);
    free(control);
}

static void put(const uint8_t *data, size_t size)
{
    struct record_head head = {.magic = HEAD_MAGIC};
    size_t room = data[1];
    void *control = malloc(room > 0 ? room : 1);
    struct msghdr message = {.msg_control = control, .msg_controllen = room};
    struct receive call = {
        .message = &message, .fd = -1, .marks = data[0] & (MARK_RCVINFO | MARK_SNDRCV)};

    memcpy(&head, data + 2, size - 2 < sizeof(head) ? size - 2 : sizeof(head));
    put_ancillary(&call, &head, false);
    if (call.used > room)
        abort();
    free(control);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    if (data[0] % 2)
        parse(data + 1, size - 1);
    else
        put(data + 1, size - 1);
    return 0;
}
