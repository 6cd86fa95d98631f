"""Few-shot prompts: examples that fit and never leak, chosen at random, by likeness or by number."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from peftsum import make_prompt
from peftsum.data import Example, Split
from peftsum.exceptions import RecipeError, UsageError
from peftsum.few_shot import FewShot, FewShotPrompts
from peftsum.model import load_tokenizer
from peftsum.prompts import EXAMPLE_SEPARATOR, Prompt
from peftsum.recipe import Data, Model
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
