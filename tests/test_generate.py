"""``Summarizer``: swapped equals freshly loaded, order and settings are kept, and nothing reloads."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest
import torch
from trainings import TUNINGS, make_recipe

from peftsum import Summarizer, train
from peftsum.adapters import ADAPTER_CONFIG
from peftsum.exceptions import AdapterError, UsageError
from peftsum.prompts import Prompt
from peftsum.recipe import Generation

TOPIC = {"kind": "template", "template": "Write the topic:\n\n{dialogue}\n\nTopic:"}
DIALOGUES = [f"Ann: Lunch at {i}?\n" + "Bob: Yes, at the park.\n" * (i % 4 + 1) for i in range(1, 10)]


@pytest.fixture(scope="module")
def adapters(byte_base: Path, dialogues: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two LoRA adapters of unlike prompts and lengths, a DoRA and an IA3 one."""
    folder = tmp_path_factory.mktemp("adapters")
    course = {"learning_rate": 5e-2, "max_steps": 8, "eval_examples": 0}
    sections = {
        "summary": {"train": {**course, "seed": 1}, "generation": {"max_new_tokens": 12}},
        "topic": {"train": {**course, "seed": 2}, "generation": {"max_new_tokens": 5}, "prompt": TOPIC},
        "dora": {**TUNINGS["dora"], "train": course},
        "ia3": {**TUNINGS["ia3"], "train": {**course, "learning_rate": 0.5}},
    }
    for name, section in sections.items():
        train(make_recipe(byte_base, dialogues, name, **section), folder / "runs" / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def both(adapters: Path) -> Summarizer:
    return Summarizer(adapters=[adapters / "summary", adapters / "topic"])


def fresh(adapters: Path, name: str) -> list[str]:
    return Summarizer(adapters=[adapters / name]).summarize(DIALOGUES)


def test_swapped_equals_freshly_loaded_and_nothing_is_reloaded(adapters: Path, both: Summarizer) -> None:
    base = {name: p.data_ptr() for name, p in both.model.named_parameters() if "lora" not in name}
    model = both.model
    expected = {name: fresh(adapters, name) for name in ("summary", "topic")}
    assert expected["summary"] != expected["topic"]
    for name in ("summary", "topic", "topic", "summary", "topic"):
        assert both.summarize(DIALOGUES, adapter=name) == expected[name]
    assert both.model is model
    assert {name: p.data_ptr() for name, p in both.model.named_parameters() if "lora" not in name} == base


def test_the_bare_base_answers_beside_adapters_and_after_them(adapters: Path, byte_base: Path) -> None:
    bare = Summarizer(str(byte_base), precision="fp32").summarize(DIALOGUES)
    summarizer = Summarizer(adapters=[adapters / "summary", adapters / "topic"])
    assert summarizer.summarize(DIALOGUES, adapter="__base__", generation=Generation()) == bare
    summarizer.unload("summary")
    assert summarizer.adapters == ["topic"]
    assert summarizer.summarize(DIALOGUES) == fresh(adapters, "topic")
    assert summarizer.summarize(DIALOGUES, adapter="__base__", generation=Generation()) == bare
    summarizer.unload("topic")
    assert summarizer.summarize(DIALOGUES, generation=Generation()) == bare
    assert not any("lora" in name for name, _ in summarizer.model.named_parameters())  # and their memory is free
    summarizer.load(adapters / "topic")
    assert summarizer.summarize(DIALOGUES) == fresh(adapters, "topic")


def test_order_is_kept_and_batched_equals_one_at_a_time(both: Summarizer) -> None:
    together = both.summarize(DIALOGUES, adapter="summary")
    assert together == [both.summarize([dialogue], adapter="summary")[0] for dialogue in DIALOGUES]
    assert len(set(together)) > 1  # else any order would do
    order = list(range(len(DIALOGUES)))
    random.Random(5).shuffle(order)
    assert both.summarize([DIALOGUES[i] for i in order], adapter="summary") == [together[i] for i in order]
    assert both.summarize([], adapter="summary") == []


def test_each_adapter_keeps_its_own_prompt_and_settings(both: Summarizer) -> None:
    settings = {"summary": (Prompt(), 12), "topic": (Prompt.model_validate(TOPIC), 5)}
    for name, (prompt, tokens) in settings.items():
        ids = both.encode(DIALOGUES, name)
        texts = [both.tokenizer.decode(row, skip_special_tokens=True) for row in ids]
        assert texts == [prompt.render(dialogue) for dialogue in DIALOGUES]
        explicit = both.summarize(DIALOGUES, adapter=name, prompt=prompt, generation=Generation(max_new_tokens=tokens))
        assert both.summarize(DIALOGUES, adapter=name) == explicit
    longer = both.summarize(DIALOGUES, adapter="topic", generation=Generation(max_new_tokens=12))
    assert longer != both.summarize(DIALOGUES, adapter="topic")


def test_a_dialogue_that_is_cut_is_warned_of(both: Summarizer, caplog: pytest.LogCaptureFixture) -> None:
    long = "Ann: Yes.\n" * 100
    ids = both.encode([long], "topic")
    assert "1 of 1 dialogues are longer than 192 tokens" in caplog.text
    assert len(ids[0]) <= 192
    assert both.tokenizer.decode(ids[0], skip_special_tokens=True).endswith("\n\nTopic:")  # the prompt stays whole
    assert len(both.encode([long], "topic", max_source_tokens=300)[0]) > 192


def test_sampling_is_seeded_and_leaves_the_random_state_alone(both: Summarizer) -> None:
    def sample(seed: int) -> list[str]:
        return both.summarize(DIALOGUES, "summary", generation=Generation(do_sample=True, seed=seed, max_new_tokens=8))

    torch.manual_seed(99)
    state = torch.get_rng_state()
    assert sample(1) == sample(1)
    assert sample(1) != sample(2)
    assert torch.equal(torch.get_rng_state(), state)


def test_beams_answer_and_are_kept_in_order(both: Summarizer) -> None:
    beams = Generation(num_beams=3, max_new_tokens=6, length_penalty=0.5, no_repeat_ngram_size=2)
    together = both.summarize(DIALOGUES, "summary", generation=beams)
    assert together == [both.summarize([d], "summary", generation=beams)[0] for d in DIALOGUES]


def test_names_that_are_not_loaded_are_refused_with_the_nearest(both: Summarizer) -> None:
    with pytest.raises(AdapterError, match="no adapter 'sumary'") as caught:
        both.summarize(DIALOGUES, adapter="sumary")
    assert "'summary'" in caught.value.hint
    with pytest.raises(UsageError, match="several adapters"):
        both.summarize(DIALOGUES)
    with pytest.raises(UsageError, match="list of dialogues"):
        both.summarize("Ann: Hi.", adapter="topic")  # type: ignore[arg-type]  # the mistake it guards against


def test_any_folder_name_will_do(adapters: Path, tmp_path: Path) -> None:
    """Torch refuses dots in names and those of a dictionary's methods; peft looks names up by parts of them."""
    names = ["keys", "v1.5", "v1_5", "items", "lora", "topic", "topic-2"]
    for name in names:
        shutil.copytree(adapters / ("topic" if "topic" in name else "summary"), tmp_path / name)
    summarizer = Summarizer(adapters=[tmp_path / name for name in names])
    assert summarizer.adapters == names
    expected = {kind: fresh(adapters, kind) for kind in ("summary", "topic")}
    for name in names:
        assert summarizer.summarize(DIALOGUES, name) == expected["topic" if "topic" in name else "summary"]
    assert summarizer.load(tmp_path / "topic") == "topic-3"
    assert summarizer.load(tmp_path / "topic", "mine") == "mine"
    for taken in ("mine", "__base__"):
        with pytest.raises(UsageError, match="is taken"):
            summarizer.load(tmp_path / "topic", taken)


def wrong_shapes(adapter: Path) -> None:
    config = json.loads((adapter / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    (adapter / ADAPTER_CONFIG).write_text(json.dumps(config | {"r": 3}), encoding="utf-8")


def wrong_layers(adapter: Path) -> None:
    config = json.loads((adapter / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    (adapter / ADAPTER_CONFIG).write_text(json.dumps(config | {"target_modules": ["q", "v"]}), encoding="utf-8")


def no_layers(adapter: Path) -> None:
    config = json.loads((adapter / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    (adapter / ADAPTER_CONFIG).write_text(json.dumps(config | {"target_modules": ["query"]}), encoding="utf-8")


@pytest.mark.parametrize("harm", [wrong_shapes, wrong_layers, no_layers])
@pytest.mark.parametrize("first", [True, False], ids=["first", "second"])
def test_an_adapter_that_does_not_fit_leaves_no_trace(
    harm: object, first: bool, adapters: Path, byte_base: Path, tmp_path: Path
) -> None:
    bad = Path(shutil.copytree(adapters / "topic", tmp_path / "bad"))
    harm(bad)  # type: ignore[operator]
    summarizer = Summarizer(str(byte_base), [] if first else [adapters / "summary"], precision="fp32")
    before = summarizer.summarize(DIALOGUES)
    with pytest.raises(AdapterError, match="does not fit"):
        summarizer.load(bad)
    assert summarizer.adapters == ([] if first else ["summary"])
    assert summarizer.summarize(DIALOGUES) == before
    summarizer.load(adapters / "topic")
    assert summarizer.summarize(DIALOGUES, "topic") == fresh(adapters, "topic")


def test_adapters_of_one_kind_share_a_base_and_others_are_refused(adapters: Path) -> None:
    summarizer = Summarizer(adapters=[adapters / "summary", adapters / "dora"])
    assert summarizer.summarize(DIALOGUES, "dora") == fresh(adapters, "dora")
    with pytest.raises(UsageError, match="of kind ia3") as caught:
        summarizer.load(adapters / "ia3")
    assert "Summarizer of its own" in caught.value.hint
    assert summarizer.summarize(DIALOGUES, "summary") == fresh(adapters, "summary")
    ia3 = Summarizer(adapters=[adapters / "ia3"])
    assert ia3.summarize(DIALOGUES) != ia3.summarize(DIALOGUES, "__base__")


def test_the_default_precision_swaps_alike_too(adapters: Path) -> None:
    summarizer = Summarizer(adapters=[adapters / "summary", adapters / "topic"], precision="auto")
    for name in ("topic", "summary"):
        alone = Summarizer(adapters=[adapters / name], precision="auto").summarize(DIALOGUES)
        assert summarizer.summarize(DIALOGUES, name) == alone
