"""Training: what changes, what is kept, what is written, and what stops it."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from trainings import (
    LORA,
    TUNINGS,
    adapter_weights,
    at_step,
    attached,
    fitting,
    make_recipe,
    metrics,
    same_weights,
    scripted_validation,
    snapshot,
    train_module,
    watch_fit,
    weights_of,
)

from peftsum import train
from peftsum.artifacts import RUN_FILE, RunRecord, read_record
from peftsum.batching import collate
from peftsum.checkpoints import Position, list_checkpoints
from peftsum.exceptions import RecipeError, TrainingError
from peftsum.methods import METHODS
from peftsum.metrics.selection import selectable_scores
from peftsum.optimization import summed_loss
from peftsum.storing import Store
from peftsum.training_model import checkpoint_gradients
from peftsum.validation import mean_loss

RUN, ADAPTER = Path("runs/run"), Path("adapters/run")


def test_every_method_has_a_row_here() -> None:
    assert {tuning["method"]["kind"] for tuning in TUNINGS.values()} == set(METHODS)


@pytest.mark.parametrize("tuning", TUNINGS)
def test_loss_falls_and_only_what_the_method_trains_changes(
    tuning: str, byte_base: Path, dialogues: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sections = TUNINGS[tuning]
    course = {**sections.get("train", {}), "max_steps": 16, "eval_every": 4, "schedule": "constant"}
    recipe = make_recipe(byte_base, dialogues, **{**sections, "train": course})
    seen = watch_fit(monkeypatch)
    record = train(recipe)
    losses = [row["val_loss"] for row in metrics(RUN) if "val_loss" in row]
    assert len(losses) == 4
    assert losses[-1] < losses[0]
    changed = {name for name in seen.after if not torch.equal(seen.before[name], seen.after[name])}
    assert changed == seen.trained  # every trained tensor moved, and no other did, to the last bit
    assert record.trainable_params == sum(seen.after[name].numel() for name in seen.trained)
    assert seen.trained == set(seen.after) if tuning == "full" else len(seen.trained) < len(seen.after)


def test_the_first_loss_is_that_of_the_base(byte_base: Path, dialogues: Path, in_tmp: Path) -> None:
    """A LoRA starts as the base itself, and dropout is off under a frozen base."""
    recipe = make_recipe(byte_base, dialogues, train={"max_steps": 1})
    model, base, prepared = attached(recipe)
    expected = mean_loss(model, base.tokenizer.pad_token_id, [prepared.examples[i] for i in prepared.steps[0][0]], 512)
    train(recipe)
    assert metrics(RUN)[0]["loss"] == pytest.approx(expected, rel=1e-5)


def test_padding_does_not_count(byte_base: Path, dialogues: Path) -> None:
    """The loss of a padded batch is the sum of its examples' own losses."""
    model, base, prepared = attached(make_recipe(byte_base, dialogues))
    examples = sorted(prepared.examples, key=lambda e: (len(e.source), len(e.target)))
    chosen = [examples[0], examples[len(examples) // 2], examples[-1]]
    assert len({len(e.source) for e in chosen}) == len({len(e.target) for e in chosen}) == 3

    def loss(batch: list[Any]) -> torch.Tensor:
        tensors = collate(batch, base.tokenizer.pad_token_id)
        labels = tensors.pop("labels")
        return summed_loss(model.eval()(**tensors, use_cache=False).logits, labels)

    together, apart = loss(chosen), sum(loss([e]) for e in chosen)
    assert together.item() == pytest.approx(apart.item(), rel=1e-5)
    pad = base.tokenizer.pad_token_id
    alone = mean_loss(model, pad, chosen, 1)
    assert mean_loss(model, pad, chosen, 100_000) == pytest.approx(alone, rel=1e-5)


@pytest.mark.parametrize("method", [{"kind": "full"}, LORA], ids=["full", "lora"])
def test_accumulated_halves_give_the_gradient_of_the_whole_batch(
    method: dict[str, Any], byte_base: Path, dialogues: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Halves of unlike token counts: each target token weighs the same, in whichever batch it stands."""
    settings = {"max_grad_norm": None, "eval_examples": 0, "schedule": "constant", "max_steps": 1}
    recipe = make_recipe(byte_base, dialogues, method=method, train=settings)

    def sgd(parameters: Any, *_: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD([p for _, p in parameters if p.requires_grad], lr=1.0)  # the step is the gradient

    monkeypatch.setattr(fitting, "build_optimizer", sgd)
    gradients = []
    for number, step in enumerate(([[0, 1, 2, 3, 4]], [[0], [1, 2, 3, 4]])):
        model, base, prepared = attached(recipe)
        before = snapshot(model)
        (tmp_path / str(number)).mkdir()
        prepared.__dict__["steps"] = [step]  # in place of the cached plan
        fitting.fit(model, base, prepared, tmp_path / str(number))
        gradients.append({name: before[name] - now for name, now in snapshot(model).items()})
    whole, halves = gradients
    assert any(g.abs().max() > 1e-4 for g in whole.values())
    for name, gradient in whole.items():
        torch.testing.assert_close(halves[name], gradient, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("method", [{"kind": "full"}, LORA], ids=["full", "lora"])
def test_gradient_checkpointing_gives_the_same_gradients(
    method: dict[str, Any], byte_base: Path, dialogues: Path
) -> None:
    found = []
    for checkpointing in (False, True):
        model, base, prepared = attached(make_recipe(byte_base, dialogues, method=method))
        if checkpointing:
            checkpoint_gradients(model)
        model.train()
        tensors = collate(prepared.examples[:4], base.tokenizer.pad_token_id)
        labels = tensors.pop("labels")
        summed_loss(model(**tensors, use_cache=False).logits, labels).backward()
        found.append({n: p.grad for n, p in model.named_parameters() if p.requires_grad})
    plain, checkpointed = found
    assert all(g is not None for g in plain.values())
    for name, gradient in plain.items():
        torch.testing.assert_close(checkpointed[name], gradient)


def test_a_run_with_gradient_checkpointing_validates_and_ends_alike(
    byte_base: Path, dialogues: Path, in_tmp: Path
) -> None:
    for name, checkpointing in (("plain", False), ("checkpointed", True)):
        settings = {"gradient_checkpointing": checkpointing}
        train(make_recipe(byte_base, dialogues, name, train=settings))
    plain, checkpointed = (adapter_weights(Path("adapters") / name) for name in ("plain", "checkpointed"))
    for name, weight in plain.items():
        torch.testing.assert_close(checkpointed[name], weight, rtol=1e-4, atol=1e-5)


def test_metrics_rows_are_whole_and_in_order(byte_base: Path, dialogues: Path, in_tmp: Path) -> None:
    train(make_recipe(byte_base, dialogues, train={"max_steps": 21, "eval_every": 7}))
    rows = metrics(RUN)
    assert [row["step"] for row in rows] == sorted(row["step"] for row in rows)
    assert [row["wall_s"] for row in rows] == sorted(row["wall_s"] for row in rows)
    training = [row for row in rows if "loss" in row]
    assert [row["step"] for row in training] == [10, 20, 21]
    assert all(row.keys() == {"step", "wall_s", "loss", "learning_rate", "grad_norm"} for row in training)
    checks = [row for row in rows if "val_loss" in row]
    assert [row["step"] for row in checks] == [7, 14, 21]
    figures = {f"val_{score}" for score in selectable_scores()}
    assert all(row.keys() == {"step", "wall_s"} | figures for row in checks)
    assert all(math.isfinite(value) for row in rows for value in row.values())


@pytest.mark.parametrize("method", [{"kind": "full"}, LORA], ids=["full", "lora"])
def test_patience_stops_and_the_best_weights_are_the_ones_saved(
    method: dict[str, Any], byte_base: Path, dialogues: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = make_recipe(byte_base, dialogues, method=method, train={"max_steps": 20, "eval_every": 1, "patience": 2})
    scripted_validation(monkeypatch, [3.0, 2.0, 2.5, 2.0, 1.0])  # an equal one is not better
    kept: list[dict[str, torch.Tensor]] = []
    real = Store.save_best

    def save_best(store: Store, position: Position) -> None:
        kept.append({n: w for n, w in snapshot(store.model).items() if store.model.get_parameter(n).requires_grad})
        real(store, position)

    monkeypatch.setattr(Store, "save_best", save_best)
    record = train(recipe)
    assert (record.steps, record.best_step, record.validation["val_loss"]) == (4, 2, 2.0)
    assert len(kept) == 2
    saved = weights_of(RUN, ADAPTER)
    of_best = {name.replace(".default", ""): weight for name, weight in kept[-1].items()}
    assert all(torch.equal(saved[name], weight) for name, weight in of_best.items())
    assert not all(torch.equal(saved[name.replace(".default", "")], weight) for name, weight in kept[0].items())


@pytest.mark.parametrize(
    ("score", "values", "best", "steps"),
    [
        ("rouge2", [0.1, 0.3, 0.2, 0.2, 0.9], 2, 4),
        ("rougeLsum", [0.3, 0.3, 0.3, 0.3, 0.3], 3, 5),  # among equal ones the loss, of which the third is the lowest
        ("heuristic_focus", [0.5, 0.25, 0.5, 0.75, 0.0], 2, 4),
        ("heuristic_length", [0.0, 0.0, 0.0, 0.5, 0.5], 3, 5),
    ],
)
def test_the_weights_kept_and_the_patience_go_by_the_score_that_the_recipe_selects_by(
    score: str,
    values: list[float],
    best: int,
    steps: int,
    byte_base: Path,
    dialogues: Path,
    in_tmp: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = {"max_steps": 5, "eval_every": 1, "patience": 2, "select_by": score}
    scripted_validation(monkeypatch, [3.0, 2.5, 1.0, 1.5, 1.5], **{score: values})
    record = train(make_recipe(byte_base, dialogues, train=settings))
    assert (record.best_step, record.steps) == (best, steps)
    assert record.validation[f"val_{score}"] == values[best - 1]


def test_a_training_is_selected_by_an_error_rate_of_its_own_summaries(
    byte_base: Path, dialogues: Path, in_tmp: Path
) -> None:
    settings = {"max_steps": 6, "eval_every": 2, "select_by": "heuristic_missing_key_info"}
    record = train(make_recipe(byte_base, dialogues, train=settings))
    rows = [row for row in metrics(RUN) if "val_loss" in row]
    best = min(rows, key=lambda row: (row["val_heuristic_missing_key_info"], row["val_loss"]))
    assert record.best_step == best["step"]
    assert record.validation == {name: value for name, value in best.items() if name.startswith("val_")}


def test_checkpoints_are_bounded(byte_base: Path, dialogues: Path, in_tmp: Path) -> None:
    settings = {"max_steps": 6, "checkpoint_every": 1, "keep_checkpoints": 3, "eval_examples": 0}
    train(make_recipe(byte_base, dialogues, train=settings))
    assert [path.name for path in list_checkpoints(RUN)] == ["step-0000004", "step-0000005", "step-0000006"]
    assert not list(RUN.rglob(".*.tmp"))


def breaking(monkeypatch: pytest.MonkeyPatch, model: list[Any], *, frozen: bool) -> None:
    """Put an infinity into a weight once the checkpoint of step 2 is written."""
    real = Store.save_checkpoint

    def save_checkpoint(store: Store, position: Position, keep: int) -> None:
        real(store, position, keep)
        if position.step == 2:
            weight = next(p for p in store.model.parameters() if p.requires_grad is not frozen)
            weight.data.view(-1)[0] = math.inf
        model.append(position.step)

    monkeypatch.setattr(Store, "save_checkpoint", save_checkpoint)


@pytest.mark.parametrize("frozen", [True, False], ids=["base", "adapter"])
def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(
    frozen: bool, byte_base: Path, dialogues: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaking(monkeypatch, saved := [], frozen=frozen)
    recipe = make_recipe(byte_base, dialogues, train={"max_steps": 8, "checkpoint_every": 1, "eval_examples": 0})
    with pytest.raises(TrainingError, match=r"at step 3; .*step-0000002") as caught:
        train(recipe)
    assert "learning_rate" in caught.value.hint
    assert saved == [1, 2]
    record = read_record(RUN / RUN_FILE, RunRecord)
    assert (record.status, record.steps) == ("failed", 2)
    assert record.train is not None
    assert not ADAPTER.exists()
    newest = torch.load(list_checkpoints(RUN)[-1] / "state.pt", weights_only=True)
    assert newest["position"]["step"] == 2


def test_an_absurd_rate_saves_nothing_that_is_not_finite(byte_base: Path, dialogues: Path, in_tmp: Path) -> None:
    """One step from finite weights with a finite gradient can leave the range; the very last step is no exception."""
    absurd = {"learning_rate": 1e30, "weight_decay": 1e10, "max_steps": 1, "eval_examples": 0}
    recipe = make_recipe(byte_base, dialogues, train=absurd)
    with pytest.raises(TrainingError, match="no checkpoint yet"):
        train(recipe)
    assert not ADAPTER.exists()
    assert not list_checkpoints(RUN)


def test_a_validation_loss_that_is_not_finite_is_never_the_best(
    byte_base: Path, dialogues: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted_validation(monkeypatch, [3.0, math.nan])
    with pytest.raises(TrainingError, match="validation loss is nan at step 4"):
        train(make_recipe(byte_base, dialogues, train={"max_steps": 8}))
    assert [row["val_loss"] for row in metrics(RUN) if "val_loss" in row] == [3.0]
    assert [path.name for path in list_checkpoints(RUN)] == ["step-0000002"]


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()], ids=["cuda", "cpu"])
def test_a_lack_of_memory_says_what_to_lower(
    error: Exception, byte_base: Path, dialogues: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise error

    with (
        at_step(monkeypatch, 1, fail),
        pytest.raises(TrainingError, match="not enough memory") as caught,
    ):
        train(make_recipe(byte_base, dialogues))
    assert "train.batch_tokens" in caught.value.hint
    assert read_record(RUN / RUN_FILE, RunRecord).status == "failed"


@pytest.mark.parametrize("tuning", ["full", "lora", "lora-int8"])
def test_fp16_is_never_used(tuning: str, byte_base: Path, dialogues: Path, in_tmp: Path) -> None:
    types: set[torch.dtype] = set()

    def note(module: torch.nn.Module, inputs: Any, output: Any) -> None:
        types.update(t.dtype for t in (output, *inputs) if isinstance(t, torch.Tensor) and t.is_floating_point())

    sections = {**TUNINGS[tuning], "model": {**TUNINGS[tuning].get("model", {}), "precision": "bf16"}}
    hook = torch.nn.modules.module.register_module_forward_hook(note)
    try:
        train(make_recipe(byte_base, dialogues, **sections))
    finally:
        hook.remove()
    assert torch.bfloat16 in types  # the arithmetic asked for
    assert torch.float16 not in types


def test_the_precision_of_one_training_does_not_reach_into_the_next(
    byte_base: Path, dialogues: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accelerate keeps its state for the life of the process."""
    modes = []
    real = fitting._accelerator

    def noted(*arguments: Any) -> Any:
        modes.append((accelerator := real(*arguments)).mixed_precision)
        return accelerator

    monkeypatch.setattr(fitting, "_accelerator", noted)
    full = TUNINGS["full"]
    train(make_recipe(byte_base, dialogues, "one", **full, model={"precision": "bf16"}))
    train(make_recipe(byte_base, dialogues, "two", **full, model={"precision": "fp32"}))
    assert modes == ["bf16", "no"]


def test_the_same_recipe_gives_the_same_weights(byte_base: Path, dialogues: Path, in_tmp: Path) -> None:
    """The default precision too, with dropout and sampled validation summaries."""
    sections = {
        "model": {"precision": "auto"},
        "train": {"dropout": 0.1},
        "generation": {"do_sample": True},
    }
    for name in ("one", "two"):
        train(make_recipe(byte_base, dialogues, name, **sections))
    assert same_weights(adapter_weights(Path("adapters/one")), adapter_weights(Path("adapters/two")))


def test_costs_of_a_training_are_read(byte_base: Path, dialogues: Path, in_tmp: Path) -> None:
    record = train(make_recipe(byte_base, dialogues))
    costs = record.train
    assert costs is not None
    assert costs.wall_s.value > 0
    assert costs.peak_memory_bytes.value > 50e6  # the process holds torch, at the least
    assert costs.energy_j.value is not None or costs.energy_j.reason
    assert costs.memory_parts["gradients"] == costs.memory_parts["adapters"] == 4 * record.trainable_params
    assert costs.memory_parts["optimizer"] >= 2 * costs.memory_parts["adapters"]  # two moments of each weight
    assert record.load is not None
    assert record.load.wall_s.value > 0
    assert record.load.memory_parts == {name: costs.memory_parts[name] for name in ("weights", "adapters")}
    assert read_record(RUN / RUN_FILE, RunRecord) == record


def test_tensorboard_gets_the_figures_through_accelerate(byte_base: Path, dialogues: Path, in_tmp: Path) -> None:
    pytest.importorskip("tensorboard")
    train(make_recipe(byte_base, dialogues, train={"trackers": ["tensorboard"]}))
    events = list(RUN.rglob("events.out.tfevents*"))
    content = b"".join(path.read_bytes() for path in events)
    assert b"val_rougeL" in content
    assert b"grad_norm" in content


def test_trackers_are_closed_when_a_run_is_stopped(
    byte_base: Path, dialogues: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = []
    real = fitting._accelerator

    def tracked(*arguments: Any) -> Any:
        accelerator = real(*arguments)
        accelerator.trackers.append(SimpleNamespace(finish=lambda: ended.append(True)))
        return accelerator

    monkeypatch.setattr(fitting, "_accelerator", tracked)
    scripted_validation(monkeypatch, [math.nan])
    with pytest.raises(TrainingError):
        train(make_recipe(byte_base, dialogues))
    assert ended == [True]


@pytest.mark.parametrize("tuning", ["full", "lora", "lora-int8"])
def test_a_training_prints_its_own_lines_and_no_library_s(
    tuning: str,
    byte_base: Path,
    dialogues: Path,
    in_tmp: Path,
    capfd: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
) -> None:
    course = {**TUNINGS[tuning].get("train", {}), "gradient_checkpointing": True, "max_steps": 2}
    train(make_recipe(byte_base, dialogues, **{**TUNINGS[tuning], "train": course}))
    shown = [str(w.message) for w in recwarn if issubclass(w.category, FutureWarning | UserWarning)]
    assert shown == []
    out, err = capfd.readouterr()
    assert out == ""
    assert all(line.startswith("training run: ") for line in err.splitlines())


def test_an_unknown_tracker_is_refused_before_weights_load(
    byte_base: Path, dialogues: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_module, "load_base", lambda *_: pytest.fail("weights were loaded"))
    with pytest.raises(RecipeError, match="no tracker named 'tensorbord'") as caught:
        train(make_recipe(byte_base, dialogues, train={"trackers": ["tensorbord"]}))
    assert "tensorboard" in caught.value.hint
    assert not RUN.exists()


def test_layers_that_the_base_lacks_are_refused(byte_base: Path, dialogues: Path, in_tmp: Path) -> None:
    """Peft passes over a name that is not there as long as another one is."""
    with pytest.raises(RecipeError, match="no layer named 'wi_2'") as caught:
        train(make_recipe(byte_base, dialogues, method={**LORA, "targets": ["q", "wi_2"]}))
    assert "wi_" in caught.value.hint
    train(make_recipe(byte_base, dialogues, method={**LORA, "targets": ["EncDecAttention.q", "v"]}))
