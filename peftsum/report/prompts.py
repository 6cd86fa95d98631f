"""What a prompt study adds to the report of its comparison: the arms, what each context held, and prompts as sent."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

from peftsum.comparison import Comparison, System, contrasts, reference_system, rouge_l
from peftsum.few_shot import Sent
from peftsum.prompt_study import ArmResult, PromptStudy, describe_context
from peftsum.recipe import Generation
from peftsum.report.console import WIDTH
from peftsum.report.page import escape_markdown, fence_markdown
from peftsum.report.text import in_points
from peftsum.units import format_probability, signed

if TYPE_CHECKING:
    from rich.table import Table

SHOWN = 2  # prompts as sent, of each kind
HEADERS = ("examples", "tokens", "cut", "R-1", "R-2", "R-L", "95 %", "s a summary")


def write_prompts(study: PromptStudy, out: Path) -> Path:
    """Write ``prompts.md`` and ``arms.csv`` and return the path of the first.

    Raises:
        StorageError: disk full, no permission.
    """
    from peftsum.artifacts import write_text

    write_text(out / "arms.csv", arms_csv(study))
    write_text(out / "prompts.md", render_prompts(study))
    return out / "prompts.md"


def prompt_verdicts(study: PromptStudy) -> list[str]:
    """Return a sentence on the best way to ask each target, the untuned base first."""
    verdicts = []
    for target in dict.fromkeys(result.target for result in study.arms):
        arms = [result for result in study.arms if result.target == target]
        verdicts.append(_verdict(study.comparison, arms, target))
    return verdicts


def _verdict(comparison: Comparison, arms: list[ArmResult], target: str | None) -> str:
    systems = _systems(comparison, arms)
    subject = target or f"the untuned {systems[0].base}"
    if len(arms) == 1:
        return f"{arms[0].system} is the only way {subject} was asked: ROUGE-L {_points(systems[0])}."
    own, among = systems[0], comparison.model_copy(update={"systems": systems})
    best = reference_system(among)
    of = f"the {len(arms)} ways to ask {subject} on these {comparison.n} dialogues,"
    if best.system == own.system:
        return f"Of {of} none scores above the recipe's own, {own.system}: ROUGE-L {_points(own)}."
    test = next(c for c in contrasts(among) if {c.system, c.against} == {own.system, best.system})
    outcome = "beyond the noise" if test.outcome != "unclear" else "within the noise"
    p = "" if test.p_holm is None else f", p {format_probability(test.p_holm)} after Holm's correction for all pairs"
    return (
        f"Of {of} {best.system} scores best: ROUGE-L {_points(best)} against {_points(own)} for the recipe's own, "
        f"{own.system}; a difference of {signed(abs(100 * test.mean))} points, {outcome}{p}. The best of many was "
        "chosen by these very dialogues: confirm it on another split."
    )


def _systems(comparison: Comparison, arms: list[ArmResult]) -> list[System]:
    by_name = {system.system: system for system in comparison.systems}
    return [by_name[result.system] for result in arms]


def _points(system: System) -> str:
    return in_points(rouge_l(system))


def _cells(result: ArmResult) -> list[str]:
    """Return what stands under :data:`HEADERS`."""
    shots, tokens = result.shots, result.statistics["source_tokens"]
    examples = "–" if result.arm.few_shot is None else f"{sum(shots) / len(shots):.2f} ({min(shots)}–{max(shots)})"  # noqa: RUF001
    scores, wall = result.scores, result.evaluate.wall_s.value
    interval = f"{in_points(scores.rougeL.low)}–{in_points(scores.rougeL.high)}"  # noqa: RUF001
    return [
        examples,
        f"{sum(tokens) / len(tokens):.0f}",
        str(result.cut),
        *(in_points(score.f) for score in (scores.rouge1, scores.rouge2, scores.rougeL)),
        interval,
        "–" if wall is None else f"{wall / scores.n:.2g}",  # noqa: RUF001
    ]


def render_table(study: PromptStudy) -> Table:
    """Return the arms as a table for a terminal of 100 columns, the best ROUGE-L in bold."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    title = Text(f"{study.comparison.title}: {study.comparison.n} dialogues")
    table = Table(
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        width=WIDTH,
    )
    table.add_column("Asked", ratio=1, overflow="fold")
    for header in HEADERS:
        table.add_column(header, justify="right", no_wrap=True)
    best = max(result.scores.rougeL.f for result in study.arms)
    for result in study.arms:
        style = "bold green" if result.scores.rougeL.f == best and len(study.arms) > 1 else ""
        table.add_row(Text(result.system, style=style), *_cells(result))
    return table


def arms_csv(study: PromptStudy) -> str:
    """Return ``arms.csv``: a row an arm, with its prompt, its settings, and what its context held."""
    settings = list(Generation.model_fields)
    scores = [f"{name}_f" for name in ("rouge1", "rouge2", "rougeL", "rougeLsum")]
    columns = ["system", "target", "prompt", "choose", "n", "context_tokens", "tokens_mean", "tokens_max"]
    columns += ["examples_mean", "examples_min", "examples_max", "dialogues_without_example", "examples_left_out"]
    columns += ["dialogues_cut", *settings, *scores, "generate_wall_s", "generate_energy_j", "key"]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for result in study.arms:
        shots, tokens, few = result.shots, result.statistics["source_tokens"], result.arm.few_shot
        row = {
            "system": result.system,
            "target": result.target,
            "prompt": result.arm.prompt_name,
            "choose": few.choose if few else None,
            "n": result.scores.n,
            "context_tokens": result.max_source_tokens,
            "tokens_mean": sum(tokens) / len(tokens),
            "tokens_max": int(max(tokens)),
            "examples_mean": sum(shots) / len(shots),
            "examples_min": min(shots),
            "examples_max": max(shots),
            "dialogues_without_example": shots.count(0),
            "examples_left_out": result.left_out,
            "dialogues_cut": result.cut,
            "generate_wall_s": result.evaluate.wall_s.value,
            "generate_energy_j": result.evaluate.energy_j.value,
            "key": result.key,
        }
        row |= result.arm.generation.model_dump()
        writer.writerow(row | {name: getattr(result.scores, name.removesuffix("_f")).f for name in scores})
    return text.getvalue()


def render_prompts(study: PromptStudy) -> str:
    """Return ``prompts.md``: verdicts, the arms, and a few prompts as they were sent, with the answers."""
    lines = [f"# {escape_markdown(study.comparison.title)}", ""]
    for verdict in prompt_verdicts(study):
        lines += [escape_markdown(verdict), ""]
    lines += ["## Arms", "", _markdown_row("Asked", *HEADERS), _markdown_row(*["---"] * (len(HEADERS) + 1))]
    lines += [_markdown_row(escape_markdown(r.system), *_cells(r)) for r in study.arms]
    lines += [
        "",
        "Examples: solved ones before the dialogue, the mean and the range over dialogues. Tokens: of a prompt, the "
        "mean. Cut: dialogues that do not fit the context alone, and lost their end. ROUGE in points; the interval is "
        "of R-L. The first arm is the recipe's own. Costs, errors and the Pareto front: report.md beside this file.",
        "",
        "## What each context held",
        "",
    ]
    held = dict.fromkeys((result.arm.prompt_name, describe_context(result)) for result in study.arms)
    lines += [f"- {escape_markdown(name)}: {text}." for name, text in held]
    lines += ["", "## Prompts as sent", "", "All of them are in `prompts/`, a row a dialogue."]
    for name, sent in study.sent.items():
        for prompt in sent[:SHOWN]:
            lines += _as_sent(study, name, prompt)
    return "\n".join(lines) + "\n"


def _as_sent(study: PromptStudy, name: str, prompt: Sent) -> list[str]:
    examples = f", after the examples {', '.join(prompt.examples)}" if prompt.examples else ""
    cut = ", its end cut" if prompt.cut else ""
    heading = f"### {escape_markdown(name)}: {escape_markdown(prompt.id + examples)} ({prompt.tokens} tokens{cut})"
    lines = ["", heading, "", fence_markdown(prompt.text), ""]
    asked = next((e for e in study.comparison.examples if e.id == prompt.id), None)
    answers = {result.system for result in study.arms if result.arm.prompt_name == name}
    for system, text in (asked.predictions if asked else {}).items():
        if system in answers:
            lines.append(f"- {escape_markdown(system)}: {escape_markdown(text) or '(empty)'}")
    return [*lines, *(f"- Reference: {escape_markdown(text)}" for text in (asked.references if asked else []))]


def _markdown_row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
