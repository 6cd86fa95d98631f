"""The prompt study: examples that fit and never leak, arms that differ, results that stand beside tuning."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from commands import run, write_recipe
from conftest import dialogue_rows, write_jsonl
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from peftsum import evaluate, load_recipe, make_prompt, study_prompts, train
from peftsum.comparison import COSTS, pareto_front, points, verdict
from peftsum.data import Example, Split
from peftsum.decoding.by_transformers import generation_options
from peftsum.exceptions import RecipeError, UsageError
from peftsum.few_shot import FewShot, FewShotPrompts
from peftsum.model import load_tokenizer
from peftsum.prompt_arms import STANDARD, few_shot_wording, parse_variations, plan_arms, settings_label
from peftsum.prompt_study import PromptStudy
from peftsum.prompts import EXAMPLE_SEPARATOR, Prompt
from peftsum.recipe import Data, Generation, Model
from peftsum.report.prompts import prompt_verdicts
from peftsum.similarity import TextIndex

STRUCTURED = Prompt()


class CharacterTokenizer:
    """A token a character and one for the end: sums of parts are exact, so a test can say what has to fit."""

    def __call__(self, text: str | list[str], *, add_special_tokens: bool = True, **options: Any) -> dict[str, Any]:
        """Return the ids and offsets of a text, or the ids of several."""
        if isinstance(text, list):
            return {"input_ids": [self(one, add_special_tokens=add_special_tokens)["input_ids"] for one in text]}
        offsets = [(i, i + 1) for i in range(len(text))]
        ids = [ord(letter) for letter in text] + ([1] if add_special_tokens else [])
        return {"input_ids": ids, "offset_mapping": offsets}


def examples(*rows: tuple[str, str], name: str = "train") -> Split:
    return Split("made", name, [Example(f"{name}-{i}", text, (summary,)) for i, (text, summary) in enumerate(rows)])


def maker(train: Split, test: Split, limit: int) -> FewShotPrompts:
    return FewShotPrompts(train, test, CharacterTokenizer(), limit)  # type: ignore[arg-type]


SAYINGS = st.lists(st.text("abc xyz", min_size=1, max_size=40).filter(str.strip), min_size=1, max_size=8)


def split_of(texts: list[str], name: str) -> Split:
    return examples(*((f"Ann: {text}", f"{text[:5]}.") for text in texts), name=name)


@settings(deadline=None)
@given(SAYINGS, SAYINGS, st.integers(60, 400), st.sampled_from(["random", "similar"]), st.none() | st.integers(1, 3))
def test_a_prompt_keeps_to_the_context_and_leaves_out_only_what_does_not_fit(
    train_texts: list[str], test_texts: list[str], limit: int, choose: str, shots: int | None
) -> None:
    train_split, test_split = split_of(train_texts, "train"), split_of(test_texts, "test")
    prompts = maker(train_split, test_split, limit)
    by_id = {e.id: e for e in train_split.examples}
    for sent, asked in zip(
        prompts.few_shot(STRUCTURED, FewShot(choose=choose, shots=shots)),  # type: ignore[arg-type]
        test_split.examples,
        strict=True,
    ):
        assert sent.tokens == len(sent.text) + 1 <= limit
        used = [by_id[i] for i in sent.examples]
        assert len(set(sent.examples)) == len(used) <= (shots or len(by_id))
        said = [e.dialogue for e in used]
        assert not {i for i in sent.examples if i in prompts.leaks.get(asked.id, ())}
        if sent.cut:
            assert not used
            assert len(STRUCTURED.render(asked.dialogue)) + 1 > limit
            assert sent.text.endswith("Summary:")  # the dialogue loses its end, the words around it stay
            continue
        rebuilt = EXAMPLE_SEPARATOR.join(
            [*(STRUCTURED.solve(e.dialogue, e.references[0]) for e in used), STRUCTURED.render(asked.dialogue)]
        )
        assert sent.text == rebuilt
        if len(used) == shots:
            continue
        for other in train_split.examples:  # as many as the context holds: no other one would go in besides
            block = len(STRUCTURED.solve(other.dialogue, other.references[0]) + EXAMPLE_SEPARATOR)
            new = other.id not in prompts.leaks.get(asked.id, ()) and other.dialogue.split() not in map(str.split, said)
            assert not new or sent.tokens + block > limit


def test_copies_of_the_dialogue_are_no_examples_of_it_but_of_others() -> None:
    long = "Ann: We walk home by the river and have tea with Mary and her brother\nBob: And with all of their friends."
    copy, near = long.upper().replace("ANN", "Cleo").replace("BOB", "Dan"), long.replace("river", "canal")
    pool = examples((copy, "One."), (near, "Two."), ("Eve: Lunch?\nFinn: Yes.", "Three."))
    test = examples((long, "Walk."), ("Una: Where is my hat?", "Hat."), name="test")
    for few in (FewShot(), FewShot(choose="similar"), FewShot(choose="index", indices=(0, 1, 2))):
        first, second = maker(pool, test, 2000).few_shot(STRUCTURED, few)
        assert first.examples == ["train-2"]
        assert sorted(second.examples) == ["train-0", "train-1", "train-2"]
        assert (first.left_out, second.left_out) == ((2, 0) if few.indices else (0, 0))


def test_a_test_set_that_is_its_own_training_set_gives_no_dialogue_away() -> None:
    both = examples(*((f"Ann: {word} " * 5, word) for word in ("one", "two", "three")))
    for sent in maker(both, both, 2000).few_shot(STRUCTURED, FewShot(choose="similar")):
        assert sent.id not in sent.examples
        assert len(sent.examples) == 2


def test_random_examples_depend_on_the_seed_and_the_dialogue_and_on_nothing_else() -> None:
    pool = examples(*((f"Ann: {n} {'abcdefghij'[n]}", str(n)) for n in range(10)))
    test = examples(("Bob: first", "1"), ("Bob: second", "2"), name="test")
    drawn = [s.examples for s in maker(pool, test, 300).few_shot(STRUCTURED, FewShot(shots=3))]
    assert drawn[0] != drawn[1]
    alone = Split("made", "test", test.examples[1:])
    assert maker(pool, alone, 300).few_shot(STRUCTURED, FewShot(shots=3))[0].examples == drawn[1]
    assert [s.examples for s in maker(pool, test, 300).few_shot(STRUCTURED, FewShot(shots=3, seed=2))] != drawn


def test_the_most_alike_example_stands_next_to_the_question() -> None:
    pool = examples(("Ann: a cat", "C."), ("Ann: the dog barks at night", "D."), ("Ann: a dog and a cat", "E."))
    test = examples(("Bob: does the dog bark at night? the dog barks", "?"), name="test")
    (sent,) = maker(pool, test, 2000).few_shot(STRUCTURED, FewShot(choose="similar"))
    assert sent.examples[-1] == "train-1"
    (one,) = maker(pool, test, 2000).few_shot(STRUCTURED, FewShot(choose="similar", shots=1))
    assert one.examples == ["train-1"]


def test_an_indexed_example_that_no_prompt_could_hold_is_refused() -> None:
    pool, test = examples(("Ann: " + "x" * 300, "X."), ("Ann: y", "Y.")), examples(("Bob: z", "Z."), name="test")
    with pytest.raises(RecipeError, match=r"training example 0 \(train-0\) takes \d+ of the 200 tokens"):
        maker(pool, test, 200).few_shot(STRUCTURED, FewShot(choose="index", indices=(1, 0)))
    with pytest.raises(UsageError, match="no training dialogue 2") as raised:
        maker(pool, test, 200).few_shot(STRUCTURED, FewShot(choose="index", indices=(2,)))
    assert raised.value.hint == "indices go from 0 to 1"


@pytest.mark.parametrize("values", [{"choose": "index"}, {"indices": (1,)}, {"choose": "index", "indices": (1, 1)}])
def test_a_choice_that_contradicts_itself_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FewShot.model_validate(values)


def test_make_prompt_puts_three_newlines_between_the_examples_asked_for() -> None:
    pool, test = examples(("Ann: a", "A."), ("Ann: b", "B.")), examples(("Bob: z", "Z."), name="test")
    text = make_prompt([1, 0], 0, train=pool.examples, test=test.examples)
    parts = text.split("\n\n\n")
    assert [part.rsplit("\n", 1)[1] for part in parts] == ["B.", "A.", "Summary:"]
    assert make_prompt([], 0, train=[], test=test.examples) == STRUCTURED.render("Bob: z")
    with pytest.raises(UsageError, match="no test dialogue -1"):
        make_prompt([], -1, train=[], test=test.examples)


@given(st.lists(st.lists(st.sampled_from("abcdefg"), max_size=6), min_size=1, max_size=8))
def test_a_text_is_most_alike_to_itself_and_cosines_are_those_of_the_vectors(texts: list[list[str]]) -> None:
    index = TextIndex(texts)
    for place, words in enumerate(texts):
        cosines = index.similarities(words)
        assert ((cosines >= 0) & (cosines <= 1 + 1e-9)).all()
        if cosines.any():
            assert cosines[place] == pytest.approx(1)
        for other, text in enumerate(texts):
            assert cosines[other] == pytest.approx(TextIndex(texts).similarities(text)[place])
        assert sorted(index.nearest(words)) == list(range(len(texts)))


VALUES = {
    "max_new_tokens": st.integers(8, 90),
    "num_beams": st.integers(1, 4),
    "do_sample": st.booleans(),
    "temperature": st.sampled_from([0.5, 1.0, 1.5]),
    "top_k": st.sampled_from([5, 50]),
    "top_p": st.sampled_from([0.5, 1.0]),
    "no_repeat_ngram_size": st.integers(0, 3),
    "length_penalty": st.sampled_from([0.5, 1.0, 2.0]),
}
VARY = st.fixed_dictionaries({}, optional={n: st.lists(v, min_size=1, max_size=2) for n, v in VALUES.items()})


@settings(deadline=None)
@given(VARY, st.sampled_from(["one-at-a-time", "grid"]), st.sampled_from([1, 4]), st.booleans())
def test_arms_differ_in_what_acts_and_in_name_and_begin_with_the_recipes_own(
    vary: dict[str, list[Any]], design: str, beams: int, sample: bool
) -> None:
    own = Generation(num_beams=beams, do_sample=sample)
    few = [FewShot(), FewShot(choose="similar"), FewShot(choose="similar", seed=5)]
    arms = plan_arms(
        STRUCTURED,
        own,
        kinds=["raw", "structured"],
        few_shots=few,
        vary=vary,
        design=design,  # type: ignore[arg-type]
    )
    assert (arms[0].name, arms[0].generation) == ("structured", own)
    assert len({arm.name for arm in arms}) == len(arms)
    acting = [
        (arm.prompt_name, json.dumps(generation_options(arm.generation), sort_keys=True), arm.generation.seed)
        for arm in arms
    ]
    assert len(set(acting)) == len(arms)
    names = {arm.prompt_name for arm in arms}
    assert names == {"structured", "raw", "few-shot random", "few-shot similar"}
    settings_of = {n: {str(generation_options(a.generation)) for a in arms if a.prompt_name == n} for n in names}
    if design == "grid":  # crossed: every prompt is tried under the same settings
        assert len({frozenset(found) for found in settings_of.values()}) == 1
    else:  # only the recipe's own prompt is tried under others
        assert all(len(found) == 1 for name, found in settings_of.items() if name != "structured")


def test_settings_that_need_others_to_act_bring_them_along_and_say_so() -> None:
    arms = plan_arms(
        STRUCTURED, Generation(), kinds=[], few_shots=[], vary={"temperature": [0.5], "length_penalty": [2.0]}
    )
    assert [arm.name for arm in arms[1:]] == [
        "structured, sampled, temperature 0.5",
        "structured, 4 beams, length penalty 2.0",
    ]
    assert settings_label(Generation(no_repeat_ngram_size=0), Generation(no_repeat_ngram_size=3)) == "repeats allowed"


def test_the_standard_values_touch_what_a_study_of_generation_is_about() -> None:
    arms = plan_arms(STRUCTURED, Generation(), kinds=[], few_shots=[], vary=parse_variations(["standard"]))
    changed = {n for a in arms for n, v in a.generation.model_dump().items() if v != getattr(Generation(), n)}
    # temperature 1 and sampling alone are one arm
    assert changed == {*STANDARD, "do_sample"}


def test_examples_stand_in_words_that_close_with_a_cue() -> None:
    own = Prompt(kind="template", template="Topic of\n{dialogue}\nTopic:")
    assert few_shot_wording(own) == own
    assert few_shot_wording(Prompt(kind="raw")) == few_shot_wording(Prompt(kind="instruct")) == STRUCTURED


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("beams=4", "no generation setting 'beams'", "did you mean num_beams?"),
        ("num_beams", "not of the form", "num_beams=1,4"),
        ("num_beams=", "not of the form", "num_beams=1,4"),
        ("num_beams=[", "cannot be read", "num_beams=1,4"),
    ],
)
def test_a_variation_that_cannot_be_read_is_named(text: str, said: str, hint: str) -> None:
    with pytest.raises(UsageError, match=said) as raised:
        parse_variations([text])
    assert hint in raised.value.hint


@pytest.mark.parametrize(
    ("vary", "said"),
    [({"num_beams": [0]}, "num_beams"), ({"min_new_tokens": [99]}, "min_new_tokens"), ({"top_p": ["x"]}, "top_p")],
)
def test_a_value_that_there_cannot_be_is_refused_before_anything_is_loaded(
    vary: dict[str, list[Any]], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        plan_arms(STRUCTURED, Generation(), kinds=[], few_shots=[], vary=vary)


# The study itself, on the byte base: 2 + 2 layers, 8 test dialogues.

LIMIT = 300  # bytes: holds an example or two


@pytest.fixture(scope="module")
def workplace(byte_base: Path, dialogues: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe, and the adapter and run that it gave."""
    folder = tmp_path_factory.mktemp("study")
    recipe = write_recipe(folder / "small.yaml", byte_base, dialogues)
    text = recipe.read_text(encoding="utf-8")
    recipe.write_text(text.replace("data: {", f"data: {{max_source_tokens: {LIMIT}, "), encoding="utf-8")
    train(load_recipe(recipe), folder / "runs/small", folder / "adapters/small")
    return folder


@pytest.fixture(scope="module")
def study(workplace: Path) -> PromptStudy:
    recipe = load_recipe(workplace / "small.yaml")
    return study_prompts(recipe, workplace / "out", vary={"num_beams": [2]}, adapters=[workplace / "runs/small"])


def test_every_arm_is_asked_of_every_target_and_scored_like_an_evaluation(study: PromptStudy, workplace: Path) -> None:
    prompts = ["structured", "raw", "instruct", "few-shot random", "few-shot similar", "structured, 2 beams"]
    assert [arm.system for arm in study.arms] == [*prompts, *(f"small: {name}" for name in prompts)]
    recipe = load_recipe(workplace / "small.yaml")
    alone = evaluate(workplace / "runs/small", recipe.data, prompt=Prompt(kind="raw"), out=workplace / "alone")
    by_name = {arm.system: arm for arm in study.arms}
    assert by_name["small: raw"].scores == alone.scores
    ours = {key: v for key, v in by_name["small: raw"].statistics.items() if key in alone.statistics}
    assert ours == alone.statistics
    assert by_name["structured"].scores.n == 8


def test_what_the_context_held_is_recorded_and_told(study: PromptStudy) -> None:
    by_name = {system.system: system for system in study.comparison.systems}
    for arm in study.arms:
        statistics = by_name[arm.system].statistics
        assert max(statistics["source_tokens"]) <= LIMIT
        assert (max(arm.shots) > 0) == (arm.arm.few_shot is not None)
        note = by_name[arm.system].note
        assert note is not None
        assert f"{arm.cut} of 8 dialogues do not fit alone" in note
        if arm.arm.few_shot is not None:
            assert f"{sum(arm.shots) / 8:.2f} examples a dialogue" in note
    for name, prompts in study.sent.items():
        assert prompts, name
        assert all(len(p.text.split(EXAMPLE_SEPARATOR)) == len(p.examples) + 1 for p in prompts)


def test_prompts_stand_on_the_front_at_no_cost_of_training(study: PromptStudy) -> None:
    comparison = study.comparison
    for cost in ("train_wall_s", "train_energy_j", "stored_bytes", "trainable_params"):
        costs = {point.system: point.cost for point in points(comparison, cost)}
        assert all((costs[arm.system] == 0) == (arm.target is None) for arm in study.arms), cost
        best = max((p for p in points(comparison, cost) if p.cost == 0), key=lambda p: p.quality)
        assert best in pareto_front(points(comparison, cost))
    assert COSTS["peak_memory_bytes"].of(comparison.systems[0]) is None  # there was no training to have a peak
    assert verdict(comparison)
    told = prompt_verdicts(study)
    assert len(told) == 2
    assert "the untuned" in told[0]
    assert "small" in told[1]


def test_a_finished_arm_is_not_asked_again_and_a_changed_one_is(
    study: PromptStudy, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peftsum.generate import Summarizer

    recipe = load_recipe(workplace / "small.yaml")
    asked: list[str] = []
    real = Summarizer.summarize

    def noted(self: Summarizer, *arguments: Any, title: str = "", **options: Any) -> list[str]:
        asked.append(title.removeprefix("summaries by "))
        return real(self, *arguments, title=title, **options)

    monkeypatch.setattr(Summarizer, "summarize", noted)
    again = study_prompts(recipe, workplace / "out", vary={"num_beams": [2]}, adapters=[workplace / "runs/small"])
    assert asked == []
    assert again.arms == study.arms
    more = study_prompts(
        recipe, workplace / "out", kinds=["raw"], few_shots=[FewShot(shots=1)], vary={"num_beams": [3]}
    )
    assert asked == ["few-shot random 1", "structured, 3 beams"]
    assert all(max(arm.shots) == 1 for arm in more.arms if arm.arm.few_shot)
    # An arm that a crash left without its record, or with a damaged one, is asked again.
    asked.clear()
    folders = {p.name.rsplit("-", 1)[0]: p for p in (workplace / "out" / "arms").iterdir()}
    (folders["raw"] / "arm.json").unlink()
    (folders["instruct"] / "arm.json").write_text("{", encoding="utf-8")
    mended = study_prompts(recipe, workplace / "out", vary={"num_beams": [2]})
    assert asked == ["raw", "instruct"]
    assert [arm.scores for arm in mended.arms] == [arm.scores for arm in study.arms if arm.target is None]


@pytest.mark.usefixtures("forked_apart")
def test_tuned_recipes_stand_beside_the_prompts_as_they_are(
    workplace: Path, study: PromptStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workplace)
    beside = study_prompts(load_recipe("small.yaml"), "out", few_shots=[], beside=["runs/small"])
    assert [s.system for s in beside.comparison.systems] == ["structured", "raw", "instruct", "small"]
    tuned = beside.comparison.systems[-1]
    assert tuned.train is not None
    assert tuned.train.wall_s.value
    assert tuned.scores == next(arm.scores for arm in study.arms if arm.system == "small: structured")
    assert {"small", "raw"} <= beside.comparison.examples[0].predictions.keys()


def test_a_dialogue_too_long_alone_is_counted_and_warned_of(
    byte_base: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = dialogue_rows(6)
    write_jsonl(tmp_path / "data" / "train.jsonl", dialogue_rows(30, 50))
    rows[2] = {**rows[2], "dialogue": "Ann: " + "a very long story " * 30}
    write_jsonl(tmp_path / "data" / "test.jsonl", rows)
    write_recipe(tmp_path / "small.yaml", byte_base, tmp_path / "data")
    recipe = load_recipe(tmp_path / "small.yaml", ["data.max_source_tokens=250"])
    study = study_prompts(recipe, tmp_path / "out", kinds=[])
    assert [arm.cut for arm in study.arms] == [1, 1, 1]
    assert all(arm.shots[2] == 0 < sum(arm.shots) for arm in study.arms[1:])
    warned = [record.getMessage() for record in caplog.records if "alone longer" in record.getMessage()]
    assert warned == [
        f"{name}: 1 of 6 dialogues are alone longer than 250 tokens; their end was cut"
        for name in ("structured", "few-shot random", "few-shot similar")
    ]


def test_the_command_writes_the_report_with_the_prompts_and_prints_one_document(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(workplace)
    made = run(capsys, "prompts", "small.yaml", "--limit", 4, "--example", 3, "--example", 5, "--json", "--out", "told")
    assert made.code == 0, made.err
    document = json.loads(made.out)
    names = ["structured", "raw", "instruct", "few-shot 3 5"]
    assert [arm["system"] for arm in document["arms"]] == names
    with Path("told/results.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["system"], row["n"], row["train_wall_s"]) for row in rows] == [(name, "4", "0.0") for name in names]
    with Path("told/arms.csv").open(encoding="utf-8") as file:
        arms = list(csv.DictReader(file))
    few = document["arms"][-1]["statistics"]["shots"]
    assert float(arms[-1]["examples_mean"]) == sum(few) / 4
    assert int(arms[-1]["examples_left_out"]) == 8 - sum(few)
    sent = [json.loads(line) for line in Path("told/prompts/few-shot-3-5.jsonl").read_text("utf-8").splitlines()]
    assert [len(row["examples"]) for row in sent] == few
    page = Path("told/prompts.md").read_text(encoding="utf-8")
    assert sent[0]["text"] in page
    assert "few-shot" in Path("told/report.md").read_text(encoding="utf-8")
    assert Path("told/index.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--prompt", "raw", "--shots", "2"], ["few-shot", "--prompt few-shot"]),
        (["--example", "99"], ["no training dialogue 99", "0 to 39"]),
        (["--example", "1", "--example", "1"], ["twice"]),
        (["--vary", "num_beam=2"], ["did you mean num_beams"]),
        (["--vary", "top_p=7"], ["top_p"]),
        (["--adapter", "nowhere"], ["nowhere"]),
        (["--adapter", "adapters/small", "--adapter", "adapters/small"], ["two adapters are called 'small'"]),
        (["--split", "dev"], ["no split dev"]),
        (["--set", "prompt.kind=poem"], ["prompt"]),
    ],
)
def test_what_cannot_be_asked_fails_in_two_lines(
    arguments: list[str],
    words: list[str],
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(workplace)
    run(capsys, "prompts", "small.yaml", *arguments).assert_failed(2, *words)
    assert not Path("runs/small-prompts/arms").exists()


def test_the_built_in_dialogues_give_examples_within_512_tokens() -> None:
    from peftsum.data import load_split

    test = load_split(Data(), "test")
    prompts = FewShotPrompts(
        load_split(Data(), "train"), Split(test.source, test.name, test.examples[:40]), load_tokenizer(Model()), 512
    )
    for few in (FewShot(), FewShot(choose="similar")):
        sent = prompts.few_shot(STRUCTURED, few)
        assert max(p.tokens for p in sent) <= 512
        assert sum(len(p.examples) > 0 for p in sent) > 30
