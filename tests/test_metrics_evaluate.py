"""The ``evaluate`` modules, with sockets disabled as in all tests."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import evaluate
import pytest
import pytest_socket

import peftsum.metrics
from peftsum.exceptions import DataError
from peftsum.metrics import score_texts
from peftsum.metrics.evaluate_modules import PeftsumErrorHeuristics, PeftsumRouge
from peftsum.metrics.heuristics import HEURISTICS
from peftsum.metrics.rouge import ROUGE_TYPES

PREDICTIONS = ["Tom asks Ann to water the plants.", "They talk about dinner."]
SINGLE = ["Ann will water the plants for Tom.", "Maria books a restaurant."]
SEVERAL = [[SINGLE[0], "Tom wants help with his plants."], [SINGLE[1], "They talk about dinner on Friday."]]
FOLDER = Path(peftsum.metrics.__file__).parent
MODULES = [(PeftsumRouge, "peftsum_rouge.py"), (PeftsumErrorHeuristics, "peftsum_error_heuristics.py")]


@pytest.fixture(scope="module")
def module_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder where evaluate.load may put the copies it imports."""
    folder = tmp_path_factory.mktemp("modules")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate.config, "HF_MODULES_CACHE", folder)
        patch.setattr(sys, "path", list(sys.path))
        yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "evaluate_modules"]:
        del sys.modules[name]


def as_values(report: Any) -> dict[str, float]:
    flat: dict[str, float] = {}
    for kind in ROUGE_TYPES:
        score = getattr(report, kind)
        flat |= {kind: score.f, f"{kind}_low": score.low, f"{kind}_high": score.high}
    for name, rate in report.error_rates.items():
        flat |= {name: rate.rate, f"{name}_low": rate.low, f"{name}_high": rate.high}
    return flat


def test_sockets_are_disabled() -> None:
    with pytest.raises(pytest_socket.SocketBlockedError), pytest.warns(UserWarning, match="socket"):
        socket.socket(socket.AF_INET)


@pytest.mark.parametrize("references", [SINGLE, SEVERAL, [SINGLE[0], SEVERAL[1]], [SEVERAL[0], SINGLE[1]]])
@pytest.mark.parametrize("module", [PeftsumRouge, PeftsumErrorHeuristics])
def test_compute_gives_the_numbers_of_score_texts(module: Any, references: Any, tmp_path: Path) -> None:
    result = module(cache_dir=str(tmp_path)).compute(predictions=PREDICTIONS, references=references)
    rows = [[row] if isinstance(row, str) else row for row in references]
    report = score_texts(PREDICTIONS, rows)
    assert result.pop("signature", report.signature) == report.signature
    names = ROUGE_TYPES if module is PeftsumRouge else HEURISTICS
    assert set(result) == {name + end for name in names for end in ("", "_low", "_high")}
    everything = as_values(report)
    assert result == {name: everything[name] for name in result}


def test_options_reach_the_scorer(tmp_path: Path) -> None:
    result = PeftsumRouge(cache_dir=str(tmp_path)).compute(
        predictions=PREDICTIONS, references=SEVERAL, mode="max", seed=3, resamples=40
    )
    report = score_texts(PREDICTIONS, SEVERAL, mode="max", seed=3, resamples=40)
    assert (result["rouge1"], result["rouge1_low"], result["signature"]) == (
        report.rouge1.f,
        report.rouge1.low,
        report.signature,
    )


@pytest.mark.parametrize("module", [PeftsumRouge, PeftsumErrorHeuristics])
def test_batches_and_single_rows_add_up(module: Any, tmp_path: Path) -> None:
    metric = module(cache_dir=str(tmp_path))
    metric.add_batch(predictions=PREDICTIONS[:1], references=SEVERAL[:1])
    metric.add_batch(predictions=PREDICTIONS[1:], references=SINGLE[1:])
    metric.add(prediction="They meet.", reference="They meet at noon.")
    metric.add(predictions="They meet.", references=["They meet at noon."])
    predictions = [*PREDICTIONS, "They meet.", "They meet."]
    references = [SEVERAL[0], [SINGLE[1]], ["They meet at noon."], ["They meet at noon."]]
    result = metric.compute()
    assert result == module(cache_dir=str(tmp_path)).compute(predictions=predictions, references=references)


def test_without_aggregator_a_value_a_prediction(tmp_path: Path) -> None:
    result = PeftsumRouge(cache_dir=str(tmp_path)).compute(
        predictions=["the cat", "dog"], references=["the cat", "cats"], use_aggregator=False
    )
    assert result == {"rouge1": [1, 0], "rouge2": [1, 0], "rougeL": [1, 0], "rougeLsum": [1, 0]}


def test_nothing_to_score_is_our_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing to score"):
        PeftsumRouge(cache_dir=str(tmp_path)).compute(predictions=[], references=[])


@pytest.mark.parametrize(("module", "file"), MODULES)
def test_evaluate_load_takes_the_file_offline(module: Any, file: str, module_cache: Path, tmp_path: Path) -> None:
    metric = evaluate.load(str(FOLDER / file), cache_dir=str(tmp_path))
    assert type(metric) is module
    result = metric.compute(predictions=PREDICTIONS, references=SEVERAL)
    assert result == module(cache_dir=str(tmp_path)).compute(predictions=PREDICTIONS, references=SEVERAL)


def test_modules_combine(tmp_path: Path) -> None:
    both = evaluate.combine([PeftsumRouge(cache_dir=str(tmp_path)), PeftsumErrorHeuristics(cache_dir=str(tmp_path))])
    result = both.compute(predictions=PREDICTIONS, references=SINGLE)
    assert {"rouge1", "heuristic_length", "signature"} <= set(result)
