"""The captures and pictures that lab/captures keeps for the README."""
import pathlib
import subprocess

from comparison import drawing

DIRECTORY = pathlib.Path(__file__).resolve().parent.parent / "captures"
KEPT = ("lifecycle", "boundaries", "cable")
PICTURES = ("lifecycle", "cable")


def update(directory, sections):
    pass
