#!/usr/bin/python3
"""usage: userland.py [-h] [BUILD]

What SCTP over usrsctp costs through ordinary sockets (userland/), as ratios against peers measured in
the same run: a program written directly on libusrsctp's calls, and kernel TCP. Needs cc, libusrsctp.
BUILD is the build directory (default: build). Takes about half a minute.
"""
import contextlib
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROUNDS, ROUND_TRIPS, CONNECTIONS = 5, 10000, 1000
PORT, UDP_PORT, OTHER_UDP_PORT = "4445", "9899", "9897"


def compile_helpers(directory):
    for name, flags in (("userland_sockets", ["-lpthread"]),
                        ("userland_direct", ["-DINET", "-DINET6", "-lusrsctp"])):
        subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", HERE / f"{name}.c", "-o", directory / name,
                        *flags], check=True)


@contextlib.contextmanager
def serving(command):
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout.readline() == "ready\n", "the server did not start"
        yield server
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def number(command):
    return float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def memory_kib(process):
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def memory_per_connection(sockets):
    """KiB of the server, with one thread per connection, and all of them open."""
    with serving([*sockets, "serve"]) as server:
        before = memory_kib(server)
        with subprocess.Popen([*sockets, "hold", str(CONNECTIONS)], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True) as client:
            assert client.stdout.readline() == "holding\n"
            after = memory_kib(server)
            client.stdin.close()
    return (after - before) / CONNECTIONS


def round_trip(server, client):
    with serving(server):
        return number(client)


def main():
    if sys.argv[1:2] == ["-h"]:
        print(__doc__.strip())
        return 0
    build = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build").resolve()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.environ["SCTP_UDP_PORT"] = UDP_PORT
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        compile_helpers(directory)
        tcp = [directory / "userland_sockets", "tcp", PORT]
        ours = [build / "userland" / "withusrsctp", directory / "userland_sockets", "sctp", PORT]
        direct = directory / "userland_direct"
        count = str(ROUND_TRIPS)
        times = {"tcp": [], "ours": [], "direct": []}
        for _ in range(ROUNDS):  # in turn: what else the machine does hits all of them
            times["tcp"].append(round_trip([*tcp, "serve"], [*tcp, "rtt", count]))
            times["ours"].append(round_trip([*ours, "serve"], [*ours, "rtt", count]))
            times["direct"].append(round_trip([direct, UDP_PORT, "0", "serve"],
                                              [direct, OTHER_UDP_PORT, UDP_PORT, "rtt", count]))
        median = {key: statistics.median(value) for key, value in times.items()}
        for key, value in median.items():
            print(f"round trip {key}: {value:.1f} us (median of {ROUNDS})")
        print(f"round trip against libusrsctp's own calls: {median['ours'] / median['direct']:.2f}")
        print(f"round trip against kernel TCP: {median['ours'] / median['tcp']:.2f}")
        with serving([*ours, "serve"]):
            per_second = number([*ours, "connect", str(CONNECTIONS)])
        with serving([*tcp, "serve"]):
            tcp_per_second = number([*tcp, "connect", str(CONNECTIONS)])
        print(f"connections: {per_second:.0f}/s, against kernel TCP: "
              f"{per_second / tcp_per_second:.2f}")
        kib, tcp_kib = memory_per_connection(ours), memory_per_connection(tcp)
        print(f"memory per connection: {kib:.1f} KiB, of which the thread {tcp_kib:.1f} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
