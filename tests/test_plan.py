"""`peftsum plan`, and what `train` does with its forecast: shown, recorded, and a refusal of what cannot fit."""

from __future__ import annotations

import importlib
import json
import shlex
from pathlib import Path

import pytest
from commands import run, write_recipe
from forking import Forker
from trainings import make_recipe

from peftsum import load_recipe, plan, train
from peftsum.artifacts import RUN_FILE, RunRecord, read_record
from peftsum.cost.forecast import Amount
from peftsum.cost.limits import free_ram_bytes, ram_bytes
from peftsum.exceptions import MisfitError
from peftsum.forecast.devices import find_target
from peftsum.forecast.plan import Plan, forecaster
from peftsum.forecast.text import amount_text

before = importlib.import_module("peftsum.forecast.before")


@pytest.fixture
def small(tmp_path: Path, byte_base: Path, dialogues: Path) -> Path:
    return write_recipe(tmp_path / "small.yaml", byte_base, dialogues)


@pytest.fixture
def large(tmp_path: Path, dialogues: Path) -> Path:
    """A recipe that takes some GB, for a base of which there is nothing but the configuration."""
    config = {
        "model_type": "t5",
        "vocab_size": 32128,
        "d_model": 768,
        "d_kv": 64,
        "d_ff": 2048,
        "num_layers": 6,
        "num_decoder_layers": 6,
        "num_heads": 12,
        "feed_forward_proj": "gated-gelu",
    }
    (tmp_path / "base").mkdir()
    (tmp_path / "base/config.json").write_text(json.dumps(config), encoding="utf-8")
    path = tmp_path / "large.yaml"
    path.write_text(
        f"name: large\nmodel: {{base: '{tmp_path / 'base'}'}}\ndata: {{source: '{dialogues}'}}\n"
        "method: {kind: full}\ntrain: {batch_tokens: 16384, eval_examples: 0}\n",
        encoding="utf-8",
    )
    return path


def test_a_plan_adds_up_and_is_for_the_device_asked(small: Path) -> None:
    made = plan(load_recipe(small), "t4")
    (device,) = made.devices
    forecast = device.forecast
    assert device.target.name == forecast.device == "t4"
    assert sum(item.amount.value for item in forecast.memory) == pytest.approx(forecast.peak_memory_bytes.value)
    assert {"context", "weights", "adapters"} <= {item.part for item in forecast.memory}
    assert forecast.steps == 2
    assert (device.verdict, device.changes, made.misfit) == ("fits", (), False)
    assert any("bf16" in note for note in device.notes)  # a T4 has none


def test_a_t5_of_the_hub_is_planned_from_its_name_alone(large: Path) -> None:
    recipe = load_recipe(large, ["model.base=google/flan-t5-small", "train.max_steps=3"])
    forecast = plan(recipe, "h100").devices[0].forecast
    weights = sum(item.amount.value for item in forecast.memory if item.part == "weights")
    assert weights == pytest.approx(4 * 76_961_152, rel=1e-5)  # that many it has on the Hub, in fp32, block by block
    assert forecast.wall_s is not None
    assert forecast.energy_j is not None


def test_without_data_every_batch_is_taken_to_be_full(large: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unread = run(capsys, "plan", large, "--set", "data.source=no/such-data", "--gpu", "h100", "--json")
    assert unread.code == 0, unread.err
    full = Plan.model_validate(json.loads(unread.out))
    assert "as long as the recipe allows" in full.workload
    assert full.devices[0].verdict == "fits"
    forecast = full.devices[0].forecast
    assert (forecast.steps, forecast.wall_s, forecast.energy_j) == (0, None, None)  # not known, and so not 0 s
    assert forecast.step_s is not None
    read = plan(load_recipe(large), "h100")
    assert "as long as the recipe allows" not in read.workload
    assert read.devices[0].forecast.steps > 0
    assert read.devices[0].forecast.peak_memory_bytes.value < full.devices[0].forecast.peak_memory_bytes.value


def test_what_does_not_fit_exits_with_3_and_says_what_would(large: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["plan", large, "--set", "data.source=no/such-data", "--gpu"]
    checkpointed = run(capsys, *asked, "t4", "--set", "train.gradient_checkpointing=true", "--json")
    peak = Plan.model_validate(json.loads(checkpointed.out)).devices[0].forecast.peak_memory_bytes
    size = f"{(peak.high + 1e6) / 2**30:.3f}GiB"
    shown = run(capsys, *asked, size, "--set", "model.precision=fp32")
    assert shown.code == 3, shown.out
    assert "does not fit" in shown.out
    assert "the cheapest first" in shown.out
    settings = next(line for line in shown.out.splitlines() if line.strip().startswith("--set"))
    assert "train.gradient_checkpointing=true" in settings
    changed = run(capsys, *asked, size, "--set", "model.precision=fp32", *shlex.split(settings))
    assert changed.code == 0, changed.out
    assert "fits" in changed.out


def test_several_devices_stand_side_by_side_and_one_that_fits_is_enough(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = run(capsys, "plan", small, "--gpu", "0.1GiB", "--gpu", "t4")
    assert shown.code == 0, shown.err
    rows = {line.split()[0]: line for line in shown.out.splitlines() if line.strip()}
    assert "does not fit" in rows["0.1GiB"]
    assert " fits " in rows["t4"]
    assert "no change of the recipe makes it fit 0.1GiB" in shown.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--gpu", "rtx4061"], ["rtx4061", "did you mean rtx4060"]),
        (["--set", "train.batchtokens=5"], ["batchtokens", "batch_tokens"]),
        (["--set", "data.source=nowhere.jsonl"], ["nowhere.jsonl"]),
        (["--set", "model.base=./nowhere"], ["./nowhere"]),
        (["--choose", "a b.yaml"], ["a b"]),
        (["--choose", "out.yaml", "--gpu", "t4", "--gpu", "l4"], ["one device"]),
    ],
)
def test_bad_input_is_two_lines_and_exits_with_2(
    arguments: list[str], words: list[str], small: Path, in_tmp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "plan", small, *arguments).assert_failed(2, *words)


def test_a_chosen_recipe_is_written_once_fits_and_trains(
    small: Path, in_tmp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = run(capsys, "plan", small, "--gpu", "8GB", "--choose", "mine.yaml", "--json")
    assert shown.code == 0, shown.err
    chosen = load_recipe("mine.yaml")
    assert chosen.name == "mine"
    assert Plan.model_validate(json.loads(shown.out)).recipe == chosen
    assert chosen.method.kind == "full"  # the base is small, so the best way of tuning it fits
    assert run(capsys, "train", "mine.yaml").code == 0
    written = Path("mine.yaml").read_bytes()
    run(capsys, "plan", small, "--gpu", "8GB", "--choose", "mine.yaml").assert_failed(2, "mine.yaml", "already")
    assert Path("mine.yaml").read_bytes() == written


def test_nothing_is_chosen_where_nothing_fits(small: Path, in_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "plan", small, "--gpu", "0.1GiB", "--choose", "mine.yaml").assert_failed(2, "0.1 GiB", "least")
    assert not Path("mine.yaml").exists()


def test_train_says_and_records_what_it_should_take(small: Path, forks: Forker, in_tmp: Path) -> None:
    # A process of its own: the peak of this one holds what other tests left in it.
    codes, said = forks.run(in_tmp, ["train", str(small)]), Path("errors-0").read_text("utf-8")
    assert codes == (0,), said
    assert "forecast for this machine: peak memory " in said
    record = read_record(Path("runs/small") / RUN_FILE, RunRecord)
    assert record.forecast is not None
    assert record.forecast.steps == record.steps
    assert record.train is not None
    peak = record.train.peak_memory_bytes.value
    assert peak is not None
    assert record.forecast.peak_memory_bytes.low / 2 < peak < record.forecast.peak_memory_bytes.high * 2


def test_a_dry_run_shows_the_forecast(small: Path, in_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = run(capsys, "train", small, "--dry-run")
    assert "by forecast; fits" in shown.out
    document = json.loads(run(capsys, "train", small, "--dry-run", "--json").out)
    assert document["forecast"]["peak_memory_bytes"]["value"] > 0
    assert not Path("runs").exists()


def test_the_refusal_names_the_cheapest_change_that_fits(large: Path) -> None:
    recipe = load_recipe(large)
    forecast_of = forecaster(find_target("t4"), None, "full batches")
    checkpointed = load_recipe(large, ["train.gradient_checkpointing=true"])
    enough = forecast_of(checkpointed).peak_memory_bytes.high
    target = find_target("t4").model_copy(update={"memory_bytes": int(enough) + 1})
    expected = before.Expected(forecast_of(recipe), target, forecast_of)
    with pytest.raises(MisfitError, match="at least") as refused:
        before.refuse_misfit(expected, recipe)
    assert "--set train.gradient_checkpointing=true takes" in refused.value.hint
    assert "--ignore-forecast" in refused.value.hint
    before.refuse_misfit(before.Expected(forecast_of(checkpointed), target, forecast_of), checkpointed)


def test_a_forecast_that_fails_stops_no_training(
    byte_base: Path,
    dialogues: Path,
    in_tmp: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: object, **__: object) -> object:
        raise RuntimeError("no such operation on fake tensors")

    monkeypatch.setattr(before, "forecaster", lambda *_, **__: broken)
    caplog.set_level("INFO", logger="peftsum")
    record = train(make_recipe(byte_base, dialogues))
    assert record.status == "done"
    assert record.forecast is None
    assert "no forecast: RuntimeError: no such operation on fake tensors" in caplog.text


def test_a_container_has_no_more_memory_than_its_limit(tmp_path: Path) -> None:
    whole = ram_bytes(tmp_path)
    assert 0 < free_ram_bytes(tmp_path) <= whole
    (tmp_path / "memory.max").write_text("max\n", encoding="utf-8")
    assert ram_bytes(tmp_path) == whole
    (tmp_path / "memory.max").write_text(f"{2**28}\n", encoding="utf-8")
    assert ram_bytes(tmp_path) == free_ram_bytes(tmp_path) == 2**28
    (tmp_path / "memory.max").unlink()
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory/memory.limit_in_bytes").write_text(f"{2**27}\n", encoding="utf-8")
    assert ram_bytes(tmp_path) == 2**27


def test_both_ends_of_an_energy_are_in_the_unit_of_the_value() -> None:
    energy = Amount(value=18_700, low=3_124, high=55_800, unit="J", source="a test")
    assert amount_text(energy) == "5.19 Wh (0.868 to 15.5 Wh)"
