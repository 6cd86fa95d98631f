"""The prompt study: ways to ask a base, and tuned adapters, side by side and scored as everything else.

    study = study_prompts(load_recipe("recipes/tiny/lora.yaml"), "runs/prompts", kinds=["raw", "instruct"])

A prompt costs no training, so its systems stand in the comparison at 0 s and 0 J; what they cost when used is in the
readings of the generation. Each finished arm is kept under the hash of all that shaped it, and is not made again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from peftsum.artifacts import (
    ERRORS_FILE,
    PREDICTIONS_FILE,
    Prediction,
    read_predictions,
    read_record,
    storage_errors,
    write_predictions,
    write_record,
    write_text,
)
from peftsum.compare import EXAMPLES, compare, limited, machine_lines, spread
from peftsum.comparison import Comparison, Example, System
from peftsum.cost.machine import Machine, describe_machine
from peftsum.cost.meters import measure
from peftsum.cost.readings import Readings
from peftsum.data import Split, load_split, load_training_splits
from peftsum.dialogue_facts import dialogue_facts
from peftsum.evaluate import Scored, score_texts
from peftsum.exceptions import DataError, UsageError
from peftsum.few_shot import FewShot, FewShotPrompts, Sent
from peftsum.metrics.coverage import turn_coverage
from peftsum.model import count_parameters, default_device, load_tokenizer
from peftsum.prompt_arms import Arm, Design, Variations, plan_arms
from peftsum.prompt_targets import StudyTarget, study_targets
from peftsum.prompts import Prompt
from peftsum.recipe import Recipe
from peftsum.redaction import screen
from peftsum.section import Record
from peftsum.seen import Trained, describe_seen, find_seen
from peftsum.speakers import speaker_view
from peftsum.wordings import PROMPTS

if TYPE_CHECKING:
    from peftsum.generate import Summarizer

logger = logging.getLogger(__name__)

ARM_FILE = "arm.json"
KINDS = tuple(PROMPTS)
FEW_SHOTS = (FewShot(choose="random"), FewShot(choose="similar"))


class ArmResult(Scored):
    """``arm.json``: one arm on one target, its scores, and what it took to ask."""

    key: str
    """Hash of all that shaped the summaries."""
    system: str
    target: str | None
    """Name of the tuned system that was asked; None for the untuned base."""
    arm: Arm
    max_source_tokens: int
    total_params: int
    left_out: int
    """Examples asked for by index that are in no prompt, over all dialogues."""
    evaluate: Readings
    machine: Machine | None = None

    @property
    def shots(self) -> list[int]:
        """How many solved examples stand before each dialogue."""
        return [int(count) for count in self.statistics["shots"]]

    @property
    def cut(self) -> int:
        """Dialogues that do not fit the context alone, and lost their end."""
        return int(sum(self.statistics["source_cut"]))


class PromptStudy(Record):
    """What a study found: the arms, and the comparison that the report is made of."""

    comparison: Comparison
    arms: list[ArmResult]
    sent: dict[str, list[Sent]]
    """Name of a prompt to a few of its prompts as they were sent."""


def study_prompts(
    recipe: Recipe,
    out: str | Path,
    *,
    kinds: Sequence[str] = KINDS,
    few_shots: Sequence[FewShot] = FEW_SHOTS,
    vary: Variations | None = None,
    design: Design = "one-at-a-time",
    adapters: Sequence[str | Path] = (),
    beside: Sequence[str | Path] = (),
    data: str | None = None,
    split: str = "test",
    limit: int | None = None,
    runs_dir: str | Path = "runs",
    adapters_dir: str | Path = "adapters",
    overrides: Sequence[str] = (),
    ignore_forecast: bool = False,
) -> PromptStudy:
    """Ask the recipe's base, and tuned systems, in several ways, and score the answers.

    Args:
        recipe: its base, data, prompt and generation settings are what the arms vary; nothing is trained.
        out: folder for each arm's summaries and scores; finished arms there are not made again.
        kinds: wordings without examples, by name.
        few_shots: choices of solved examples, an arm each.
        vary: generation setting to the values to try.
        design: ``one-at-a-time`` or ``grid``; :func:`peftsum.prompt_arms.plan_arms` says what they give.
        adapters: tuned adapters, or runs, on the same base to ask in the same ways.
        beside: recipes or runs that stand in the same comparison as they are; a recipe is trained where it is not yet.
        data: what to evaluate on; None takes the recipe's. Solved examples come from the recipe's training split.
        split: which split of it.
        limit: its first dialogues only.
        runs_dir: where the runs of ``beside`` lie.
        adapters_dir: where their adapters lie.
        overrides: ``a.b=c`` settings for the recipes of ``beside``; those of ``recipe`` are in it already.
        ignore_forecast: train recipes of ``beside`` even where the forecast says that the memory cannot suffice.

    Raises:
        UsageError: an arm that there cannot be, or names that clash.
        Everything that :func:`peftsum.evaluate` and :func:`peftsum.compare` raise.
    """
    arms = plan_arms(recipe.prompt, recipe.generation, kinds=kinds, few_shots=few_shots, vary=vary or {}, design=design)
    targets = study_targets(recipe, adapters)
    section = recipe.data if data is None else recipe.data.model_copy(update={"source": data})
    asked = limited(load_split(section, split), limit)
    sent = _sent(recipe, arms, asked)  # fails here, before any weights are loaded
    _write_sent(Path(out), sent)
    asker = _Asker(recipe, asked, sent, Path(out))
    results = asker.ask_all(targets, arms)
    others = None
    if beside:
        others = compare(
            beside,
            runs_dir=runs_dir,
            adapters_dir=adapters_dir,
            data=data,
            split=split,
            limit=limit,
            overrides=overrides,
            untuned=False,
            ignore_forecast=ignore_forecast,
        )
    systems = [_system(result, target) for target, result in results]
    texts = {result.system: asker.texts(target, result.arm) for target, result in results}
    return PromptStudy(
        comparison=_comparison(asked, targets, systems, texts, others),
        arms=[result for _, result in results],
        sent={name: spread(rows, EXAMPLES) for name, rows in sent.items()},
    )


def _sent(recipe: Recipe, arms: Sequence[Arm], asked: Split) -> dict[str, list[Sent]]:
    """Return every prompt as it will be sent, by the name of the prompt."""
    train, _ = load_training_splits(recipe.data, recipe.train.seed) if any(a.few_shot for a in arms) else (asked, asked)
    maker = FewShotPrompts(train, asked, load_tokenizer(recipe.model), recipe.data.max_source_tokens)
    if any(arm.few_shot for arm in arms) and maker.leaks:
        logger.warning(
            "%d of %d dialogues stand in the training split; their copies there are not taken as examples",
            len(maker.leaks),
            len(asked.examples),
        )
    sent: dict[str, list[Sent]] = {}
    for arm in arms:
        if arm.prompt_name not in sent:
            few = arm.few_shot
            sent[arm.prompt_name] = maker.few_shot(arm.wording, few) if few else maker.plain(arm.wording)
            _tell_of_cuts(arm, sent[arm.prompt_name], maker.limit)
    return sent


def _tell_of_cuts(arm: Arm, sent: Sequence[Sent], limit: int) -> None:
    if cut := sum(prompt.cut for prompt in sent):
        logger.warning(
            "%s: %d of %d dialogues are alone longer than %d tokens; their end was cut",
            arm.prompt_name,
            cut,
            len(sent),
            limit,
        )
    if left_out := sum(prompt.left_out for prompt in sent):
        wanted = len(arm.few_shot.indices) * len(sent) if arm.few_shot else 0
        logger.warning(
            "%s: %d of %d examples are in no prompt, since %d tokens do not hold them",
            arm.prompt_name,
            left_out,
            wanted,
            limit,
        )


def _write_sent(out: Path, sent: dict[str, list[Sent]]) -> None:
    for name, rows in sent.items():
        write_text(out / "prompts" / f"{_slug(name)}.jsonl", "".join(row.model_dump_json() + "\n" for row in rows))


@dataclass(frozen=True)
class _Asker:
    """Asks every arm of every target, and keeps what is finished."""

    recipe: Recipe
    asked: Split
    sent: dict[str, list[Sent]]
    out: Path

    def ask_all(self, targets: Sequence[StudyTarget], arms: Sequence[Arm]) -> list[tuple[StudyTarget, ArmResult]]:
        """Return the result of each; a target is loaded once, and only where an arm is missing."""
        results: list[tuple[StudyTarget, ArmResult]] = []
        for target in targets:
            summarizer: Summarizer | None = None
            for arm in arms:
                name = _name(target, arm)
                folder, key = self._place(target, arm)
                found = _found(folder, key)
                number, total = len(results) + 1, len(targets) * len(arms)
                logger.info("[%d/%d] %s%s", number, total, name, " is up to date" if found else "")
                if found is None:
                    summarizer = summarizer or target.load(self.recipe)
                    found = self._ask(summarizer, target, arm)
                results.append((target, found))
        return results

    def texts(self, target: StudyTarget, arm: Arm) -> dict[str, str]:
        """Return the summaries of a finished arm by dialogue."""
        folder, _ = self._place(target, arm)
        return {p.id: p.prediction for p in read_predictions(folder / PREDICTIONS_FILE)}

    def _place(self, target: StudyTarget, arm: Arm) -> tuple[Path, str]:
        """Return the folder of an arm, and the hash of all that shapes its summaries and scores.

        The prompts themselves stand for how they were made.
        """
        digest = hashlib.sha256()
        shaping = [self.asked.fingerprint, target.weights, self.recipe.model.model_dump(), arm.generation.model_dump()]
        digest.update(json.dumps(shaping, sort_keys=True).encode())
        for prompt in self.sent[arm.prompt_name]:
            digest.update(prompt.model_dump_json().encode())
        key = digest.hexdigest()[:12]
        return self.out / "arms" / f"{_slug(_name(target, arm))}-{key}", key

    def _ask(self, summarizer: Summarizer, target: StudyTarget, arm: Arm) -> ArmResult:
        sent, limit = self.sent[arm.prompt_name], self.recipe.data.max_source_tokens
        folder, key = self._place(target, arm)
        with measure(self.recipe.cost, default_device()) as measurement:
            texts = summarizer.summarize(
                [prompt.text for prompt in sent],
                prompt=Prompt(kind="raw"),  # what is sent is whole already, and within the context
                generation=arm.generation,
                max_source_tokens=limit,
                title=f"summaries by {_name(target, arm)}",
            )
        views = [speaker_view(e.dialogue, arm.wording.speakers) for e in self.asked.examples]
        texts = [screen(v.restore(text), self.recipe.data.redact) for v, text in zip(views, texts, strict=True)]
        rows = zip(self.asked.examples, texts, strict=True)
        write_predictions(
            folder / PREDICTIONS_FILE,
            [Prediction(id=e.id, prediction=text, adapter=target.name or None) for e, text in rows],
        )
        scored = score_texts(self.asked, texts, errors=folder / ERRORS_FILE).model_dump()
        scored["statistics"] |= {
            "source_tokens": [float(prompt.tokens) for prompt in sent],
            "source_cut": [float(prompt.cut) for prompt in sent],
            "source_parts": [1.0] * len(sent),  # what is sent is within the context
            "shots": [float(len(prompt.examples)) for prompt in sent],
        }
        result = ArmResult(
            **scored,
            key=key,
            system=_name(target, arm),
            target=target.name or None,
            arm=arm,
            max_source_tokens=limit,
            total_params=count_parameters(summarizer.model)[1],
            left_out=sum(prompt.left_out for prompt in sent),
            evaluate=measurement.readings,
            machine=describe_machine(),
        )
        write_record(folder / ARM_FILE, result)  # last: an arm that has it is whole
        return result


def _name(target: StudyTarget, arm: Arm) -> str:
    return f"{target.name}: {arm.name}" if target.name else arm.name


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")[:80] or "prompt"


def _found(folder: Path, key: str) -> ArmResult | None:
    """Return a finished arm, or None; a damaged one is made again."""
    if not ((folder / ARM_FILE).is_file() and (folder / PREDICTIONS_FILE).is_file()):
        return None
    try:
        found = read_record(folder / ARM_FILE, ArmResult)
        predictions = read_predictions(folder / PREDICTIONS_FILE)
    except DataError as error:
        logger.warning("%s; asking again", error)
        with storage_errors(folder):
            (folder / ARM_FILE).unlink(missing_ok=True)
        return None
    return found if found.key == key and len(predictions) == found.scores.n else None


def _system(result: ArmResult, target: StudyTarget) -> System:
    return System(
        system=result.system,
        **target.described,
        scores=result.scores,
        total_params=result.total_params,
        evaluate=result.evaluate,
        evaluated_on=result.machine.label if result.machine else None,
        statistics=result.statistics,
        note=describe_context(result),
    )


def describe_context(result: ArmResult) -> str:
    """Return in words what the context held: examples, tokens, and what did not fit."""
    tokens = result.statistics["source_tokens"]
    parts = [
        f"prompts of {sum(tokens) / len(tokens):.0f} tokens on average, at most {max(tokens):.0f} of "
        f"{result.max_source_tokens}"
    ]
    if result.arm.few_shot is not None:
        shots = result.shots
        parts.append(
            f"{sum(shots) / len(shots):.2f} examples a dialogue on average, from {min(shots)} to {max(shots)}; "
            f"{shots.count(0)} of {len(shots)} dialogues have none"
        )
        if result.left_out:
            asked = len(shots) * len(result.arm.few_shot.indices)
            parts.append(f"{result.left_out} of {asked} examples asked for by index did not go in")
    parts.append(f"{result.cut} of {len(tokens)} dialogues do not fit alone and were cut")
    return "; ".join(parts)


def _comparison(
    asked: Split,
    targets: Sequence[StudyTarget],
    systems: list[System],
    texts: dict[str, dict[str, str]],
    others: Comparison | None,
) -> Comparison:
    examples = asked.examples
    dialogues = [e.dialogue for e in examples]
    covered = [
        s.model_copy(update={"coverage": turn_coverage(dialogues, [(texts[s.system][e.id],) for e in examples])})
        for s in systems
    ]
    beside = list(others.systems) if others else []
    if clash := {s.system for s in covered} & {s.system for s in beside}:
        raise UsageError(f"two systems are called {sorted(clash)[0]!r}", hint="give the recipe a `name:` of its own")
    shown = {example.id: example.predictions for example in others.examples} if others else {}
    trained = [Trained(t.name, t.recipe, t.data_fingerprint) for t in targets if t.name and t.recipe]
    seen = find_seen(trained, asked)
    for line in describe_seen(seen, len(examples), left_out=False):
        logger.warning("%s, %s split: %s", asked.source, asked.name, line)
    return Comparison(
        title=f"Prompts on {asked.source}, {asked.name} split",
        data=asked.source,
        split=asked.name,
        n=len(examples),
        seen=[*seen, *(others.seen if others else [])],
        machine=machine_lines(describe_machine()),
        facts=dialogue_facts([e.id for e in examples], dialogues, [e.topic for e in examples]),
        reference_coverage=turn_coverage(dialogues, [e.references for e in examples]),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        systems=[*covered, *beside],
        examples=[
            Example(
                id=e.id,
                dialogue=e.dialogue,
                references=list(e.references),
                predictions={name: rows[e.id] for name, rows in texts.items()} | shown.get(e.id, {}),
            )
            for e in spread(examples, EXAMPLES)
        ],
        commands=[shlex.join(["peftsum", *sys.argv[1:]])] if Path(sys.argv[0]).stem in {"peftsum", "__main__"} else [],
    )
