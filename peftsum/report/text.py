"""Words and numbers as the report prints them, the same in HTML, markdown and on the console."""

from __future__ import annotations

from peftsum.comparison import POINTS, System
from peftsum.cost.readings import NOTHING_TRAINED, Reading
from peftsum.ledger.axes import Axis
from peftsum.metrics import heuristics
from peftsum.units import (
    JOULES_PER_WATT_HOUR,
    format_count,
    format_joules,
    format_reading,
    watt_hours,
)
from peftsum.units import signed as signed  # the tables take all their words from here

ROUGE_LABELS = {"rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rougeL": "ROUGE-L", "rougeLsum": "ROUGE-Lsum"}
MINUS = "\N{MINUS SIGN}"
NOT_MEASURED = "not measured"
NOT_TRAINED = "not trained"

ERROR_LABELS = {
    "error_any": "Any error",
    "error_speaker": "Wrong speaker",
    "error_pronoun": "Unclear pronoun",
    "error_negation": "Negation",
    "error_circumstance": "Time, place or amount",
    "error_hallucination": "Made up",
    "error_predicate": "Wrong action",
    "heuristic_length": "Length (heuristic)",
    "heuristic_hallucination": "Hallucination (heuristic)",
    "heuristic_missing_key_info": "Missing key information (heuristic)",
    "heuristic_focus": "Focus (heuristic)",
}
_KEY_WORDS = f"words of more than {heuristics.KEY_WORD_LETTERS} characters"
ERROR_EXPLANATIONS = {
    "error_any": "the summary says something that the dialogue does not bear out, of whatever kind",
    "error_speaker": "it says of one person what another said or did",
    "error_pronoun": "a pronoun that stands for the wrong person, or for nobody one can tell",
    "error_negation": "it affirms what was denied, or denies what was affirmed",
    "error_circumstance": "a wrong or misleading detail: when, where, how much, how, why",
    "error_hallucination": "it tells what the dialogue does not",
    "error_predicate": "it says that somebody did, wants or thinks something else than in the dialogue",
    "heuristic_length": (
        f"the summary has fewer than {heuristics.MIN_WORDS} words, or more than {heuristics.LONG_RATIO} times as many "
        "as the reference"
    ),
    "heuristic_hallucination": (
        f"the summary has more than {heuristics.HALLUCINATION_HALVES / 2:g} times as many words as the reference. It "
        "counts words and does not look at what they say: the name is the field's, and a short untrue summary passes"
    ),
    "heuristic_missing_key_info": (
        f"over {10 * heuristics.MISSING_TENTHS} % of the reference's key words ({_KEY_WORDS}) are not in the summary; "
        "saying the same in other words counts as missing"
    ),
    "heuristic_focus": (
        f"over {10 * heuristics.FOCUS_TENTHS} % of the reference's key words ({_KEY_WORDS}) are not in the summary, "
        "which suggests that it is about something else"
    ),
}
REFERENCES = {
    "first": "the first reference of each dialogue",
    "mean": "every reference of a dialogue, averaged",
    "max": "the most favourable reference of each dialogue, which gives higher figures than the other two ways",
}


def error_label(name: str) -> str:
    """Return an error rate's heading, for example ``Length (heuristic)``."""
    return ERROR_LABELS.get(name, name.removeprefix("error_").replace("_", " ").capitalize())


def cost_label(name: str) -> str:
    """Return the heading of an added meter's readings, for example ``Cpu`` for ``cpu_s``: the cell has the unit."""
    return name.removesuffix("_s").removesuffix("_j").removesuffix("_bytes").replace("_", " ").capitalize()


def error_explanation(name: str) -> str | None:
    """Return in plain words what counts as this error, or None for one this module does not know."""
    return ERROR_EXPLANATIONS.get(name)


def in_points(fraction: float) -> str:
    """Return a ROUGE fraction in points, for example ``41.2``."""
    return f"{POINTS * fraction:.1f}".replace("-", MINUS)


def percent(fraction: float) -> str:
    """Return a share in per cent with enough digits to tell small ones apart, for example ``1.41 %``."""
    return f"{100 * fraction:.3g} %"


def rate(fraction: float) -> str:
    """Return an error rate in per cent, for example ``6.5 %``."""
    return f"{100 * fraction:.1f} %"


def in_unit(value: float, unit: str, *, like: float | None = None) -> str:
    """Return a value in seconds, bytes or joules in the unit a reader would choose.

    Args:
        value: in ``unit``.
        unit: "s", "B" or "J".
        like: the largest value of the same column; energies of one column then share J or Wh.
    """
    if unit != "J":
        return format_reading(value, unit)
    if like is not None and like >= JOULES_PER_WATT_HOUR:
        return f"{watt_hours(value):.3g} Wh"
    return format_joules(value)


def reading_origin(reading: Reading, *, like: float | None = None) -> str:
    """Return where a value comes from: ``measured by …``, or ``estimate, …`` with its range."""
    if reading.source == NOTHING_TRAINED:
        return reading.source
    if not reading.estimated:
        return f"measured by {reading.source}"
    if reading.low is None or reading.high is None:
        return "estimate"
    low, high = (in_unit(value, reading.unit, like=like) for value in (reading.low, reading.high))
    return f"estimate, {span(low, high)}"


def axis_label(axis: Axis) -> str:
    """Return an axis as a heading, for example ``ROUGE-L``, ``Training energy`` or ``Length (heuristic)``."""
    if axis.key in ROUGE_LABELS:
        return ROUGE_LABELS[axis.key]
    return error_label(axis.key) if axis.unit == "share" else f"{axis.label[:1].upper()}{axis.label[1:]}"


def in_axis(axis: Axis, system: System) -> str:
    """Return a system's value on an axis in the unit a reader would choose."""
    found = axis.of(system)
    if found is None:
        return NOT_MEASURED
    if axis.unit == "points":
        return in_points(found[0])
    if axis.unit == "share":
        return rate(found[0])
    return format_count(round(found[0])) if axis.unit == "count" else in_unit(found[0], axis.unit)


def span(low: str, high: str) -> str:
    """Return a range, its unit once where both ends have the same, for example ``range 105 to 465 J``."""
    number, _, unit = low.partition(" ")
    return f"range {number if high.partition(' ')[2] == unit else low} to {high}"


def listed(items: list[str]) -> str:
    """Return ``a``, ``a and b`` or ``a, b and c``."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)
