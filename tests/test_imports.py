"""The collector around imports: off while they last, as it was afterwards."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from peftsum.imports import quick_imports


def test_the_collector_rests_during_imports_and_goes_on_as_it_was() -> None:
    assert gc.isenabled()
    with quick_imports():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ImportError), quick_imports():
        import nothing_of_this_name  # noqa: F401
    assert gc.isenabled()
    gc.disable()
    try:
        with quick_imports():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_quick_exit_leaves_out_the_last_collection_and_nothing_that_was_asked_for() -> None:
    code = (
        "import atexit, gc, sys; from peftsum.imports import quick_exit;"
        "atexit.register(lambda: print(gc.get_freeze_count() > 0, flush=True)); quick_exit();"
        "print('written', end=' ')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("written True\n", "")
