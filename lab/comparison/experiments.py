"""Finds the experiments: every file in lab/experiments is one, and defines

    ORDER           where it stands in the report, a number
    TITLE           its heading
    ALONE           whether nothing else may run while it measures
    LONG            whether it takes half a minute, even if it is quick (-q): the tests run it in their long form
    measure(lab)    inside lab/run, with a measure.Lab: does the experiment, returns its data, fit for JSON
    report(section, data)    outside, with a page.Section: draws the data, and says with claim() what must be seen in it

The report's words about it, if they are more than a line, stand beside it in a file of HTML (page.Section.prose).
"""
import importlib.util
import pathlib

DIRECTORY = pathlib.Path(__file__).resolve().parent.parent / "experiments"


def find():
    """Returns the names and the modules of the experiments in their order."""
    found = []
    for path in DIRECTORY.glob("*.py"):
        spec = importlib.util.spec_from_file_location(f"experiments.{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found.append((path.stem, module))
    return sorted(found, key=lambda pair: pair[1].ORDER)
