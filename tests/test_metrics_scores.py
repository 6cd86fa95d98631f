"""The registry, the per-example statistics, the report and its JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from peftsum.exceptions import DataError, UnknownNameError, UsageError
from peftsum.metrics import METRICS, aggregate, example_statistics, score_texts
from peftsum.metrics.rouge import rouge_statistics
from peftsum.metrics.scores import ScoreReport
from peftsum.version import __version__

PREDICTIONS = [
    "Tom asks Ann to water the plants while he is away.",
    "Tom asks Ann to water the plants while he is away.",
    "They talk.",
    "",
]
REFERENCES = [
    ["Ann will water the plants while Tom is travelling.", "Tom goes away and asks Ann for help with his plants."],
    ["Maria books a table at the restaurant for Friday evening.", "Maria wants to eat out on Friday."],
    ["They talk about the meeting.", "They talk."],
    ["Nobody knows where the keys are.", "The keys are lost."],
]
FIRSTS = [row[:1] for row in REFERENCES]

# One row a registered metric: columns it must give, and one value worked out by hand for the texts above, mode "first".
METRIC_ROWS = {
    "rouge": ("rouge1_f", [None, None, 2 * 2 / (2 + 5), 0.0]),
    "heuristics": ("heuristic_length", [0.0, 0.0, 1.0, 1.0]),
    "lengths": ("prediction_words", [11.0, 11.0, 2.0, 0.0]),
}


def test_every_metric_has_a_row() -> None:
    assert set(METRIC_ROWS) == set(METRICS)


@pytest.mark.parametrize("name", METRIC_ROWS)
def test_metric(name: str) -> None:
    column, expected = METRIC_ROWS[name]
    statistics = METRICS[name](PREDICTIONS, FIRSTS, "first")
    assert all(values.shape == (4,) and values.dtype == np.float64 for values in statistics.values())
    for value, wanted in zip(statistics[column], expected, strict=True):
        assert wanted is None or value == pytest.approx(wanted, rel=1e-15)


@pytest.mark.parametrize("name", METRIC_ROWS)
def test_metric_scores_each_dialogue_alone(name: str) -> None:
    forward = METRICS[name](PREDICTIONS[1:], REFERENCES[1:], "mean")
    backward = METRICS[name](PREDICTIONS[:0:-1], REFERENCES[:0:-1], "mean")
    for column, values in forward.items():
        np.testing.assert_array_equal(values, backward[column][::-1])


def test_unknown_metric_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError) as caught:
        METRICS["rogue"]
    assert "rouge" in caught.value.hint


def test_statistics_hold_every_metric() -> None:
    statistics = example_statistics(PREDICTIONS, REFERENCES, "mean")
    expected = {column for metric in METRICS.values() for column in metric(PREDICTIONS, REFERENCES, "mean")}
    assert set(statistics) == expected
    assert {"rougeLsum_f", "heuristic_focus", "prediction_words", "reference_words"} <= expected


def test_lengths_follow_the_mode() -> None:
    columns = {mode: METRICS["lengths"](["a"], [["b c", "d e f g"]], mode) for mode in ("first", "mean", "max")}
    assert [columns[mode]["reference_words"].tolist() for mode in ("first", "mean", "max")] == [[2.0], [3.0], [3.0]]


def test_length_summary() -> None:
    lengths = score_texts(PREDICTIONS, FIRSTS).lengths
    assert lengths.prediction_words_mean == 6.0
    assert lengths.prediction_words_median == 6.5
    assert lengths.reference_words_mean == 7.5
    assert lengths.ratio == 6.0 / 7.5
    assert lengths.empty_share == 0.25
    assert lengths.distinct_share == 0.75
    assert lengths.distinct_bigrams_share == 1.0


def test_a_looping_summary_shows() -> None:
    assert score_texts(["so it so it so it"], [["x"]]).lengths.distinct_bigrams_share == 2 / 5


def test_ratio_to_empty_references_is_unmeasured() -> None:
    assert score_texts(["a", "b"], [[""], [""]]).lengths.ratio is None


def test_report_is_the_mean_of_the_statistics() -> None:
    statistics = example_statistics(PREDICTIONS, REFERENCES, "max")
    report = aggregate(statistics, references="max")
    for kind in ("rouge1", "rouge2", "rougeL", "rougeLsum"):
        score = getattr(report, kind)
        assert score.f == pytest.approx(statistics[f"{kind}_f"].mean(), rel=1e-15)
        assert score.low <= score.f <= score.high
    for name, rate in report.error_rates.items():
        assert rate.rate == statistics[name].mean()
        assert rate.low <= rate.rate <= rate.high
    assert report == score_texts(PREDICTIONS, REFERENCES, mode="max")


def test_a_slice_can_be_aggregated() -> None:
    statistics = example_statistics(PREDICTIONS, REFERENCES, "first")
    part = {name: column[:2] for name, column in statistics.items()}
    report, alone = aggregate(part, references="first"), score_texts(PREDICTIONS[:2], REFERENCES[:2], mode="first")
    assert report == alone
    assert report.n == 2


def test_further_error_columns_get_a_rate() -> None:
    statistics = example_statistics(PREDICTIONS, FIRSTS, "first") | {"error_negation": np.array([1.0, 0, 0, 0])}
    assert aggregate(statistics, references="first").error_rates["error_negation"].rate == 0.25


def test_default_mode_depends_on_the_references() -> None:
    assert score_texts(PREDICTIONS, FIRSTS).references == "first"
    assert score_texts(PREDICTIONS, REFERENCES).references == "mean"
    assert score_texts(PREDICTIONS, [*FIRSTS[:3], REFERENCES[3]]).references == "mean"
    assert score_texts(PREDICTIONS, REFERENCES, mode="first").references == "first"


def test_modes_order() -> None:
    first, mean, best = (score_texts(PREDICTIONS, REFERENCES, mode=mode) for mode in ("first", "mean", "max"))
    assert first.rouge1.f != mean.rouge1.f
    assert best.rouge1.f > max(first.rouge1.f, mean.rouge1.f)
    for name in best.error_rates:
        assert best.error_rates[name].rate <= mean.error_rates[name].rate


def test_references_of_a_dialogue_count_once() -> None:
    assert score_texts(PREDICTIONS, REFERENCES).n == 4
    repeated = [row * 50 for row in FIRSTS]  # 50 equal references are no more evidence than one
    narrow, plain = score_texts(PREDICTIONS, repeated), score_texts(PREDICTIONS, FIRSTS)
    for end in ("f", "low", "high"):
        assert getattr(narrow.rouge1, end) == pytest.approx(getattr(plain.rouge1, end), rel=1e-12)


def test_seed_decides_the_intervals_alone() -> None:
    reports = [score_texts(PREDICTIONS, REFERENCES, seed=seed, resamples=50) for seed in (1, 1, 2)]
    assert reports[0] == reports[1]
    assert reports[0].rouge1.f == reports[2].rouge1.f
    assert (reports[0].rouge1.low, reports[0].rouge1.high) != (reports[2].rouge1.low, reports[2].rouge1.high)


def test_error_rates_of_none_and_all_are_not_certain() -> None:
    good = score_texts(["Tom will water the plants."] * 10, [["Tom will water the plants."]] * 10)
    focus = good.error_rates["heuristic_focus"]
    assert (focus.rate, focus.low) == (0.0, 0.0)
    assert focus.high == pytest.approx(0.308, abs=5e-4)  # Clopper-Pearson, 0 of 10
    bad = score_texts([""] * 10, [["Tom will water the plants."]] * 10).error_rates["heuristic_focus"]
    assert (bad.rate, bad.high) == (1.0, 1.0)
    assert bad.low == pytest.approx(0.692, abs=5e-4)


def test_one_dialogue_is_scored_with_the_widest_interval() -> None:
    report = score_texts(["the cat sat"], [["the cat"]])
    assert report.n == 1
    assert report.rouge1.f == pytest.approx(0.8)
    assert (report.rouge1.low, report.rouge1.high) == (0.0, 1.0)


def test_signature() -> None:
    signature = score_texts(PREDICTIONS, REFERENCES, seed=7, resamples=20).signature
    assert signature == f"rouge_score:0.1.2|stem:yes|refs:mean|bootstrap:20|level:0.95|seed:7|peftsum:{__version__}"


def test_json_shape_and_full_precision() -> None:
    report = score_texts(PREDICTIONS, REFERENCES)
    document = json.loads(json.dumps(report.model_dump(mode="json")))
    rouges = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    assert list(document) == [*rouges, "references", "n", "signature", "error_rates", "lengths", "further"]
    statistics = example_statistics(PREDICTIONS, REFERENCES, "mean")
    for kind in rouges:
        assert set(document[kind]) == {"f", "low", "high"}
        assert document[kind]["f"] == getattr(report, kind).f  # to the last bit, not rounded
        assert document[kind]["f"] == pytest.approx(statistics[f"{kind}_f"].mean(), rel=1e-15)
    assert set(document["error_rates"]) == {
        "heuristic_length",
        "heuristic_hallucination",
        "heuristic_missing_key_info",
        "heuristic_focus",
    }
    assert all(set(rate) == {"rate", "low", "high"} for rate in document["error_rates"].values())
    assert (document["references"], document["n"]) == ("mean", 4)
    assert ScoreReport.model_validate(document) == report


@pytest.mark.parametrize(
    ("predictions", "references", "message"),
    [
        ([], [], "nothing to score"),
        (["a"], [["a"], ["b"]], "1 predictions but 2 rows"),
        (["a", "b"], [["a"], []], "row 2: no reference"),
        (["a"], ["bare text"], "row 1: the references are one bare text"),
        (["a", None], [["a"], ["b"]], "row 2: the prediction is NoneType"),
        (["a"], [["a", None]], "row 1: a reference is NoneType"),
    ],
)
def test_unusable_texts_are_errors_with_a_remedy(predictions: Any, references: Any, message: str) -> None:
    for act in (example_statistics, score_texts):
        with pytest.raises(DataError, match=message) as caught:
            act(predictions, references)
        assert caught.value.hint


def test_unusable_arguments_are_errors_with_a_remedy() -> None:
    with pytest.raises(UsageError, match="median") as caught:
        score_texts(["a"], [["a"]], mode="median")  # type: ignore[arg-type]
    assert "mean" in caught.value.hint
    with pytest.raises(UsageError, match="resamples"):
        score_texts(["a"], [["a"]], resamples=0)
    with pytest.raises(DataError, match="unequal length"):
        aggregate({"rouge1_f": np.zeros(2), "rouge2_f": np.zeros(3)}, references="first")
    empty = rouge_statistics([], [], "first")
    with pytest.raises(DataError, match="no dialogues"):
        aggregate(empty, references="first")


def test_import_is_cheap() -> None:
    code = (
        "import sys, peftsum.metrics as m; print([x for x in ('numpy','rouge_score','evaluate') if x in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_columns_of_added_metrics_get_mean_and_interval_and_others_are_not_repeated() -> None:
    statistics = example_statistics(["Ann waits.", "Bob is late."], [["Ann waits."], ["Bob came late."]])
    assert aggregate(statistics, references="first").further == {}
    added = statistics | {"grade": np.array([6.0, 10.0]), "error_odd": np.array([0.0, 1.0])}
    report = aggregate(added, references="first")
    assert list(report.further) == ["grade"]
    grade = report.further["grade"]
    assert (grade.mean, grade.low, grade.high) == (8.0, 6.0, 10.0)
    assert report.error_rates["error_odd"].rate == 0.5


def test_one_dialogue_tells_a_mean_and_no_interval() -> None:
    statistics = example_statistics(["Ann waits."], [["Ann waits."]]) | {"grade": np.array([6.0])}
    assert aggregate(statistics, references="first").further["grade"].model_dump() == {
        "mean": 6.0,
        "low": None,
        "high": None,
    }
