"""Gains, paired differences, Pareto front and verdict, on comparisons whose answers are known."""

from __future__ import annotations

import subprocess
import sys

import pytest
from comparisons import N, comparison, full, ia3, lora, noisy, readings, score_report, spread, system, untuned
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from peftsum.comparison import (
    Comparison,
    Point,
    System,
    comparable,
    contrasts,
    difference,
    gains,
    judge,
    pareto_front,
    points,
    verdict,
    verdict_basis,
)
from peftsum.metrics.scores import RougeScore

MINUS = "\N{MINUS SIGN}"
UNMEASURED = readings(None, None, None)


# Records -------------------------------------------------------------------------------------------------------------


def test_a_comparison_reads_back_equal() -> None:
    written = comparison().model_dump_json()
    assert Comparison.model_validate_json(written) == comparison()


def test_system_names_are_unique() -> None:
    with pytest.raises(ValidationError, match="not unique: LoRA r16"):
        comparison(lora(), lora(), full())


def test_scores_a_dialogue_fit_the_number_of_dialogues() -> None:
    with pytest.raises(ValidationError, match="199 values of rougeL_f for 200 dialogues"):
        comparison(lora(rouge_l_per_example=[0.2] * 199))


def test_importing_it_is_cheap() -> None:
    code = "import sys, peftsum.comparison; print([m for m in ('numpy', 'torch', 'matplotlib') if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "[]"


# Gains and differences -----------------------------------------------------------------------------------------------


def test_gains_are_points_and_per_cent_over_the_untuned_base() -> None:
    table = gains(comparison(untuned(0.2), lora(0.25)))
    assert set(table) == {"LoRA r16"}
    assert table["LoRA r16"]["rougeL"].points == pytest.approx(5.0)
    assert table["LoRA r16"]["rougeL"].percent == pytest.approx(25.0)
    assert set(table["LoRA r16"]) == {"rouge1", "rouge2", "rougeL", "rougeLsum"}


def test_gains_take_the_untuned_system_of_the_same_base() -> None:
    other = untuned(0.4, system="large, untuned", base="google/flan-t5-large")
    quantized = untuned(0.1, system="untuned int8", quantize="int8")
    table = gains(comparison(quantized, other, untuned(0.2), lora(0.25), lora(0.5, system="far", base="elsewhere")))
    assert table["LoRA r16"]["rougeL"].points == pytest.approx(5.0)
    assert table["untuned int8"]["rougeL"].points == pytest.approx(-10.0)
    assert "far" not in table
    assert "large, untuned" not in table


def test_a_gain_over_nothing_has_no_per_cent() -> None:
    zero = untuned(scores=score_report(0.2, rouge2=RougeScore(f=0.0, low=0.0, high=0.01)))
    gain = gains(comparison(zero, lora(0.25)))["LoRA r16"]["rouge2"]
    assert gain.percent is None
    assert gain.points > 0


def judged(rival: System, reference: System, n: int = N) -> str:
    """Say what the test of a tuned system against a full fine-tune comes to."""
    (found,) = contrasts(comparison(rival, reference, n=n))
    return found.outcome


def test_pairing_sees_what_separate_intervals_cannot() -> None:
    better, worse = lora(0.211, rouge_l_per_example=spread(0.211)), full(0.21)
    paired = difference(better, worse)
    assert paired.paired
    assert (paired.mean, paired.low, paired.high) == pytest.approx((0.001, 0.001, 0.001))
    assert judged(better, worse) == "better"
    separate = difference(better, full(0.21, rouge_l_per_example=None))
    assert not separate.paired
    assert separate.low < 0 < separate.high
    assert judged(better, full(0.21, rouge_l_per_example=None)) == "unclear"


def test_a_difference_is_the_same_each_time_and_mirrors_its_opposite() -> None:
    there, back = difference(lora(), full()), difference(full(), lora())
    assert there == difference(lora(), full())
    assert there.low < there.mean < there.high
    assert (back.mean, back.low, back.high) == pytest.approx((-there.mean, -there.high, -there.low), abs=1e-6)


@pytest.mark.parametrize(("gap", "expected"), [(0.023, True), (0.025, False)])
def test_without_scores_a_dialogue_overlapping_intervals_decide(gap: float, expected: bool) -> None:
    below = lora(0.2 - gap, rouge_l_per_example=None)  # each interval reaches 0.012 to both sides
    assert (judged(below, full(0.2)) != "worse") is expected


def test_one_dialogue_can_show_nothing() -> None:
    one, other = lora(0.1, rouge_l_per_example=[0.1]), full(0.9, rouge_l_per_example=[0.9])
    assert judged(one, other, n=1) == "unclear"


# Pareto front --------------------------------------------------------------------------------------------------------

coordinates = st.integers(0, 6).map(float)
clouds = st.lists(st.tuples(coordinates, st.none() | coordinates), max_size=12).map(
    lambda pairs: [Point(f"s{i}", quality, cost) for i, (quality, cost) in enumerate(pairs)]
)


def beats(one: Point, other: Point) -> bool:
    assert one.cost is not None
    assert other.cost is not None
    as_good = one.quality >= other.quality and one.cost <= other.cost
    return as_good and (one.quality, one.cost) != (other.quality, other.cost)


@settings(deadline=None)
@given(clouds)
def test_nothing_on_the_front_is_beaten_and_everything_off_it_is(cloud: list[Point]) -> None:
    front = pareto_front(cloud)
    measured = [p for p in cloud if p.cost is not None]
    assert set(front) == {p for p in measured if not any(beats(other, p) for other in measured)}
    assert len(front) == len(set(front))
    assert [p.cost for p in front] == sorted(p.cost for p in front if p.cost is not None)


def test_points_carry_the_cost_asked_for() -> None:
    sizes = {p.system: p.cost for p in points(comparison(), "stored_bytes")}
    assert sizes == {"untuned base": None, "full": 22_400_000, "LoRA r16": 1_316_000, "IA³": 58_100}
    assert {p.cost for p in points(comparison(), "train_wall_s")} == {None, 297.0, 184.2, 171.0}


def test_an_estimate_is_not_compared_with_a_measurement() -> None:
    measured = lora(train=readings(estimated=False))
    assert comparable([full(), lora()], "train_energy_j")
    assert not comparable([full(), measured], "train_energy_j")
    assert comparable([full(), measured], "train_wall_s")
    assert not comparable([full(), lora(train=UNMEASURED)], "train_wall_s")


# Verdict -------------------------------------------------------------------------------------------------------------

QUICK_FULL = full(train=readings(100.0, 1020e6, 1600.0))
MEASURED = {"train": readings(estimated=False)}
FULL_MEASURED = {"train": readings(297.0, 1020e6, 4760.0, estimated=False)}
CASES: dict[str, tuple[list[System], str]] = {
    "as good, cheaper": (
        [untuned(), full(), lora(), ia3()],
        "LoRA r16 on builtin:tiny is as good as full fine-tuning as far as these 200 dialogues can show (ROUGE-L 21.6 "
        "against 21.9), and takes 38 % less energy (an estimate), 38 % less time and 40 % less memory, and stores an "
        "adapter of 1.32 MB instead of a model of 22.4 MB.",
    ),
    "energy measured": (
        [untuned(), full(**FULL_MEASURED), lora(**MEASURED)],
        "LoRA r16 on builtin:tiny is as good as full fine-tuning as far as these 200 dialogues can show (ROUGE-L 21.6 "
        "against 21.9), and takes 38 % less energy, 38 % less time and 40 % less memory, and stores an adapter of "
        "1.32 MB instead of a model of 22.4 MB.",
    ),
    "several as good": (
        [untuned(), full(), lora(), lora(0.217, system="LoRA r64", train=readings(200.0, 650e6, 3100.0))],
        "LoRA r16 on builtin:tiny is as good as full fine-tuning as far as these 200 dialogues can show (ROUGE-L 21.6 "
        "against 21.9), and takes 38 % less energy (an estimate), 38 % less time and 40 % less memory, and stores an "
        "adapter of 1.32 MB instead of a model of 22.4 MB, which makes it the cheapest by training energy (an "
        "estimate) of the 3 recipes that are equally good.",
    ),
    "energy read in two ways, so by time": (
        [untuned(), full(), lora(**MEASURED), lora(0.217, system="B", train=readings(150.0, 612e6, 9000.0))],
        "B on builtin:tiny is as good as full fine-tuning as far as these 200 dialogues can show (ROUGE-L 21.7 against "
        "21.9), and takes 89 % more energy (an estimate), 49 % less time and 40 % less memory, and stores an adapter "
        "of 1.32 MB instead of a model of 22.4 MB, which makes it the cheapest by training time of the 3 recipes that "
        "are equally good.",
    ),
    "better than full": (
        [untuned(), full(), lora(0.25)],
        "LoRA r16 on builtin:tiny is better than full fine-tuning, by more than the noise of these 200 dialogues "
        "(ROUGE-L 25.0 against 21.9), and takes 38 % less energy (an estimate), 38 % less time and 40 % less memory, "
        "and stores an adapter of 1.32 MB instead of a model of 22.4 MB.",
    ),
    "unpaired": (
        [untuned(), full(rouge_l_per_example=None), lora(0.21)],
        "LoRA r16 on builtin:tiny is as good as full fine-tuning as far as these 200 dialogues can show (ROUGE-L 21.0 "
        "against 21.9, judged by whether their intervals overlap), and takes 38 % less energy (an estimate), 38 % less "
        "time and 40 % less memory, and stores an adapter of 1.32 MB instead of a model of 22.4 MB.",
    ),
    "only full reaches it": (
        [untuned(), full(), lora(0.188), ia3()],
        "Only full fine-tuning of builtin:tiny reaches ROUGE-L 21.9 on these 200 dialogues: the nearest other recipe, "
        "LoRA r16 (18.8), misses it by 3.1 points, more than the noise; it takes 38 % less energy (an "
        "estimate), 38 % less time and 40 % less memory, and stores an adapter of 1.32 MB instead of a model of "
        "22.4 MB.",
    ),
    "full is the cheapest": (
        [untuned(), QUICK_FULL, lora()],
        "Full fine-tuning of builtin:tiny (ROUGE-L 21.9) is itself the cheaper by training energy (an estimate) of the "
        "two recipes that are equally good as far as these 200 dialogues can show; the next is LoRA r16 (21.6), which "
        "takes 84 % more energy (an estimate), 84 % more time and 40 % less memory, and stores an adapter of 1.32 MB "
        "instead of a model of 22.4 MB.",
    ),
    "costs unmeasured": (
        [untuned(), full(train=UNMEASURED), lora(train=UNMEASURED)],
        "LoRA r16 on builtin:tiny is as good as full fine-tuning as far as these 200 dialogues can show (ROUGE-L 21.6 "
        "against 21.9), and stores an adapter of 1.32 MB instead of a model of 22.4 MB; what training took was not "
        "measured for LoRA r16 and full.",
    ),
    "nothing known of any cost": (
        [full(train=None, trainable_params=None), lora(train=None, trainable_params=None, adapter_bytes=None)],
        "LoRA r16 on builtin:tiny is as good as full fine-tuning as far as these 200 dialogues can show (ROUGE-L 21.6 "
        "against 21.9); what training took was not measured for LoRA r16 and full.",
    ),
    "no full run": (
        [untuned(), lora(), ia3()],
        "LoRA r16 on builtin:tiny gains 7.9 points of ROUGE-L over the untuned base on these 200 dialogues (21.6 "
        "against 13.7), for 3 min 04 s of training, 2950 J of energy (an estimate) and an adapter of 1.32 MB; there "
        "is no full fine-tuning here to compare with.",
    ),
    "no full run, two as good": (
        [untuned(), lora(), ia3(0.215)],
        "IA³ on builtin:tiny gains 7.8 points of ROUGE-L over the untuned base on these 200 dialogues (21.5 against "
        "13.7), for 2 min 51 s of training, 2740 J of energy (an estimate) and an adapter of 58.1 kB, and is the "
        "cheaper by training energy (an estimate) of the two recipes that are equally good; there is no full "
        "fine-tuning here to compare with.",
    ),
    "neither full nor untuned": (
        [lora(train=UNMEASURED), ia3()],
        "LoRA r16 on builtin:tiny scores ROUGE-L 21.6 on these 200 dialogues, for a training cost that was not "
        "measured and an adapter of 1.32 MB; neither full fine-tuning nor the untuned base is here to compare with.",
    ),
    "only full tuned": (
        [untuned(), full()],
        "Full fine-tuning of builtin:tiny is the only tuned recipe here: it scores ROUGE-L 21.9 against 13.7 for the "
        "untuned base on these 200 dialogues, for 4 min 57 s of training, 1.32 Wh of energy (an estimate) and a saved "
        "model of 22.4 MB; add an adapter recipe to see what a cheaper one would give up.",
    ),
    "one system, tuned": (
        [lora()],
        "Only one system is in this comparison: LoRA r16 on builtin:tiny scores ROUGE-L 21.6 (95 % interval 20.4 to "
        "22.8) on these 200 dialogues, for 3 min 04 s of training, 2950 J of energy (an estimate) and an adapter of "
        "1.32 MB; add full fine-tuning to see what it gives up.",
    ),
    "one system, untuned": (
        [untuned()],
        "Only one system is in this comparison: the untuned builtin:tiny scores ROUGE-L 13.7 (95 % interval 12.5 to "
        "14.9) on these 200 dialogues; add a recipe to see what tuning gains.",
    ),
    "nothing tuned": (
        [untuned(), untuned(0.2, system="untuned large", base="google/flan-t5-large")],
        "Nothing tuned is in this comparison; of its 2 untuned systems untuned large scores best, with ROUGE-L 20.0 on "
        "these 200 dialogues.",
    ),
    "worse than untuned": (
        [untuned(0.25), full(), lora()],
        "Tuning made the summaries worse, by more than the noise of these 200 dialogues: the best tuned recipe, full, "
        "scores ROUGE-L 21.9 against 25.0 for the untuned builtin:tiny.",
    ),
    "no better than untuned": (
        [untuned(0.217), full(), lora()],
        "No gain from tuning can be seen on these 200 dialogues: the best tuned recipe, full, scores ROUGE-L 21.9 "
        "against 21.7 for the untuned builtin:tiny, a difference within the noise.",
    ),
    "as good as full, and as the untuned base": (
        [untuned(0.212), full(rouge_l_per_example=noisy(0.219, 4)), lora()],
        "LoRA r16 on builtin:tiny is as good as full fine-tuning as far as these 200 dialogues can show (ROUGE-L 21.6 "
        "against 21.9), and takes 38 % less energy (an estimate), 38 % less time and 40 % less memory, and stores an "
        "adapter of 1.32 MB instead of a model of 22.4 MB, though it is not shown to beat the untuned base either.",
    ),
    "another base": (
        [full(), lora(base="google/flan-t5-small", train=readings(3.0, 1500e6, 4700.0))],
        "LoRA r16 on google/flan-t5-small is as good as full fine-tuning of builtin:tiny as far as these 200 dialogues "
        "can show",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_verdict(case: str) -> None:
    systems, expected = CASES[case]
    assert verdict(comparison(*systems)).startswith(expected)


@pytest.mark.parametrize(
    ("wall_s", "words"),
    [(297.0, "about the same time"), (900.0, "3.0 times the time"), (3.0, "1 % of the time"), (312.0, "5 % more time")],
)
def test_ratios_are_put_as_a_reader_would(wall_s: float, words: str) -> None:
    tuned = lora(train=readings(wall_s, 612e6, 1000.0))
    assert words in verdict(comparison(untuned(), full(), tuned))


def test_one_dialogue_is_called_one() -> None:
    one = comparison(full(rouge_l_per_example=[0.2]), lora(rouge_l_per_example=[0.2]), n=1)
    assert "as far as this one dialogue can show" in verdict(one)


def test_the_reference_is_the_best_full_run() -> None:
    judged = judge(comparison(full(0.2, system="short"), full(0.219), lora()))
    assert judged is not None
    assert judged.reference.system == "full"
    assert judged.winner.system == "LoRA r16"
    assert [s.system for s in judged.others] == ["short"]


def test_several_full_runs_are_told_apart() -> None:
    systems = [untuned(), full(system="full, 3 epochs"), full(0.2, system="full, 1 epoch"), lora()]
    assert "as good as full fine-tuning (full, 3 epochs) as far as" in verdict(comparison(*systems))


def test_the_basis_gives_the_interval_and_says_what_cheapest_means() -> None:
    basis = verdict_basis(comparison())
    delta = difference(lora(), full())
    low, high = (f"{100 * end:+.1f}".replace("-", MINUS) for end in (delta.low, delta.high))
    assert f"LoRA r16 less full: {MINUS}0.3 points, interval {low} to {high}" in basis
    (test,) = (t for t in contrasts(comparison()) if (t.system, t.against) == ("LoRA r16", "full"))
    assert test.p_holm is not None
    assert f"to {high}, p = {test.p_holm:.3g}." in basis
    assert "at most 0.05 by paired approximate randomization over 200 dialogues" in basis
    assert "corrected by Holm's method for 5 pairs of systems" in basis
    assert "cheapest of the 2 that are good enough by training energy (an estimate); source: 8 W a busy core." in basis


def test_the_basis_says_when_it_fell_back() -> None:
    basis = verdict_basis(comparison(full(rouge_l_per_example=None), lora(train=readings(energy_j=None))))
    assert "unless its 95 % interval of ROUGE-L lies wholly below that of full" in basis
    assert "by training time; training energy was not measured, or not in the same way" in basis
    unknown = [full(train=None, trainable_params=None), lora(train=None, trainable_params=None)]
    assert "they have no cost in common" in verdict_basis(comparison(*unknown))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["none", "full", "lora", "ia3"]),
            st.sampled_from([0.15, 0.2, 0.201, 0.25]),
            st.sampled_from([None, UNMEASURED, readings(), readings(100.0, 1e9, 900.0, estimated=False)]),
            st.booleans(),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_any_comparison_has_a_verdict_of_one_sentence(parts: list[tuple[str, float, object, bool]]) -> None:
    systems = [
        system(
            f"S{i}",
            method,
            f,
            train=None if method == "none" else train,
            rouge_l_per_example=spread(f) if each else None,
        )
        for i, (method, f, train, each) in enumerate(parts)
    ]
    sentence = verdict(comparison(*systems))
    assert sentence.endswith(".")
    assert ". " not in sentence
    assert "  " not in sentence
    assert "None" not in sentence + verdict_basis(comparison(*systems))
    assert " ," not in sentence
    assert ", ." not in sentence
