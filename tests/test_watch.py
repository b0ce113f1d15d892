"""lab/watch: who says what, in tshark; a live capture, a file, a file that grows; and what is missing."""
import os
import signal
import subprocess

import pytest

from conftest import PATIENCE_S, ROOT, answers

pytestmark = [pytest.mark.stacks("lab"), pytest.mark.plain]
WATCH = [ROOT / "lab/watch", "-t"]
TEXT = "message 1 of 2 ......"


def read_until(watch, end):
    """The lines that it prints, up to one with that in it."""
    lines = [watch.read_line()]
    while end not in lines[-1]:
        lines.append(watch.read_line())
    return "".join(lines)


def find_speaker(text, words):
    """The ports (from, to) in the line with these words."""
    line, = [line for line in text.splitlines() if words in line]
    return line.split()[3:5]


@pytest.fixture
def tcp_server(start, build):
    server = start([build / "server-tcp", 0])
    server.port = server.read_line().split()[-1]
    return server


@pytest.mark.skipif(os.geteuid() != 0, reason="capturing needs root")
def test_live(start, build, tcp_server):
    watch = start([*WATCH, "-p", tcp_server.port])
    while watch.read_line("stderr") != "watch: Capture started.\n":
        pass
    client = start([build / "client-tcp", "-c2", "127.0.0.1", tcp_server.port])
    assert client.finish() == (0, answers(2), "")
    text = read_until(watch, "message 2 of 2 ......")
    assert find_speaker(text, TEXT)[1] == find_speaker(text, "[SYN, ACK]")[0] == tcp_server.port
    assert watch.finish(signal.SIGINT)[0] == 0


def test_file(start):
    """A header, and below each packet its comment; no name of a chunk stands there twice."""
    status, output, errors = start([*WATCH, ROOT / "lab/captures/lifecycle-sctp.pcapng"]).finish()
    header, *lines = output.splitlines()
    assert (status, header.split("\t")[-2:], errors) == (0, ["Chunks", "Text"], "")
    packets = [line.split()[5:] for line in lines if line[0] == " "]
    assert packets[:4] == [["SCTP", chunk] for chunk in ("INIT", "INIT_ACK", "COOKIE_ECHO", "COOKIE_ACK")]
    assert packets[4] == ["SCTP", "DATA", *"message 1 of 5 ......".split()]
    comments = [line[1:] for line in lines if line[0] == "\t"]
    assert comments[0].startswith("The client asks for an association") and comments[-1].endswith("at both ends.")
    assert len(packets) + len(comments) == len(lines) and len(comments) >= len(packets)


def split_blocks(pcapng):
    while pcapng:
        size = int.from_bytes(pcapng[4:8], "little")
        yield pcapng[:size]
        pcapng = pcapng[size:]


def test_file_that_grows(start, tmp_path):
    """It is not there yet when the watching begins; its packets show while it is still being written."""
    blocks = list(split_blocks((ROOT / "lab/captures/lifecycle-sctp.pcapng").read_bytes()))
    growing = tmp_path / "growing.pcapng"
    watch = start([*WATCH, "-f", growing], start_new_session=True)
    try:
        with growing.open("wb", buffering=0) as file:
            file.write(b"".join(blocks[:7]))
            text = read_until(watch, "COOKIE_ECHO")
            file.write(b"".join(blocks[7:]))
            text += read_until(watch, "SHUTDOWN_COMPLETE")
        assert find_speaker(text, "COOKIE_ECHO") == find_speaker(text, "COOKIE_ACK")[::-1]
    finally:
        os.killpg(watch.process.pid, signal.SIGTERM)
        watch.finish()


def test_without_the_right(start):
    if os.geteuid() != 0:
        pytest.skip("needs root, to become nobody")
    status, output, errors = start(WATCH, user=65534, group=65534, extra_groups=[]).finish()
    assert (status, output) == (1, "")
    first, *rest = errors.splitlines()
    assert first == 'watch: You do not have permission to capture on device "lo".'
    assert "dpkg-reconfigure wireshark-common" in errors and "SCTP_CAPTURE=" in rest[-1]


def test_without_a_display(start):
    """Wireshark is not even tried."""
    capture = ROOT / "lab/captures/lifecycle-tcp.pcapng"
    assert start([WATCH[0], capture], env={"DISPLAY": "", "WAYLAND_DISPLAY": ""}).finish()[0] == 0


def test_what_is_missing_is_named(start, tmp_path):
    for tool in ("bash", "cat"):
        (tmp_path / tool).symlink_to(f"/bin/{tool}")
    assert start(WATCH, env={"PATH": tmp_path}).finish() == (
        1, "", "watch: tshark: not found: install the package wireshark or tshark (Fedora, Arch: wireshark-cli)\n")
    assert start([*WATCH, "no-such"]).finish()[:2] == (1, "")


@pytest.mark.parametrize("arguments, error", (
    (["-x"], "-x: unknown option"), (["-p"], "-p: needs a value"), (["-f"], "-f: no FILE given"),
    (["lo", "eth0"], "eth0: only one INTERFACE or FILE can be given")))
def test_misuse(start, arguments, error):
    status, output, errors = start([ROOT / "lab/watch", *arguments]).finish()
    assert (status, output) == (2, "")
    assert errors.startswith(f"watch: {error}\nusage: lab/watch ")


def test_help():
    done = subprocess.run([ROOT / "lab/watch", "-h"], capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    assert done.stdout.startswith("usage: lab/watch ") and done.stderr == ""
