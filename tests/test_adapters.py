"""Adapter folders: what is in them, that they stand alone, and that what is wrong with one is said."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from trainings import TUNINGS, adapter_weights, make_recipe, same_weights

from peftsum import Summarizer, train
from peftsum import model as model_module
from peftsum.adapters import ADAPTER_CONFIG, ADAPTER_WEIGHTS, check_adapter, list_adapters, read_adapter_record
from peftsum.artifacts import ADAPTER_RECORD, AdapterRecord, read_record
from peftsum.exceptions import AdapterError, ModelError
from peftsum.model import base_revision
from peftsum.recipe import Model
from peftsum.targets import check_same_base, resolve_target

COMMITTED = Path(__file__).parents[1] / "adapters"
DIALOGUES = ["Ann: Lunch at 3?\nBob: Yes, at the park.", "Cleo: Hi!\nDan: Hi, see you at the station at 5."]


@pytest.fixture(scope="module")
def made(byte_base: Path, dialogues: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained adapter, ``news``, and the run that made it."""
    folder = tmp_path_factory.mktemp("made")
    recipe = make_recipe(byte_base, dialogues, "news", train={"learning_rate": 5e-2, "max_steps": 6})
    train(recipe, folder / "run", folder / "news")
    return folder


@pytest.fixture
def news(made: Path, tmp_path: Path) -> Path:
    """A copy of that adapter, to be damaged."""
    return Path(shutil.copytree(made / "news", tmp_path / "news"))


def test_the_folder_holds_peft_s_files_a_record_and_a_card(made: Path, byte_base: Path) -> None:
    news = made / "news"
    assert {p.name for p in news.iterdir()} == {ADAPTER_CONFIG, ADAPTER_WEIGHTS, ADAPTER_RECORD, "README.md"}
    assert not list(made.glob(".*"))
    record = read_adapter_record(news)
    assert record is not None
    assert record.recipe.name == "news"
    assert record.recipe.learning_rate == 5e-2
    assert record.base_revision == base_revision(Model(base=str(byte_base)))
    assert record.trainable_params == sum(tensor.numel() for tensor in adapter_weights(news).values())
    assert AdapterRecord.model_validate_json(record.model_dump_json()) == record


def test_names_on_this_machine_stay_out_of_an_adapter_for_a_built_in_base(
    byte_base: Path, dialogues: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(model_module.BUILTIN, "builtin:tiny", str(byte_base))
    shutil.copytree(dialogues, "data")
    train(make_recipe("builtin:tiny", "data"))
    config = json.loads(Path("adapters/run", ADAPTER_CONFIG).read_text(encoding="utf-8"))
    assert config["base_model_name_or_path"] == "builtin:tiny"
    for path in Path("adapters/run").iterdir():
        content = path.read_bytes()
        for place in (byte_base, in_tmp, Path.home(), Path(__file__).parents[1]):
            assert str(place).encode() not in content


def test_the_card_names_no_path_of_this_machine_and_says_what_was_trained(made: Path, dialogues: Path) -> None:
    card = (made / "news" / "README.md").read_text(encoding="utf-8")
    assert str(dialogues.parent) not in card
    assert dialogues.name in card
    assert "base_model:" not in card  # front matter takes Hub ids, and this base is a folder
    for words in ("lora r2", "peftsum summarize", "PeftModel.from_pretrained", "Summarize this conversation", "Limits"):
        assert words in card


PLAIN = """
import json, sys
import torch
from peft import PeftModel
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

base, adapter, texts = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
tokenizer = AutoTokenizer.from_pretrained(base)
model = PeftModel.from_pretrained(AutoModelForSeq2SeqLM.from_pretrained(base, dtype=torch.float32), adapter).eval()
found = []
for text in texts:
    output = model.generate(**tokenizer(text, return_tensors="pt"), max_new_tokens=8)
    found.append(tokenizer.decode(output[0], skip_special_tokens=True).strip())
assert "peftsum" not in sys.modules
print(json.dumps(found))
"""


def test_plain_peft_loads_it_and_answers_alike(made: Path, byte_base: Path) -> None:
    summarizer = Summarizer(adapters=[made / "news"])
    target = summarizer.target("news")
    assert target is not None
    prompts = [target.prompt.render(dialogue) for dialogue in DIALOGUES]
    done = subprocess.run(
        [sys.executable, "-c", PLAIN, str(byte_base), str(made / "news"), json.dumps(prompts)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = summarizer.summarize(DIALOGUES)
    assert json.loads(done.stdout.splitlines()[-1]) == found
    assert found != summarizer.summarize(DIALOGUES, adapter="__base__")


def plain_adapter(base: Path, folder: Path, named: str | None = "", **options: Any) -> Path:
    """Save an adapter as code without peftsum does, with weights that change the answers."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForSeq2SeqLM

    torch.manual_seed(3)
    net = AutoModelForSeq2SeqLM.from_pretrained(base)
    settings = {"r": 4, "target_modules": ["q", "v"], "task_type": "SEQ_2_SEQ_LM", "init_lora_weights": False}
    get_peft_model(net, LoraConfig(**{**settings, **options})).save_pretrained(folder)
    if named != "":
        config = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        config["base_model_name_or_path"] = named
        (folder / ADAPTER_CONFIG).write_text(json.dumps(config), encoding="utf-8")
    return folder


def test_an_adapter_made_by_plain_peft_is_loaded(byte_base: Path, tmp_path: Path) -> None:
    """With its own word for the base, a path that is not of this machine, and none at all."""
    own = plain_adapter(byte_base, tmp_path / "own")
    answers = [Summarizer(adapters=[own], precision="fp32").summarize(DIALOGUES)]
    for name, named in (("foreign", "/somewhere/else/flan"), ("nameless", None)):
        plain_adapter(byte_base, tmp_path / name, named)
        answers.append(Summarizer(str(byte_base), [tmp_path / name], precision="fp32").summarize(DIALOGUES))
    bare = Summarizer(str(byte_base), precision="fp32").summarize(DIALOGUES)
    assert answers[0] == answers[1] == answers[2] != bare


def test_an_adapter_that_names_no_base_asks_for_one(byte_base: Path, tmp_path: Path) -> None:
    nameless = plain_adapter(byte_base, tmp_path / "nameless", None)
    with pytest.raises(AdapterError, match="names no base") as caught:
        Summarizer(adapters=[nameless])
    assert "--base" in caught.value.hint
    foreign = plain_adapter(byte_base, tmp_path / "foreign", "/somewhere/else/flan")
    with pytest.raises(AdapterError, match="/somewhere/else/flan, is not on this machine") as caught:
        Summarizer(adapters=[foreign])
    assert "--base" in caught.value.hint


def test_an_adapter_for_another_base_is_refused_by_name(byte_base: Path, made: Path, tmp_path: Path) -> None:
    other = shutil.copytree(byte_base, tmp_path / "other")
    check_same_base(made / "news", str(other))  # a copy under another name is the same base
    tensors = load_file(other / "model.safetensors")
    tensors["shared.weight"] += 1
    save_file(tensors, other / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(AdapterError, match="was trained on") as caught:
        Summarizer(str(other), [made / "news"])
    assert str(byte_base) in caught.value.message
    assert str(other) in caught.value.message
    assert "--base" in caught.value.hint


def test_a_base_that_changed_under_its_name_is_refused(byte_base: Path, dialogues: Path, in_tmp: Path) -> None:
    shutil.copytree(byte_base, "base")
    train(make_recipe("./base", dialogues, train={"max_steps": 1}))
    tensors = load_file("base/model.safetensors")
    tensors["shared.weight"] += 1
    save_file(tensors, "base/model.safetensors", metadata={"format": "pt"})
    with pytest.raises(AdapterError, match="is another one now"):
        Summarizer(adapters=["adapters/run"])


def test_a_plain_adapter_that_names_a_hub_base_is_not_put_on_a_folder(byte_base: Path, tmp_path: Path) -> None:
    adapter = plain_adapter(byte_base, tmp_path / "a", "google/flan-t5-base")
    with pytest.raises(AdapterError, match="was trained on google/flan-t5-base"):
        Summarizer(str(byte_base), [adapter])


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def spoil(path: Path) -> None:
    tensors = load_file(path)
    next(iter(tensors.values()))[0] = float("nan")
    save_file(tensors, path)


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "weights cut short": (lambda a: cut(a / ADAPTER_WEIGHTS), "damaged"),
    "weights not finite": (lambda a: spoil(a / ADAPTER_WEIGHTS), "not finite"),
    "no weights": (lambda a: (a / ADAPTER_WEIGHTS).unlink(), "has no adapter_model"),
    "config cut short": (lambda a: cut(a / ADAPTER_CONFIG), "adapter_config.json is damaged"),
    "config is a list": (lambda a: (a / ADAPTER_CONFIG).write_text("[]"), "no JSON object"),
    "no config": (lambda a: (a / ADAPTER_CONFIG).unlink(), "is no adapter"),
    "gone": (lambda a: shutil.rmtree(a), "no adapter at"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_adapter_is_refused(damage: str, news: Path, byte_base: Path) -> None:
    harm, message = DAMAGES[damage]
    harm(news)
    for attempt in (
        lambda: check_adapter(news),
        lambda: Summarizer(adapters=[news]),
        lambda: Summarizer(str(byte_base)).load(news),
    ):
        with pytest.raises(AdapterError, match=message) as caught:
            attempt()
        assert caught.value.hint


def test_a_relative_name_that_is_nowhere_is_no_hub_id(in_tmp: Path) -> None:
    with pytest.raises(AdapterError, match="no adapter at adapters/nope"):
        Summarizer(adapters=["adapters/nope"])


def test_the_list_verifies_each_and_says_what_is_wrong(news: Path, byte_base: Path) -> None:
    plain_adapter(byte_base, news.parent / "plain")
    shutil.copytree(news, news.parent / "broken")
    cut(news.parent / "broken" / ADAPTER_WEIGHTS)
    shutil.copytree(news, news.parent / "unreadable")
    (news.parent / "unreadable" / ADAPTER_RECORD).write_text("{}")
    (news.parent / "not-one").mkdir()
    found = {listing.name: listing for listing in list_adapters(news.parent)}
    assert list(found) == ["broken", "news", "plain", "unreadable"]
    assert found["news"].problem is None
    assert found["plain"].problem is None
    assert (found["news"].method, found["plain"].method) == ("lora r2 all-linear", "lora")
    assert found["news"].base == str(byte_base)
    assert found["news"].weight_bytes == (news / ADAPTER_WEIGHTS).stat().st_size
    assert "damaged" in (found["broken"].problem or "")
    assert "damaged" in (found["unreadable"].problem or "")
    assert [listing.name for listing in list_adapters(news)] == ["news"]
    with pytest.raises(AdapterError, match="no folder"):
        list_adapters(news / "nowhere")


@pytest.mark.parametrize("tuning", [name for name in TUNINGS if name != "full"])
def test_every_method_s_adapter_comes_back_as_it_was_saved(
    tuning: str, byte_base: Path, dialogues: Path, in_tmp: Path
) -> None:
    from peft import get_peft_model_state_dict

    train(make_recipe(byte_base, dialogues, **{**TUNINGS[tuning], "train": {"max_steps": 2, "eval_examples": 0}}))
    summarizer = Summarizer(adapters=["adapters/run"])
    loaded = get_peft_model_state_dict(summarizer.model, adapter_name=summarizer.model.active_adapter)
    assert same_weights({n: w.float() for n, w in loaded.items()}, adapter_weights(Path("adapters/run")))


def test_a_run_is_found_with_its_adapter_and_a_full_one_with_its_model(
    byte_base: Path, dialogues: Path, in_tmp: Path
) -> None:
    train(make_recipe(byte_base, dialogues, "small", train={"max_steps": 1}))
    train(make_recipe(byte_base, dialogues, "whole", method={"kind": "full"}, train={"max_steps": 1}))
    small, whole = resolve_target("runs/small"), resolve_target("runs/whole")
    assert (small.name, small.adapter, small.model.base) == ("small", Path("adapters/small"), str(byte_base))
    assert (whole.name, whole.adapter, whole.model.base) == ("whole", None, "runs/whole/model")
    card = Path("runs/whole/model/README.md").read_text(encoding="utf-8")
    assert "full model" in card
    assert "PeftModel" not in card
    assert read_record(Path("runs/whole/model", ADAPTER_RECORD), AdapterRecord).recipe.method.kind == "full"
    with pytest.raises(AdapterError, match="full fine-tune"):
        Summarizer(adapters=["runs/whole"])
    assert Summarizer(adapters=["runs/small"]).adapters == ["small"]
    shutil.rmtree("adapters/small")
    shutil.rmtree("runs/whole/model")
    with pytest.raises(AdapterError, match="no longer at"):
        resolve_target("runs/small")
    with pytest.raises(ModelError, match="no longer in it"):
        resolve_target("runs/whole")


def test_the_committed_adapters_verify_and_answer_differently() -> None:
    """``tiny-summary`` writes a summary and ``tiny-topic`` the topic, on one base."""
    names = ["tiny-summary", "tiny-topic"]
    if not all((COMMITTED / name).is_dir() for name in names):
        pytest.skip("adapters/tiny-summary and tiny-topic are not trained yet")
    assert {a.name: a.problem for a in list_adapters(COMMITTED) if a.name in names} == dict.fromkeys(names)
    summarizer = Summarizer(adapters=[COMMITTED / name for name in names])
    assert summarizer.base == "builtin:tiny"
    text = "Anna: Shall we have lunch at one tomorrow?\nBen: Yes, at Luigi's.\nAnna: Great, I'll book a table."
    summary, topic = (summarizer.summarize([text], adapter=name)[0] for name in names)
    assert summary != topic
    assert len(topic.split()) < len(summary.split())
