"""The captures and pictures that lab/captures keeps for the README."""
import pathlib
import shutil

from comparison import drawing

DIRECTORY = pathlib.Path(__file__).resolve().parent.parent / "captures"


def update(sections):
    """Renews each file of it that belongs to one of these sections."""
    for kept in DIRECTORY.iterdir():
        section = sections.get(kept.stem.partition("-")[0])
        if section and kept.suffix == ".svg":
            kept.write_text(drawing.make_standalone(section.pictures[kept.stem]), encoding="utf-8")
        elif section:
            shutil.copyfile(section.directory / kept.name, kept)
