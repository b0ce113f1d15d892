/* CRC32c. See checksum.h. */
#include "checksum.h"
#include <stdint.h>
#include <string.h>
#include <usrsctp.h>

#define CHECKSUM_AT 8 /* in the common header */

#ifdef __x86_64__
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t add_bytes(uint32_t crc,
                                                            const unsigned char *bytes, size_t size)
{
    uint64_t wide = crc, word;

    for (; size >= sizeof(word); bytes += sizeof(word), size -= sizeof(word)) {
        memcpy(&word, bytes, sizeof(word));
        wide = _mm_crc32_u64(wide, word);
    }
    crc = (uint32_t)wide;
    for (; size > 0; bytes++, size--)
        crc = _mm_crc32_u8(crc, *bytes);
    return crc;
}

/* As if the checksum's own bytes were zeros. */
static uint32_t calculate(const unsigned char *packet, size_t size)
{
    const unsigned char zeros[sizeof(uint32_t)] = {0};
    const size_t behind = CHECKSUM_AT + sizeof(zeros);

    uint32_t crc = add_bytes(~0u, packet, CHECKSUM_AT);
    crc = add_bytes(crc, zeros, sizeof(zeros));
    return ~add_bytes(crc, packet + behind, size - behind);
}

static bool has_instruction(void)
{
    return __builtin_cpu_supports("sse4.2") != 0;
}
#else
static uint32_t calculate(const unsigned char *packet, size_t size)
{
    (void)packet;
    (void)size;
    return 0;
}

static bool has_instruction(void)
{
    return false;
}
#endif

/* In the order of bytes that it has in the packet. The packet is as it was afterwards. */
static uint32_t checksum_of(unsigned char *packet, size_t size)
{
    uint32_t before, zero = 0;

    if (has_instruction())
        return calculate(packet, size);
    memcpy(&before, packet + CHECKSUM_AT, sizeof(before));
    memcpy(packet + CHECKSUM_AT, &zero, sizeof(zero));
    uint32_t checksum = usrsctp_crc32c(packet, size);
    memcpy(packet + CHECKSUM_AT, &before, sizeof(before));
    return checksum;
}

void checksum_put(void *packet, size_t size)
{
    uint32_t checksum = checksum_of(packet, size);

    memcpy((unsigned char *)packet + CHECKSUM_AT, &checksum, sizeof(checksum));
}

bool checksum_is_right(const void *packet, size_t size)
{
    uint32_t checksum = checksum_of((unsigned char *)(uintptr_t)packet, size);

    return memcmp((const unsigned char *)packet + CHECKSUM_AT, &checksum, sizeof(checksum)) == 0;
}
