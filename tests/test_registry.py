"""Look-up by name: found, or refused with the nearest name and the whole list."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peftsum.exceptions import UnknownNameError
from peftsum.methods import METHODS
from peftsum.methods.base import MethodSection
from peftsum.prompts import Prompt
from peftsum.registry import Registry, nearest
from peftsum.wordings import PROMPTS

FRUIT = Registry("fruit", {"apple": 1, "pear": 2, "plum": 3})


def test_every_entry_is_found_under_its_name() -> None:
    assert {name: FRUIT[name] for name in FRUIT} == {"apple": 1, "pear": 2, "plum": 3}
    assert len(FRUIT) == 3


def test_a_misspelt_name_is_answered_with_the_nearest_and_with_all() -> None:
    with pytest.raises(UnknownNameError, match="no fruit named 'aple'") as raised:
        FRUIT["aple"]
    assert raised.value.hint == "did you mean 'apple'? known: apple, pear, plum"
    assert raised.value.exit_code == 2
    assert isinstance(raised.value, LookupError)


def test_a_name_near_to_nothing_gets_no_guess() -> None:
    with pytest.raises(UnknownNameError) as raised:
        FRUIT["xyzzy"]
    assert raised.value.hint == "known: apple, pear, plum"


@given(st.text(), st.lists(st.text(min_size=1), max_size=8))
def test_the_nearest_name_is_one_of_the_known(name: str, known: list[str]) -> None:
    guess = nearest(name, known)
    assert guess is None or guess in known
    if name and name in known:
        assert guess == name


def test_an_unknown_name_is_no_member_and_has_a_default_like_in_any_mapping() -> None:
    assert "aple" not in FRUIT
    assert FRUIT.get("aple") is None
    assert FRUIT.get("aple", 9) == 9


def test_an_entry_given_later_to_the_source_does_not_slip_in() -> None:
    entries = {"a": 1}
    registry = Registry("letter", entries)
    entries["b"] = 2
    assert "b" not in list(registry)


@pytest.mark.parametrize("name", list(METHODS))
def test_a_method_is_listed_under_its_kind_and_shows_it_in_its_label(name: str) -> None:
    section = METHODS[name]()
    assert isinstance(section, MethodSection)
    assert section.kind == name
    assert section.label().startswith(name)


@pytest.mark.parametrize("name", list(PROMPTS))
def test_a_prompt_has_its_dialogue_once_and_can_be_named_in_a_recipe(name: str) -> None:
    assert PROMPTS[name].count("{dialogue}") == 1
    assert Prompt.model_validate({"kind": name}).render("Ann: Hi!").count("Ann: Hi!") == 1


def test_every_prompt_that_a_recipe_can_name_has_a_wording() -> None:
    assert set(get_args(Prompt.model_fields["kind"].annotation)) == {*PROMPTS, "template"}
