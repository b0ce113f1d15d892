/*
 * capture.h - SCTP_CAPTURE: a file with every packet, as it would be captured on the wire, for
 * Wireshark (pcapng). The file is whole after every packet.
 */
#ifndef STACK_CAPTURE_H
#define STACK_CAPTURE_H

#include "address.h"
#include <stddef.h>

/*
 * fd becomes the capture's, whatever happens; a file that is being written to already is closed
 * again. The head is written if the file is empty. Several files may be captured to, and a pipe;
 * SIGPIPE must be ignored. 0, or -1 with errno: EINVAL for a file that holds something else (if it
 * can be read), EMFILE for too many.
 */
int capture_to(int fd);

/* An SCTP packet that goes in UDP from one address and port to another: with all three heads. hops
 * is the time to live, or 0 for the usual one. */
void capture_packet(const struct address *from, const struct address *to, const void *packet,
                    size_t size, uint8_t tos, uint8_t hops);

#endif
