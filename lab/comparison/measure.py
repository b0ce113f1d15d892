#!/usr/bin/python3 -I
"""measure.py DIR BUILD quick|full EXPERIMENT... - what lab/compare runs in lab/run: makes the experiments' data."""
import concurrent.futures
import contextlib
import json
import os
import sys
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
from comparison import experiments, network  # noqa: E402


class Lab:
    """What an experiment measures with."""

    def __init__(self, name, directory, build, quick):
        self.name = name
        self.directory = directory
        self.build = build
        self.quick = quick

    def program(self, name, protocol):
        """The path of the server or client that speaks "sctp" or "tcp"."""
        return os.path.join(self.build, f"{name}-{protocol}")

    def capture_path(self, label):
        return os.path.join(self.directory, f"{self.name}-{label}.pcapng")

    def network(self, label, **properties):
        return network.Network(f"{self.name}-{label}", **properties)


def describe_kernel():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        where = " in User Mode Linux" if "User Mode Linux" in file.read() else ""
    return f"{os.uname().sysname} {os.uname().release}{where}"


def measure(name, experiment, directory, build, quick, began_s):
    """Leaves what was measured, or what went wrong, in NAME.json. Returns whether it went well."""
    outcome = {"kernel": describe_kernel(), "quick": quick}
    try:
        outcome["data"] = experiment.measure(Lab(name, directory, build, quick))
    except (network.Failure, OSError) as failure:
        outcome["failure"] = str(failure)
    except Exception:  # one experiment's mistake is not to take the others along
        outcome["failure"] = traceback.format_exc()
    with open(os.path.join(directory, f"{name}.json"), "w", encoding="utf-8") as file:
        json.dump(outcome, file, indent=1)
    print(f"{time.monotonic() - began_s:5.0f} s  {name} {'failed' if 'failure' in outcome else 'measured'}", flush=True)
    return "failure" not in outcome


def main():
    directory, build, mode, *names = sys.argv[1:]
    began_s = time.monotonic()
    os.environ.update(LC_ALL="C", SCTP_STACK="kernel")
    chosen = [(name, experiment) for name, experiment in experiments.find() if name in names]

    def measure_one(pair):
        return measure(*pair, directory, build, mode == "quick", began_s)

    alone = [pair for pair in chosen if pair[1].ALONE]
    results = [measure_one(pair) for pair in alone]
    with concurrent.futures.ThreadPoolExecutor(max(1, len(chosen))) as pool:
        results += pool.map(measure_one, [pair for pair in chosen if pair not in alone])
    return 0 if all(results) else 1


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(1)
