"""The client: its options, its statistics, and servers that do not behave."""
import os
import re
import time

import pytest

from conftest import answers

STATISTICS = (r"--- {host} port {port} statistics ---\n"
              r"{sent} messages sent, {answered} answered, time (\d+)ms\n"
              r"rtt min/avg/max/mdev = ([\d.]+)/([\d.]+)/([\d.]+)/([\d.]+) ms\n")
TRANSPORT = {
    "tcp": r"TCP at the {}: MSS \d+ bytes, smoothed RTT \d+\.\d{{3}} ms\n",
    "sctp": r"SCTP at the {}: \d+ streams out, \d+ in\n"
            r"(Path to [\d.]+: active, RTO \d+ ms, MTU \d+ bytes\n)+",
}
TRANSPORT["usrsctp"] = TRANSPORT["sctp"]


def match_statistics(text, port, sent, answered, host="127.0.0.1"):
    return re.fullmatch(
        STATISTICS.format(host=host, port=port, sent=sent, answered=answered), text)


def test_count(server, run_client):
    assert run_client("-c", 2, "127.0.0.1", server.port) == (0, answers(2), "")


def test_quiet_prints_only_statistics(server, run_client):
    status, output, errors = run_client("-q", "-c20", "127.0.0.1", server.port)
    assert (status, errors) == (0, "")
    total, least, mean, most, deviation = map(
        float, match_statistics(output, server.port, 20, 20).groups())
    assert 0 < least <= mean <= most <= total + 1 and deviation <= most - least


def test_interval_is_a_pause_between_messages(server, run_client):
    status, output, _ = run_client("-q", "-c3", "-i0.3", "127.0.0.1", server.port)
    assert status == 0
    assert float(match_statistics(output, server.port, 3, 3)[1]) >= 600


def test_verbose_tells_what_the_transport_negotiated(server, run_client, stack):
    status, output, errors = run_client("-v", "-c2", "127.0.0.1", server.port)
    assert (status, errors) == (0, "")
    assert re.fullmatch(
        TRANSPORT[stack].format("start") + re.escape(answers(2)) + TRANSPORT[stack].format("end")
        + STATISTICS.format(host="127.0.0.1", port=server.port, sent=2, answered=2), output)


@pytest.fixture
def hosts(tmp_path):
    """An environment in which the name both-here is ::1 first, and then 127.0.0.1."""
    (tmp_path / "hosts").write_text("::1 both-here\n127.0.0.1 both-here\n")
    return {"LD_PRELOAD": "libnss_wrapper.so", "NSS_WRAPPER_HOSTS": tmp_path / "hosts"}


@pytest.mark.plain
def test_host_can_be_a_name(server, run_client, hosts):
    """Every address is tried, also where the server does not listen."""
    assert run_client("both-here", server.port, env=hosts) == (0, answers(5), "")
    assert run_client("-4", "both-here", server.port, env=hosts) == (0, answers(5), "")


@pytest.mark.plain
def test_verbose_client_tells_of_addresses_that_fail(server, run_client, names, hosts):
    status, output, errors = run_client("-v", "-c1", "both-here", server.port, env=hosts)
    assert status == 0 and answers(1) in output
    assert errors == f"{names[1]}: connect to ::1 port {server.port}: Connection refused\n"
    assert run_client("-6", "-c1", "both-here", server.port, env=hosts) == (
        1, "", f"{names[1]}: connect to ::1 port {server.port}: Connection refused\n")


def test_ipv6(start_server, run_client):
    server = start_server("-6")
    assert run_client("::1", server.port) == (0, answers(5), "")
    assert server.read_line() == "Got connection from ::1\n"


def test_ipv4_peers_of_an_ipv6_server_print_as_ipv4(start_server, run_client):
    server = start_server("-6")
    assert run_client("127.0.0.1", server.port) == (0, answers(5), "")
    assert server.read_line() == "Got connection from 127.0.0.1\n"
    assert server.read_line() == "Connection from 127.0.0.1 closed by remote peer.\n"


@pytest.mark.stacks("tcp")  # the name is looked up by libc
def test_unknown_host(run_client, names):
    label = "x" * 64  # longer than a name may be: no name server is asked
    assert run_client(label) == (1, "", f"{names[1]}: host {label}: Name or service not known\n")
    assert run_client("-4", "::1") == (
        1, "", f"{names[1]}: host ::1: Address family for hostname not supported\n")


def test_nobody_listens(start_peer, run_client, names):
    peer = start_peer()
    port = peer.listen("127.0.0.1", 1)
    peer.end()
    assert run_client("127.0.0.1", port) == (
        1, "", f"{names[1]}: connect to 127.0.0.1 port {port}: Connection refused\n")


def test_a_host_that_never_answers(deaf_host, run_client, names):
    began = time.monotonic()
    assert run_client("-W0.5", *deaf_host.address, **deaf_host.options) == (
        1, "", f"{names[1]}: connect to {deaf_host.address[0]} port {deaf_host.address[1]}: "
        "Connection timed out\n")
    assert 0.5 <= time.monotonic() - began < 30


@pytest.fixture
def dead_network(start):
    """A prefix for commands in a network of their own: 10.0.0.2 to 10.0.0.4 never answer there, 127.0.0.1 does."""
    if os.geteuid() != 0:
        pytest.skip("needs root for a network of its own")
    holder = start(["unshare", "--net", "sh", "-ec",
                    "ip link set lo up; ip link add dead type veth; ip address add 10.0.0.1/24 dev dead; "
                    "ip link set dead up; echo ready; exec sleep 10000"])
    assert holder.read_line() == "ready\n"
    return ["nsenter", f"--net=/proc/{holder.process.pid}/ns/net"]


@pytest.mark.plain
def test_all_addresses_share_the_time(run_client, names, hosts, dead_network):
    hosts["NSS_WRAPPER_HOSTS"].write_text("".join(f"10.0.0.{number} dead\n" for number in (2, 3, 4)))
    began = time.monotonic()
    status, output, errors = run_client("-vW1.5", "dead", 4444, prefix=dead_network, env=hosts)
    assert 1.5 <= time.monotonic() - began < 4
    assert (status, output) == (1, "")
    assert sorted(errors.splitlines()) == [
        f"{names[1]}: connect to 10.0.0.{number} port 4444: Connection timed out" for number in (2, 3, 4)]


@pytest.mark.plain
def test_a_dead_address_leaves_time_for_the_next(start_server, run_client, names, hosts, dead_network):
    hosts["NSS_WRAPPER_HOSTS"].write_text("10.0.0.2 half-dead\n127.0.0.1 half-dead\n")
    server = start_server(prefix=dead_network)
    began = time.monotonic()
    assert run_client("-W2", "half-dead", server.port, prefix=dead_network, env=hosts) == (0, answers(5), "")
    assert time.monotonic() - began >= 1, f"the dead address was not tried first, {names[1]}"


def start_serving(start_peer, start_client, *options):
    """A client that is connected to a peer of ours."""
    peer = start_peer()
    port = peer.listen("127.0.0.1", 5)
    client = start_client(*options, "127.0.0.1", port)
    try:
        peer.accept()
    except AssertionError as error:
        raise AssertionError(f"there was no connection; the client: {client.end()}") from error
    return peer, client


def test_a_server_that_does_not_answer(start_peer, start_client, names):
    peer, client = start_serving(start_peer, start_client, "-W0.5")
    assert peer.recv(100)[0]
    assert client.finish() == (
        1, "", f"{names[1]}: answer to message 1: Connection timed out\n")


@pytest.mark.parametrize("answer, shown", (
    ("NO", "NO"), ("OKOK", "OKOK"), ("ok", "ok"), ("OK\n", "OK."), ("K" * 100, "K" * 32),
    ("\x1b[2J\xff\0", ".[2J.."),
))
def test_a_wrong_answer_is_named(start_peer, start_client, names, answer, shown):
    peer, client = start_serving(start_peer, start_client)
    assert peer.recv(100)[0]
    peer.send(answer)
    assert client.finish() == (
        1, "", f'{names[1]}: answer to message 1: "{shown}" instead of "OK"\n')


def test_half_an_answer(start_peer, start_client, names, is_sctp):
    peer, client = start_serving(start_peer, start_client)
    assert peer.recv(100)[0]
    peer.send("O")
    if not is_sctp:
        peer.close()
    assert client.finish() == (1, "", f'{names[1]}: answer to message 1: "O" instead of "OK"\n')


@pytest.mark.stacks("tcp")
def test_an_answer_in_two_segments_is_one(start_peer, start_client):
    peer, client = start_serving(start_peer, start_client, "-c1")
    assert peer.recv(100)[0]
    peer.send("O")
    peer.send("K")
    assert client.finish() == (0, answers(1), "")


def test_a_server_that_closes_in_the_middle(start_peer, start_client, names):
    peer, client = start_serving(start_peer, start_client)
    assert peer.recv(100)[0]
    peer.send("OK")
    assert peer.recv(100)[0]
    peer.close()
    assert client.finish() == (
        1, answers(1, of=5), f"{names[1]}: answer to message 2: the server closed the connection\n")


def test_a_server_that_resets(start_peer, start_client, names):
    peer, client = start_serving(start_peer, start_client)
    assert peer.recv(100)[0]
    peer.reset()
    assert client.finish() == (
        1, "", f"{names[1]}: answer to message 1: Connection reset by peer\n")


def test_statistics_also_after_a_failure(start_peer, start_client, names):
    peer, client = start_serving(start_peer, start_client, "-q")
    assert peer.recv(100)[0]
    peer.send("OK")
    assert peer.recv(100)[0]
    peer.send("KO")
    status, output, errors = client.finish()
    assert status == 1
    assert match_statistics(output, client.process.args[-1], 2, 1)
    assert errors == f'{names[1]}: answer to message 2: "KO" instead of "OK"\n'
