"""What a training can be selected by is what validation measures, and better is better."""

from __future__ import annotations

import pytest

from peftsum.metrics import example_statistics
from peftsum.metrics.selection import ERROR_PREFIXES, LOSS, goodness, selectable_scores, statistic


def test_selectable_is_the_loss_each_rouge_and_each_error_flag_that_is_measured() -> None:
    columns = example_statistics(["Ann and Bob meet."], [["Ann meets Bob."]], dialogues=["Ann: Hi!\nBob: Hi!"])
    measured = {name for name in columns if name.startswith(ERROR_PREFIXES) or name.endswith("_f")}
    assert {statistic(score) for score in selectable_scores() if score != LOSS} == measured
    assert selectable_scores()[0] == LOSS


@pytest.mark.parametrize("score", selectable_scores())
def test_more_rouge_fewer_errors_and_less_loss_are_better_and_the_loss_decides_between_equals(score: str) -> None:
    key, sign = f"val_{score}", 1 if score.startswith("rouge") else -1
    worse, better = ({"val_loss": 2.0, key: 0.5 + sign * step} for step in (-0.1, 0.1))
    assert goodness(better, score) > goodness(worse, score)
    if score != LOSS:
        assert goodness({"val_loss": 1.0, key: 0.5}, score) > goodness({"val_loss": 2.0, key: 0.5}, score)
        assert goodness({**better, "val_loss": 9.0}, score) > goodness(worse, score)
