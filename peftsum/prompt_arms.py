"""The arms of a prompt study: which words around the dialogue, and which generation settings, are held side by side.

Pure planning: nothing here reads data or loads a model.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import yaml
from pydantic import ValidationError

from peftsum.exceptions import UsageError
from peftsum.few_shot import FewShot
from peftsum.prompts import Prompt
from peftsum.recipe import Generation
from peftsum.registry import nearest
from peftsum.section import Record

Design = Literal["one-at-a-time", "grid"]
Variations = Mapping[str, Sequence[Any]]
"""Generation setting to the values to try."""

SAMPLING = ("temperature", "top_k", "top_p")
BEAMS = 4  # a length penalty acts on beams alone, and 4 are what summaries are usually decoded with

STANDARD: Variations = {
    "max_new_tokens": (20, 40, 80, 120),
    "num_beams": (1, 4),
    "temperature": (0.5, 1.0),
    "top_k": (10,),
    "top_p": (0.9,),
    "no_repeat_ngram_size": (0, 3),
    "length_penalty": (0.6, 2.0),
}
"""Settings worth a look where one has no guess of one's own; a value that the recipe has already gives no arm."""

WORDS = {
    "max_new_tokens": "at most {} tokens",
    "min_new_tokens": "at least {} tokens",
    "num_beams": "{} beams",
    "temperature": "temperature {}",
    "top_k": "top-k {}",
    "top_p": "top-p {}",
    "no_repeat_ngram_size": "no {}-gram twice",
    "repetition_penalty": "repetition penalty {}",
    "length_penalty": "length penalty {}",
    "seed": "sampling seed {}",
}
PLAIN = {("num_beams", 1): "1 beam", ("no_repeat_ngram_size", 0): "repeats allowed"}


class Arm(Record):
    """One way to ask: the words, the solved examples before them, and how the answer is decoded."""

    name: str
    wording: Prompt
    few_shot: FewShot | None = None
    generation: Generation

    @property
    def prompt_name(self) -> str:
        """The name without the settings."""
        return prompt_label(self.wording, self.few_shot)


def few_shot_wording(prompt: Prompt) -> Prompt:
    """Return the words around each example: the recipe's where they close with a cue such as "Summary:"."""
    return prompt if prompt.parts[1].strip() else Prompt(kind="structured", speakers=prompt.speakers)


def plan_arms(
    prompt: Prompt,
    generation: Generation,
    *,
    kinds: Sequence[str],
    few_shots: Sequence[FewShot],
    vary: Variations,
    design: Design = "one-at-a-time",
) -> list[Arm]:
    """Return the arms, the recipe's own prompt with its own settings first, none twice.

    Args:
        prompt: of the recipe.
        generation: of the recipe.
        kinds: names of the wordings without examples.
        few_shots: choices of examples, an arm each.
        vary: values of generation settings.
        design: ``one-at-a-time`` tries every prompt under the recipe's settings, and every setting with the recipe's
            prompt; ``grid`` tries every prompt under every combination of the values.

    Raises:
        UsageError: a setting or a value that there cannot be.
    """
    prompts: list[tuple[Prompt, FewShot | None]] = [(prompt, None)]
    prompts += [(Prompt.model_validate({"kind": kind, "speakers": prompt.speakers}), None) for kind in kinds]
    prompts += [(few_shot_wording(prompt), few) for few in few_shots]
    settings = [_changed(generation, changes) for changes in _changes(vary, design)]
    if design == "grid":
        pairs = [*((p, generation) for p in prompts), *itertools.product(prompts, settings)]
    else:
        pairs = [*((p, generation) for p in prompts), *((prompts[0], s) for s in settings)]
    arms: dict[str, Arm] = {}
    for (wording, few), setting in pairs:
        label = settings_label(setting, generation)
        name = prompt_label(wording, few) + (f", {label}" if label else "")
        drawn = few.model_dump(exclude=None if few.choose == "random" else {"seed"}) if few else None
        key = json.dumps([wording.text, drawn, _acting(setting)], sort_keys=True)
        arms.setdefault(key, Arm(name=name, wording=wording, few_shot=few, generation=setting))
    return list(arms.values())


def parse_variations(texts: Sequence[str]) -> dict[str, list[Any]]:
    """Return the values of settings from texts such as ``num_beams=1,4``; ``standard`` gives :data:`STANDARD`.

    Raises:
        UsageError: it is not of that form, or there is no such setting.
    """
    found: dict[str, list[Any]] = {}
    for text in texts:
        if text == "standard":
            for name, values in STANDARD.items():
                found.setdefault(name, []).extend(values)
            continue
        name, equals, listed = text.partition("=")
        name = name.strip().removeprefix("generation.")
        if not equals or not listed.strip():
            raise UsageError(f"--vary {text}: not of the form SETTING=VALUE,…", hint="for example num_beams=1,4")
        if name not in Generation.model_fields:
            guess = nearest(name, Generation.model_fields)
            known = ", ".join(Generation.model_fields)
            raise UsageError(
                f"--vary {text}: no generation setting {name!r}",
                hint=f"did you mean {guess}?" if guess else f"known: {known}",
            )
        try:
            values = yaml.safe_load(f"[{listed}]")
        except yaml.YAMLError as error:
            raise UsageError(f"--vary {text}: cannot be read", hint="for example num_beams=1,4") from error
        found.setdefault(name, []).extend(values)
    return found


def _changes(vary: Variations, design: Design) -> Iterator[dict[str, Any]]:
    if not vary:
        return
    if design == "grid":
        for combination in itertools.product(*vary.values()):
            yield dict(zip(vary, combination, strict=True))
    else:
        for name, values in vary.items():
            yield from ({name: value} for value in values)


def _changed(generation: Generation, changes: dict[str, Any]) -> Generation:
    """Return the settings with some changed, and with what those need to act at all: sampling, or beams."""
    values = generation.model_dump() | changes
    if "do_sample" not in changes and any(name in changes for name in SAMPLING):
        values["do_sample"] = True
    if "length_penalty" in changes and "num_beams" not in changes and generation.num_beams == 1:
        values["num_beams"] = BEAMS
    if values["do_sample"] is False:  # of a grid that has both; they would be refused, and act on nothing
        values |= {name: Generation.model_fields[name].default for name in SAMPLING}
    try:
        return Generation.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        told = ", ".join(f"{name}={value}" for name, value in changes.items())
        where = ".".join(str(part) for part in problem["loc"])
        raise UsageError(
            f"--vary {told}: {where + ': ' if where else ''}{problem['msg']}",
            hint="`peftsum init DIR` writes recipes with every generation setting explained",
        ) from error


def _acting(generation: Generation) -> dict[str, Any]:
    """Return what changes the summaries: settings that act on nothing are left out, so that equal arms are found."""
    from peftsum.decoding.by_transformers import generation_options  # brings torch

    seed = {"seed": generation.seed} if generation.do_sample else {}
    return generation_options(generation) | seed


def prompt_label(wording: Prompt, few: FewShot | None) -> str:
    """Return what a prompt is called: ``structured``, ``few-shot similar, 2 at most``."""
    if few is None:
        return wording.kind
    label = f"few-shot {' '.join(map(str, few.indices)) or few.choose}"
    if few.shots is not None:
        label += f" {few.shots}"
    default = type(few).model_fields["seed"].default
    return label + (f" seed {few.seed}" if few.choose == "random" and few.seed != default else "")


def settings_label(generation: Generation, own: Generation) -> str:
    """Return in words how settings differ from the recipe's own; empty where they do not."""
    acting, ours = _acting(generation), _acting(own)
    parts = []
    if generation.do_sample != own.do_sample:
        parts.append("sampled" if generation.do_sample else "not sampled")
    for name, words in WORDS.items():
        value = getattr(generation, name)
        if name in acting and acting.get(name) != ours.get(name) and value != getattr(own, name):
            parts.append(PLAIN.get((name, value)) or words.format(value))
    if "min_new_tokens" not in acting and "min_new_tokens" in ours:
        parts.append("no shortest length")
    return ", ".join(parts)
