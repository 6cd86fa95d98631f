"""A call in a process of its own, so that its peak memory holds nothing of the caller's."""

from __future__ import annotations

import logging
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from peftsum.exceptions import EXIT_INTERRUPTED, PeftsumError
from peftsum.imports import quick_exit

T = TypeVar("T")

CHILD = "from peftsum.processes import answer; answer()"


def run_apart(title: str, function: Callable[..., T], *arguments: Any) -> T:
    """Call a function of a module in a fresh Python process and return what it returns.

    Unlike multiprocessing's spawn, this does not run the caller's script once more, so that needs no
    ``if __name__ == "__main__":`` guard.

    Args:
        title: what the process does, for messages.
        function: importable by name; it and its arguments and result are pickled.
        arguments: what it is called with.

    Raises:
        PeftsumError: what the function raised, or that the process ended without an answer.
        KeyboardInterrupt: Ctrl-C, which a terminal sends to both processes, once the other one has ended.
    """
    with tempfile.TemporaryDirectory(prefix="peftsum-") as folder:
        call, found = Path(folder) / "call", Path(folder) / "answer"
        call.write_bytes(pickle.dumps((function, arguments, logging.getLogger("peftsum").getEffectiveLevel())))
        code = _wait(_start(call, found))
        if found.is_file():
            good, result = pickle.loads(found.read_bytes())
            if good:
                return result  # type: ignore[no-any-return]  # pickle knows no types
            raise result
    if code in (EXIT_INTERRUPTED, -2):
        raise KeyboardInterrupt
    if code < 0:
        raise PeftsumError(
            f"{title}: its process was killed by signal {-code}",
            hint="a lack of memory does this: lower train.batch_tokens, or close other programs",
        )
    raise PeftsumError(f"{title}: its process failed with exit code {code}", hint="its last messages stand above")


def _start(call: Path, found: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(call), str(found)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        stdout=subprocess.DEVNULL,  # what libraries print must not get into a JSON document
    )


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end. The first Ctrl-C leaves the process time to save its work, the second kills it."""
    try:
        return process.wait()
    except KeyboardInterrupt:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.kill()
            process.wait()
            raise


def answer() -> None:
    """Make the call that :func:`run_apart` left in a file; runs in the fresh process."""
    call, found = map(Path, sys.argv[1:])
    function, arguments, level = pickle.loads(call.read_bytes())
    quick_exit()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("peftsum").setLevel(level)
    for chatty in ("transformers", "datasets", "peft", "accelerate", "bitsandbytes"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    try:
        outcome = (True, function(*arguments))
    except PeftsumError as error:
        outcome = (False, error)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    found.with_suffix(".tmp").write_bytes(pickle.dumps(outcome))
    found.with_suffix(".tmp").replace(found)
