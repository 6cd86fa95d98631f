"""The adapter bank: rows of one batch by adapters of their own, as each adapter alone; and its memory comes back."""

from __future__ import annotations

import gc
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftConfig, PeftModel
from random_adapters import DORA, KINDS, write_adapters
from recorded_operations import record
from safetensors.torch import load_file

from peftsum import Summarizer, decoding
from peftsum.bank import AdapterBank, LayerFactors, not_stackable, read_factors
from peftsum.decoding import by_transformers, decode_ids, linear, loop, plan, state
from peftsum.exceptions import AdapterError, UsageError
from peftsum.model import load_base
from peftsum.recipe import Generation, Model

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folders(byte_base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Random adapters of unlike ranks, scales and layers, as peft saves them; and a DoRA."""
    return write_adapters(byte_base, tmp_path_factory.mktemp("bank"), {**KINDS, "dora": DORA})


@pytest.fixture
def net(byte_base: Path) -> Any:
    return load_base(Model(base=str(byte_base), precision="fp32"), frozen=True, device="cpu").model.eval()


def read(folder: Path, net: Any) -> dict[str, LayerFactors]:
    return read_factors(PeftConfig.from_pretrained(str(folder)), load_file(folder / "adapter_model.safetensors"), net)


def sources(count: int, seed: int) -> list[list[int]]:
    rng = random.Random(seed)
    return [[rng.randrange(3, 250) for _ in range(rng.randrange(2, 40))] + [1] for _ in range(count)]


def padded(self: plan.Plan, *args: Any, original: Any = plan.Plan.__init__, **kwargs: Any) -> None:
    """Make a plan as on a GPU: adapters mixed in the encoder, too, in padded batches."""
    original(self, *args, **kwargs)
    self.flat = False


@pytest.mark.parametrize("way", ["beside", "merged", "padded", "recorded"])
@pytest.mark.parametrize("beams", [1, 3])
def test_mixed_rows_equal_each_adapter_alone_by_peft(
    beams: int, way: str, folders: dict[str, Path], net: Any, byte_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the encoder, each adapter's update beside the base's products, or merged into packed weights for its rows.

    Padded and recorded are as on a GPU: adapters mixed in the encoder, too, and steps recorded with them.
    """
    monkeypatch.setattr(linear, "MERGE_POSITIONS", 1 if way == "merged" else 10**9)
    monkeypatch.setattr(loop, "MANY_TOKENS", 0 if way == "merged" else 10**9)
    if way == "merged":
        monkeypatch.setattr(linear, "LARGE", 0)  # the last rows read weights as they came, too
    if way == "recorded":
        monkeypatch.setattr(state, "recorder", lambda device: record)
    if way in {"padded", "recorded"}:
        monkeypatch.setattr(plan.Plan, "__init__", padded)
    bank = AdapterBank(CPU)
    for name in KINDS:
        bank.add(name, read(folders[name], net))
    texts = sources(30, 1)
    rng = random.Random(2)
    names = [rng.choice([*KINDS, None]) for _ in texts]
    generation = Generation(max_new_tokens=10, num_beams=beams)
    factors, slots = bank.stacked(names)
    found = [d.ids for d in decode_ids(net, texts, generation, factors=factors, slots=slots, batch_tokens=200)]
    outputs = set()
    for name in [*KINDS, None]:
        fresh = load_base(Model(base=str(byte_base), precision="fp32"), frozen=True, device="cpu").model.eval()
        alone = PeftModel.from_pretrained(fresh, str(folders[name])).eval() if name else fresh
        rows = [i for i, one in enumerate(names) if one == name]
        with torch.inference_mode():
            expected = by_transformers.run(alone, [texts[i] for i in rows], generation, 500, scored=False)
        assert [found[i] for i in rows] == [d.ids for d in expected]
        outputs.add(str([d.ids for d in by_transformers.run(alone, texts[:3], generation, 500, scored=False)]))
    assert len(outputs) == len(KINDS) + 1  # adapters that change nothing would prove nothing


@pytest.mark.parametrize(
    ("names", "most_bytes", "rows"),
    [(["wide"], 1 << 30, 4), ([None], 1 << 30, 4), (["wide", "thin"], 1 << 30, 8), (["wide", "thin"], 1, 4)],
)
def test_a_mix_goes_side_by_side_in_greater_numbers_where_the_caches_are_small(
    names: list[str | None],
    most_bytes: int,
    rows: int,
    folders: dict[str, Path],
    net: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decoding, "DECODE_TOKENS", 4 * 20)
    monkeypatch.setattr(decoding, "MIXED_TOKENS", 8 * 20)
    monkeypatch.setattr(decoding, "MIXED_BYTES", most_bytes)
    side_by_side = []
    step = state.DecoderState.step

    def counted(self: state.DecoderState, *args: Any) -> torch.Tensor:
        side_by_side.append(len(self))
        return step(self, *args)

    monkeypatch.setattr(state.DecoderState, "step", counted)
    bank = AdapterBank(CPU)
    for name in ("wide", "thin"):
        bank.add(name, read(folders[name], net))
    factors, slots = bank.stacked(names * (16 // len(names)))
    decode_ids(net, [[5] * 19 + [1]] * 16, Generation(max_new_tokens=4), factors=factors, slots=slots)
    assert max(side_by_side) == rows


@pytest.mark.parametrize("way", ["beside", "merged", "packed"])
def test_one_adapter_of_the_bank_equals_peft(
    way: str, folders: dict[str, Path], net: Any, byte_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "MANY_TOKENS", 0 if way == "packed" else 10**9)
    monkeypatch.setattr(plan, "SMALL_WEIGHTS", 1 << 30 if way == "merged" else 0)
    bank = AdapterBank(CPU)
    for name in ("thin", "wide"):
        bank.add(name, read(folders[name], net))
    texts, generation = sources(9, 4), Generation(max_new_tokens=9)
    factors, slots = bank.stacked(["wide"] * 9)
    assert slots == [0] * 9
    fresh = load_base(Model(base=str(byte_base), precision="fp32"), frozen=True, device="cpu").model
    with torch.inference_mode():
        peft = PeftModel.from_pretrained(fresh, str(folders["wide"])).eval()
        expected = by_transformers.run(peft, texts, generation, 500, scored=False)
    assert decode_ids(net, texts, generation, factors=factors, slots=slots) == expected


def test_adapters_that_leave_the_encoder_alone_share_its_states(folders: dict[str, Path], net: Any) -> None:
    bank = AdapterBank(CPU)
    bank.add("late", read(folders["late"], net))
    bank.add("wide", read(folders["wide"], net))
    assert not bank.stacked(["late", None])[0].touches("encoder.")
    assert bank.stacked(["late", "wide"])[0].touches("encoder.")


def test_a_thousand_swaps_under_a_budget_give_all_memory_back(folders: dict[str, Path], net: Any) -> None:
    factors = {name: read(folder, net) for name, folder in folders.items() if name != "dora"}
    bank = AdapterBank(CPU, max_bytes=150_000)
    rng = random.Random(3)
    gc.collect()
    before = _living_bytes()
    recent: list[str] = []
    left = 0
    for i in range(1000):
        name = f"{rng.choice(list(factors))}-{i % 12}"
        if name in bank:
            bank.slot(name)
        else:
            left += len(bank.add(name, factors[name.split("-")[0]]))
        recent = [*(other for other in recent if other != name), name]
        assert bank.nbytes <= 150_000
        assert bank.names == [other for other in recent if other in bank]  # least recently used first
    assert left > 100
    _check_contents(bank, factors)
    for name in list(bank.names):
        bank.remove(name)
    assert bank.nbytes == 0
    gc.collect()
    assert _living_bytes() == before


def test_slots_are_kept_right_through_removals(folders: dict[str, Path], net: Any) -> None:
    factors = {name: read(folder, net) for name, folder in folders.items() if name != "dora"}
    bank, rng = AdapterBank(CPU), random.Random(8)
    for i in range(120):
        if len(bank) and rng.random() < 0.45:
            bank.remove(rng.choice(bank.names))
        else:
            kind = rng.choice(list(factors))
            bank.add(f"{kind}-{i % 20}", factors[kind])
        _check_contents(bank, factors)


def test_sixty_four_adapters_take_little_more_than_their_own_bytes(net: Any, folders: dict[str, Path]) -> None:
    factors = read(folders["wide"], net)
    own = sum(f.down.nbytes + f.up.nbytes for f in factors.values())
    bank = AdapterBank(CPU)
    for i in range(64):
        bank.add(str(i), factors)
        assert bank.nbytes <= 1.2 * own * (i + 1) + own
    assert bank.nbytes <= 1.13 * 64 * own


def test_a_bank_too_small_for_one_adapter_says_so_and_stays(folders: dict[str, Path], net: Any) -> None:
    thin, wide = read(folders["thin"], net), read(folders["wide"], net)
    bank = AdapterBank(CPU, max_bytes=20_000)
    bank.add("thin", thin)
    held = bank.nbytes
    with pytest.raises(UsageError, match="bytes in the bank"):
        bank.add("wide", wide)
    with pytest.raises(UsageError, match="bytes in the bank"):
        bank.add("thin", wide)
    assert (bank.names, bank.nbytes) == (["thin"], held)


def test_what_cannot_be_stacked_says_why(folders: dict[str, Path]) -> None:
    assert "DoRA" in (not_stackable(PeftConfig.from_pretrained(str(folders["dora"]))) or "")
    assert "biases" in (not_stackable(LoraConfig(bias="all")) or "")
    assert "whole layers" in (not_stackable(LoraConfig(modules_to_save=["lm_head"])) or "")
    assert not_stackable(PeftConfig.from_pretrained(str(folders["uneven"]))) is None


def test_factors_of_another_shape_are_refused(folders: dict[str, Path], net: Any) -> None:
    tensors = load_file(folders["thin"] / "adapter_model.safetensors")
    config = PeftConfig.from_pretrained(str(folders["thin"]))
    config.r = 3
    with pytest.raises(AdapterError, match=r"not \(3, 32\)"):
        read_factors(config, tensors, net)
    config.r, config.target_modules = 2, {"q"}
    with pytest.raises(AdapterError, match="no counterpart"):
        read_factors(config, tensors, net)


def test_the_summarizer_mixes_adapters_row_by_row(
    folders: dict[str, Path], byte_base: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Unlike ranks, the bare base and a DoRA, which takes its turn peft's own way and is said to."""
    dialogues = [f"Ann: Lunch at {i}?\n" + "Bob: Yes.\n" * (i % 5) for i in range(14)]
    names = [["wide", "thin", "dora", "__base__", "root"][i % 5] for i in range(14)]
    generation = Generation(max_new_tokens=8)
    summarizer = Summarizer(str(byte_base), list(folders.values()), precision="fp32")
    with caplog.at_level("INFO", "peftsum"):
        summarizer.summarize(dialogues[:2], "dora", generation=generation)
        assert "cannot share a batch" not in caplog.text  # nothing wants to share one
        mixed = summarizer.summarize(dialogues, names, generation=generation)
        summarizer.summarize(dialogues[:3], names[:3], generation=generation)
    assert caplog.text.count("dora cannot share a batch") == 1
    for name in set(names):
        rows = [i for i, one in enumerate(names) if one == name]
        alone = Summarizer(str(byte_base), [folders[name]] if name in folders else [], precision="fp32")
        expected = alone.summarize([dialogues[i] for i in rows], generation=generation)
        assert [mixed[i] for i in rows] == expected
    with pytest.raises(UsageError, match="2 adapters for 14"):
        summarizer.summarize(dialogues, ["wide", "thin"])


def test_adapters_that_left_come_back_when_asked_for(folders: dict[str, Path], byte_base: Path) -> None:
    dialogues, generation = ["Ann: Lunch?\nBob: Yes."] * 3, Generation(max_new_tokens=6)
    names = ["wide", "thin", "root"]
    all_there = Summarizer(str(byte_base), [folders[name] for name in names], precision="fp32")
    small = Summarizer(
        str(byte_base),
        [folders[name] for name in names],
        precision="fp32",
        adapter_bytes=all_there._resident.bank.nbytes * 2 // 3,
    )
    assert len(small._resident.bank) < 3
    assert small.adapters == names
    for _ in range(2):
        assert small.summarize(dialogues, names, generation=generation) == all_there.summarize(
            dialogues, names, generation=generation
        )


def _check_contents(bank: AdapterBank, factors: dict[str, dict[str, LayerFactors]]) -> None:
    for name in bank.names:
        held, expected = bank.layers_of(name), factors[name.split("-")[0]]
        assert held.keys() == expected.keys()
        for layer, f in expected.items():
            assert torch.equal(held[layer].down, f.down)
            assert torch.equal(held[layer].up, f.up)


def _living_bytes() -> int:
    """Return the bytes of all tensors there are."""
    found = {}
    for thing in gc.get_objects():
        if isinstance(thing, torch.Tensor):
            storage = thing.untyped_storage()
            found[storage.data_ptr()] = storage.nbytes()
    return sum(found.values())


@pytest.mark.parametrize("beams", [1, 2])
def test_an_8_bit_base_mixes_too(beams: int) -> None:
    """Beside the base's 8-bit layers the updates are the same; peft's own way on the same base is the measure.

    On trained weights: 8-bit layers round their inputs, and what differs in the last digits may then differ in the
    third, which changes words that random weights find equally likely.
    """
    root = Path(__file__).resolve().parents[1] / "adapters"
    summarizer = Summarizer(adapters=[root / "tiny-summary", root / "tiny-topic"], quantize="int8", precision="fp32")
    rows = [["tiny-summary", "tiny-topic"][i % 2] for i in range(6)]
    dialogues = [
        f"Ann: Can we have lunch at {i + 1}?\n" + "Bob: Yes, I will be at the park.\n" * (i % 3 + 1) for i in range(6)
    ]
    generation = Generation(max_new_tokens=10, num_beams=beams)
    mixed = summarizer.summarize(dialogues, rows, generation=generation)
    model: Any = summarizer.model
    for text, dialogue, name in zip(mixed, dialogues, rows, strict=True):
        with torch.inference_mode(), summarizer._resident.active(name):
            alone = by_transformers.run(model, summarizer.encode([dialogue], name), generation, 500, scored=False)
        assert text == summarizer.tokenizer.decode(alone[0].ids, skip_special_tokens=True).strip()
    assert len(set(mixed)) > 2


def test_bf16_mixes_and_keeps_most_words(folders: dict[str, Path], byte_base: Path) -> None:
    dialogues = [f"Ann: Lunch at {i}?\nBob: Yes, at the park." for i in range(12)]
    rows = [["wide", "thin", "root"][i % 3] for i in range(12)]
    paths = [folders[name] for name in ("wide", "thin", "root")]
    found = {
        precision: Summarizer(str(byte_base), paths, precision=precision).summarize(
            dialogues, rows, generation=Generation(max_new_tokens=3)
        )
        for precision in ("fp32", "bf16")
    }
    same = sum(a == b for a, b in zip(found["fp32"], found["bf16"], strict=True))
    assert same >= 6  # bf16 rounds to 8 bits, and random words are near each other


def test_bf16_rows_are_as_likely_as_by_their_adapter_alone(folders: dict[str, Path], byte_base: Path) -> None:
    """The first word of a mixed row, judged by peft's bf16 model with that adapter, and by those with the others."""
    net = load_base(Model(base=str(byte_base), precision="bf16"), frozen=True, device="cpu").model.eval()
    names, bank = ["wide", "thin", "root"], AdapterBank(CPU)
    for name in names:
        config = PeftConfig.from_pretrained(str(folders[name]))
        tensors = load_file(folders[name] / "adapter_model.safetensors")
        bank.add(name, read_factors(config, tensors, net, torch.bfloat16))
    texts = sources(12, 7)
    factors, slots = bank.stacked([names[i % 3] for i in range(12)])
    found = decode_ids(net, texts, Generation(max_new_tokens=1), factors=factors, slots=slots, scored=True)
    away = torch.zeros(3, 12)  # nats between the loop and peft, by adapter and row
    for number, name in enumerate(names):
        fresh = load_base(Model(base=str(byte_base), precision="bf16"), frozen=True, device="cpu").model.eval()
        alone = PeftModel.from_pretrained(fresh, str(folders[name])).eval()
        for row, (text, decoded) in enumerate(zip(texts, found, strict=True)):
            with torch.inference_mode():
                logits = alone(input_ids=torch.tensor([text]), decoder_input_ids=torch.tensor([[0]])).logits[0, 0]
            assert decoded.log_likelihoods is not None
            expected = torch.log_softmax(logits.float(), -1)[decoded.ids[0]]
            away[number, row] = abs(float(expected) - decoded.log_likelihoods[0])
    own = torch.stack([away[i % 3, i] for i in range(12)])
    others = torch.stack([(away[:, i].sum() - own[i]) / 2 for i in range(12)])
    assert float(own.mean()) < 0.25 * float(others.mean())
