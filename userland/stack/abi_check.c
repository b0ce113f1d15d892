/* Compares linux_sctp.h with the system's <netinet/sctp.h>, at compile time. Makes no
 * code. */
#include "linux_sctp.h"
#include <netinet/sctp.h>
#include <stddef.h>

#define SAME(ours, theirs) _Static_assert((ours) == (theirs), #theirs)
#define SAME_SIZE(ours, theirs) SAME(sizeof(struct ours), sizeof(struct theirs))
#define SAME_MEMBER(ours, ours_member, theirs, theirs_member)                                      \
    SAME(offsetof(struct ours, ours_member), offsetof(struct theirs, theirs_member))

SAME(LX_MSG_NOTIFICATION, (int)MSG_NOTIFICATION);
SAME(LX_RTOINFO, SCTP_RTOINFO);
SAME(LX_ASSOCINFO, SCTP_ASSOCINFO);
SAME(LX_INITMSG, SCTP_INITMSG);
SAME(LX_NODELAY, SCTP_NODELAY);
SAME(LX_AUTOCLOSE, SCTP_AUTOCLOSE);
SAME(LX_PRIMARY_ADDR, SCTP_PRIMARY_ADDR);
SAME(LX_ADAPTATION_LAYER, SCTP_ADAPTATION_LAYER);
SAME(LX_DISABLE_FRAGMENTS, SCTP_DISABLE_FRAGMENTS);
SAME(LX_PEER_ADDR_PARAMS, SCTP_PEER_ADDR_PARAMS);
SAME(LX_DEFAULT_SEND_PARAM, SCTP_DEFAULT_SEND_PARAM);
SAME(LX_EVENTS, SCTP_EVENTS);
SAME(LX_I_WANT_MAPPED_V4_ADDR, SCTP_I_WANT_MAPPED_V4_ADDR);
SAME(LX_MAXSEG, SCTP_MAXSEG);
SAME(LX_STATUS, SCTP_STATUS);
SAME(LX_GET_PEER_ADDR_INFO, SCTP_GET_PEER_ADDR_INFO);
SAME(LX_DELAYED_SACK, SCTP_DELAYED_SACK);
SAME(LX_CONTEXT, SCTP_CONTEXT);
SAME(LX_FRAGMENT_INTERLEAVE, SCTP_FRAGMENT_INTERLEAVE);
SAME(LX_PARTIAL_DELIVERY_POINT, SCTP_PARTIAL_DELIVERY_POINT);
SAME(LX_MAX_BURST, SCTP_MAX_BURST);
SAME(LX_GET_ASSOC_NUMBER, SCTP_GET_ASSOC_NUMBER);
SAME(LX_GET_ASSOC_ID_LIST, SCTP_GET_ASSOC_ID_LIST);
SAME(LX_RECVRCVINFO, SCTP_RECVRCVINFO);
SAME(LX_RECVNXTINFO, SCTP_RECVNXTINFO);
SAME(LX_DEFAULT_SNDINFO, SCTP_DEFAULT_SNDINFO);
SAME(LX_REUSE_PORT, SCTP_REUSE_PORT);
SAME(LX_BINDX_ADD, SCTP_SOCKOPT_BINDX_ADD);
SAME(LX_BINDX_REM, SCTP_SOCKOPT_BINDX_REM);
SAME(LX_PEELOFF, SCTP_SOCKOPT_PEELOFF);
SAME(LX_GET_PEER_ADDRS, SCTP_GET_PEER_ADDRS);
SAME(LX_GET_LOCAL_ADDRS, SCTP_GET_LOCAL_ADDRS);
SAME(LX_CONNECTX, SCTP_SOCKOPT_CONNECTX);
SAME(LX_CONNECTX3, SCTP_SOCKOPT_CONNECTX3);
SAME(LX_PR_SUPPORTED, SCTP_PR_SUPPORTED);
SAME(LX_EVENT, SCTP_EVENT);

SAME(LX_CMSG_SNDRCV, (int)SCTP_SNDRCV);
SAME(LX_CMSG_NXTINFO, (int)SCTP_NXTINFO);
SAME(LX_CMSG_PRINFO, (int)SCTP_PRINFO);
SAME(LX_CMSG_DSTADDRV6, (int)SCTP_DSTADDRV6);
SAME(LX_UNORDERED, (int)SCTP_UNORDERED);
SAME(LX_SACK_IMMEDIATELY, (int)SCTP_SACK_IMMEDIATELY);
SAME(LX_EOF, (int)SCTP_EOF);
SAME(LX_SN_ASSOC_CHANGE, (int)SCTP_ASSOC_CHANGE);
SAME(LX_SN_SEND_FAILED, (int)SCTP_SEND_FAILED);
SAME(LX_SN_SHUTDOWN, (int)SCTP_SHUTDOWN_EVENT);
SAME(LX_SN_SENDER_DRY, (int)SCTP_SENDER_DRY_EVENT);
SAME(LX_SN_SEND_FAILED_EVENT, (int)SCTP_SEND_FAILED_EVENT);
SAME(LX_ESTABLISHED, (int)SCTP_ESTABLISHED);
SAME(LX_SHUTDOWN_ACK_SENT, (int)SCTP_SHUTDOWN_ACK_SENT);
SAME(LX_ACTIVE, (int)SCTP_ACTIVE);
SAME(LX_UNCONFIRMED, (int)SCTP_UNCONFIRMED);

SAME_SIZE(lx_initmsg, sctp_initmsg);
SAME_SIZE(lx_sndrcvinfo, sctp_sndrcvinfo);
SAME_MEMBER(lx_sndrcvinfo, assoc_id, sctp_sndrcvinfo, sinfo_assoc_id);
SAME_SIZE(lx_sndinfo, sctp_sndinfo);
SAME_SIZE(lx_rcvinfo, sctp_rcvinfo);
SAME_SIZE(lx_nxtinfo, sctp_nxtinfo);
SAME_SIZE(lx_prinfo, sctp_prinfo);
SAME_SIZE(lx_rtoinfo, sctp_rtoinfo);
SAME_SIZE(lx_assocparams, sctp_assocparams);
SAME_MEMBER(lx_assocparams, cookie_life, sctp_assocparams, sasoc_cookie_life);
SAME_SIZE(lx_prim, sctp_prim);
SAME_SIZE(lx_paddrparams, sctp_paddrparams);
SAME_MEMBER(lx_paddrparams, flags, sctp_paddrparams, spp_flags);
SAME_MEMBER(lx_paddrparams, ipv6_flowlabel, sctp_paddrparams, spp_ipv6_flowlabel);
SAME_SIZE(lx_sack_info, sctp_sack_info);
SAME_SIZE(lx_assoc_value, sctp_assoc_value);
SAME_SIZE(lx_paddrinfo, sctp_paddrinfo);
SAME_MEMBER(lx_paddrinfo, mtu, sctp_paddrinfo, spinfo_mtu);
SAME_SIZE(lx_status, sctp_status);
SAME_MEMBER(lx_status, primary, sctp_status, sstat_primary);
SAME_SIZE(lx_getaddrs, sctp_getaddrs);
SAME_SIZE(lx_getaddrs_old, sctp_getaddrs_old);
SAME_SIZE(lx_event_subscribe, sctp_event_subscribe);
SAME_SIZE(lx_event, sctp_event);
SAME_SIZE(lx_assoc_change, sctp_assoc_change);
SAME_SIZE(lx_paddr_change, sctp_paddr_change);
SAME_SIZE(lx_remote_error, sctp_remote_error);
SAME_SIZE(lx_send_failed, sctp_send_failed);
SAME_SIZE(lx_send_failed_event, sctp_send_failed_event);
SAME_SIZE(lx_shutdown_event, sctp_shutdown_event);
SAME_SIZE(lx_adaptation_event, sctp_adaptation_event);
SAME_SIZE(lx_pdapi_event, sctp_pdapi_event);
SAME_MEMBER(lx_pdapi_event, assoc_id, sctp_pdapi_event, pdapi_assoc_id);
SAME_SIZE(lx_authkey_event, sctp_authkey_event);
SAME_SIZE(lx_sender_dry_event, sctp_sender_dry_event);
SAME_SIZE(lx_adaptation_event, sctp_adaptation_event);
SAME(LX_AUTH_NO_AUTH, (int)SCTP_AUTH_NO_AUTH);
SAME(LX_CANT_STR_ASSOC, (int)SCTP_CANT_STR_ASSOC);
