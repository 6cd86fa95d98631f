"""Which differences of a comparison are more than noise: the pairs that matter, tested on the same dialogues.

    for contrast in contrasts(comparison, "rougeL"):
        print(contrast.system, contrast.against, contrast.p_holm, contrast.outcome)
    contrasts_of_errors = error_contrasts(comparison, ["error_any", "error_speaker"])

One rule decides everywhere, in the report's table and in the verdict: two systems differ when the p of paired
approximate randomization, corrected by Holm's method for all pairs of the same score, is at most 0.05. Error rates, of
which there are many and none is the one to go by, are corrected together. It is the test that decides since it assumes
least: it holds its level at any n, while the bootstrap does so for large ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

from pydantic import Field

from peftsum.section import Record
from peftsum.systems import ROUGES, Comparison, System, column, difference, rouge_l, untuned_base

ALPHA = 0.05  # of all pairs of one score together

Outcome = Literal["better", "worse", "unclear"]


class Contrast(Record):
    """One system held against another on one score; scores and differences are fractions."""

    system: str
    against: str
    score: str
    """``rouge1``, ``rouge2``, ``rougeL`` or ``rougeLsum``, of which more is better, or an error rate."""
    n: int = Field(gt=0)
    """Dialogues, each of which counts once with all its references."""
    mean: float
    """Score of ``system`` less that of ``against``."""
    low: float
    """Lower end of the 95 % interval of the difference, of this one by itself."""
    high: float
    """Upper end of it."""
    p_bootstrap: float | None
    """Two-sided p by the paired bootstrap; None where a system has no score a dialogue."""
    p_randomization: float | None
    """Two-sided p by paired approximate randomization; None where a system has no score a dialogue."""
    p_holm: float | None
    """``p_randomization`` corrected for its family; None where a system has no score a dialogue."""
    family: int
    """Tests that the correction is for: the pairs of this ROUGE, or those of all the error rates."""
    shown: bool
    """False: it is in the family, and no more, since the reference was chosen by its score from these systems."""
    signature: str
    """What fixes the figures: that of the score, and what the tests used."""

    @property
    def paired(self) -> bool:
        """Whether it was tested; otherwise ``low`` and ``high`` are the ends of the two separate intervals."""
        return self.p_holm is not None

    @property
    def outcome(self) -> Outcome:
        """What the dialogues show; untested systems differ where their separate intervals do not overlap."""
        real = self.p_holm <= ALPHA if self.p_holm is not None else self.low > 0 or self.high < 0
        gain = self.mean if self.score in ROUGES else -self.mean
        return "unclear" if not real else "better" if gain > 0 else "worse"


def reference_system(comparison: Comparison) -> System:
    """Return what all others are held against: the best full fine-tune, else the best tuned, else the best, system."""
    return max(_candidates(comparison), key=rouge_l)


def _candidates(comparison: Comparison) -> list[System]:
    """Return the systems of which the best by ROUGE-L is the reference."""
    tuned = [s for s in comparison.systems if s.method != "none"]
    return [s for s in tuned if s.method == "full"] or tuned or comparison.systems


def _pairs(comparison: Comparison) -> list[tuple[System, System, bool]]:
    """Return the pairs of a family, each once, and whether it is one that readers ask for.

    That is every system against the reference, and every tuned one against its untuned base. A reference that was
    chosen by its score is better than its rivals by luck, too; a test of the chosen pairs alone would take that for
    skill. The pairs that could have been chosen in their place are therefore in the family.
    """
    reference, systems = reference_system(comparison), comparison.systems
    tuned = [s for s in systems if s.method != "none"]
    untuned = [s for s in systems if s.method == "none"]
    bases = [(s, untuned_base(comparison, s)) for s in tuned]
    asked = [
        *((s, reference) for s in tuned),
        *((s, base) for s, base in bases if base is not None),
        *((s, reference) for s in untuned),
    ]
    rivals = [(s, c) for c in _candidates(comparison) for s in systems]
    pairs: dict[frozenset[str], tuple[System, System, bool]] = {}
    for shown, group in ((True, asked), (False, rivals)):
        for system, other in group:
            if system is not other:
                pairs.setdefault(frozenset((system.system, other.system)), (system, other, shown))
    return list(pairs.values())


def contrasts(comparison: Comparison, score: str = "rougeL") -> list[Contrast]:
    """Return the tested pairs of one score: against the reference, then against the untuned base, then the rest.

    Args:
        comparison: what was measured. Its systems have their scores a dialogue in the same order.
        score: ``rouge1``, ``rouge2``, ``rougeL`` or ``rougeLsum``.

    Returns:
        A contrast a pair; those that are not ``shown`` come last. Empty where there is one system.
    """
    return _tested(comparison, [(score, *pair) for pair in _pairs(comparison)])


def error_contrasts(comparison: Comparison, errors: Sequence[str]) -> list[Contrast]:
    """Return the tested pairs of several error rates, corrected as one family.

    Args:
        comparison: what was measured.
        errors: error rates in the order wanted; a pair of which a system has no flag a dialogue is left out.

    Returns:
        A contrast an error and pair, in the order of :func:`contrasts` within each error.
    """
    wanted = [
        (error, system, other, shown)
        for error in errors
        for system, other, shown in _pairs(comparison)
        if error in system.statistics and error in other.statistics
    ]
    return _tested(comparison, wanted)


def _tested(comparison: Comparison, wanted: Sequence[tuple[str, System, System, bool]]) -> list[Contrast]:
    """Return the contrasts of one family; wanted are a score, two systems, and whether the pair is shown."""
    places = [i for i, (s, a, b, _) in enumerate(wanted) if column(s) in a.statistics and column(s) in b.statistics]
    tested = [(column(wanted[i][0]), *wanted[i][1:3]) for i in places]
    columns = tuple((tuple(ours.statistics[name]), tuple(theirs.statistics[name])) for name, ours, theirs in tested)
    p_values = dict(zip(places, _p_values(columns), strict=True))
    found = []
    for i, (score, system, other, shown) in enumerate(wanted):
        delta = difference(system, other, score)
        bootstrap, randomization, holm = p_values.get(i, (None, None, None))
        found.append(
            Contrast(
                system=system.system,
                against=other.system,
                score=score,
                n=comparison.n,
                mean=delta.mean,
                low=delta.low,
                high=delta.high,
                p_bootstrap=bootstrap,
                p_randomization=randomization,
                p_holm=holm,
                family=len(tested),
                shown=shown,
                signature=_signature(system, other, len(tested) if i in p_values else None),
            )
        )
    return found


@lru_cache(maxsize=16)  # verdict, basis and table ask for the same tests
def _p_values(
    columns: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...],
) -> tuple[tuple[float, float, float], ...]:
    """Return p by bootstrap, by randomization, and that one corrected, of each pair of per-dialogue scores."""
    if not columns:
        return ()
    import numpy as np

    from peftsum.metrics.paired import bootstrap_p_values, holm, paired_differences, randomization_p_values

    differences = np.stack([paired_differences(ours, theirs) for ours, theirs in columns], axis=1)  # (n, pairs)
    randomization = randomization_p_values(differences)
    found = (bootstrap_p_values(differences), randomization, holm(randomization))
    return tuple(zip(*(values.tolist() for values in found), strict=True))


def _signature(system: System, other: System, family: int | None) -> str:
    """Return the signature of the scores, of both where they differ, and of the tests where there were any."""
    from peftsum.metrics.paired import paired_signature

    scores = " and ".join(dict.fromkeys(s.scores.signature for s in (system, other)))
    return scores if family is None else f"{scores}|{paired_signature(family)}"
