"""The kernel's SCTP and usrsctp talk to each other over UDP: two hosts, one for each, in lab/run."""
import os
import signal
import subprocess

import pytest

from conftest import answers

pytestmark = [pytest.mark.stacks("sctp"), pytest.mark.plain]
UDP_PORT = 9899  # on both sides
KERNEL, USRSCTP = {"SCTP_STACK": "kernel"}, {"SCTP_STACK": "usrsctp", "SCTP_UDP_PORT": str(UDP_PORT)}
HOSTS = {"10.0.0.1": KERNEL, "10.0.0.2": USRSCTP}


def run(command):
    subprocess.run(command.split(), check=True)


def name_host(address):
    return f"host-{address}-{os.getpid()}"  # others may test at the same time


def enter(address):
    return ["ip", "netns", "exec", name_host(address)]


@pytest.fixture(scope="module")
def hosts(build):
    """Two namespaces and a cable. The kernel's SCTP is told as the README says, before a socket is opened."""
    if not (build / "userland" / "withusrsctp").exists():
        pytest.skip("built without libusrsctp")
    for address in HOSTS:
        run(f"ip netns add {name_host(address)}")
    kernels, usrsctps = map(name_host, HOSTS)
    run(f"ip -n {kernels} link add cable type veth peer name cable netns {usrsctps}")
    for address in HOSTS:
        run(f"ip -n {name_host(address)} address add {address}/24 dev cable")
        run(f"ip -n {name_host(address)} link set cable up")
    for name in ("udp_port", "encap_port"):
        subprocess.run([*enter("10.0.0.1"), "sh", "-c", f"echo {UDP_PORT} >/proc/sys/net/sctp/{name}"], check=True)
    yield
    for address in HOSTS:
        run(f"ip netns delete {name_host(address)}")


@pytest.mark.parametrize("server_host, client_host", [tuple(HOSTS), tuple(reversed(HOSTS))])
def test_interop(hosts, start_server, run_client, server_host, client_host):
    server = start_server(prefix=enter(server_host), env=HOSTS[server_host])
    for size in (1, 1400, 70000):
        result = run_client("-c3", "-s", size, server_host, server.port,
                            prefix=enter(client_host), env=HOSTS[client_host])
        assert result == (0, answers(3), "")
        assert server.read_line() == f"Got connection from {client_host}\n"
        assert server.read_line() == f"Connection from {client_host} closed by remote peer.\n"
    assert server.finish(signal.SIGINT) == (0, "Served 3 connections, 9 messages.\n", "")
