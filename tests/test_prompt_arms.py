"""The arms of a prompt study: each differs from the others in what acts, and what cannot be is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peftsum.decoding.by_transformers import generation_options
from peftsum.exceptions import UsageError
from peftsum.few_shot import FewShot
from peftsum.prompt_arms import STANDARD, few_shot_wording, parse_variations, plan_arms, settings_label
from peftsum.prompts import Prompt
from peftsum.recipe import Generation

STRUCTURED = Prompt()


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
