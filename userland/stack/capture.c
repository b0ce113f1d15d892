/* A capture in pcapng (draft-ietf-opsawg-pcapng). See capture.h. */
#include "capture.h"
#include "loop.h"
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

static struct capture {
    int fd;
    struct stat file; /* as it was at first */
} captures[FILES];
static unsigned capture_count;

/* A section and an interface of it, with time stamps of nanoseconds. */
static const struct {
    uint32_t section_type, section_size, byte_order;
    uint16_t major, minor;
    uint32_t length[2], section_size_again; /* length: not known */
    uint32_t interface_type, interface_size;
    uint16_t link_type, reserved; /* LINKTYPE_RAW: packets start with an IP header */
    uint32_t longest_packet;
    uint16_t option, option_size; /* if_tsresol: digits of a second's fraction */
    uint8_t digits, padding[3];
    uint32_t end_of_options, interface_size_again;
} file_head = {0x0a0d0d0a, 28, 0x1a2b3c4d, 1, 0, {UINT32_MAX, UINT32_MAX}, 28, 1, 32, 101, 0, 0, 9,
               1,          9,  {0},        0, 32};

/* What stands before a packet, in parts. */
struct heads {
    struct {
        uint32_t type, size, interface, time_high, time_low, captured, original;
    } block;
    union {
        struct iphdr v4;
        struct ip6_hdr v6;
    } ip;
    struct udphdr udp;
};

/* ---- files */

/* All of it or nothing gets into the file; without room for it, that was the last packet. A reader
 * of a pipe that is late misses packets. */
static int write_block(const struct capture *capture, const struct iovec *parts, int count)
{
    ssize_t size = 0;
    struct stat file;

    for (int i = 0; i < count; i++)
        size += (ssize_t)parts[i].iov_len;
    ssize_t written = writev(capture->fd, parts, count);
    if (written == size || (written < 0 && (errno == EAGAIN || errno == EINTR)))
        return 0;
    if (written > 0 && S_ISREG(capture->file.st_mode) && fstat(capture->fd, &file) == 0)
        (void)!ftruncate(capture->fd, file.st_size - written);
    if (written >= 0)
        errno = ENOSPC;
    return -1;
}

/* What is there already must be a capture; of a file that cannot be read, that is not known. */
static int start_capture(const struct capture *new)
{
    struct iovec head = {(void *)(uintptr_t)&file_head, sizeof file_head};
    uint32_t type = file_head.section_type;
    int flags = fcntl(new->fd, F_GETFL);

    if (pread(new->fd, &type, sizeof type, 0) >= 0 && type != file_head.section_type) {
        errno = EINVAL;
        return -1;
    }
    if (flags < 0 || fcntl(new->fd, F_SETFL, flags | O_NONBLOCK | O_APPEND) < 0)
        return -1;
    return new->file.st_size == 0 ? write_block(new, &head, 1) : 0;
}

static bool is_captured_to(const struct stat *file)
{
    for (unsigned i = 0; i < capture_count; i++)
        if (captures[i].file.st_dev == file->st_dev && captures[i].file.st_ino == file->st_ino)
            return true;
    return false;
}

int capture_to(int fd)
{
    struct capture new = {.fd = fd};

    if (fstat(fd, &new.file) == 0 && is_captured_to(&new.file))
        return loop_close(fd, 0);
    errno = EMFILE;
    if (capture_count == FILES || start_capture(&new) < 0)
        return loop_close(fd, -1);
    captures[capture_count++] = new;
    return 0;
}

/* ---- packets */

/* RFC 1071; data of an odd size only at the end. */
static uint32_t add_up(uint32_t sum, const void *data, size_t size)
{
    const unsigned char *bytes = data;

    for (size_t i = 0; i + 1 < size; i += 2)
        sum += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
    return size % 2 == 1 ? sum + ((uint32_t)bytes[size - 1] << 8) : sum;
}

static uint16_t fold(uint32_t sum)
{
    while (sum > 0xffff)
        sum = (sum >> 16) + (sum & 0xffff);
    return htons((uint16_t)~sum);
}

/* Returns its size. */
static size_t put_ip(struct heads *heads, const struct address *from, const struct address *to,
                     size_t payload, uint8_t tos, uint8_t hops)
{
    if (!address_is_v4(&to->ip)) {
        heads->ip.v6 = (struct ip6_hdr){.ip6_src = from->ip, .ip6_dst = to->ip};
        heads->ip.v6.ip6_flow = htonl(6u << 28 | (uint32_t)tos << 20);
        heads->ip.v6.ip6_plen = htons((uint16_t)payload);
        heads->ip.v6.ip6_nxt = IPPROTO_UDP;
        heads->ip.v6.ip6_hlim = hops;
        return sizeof heads->ip.v6;
    }
    heads->ip.v4 = (struct iphdr){.version = 4,
                                  .ihl = sizeof heads->ip.v4 / 4,
                                  .tos = tos,
                                  .tot_len = htons((uint16_t)(sizeof heads->ip.v4 + payload)),
                                  .frag_off = htons(IP_DF),
                                  .ttl = hops,
                                  .protocol = IPPROTO_UDP,
                                  .saddr = from->ip.s6_addr32[3],
                                  .daddr = to->ip.s6_addr32[3]};
    heads->ip.v4.check = fold(add_up(0, &heads->ip.v4, sizeof heads->ip.v4));
    return sizeof heads->ip.v4;
}

static void put_udp(struct udphdr *udp, const struct address *from, const struct address *to,
                    const void *packet, size_t size)
{
    uint16_t length = (uint16_t)(sizeof *udp + size);
    uint32_t sum = IPPROTO_UDP + length; /* of the pseudo header, too */

    *udp =
        (struct udphdr){.source = htons(from->port), .dest = htons(to->port), .len = htons(length)};
    sum = add_up(sum, &from->ip, sizeof from->ip); /* what is before an IPv4 address adds nothing */
    sum = add_up(sum, &to->ip, sizeof to->ip);
    sum = add_up(sum, udp, sizeof *udp);
    udp->check = fold(add_up(sum, packet, size));
    if (udp->check == 0) /* which would mean that there is none (RFC 768) */
        udp->check = 0xffff;
}

static void put_block(struct heads *heads, uint32_t captured)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    heads->block.type = 6;
    heads->block.size = (uint32_t)(sizeof heads->block + ((captured + 3) & ~3u) + sizeof captured);
    heads->block.interface = 0;
    heads->block.time_high = (uint32_t)(ns >> 32);
    heads->block.time_low = (uint32_t)ns;
    heads->block.captured = heads->block.original = captured;
}

void capture_packet(const struct address *from, const struct address *to, const void *packet,
                    size_t size, uint8_t tos, uint8_t hops)
{
    static unsigned char padding[3];
    struct heads heads;

    if (capture_count == 0)
        return;
    size_t udp_size = sizeof heads.udp + size,
           ip_size = put_ip(&heads, from, to, udp_size, tos, hops == 0 ? IPDEFTTL : hops);
    put_udp(&heads.udp, from, to, packet, size);
    put_block(&heads, (uint32_t)(ip_size + udp_size));
    struct iovec parts[] = {{&heads.block, sizeof heads.block},
                            {&heads.ip, ip_size},
                            {&heads.udp, sizeof heads.udp},
                            {(void *)(uintptr_t)packet, size},
                            {padding, (0u - heads.block.captured) % 4},
                            {&heads.block.size, sizeof heads.block.size}};
    for (unsigned i = capture_count; i-- > 0;)
        if (write_block(&captures[i], parts, sizeof parts / sizeof parts[0]) < 0) {
            close(captures[i].fd);
            captures[i] = captures[--capture_count];
        }
}
