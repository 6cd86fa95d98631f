"""Tests of `tools/pretrain_tiny.py`: its tasks, tokenizer and batches, and the model folder it left in the package."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

ROOT = Path(__file__).resolve().parents[1]
TINY = ROOT / "peftsum/builtin/tiny"
MAX_BYTES = 24_000_000
sys.path.insert(0, str(ROOT / "tools"))  # the tools are no package: imports after this line stand late

from pretraining import batches as batching  # noqa: E402
from pretraining import tasks, text  # noqa: E402
from pretraining.model import build, fused, losses, save_model  # noqa: E402
from pretraining.optim import Muon, orthogonalize  # noqa: E402
from pretraining.reported import report, third_person  # noqa: E402
from pretraining.text import Turn  # noqa: E402
from pretraining.tokenizer import EXTRA_IDS, VOCAB_SIZE, sentinel  # noqa: E402

CHAT = text.parse(
    "Tom: Could you help me with my plans for Friday evening, Anna?\n"
    "Anna: Sure, are we going to the restaurant, Tom?\n"
    "Tom: I mean the Italian restaurant on Main Street, and I'd like a table for six people.\n"
    "Anna: I will book the table for 7:30 then.\n"
    "Tom: Thanks a lot!"
)

SMALL = {
    "vocab_size": VOCAB_SIZE,
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 48,
    "num_layers": 1,
    "num_decoder_layers": 1,
    "num_heads": 4,
}


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(TINY, local_files_only=True)


@pytest.fixture(scope="module")
def base():
    return AutoModelForSeq2SeqLM.from_pretrained(TINY, local_files_only=True).eval()


# --- span corruption


@pytest.mark.parametrize("length", [12, 13, 57, 200, 399])
def test_span_corruption_reconstructs_the_text(length):
    ids = [random.Random(length).randrange(3, 8000) for _ in range(length)]
    source, target = tasks.corrupt(ids, random.Random(length))
    sentinels = {sentinel(n) for n in range(EXTRA_IDS)}
    spans: dict[int, list[int]] = {}
    for token in target[:-1]:
        if token in sentinels:
            spans[token] = []
            last = token
        else:
            spans[last].append(token)
    rebuilt = [t for token in source[:-1] for t in (spans[token] if token in sentinels else [token])]
    assert rebuilt == ids
    assert source[-1] == target[-1] == tasks.EOS_ID
    assert all(spans.values())
    assert sum(map(len, spans.values())) == round(length * tasks.NOISE_DENSITY)
    assert list(spans) == [sentinel(n) for n in range(len(spans))]


# --- the central turn


def test_central_turn_is_removed_from_the_input():
    assert tasks.central_turns(CHAT)[0] == 2
    seen = set()
    for seed in range(20):
        example = tasks.summary(CHAT, random.Random(seed))
        assert example.kind == "summary"
        assert CHAT[2].text not in example.source
        assert all(turn.text in example.source for index, turn in enumerate(CHAT) if index != 2)
        assert "Tom" in example.target
        assert "Italian restaurant" in example.target
        seen.add(example.source.split("\n")[0])
    assert "Summarize this conversation:" in seen


def test_central_turns_leave_out_greetings():
    assert 4 not in tasks.central_turns(CHAT)


# --- reported speech


@pytest.mark.parametrize(
    ("said", "reported"),
    [
        ("I'd like to book a table for my mother.", "#Person1# would like to book a table for #Person1#'s mother."),
        ("I want to see you tomorrow.", "#Person1# wants to see #Person2# tomorrow."),
        ("Well, I'm looking for my keys.", "#Person1# is looking for #Person1#'s keys."),
        ("I'll call you at 7:30.", "#Person1# will call #Person2# at 7:30."),
        ("I have to study for the exam.", "#Person1# has to study for the exam."),
        ("I went to Paris in May.", "#Person1# went to Paris in May."),
        ("Can you help me with my bags?", "#Person1# asks #Person2# to help #Person1# with #Person1#'s bags."),
        ("Do you like Italian food?", "#Person1# asks if #Person2# likes Italian food."),
        ("Where do you live now?", "#Person1# asks #Person2# where #Person2# lives now."),
        ("Where is the station?", "#Person1# asks #Person2# where the station is."),
        ("Please give me your number.", "#Person1# asks #Person2# to give #Person1# #Person2#'s number."),
        ("Let's meet at the station.", "#Person1# suggests that they meet at the station."),
        ("What about a cup of tea?", "#Person1# suggests a cup of tea."),
    ],
)
def test_reported_speech(said, reported):
    assert report(Turn("#Person1#", said), "#Person2#", random.Random(0)) == reported


@pytest.mark.parametrize("said", ["Thanks!", "Oh, really?", "Yes, sure."])
def test_reported_speech_refuses_what_says_nothing(said):
    assert report(Turn("Tom", said), "Anna", random.Random(0)) is None


def test_reported_speech_never_keeps_the_first_person():
    for seed in range(40):
        said = report(CHAT[2], "Anna", random.Random(seed))
        assert said.startswith("Tom ")
        assert not {"I", "I'd", "my", "me", "I'm"} & set(said.split())


@pytest.mark.parametrize(
    ("verb", "third"), [("want", "wants"), ("go", "goes"), ("try", "tries"), ("play", "plays"), ("am", "is")]
)
def test_third_person(verb, third):
    assert third_person(verb) == third


# --- copying tasks


@pytest.mark.parametrize("task", [t for t in tasks.TASKS if t is not tasks.summary], ids=lambda t: t.__name__)
def test_what_a_copying_task_asks_for_is_in_the_dialogue(task):
    made = [example for seed in range(200) if (example := task(CHAT, random.Random(seed)))]
    assert made
    words = set(text.render(CHAT).replace(":", " ").replace(",", " ").split())
    for example in made:
        if example.kind == "copy":
            missing = set(example.target.replace(":", " ").replace(",", " ").split()) - words
            assert missing <= {"and", "Tom.", "Anna.", *(w for w in missing if w.rstrip(".") in words)}


def test_shares_of_tasks_leave_room_for_span_corruption():
    assert 0.3 < 1 - sum(tasks.TASKS.values()) < 0.6


# --- speakers


@pytest.mark.parametrize("seed", range(12))
def test_renaming_is_consistent(seed):
    names = text.new_names(CHAT, random.Random(seed), keep=0.0)
    renamed = text.rename(CHAT, names)
    assert [turn.speaker for turn in renamed] == [names[turn.speaker] for turn in CHAT]
    assert len(set(names.values())) == 2
    assert f"evening, {names['Anna']}?" in renamed[0].text
    assert "Tom" not in text.render(renamed) or "Tom" in names.values()


def test_parse_reads_both_ways_of_naming_a_speaker():
    assert text.parse("[doctor] hi , martha .\n[patient] hello .") == (
        Turn("Doctor", "Hi, martha."),
        Turn("Patient", "Hello."),
    )
    assert text.parse("Tom: one\ntwo")[0].text == "One Two"


def test_window_takes_whole_turns():
    long = tuple(Turn("A" if n % 2 else "B", f"turn {n} " + "word " * 20) for n in range(40))
    for seed in range(30):
        cut = text.window(long, random.Random(seed), 100)
        assert 0 < sum(len(turn.text.split()) + 2 for turn in cut) <= 100
        start = long.index(cut[0])
        assert long[start : start + len(cut)] == cut


# --- batches and the optimiser


def test_batches_stay_within_the_budget_and_lose_nothing():
    rng = random.Random(0)
    pairs = [batching.Pair("copy", [5] * rng.randint(20, 300), [6] * rng.randint(2, 80)) for _ in range(500)]
    groups = batching.group(pairs, 4096)
    assert sorted(id(p) for g in groups for p in g) == sorted(map(id, pairs))
    made = [batching.collate(g) for g in groups]
    assert all(b.source.numel() + b.labels.numel() <= 4096 for b in made)
    padded = sum(b.source.numel() for b in made)
    assert sum(int(b.mask.sum()) for b in made) / padded > 0.85


def test_fused_pass_and_loss_are_those_of_transformers():
    model = build(0, SMALL).eval()
    pairs = [batching.Pair("copy", [5, 9, 12, 1], [7, 8, 1]), batching.Pair("span", [5, 1], [7, 1])]
    batch = batching.collate(pairs)
    with torch.no_grad():
        plain = model(input_ids=batch.source, attention_mask=batch.mask, labels=batch.labels).loss
        with fused():
            fast, parts = losses(model, batch)
    torch.testing.assert_close(fast, plain, rtol=1e-4, atol=1e-4)
    assert {kind: count for kind, (_, count) in parts.items()} == {"copy": 3, "span": 2}


def test_orthogonalize_brings_singular_values_near_one():
    values = torch.linalg.svdvals(orthogonalize(torch.randn(2, 64, 96, generator=torch.Generator().manual_seed(0))))
    assert 0.5 < values.min() <= values.max() < 1.5


def test_optimiser_lowers_the_loss_and_resumes_exactly():
    batch = batching.collate([batching.Pair("copy", [5, 9, 12, 1], [9, 12, 1])])

    def step(model, optimiser):
        loss, _ = losses(model, batch)
        loss.backward()
        optimiser.step(1.0)
        return float(loss.detach())

    model = build(0, SMALL)
    optimiser = Muon(model)
    before = [step(model, optimiser) for _ in range(4)]
    assert before[-1] < before[0] - 0.3
    other = build(1, SMALL)
    other.load_state_dict(model.state_dict())
    resumed = Muon(other)
    resumed.load(optimiser.state())
    assert step(other, resumed) == pytest.approx(step(model, optimiser), abs=1e-5)


# --- the folder in the package


def test_base_fits_its_size_and_is_complete():
    files = {path.name: path.stat().st_size for path in TINY.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "README.md"} <= files.keys()
    assert sum(files.values()) <= MAX_BYTES


def test_base_is_untied_and_unscaled(base):
    assert base.lm_head.weight.data_ptr() != base.shared.weight.data_ptr()
    assert not torch.equal(base.lm_head.weight, base.shared.weight)
    assert base.config.scale_decoder_outputs is False
    assert base.encoder.embed_tokens.weight.data_ptr() == base.shared.weight.data_ptr()
    assert base.config.feed_forward_proj == "gated-gelu"
    assert base.config.decoder_start_token_id == base.config.pad_token_id == 0


def test_base_survives_save_and_load(base, tokenizer, tmp_path):
    prompt = tokenizer(
        "Summarize this conversation:\n\nTom: Let's meet at 7:30.\nAnna: Ok.\n\nSummary:", return_tensors="pt"
    )
    start = torch.zeros(1, 1, dtype=torch.long)
    save_model(base, tmp_path)
    again = AutoModelForSeq2SeqLM.from_pretrained(tmp_path, local_files_only=True).eval()
    with torch.no_grad():
        first = base(**prompt, decoder_input_ids=start).logits
        torch.testing.assert_close(again(**prompt, decoder_input_ids=start).logits, first, rtol=0, atol=0)
    assert torch.isfinite(first).all()


def test_base_has_learned_to_copy(base, tokenizer):
    """The canary: who said a line is answered far above a guess among all pieces."""
    batch = [
        ("Who said: the blue car is mine\n\nTom: The blue car is mine.\nAnna: No, it is not.", "Tom"),
        ("Who said: No, it is not\n\n#Person1#: The car is mine.\n#Person2#: No, it is not.", "#Person2#"),
    ]
    for source, target in batch:
        labels = tokenizer(target, return_tensors="pt").input_ids
        with torch.no_grad():
            loss = base(**tokenizer(source, return_tensors="pt"), labels=labels).loss
        assert loss < 4.0  # an untrained base is at 9.0


@pytest.mark.parametrize(
    "plain",
    [
        "Tom: Hi Anna, it's 12:45 on the 3rd of May!\n#Person1#: I've (not) paid $23.50 for #Person2#'s stuff.",
        'Summarize this conversation:\n\nMr. O\'Neil: "Really?" - yes; 50% off.\n\nSummary:',
        "José's café costs 1,234,567 € \U0001f44d",
    ],
)
def test_tokenizer_round_trip(tokenizer, plain):
    ids = tokenizer(plain).input_ids
    assert ids[-1] == tokenizer.eos_token_id == 1
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == plain


def test_tokenizer_keeps_digits_turns_and_persons_apart(tokenizer):
    assert tokenizer.is_fast
    assert len(tokenizer) == VOCAB_SIZE
    assert tokenizer.tokenize("a 2019")[-4:] == ["\u25812", "0", "1", "9"]
    assert len(tokenizer("#Person1#").input_ids) == 2
    inside, first = tokenizer("ask #Person2# now").input_ids, tokenizer("Hi.\n#Person2#: Yes").input_ids
    person = tokenizer("#Person2#").input_ids[0]
    assert person in inside
    assert person in first
    assert "\n" in tokenizer.tokenize("Hi.\nTom: Yes")
    assert person not in tokenizer.all_special_ids
    assert tokenizer.convert_tokens_to_ids("<extra_id_0>") == sentinel(0)
    assert tokenizer.convert_tokens_to_ids("<extra_id_99>") == sentinel(99)


def test_card_names_data_licences_and_what_is_left_out():
    written = (TINY / "README.md").read_text(encoding="utf-8")
    for needed in (
        "license: cc-by-sa-4.0",
        "CC BY-SA 4.0",
        "CDLA-Sharing",
        "not** trained on DialogSum or SAMSum",
        "Energy:",
    ):
        assert needed in written
    assert json.loads((TINY / "config.json").read_text(encoding="utf-8"))["dropout_rate"] == 0.1
