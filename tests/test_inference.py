"""What summaries cost in each arrangement: measured on the built-in base, kept, and measured again when it must be."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from comparisons import lora, untuned

import peftsum.inference as module
from peftsum.compare import Entry, _common_cost, _with_inference
from peftsum.compare import compare as compare_targets
from peftsum.cost.inference import Arrangement, InferenceCost
from peftsum.cost.section import Cost
from peftsum.exceptions import AdapterError, ModelError, UnknownNameError
from peftsum.inference import INFERENCE_FILE, Asked, arrangements, inference_costs, measure_arrangement
from peftsum.prompts import Prompt
from peftsum.recipe import Generation
from peftsum.recipe_file import parse_recipe
from peftsum.targets import resolve_target

ADAPTER = str(Path(__file__).parent.parent / "adapters" / "tiny-summary")
DIALOGUES = (
    "Ann: Lunch at one?\nBob: Yes, at Joe's.",
    "Eve: The parcel is late.\nMax: I will call them on Monday.\nEve: Thank you.",
)


def asked(**changes: Any) -> Asked:
    fields: dict[str, Any] = {
        "target": ADAPTER,
        "dialogues": DIALOGUES,
        "prompt": Prompt(),
        "generation": Generation(max_new_tokens=8),
        "max_source_tokens": 256,
        "cost": Cost(),
    }
    return Asked(**{**fields, **changes})


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two short passes, in this process."""

    def here(title: str, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    monkeypatch.setattr(module, "run_apart", here)
    monkeypatch.setattr(module, "WINDOW_S", 0.0)
    monkeypatch.setattr(module, "PASSES", 2)


@pytest.mark.usefixtures("quick")
def test_each_arrangement_of_an_adapter_is_measured_with_its_weights() -> None:
    found = {name: measure_arrangement(asked(), name) for name in ("unmerged", "merged", "unmerged_int8")}
    for cost in found.values():
        assert cost.summaries == 2 * len(DIALOGUES)
        assert len(cost.pass_s) == 2
        assert cost.readings is not None
        assert cost.wall_s.value is not None
        assert cost.energy_j.value is not None
        assert cost.wall_s.ends[0] <= cost.wall_s.value <= cost.wall_s.ends[1]
        # the passes are the window, but for the meters' own steps
        assert sum(cost.pass_s) == pytest.approx(cost.readings.wall_s.value, rel=0.2, abs=0.05)
        assert cost.short
        if cost.readings.energy_j.estimated:
            assert sum(cost.pass_j) == pytest.approx(cost.readings.energy_j.value, rel=0.2, abs=0.5)
    weights = {name: cost.weights_bytes or 0 for name, cost in found.items()}
    assert weights["unmerged_int8"] < weights["merged"] < weights["unmerged"]  # the adapter's own are in the last


@pytest.mark.usefixtures("quick")
def test_costs_are_kept_until_something_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[Arrangement] = []

    def counted(what: Asked, arrangement: Arrangement) -> InferenceCost:
        measured.append(arrangement)
        return InferenceCost(arrangement=arrangement, reason="not here")

    monkeypatch.setattr(module, "measure_arrangement", counted)
    first = inference_costs(asked(), tmp_path)
    assert measured == ["unmerged", "merged", "unmerged_int8", "merged_int8"]
    assert inference_costs(asked(), tmp_path) == first
    assert len(measured) == 4
    for change in (
        {"dialogues": DIALOGUES[:1]},
        {"generation": Generation(max_new_tokens=9)},
        {"target": "builtin:tiny"},
    ):
        before = len(measured)
        inference_costs(asked(**change), tmp_path)
        assert len(measured) > before
    (tmp_path / INFERENCE_FILE).write_text("{")
    before = len(measured)
    inference_costs(asked(), tmp_path)
    assert len(measured) == before + 4
    inference_costs(asked(cost=Cost(region="DE")), tmp_path)  # a place changes nothing that is measured
    assert len(measured) == before + 4


def test_a_whole_model_is_held_in_two_ways() -> None:
    assert arrangements(resolve_target("builtin:tiny")) == ["plain", "plain_int8"]


def test_what_the_device_cannot_quantize_has_a_reason_and_other_failures_are_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: Any) -> Any:
        raise ModelError("no 8-bit kernels here", hint="take full precision")

    monkeypatch.setattr(module, "_measured", broken)
    cost = measure_arrangement(asked(), "merged_int8")
    assert cost.readings is None
    assert "no 8-bit kernels here" in (cost.reason or "")
    with pytest.raises(ModelError):
        measure_arrangement(asked(), "merged")


def test_a_missing_adapter_is_an_error_and_not_a_reason(tmp_path: Path) -> None:
    with pytest.raises((AdapterError, ModelError)):
        inference_costs(asked(target=str(tmp_path / "none")), tmp_path)


# In a comparison -----------------------------------------------------------------------------------------------------


def test_a_wrong_pair_of_axes_fails_before_anything_is_trained(tmp_path: Path) -> None:
    recipe = Path(__file__).parent.parent / "recipes" / "tiny" / "lora.yaml"
    with pytest.raises(UnknownNameError):
        compare_targets([recipe], runs_dir=tmp_path / "runs", adapters_dir=tmp_path / "adapters", pairs=["rougeL,wall"])
    assert not list(tmp_path.iterdir())


def test_all_systems_are_counted_at_one_place_and_overrides_reach_finished_runs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def entry(name: str, cost: str) -> Entry:
        recipe = parse_recipe(f"name: {name}\nmethod: {{kind: lora}}\ncost: {cost}\n")
        return Entry(name, recipe, Path(name), None, trainable=False)

    here, there = entry("here", "{region: DE, energy: false}"), entry("there", "{region: FR}")
    with caplog.at_level("WARNING"):
        assert _common_cost([here, there], ()).region == "DE"
    assert "all are counted by those of here" in caplog.text
    caplog.clear()
    with caplog.at_level("WARNING"):
        assert _common_cost([here, there], ("cost.region=SE", "train.epochs=2")).region == "SE"
    assert not caplog.text  # what was read may differ, the place may not


@pytest.mark.usefixtures("quick")
def test_a_system_gets_its_costs_from_its_own_run_or_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Asked] = []

    def noted(what: Asked, folder: Path) -> list[InferenceCost]:
        seen.append(what)
        return [InferenceCost(arrangement="merged", reason="not here")]

    # by its module: `peftsum.compare` is the function
    monkeypatch.setattr(sys.modules[Entry.__module__], "inference_costs", noted)
    recipe = parse_recipe("name: one\nmethod: {kind: lora}\n")
    entries = [Entry("one", recipe, tmp_path / "one", None, trainable=True)]
    for system, target in ((lora(system="one"), str(tmp_path / "one")), (untuned(), "builtin:tiny")):
        made = _with_inference(system, tmp_path, entries, DIALOGUES)
        assert [cost.reason for cost in made.inference] == ["not here"]
        assert (seen[-1].target, seen[-1].generation) == (target, recipe.generation)
