/*
 * capture.h - SCTP_CAPTURE: a file with every packet, as it would be captured on the wire, for
 * Wireshark (pcapng). The file is whole after every packet.
 */
#ifndef STACK_CAPTURE_H
#define STACK_CAPTURE_H

#include "address.h"
#include <stddef.h>

/* fd becomes the capture's; a file that is being written to already is closed again. The head is
 * written if the file is empty. 0, or -1 with errno. */
int capture_to(int fd);

/* An SCTP packet that goes in UDP from one address and port to another: with all three heads. */
void capture_packet(const struct address *from, const struct address *to, const void *packet,
                    size_t size, uint8_t tos);

#endif
