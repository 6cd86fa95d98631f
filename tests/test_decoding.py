"""The decode loop writes what transformers' ``generate`` writes, token for token, in fp32."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import IA3Config, LoraConfig, get_peft_model
from torch import nn

from peftsum.decoding import Decoded, ahead, by_transformers, decode_ids, encoder, loop, plan, why_not
from peftsum.model import load_base
from peftsum.recipe import Generation, Model

SETTINGS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "greedy-rules": {"no_repeat_ngram_size": 2, "min_new_tokens": 4, "repetition_penalty": 1.4},
    "two": {"num_beams": 2},
    "three-rules": {"num_beams": 3, "no_repeat_ngram_size": 3, "min_new_tokens": 5, "repetition_penalty": 0.8},
    "four-early": {"num_beams": 4, "early_stopping": True, "length_penalty": 0.6},
    "four-never": {"num_beams": 4, "early_stopping": "never", "length_penalty": 2.0},
    "two-short": {"num_beams": 2, "length_penalty": -1.0, "no_repeat_ngram_size": 1},
}


@pytest.fixture(scope="module")
def model(byte_base: Path) -> Any:
    """A random T5 that often ends a summary: else all would have the same length, and no row would ever leave."""
    base = load_base(Model(base=str(byte_base), precision="fp32"), frozen=True, device="cpu")
    return _eager_to_end(base.model)


def _eager_to_end(net: Any) -> Any:
    """Make the next word depend on what was read and written, and the end be it one time in ten or so."""
    torch.manual_seed(4)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if parameter.dim() == 2 and "embed" not in name and "shared" not in name:
                parameter.copy_(torch.randn_like(parameter) * 1.7 / parameter.shape[1] ** 0.5)
        net.lm_head.weight[1] *= 2.5
    return net.eval()


def dialogues(count: int, seed: int, longest: int = 60) -> list[list[int]]:
    """Return random sources of very unlike lengths, each with its end token."""
    rng = random.Random(seed)
    return [[rng.randrange(3, 250) for _ in range(rng.randrange(1, longest))] + [1] for _ in range(count)]


def reference(model: Any, sources: list[list[int]], generation: Generation, batch_tokens: int = 300) -> list[list[int]]:
    """Return what ``generate`` writes."""
    with torch.inference_mode():
        return [d.ids for d in by_transformers.run(model, sources, generation, batch_tokens, scored=False)]


def ids(decoded: list[Decoded]) -> list[list[int]]:
    return [d.ids for d in decoded]


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
@pytest.mark.parametrize("name", SETTINGS)
def test_the_loop_writes_what_generate_writes(
    name: str, packed: bool, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "MANY_TOKENS", 0 if packed else 10**9)
    lengths = set()
    for seed in range(3):
        sources = dialogues(24, seed)
        generation = Generation(max_new_tokens=14, **SETTINGS[name])
        expected = reference(model, sources, generation)
        assert ids(decode_ids(model, sources, generation, batch_tokens=300)) == expected
        lengths |= {len(row) for row in expected}
    assert len(lengths) >= 3  # rows left at unlike times


@pytest.mark.parametrize("seed", range(6))
def test_random_settings_and_batch_sizes_change_no_token(seed: int, model: Any) -> None:
    rng = random.Random(seed)
    beams = rng.randrange(1, 5)
    generation = Generation(
        max_new_tokens=rng.randrange(1, 20),
        num_beams=beams,
        length_penalty=rng.choice([0.0, 0.5, 1.0, 1.7]),
        no_repeat_ngram_size=rng.randrange(4),
        early_stopping=rng.choice([True, False, "never"]),
    )
    sources = dialogues(17, 100 + seed, longest=90)
    expected = reference(model, sources, generation)
    for batch_tokens in (1, 90, 10_000):
        assert ids(decode_ids(model, sources, generation, batch_tokens=batch_tokens)) == expected


def test_the_structure_of_older_t5_is_run_too() -> None:
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(1)
    config = T5Config(
        vocab_size=260, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, decoder_start_token_id=0
    )  # relu, one input projection, tied and scaled
    older = _eager_to_end(T5ForConditionalGeneration(config))
    assert why_not(older) is None
    for generation in (Generation(max_new_tokens=9), Generation(max_new_tokens=9, num_beams=3)):
        sources = dialogues(10, 3)
        assert ids(decode_ids(older, sources, generation)) == reference(older, sources, generation)


@pytest.mark.parametrize("way", ["beside", "merged", "packed"])
@pytest.mark.parametrize(
    "config",
    [
        LoraConfig(r=4, lora_alpha=24, target_modules="all-linear", init_lora_weights=False),
        LoraConfig(r=4, target_modules=["q", "wo"], use_rslora=True, init_lora_weights=False),
        LoraConfig(r=4, target_modules=["q", "v"], use_dora=True, init_lora_weights=False),
        IA3Config(target_modules=["k", "wo"], feedforward_modules=["wo"], init_ia3_weights=False),
    ],
    ids=["lora", "rslora", "dora", "ia3"],
)
def test_an_active_adapter_is_run_whatever_its_kind(
    config: Any, way: str, byte_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "MANY_TOKENS", 0 if way == "packed" else 10**9)
    monkeypatch.setattr(plan, "SMALL_WEIGHTS", 1 << 30 if way == "merged" else 0)
    base = load_base(Model(base=str(byte_base), precision="fp32"), frozen=True, device="cpu")
    net = _eager_to_end(base.model)
    sources = dialogues(9, 8)
    bare = reference(net, sources, Generation(max_new_tokens=10))
    config.task_type = "SEQ_2_SEQ_LM"
    tuned = get_peft_model(net, config).eval()
    for generation in (Generation(max_new_tokens=10), Generation(max_new_tokens=10, num_beams=2)):
        expected = reference(tuned, sources, generation)
        assert ids(decode_ids(tuned, sources, generation)) == expected
    assert reference(tuned, sources, Generation(max_new_tokens=10)) != bare
    with tuned.disable_adapter():
        assert ids(decode_ids(tuned, sources, Generation(max_new_tokens=10))) == bare


def test_an_adapter_of_lower_precision_than_its_base_is_merged(byte_base: Path) -> None:
    net = _eager_to_end(load_base(Model(base=str(byte_base), precision="fp32"), frozen=True, device="cpu").model)
    config = LoraConfig(r=4, lora_alpha=24, target_modules="all-linear", init_lora_weights=False)
    tuned = get_peft_model(net, config).eval()
    factors = [p for name, p in tuned.named_parameters() if "lora_" in name]
    found = []
    for dtype in (torch.bfloat16, torch.float32):  # the same numbers in both
        for factor in factors:
            factor.data = factor.data.to(dtype)
        found.append(ids(decode_ids(tuned, dialogues(5, 8), Generation(max_new_tokens=10))))
    assert found[0] == found[1]


def test_attention_source_by_source_is_that_of_a_masked_batch(model: Any) -> None:
    """GPUs take the one way, CPUs the other."""
    sources = dialogues(7, 12)
    made, found = plan.Plan(model), []
    for flat in (True, False):
        made.flat = flat
        with torch.inference_mode():
            found.append(encoder.Encoder(made, 60)(sources, [0] * len(sources)))
    for source, one_by_one, masked in zip(sources, *found, strict=True):
        assert one_by_one.shape == masked.shape == (len(source), made.config.d_model)
        assert torch.allclose(one_by_one, masked, atol=1e-4)
    assert not torch.allclose(found[0][0][:1], found[0][1][:1], atol=1e-2)


def test_log_likelihoods_are_the_models_own(model: Any) -> None:
    sources = dialogues(7, 5)
    for generation in (Generation(max_new_tokens=8), Generation(max_new_tokens=8, num_beams=3, no_repeat_ngram_size=2)):
        for source, decoded in zip(sources, decode_ids(model, sources, generation, scored=True), strict=True):
            written = torch.tensor([[0, *decoded.ids[:-1]]])
            logits = model(input_ids=torch.tensor([source]), decoder_input_ids=written).logits[0]
            expected = torch.log_softmax(logits, -1).gather(1, torch.tensor(decoded.ids)[:, None])[:, 0]
            assert decoded.log_likelihoods is not None
            assert torch.allclose(torch.tensor(decoded.log_likelihoods), expected, atol=1e-4)


@pytest.mark.parametrize("beams", [1, 2])
def test_forced_lengths_are_kept(beams: int, model: Any) -> None:
    sources, ends = dialogues(12, 6), [i % 7 + 1 for i in range(12)]
    found = decode_ids(model, sources, Generation(max_new_tokens=9, num_beams=beams), ends=ends)
    assert [len(d.ids) for d in found] == ends
    assert all(d.ids[-1] == 1 and 1 not in d.ids[:-1] for d in found)


def test_sampling_follows_the_models_distribution(model: Any) -> None:
    source = dialogues(1, 11)[0]
    generation = Generation(max_new_tokens=1, do_sample=True, top_k=0, temperature=1.5)
    found = decode_ids(model, [source] * 4000, generation)
    counts = torch.bincount(torch.tensor([d.ids[0] for d in found]), minlength=259) / 4000
    logits = model(input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([[0]])).logits[0, 0]
    expected = torch.softmax(logits / 1.5, -1)
    assert float((counts - expected).abs().sum()) < 0.25  # total variation of 4 000 draws from 259 words: about 0.1
    narrow = decode_ids(model, [source] * 300, generation.model_copy(update={"top_k": 3}))
    assert {d.ids[0] for d in narrow} == set(logits.topk(3)[1].tolist())
    likeliest = decode_ids(model, [source] * 20, generation.model_copy(update={"top_p": 1e-6}))
    assert {d.ids[0] for d in likeliest} == {int(logits.argmax())}


def test_what_the_loop_cannot_run_goes_to_generate(model: Any, byte_base: Path) -> None:
    assert why_not(nn.Linear(2, 2)) is not None if hasattr(nn.Linear(2, 2), "config") else True
    sampled_beams = Generation(max_new_tokens=4, num_beams=2, do_sample=True)
    assert "sampled" in (why_not(model, sampled_beams) or "")
    assert len(decode_ids(model, dialogues(3, 1), sampled_beams)) == 3
    other = load_base(Model(base=str(byte_base), precision="fp32"), frozen=True, device="cpu").model
    other.generation_config.suppress_tokens = [7]
    assert "suppress_tokens" in (why_not(other, Generation()) or "")
    assert all(7 not in d.ids for d in decode_ids(other, dialogues(3, 1), Generation(max_new_tokens=5)))


def test_equal_sources_are_encoded_once(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    original = plan.Plan.__init__

    def counting(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        embed = self.embed_source
        self.embed_source = lambda ids: (seen.append(ids.numel()), embed(ids))[1]

    monkeypatch.setattr(plan.Plan, "__init__", counting)
    a, b = dialogues(2, 9)
    found = decode_ids(model, [a, b, a, a, b], Generation(max_new_tokens=6))
    assert sum(seen) == len(a) + len(b)
    assert found[0] == found[2] == found[3]
    assert found[1] == found[4]


def test_encoding_ahead_changes_no_state_and_keeps_few(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = sorted(dialogues(14, 21), key=len, reverse=True)
    slots = [i % 3 for i in range(len(sources))]
    monkeypatch.setattr(ahead, "ENCODE_TOKENS", 90)
    monkeypatch.setattr(ahead, "AHEAD_TOKENS", 150)
    asked = []
    with torch.inference_mode():
        whole = encoder.Encoder(plan.Plan(model), 60)
        wanted = [whole([source], [0])[0] for source in sources]
        batches = encoder.Encoder(plan.Plan(model), 60, lambda some: asked.append(list(some)))
        states = ahead.EncodedAhead(batches, sources, range(len(sources)), slots, alike=False)
        for members in ([0], [1, 2, 3, 4], [5, 6, 7, 8, 9, 10], [11, 12, 13]):
            for member, found in zip(members, states.take(members), strict=True):
                assert torch.allclose(found, wanted[member], atol=1e-5)
            assert states.waiting <= 150
    assert len(asked) < len(sources)
    assert all(len(set(some)) == 1 for some in asked)
    assert states.waiting == 0
