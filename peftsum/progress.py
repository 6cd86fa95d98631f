"""Progress on stderr: a bar with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from peftsum.units import format_seconds

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LINE_EVERY_S = 15.0  # often enough to see life in a log, seldom enough to read it


class Task:
    """One piece of long work; ``advance`` as it goes on."""

    def __init__(self, title: str, total: int, done: int, bar: Progress | None) -> None:
        self.title, self.total, self.done, self.bar = title, total, done, bar
        self.start = self.last_line = time.perf_counter()
        self.done_at_start = done
        self.task: TaskID | None = bar.add_task(title, total=total, completed=done, info="") if bar else None

    def advance(self, count: int = 1, info: str = "") -> None:
        """Say that ``count`` more are done; ``info`` stands behind the bar, for example the loss."""
        self.done += count
        if self.bar is not None and self.task is not None:
            self.bar.update(self.task, completed=self.done, info=info)
        elif (now := time.perf_counter()) - self.last_line >= LINE_EVERY_S:
            self.last_line = now
            print(
                f"{self.title}: {self.done}/{self.total}, {self._left(now)}{', ' + info if info else ''}",
                file=sys.stderr,
                flush=True,
            )

    def _left(self, now: float) -> str:
        fresh = self.done - self.done_at_start
        if fresh <= 0:
            return "time left unknown"
        return f"{format_seconds((now - self.start) / fresh * max(0, self.total - self.done))} left"

    def finish(self, info: str = "") -> None:
        """Close with a line in a log; the bar on a terminal stays as it is."""
        if self.bar is not None and self.task is not None:
            self.bar.update(self.task, info=info)
        else:
            spent = format_seconds(time.perf_counter() - self.start)
            print(
                f"{self.title}: {self.done}/{self.total} in {spent}{', ' + info if info else ''}",
                file=sys.stderr,
                flush=True,
            )


@contextmanager
def task(title: str, total: int, done: int = 0, *, show: bool = True) -> Iterator[Task]:
    """Show the progress of ``total`` pieces of work, ``done`` of them before the start.

    Args:
        title: what is done.
        total: pieces of work.
        done: pieces that an earlier session did.
        show: False for short inner work, which shows nothing.
    """
    if not show:
        yield _Silent(title, total, done, None)
        return
    if not sys.stderr.isatty():
        shown = Task(title, total, done, None)
        yield shown
        shown.finish()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[info]}"),
        console=Console(stderr=True),
    ) as bar:
        yield Task(title, total, done, bar)


class _Silent(Task):
    def advance(self, count: int = 1, info: str = "") -> None:
        """Show nothing."""

    def finish(self, info: str = "") -> None:
        """Show nothing."""
