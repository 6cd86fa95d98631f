"""Confidence: a map fitted right, judged out of fold, kept with its weights, and silent where it cannot know."""

from __future__ import annotations

import json
import math
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import unseen_rows, write_jsonl
from trainings import make_recipe

from peftsum import Summarizer, calibrate, train
from peftsum.answers import answer
from peftsum.calibration import BINS, fit_calibration
from peftsum.confidence import CONFIDENCE_FILE, CalibrationRecord
from peftsum.exceptions import DataError, UsageError
from peftsum.prompts import Prompt
from peftsum.recipe import Generation

DIALOGUES = ["Ann: Lunch at 3?\nBob: Yes, at the park.", "Cleo: Hi!\nDan: Hi, see you at the station at 5."]
LONG = "Ann: Yes.\n" * 60


def drawn(intercept: float, slope: float, count: int, seed: int = 0) -> tuple[list[float], list[float]]:
    """Return likelihoods, and scores whose mean is the fractional logit of them."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-3, 0, count)
    mean = 1 / (1 + np.exp(-(intercept + slope * x)))
    return x.tolist(), rng.beta(20 * mean, 20 * (1 - mean)).tolist()


def test_a_known_map_is_found_again() -> None:
    fit = fit_calibration(*drawn(0.5, 1.2, 4000))
    assert fit.intercept == pytest.approx(0.5, abs=0.05)
    assert fit.slope == pytest.approx(1.2, abs=0.05)
    assert fit.calibration_error < 0.02
    assert fit.absolute_error < fit.absolute_error_of_mean
    assert fit.rank_correlation is not None
    assert fit.rank_correlation > 0.8
    assert sum(b.n for b in fit.bins) == fit.n == 4000
    assert len(fit.bins) == BINS


def test_the_fit_is_where_the_quasi_likelihood_is_highest() -> None:
    x, y = drawn(-0.4, 0.8, 60, seed=3)
    fit = fit_calibration(x, y)

    def quasi(intercept: float, slope: float) -> float:
        p = 1 / (1 + np.exp(-(intercept + slope * np.asarray(x))))
        return float((np.asarray(y) * np.log(p) + (1 - np.asarray(y)) * np.log(1 - p)).sum())

    best = quasi(fit.intercept, fit.slope)
    for a, b in ((0.05, 0), (-0.05, 0), (0, 0.05), (0, -0.05), (0.05, 0.05), (-0.05, -0.05)):
        assert quasi(fit.intercept + a, fit.slope + b) < best


def test_expected_scores_rise_with_likelihood_and_are_shares() -> None:
    fit = fit_calibration(*drawn(0.5, 1.2, 100))
    values = [fit.expected(x) for x in (-1e9, -3, -2, -1, 0)]
    assert values == sorted(values)
    assert all(0 <= value <= 1 for value in values)


def test_likelihood_that_says_nothing_or_lies_gives_the_mean() -> None:
    x, y = drawn(0.5, 1.2, 200)
    lying = fit_calibration([-value for value in x], y)
    same = fit_calibration([-1.0] * 200, y)
    for fit in (lying, same):
        assert fit.slope == 0
        assert fit.expected(-1) == pytest.approx(fit.mean_score)
    assert same.rank_correlation is None
    assert lying.rank_correlation is not None
    assert lying.rank_correlation < 0


def test_errors_are_out_of_fold() -> None:
    """On noise a map fitted on what it is judged by would beat the mean; one that is not does not."""
    wins = 0
    for seed in range(20):
        rng = random.Random(seed)
        fit = fit_calibration([rng.uniform(-3, 0) for _ in range(30)], [rng.random() for _ in range(30)])
        wins += fit.absolute_error < fit.absolute_error_of_mean - 1e-9
    assert wins < 15


@pytest.mark.parametrize("scores", [[0.0] * 30, [1.0] * 30, [0.0] * 15 + [1.0] * 15])
def test_extreme_scores_have_finite_maps(scores: list[float]) -> None:
    fit = fit_calibration([-3 + 0.1 * i for i in range(30)], scores)
    assert math.isfinite(fit.intercept)
    assert math.isfinite(fit.slope)
    assert fit.expected(-10) <= fit.expected(0)


def test_too_few_dialogues_are_refused() -> None:
    with pytest.raises(DataError, match="19 dialogues are too few"):
        fit_calibration([-1.0] * 19, [0.5] * 19)


@pytest.fixture(scope="module")
def trained(byte_base: Path, dialogues: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    course = {"learning_rate": 5e-2, "max_steps": 8, "eval_examples": 0}
    recipe = make_recipe(byte_base, dialogues, "small", train=course, generation={"max_new_tokens": 12})
    train(recipe, folder / "run", folder / "small")
    write_jsonl(folder / "unseen.jsonl", unseen_rows(24))
    return folder


@pytest.fixture
def adapter(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained / "small", tmp_path / "small"))


def test_a_likelihood_is_the_mean_log_probability_of_the_summary_s_tokens(adapter: Path) -> None:
    summarizer = Summarizer(adapters=[adapter])
    written = summarizer.write(DIALOGUES)
    found = summarizer.log_likelihoods(written)
    for w, value in zip(written, found, strict=True):
        target = summarizer.tokenizer(text_target=w.text)["input_ids"]
        with torch.no_grad():
            logits = summarizer.model(
                input_ids=torch.tensor([w.source]), decoder_input_ids=torch.tensor([[0, *target[:-1]]])
            ).logits[0]
        expected = logits.log_softmax(-1)[range(len(target)), target].mean()
        assert value == pytest.approx(float(expected), abs=1e-4)
    bare = summarizer.log_likelihoods(written, "__base__")
    assert all(a != pytest.approx(b, abs=1e-3) for a, b in zip(found, bare, strict=True))


def test_before_calibration_the_value_is_none_with_a_reason(adapter: Path) -> None:
    found = answer(Summarizer(adapters=[adapter]), DIALOGUES)
    for one in found:
        assert one.confidence.value is None
        assert one.confidence.reason is not None
        assert f"peftsum calibrate {adapter}" in one.confidence.reason
        assert one.confidence.log_likelihood < 0


def test_calibration_is_kept_beside_the_weights_and_used(adapter: Path, trained: Path) -> None:
    record = calibrate(adapter, str(trained / "unseen.jsonl"))
    assert record.calibration.n == 24
    assert record.left_out == 0
    kept = CalibrationRecord.model_validate_json((adapter / CONFIDENCE_FILE).read_bytes())
    assert kept == record
    for one in answer(Summarizer(adapters=[adapter]), DIALOGUES):
        confidence = one.confidence
        assert confidence.reason is None
        assert confidence.value == record.calibration.expected(confidence.log_likelihood)
        assert confidence.calibration_error == record.calibration.calibration_error
    moved = adapter.rename(adapter.with_name("moved"))
    assert answer(Summarizer(adapters=[moved]), DIALOGUES)[0].confidence.value is not None


def test_it_is_silent_where_it_cannot_know(adapter: Path, trained: Path) -> None:
    calibrate(adapter, str(trained / "unseen.jsonl"))
    summarizer = Summarizer(adapters=[adapter])

    def reason(**options: object) -> str:
        (found,) = answer(summarizer, [LONG if "strategy" in options else DIALOGUES[0]], **options)  # type: ignore[arg-type]
        assert found.confidence.value is None
        return found.confidence.reason or ""

    assert "parts" in reason(strategy="staged")
    assert "cut off" in reason(strategy="truncate")
    assert "generation settings" in reason(generation=Generation(max_new_tokens=5))
    assert "prompt" in reason(prompt=Prompt.model_validate({"kind": "template", "template": "Sum up: {dialogue}"}))
    assert "untuned base" in reason(adapter="__base__")
    (whole,) = answer(summarizer, DIALOGUES[:1], strategy="staged")  # it fits, so nothing differs
    assert whole.confidence.value is not None
    record = json.loads((adapter / CONFIDENCE_FILE).read_text(encoding="utf-8"))
    (adapter / CONFIDENCE_FILE).write_text(json.dumps(record | {"weights": "others"}), encoding="utf-8")
    assert "other weights" in reason()
    (adapter / CONFIDENCE_FILE).write_text("{", encoding="utf-8")
    assert "is damaged" in reason()


def test_dialogues_of_the_training_and_longer_ones_are_left_out(
    adapter: Path, trained: Path, dialogues: Path, tmp_path: Path
) -> None:
    seen = [json.loads(line) for line in (dialogues / "train.jsonl").read_text(encoding="utf-8").splitlines()][:5]
    long = {"id": "long", "dialogue": LONG, "summary": "Ann agrees."}
    rows = write_jsonl(tmp_path / "rows.jsonl", [*seen, *unseen_rows(24), long])
    record = calibrate(adapter, str(rows))
    assert (record.calibration.n, record.left_out) == (24, 6)
    assert record.calibration == calibrate(adapter, str(trained / "unseen.jsonl")).calibration


def test_what_has_no_folder_of_its_own_is_refused(trained: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        calibrate("builtin:tiny", str(trained / "unseen.jsonl"))


def test_too_few_validation_dialogues_leave_no_file(adapter: Path) -> None:
    with pytest.raises(DataError, match="too few"):
        calibrate(adapter)  # the recipe's own validation split has 8
    assert not (adapter / CONFIDENCE_FILE).exists()


def test_every_answer_says_who_wrote_it_and_what_was_read(adapter: Path) -> None:
    summarizer = Summarizer(adapters=[adapter])
    texts = [DIALOGUES[0], LONG]
    found = answer(summarizer, texts)
    assert [one.summary for one in found] == summarizer.summarize(texts)
    for one in found:
        mark = one.generated_by
        assert mark.ai is True
        assert (mark.adapter, mark.base) == ("small", summarizer.base)
        assert mark.mark.startswith("AI-generated by peftsum ")
        assert f"adapter small on {summarizer.base}" in mark.mark
        assert mark.weights
        assert mark.base_revision
    assert found[0].read.read_tokens == found[0].read.source_tokens
    assert found[1].read.read_tokens < found[1].read.source_tokens
    bare = answer(summarizer, DIALOGUES, "__base__")[0]
    assert bare.adapter is None
    assert "untuned" in bare.generated_by.mark
    assert answer(summarizer, []) == []
