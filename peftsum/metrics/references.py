"""What every metric shares: the reference modes, the check of the texts, and the shape of per-example statistics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from peftsum.exceptions import DataError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ReferenceMode: TypeAlias = Literal["first", "mean", "max"]
"""What several references of one dialogue become: the first one's score, the mean, or the most favourable."""

# Column name to an array of shape (n,), float64, one value a dialogue in the order of the predictions.
Statistics: TypeAlias = "dict[str, NDArray[np.float64]]"

# A metric takes n predictions, n rows of references and a mode, and gives its columns.
MetricFunction: TypeAlias = Callable[[Sequence[str], Sequence[Sequence[str]], ReferenceMode], Statistics]


def check_mode(mode: str) -> None:
    """Raise UsageError when ``mode`` is none of ``first``, ``mean``, ``max``."""
    if mode not in get_args(ReferenceMode):
        raise UsageError(f"no reference mode named {mode!r}", hint=f"known: {', '.join(get_args(ReferenceMode))}")


def resolve_mode(references: Sequence[Sequence[str]], mode: ReferenceMode | None) -> ReferenceMode:
    """Return ``mode``, or where it is None ``mean`` if any row has several references, else ``first``.

    Raises:
        UsageError: ``mode`` is unknown.
    """
    if mode is None:
        return "mean" if any(len(row) > 1 for row in references) else "first"
    check_mode(mode)
    return mode


def check_texts(predictions: Sequence[Any], references: Sequence[Any]) -> None:
    """Refuse what cannot be scored, before any work: the row is named, counted from 1.

    Args:
        predictions: n texts; an empty text is a (bad) prediction and is scored.
        references: n rows of one or more texts. A bare text as a row is refused: each of its letters would become a
            reference.

    Raises:
        DataError: nothing to score, unequal counts, a row without references, or something that is no text.
    """
    if len(predictions) != len(references):
        raise DataError(
            f"{len(predictions)} predictions but {len(references)} rows of references",
            hint="give one prediction and one row of references a dialogue, in the same order",
        )
    if len(predictions) == 0:
        raise DataError(
            "nothing to score: no predictions",
            hint="give at least one dialogue; look for an empty file, split or limit",
        )
    for row, (prediction, texts) in enumerate(zip(predictions, references, strict=True), start=1):
        if not isinstance(prediction, str):
            raise DataError(
                f"row {row}: the prediction is {type(prediction).__name__}, not a text",
                hint="a system that wrote nothing has the empty text as its prediction",
            )
        if isinstance(texts, str):
            raise DataError(f"row {row}: the references are one bare text", hint="put it in a list: [text]")
        if len(texts) == 0:
            raise DataError(
                f"row {row}: no reference", hint="give each dialogue at least one reference, or leave it out"
            )
        for text in texts:
            if not isinstance(text, str):
                raise DataError(
                    f"row {row}: a reference is {type(text).__name__}, not a text",
                    hint="leave missing references out of the row",
                )
