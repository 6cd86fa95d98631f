"""The detectors: each says whether a summary has one kind of error, how surely, and what it points at.

Two kinds. Those of :data:`FITTED` weigh signals by weights fitted on summaries that people labelled, and were checked
on others (``docs/errors.md``). Those of :data:`RULES` follow a stated rule; nobody has labelled such errors in the data
at hand, so how often they are right is not known, and a report leaves their rates out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from peftsum.metrics.errors import evidence
from peftsum.metrics.errors.evidence import Evidence, Read
from peftsum.metrics.errors.fitted import Logit, fitted
from peftsum.metrics.errors.readings import DialogueReading, SummaryReading
from peftsum.metrics.errors.signals import ReferenceReading, attributions, dialogue_signals, reference_signals
from peftsum.registry import Registry
from peftsum.section import Record

THRESHOLD = 0.5

FITTED: Registry[Callable[[Read], Evidence]] = Registry(
    "fitted error detector",
    {
        "error_any": evidence.any_error,
        "error_speaker": evidence.speaker,
        "error_pronoun": evidence.pronoun,
        "error_negation": evidence.negation,
        "error_circumstance": evidence.circumstance,
        "error_hallucination": evidence.hallucination,
        "error_predicate": evidence.predicate,
    },
)
RULES: Registry[Callable[[Read], Evidence]] = Registry(
    "error rule",
    {
        "error_missing_key_info": evidence.missing_key_info,
        "error_focus": evidence.focus,
        "error_redundancy": evidence.redundancy,
        "error_length": evidence.length,
    },
)
NEED_REFERENCES = frozenset(("error_missing_key_info", "error_focus"))


NEEDED = {"error_negation": "denials"}
"""Error to the signal without which there is none. Where neither the summary nor what it rests on denies anything, no
negation can be wrong; without this a summary far from its reference would be flagged, whatever it says."""


class Finding(Record):
    """What one detector says of one summary."""

    error: str
    flagged: bool
    probability: float | None
    """Weight of the evidence, 0 to 1, flagged above 0.5; None for a rule."""
    words: list[str]
    """Words of the summary that it speaks of, lower-cased."""
    turns: list[int]
    """Turns of the dialogue that it speaks of, from 0."""


def read(
    summary: str,
    dialogue: str | DialogueReading,
    references: Iterable[str] = (),
    clues: Mapping[str, float] | None = None,
) -> Read:
    """Return a summary read beside its dialogue, with the shipped weights of the clues unless told others."""
    reading = DialogueReading(dialogue) if isinstance(dialogue, str) else dialogue
    words = SummaryReading(summary, reading)
    attributed = attributions(words, reading, fitted().clues if clues is None else clues)
    return Read(words, reading, attributed, [ReferenceReading(text, reading) for text in references])


def signals(read: Read) -> dict[str, float]:
    """Return every signal of a summary: those against its dialogue, and those against references where it has any."""
    found = dialogue_signals(read.summary, read.dialogue, read.attributed)
    if read.references:
        found |= reference_signals(read.summary, read.dialogue, read.references)
        found["denials"] = float(found["denials"] > 0 or any(r.negations for r in read.references))
    return found


def weigh(error: str, logit: Logit, found: Mapping[str, float]) -> float:
    """Return the weight of the evidence for an error, 0 to 1, by the signals; 0 where one is lacking that it needs."""
    needed = NEEDED.get(error)
    return logit.probability(found) if needed is None or found[needed] > 0 else 0.0


def find_errors(summary: str, dialogue: str | DialogueReading, references: Sequence[str] = ()) -> list[Finding]:
    """Return what each detector says of a summary.

    Args:
        summary: a text; an empty one is too short, and has no other error.
        dialogue: its text, or the reading of it where several summaries of one dialogue are judged.
        references: what people wrote; none where there is none: then fewer detectors speak, and less surely.
    """
    parts = read(summary, dialogue, references)
    found = signals(parts)
    findings = []
    for name, point in FITTED.items():
        fit = fitted().detectors[name]
        logit = fit.with_references if parts.references else fit.without_references
        probability = weigh(name, logit, found) if parts.summary.tokens else 0.0
        findings.append(_finding(name, probability > THRESHOLD, probability, point(parts)))
    for name, rule in RULES.items():
        if name in NEED_REFERENCES and not parts.references:
            continue
        shown = rule(parts)
        flagged = bool(shown.words or shown.turns) or (name == "error_length" and not parts.summary.tokens)
        findings.append(_finding(name, flagged, None, shown))
    return findings


def _finding(name: str, flagged: bool, probability: float | None, shown: Evidence) -> Finding:
    shown = shown if flagged else Evidence()
    return Finding(error=name, flagged=flagged, probability=probability, words=shown.words, turns=shown.turns)
