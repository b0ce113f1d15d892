"""What the build promises: installing, building where libusrsctp is missing, running without rights."""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import pytest

from conftest import ROOT, answers, find_udp_port

pytestmark = [pytest.mark.stacks("usrsctp"), pytest.mark.plain]
NOBODY = {"user": 65534, "group": 65534, "extra_groups": []}


def cmake(*arguments):
    done = subprocess.run(["cmake", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_installed_withusrsctp(start, build, tmp_path):
    if not os.access(build, os.W_OK):
        pytest.skip("cmake --install writes its manifest there")
    opens_socket = "import socket; print(socket.socket(type=socket.SOCK_STREAM, proto=132).proto)"

    def install_and_run(prefix):
        cmake("--install", build, "--prefix", prefix)
        return start([prefix / "bin/withusrsctp", sys.executable, "-c", opens_socket]).finish()

    assert install_and_run(tmp_path / "prefix") == (0, "132\n", "")
    status, output, errors = install_and_run(tmp_path / "a prefix")
    assert (status, output) == (1, "")
    assert errors.startswith(f"withusrsctp: {tmp_path}/a prefix/lib")
    assert errors.endswith("libwithusrsctp.so: LD_PRELOAD cannot hold a path with a blank or a colon\n")


def test_installed_programs_and_man_pages(start, build, tmp_path):
    if not os.access(build, os.W_OK):
        pytest.skip("cmake --install writes its manifest there")
    cmake("--install", build, "--prefix", tmp_path)
    for program, letters in (("server", "6mvW"), ("client", "46ciqsvW"), ("withusrsctp", "h")):
        status, usage, errors = start([tmp_path / "bin" / program, "-h"]).finish()
        assert status == 0 and usage.startswith(f"usage: {program} ") and errors == ""
        page = (tmp_path / f"share/man/man1/{program}.1").read_text()
        assert f"\n{program} \\- " in page and all(rf"\fB\-{letter}\fR" in page for letter in letters)


def test_without_libusrsctp_until_it_is_installed(tmp_path):
    """make notices by itself that the header has come."""
    prefix = tmp_path / "prefix"
    (prefix / "include").mkdir(parents=True)
    (prefix / "include/linux").symlink_to("/usr/include/linux")
    said = cmake("-S", ROOT, "-B", tmp_path / "build", "-DCMAKE_IGNORE_PATH=/usr/include",
                 f"-DCMAKE_PREFIX_PATH={prefix}")
    assert "libusrsctp not found" in said
    time.sleep(1)  # make compares times
    (prefix / "include/usrsctp.h").symlink_to("/usr/include/usrsctp.h")
    said = cmake("--build", tmp_path / "build", "--target", "client-tcp")
    assert "Configuring done" in said and "libusrsctp not found" not in said
    assert (tmp_path / "build/userland/withusrsctp").exists()


def test_without_libusrsctp(tmp_path, start):
    """Configuring says what is lost; the programs are built, and say what to do."""
    said = cmake("-S", ROOT, "-B", tmp_path, "-DUSRSCTP_LIBRARY=NO")
    assert ("userland: libusrsctp not found (Debian: libusrsctp-dev): the programs need a kernel with "
            "SCTP, and withusrsctp is not built") in said
    cmake("--build", tmp_path, "--target", "server-sctp", "client-sctp")
    server = start([tmp_path / "server-sctp", 0], env={"SCTP_STACK": "auto"})
    if has_sctp():
        server.read_line()
        return
    hint = 'Protocol not supported (no SCTP in this kernel? "modprobe sctp", or install libusrsctp-dev and rebuild)'
    assert server.finish() == (1, "", f"server-sctp: socket: {hint}\n")
    client = start([tmp_path / "client-sctp", "127.0.0.1"])
    assert client.finish() == (1, "", f"client-sctp: connect to 127.0.0.1 port 4444: {hint}\n")


def has_sctp():
    return "SCTP" in pathlib.Path("/proc/net/protocols").read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become nobody")
@pytest.mark.uncounted
def test_needs_no_rights(start, build):
    """From a directory that nobody can read, too: the build may lie below one that is not."""
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        directory.chmod(0o755)
        for program in ("server-sctp", "client-sctp"):
            shutil.copy(build / program, directory)
        env = {"SCTP_UDP_PORT": find_udp_port()}  # root's stack has the other one
        server = start([directory / "server-sctp", 0], env=env, **NOBODY)
        port = server.read_line().split()[-1]
        client = start([directory / "client-sctp", "127.0.0.1", port], env=env, **NOBODY)
        assert client.finish() == (0, answers(5), "")
        status, output, errors = server.finish(signal.SIGINT)
        assert (status, errors) == (0, "") and output.endswith("Served 1 connections, 5 messages.\n")
