"""A sweep's result: the order of its trials, and how sure it is."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from peftsum.metrics.rouge import ROUGE_TYPES
from peftsum.report.page import escape_markdown
from peftsum.report.text import in_points
from peftsum.significance import ALPHA
from peftsum.sweep import SweepResult, Trial
from peftsum.units import format_probability, signed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.table import Table

    from peftsum.comparison import System

RESAMPLES = 2000
SEED = 13
HEADERS = ("judged by", "train loss", "val loss", "R-1", "R-2", "R-L", "95 %")


@dataclass(frozen=True)
class Standing:
    """How one arrangement stands in a ROUGE over the dialogues, the mean over its seeds."""

    name: str
    seeds: int
    mean: float
    """A fraction."""
    first_share: float
    """Of resampled sets of dialogues, the share in which it has the highest mean."""
    behind: float
    """The leader's mean less this one's; 0 for the leader."""
    p_holm: float | None
    """Of that difference, by paired randomization, corrected for all arrangements; None for the leader."""

    @property
    def sure(self) -> bool:
        """Whether it is shown to be behind the leader."""
        return self.p_holm is not None and self.p_holm <= ALPHA


def tested_score(result: SweepResult) -> str:
    """Return the ROUGE whose dialogues say how sure the order is: the judge, where it is one, else ROUGE-L."""
    return result.judge if result.judge in ROUGE_TYPES else "rougeL"


def standings(result: SweepResult) -> list[Standing]:
    """Return how sure the order by :func:`tested_score` is, the leader first; empty where no trial ended.

    Dialogues are resampled and tested in pairs. Seeds of one arrangement are averaged first: the noise of training is
    in the figures by as much as seeds were tried, and not at all with one.
    """
    import numpy as np

    from peftsum.metrics.paired import holm, randomization_p_values

    columns = _columns(result)
    if not columns:
        return []
    names = sorted(columns, key=lambda name: -float(np.mean(columns[name][0])))
    values = np.stack([columns[name][0] for name in names], axis=1)  # (dialogues, arrangements)
    n = len(values)
    draws = np.random.default_rng(SEED).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)  # (resamples, dialogues)
    winners = (draws @ values).argmax(axis=1)
    shares = np.bincount(winners, minlength=len(names)) / RESAMPLES
    p_values = holm(randomization_p_values(values[:, :1] - values[:, 1:])) if len(names) > 1 else np.empty(0)
    means = values.mean(axis=0)
    return [
        Standing(
            name,
            columns[name][1],
            float(means[i]),
            float(shares[i]),
            float(means[0] - means[i]),
            float(p_values[i - 1]) if i else None,
        )
        for i, name in enumerate(names)
    ]


def _columns(result: SweepResult) -> dict[str, tuple[NDArray[np.float64], int]]:
    """Return the scores a dialogue of each arrangement, the mean over its seeds, and the number of those."""
    import numpy as np

    if result.comparison is None:
        return {}
    by_label = {system.system: system for system in result.comparison.systems}
    groups: dict[str, list[list[float]]] = {}
    for trial in result.trials:
        if trial.state == "complete":
            scores = by_label[trial.label].statistics[f"{tested_score(result)}_f"]
            groups.setdefault(trial.arrangement or trial.label, []).append(scores)
    return {name: (np.asarray(rows).mean(axis=0), len(rows)) for name, rows in groups.items()}


def order_sentences(result: SweepResult) -> list[str]:
    """Return the order, and in words how sure it is."""
    done = [trial for trial in result.trials if trial.state == "complete"]
    if not done:
        return ["No trial ended, so there is no order."]
    judged = f"{'lowest' if result.lower_is_better else 'highest'} validation {result.judge}"
    sentences = [f"{done[0].label} comes first of {len(done)}: {judged}, {done[0].value:.4g}."]
    if (spread := _seed_spread(result)) is not None:
        sentences.append(spread)
    found = standings(result)
    if len(found) < 2:
        return sentences
    assert result.comparison is not None
    score, leader = tested_score(result), found[0]
    behind = [s.name for s in found[1:] if s.sure]
    not_behind = [
        f"{s.name} ({signed(-100 * s.behind)}, p {format_probability(s.p_holm)})"
        for s in found
        if s.p_holm is not None and not s.sure
    ]
    sentences.append(
        f"By {score} over {result.comparison.n} dialogues {leader.name} leads with {in_points(leader.mean)} points, "
        f"and stays first in {100 * leader.first_share:.0f} % of resampled sets of dialogues."
    )
    if behind:
        sentences.append(f"Shown to be behind it (p at most {ALPHA}, Holm): {', '.join(behind)}.")
    if not_behind:
        sentences.append(f"Not shown to be behind it: {', '.join(not_behind)}.")
    if max(s.seeds for s in found) == 1:
        sentences.append("One seed each: how much another seed would move them is not in these figures (`seeds:`).")
    return sentences


def _seed_spread(result: SweepResult) -> str | None:
    """Return how far seeds of one arrangement lie apart in what is judged, or None with one seed each."""
    values: dict[str, list[float]] = {}
    for trial in result.trials:
        if trial.value is not None and trial.arrangement is not None:
            values.setdefault(trial.arrangement, []).append(trial.value)
    several = {name: found for name, found in values.items() if len(found) > 1}
    if not several:
        return None
    ranges = (f"{name} {min(found):.4g} to {max(found):.4g}" for name, found in several.items())
    return f"Over seeds {result.judge} goes from … to …: {'; '.join(ranges)}."


def write_sweep(result: SweepResult, out: Path) -> Path:
    """Write ``sweep.md`` and ``sweep.csv``, and the report of the trials that ended; return the first's path.

    Raises:
        StorageError: disk full, no permission.
    """
    from peftsum.artifacts import write_text
    from peftsum.report import write_report

    if result.comparison is not None:
        write_report(result.comparison, out / "report")
    write_text(out / "sweep.csv", sweep_csv(result))
    write_text(out / "sweep.md", render_sweep(result))
    return out / "sweep.md"


def _cells(result: SweepResult, trial: Trial) -> list[str]:
    """Return what stands under :data:`HEADERS`."""
    loss = trial.validation.get("val_loss")
    cells = [_number(trial.value) if trial.state == "complete" else trial.state]
    cells += [_number(trial.train_loss), _number(loss)]
    system = _system(result, trial)
    if system is None:
        return [*cells, *["–"] * 4]  # noqa: RUF001
    scores = system.scores
    low, high = in_points(scores.rougeL.low), in_points(scores.rougeL.high)
    return [*cells, *(in_points(s.f) for s in (scores.rouge1, scores.rouge2, scores.rougeL)), f"{low}–{high}"]  # noqa: RUF001


def _system(result: SweepResult, trial: Trial) -> System | None:
    if result.comparison is None or trial.state != "complete":
        return None
    return next(system for system in result.comparison.systems if system.system == trial.label)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"  # noqa: RUF001


def _parameters(trial: Trial) -> str:
    return ", ".join(f"{key.removeprefix('train.')} {_shown(value)}" for key, value in trial.parameters.items())


def _shown(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def render_table(result: SweepResult, width: int) -> Table:
    """Return the trials as a table for a terminal, the best first."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    title = Text(f"Sweep {result.name}, by validation {result.judge}")
    table = Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, width=width
    )
    table.add_column("Trial", ratio=1, overflow="fold")
    for header in HEADERS:
        table.add_column(header, justify="right", no_wrap=True)
    for place, trial in enumerate(result.trials):
        style = "bold green" if place == 0 and trial.state == "complete" else ""
        table.add_row(Text(f"{trial.label}: {_parameters(trial)}", style=style), *_cells(result, trial))
    return table


def sweep_csv(result: SweepResult) -> str:
    """Return ``sweep.csv``: a row a trial, with its settings, losses and scores; empty where it did not end."""
    keys = list(dict.fromkeys(key for trial in result.trials for key in trial.parameters))
    scores = [f"{name}_f" for name in ROUGE_TYPES]
    text = io.StringIO()
    columns = ["trial", "state", "attempts", "judge", "value", "train_loss", "val_loss", *scores, *keys, "failure"]
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for trial in result.trials:
        system = _system(result, trial)
        row: dict[str, object] = {
            "trial": trial.label,
            "state": trial.state,
            "attempts": trial.attempts,
            "judge": result.judge,
            "value": trial.value,
            "train_loss": trial.train_loss,
            "val_loss": trial.validation.get("val_loss"),
            "failure": trial.failure,
            **trial.parameters,
        }
        if system is not None:
            row |= {name: getattr(system.scores, name.removesuffix("_f")).f for name in scores}
        writer.writerow(row)
    return text.getvalue()


def render_sweep(result: SweepResult) -> str:
    """Return ``sweep.md``: the order, how sure it is, and every trial."""
    lines = [f"# Sweep {escape_markdown(result.name)}", ""]
    for sentence in order_sentences(result):
        lines += [escape_markdown(sentence), ""]
    lines += [_row("Trial", "Settings", *HEADERS), _row(*["---"] * (len(HEADERS) + 2))]
    for trial in result.trials:
        lines.append(_row(escape_markdown(trial.label), escape_markdown(_parameters(trial)), *_cells(result, trial)))
    lines += ["", "Losses in nats a target token, ROUGE in points; the interval is of R-L over dialogues.", ""]
    found = standings(result)
    if len(found) > 1:
        head = (
            "Arrangement",
            f"{tested_score(result)}",
            "behind the leader",
            "p (Holm)",
            "first in resamples",
            "seeds",
        )
        lines += ["## How sure the order is", "", _row(*head), _row(*["---"] * len(head))]
        for s in found:
            p = "–" if s.p_holm is None else format_probability(s.p_holm)  # noqa: RUF001
            cells = (in_points(s.mean), in_points(s.behind), p, f"{100 * s.first_share:.1f} %", str(s.seeds))
            lines.append(_row(escape_markdown(s.name), *cells))
        lines.append("")
    if failed := [trial for trial in result.trials if trial.failure]:
        lines += ["## Failed", ""]
        lines += [f"- {escape_markdown(trial.label)}: {escape_markdown(trial.failure or '')}" for trial in failed]
        lines.append("")
    return "\n".join(lines)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
