/* CRC32c. See checksum.h. */
#include "checksum.h"
#include <stdint.h>
#include <string.h>
#include <usrsctp.h>

#define CHECKSUM_AT 8 /* in the common header */

#ifdef __x86_64__
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t calculate(const unsigned char *bytes, size_t size)
{
    uint64_t crc = UINT32_MAX, word;

    for (; size >= sizeof(word); bytes += sizeof(word), size -= sizeof(word)) {
        memcpy(&word, bytes, sizeof(word));
        crc = _mm_crc32_u64(crc, word);
    }
    for (; size > 0; bytes++, size--)
        crc = _mm_crc32_u8((uint32_t)crc, *bytes);
    return ~(uint32_t)crc;
}
#endif

void checksum_put(void *packet, size_t size)
{
    unsigned char *place = (unsigned char *)packet + CHECKSUM_AT;
    uint32_t checksum = 0; /* in the order of bytes that it has in the packet */

    memcpy(place, &checksum, sizeof(checksum));
#ifdef __x86_64__
    if (__builtin_cpu_supports("sse4.2"))
        checksum = calculate(packet, size);
    else
#endif
        checksum = usrsctp_crc32c(packet, size);
    memcpy(place, &checksum, sizeof(checksum));
}

bool checksum_is_right(void *packet, size_t size)
{
    uint32_t seen, right;

    memcpy(&seen, (unsigned char *)packet + CHECKSUM_AT, sizeof(seen));
    checksum_put(packet, size);
    memcpy(&right, (unsigned char *)packet + CHECKSUM_AT, sizeof(right));
    return seen == right;
}
