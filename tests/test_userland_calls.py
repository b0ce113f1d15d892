"""The calls of the one-to-one socket API, on the kernel's SCTP and on usrsctp: one behaviour.

What cannot be told in Python (userland/calls_*.py) is told by C programs, which are run here.
"""
import pytest

pytestmark = pytest.mark.stacks("sctp", "usrsctp")


@pytest.fixture
def prefix(stack, build):
    return [build / "userland" / "withusrsctp"] if stack == "usrsctp" else []


@pytest.mark.parametrize("name", ["bytes", "corners", "events", "interrupts", "libsctp", "processes", "signals"])
def test_c(start, build, prefix, name):
    status, output, errors = start([build / "tests" / name], prefix).finish()
    assert (status, errors) == (0, ""), output + errors
    assert "FAILED" not in output
