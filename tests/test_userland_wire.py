"""What usrsctp's packets look like on the wire: tshark decodes them unasked, checksums and all."""
import os
import re
import shutil
import subprocess
import sys
import time

import pytest

pytestmark = [pytest.mark.stacks("usrsctp"), pytest.mark.plain]
EXCHANGE = """
import socket
listener = socket.socket(socket.{family}, socket.SOCK_STREAM, 132)
listener.bind(("{host}", 0))
listener.listen(1)
client = socket.socket(socket.{family}, socket.SOCK_STREAM, 132)
client.connect(listener.getsockname())
accepted = listener.accept()[0]
client.send(b"hello")
accepted.recv(99)
client.close()
accepted.recv(99)
"""


@pytest.fixture
def capture(tmp_path):
    """Captures the datagrams of one UDP port on lo, until asked for them."""
    file = tmp_path / "udp.pcap"
    started = []

    def start_capture(port):
        started.append(subprocess.Popen(
            ["tcpdump", "-i", "lo", "-U", "-w", file, "udp", "port", str(port)],
            stderr=subprocess.PIPE, text=True))
        assert "listening on lo" in started[0].stderr.readline()

    def packets(last):
        """Each packet's chunk types and checksum status, up to one with that chunk."""
        deadline = time.monotonic() + 60
        while True:
            output = subprocess.run(
                ["tshark", "-r", file, "-o", "sctp.checksum:CRC 32c", "-T", "fields",
                 "-e", "sctp.chunk_type", "-e", "sctp.checksum.status"],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
            seen = [line.split("\t") for line in output.splitlines()]
            if any(last in chunks.split(",") for chunks, _ in seen):
                return seen
            assert time.monotonic() < deadline, seen
    start_capture.packets = packets
    yield start_capture
    for process in started:
        process.terminate()
        process.communicate()


@pytest.mark.skipif(os.geteuid() != 0, reason="capturing needs root")
@pytest.mark.skipif(shutil.which("tshark") is None, reason="needs tshark")
@pytest.mark.parametrize("family, host", [("AF_INET", "127.0.0.1"), ("AF_INET6", "::1")])
def test_from_init_to_shutdown_complete(start, build, capture, family, host):
    capture(9899)  # the port that Wireshark knows
    program = EXCHANGE.format(family=family, host=host)
    status, _, errors = start([sys.executable, "-c", program],
                              [build / "userland" / "withusrsctp"],
                              env={"SCTP_UDP_PORT": "9899"}).finish()
    if "is in use" in errors:
        pytest.skip("UDP port 9899 is taken")
    assert (status, errors) == (0, "")
    packets = capture.packets(last="14")
    chunks = [kind for kinds, _ in packets for kind in kinds.split(",")]
    for kind in ("1", "2", "10", "11", "0", "3", "7", "8", "14"):
        assert kind in chunks, chunks
    assert [kinds for kinds, _ in packets][:2] == ["1", "2"]
    assert packets[-1][0] == "14" and "6" not in chunks
    assert {status for _, status in packets} == {"1"}, packets  # good


def test_no_raw_socket_is_opened(start, build):
    """Not even as root: on a kernel with SCTP, usrsctp would abort the kernel's associations."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    program = EXCHANGE.format(family="AF_INET", host="127.0.0.1")
    trace = start(["strace", "-f", "-e", "trace=socket", "-o", "/dev/stdout",
                   build / "userland" / "withusrsctp", sys.executable, "-c", program])
    status, output, _ = trace.finish()
    assert status == 0 and "SOCK_DGRAM" in output
    assert not re.search(r"AF_INET6?, SOCK_RAW", output)
