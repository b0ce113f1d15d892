/*
 * ancillary.c - libFuzzer target: what a program hands to sendmsg, what usrsctp says of a message,
 * and its notifications, as the engine translates them. transfer.c is included, since what
 * translates is static.
 */
#include "../../userland/transfer.c"

#define CONTROL_MAX 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In memory of exactly that size, so that a byte too far is noticed. */
static void *copy(const void *data, size_t size)
{
    void *bytes = malloc(size > 0 ? size : 1);
    memcpy(bytes, data, size);
    return bytes;
}

static void parse(const uint8_t *data, size_t size)
{
    struct send_info info;
    void *control = copy(data, size);
    struct msghdr message = {.msg_control = control, .msg_controllen = size};
    if (parse_send_info(&message, &info) == 0) {
        stack_send_flags(info.flags);
        stack_policy(info.policy);
    }
    free(control);
}

static void put(const uint8_t *data, size_t size)
{
    struct us_sock sock = {.subscribed = data[0], .want_rcvinfo = data[1] & 1};
    struct received received = {.has_info = data[1] & 2, .has_next = data[1] & 4};
    size_t room = data[2];
    void *control = malloc(room > 0 ? room : 1);
    struct msghdr message = {.msg_control = control, .msg_controllen = room};
    memcpy(&received.info, data + 3,
           size - 3 < sizeof received.info ? size - 3 : sizeof received.info);
    put_ancillary(&sock, &received, &message);
    if (message.msg_controllen > room)
        abort();
    for (struct cmsghdr *head = CMSG_FIRSTHDR(&message); head != NULL;
         head = CMSG_NXTHDR(&message, head))
        if (head->cmsg_level != IPPROTO_SCTP)
            abort();
    free(control);
}

static void translate(const uint8_t *data, size_t size)
{
    struct us_link link = {.users = 1};
    struct us_sock sock = {.domain = data[0] & 1 ? AF_INET : AF_INET6,
                           .link = &link,
                           .subscribed = data[0] & 4 ? 1u << 3 : 0};
    uint8_t *raw = copy(data + 1, size - 1);
    if (data[0] & 2) { // else hardly ever one that there is
        raw[0] %= 16;
        raw[1] = 0;
    }
    struct us_note *note = note_translate(&sock, raw, size - 1);
    uint32_t length;
    if (note != NULL) {
        memcpy(&length, note->bytes + 4, sizeof length);
        if (length != note->length || note->taken != 0 ||
            length > size + sizeof(struct lx_paddr_change))
            abort();
    }
    free(note);
    free(raw);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4)
        return 0;
    switch (data[0] % 3) {
    case 0: parse(data + 1, size - 1); break;
    case 1: put(data + 1, size - 1); break;
    default: translate(data + 1, size - 1);
    }
    return 0;
}
