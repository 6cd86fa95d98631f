"""Prompts: the dialogue goes in unchanged, whatever it holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from peftsum.prompts import PROMPTS, Prompt

KINDS = list(PROMPTS)


@given(st.sampled_from(KINDS), st.text())
def test_a_dialogue_stands_unchanged_between_the_words_around_it(kind: str, dialogue: str) -> None:
    prompt = Prompt.model_validate({"kind": kind})
    before, after = prompt.parts
    assert prompt.render(dialogue) == before + dialogue + after


@pytest.mark.parametrize("dialogue", ["{dialogue}", "{0} {x!r} %s $x", "{{ }}", "a\\nb"])
def test_a_dialogue_that_looks_like_a_template_is_not_taken_for_one(dialogue: str) -> None:
    prompt = Prompt(kind="template", template="{not a field} {dialogue} 100 %")
    assert prompt.render(dialogue) == f"{{not a field}} {dialogue} 100 %"


@pytest.mark.parametrize("kind", KINDS)
def test_every_named_wording_is_a_kind_of_the_recipe(kind: str) -> None:
    assert Prompt.model_validate({"kind": kind}).text == PROMPTS[kind]


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "template"},
        {"template": "Sum up: {dialogue}"},
        {"kind": "instruct", "template": "Sum up: {dialogue}"},
        {"kind": "template", "template": "Sum up:"},
        {"kind": "template", "template": "{dialogue} {dialogue}"},
        {"kind": "template", "template": ""},
        {"kind": "poem"},
    ],
)
def test_a_prompt_that_cannot_work_is_refused(values: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Prompt.model_validate(values)


def test_a_prompt_written_out_reads_back_the_same() -> None:
    prompt = Prompt(kind="template", template="Topic of\n{dialogue}\n:")
    assert Prompt.model_validate_json(prompt.model_dump_json()) == prompt
