"""The names of the Python interface are what they say, whatever was imported before them."""

from __future__ import annotations

import subprocess
import sys

import pytest

ORDERS = """
import importlib, inspect, sys
for first in ("train", "evaluate", "compare", "merge", "generate", "recipe_file", "report", None):
    for name in [m for m in sys.modules if m.split(".")[0] == "peftsum"]:
        del sys.modules[name]
    if first:
        importlib.import_module(f"peftsum.{first}")
    from peftsum import train, evaluate, score, compare, merge, load_recipe, write_report, Summarizer
    for function in (train, evaluate, score, compare, merge, load_recipe, write_report):
        assert inspect.isfunction(function), (first, function)
    assert inspect.isclass(Summarizer), first
    import peftsum
    import peftsum.train
    assert inspect.isfunction(peftsum.train), first
    assert inspect.ismodule(importlib.import_module("peftsum.train")), first
print("ok")
"""


def test_functions_are_functions_whichever_submodule_came_first() -> None:
    done = subprocess.run([sys.executable, "-c", ORDERS], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("ok\n", "")


def test_every_public_name_is_there_and_unknown_ones_are_not() -> None:
    import peftsum

    for name in peftsum.__all__:
        assert getattr(peftsum, name) is not None
    with pytest.raises(AttributeError, match="trian"):
        _ = peftsum.trian


def test_importing_the_package_loads_no_torch() -> None:
    code = "import peftsum, sys; print([m for m in ('torch', 'peft', 'transformers', 'datasets') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
