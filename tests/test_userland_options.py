"""Every option of a one-to-one socket has over usrsctp what it has on Linux 6.1: sizes, errors, values."""
import sys

import pytest

from conftest import ROOT

pytestmark = [pytest.mark.stacks("usrsctp"), pytest.mark.plain]
WALK = ROOT / "tests" / "userland" / "walk_options.py"

# What the two stacks answer differently: where a line begins so, and why that is.
DIFFERENT = {
    ("IP 52 ",): "IP_PROTOCOL is newer than 6.1; Debian's 6.1 gives the port",
    ("SOCKET 28 inet refused", "SOCKET 28 inet6 refused", "IP 14 inet refused", "IPV6 24 inet6 refused",
     "IPV6 61 inet6 refused"): "after a refused connect, Linux still knows the peer and the route to it",
    ("IPV6 72 ",): "IPV6_ADDR_PREFERENCES: the kernel that runs is asked, and newer ones check it otherwise",
}


@pytest.mark.slow
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
