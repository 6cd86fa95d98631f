"""A process that forks `peftsum` commands at will, in milliseconds instead of seconds each.

What is forked runs the command line as ``python -m peftsum`` does, alone or as one of several processes that share a
training, as torchrun would start them. It can be killed by a real SIGKILL: either from outside, at any time, or at the
n-th thing it is about to do to the files of a run, which no timing would meet. What ``run_apart`` calls can be forked,
too: a process of its own as otherwise, but for the seconds of imports.
"""

from __future__ import annotations

import gc
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from peftsum.imports import quick_imports
from peftsum.prepare import prepare
from peftsum.recipe import Recipe

FILE_EVENTS = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree")


def serve() -> None:
    """Fork a command a line of stdin; print the first fork's process id and, once all have ended, their statuses."""
    with quick_imports():
        import accelerate  # noqa: F401  # all that takes long to import
        import datasets  # noqa: F401
        import rouge_score.rouge_scorer  # noqa: F401
        import torch

        import peftsum.forecast.step
        import peftsum.sweep
        import peftsum.training_model  # noqa: F401

        with suppress(ImportError):
            import optuna  # noqa: F401
    gc.freeze()  # the collector would copy every page that a fork shares

    torch.set_num_threads(1)  # a fork takes no thread pool along
    for line in sys.stdin:
        entry, arguments, die_at, folder, count = json.loads(line)
        if entry == "forecast":
            _forecast_ahead(Path(arguments[0]))
            continue
        pids, port = [], _free_port()
        for rank in range(count):
            pids.append(os.fork())
            if pids[-1] == 0:
                _be_forked(entry, arguments, die_at, folder, rank, count, port)
        print(pids[0], flush=True)
        print(*(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids), flush=True)
    os._exit(0)  # all that was imported takes seconds to leave in order


def _forecast_ahead(prepared: Path) -> None:
    """Make the forecast of a training here, so that what it counted is known in each fork."""
    from peftsum.forecast.before import expect

    assert expect(pickle.loads(prepared.read_bytes()), "cpu") is not None


def _be_forked(
    entry: str, arguments: list[str], die_at: int | None, folder: str, rank: int, count: int, port: int
) -> None:
    """Run the command, or make the call that ``run_apart`` left in a file, and end the process."""
    from peftsum.cli import main
    from peftsum.processes import answer

    os.chdir(folder)
    if entry == "main":
        for stream, name in ((1, f"output-{rank}"), (2, f"errors-{rank}")):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    else:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.argv = ["-c", *arguments]
    if count > 1:
        world = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
        os.environ |= {name: str(value) for name, value in world.items()}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    events = _count_file_events(die_at)
    code = 99
    try:
        main(arguments) if entry == "main" else answer()
        code = 0
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    if entry == "main" and die_at is None:
        Path(f"events-{rank}").write_text(str(events()))
    os._exit(code)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _count_file_events(die_at: int | None) -> Callable[[], int]:
    """Count what this process does to runs and adapters; die just before the given one, counted from 1."""
    count = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
        if (writes or event in FILE_EVENTS) and any(top in str(arguments[0]) for top in ("runs/", "adapters/")):
            count += 1
            if count == die_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return lambda: count


class Forked:
    """What was forked: a command, alone or as several processes, or a call."""

    def __init__(self, server: subprocess.Popen[str]) -> None:
        assert server.stdout is not None
        self._answers = server.stdout
        self.pid = int(self._answers.readline())
        self._codes: tuple[int, ...] | None = None

    @property
    def runs(self) -> bool:
        """Tell whether the first process has not ended."""
        return Path(f"/proc/{self.pid}/exe").exists()  # a zombie has none

    def codes(self) -> tuple[int, ...]:
        """Wait for the end, and return the exit code of each process, or the signal that ended it as -9."""
        if self._codes is None:
            self._codes = tuple(map(int, self._answers.readline().split()))
        return self._codes

    def wait(self) -> int:
        """Wait for the end of the one process, as :class:`subprocess.Popen` does."""
        (code,) = self.codes()
        return code


class Forker:
    """Runs commands in forks of a process that has everything imported, one command at a time."""

    def __init__(self, server: subprocess.Popen[str]) -> None:
        self.server = server

    def start(
        self, folder: Path, arguments: list[str], *, die_at: int | None = None, count: int = 1, entry: str = "main"
    ) -> Forked:
        """Start a command in a folder.

        What it prints is in ``output-0`` and ``errors-0`` there, ``output-1``, …; the number of its file events in
        ``events-0``, ….

        Args:
            folder: where it runs.
            arguments: of ``peftsum``, or of :func:`peftsum.processes.answer`.
            die_at: the number of the file event before which it dies.
            count: how many processes share the command.
            entry: "main" or "answer".
        """
        assert self.server.stdin is not None
        print(json.dumps([entry, arguments, die_at, str(folder), count]), file=self.server.stdin, flush=True)
        return Forked(self.server)

    def forecast_ahead(self, folder: Path, recipe: Recipe) -> None:
        """Count a step of a recipe that many commands are about to train, once for all of them."""
        assert self.server.stdin is not None
        (folder / "prepared").write_bytes(pickle.dumps(prepare(recipe)))
        print(json.dumps(["forecast", [str(folder / "prepared")], None, "", 0]), file=self.server.stdin, flush=True)

    def run(
        self,
        folder: Path,
        arguments: list[str],
        *,
        die_at: int | None = None,
        kill_when: Callable[[float], bool] | None = None,
        by: int = signal.SIGKILL,
        count: int = 1,
    ) -> tuple[int, ...]:
        """Run a command in a folder and return the exit code of each process, -9 where it was killed.

        Args:
            folder: where it runs.
            arguments: of ``peftsum``.
            die_at: the number of the file event before which it dies.
            kill_when: asked again and again with the seconds since the start; it is killed once this is True.
            by: the signal to send then.
            count: how many processes share the command.
        """
        forked, started = self.start(folder, arguments, die_at=die_at, count=count), time.perf_counter()
        while kill_when is not None and forked.runs:
            if kill_when(time.perf_counter() - started):
                os.kill(forked.pid, by)
                break
            time.sleep(0.0005)
        return forked.codes()


@contextmanager
def forker() -> Iterator[Forker]:
    """Start the process that forks."""
    here = Path(__file__).parent
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{here}{os.pathsep}{here.parent}"}
    with subprocess.Popen(
        [sys.executable, "-c", "import forking; forking.serve()"],
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
