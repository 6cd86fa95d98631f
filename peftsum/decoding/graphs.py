"""A step of decoding recorded once and replayed: a small model's step is hundreds of small kernels to be launched.

A recording is a fixed list of operations on fixed memory. So a step reads its tokens, positions and adapters from
buffers, and its shapes come in few sizes (:class:`StepShape`); the second step of a shape records it. A replay is
compared with the same step run as usual before it is trusted: where recording fails, or gives something else, steps go
on being launched one operation at a time, and a warning says so once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import torch

from peftsum.bank import EachRow

logger = logging.getLogger(__name__)

MOST_KEPT = 64  # recordings; the least recently used one goes
LEAST_KEYS = 16  # tokens of summaries that a recorded step attends to; then twice as many, and so on
SOURCE_TOKENS = 128  # a recorded step attends to a multiple of these of its sources
TOLERANCE = 0.02  # of the largest logit, between a step run as usual and replayed: wrong memory gives far more
SINCE = "2.13"  # torch before that leaves its allocator recording after a failed recording (pytorch#180395)
_failed: set[torch.device] = set()


@dataclass(frozen=True)
class StepShape:
    """What the operations of a step depend on besides the contents of tensors."""

    groups: int
    keys: int
    """Tokens of each summary that are attended to."""
    source: int
    """Tokens of each source that are attended to."""
    masked: bool
    """Some source is shorter."""

    def rounded(self, most_keys: int, longest_source: int) -> StepShape:
        """Return the shape that is recorded for this one; what it has more is masked.

        Args:
            most_keys: tokens that the cache of a summary has.
            longest_source: tokens that the cache of a source has.
        """
        keys = max(LEAST_KEYS, 1 << (self.keys - 1).bit_length())
        source = -(-self.source // SOURCE_TOKENS) * SOURCE_TOKENS
        return StepShape(self.groups, min(keys, most_keys), min(source, longest_source), masked=True)


class Recording(Protocol):
    """What was recorded."""

    def replay(self) -> None:
        """Do it again."""


Record = Callable[[Callable[[], None]], Recording]
Run = Callable[[torch.Tensor, torch.Tensor, StepShape, EachRow | None], torch.Tensor]


def recorder(device: torch.device) -> Record | None:
    """Return what records on a device, for one set of recordings; None where launching costs little, or it failed."""
    wanted = device.type == "cuda" and device not in _failed and torch.__version__ >= SINCE
    return CudaRecorder(device) if wanted else None


@lru_cache
def _recording_stream(device: torch.device) -> torch.cuda.Stream:
    """Return the one stream that all recordings are made on: libraries keep a workspace for each stream they meet."""
    stream: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    return stream


class CudaRecorder:
    """Records CUDA graphs that share one memory pool; a pool whose graphs are all gone cannot be used again.

    Args:
        device: the GPU.
    """

    def __init__(self, device: torch.device) -> None:
        self._pool, self._stream = torch.cuda.graph_pool_handle(), _recording_stream(device)

    def __call__(self, work: Callable[[], None]) -> Recording:
        """Run work once on the recording stream, where libraries make what they make once, then record it."""
        graph = torch.cuda.CUDAGraph()
        self._stream.wait_stream(torch.cuda.current_stream(self._stream.device))
        with torch.cuda.stream(self._stream):
            work()
            self._stream.synchronize()
            # a server's other threads may ask the device for memory meanwhile
            graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
            try:
                work()
            except BaseException:
                with suppress(RuntimeError):  # it says that the recording is invalid, and not why
                    graph.capture_end()
                raise
            graph.capture_end()
        torch.cuda.current_stream(self._stream.device).wait_stream(self._stream)
        return graph


class RecordedSteps:
    """The steps of one decoder state, whose caches stay where they are.

    It does not keep what runs a step: the state that owns both would be freed by the garbage collector only.

    Args:
        record: records on the device.
        rows: most rows of a step.
        device: where the caches are.
    """

    def __init__(self, record: Record, rows: int, device: torch.device) -> None:
        self._record, self._device = record, device
        self._tokens = torch.zeros(rows, 1, dtype=torch.long, device=device)
        self._positions = torch.zeros_like(self._tokens)
        self._slots = torch.zeros(rows, dtype=torch.long, device=device)
        self._told: list[int] = []
        """What was last written into them."""
        self._full = False
        """There was no memory for one more recording."""
        self._logits: torch.Tensor | None = None
        self._seen: set[tuple[StepShape, bool]] = set()
        self._kept: dict[tuple[StepShape, bool], Recording] = {}

    def step(
        self,
        run: Run,
        tokens: torch.Tensor,
        positions: torch.Tensor,
        shape: StepShape,
        slots: list[int],
        *,
        updates: bool,
    ) -> torch.Tensor:
        """Return the logits of each row, (rows, vocabulary), good until the next step.

        Args:
            run: returns a step's logits from tokens and positions, (rows, 1), shape and adapters; always the same.
            tokens: (rows that count, 1).
            positions: the same shape.
            shape: a rounded one.
            slots: which stacked adapter each row of the shape has.
            updates: any of these has an update.
        """
        rows = len(slots)
        if updates and slots != self._told:
            self._slots[:rows] = torch.tensor(slots, device=self._device)
            self._told = slots
        for buffer, given in ((self._tokens, tokens), (self._positions, positions)):
            buffer[: len(given)] = given
            buffer[len(given) : rows] = 0
        key = (shape, updates)
        kept = self._kept.pop(key, None)
        if kept is None and (key not in self._seen or self._full or self._device in _failed):
            self._seen.add(key)
            return self._as_usual(run, key, rows)
        if kept is None:
            logits = self._as_usual(run, key, rows)
            kept = self._try(run, key, rows, logits)
            if kept is None:
                return logits
        else:
            kept.replay()
        self._kept[key] = kept
        if len(self._kept) > MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        assert self._logits is not None, "a recording fills it"
        return self._logits[:rows]

    def _as_usual(self, run: Run, key: tuple[StepShape, bool], rows: int) -> torch.Tensor:
        shape, updates = key
        each = EachRow(self._slots[:rows]) if updates else None
        return run(self._tokens[:rows], self._positions[:rows], shape, each)

    def _try(self, run: Run, key: tuple[StepShape, bool], rows: int, expected: torch.Tensor) -> Recording | None:
        """Record a step that was just run, and replay it; None where that fails or gives something else."""
        if self._logits is None:
            self._logits = torch.zeros(len(self._slots), expected.shape[1], device=self._device)
        logits = self._logits[:rows]

        def work() -> None:
            logits.copy_(self._as_usual(run, key, rows))

        try:
            recording = self._record(work)
            logits.zero_()
            recording.replay()
            difference = float((logits - expected).abs().max() / expected.abs().max())
        except torch.OutOfMemoryError:
            self._full = True  # others, with smaller caches, may have room
            return None
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
        else:
            if difference <= TOLERANCE:
                return recording
            reason = f"a replayed step differs by {difference:.2g} of its largest logit"
        _failed.add(self._device)
        logger.warning("steps are not recorded as CUDA graphs, which makes decoding slower: %s", reason)
        return None
