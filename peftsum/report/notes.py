"""What the report says about itself: what its figures are of, how they were made, and how costs were read."""

from __future__ import annotations

from peftsum.comparison import Comparison, System
from peftsum.cost.readings import NOTHING_TRAINED, Reading, Readings
from peftsum.report.results import checked_errors, shown_errors, unranking_errors
from peftsum.report.text import REFERENCES, cost_label, error_explanation, error_label, listed
from peftsum.seen import describe_seen
from peftsum.version import __version__

BUILTIN = "builtin:"


def bases(comparison: Comparison) -> list[str]:
    """Return the bases of the comparison, in the order of its systems."""
    return list(dict.fromkeys(system.base for system in comparison.systems))


def scope_note(comparison: Comparison) -> str:
    """Return which base the figures speak of."""
    names = bases(comparison)
    subject = f"{listed(names)} on {comparison.data}"
    note = f"Every figure here speaks of {subject}; another base or other data may rank otherwise."
    if any(name.startswith(BUILTIN) for name in names):
        note += " The built-in base is small and made for trying things out: it is no stand-in for Flan-T5's quality."
    return note


def facts(comparison: Comparison) -> list[tuple[str, str]]:
    """Return label and text of how the figures were made."""
    scores = [system.scores for system in comparison.systems]
    references = dict.fromkeys(REFERENCES[s.references] for s in scores)
    found = [
        ("Base", listed(bases(comparison))),
        ("Data", f"{comparison.data}, split {comparison.split}"),
        ("Dialogues scored", str(comparison.n)),
        *(("Seen in training", line) for line in _seen_lines(comparison)),
        ("Scored against", "; ".join(references)),
    ]
    found += [("Signature", signature) for signature in dict.fromkeys(s.signature for s in scores)]
    found += list(comparison.machine.items())
    return [*found, ("peftsum", __version__), ("Made", comparison.created)]


def _seen_lines(comparison: Comparison) -> list[str]:
    dialogues = comparison.n + comparison.left_out
    return describe_seen(comparison.seen, dialogues, left_out=comparison.left_out > 0)


def error_notes(comparison: Comparison) -> list[tuple[str, str]]:
    """Return heading and plain explanation of each error rate."""
    notes = [(error_label(name), error_explanation(name)) for name in shown_errors(comparison)]
    return [(label, text) for label, text in notes if text is not None]


def error_cautions(comparison: Comparison) -> list[str]:
    """Return what keeps the error rates of this comparison from being read for more than they are."""
    notes = []
    if any(checked_errors(name) for name in shown_errors(comparison)):
        notes.append(
            "The detectors were fitted on summaries of short chats that were right more often than not. On other "
            "dialogues they flag what people write, too: of human summaries of the built-in dialogues 84 % for any "
            "error. A high rate may therefore lie in the data as much as in a system."
        )
    silent = unranking_errors(comparison)
    if silent:
        notes.append(
            f"{listed([error_label(name) for name in silent])}: the rate is near 0 % in every system or near 100 % in "
            f"every one, so it cannot rank them."
        )
    return notes


def cost_sources(comparison: Comparison) -> list[tuple[str, str]]:
    """Return for each cost and way of reading it: what it covers, where it comes from, and for which systems."""
    phases = (("train", "training"), ("evaluate", "generation"))
    costs = {"wall_s": "time", "peak_memory_bytes": "peak memory", "energy_j": "energy"}
    for system in comparison.systems:
        added = [name for side in (system.train, system.evaluate) if side is not None for name in side.further]
        costs |= {name: cost_label(name) for name in added}
    grouped: dict[tuple[str, str], list[str]] = {}
    for phase, phase_label in phases:
        for name, label in costs.items():
            for system in comparison.systems:
                reading = _reading(system, phase, name)
                if reading is not None and reading.value is not None:
                    key = (f"{label} of {phase_label}".capitalize(), _source(reading))
                    grouped.setdefault(key, []).append(system.system)
    return [(label, f"{source} ({listed(systems)})") for (label, source), systems in grouped.items()]


def _reading(system: System, phase: str, name: str) -> Reading | None:
    readings: Readings | None = getattr(system, phase)
    return None if readings is None else readings.by_meter().get(name)


def _source(reading: Reading) -> str:
    if reading.source == NOTHING_TRAINED:
        return reading.source
    if not reading.estimated:
        return f"measured by {reading.source}; covers {reading.scope}"
    if " + estimate: " in reading.source:  # a counter for one component, a model for another
        return f"an estimate in part: {reading.source}; covers {reading.scope}"
    source = reading.source.removeprefix("estimate: ")
    return f"an estimate, not a measurement: {source}; covers {reading.scope}"
