"""Arguments: used wrongly, both programs say why in one line and show their usage, exit 2."""
import pytest

pytestmark = pytest.mark.stacks("tcp")  # the arguments are the same for all

USAGE = {
    "server": "usage: server [-6v] [-m COUNT] [-W SECONDS] [PORT]\n",
    "client": "usage: client [-46qv] [-c COUNT] [-i SECONDS] [-s SIZE] [-W SECONDS] HOST [PORT]\n",
}
HELP = {
    "server": """\
  -6          listen on IPv6 as well as on IPv4
  -m COUNT    serve at most COUNT connections at once (default 0, no limit)
  -v          report every read
  -W SECONDS  longest wait for a peer to send or to read, 0 for ever (default 3600)
  PORT        0 to 65535, 0 lets the system pick (default 4444)
""",
    "client": """\
  -4, -6      use IPv4 only, IPv6 only
  -c COUNT    send COUNT messages (default 5)
  -i SECONDS  pause between messages (default 0)
  -q          print only the statistics
  -s SIZE     bytes per message (default 64)
  -v          report what the transport negotiated, too
  -W SECONDS  longest wait for the connection and for each answer (default 10)
  PORT        1 to 65535 (default 4444)
""",
}


@pytest.fixture
def run(start, build, names, memcheck):
    def run_it(program, *arguments, **options):
        name = names[program == "client"]
        return name, start([build / name, *arguments], memcheck, **options).finish()
    return run_it


@pytest.mark.parametrize("program", USAGE)
@pytest.mark.parametrize("arguments", (["-h"], ["-vh", "localhost", "1"]))
def test_help_goes_to_stdout(run, program, arguments):
    arguments = arguments if program == "client" else arguments[:1]
    assert run(program, *arguments)[1] == (0, USAGE[program] + HELP[program], "")


@pytest.mark.parametrize("program", USAGE)
def test_help_that_cannot_be_written_is_a_failure(run, program):
    with open("/dev/full", "w", encoding="ascii") as full:
        name, (status, _, errors) = run(program, "-h", stdout=full)
    assert (status, errors) == (1, f"{name}: stdout: No space left on device\n")


NOT_NUMBERS = ("", "x", "12x", "1e", "99999999999999999999", "-99999999999999999999", "0x", "1 ")


@pytest.mark.parametrize("port", (*NOT_NUMBERS, "-1", "65536", "1.5"))
def test_server_refuses_a_bad_port(run, port):
    name, result = run("server", "--", port)
    assert result == (
        2, "", f"{name}: port {port}: not a whole number from 0 to 65535\n{USAGE['server']}")


@pytest.mark.parametrize("value", (*NOT_NUMBERS, "-1", "1.5", "2147483648"))
@pytest.mark.parametrize("option", ("-m", "-W"))
def test_server_refuses_a_bad_limit(run, option, value):
    name, result = run("server", option, value)
    assert result == (2, "", f"{name}: {option} {value}: not a whole number from 0 to 2147483647\n"
                      + USAGE["server"])


@pytest.mark.parametrize("port", (*NOT_NUMBERS, "0", "-1", "65536", "1.5"))
def test_client_refuses_a_bad_port(run, port):
    name, result = run("client", "--", "127.0.0.1", port)
    assert result == (
        2, "", f"{name}: port {port}: not a whole number from 1 to 65535\n{USAGE['client']}")


@pytest.mark.parametrize("value", (*NOT_NUMBERS, "0", "-1", "1.5", "2147483648"))
@pytest.mark.parametrize("option, most", (("-c", 2147483647), ("-s", 1073741824)))
def test_client_refuses_a_bad_count_or_size(run, option, most, value):
    name, result = run("client", option, value, "127.0.0.1")
    assert result == (2, "", f"{name}: {option} {value}: not a whole number from 1 to {most}\n"
                      + USAGE["client"])


@pytest.mark.parametrize("value", ("", "x", "1x", "-1", "nan", "inf", "86401", "1e999", "1,5"))
@pytest.mark.parametrize("option, least", (("-i", "0"), ("-W", "0.001")))
def test_client_refuses_a_bad_time(run, option, least, value):
    name, result = run("client", option, value, "127.0.0.1")
    assert result == (2, "", f"{name}: {option} {value}: not a number of seconds from {least} to "
                      f"86400\n{USAGE['client']}")


def test_client_needs_some_time(run):
    name, result = run("client", "-W", "0", "127.0.0.1")
    assert result == (2, "", f"{name}: -W 0: not a number of seconds from 0.001 to 86400\n"
                      + USAGE["client"])


@pytest.mark.parametrize("program, arguments, error", (
    ("server", ["-x"], "-x: unknown option"),
    ("server", ["-6vz"], "-z: unknown option"),
    ("server", ["-m"], "-m: needs a value"),
    ("server", ["1", "2"], "2: only one PORT can be given"),
    ("client", [], "no HOST given"),
    ("client", ["-q"], "no HOST given"),
    ("client", ["-x", "127.0.0.1"], "-x: unknown option"),
    ("client", ["-c"], "-c: needs a value"),
    ("client", ["127.0.0.1", "-W"], "-W: needs a value"),
    ("client", ["-4", "-6", "127.0.0.1"], "-4 and -6: only one of them can be given"),
    ("client", ["-46", "127.0.0.1"], "-4 and -6: only one of them can be given"),
    ("client", ["127.0.0.1", "1", "2"], "2: only one HOST and one PORT can be given"),
))
def test_misuse_is_named(run, program, arguments, error):
    name, result = run(program, *arguments)
    assert result == (2, "", f"{name}: {error}\n{USAGE[program]}")
