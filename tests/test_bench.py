"""The benchmark runs, and its table and CSV are complete. What the figures are is not tested."""
import csv
import subprocess

import pytest

from conftest import ROOT

pytestmark = [pytest.mark.stacks("tcp"), pytest.mark.plain]

BENCH = ROOT / "tests/bench/bench.py"
TITLES = {"rtt": "Round trip by ", "rate": "Connections per second ", "many": "Connections at once",
          "userland": "SCTP over usrsctp, "}
# What is measured, of whom: section, stack, metric, contender
MEASURED = {
    *{("rtt", stack, "client and server", who) for stack in ("tcp", "sctp")
      for who in ("ours", "plain C", "qperf")},
    *{("rtt", stack, "server, plain client", who) for stack in ("tcp", "sctp")
      for who in ("ours", "plain C")},
    *{("rate", "tcp", "connections", who)
      for who in ("ours", "plain C", "ncat -c", "socat SYSTEM", "socat PIPE")},
    *{("many", stack, metric, who)
      for stack, who in (("tcp", "ours"), ("tcp", "plain C"), ("usrsctp", "ours"))
      for metric in ("memory each", "threads", "round trip on one", "round trip on each in turn",
                     "one connection more")},
    *{("userland", "usrsctp", metric, who) for metric in ("round trip", "round trip on any processor", "connections")
      for who in ("ours", "libusrsctp", "kernel TCP")},
}


def run_bench(*arguments):
    return subprocess.run([BENCH, *arguments], capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def sections(scale):
    """All of them take half a minute, and a machine that does nothing else."""
    return scale(["rate"], list(TITLES))


@pytest.fixture(scope="module")
def short_run(tmp_path_factory, build, scale, sections):
    """What it prints, and the rows of the CSV; with --long, its target has to build all that it needs."""
    empty, path = (tmp_path_factory.mktemp("bench") / name for name in ("build", "bench.csv"))
    build = scale(build, empty)
    for command in (["-S", ROOT, "-B", build], ["--build", build, "--target", "bench-programs"]):
        subprocess.run(["cmake", *command], check=True, capture_output=True)
    done = run_bench("-s", "-o", path, *[f"-S{section}" for section in sections], build)
    errors = done.stderr.replace("bench.py: direct: libusrsctp crashed; once more\n", "")
    assert (done.returncode, errors) == (0, "")
    with open(path, newline="") as file:
        return done.stdout, list(csv.DictReader(file))


def test_all_is_measured(short_run, sections):
    _, rows = short_run
    assert {(row["section"], row["stack"], row["metric"], row["contender"]) for row in rows} == {
        measured for measured in MEASURED if measured[0] in sections}


def test_figures_have_spread_and_ratio(short_run):
    _, rows = short_run
    for row in rows:
        median, low, high = (float(row[name]) for name in ("median", "min", "max"))
        assert 0 <= low <= median <= high and int(row["rounds"]) > 0, row
        if row["metric"] != "memory each":  # a short run may need no page more
            assert low > 0 and float(row["ratio"]) > 0, row
        if row["contender"] == "ours" and row["ratio"]:
            assert float(row["ratio"]) == 1, row


@pytest.mark.long
def test_threads_are_counted(short_run):
    _, rows = short_run
    counted = [row for row in rows if row["metric"] == "threads" and row["stack"] == "tcp"]
    more = {"ours": 2, "plain C": 1}  # ours has a thread that accepts, besides main
    assert counted and all(float(row["median"]) == int(row["at"]) + more[row["contender"]] for row in counted)


def test_table(short_run, sections):
    output, rows = short_run
    assert [section for section in sections if f"\n{TITLES[section]}" not in output] == []
    for contender in {row["contender"] for row in rows}:
        assert contender in output
    assert output.count("  ratio") >= len({(row["section"], row["stack"], row["contender"])
                                           for row in rows if row["contender"] != "ours"})


@pytest.mark.parametrize("arguments, complaint", [
    (["-S", "none"], "bench.py: -S none: no such section\n"),
    (["-x"], "bench.py: option -x not recognized\n"),
    (["a", "b"], "bench.py: b: only one BUILD can be given\n"),
])
def test_misuse(arguments, complaint):
    done = run_bench(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == complaint + "usage: bench.py [-hs] [-o FILE] [-S SECTION]... [BUILD]\n"
