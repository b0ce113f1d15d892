/* checksum.h - SCTP's checksum, CRC32c (RFC 9260, appendix A): with the processor's instruction for
 * it where there is one, several times as fast as usrsctp's tables. */
#ifndef STACK_CHECKSUM_H
#define STACK_CHECKSUM_H

#include <stdbool.h>
#include <stddef.h>

/* Of a whole packet, of at least the common header's size. */
void checksum_put(void *packet, size_t size);
bool checksum_is_right(void *packet, size_t size); /* if not, then it is now */

#endif
