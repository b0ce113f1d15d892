/*
 * A capture in pcapng (draft-ietf-opsawg-pcapng): a section header, one interface, and a block per
 * packet, each written by one call.
 */
#include "capture.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define FILES 8
#define LINKTYPE_RAW 101 /* packets start with an IP header */
#define HOPS 64
#define SECTION_TYPE 0x0a0d0d0au

static struct capture {
    int fd;
    dev_t device;
    ino_t inode;
    bool regular;
} captures[FILES];
static unsigned capture_count;

struct file_head {
    struct {
        uint32_t type, size, byte_order;
        uint16_t major, minor;
        uint64_t section_size; /* not known */
        uint32_t size_again;
    } __attribute__((packed)) section;
    struct {
        uint32_t type, size;
        uint16_t link_type, reserved;
        uint32_t longest_packet;
        uint16_t option, option_size; /* if_tsresol: digits of a second's fraction */
        uint8_t digits, padding[3];
        uint32_t end_of_options, size_again;
    } __attribute__((packed)) interface;
} __attribute__((packed));

struct packet_block {
    uint32_t type, size, interface, time_high, time_low, captured, original;
};

static const struct file_head file_head = {.section = {.type = SECTION_TYPE,
                                                       .size = sizeof file_head.section,
                                                       .byte_order = 0x1a2b3c4d,
                                                       .major = 1,
                                                       .section_size = UINT64_MAX,
                                                       .size_again = sizeof file_head.section},
                                           .interface = {.type = 1,
                                                         .size = sizeof file_head.interface,
                                                         .link_type = LINKTYPE_RAW,
                                                         .option = 9,
                                                         .option_size = 1,
                                                         .digits = 9,
                                                         .size_again = sizeof file_head.interface}};

bool capture_is_on(void)
{
    return capture_count > 0;
}

/* ---- files */

/* What is there already must be a capture; of a file that cannot be read, that is not known. */
static int check_content(int fd)
{
    uint32_t type = SECTION_TYPE;

    if (pread(fd, &type, sizeof type, 0) >= 0 && type != SECTION_TYPE) {
        errno = EINVAL;
        return -1;
    }
    return 0;
}

static bool is_captured_to(const struct stat *file)
{
    for (unsigned i = 0; i < capture_count; i++)
        if (captures[i].device == file->st_dev && captures[i].inode == file->st_ino)
            return true;
    return false;
}

static void end_capture(unsigned index)
{
    close(captures[index].fd);
    captures[index] = captures[--capture_count];
}

/* All of it or nothing gets into the file; without room for it, that was the last packet. A reader
 * of a pipe that is late misses packets. */
static int write_block(const struct capture *capture, const struct iovec *parts, int count)
{
    size_t size = 0;

    for (int i = 0; i < count; i++)
        size += parts[i].iov_len;
    ssize_t written = writev(capture->fd, parts, count);
    if (written == (ssize_t)size || (written < 0 && (errno == EAGAIN || errno == EINTR)))
        return 0;
    struct stat file;
    if (written > 0 && capture->regular && fstat(capture->fd, &file) == 0)
        (void)!ftruncate(capture->fd, file.st_size - written);
    if (written >= 0)
        errno = ENOSPC;
    return -1;
}

static int start_capture(int fd)
{
    struct iovec head = {(void *)(uintptr_t)&file_head, sizeof file_head};
    struct stat file;
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fstat(fd, &file) < 0)
        return -1;
    if (is_captured_to(&file)) {
        close(fd);
        return 0;
    }
    if (capture_count == FILES) {
        errno = EMFILE;
        return -1;
    }
    struct capture new = {fd, file.st_dev, file.st_ino, S_ISREG(file.st_mode)};
    if (check_content(fd) < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK | O_APPEND) < 0 ||
        (file.st_size == 0 && write_block(&new, &head, 1) < 0))
        return -1;
    captures[capture_count++] = new;
    return 0;
}

int capture_to(int fd)
{
    if (start_capture(fd) == 0)
        return 0;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

/* ---- packets */

/* RFC 1071; data of an odd size only at the end. */
static uint32_t add_up(uint32_t sum, const void *data, size_t size)
{
    const unsigned char *bytes = data;

    for (size_t i = 0; i + 1 < size; i += 2)
        sum += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
    if (size % 2 == 1)
        sum += (uint32_t)bytes[size - 1] << 8;
    return sum;
}

static uint16_t fold(uint32_t sum)
{
    while (sum > 0xffff)
        sum = (sum >> 16) + (sum & 0xffff);
    return htons((uint16_t)~sum);
}

struct heads {
    struct packet_block block;
    unsigned char bytes[sizeof(struct ip6_hdr) + sizeof(struct udphdr)];
    size_t size; /* of bytes */
};

static size_t put_ipv4(unsigned char *to, const struct address *source,
                       const struct address *destination, size_t payload, uint8_t tos, uint8_t hops)
{
    struct iphdr ip = {.version = 4,
                       .ihl = sizeof ip / 4,
                       .tos = tos,
                       .tot_len = htons((uint16_t)(sizeof ip + payload)),
                       .frag_off = htons(IP_DF),
                       .ttl = hops,
                       .protocol = IPPROTO_UDP};

    memcpy(&ip.saddr, &source->ip.s6_addr[12], sizeof ip.saddr);
    memcpy(&ip.daddr, &destination->ip.s6_addr[12], sizeof ip.daddr);
    ip.check = fold(add_up(0, &ip, sizeof ip));
    memcpy(to, &ip, sizeof ip);
    return sizeof ip;
}

static size_t put_ipv6(unsigned char *to, const struct address *source,
                       const struct address *destination, size_t payload, uint8_t tos, uint8_t hops)
{
    struct ip6_hdr ip = {.ip6_src = source->ip, .ip6_dst = destination->ip};

    ip.ip6_flow = htonl(6u << 28 | (uint32_t)tos << 20);
    ip.ip6_plen = htons((uint16_t)payload);
    ip.ip6_nxt = IPPROTO_UDP;
    ip.ip6_hlim = hops;
    memcpy(to, &ip, sizeof ip);
    return sizeof ip;
}

static void put_heads(struct heads *heads, const struct address *from, const struct address *to,
                      const void *packet, size_t size, uint8_t tos, uint8_t hops)
{
    size_t payload = sizeof(struct udphdr) + size;
    bool v4 = address_is_v4(&to->ip);
    struct udphdr udp = {
        .source = htons(from->port), .dest = htons(to->port), .len = htons((uint16_t)payload)};
    uint32_t sum = IPPROTO_UDP + (uint32_t)payload; /* of the pseudo header, too */

    heads->size = v4 ? put_ipv4(heads->bytes, from, to, payload, tos, hops)
                     : put_ipv6(heads->bytes, from, to, payload, tos, hops);
    sum = add_up(sum, v4 ? &from->ip.s6_addr[12] : from->ip.s6_addr, v4 ? 4 : 16);
    sum = add_up(sum, v4 ? &to->ip.s6_addr[12] : to->ip.s6_addr, v4 ? 4 : 16);
    sum = add_up(sum, &udp, sizeof udp);
    udp.check = fold(add_up(sum, packet, size));
    if (udp.check == 0) /* which would mean that there is none (RFC 768) */
        udp.check = 0xffff;
    memcpy(heads->bytes + heads->size, &udp, sizeof udp);
    heads->size += sizeof udp;
}

static void put_block(struct heads *heads, size_t size)
{
    uint32_t captured = (uint32_t)(heads->size + size);
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    heads->block = (struct packet_block){
        .type = 6,
        .size = (uint32_t)sizeof heads->block + ((captured + 3) & ~3u) + (uint32_t)sizeof(uint32_t),
        .time_high = (uint32_t)(ns >> 32),
        .time_low = (uint32_t)ns,
        .captured = captured,
        .original = captured};
}

void capture_packet(const struct address *from, const struct address *to, const void *packet,
                    size_t size, uint8_t tos, uint8_t hops)
{
    static unsigned char padding[3];
    struct heads heads;

    if (capture_count == 0)
        return;
    put_heads(&heads, from, to, packet, size, tos, hops == 0 ? HOPS : hops);
    put_block(&heads, size);
    struct iovec parts[] = {{&heads.block, sizeof heads.block},
                            {heads.bytes, heads.size},
                            {(void *)(uintptr_t)packet, size},
                            {padding, (0u - heads.block.captured) % 4},
                            {&heads.block.size, sizeof heads.block.size}};
    for (unsigned i = capture_count; i-- > 0;)
        if (write_block(&captures[i], parts, 5) < 0)
            end_capture(i);
}
