"""A process that forks a `peftsum` command at will, in milliseconds instead of seconds, to be killed in the middle.

What is forked runs the command line as ``python -m peftsum`` does and dies by a real SIGKILL: either from outside, at any
time, or at the n-th thing it is about to do to the files of a run, which no timing would meet.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

FILE_EVENTS = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree")


def serve() -> None:
    """Fork a command a line of stdin, and print its process id and, once it has ended, its status."""
    import accelerate
    import peft
    import torch

    import peftsum.train  # noqa: F401  # all that takes long to import
    from peftsum.cli import main

    assert accelerate and peft
    torch.set_num_threads(1)  # a fork takes no thread pool along
    for line in sys.stdin:
        arguments, die_at, folder = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os.dup2(os.open("output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
            os.dup2(1, 2)
            events = _count_file_events(die_at, folder)
            try:
                main(arguments)
            except SystemExit as stopped:
                sys.stdout.flush()
                if die_at is None:
                    Path("events").write_text(str(events()))
                os._exit(int(stopped.code or 0))
            os._exit(99)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def _count_file_events(die_at: int | None, folder: str) -> Callable[[], int]:
    """Count what this process does to runs and adapters in a folder; die just before the given one, counted from 1."""
    count = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
        if (writes or event in FILE_EVENTS) and any(top in str(arguments[0]) for top in ("runs/", "adapters/")):
            count += 1
            if count == die_at:
                os.kill(os.getpid(), signal.SIGKILL)

    os.chdir(folder)
    sys.addaudithook(hook)
    return lambda: count


class Forker:
    """Runs commands in forks of a process that has everything imported."""

    def __init__(self, server: subprocess.Popen[str]) -> None:
        self.server = server

    def run(
        self,
        folder: Path,
        arguments: list[str],
        *,
        die_at: int | None = None,
        kill_when: Callable[[float], bool] | None = None,
    ) -> int:
        """Run a command in a folder and return its exit code, -9 where it was killed.

        Args:
            folder: where it runs.
            arguments: of ``peftsum``.
            die_at: the number of the file event before which it dies.
            kill_when: asked again and again with the seconds since the start; it is killed once this is True.
        """
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        print(json.dumps([arguments, die_at, str(folder)]), file=self.server.stdin, flush=True)
        pid, started = int(self.server.stdout.readline()), time.perf_counter()
        while kill_when is not None and Path(f"/proc/{pid}/exe").exists():  # a zombie has none
            if kill_when(time.perf_counter() - started):
                os.kill(pid, signal.SIGKILL)
                break
            time.sleep(0.0005)
        return int(self.server.stdout.readline())


@contextmanager
def forker() -> Iterator[Forker]:
    """Start the process that forks."""
    here = Path(__file__).parent
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{here}{os.pathsep}{here.parent}"}
    with subprocess.Popen(
        [sys.executable, "-c", "import killing; killing.serve()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        cwd="/",
    ) as server:
        try:
            yield Forker(server)
        finally:
            server.communicate()
