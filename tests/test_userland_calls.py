"""The calls of the one-to-one socket API, on the kernel's SCTP and on usrsctp: one behaviour.

What cannot be told in Python (userland/calls_*.py) is told by C programs, which are run here.
"""
import pathlib
import subprocess

import pytest

HERE = pathlib.Path(__file__).resolve().parent / "userland"
pytestmark = pytest.mark.stacks("sctp", "usrsctp")


@pytest.fixture
def prefix(stack, build):
    return [build / "userland" / "withusrsctp"] if stack == "usrsctp" else []


@pytest.fixture(scope="module")
def find_c(tmp_path_factory, build):
    """The program of that name: linked to userland in builds with sanitizers. Else it's compiled as
    distributions do, optimised, so that the fortified variants are used."""
    def find(name, prefix):
        if (build / "tests" / name).exists():
            return [build / "tests" / name]
        program = tmp_path_factory.mktemp("userland") / name
        subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", "-D_FORTIFY_SOURCE=2", "-o", program,
                        HERE / f"{name}.c", "-lsctp", "-lpthread"], check=True)
        return [*prefix, program]
    return find


@pytest.mark.parametrize("name", ["corners", "libsctp", "signals"])
def test_c(start, prefix, find_c, name):
    status, output, errors = start(find_c(name, prefix)).finish()
    assert (status, errors) == (0, ""), output + errors
    assert "FAILED" not in output
