"""Which of the dialogues to be scored a system was trained on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from peftsum.data import Split, load_training_splits
from peftsum.exceptions import DataError, HubError
from peftsum.leakage import find_leakage
from peftsum.recipe import Recipe
from peftsum.section import Record


class Seen(Record):
    """Dialogues of an evaluation that stand in one training set."""

    systems: list[str]
    """That were trained on it."""
    exact: list[str]
    """Ids of those that stand there word for word."""
    near: list[str]
    """Ids of those that stand there nearly; :mod:`peftsum.leakage` says what is near."""
    unknown: str | None = None
    """Why nothing is known of this training set; None where it was searched."""


@dataclass(frozen=True)
class Trained:
    """A system, and what says what it was, or will be, trained on."""

    system: str
    recipe: Recipe
    fingerprint: str | None
    """Of the examples that it was trained on; None where it will be trained on those that the recipe names now."""


def find_seen(systems: Sequence[Trained], evaluated: Split) -> list[Seen]:
    """Return what of a split stands in the training data of the systems, an entry a training set.

    A training set that cannot be read, or is no longer what a system was trained on, is unknown and no error.
    """
    groups: dict[str, list[Trained]] = {}
    for trained in systems:
        data = trained.recipe.data.model_dump(mode="json", exclude={"max_source_tokens", "max_target_tokens"})
        key = json.dumps([data, trained.recipe.train.seed, trained.fingerprint], sort_keys=True)
        groups.setdefault(key, []).append(trained)
    return [_seen(group, evaluated) for group in groups.values()]


def _seen(group: Sequence[Trained], evaluated: Split) -> Seen:
    """Search the training set that all of a group have in common."""
    names = [trained.system for trained in group]
    recipe, fingerprint = group[0].recipe, group[0].fingerprint
    try:
        training, _ = load_training_splits(recipe.data, recipe.train.seed)
    except (DataError, HubError) as error:
        return Seen(systems=names, exact=[], near=[], unknown=error.message)
    if fingerprint not in (None, training.fingerprint):
        reason = f"{recipe.data.source} is no longer what it was in the training"
        return Seen(systems=names, exact=[], near=[], unknown=reason)
    leakage = find_leakage(evaluated, training)
    exact = {leak.id for leak in leakage.pairs if leak.kind == "exact"}
    ids = leakage.ids
    return Seen(systems=names, exact=[i for i in ids if i in exact], near=[i for i in ids if i not in exact])


def leaked_ids(seen: Sequence[Seen]) -> set[str]:
    """Return the ids of the dialogues that any system was trained on, exactly or nearly."""
    return {i for entry in seen for i in (*entry.exact, *entry.near)}


def describe_seen(seen: Sequence[Seen], dialogues: int, *, left_out: bool) -> list[str]:
    """Return in at most two sentences what was seen in training, and of which systems that is not known.

    Args:
        seen: what :func:`find_seen` gives.
        dialogues: of the evaluation, those left out among them.
        left_out: whether what was seen is left out of the scores.
    """
    found = []
    if leaked := leaked_ids(seen):
        exact = {i for entry in seen for i in entry.exact}
        systems = [name for entry in seen for name in entry.systems if entry.exact or entry.near]
        remedy = "they are left out" if left_out else "--leave-out-leaked scores without them"
        found.append(
            f"{len(leaked)} of {dialogues} dialogues ({len(exact)} exactly, {len(leaked - exact)} nearly) stand in the "
            f"training data of {', '.join(systems)}; {remedy}"
        )
    unknown = [f"{', '.join(entry.systems)} ({entry.unknown})" for entry in seen if entry.unknown]
    if unknown:
        found.append(f"whether dialogues stand in the training data is not known for {'; '.join(unknown)}")
    return found
