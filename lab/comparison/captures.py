"""The captures and pictures that lab/captures keeps for the README."""
import pathlib
import shutil
import subprocess

from comparison import drawing

DIRECTORY = pathlib.Path(__file__).resolve().parent.parent / "captures"
KEPT = ("lifecycle", "boundaries", "cable")
PICTURES = ("lifecycle", "cable")
SHORT = 40  # packets: a capture that is kept whole
FIRST, LAST, AROUND = 12, 6, 3  # packets of a long capture that are kept anyway, and around each that is not routine


def update(sections):
    """Renews what these sections have of it."""
    DIRECTORY.mkdir(exist_ok=True)
    for name in KEPT:
        if name in sections:
            keep(sections[name])


def keep(section):
    for label, packets in section.captures.items():
        source, target = section.capture_path(label), DIRECTORY / section.capture_path(label).name
        numbers = choose(packets)
        if len(numbers) == len(packets):
            shutil.copyfile(source, target)
        else:
            subprocess.run(["editcap", "-r", source, target, *map(str, numbers)], check=True, capture_output=True)
    for name in PICTURES:
        if name in section.pictures:
            (DIRECTORY / f"{name}.svg").write_text(drawing.make_standalone(section.pictures[name]), encoding="utf-8")


def choose(packets):
    """Returns the numbers of the packets that show what happened: not the hundredth message that just goes well."""
    if len(packets) <= SHORT:
        return [packet.number for packet in packets]
    chosen = set()
    for index, packet in enumerate(packets):
        routine = not packet.again if packet.kind() == "data" else packet.names in (["SACK"], ["ACK"])
        if not routine or packet.link != packets[index - 1].link:
            chosen.update(range(index - AROUND, index + AROUND + 1))
    chosen.update([*range(FIRST), *range(len(packets) - LAST, len(packets))])
    return [packets[index].number for index in sorted(chosen) if 0 <= index < len(packets)]
