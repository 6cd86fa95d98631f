"""Adapters added up: exact in weight space, whatever their ranks and layers, or cut to a rank with the error told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from trainings import LORA, make_recipe

from peftsum import Summarizer, combine, merge, train
from peftsum.adapters import read_adapter_record
from peftsum.cli import main
from peftsum.exceptions import AdapterError, UsageError
from peftsum.merge import merge_into_full_precision

COURSE: dict[str, Any] = {"learning_rate": 5e-2, "max_steps": 3, "eval_examples": 0}
WIDE = {**LORA, "rank": 4, "alpha": 4, "rslora": True, "targets": "attention"}
NARROW = {**LORA, "targets": ["q", "wo"]}


@pytest.fixture(scope="module")
def parts(byte_base: Path, dialogues: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two adapters of unlike ranks, scales and layers, one of a seed of its own, and a full fine-tune."""
    folder = tmp_path_factory.mktemp("parts")
    made: dict[str, Path] = {}
    ways = {"narrow": (NARROW, 13), "wide": (WIDE, 13), "other": (NARROW, 14), "whole": ({"kind": "full"}, 13)}
    for name, (method, seed) in ways.items():
        rate = {"learning_rate": 1e-2} if name == "whole" else {}
        recipe = make_recipe(byte_base, dialogues, name, method=method, train={**COURSE, **rate, "seed": seed})
        train(recipe, folder / "runs" / name, folder / name)
        made[name] = folder / ("runs/whole" if name == "whole" else name)
    made["base"] = byte_base
    return made


def whole_weights(adapter: Path, base: Path, out: Path) -> dict[str, torch.Tensor]:
    merge_into_full_precision(str(base), adapter, out, None)
    return load_file(out / "model.safetensors")


@pytest.mark.parametrize("weights", [[0.5, 0.5], [1.0, -0.7], [0.0, 2.0]])
def test_the_sum_is_exact_in_weight_space(weights: list[float], parts: dict[str, Path], in_tmp: Path) -> None:
    made = combine([parts["narrow"], parts["wide"]], "sum", weights=weights)
    assert made.exact
    assert made.relative_error == 0
    base = load_file(parts["base"] / "model.safetensors")
    one = whole_weights(parts["narrow"], parts["base"], in_tmp / "one")
    other = whole_weights(parts["wide"], parts["base"], in_tmp / "other")
    own = whole_weights(Path("sum"), parts["base"], in_tmp / "own")
    moved = 0
    for name, weight in base.items():
        expected = weight + weights[0] * (one[name] - weight) + weights[1] * (other[name] - weight)
        torch.testing.assert_close(own[name], expected, rtol=0, atol=2e-6)
        moved += not torch.equal(own[name], weight)
    assert moved > 10


def test_the_sum_is_a_peft_adapter_that_answers_in_the_bank_and_on_the_model(
    parts: dict[str, Path], in_tmp: Path
) -> None:
    made = combine([parts["narrow"], parts["wide"]], "sum")
    assert (made.rank, [p.weight for p in made.parts]) == (6, [0.5, 0.5])
    summarizer = Summarizer(adapters=["sum"])
    texts = ["Ann: Lunch at 3?\nBob: Yes, at the park."]
    banked = summarizer.summarize(texts)
    merged = merge("sum", "merged", data="builtin:dialogues", sample=1)  # attaches it to peft's model
    assert merged.max_logit_difference < 1e-4
    assert Summarizer("merged", precision="fp32").summarize(texts) == banked
    record = read_adapter_record(Path("sum"))
    assert record is not None
    assert [p.name for p in record.parts] == ["narrow", "wide"]
    assert record.trainable_params == sum(t.numel() for t in load_file("sum/adapter_model.safetensors").values())
    card = Path("sum/README.md").read_text(encoding="utf-8")
    assert "0.5 of `narrow` + 0.5 of `wide`" in card
    assert "peak rate" not in card


def test_a_smaller_rank_takes_the_nearest_update_and_says_what_it_leaves_out(
    parts: dict[str, Path], in_tmp: Path
) -> None:
    whole = combine([parts["narrow"], parts["other"]], "whole")
    cut = combine([parts["narrow"], parts["other"]], "cut", rank=2)
    assert (whole.rank, cut.rank, cut.exact) == (4, 2, False)
    base = load_file(parts["base"] / "model.safetensors")
    exact = whole_weights(Path("whole"), parts["base"], in_tmp / "m1")
    near = whole_weights(Path("cut"), parts["base"], in_tmp / "m2")
    left, all_of_it = 0.0, 0.0
    for name, weight in base.items():
        change = (exact[name] - weight).double()
        all_of_it += float(change.pow(2).sum())
        left += float((exact[name] - near[name]).double().pow(2).sum())
        if change.any():
            best = torch.linalg.svdvals(change)[2:].pow(2).sum()
            torch.testing.assert_close((exact[name] - near[name]).double().pow(2).sum(), best, rtol=1e-3, atol=1e-9)
    assert cut.relative_error == pytest.approx((left / all_of_it) ** 0.5, rel=1e-3)
    assert 0 < cut.relative_error < cut.worst_error < 1
    assert not combine([parts["narrow"], parts["other"]], "kept", rank=4).relative_error


def test_a_full_fine_tune_becomes_an_adapter_and_what_it_cannot_hold_is_told(
    parts: dict[str, Path], in_tmp: Path
) -> None:
    made = combine([parts["whole"]], "small", weights=[1.0], rank=32)  # every layer of the byte base has rank 32
    assert made.outside is not None
    assert 0 < made.outside < 1
    base = load_file(parts["base"] / "model.safetensors")
    tuned = load_file(parts["whole"] / "model" / "model.safetensors")
    own = whole_weights(Path("small"), parts["base"], in_tmp / "own")
    for name in base:
        held = name.endswith(".weight") and "layer_norm" not in name and "relative" not in name
        held = held and name not in {"shared.weight", "lm_head.weight"} and "embed_tokens" not in name
        torch.testing.assert_close(own[name], tuned[name] if held else base[name], rtol=0, atol=1e-5)
    with pytest.raises(UsageError, match="full rank"):
        combine([parts["whole"], parts["narrow"]], "out")
    assert combine([parts["whole"], parts["narrow"]], "both", rank=4).rank == 4


def test_what_cannot_be_added_is_refused_and_nothing_is_written(
    parts: dict[str, Path], byte_base: Path, dialogues: Path, in_tmp: Path
) -> None:
    for name, method, reason in (
        ("dora", {**LORA, "dora": True}, "DoRA scales each output anew"),
        ("ia3", {"kind": "ia3"}, "IA3 is no low-rank update"),
    ):
        train(make_recipe(byte_base, dialogues, name, method=method, train={**COURSE, "max_steps": 1}))
        with pytest.raises(AdapterError, match=reason):
            combine([parts["narrow"], f"adapters/{name}"], "out")
    with pytest.raises(UsageError, match="1 weights for 2 adapters"):
        combine([parts["narrow"], parts["wide"]], "out", weights=[1.0])
    with pytest.raises(UsageError, match="all 0"):
        combine([parts["narrow"], parts["wide"]], "out", weights=[0.0, 0.0])
    with pytest.raises(UsageError, match="all 0, or not numbers"):
        combine([parts["narrow"]], "out", weights=[float("nan")])
    with pytest.raises(AdapterError, match="builtin:tiny"):
        combine([parts["narrow"], Path(__file__).parents[1] / "adapters" / "tiny-topic"], "out")
    broken = in_tmp / "broken"
    broken.mkdir()
    (broken / "adapter_config.json").write_bytes((parts["narrow"] / "adapter_config.json").read_bytes())
    tensors = load_file(parts["narrow"] / "adapter_model.safetensors")
    save_file({name: tensor[:1] for name, tensor in tensors.items()}, broken / "adapter_model.safetensors")
    with pytest.raises(AdapterError, match="not"):
        combine([broken], "out", weights=[1.0], base=str(byte_base))
    assert not Path("out").exists()


def test_the_command_reads_numbers_after_weights(
    parts: dict[str, Path], in_tmp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    narrow, wide = str(parts["narrow"]), str(parts["wide"])
    for order in (
        ["--weights", "1", "-0.5", "--out", "a", narrow, wide],
        [narrow, wide, "--out", "b", "--weights=1", "-.5"],
    ):
        with pytest.raises(SystemExit) as ended:
            main(["merge", *order, "--json"])
        assert ended.value.code in (0, None)
        document = json.loads(capsys.readouterr().out)
        assert [part["weight"] for part in document["parts"]] == [1.0, -0.5]
    with pytest.raises(SystemExit) as ended:
        main(["merge", narrow, wide, "--out", "c", "--sample", "3"])
    assert ended.value.code == 2
    assert "--sample does not go with several adapters" in capsys.readouterr().err
