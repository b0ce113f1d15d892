"""The tutorial's own walk: build as it says, run both programs, flip PROTO, look at the wire."""
import shutil
import signal
import subprocess

import pytest

from conftest import ROOT, answers

SERVER_LINES = ("Listening on port 4444\n"
                "Got connection from 127.0.0.1\n"
                "Connection from 127.0.0.1 closed by remote peer.\n")
PROTOCOLS = {"IPPROTO_SCTP": "132", "IPPROTO_TCP": "6", "UDP": "17"}


def run_in(directory, command):
    subprocess.run(command, cwd=directory, shell=True, check=True, capture_output=True)


def walk(start, capture, build, userland):
    """Runs the two programs; returns the numbers of the IP protocols that were on the wire."""
    env = {"SCTP_STACK": "auto", "SCTP_UDP_PORT": "9899"}
    notice = "{}: socket: this kernel has no SCTP: using usrsctp, SCTP over UDP port 9899\n"
    captured = capture("port 4444 or udp port 9899", udp_port=None)
    server = start([build / "server"], env=env)
    assert server.read_line() == SERVER_LINES.splitlines(True)[0]
    client = start([build / "client", "127.0.0.1"], env=env)
    assert client.finish() == (0, answers(5), notice.format("client") if userland else "")
    assert "".join(server.read_line() for _ in range(2)) == SERVER_LINES.split("\n", 1)[1]
    assert server.finish(signal.SIGINT) == (
        0, "Served 1 connections, 5 messages.\n", notice.format("server") if userland else "")
    captured.stop()
    if userland:  # as Wireshark sees it, without Decode As
        assert (captured.read("sctp.chunk_type", only="udp.port == 9899 && sctp")
                == captured.read("sctp.chunk_type"))
    return {proto[0] for proto, in captured.read("ip.proto")}


@pytest.mark.slow
@pytest.mark.plain
@pytest.mark.stacks("usrsctp")
def test_walk(start, own_network, capture, tmp_path):
    tree = tmp_path / "tree"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns("build*", ".git", "__pycache__"))
    run_in(tree, "mkdir build; cd build; cmake ..; make")
    assert walk(start, capture, tree / "build", userland=True) == {PROTOCOLS["UDP"]}

    header = (tree / "common.h").read_text()
    assert header.count("#define PROTO IPPROTO_SCTP") == 1
    (tree / "common.h").write_text(
        header.replace("#define PROTO IPPROTO_SCTP", "#define PROTO IPPROTO_TCP"))
    run_in(tree / "build", "make")
    assert walk(start, capture, tree / "build", userland=False) == {PROTOCOLS["IPPROTO_TCP"]}


@pytest.mark.plain
@pytest.mark.stacks("sctp")
def test_what_was_built_speaks_the_kernels_sctp(start, own_network, capture, build):
    """The walk on a kernel with SCTP; to build both ways once more would take two minutes in User Mode Linux."""
    assert walk(start, capture, build, userland=False) == {PROTOCOLS["IPPROTO_SCTP"]}
