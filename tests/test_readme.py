"""The README is true: what it says to type works, and prints what it shows."""
import re
import shlex
import shutil
import subprocess

import pytest

from conftest import ROOT

TEXT = (ROOT / "README.md").read_text()
pytestmark = [pytest.mark.plain, pytest.mark.stacks("tcp")]


def find_blocks(kind):
    return re.findall(rf"^```{kind}\n(.*?)^```$", TEXT, re.M | re.S)


def find_command(beginning):
    """The one line that begins so, from the blocks of commands to paste."""
    lines = [line for block in find_blocks("sh") for line in block.splitlines()
             if line.startswith(beginning)]
    assert len(lines) == 1, lines
    return lines[0]


def run(command, directory):
    return subprocess.run(["bash", "-euc", command], cwd=directory, check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A fresh copy, as after a clone."""
    copy = tmp_path_factory.mktemp("readme") / "tree"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns("build*", ".git", "__pycache__"))
    return copy


@pytest.fixture(scope="module")
def first_output(tree, own_network):
    """The installing part of the first command finds nothing to do here; CI runs it on a machine that lacks things."""
    return run(find_command(".ci/install demo"), tree)


def test_clone(tmp_path):
    command = find_command("git clone").replace("URL-OF-THIS-REPOSITORY", shlex.quote(str(ROOT)))
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone")
    assert run(f"{command} && ls README.md", tmp_path).endswith("README.md\n")


def test_first_command(first_output):
    shown, = [block for block in find_blocks("console") if block.startswith("$ ./server\nListening")]
    notice = r"^\w+: socket: this kernel has no SCTP: using usrsctp, SCTP over UDP port 9899\n"
    assert shown in re.sub(notice, "", first_output, flags=re.M)


@pytest.mark.parametrize("program", ("server", "client"))
def test_help(build, program):
    shown, = [block for block in find_blocks("console") if block.startswith(f"$ ./{program} -h\n")]
    assert run(f"./{program} -h", build) == shown.split("\n", 1)[1]


def test_every_path_that_it_names_exists(build):
    names = re.findall(r"(?<![\w/.])(?:lab|tests|userland|build/userland)/[\w./-]*\w", TEXT)
    assert len(names) > 2
    for name in names:
        assert (ROOT / name).exists() or (build / name.removeprefix("build/")).exists(), name


def test_other_commands(tree, first_output):
    """Those that neither install nor run the tests nor take minutes; see test_walk.py and test_watch.py, too."""
    for block in find_blocks("sh"):
        for line in block.splitlines():
            if not line.startswith((".ci/", "git", "mkdir", "lab/watch")):
                assert shlex.split(line)
                run(line, tree)
