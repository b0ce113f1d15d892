"""Two links, and on both a peer with the same link-local address: these are two peers."""
import os
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.stacks("sctp", "usrsctp"), pytest.mark.plain]
TALKER = """
import socket, sys
links = sys.argv[1:]
def listen(link):
    listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM, 132)
    listener.bind(("fe80::1", 4444, 0, socket.if_nametoindex(link)) if link else ("::", 4444))
    listener.listen(5)
    return listener
def connect(link):
    client = socket.socket(socket.AF_INET6, socket.SOCK_STREAM, 132)
    client.bind(("fe80::1", 5555, 0, socket.if_nametoindex(link)))
    client.connect(("fe80::2", 4444, 0, socket.if_nametoindex(link)))
    return client
"""
SERVER = TALKER + """
listener = listen(None)
print("listening", flush=True)
accepted = listener.accept()[0]
accepted.send(sys.argv[1].encode())
print(accepted.recv(99).decode(), flush=True)
"""
CLIENT = TALKER + """
clients = [connect(link) for link in links]
for link, client in zip(links, clients):
    client.send(b"to " + link.encode())
    print(link, client.recv(99).decode(), client.getpeername()[3] == socket.if_nametoindex(link))
"""


def run(command):
    subprocess.run(command.split(), check=True)


@pytest.fixture
def networks():
    """One in the middle, and one at the other end of each of two links, whose addresses are the same."""
    if os.geteuid() != 0:
        pytest.skip("needs root for networks of its own")
    names = [f"{where}-{os.getpid()}" for where in ("middle", "left", "right")]
    for name in names:
        run(f"ip netns add {name}")
        run(f"ip -n {name} link set lo up")
    for link in ("left", "right"):
        other = f"{link}-{os.getpid()}"
        run(f"ip -n {names[0]} link add {link} type veth peer name {link} netns {other}")
        for name, host in ((names[0], 1), (other, 2)):
            run(f"ip -n {name} link set {link} addrgenmode none")
            run(f"ip -n {name} link set {link} up")
            run(f"ip -n {name} address add fe80::{host}/64 dev {link} nodad")
    yield names
    for name in names:
        run(f"ip netns delete {name}")


def test_the_same_peer_on_two_links(networks, start, build, stack):
    wrap = [build / "userland/withusrsctp"] if stack == "usrsctp" else []

    def talk(network, program, *arguments):
        return start([sys.executable, "-c", program, *arguments], ["ip", "netns", "exec", network, *wrap],
                     env={"SCTP_UDP_PORT": "9899"})
    servers = {link: talk(network, SERVER, link) for link, network in zip(("left", "right"), networks[1:])}
    for server in servers.values():
        assert server.read_line() == "listening\n"
    client = talk(networks[0], CLIENT, *servers)
    assert client.finish() == (0, "left left True\nright right True\n", "")
    for link, server in servers.items():
        assert server.finish() == (0, f"to {link}\n", "")
