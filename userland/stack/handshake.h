/* handshake.h - what packets lost in the handshake do to the round trip that usrsctp measures. */
#ifndef STACK_HANDSHAKE_H
#define STACK_HANDSHAKE_H

#include "socket.h"

/*
 * Where packets of the handshake were lost, usrsctp takes the time since the first for a round
 * trip. The RTO is to stay RTO.initial then (RFC 9260, section 6.3.1, C1 and C5): the next packet
 * may be lost, too. To be called before and after an answer of the peer's goes to usrsctp.
 */
void handshake_bound_rto(struct sock *sock, bool before);

/* The estimate that the handshake has left is brought back, by answers to heartbeats. */
void handshake_measure_again(struct sock *sock);

#endif
