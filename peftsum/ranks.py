"""The processes of one training: how many there are, who does what, and how they agree.

One process and many run the same code. In a process started alone every method here is a plain call; in one of several
(torchrun, `accelerate launch`) it is a collective, which all ranks must reach in the same order.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from peftsum.exceptions import PeftsumError, TrainingError, UsageError

if TYPE_CHECKING:
    from accelerate import PartialState

T = TypeVar("T")

WANTED = "PEFTSUM_NPROC"
"""The number of processes that ``peftsum train --nproc`` asked for."""
LONGEST_WAIT = timedelta(hours=12)  # for what one process does alone, such as validation; torchrun ends the dead sooner
PEER_LOST_S = 20.0  # torchrun ends the processes left over well within this
HOW = "start it with: peftsum train RECIPE --nproc N"


def launched() -> bool:
    """Tell whether a launcher such as torchrun started this process as one of a group, if only of one."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def is_main() -> bool:
    """Tell whether this process is the first of all, the one that prints results."""
    return not launched() or os.environ["RANK"] == "0"


def is_first_here() -> bool:
    """Tell whether this process is the first of its machine; it speaks for those that fail alike."""
    return not launched() or os.environ.get("LOCAL_RANK", "0") == "0"


class Ranks:
    """All processes of a training, seen from one of them.

    Args:
        state: accelerate's, or None for a process started alone.
    """

    def __init__(self, state: PartialState | None = None) -> None:
        self._state = state if state is not None and state.num_processes > 1 else None
        self.count: int = self._state.num_processes if self._state else 1
        self.index: int = self._state.process_index if self._state else 0

    @property
    def is_main(self) -> bool:
        """True in the process that writes files and prints."""
        return self.index == 0

    @property
    def device(self) -> str | None:
        """This process's device; None leaves the choice to the caller."""
        return str(self._state.device) if self._state else None

    def wait(self) -> None:
        """Return when every process has got here."""
        if self._state:
            self._state.wait_for_everyone()

    def total(self, *values: float) -> list[float]:
        """Return the sums over all processes."""
        if not self._state:
            return list(values)
        import torch

        sums = torch.tensor(values, dtype=torch.float64, device=self._state.device)
        torch.distributed.all_reduce(sums)
        return [float(value) for value in sums]

    def any(self, flag: bool) -> bool:
        """Tell whether any process says so."""
        return self.total(float(flag))[0] > 0

    def gather(self, value: T) -> list[T]:
        """Return every process's value, in the order of the ranks."""
        if not self._state:
            return [value]
        import torch

        found: list[Any] = [None] * self.count
        torch.distributed.all_gather_object(found, value)
        return found

    def agree(self, value: T) -> T:
        """Return the main process's value."""
        return self.gather(value)[0]

    def on_main(self, act: Callable[[], T]) -> T:
        """Let the main process act while the others wait; all return what it returned, or raise what it raised."""
        if not self._state:
            return act()
        import torch

        outcome: list[tuple[T | None, PeftsumError | None, bool]] = [(None, None, True)]
        failure: Exception | None = None
        if self.is_main:
            try:
                outcome = [(act(), None, False)]
            except PeftsumError as error:
                outcome, failure = [(None, error, False)], error
            except Exception as error:  # not ours, so the others cannot raise it: they end as when it had died
                failure = error
        torch.distributed.broadcast_object_list(outcome)
        result, problem, crashed = outcome[0]
        if problem is not None:
            raise everywhere(problem) from failure
        if crashed:
            raise failure or PeerLostError()
        return result  # type: ignore[return-value]  # None only where act returns it

    def together(self, act: Callable[[], T]) -> T:
        """Let every process act; where one fails, all raise the error of the first that did."""
        if not self._state:
            return act()
        result, failure = None, None
        try:
            result = act()
        except PeftsumError as error:
            failure = error
        for problem in self.gather(failure):
            if problem is not None:
                raise everywhere(problem) from failure
        return result  # type: ignore[return-value]  # None only where act returns it

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Tell a collective that failed since another process has ended from other errors."""
        try:
            yield
        except RuntimeError as error:
            if self._state is None or isinstance(error, PeftsumError) or not _is_of_transport(error):
                raise
            raise PeerLostError from error


class PeerLostError(TrainingError):
    """Another process of the training has ended, and has said or will say why."""

    def __init__(self) -> None:
        super().__init__("another process of this training has ended", hint="its messages say why; go on with --resume")


def everywhere(error: PeftsumError) -> PeftsumError:
    """Mark an error that every process raises at the same point, so that one may speak for all."""
    error.everywhere = True
    return error


def start_ranks(*, cpu: Callable[[], bool]) -> Ranks:
    """Return the processes this one was started with; connects to them on the first call.

    Args:
        cpu: tells whether to compute on the CPU; asked only where there are several, since it imports torch.

    Raises:
        UsageError: there are more or fewer than asked for, or more than GPUs.
    """
    _check_not_dropped()
    if not launched():
        if (wanted := int(os.environ.get(WANTED, "1"))) != 1:
            raise UsageError(f"asked for {wanted} processes, and started alone", hint=HOW)
        return Ranks()
    from accelerate import PartialState

    on_cpu = cpu()
    if not on_cpu:
        check_gpus(int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    fresh_accelerate_state()
    ranks = Ranks(PartialState(cpu=on_cpu, timeout=LONGEST_WAIT))
    wanted = int(os.environ.get(WANTED, os.environ["WORLD_SIZE"]))
    if ranks.count != wanted:
        running = f"{ranks.count} {'is' if ranks.count == 1 else 'are'} running"
        raise everywhere(UsageError(f"asked for {wanted} processes, and {running}", hint=HOW))
    return ranks


def fresh_accelerate_state() -> None:
    """Forget the precision of an earlier training in this process; accelerate keeps it for the process's life."""
    from accelerate.state import AcceleratorState, GradientState

    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def check_gpus(processes: int) -> None:
    """Refuse more processes on this machine than it has GPUs, if it has any.

    Raises:
        UsageError: there are too few.
    """
    import torch

    gpus = torch.cuda.device_count()
    if 0 < gpus < processes:
        raise UsageError(
            f"{processes} processes need a GPU each, and this machine has {gpus}",
            hint=f"take --nproc {gpus}, or more machines (docs/scaling.md)",
        )


def _check_not_dropped() -> None:
    """Notice that `accelerate launch --cpu --num_processes 2` has started one process, about which it says nothing."""
    by_accelerate = "ACCELERATE_MIXED_PRECISION" in os.environ
    if by_accelerate and "MASTER_ADDR" in os.environ and not launched():
        raise UsageError("accelerate launch was asked for several processes on a CPU, and started one", hint=HOW)


def share(sizes: Sequence[int], ranks: int, rank: int) -> list[int]:
    """Return which members of a batch one of the ranks takes, so that all have about as much to do.

    The largest goes first, to whoever has least so far; the same arguments always give the same shares. Together the
    shares hold each member once; a share is empty where there are fewer members than ranks.

    Args:
        sizes: of the members, in tokens.
        ranks: how many share the batch.
        rank: whose share is wanted.
    """
    loads = [0] * ranks
    mine = []
    for member in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        taker = min(range(ranks), key=lambda r: loads[r])
        loads[taker] += sizes[member]
        if taker == rank:
            mine.append(member)
    return sorted(mine)


def wait_to_be_ended() -> None:
    """Give torchrun time to end this process, which another one's death has stopped."""
    time.sleep(PEER_LOST_S)


def is_connected() -> bool:
    """Tell whether this process has found the others."""
    if not launched():
        return False
    import torch

    return torch.distributed.is_available() and torch.distributed.is_initialized()


def leave() -> None:
    """Wait for the others at the end, so that no launcher ends a process that still has something to say."""
    if is_connected():
        import torch

        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def _is_of_transport(error: RuntimeError) -> bool:
    import torch

    if isinstance(error, torch.distributed.DistError):
        return True
    return any(word in str(error).lower() for word in ("gloo", "nccl", "connection closed by peer"))
