"""The states of a frozen encoder, computed once and read from disk in later epochs.

Where only the decoder has adapters the encoder gives the same states for a dialogue every time. They are written to one
file in the run folder, memory-mapped, so that what is read stays in the page cache where there is room and costs no
memory of the process where there is none.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from peftsum.artifacts import storage_errors, write_text
from peftsum.exceptions import StorageError
from peftsum.progress import task
from peftsum.units import format_bytes

if TYPE_CHECKING:
    import torch

    from peftsum.batching import Encoded
    from peftsum.training_model import TrainingModel

logger = logging.getLogger(__name__)

FOLDER = "encoder"
STATES = "states.bin"
CONTENT = "content.json"
RESERVE_BYTES = 1 << 28  # left free on the disk for checkpoints and what else the run writes


class EncoderCache:
    """Encoder states of the training dialogues, one after the other in a memory-mapped file.

    Args:
        path: the file.
        lengths: source tokens of each dialogue.
        width: d_model.
        dtype: of the states; the encoder's own, so that nothing is rounded.
    """

    def __init__(self, path: Path, lengths: Sequence[int], width: int, dtype: torch.dtype) -> None:
        import torch

        self._ends = list(accumulate(lengths))
        self._lengths = list(lengths)
        self._states = torch.from_file(str(path), shared=True, size=self._ends[-1] * width, dtype=dtype).view(
            -1, width
        )  # (all source tokens, d_model)

    def states(self, indices: Sequence[int]) -> list[torch.Tensor]:
        """Return the states of dialogues, each (source tokens, d_model), as views of the file."""
        return [self._states[self._ends[i] - self._lengths[i] : self._ends[i]] for i in indices]


def open_cache(run_dir: Path, training: TrainingModel, examples: Sequence[Encoded]) -> EncoderCache:
    """Return the cache of a run, once :func:`fill_cache` has filled it."""
    lengths = [len(e.source) for e in examples]
    return EncoderCache(run_dir / FOLDER / STATES, lengths, training.encoder_width, training.encoder_dtype)


def fill_cache(
    run_dir: Path, training: TrainingModel, examples: Sequence[Encoded], content: str, batch_tokens: int
) -> None:
    """Encode the dialogues of a run, unless their states are there already, and of these data and this base.

    Args:
        run_dir: the run; the states lie in ``encoder`` below it until :func:`drop_cache`.
        training: the model, whose encoder nothing trains.
        examples: the training dialogues.
        content: what the states follow from: data, base, precision.
        batch_tokens: source tokens encoded at a time.

    Raises:
        StorageError: the disk has no room for the states.
    """
    folder = run_dir / FOLDER
    if not _is_filled(folder, content):
        _fill(folder, training, examples, batch_tokens)
        write_text(folder / CONTENT, json.dumps(content) + "\n")


def drop_cache(run_dir: Path) -> None:
    """Give the disk space back once a training is done."""
    shutil.rmtree(run_dir / FOLDER, ignore_errors=True)


def _is_filled(folder: Path, content: str) -> bool:
    try:
        return bool(json.loads((folder / CONTENT).read_text(encoding="utf-8")) == content)
    except (OSError, ValueError):
        return False


def _fill(folder: Path, training: TrainingModel, examples: Sequence[Encoded], batch_tokens: int) -> None:
    """Encode every dialogue and write its states in its place."""
    import torch

    from peftsum.batching import length_sorted_batches

    lengths = [len(e.source) for e in examples]
    size = sum(lengths) * training.encoder_width * training.encoder_dtype.itemsize
    path = folder / STATES
    with storage_errors(path):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        free = shutil.disk_usage(folder).free
        if size + RESERVE_BYTES > free:
            raise StorageError(
                f"the encoder's states take {format_bytes(size)}, and {folder} has {format_bytes(free)} free",
                hint="set method.cache_encoder: false, data.limit_train, or another --run-dir",
            )
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)  # a disk that fills up later would kill the process by SIGBUS
        cache = open_cache(folder.parent, training, examples)
        with torch.inference_mode(), task("encoding the dialogues once", len(examples)) as shown:
            for batch in length_sorted_batches(lengths, batch_tokens):
                encoded = training.encode([examples[i] for i in batch])
                for place, states in zip(cache.states(batch), encoded, strict=True):
                    place.copy_(states)
                shown.advance(len(batch))
    logger.info("the encoder's states of %d dialogues take %s", len(examples), format_bytes(size))
