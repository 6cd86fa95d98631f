"""Which differences are real: the tested pairs as tables and notes, and ``differences.csv``."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from peftsum.comparison import ALPHA, POINTS, ROUGES, Comparison, Contrast, contrasts, error_contrasts, reference_system
from peftsum.report.results import shown_errors
from peftsum.report.tables import Cell, Row, Table
from peftsum.report.text import ROUGE_LABELS, error_label, listed, signed
from peftsum.units import format_probability

OUTCOMES = {"better": "better", "worse": "worse", "unclear": "no difference that this test set can show"}
MAIN = "rougeL"  # what systems are ranked by
COLUMNS = [
    *("system", "against", "score", "n", "difference_f", "difference_low", "difference_high"),
    *("p_bootstrap", "p_randomization", "p_holm", "family", "outcome", "shown", "signature"),
]


@dataclass(frozen=True)
class Significance:
    """The section of the report: a table for ROUGE-L, one for the other scores, one for errors, how to read them."""

    main: Table
    others: Table
    errors: Table | None
    """Error rates that differ; None where none does."""
    notes: list[str]
    error_notes: list[str]
    signature: str


def significance(comparison: Comparison) -> Significance | None:
    """Return the section, or None where there is nothing to compare."""
    found = contrasts(comparison, MAIN)
    if not found:
        return None
    rest = [test for score in ROUGES if score != MAIN for test in contrasts(comparison, score)]
    errors = error_contrasts(comparison, shown_errors(comparison))
    real = [test for test in errors if test.shown and test.outcome != "unclear"]
    label = ROUGE_LABELS[MAIN]
    return Significance(
        main=_table(f"Differences in {label}, paired by dialogue", found),
        others=_table(f"Differences in {listed([ROUGE_LABELS[s] for s in ROUGES if s != MAIN])}", rest),
        errors=_table("Error rates that differ, paired by dialogue", real, "percentage points") if real else None,
        notes=_notes(comparison, found),
        error_notes=_error_notes(errors, len(real)),
        signature="; ".join(dict.fromkeys(test.signature for test in found)),
    )


def _table(caption: str, found: Sequence[Contrast], unit: str = "points") -> Table:
    headers = [
        "Score" if unit == "points" else "Error",
        f"Difference in {unit}",
        "p, paired bootstrap",
        "p, approximate randomization",
        "p, Holm-corrected",
        "In words",
    ]
    rows = [Row(f"{test.system} against {test.against}", "", _cells(test)) for test in found if test.shown]
    return Table(caption, headers, rows, first="Pair")


def _cells(test: Contrast) -> list[Cell]:
    low, high = signed(POINTS * test.low), signed(POINTS * test.high)
    return [
        Cell(ROUGE_LABELS[test.score] if test.score in ROUGE_LABELS else error_label(test.score)),
        Cell(signed(POINTS * test.mean), (f"{low} to {high}",)),
        *(_p_cell(p) for p in (test.p_bootstrap, test.p_randomization, test.p_holm)),
        Cell(OUTCOMES[test.outcome]),
    ]


def _p_cell(p: float | None) -> Cell:
    return Cell("not tested", missing=True) if p is None else Cell(format_probability(p))


def _notes(comparison: Comparison, found: Sequence[Contrast]) -> list[str]:
    tested = [test for test in found if test.paired]
    notes = [
        "A difference is the score of the first system of the pair less that of the second, with its 95 % interval. "
        f'"{OUTCOMES["unclear"].capitalize()}" does not mean that two systems are equal: more dialogues might tell '
        "them apart."
    ]
    if tested:
        notes.append(_tests_note(tested[0]))
    hidden = sum(not test.shown for test in tested)
    if hidden:
        notes.append(
            f"{reference_system(comparison).system} is what the others are held against because it scores best here, "
            f"which may be luck. The correction therefore includes the pairs that luck could have put in their place: "
            f"{_pairs(hidden)} more, listed in differences.csv."
        )
    if len(tested) < len(found):
        notes.append(
            "Not tested: a system of the pair has no scores a dialogue. The interval is then made of the ends of the "
            "two separate ones, and the words go by whether those overlap."
        )
    return notes


def _error_notes(found: Sequence[Contrast], real: int) -> list[str]:
    shown = sum(test.shown for test in found)
    if not shown:
        return []
    if real:
        outcome = (
            f"{real} of them {'is' if real == 1 else 'are'} real; of the others this test set can show no difference"
        )
    else:
        outcome = "this test set can show none"
    return [
        f"Of error rates {shown} differences were tested in the same way: {outcome}. As there are many rates, p is "
        f"corrected by Holm's method for all {found[0].family} tests of error rates together; differences.csv lists "
        "them. Fewer errors are better."
    ]


def _tests_note(test: Contrast) -> str:
    corrected, interval = "", ""
    if test.family > 1:
        corrected = f", corrected by Holm's method for the {_pairs(test.family)} that are compared on one score"
        interval = (
            " An interval is of its difference alone, without that correction, so it may leave out 0 where nothing is "
            "shown."
        )
    many = f"{test.n} dialogues, each of which counts once with all its references" if test.n > 1 else "one dialogue"
    return (
        f"p says how often a difference at least as large would come about by chance if the two systems did not "
        f"differ, judged by {many}. The words go by approximate randomization{corrected}: better or worse takes a p of "
        f"at most {ALPHA}.{interval} The paired bootstrap is a second opinion."
    )


def _pairs(count: int) -> str:
    return f"{count} pairs" if count > 1 else "one pair"


def differences_csv(comparison: Comparison) -> str:
    """Return ``differences.csv``: a row a pair and score or error rate, as fractions; empty where it was not tested."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for score in sorted(ROUGES, key=lambda name: name != MAIN):
        writer.writerows(_csv_row(test) for test in contrasts(comparison, score))
    writer.writerows(_csv_row(test) for test in error_contrasts(comparison, shown_errors(comparison)))
    return text.getvalue()


def _csv_row(test: Contrast) -> dict[str, str | int | float | None]:
    return {
        "system": test.system,
        "against": test.against,
        "score": test.score,
        "n": test.n,
        "difference_f": test.mean,
        "difference_low": test.low,
        "difference_high": test.high,
        "p_bootstrap": test.p_bootstrap,
        "p_randomization": test.p_randomization,
        "p_holm": test.p_holm,
        "family": test.family,
        "outcome": OUTCOMES[test.outcome],
        "shown": "yes" if test.shown else "no",
        "signature": test.signature,
    }
