"""Every option of a one-to-one socket has over usrsctp what it has on Linux 6.1: sizes, errors, values."""
import os
import sys

import pytest

from conftest import ROOT

pytestmark = [pytest.mark.stacks("usrsctp"), pytest.mark.plain]
WALK = ROOT / "tests" / "userland" / "walk_options.py"

# What the two stacks answer differently: how a line begins, and why that is.
DIFFERENT = {
    ("SOCKET 16 ", "SOCKET 34 ", "IP 52 ", "IPV6 72 "):
        "SO_PASSCRED, SO_PASSSEC, IP_PROTOCOL, IPV6_ADDR_PREFERENCES: the kernel is asked, and newer ones differ from 6.1",
    ("SOCKET 18 ", "SOCKET 37 ", "SOCKET 65 ", "IP 35 ", "IP 36 ", "IPV6 20 ", "IPV6 21 "):
        "SO_RCVLOWAT, SO_TIMESTAMPING and groups: the kernel's TCP is asked, which takes less, or none",
    ("SOCKET 74 ", "IP 49 "): "SO_TXREHASH, IP_MULTICAST_ALL: in accepted sockets Linux leaves them at zero",
    ("IP 1 ", "IPV6 67 "): "IP_TOS, IPV6_TCLASS: in an association, Linux adds that it knows ECN, which usrsctp is told not to",
    ("IP 10 ",): "IP_MTU_DISCOVER: what Linux finds there it overwrites with every packet (SPP_PMTUD_ENABLE decides)",
    ("SOCKET 28 inet refused", "SOCKET 28 inet6 refused", "IP 14 inet refused", "IPV6 24 inet6 refused",
     "IPV6 61 inet6 refused"): "after a refused connect, Linux still knows the peer and the route to it",
}


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="lab/run makes us root, who may set more options")
def test_as_on_a_kernel(start, build, scale, tmp_path):
    command = [sys.executable, "-B", WALK, *scale(["--short"], [])]
    prefixes = {"kernel": ROOT / "lab" / "run", "usrsctp": build / "userland" / "withusrsctp"}
    walks = [start(["sh", "-c", 'exec "$@" >"$0"', tmp_path / name, prefix, *command])
             for name, prefix in prefixes.items()]
    assert [walk.finish(patience_s=1800) for walk in walks] == [(0, "", ""), (0, "", "")]
    kernel, usrsctp = ((tmp_path / name).read_text().splitlines() for name in prefixes)
    known = tuple(start for starts in DIFFERENT for start in starts)
    assert len(kernel) == len(usrsctp) > 10000
    assert [pair for pair in zip(kernel, usrsctp) if pair[0] != pair[1] and not pair[0].startswith(known)] == []
