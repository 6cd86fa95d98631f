"""Comparisons for tests: realistic ones, and the edge cases a report has to survive."""

from __future__ import annotations

import random
from typing import Any

from peftsum.comparison import Comparison, Example, System
from peftsum.cost.forecast import Amount, Forecast, MemoryItem
from peftsum.cost.inference import Arrangement, InferenceCost
from peftsum.cost.readings import Reading, Readings
from peftsum.cost.section import Cost
from peftsum.dialogue_facts import DialogueFacts
from peftsum.metrics.coverage import Coverage
from peftsum.metrics.scores import ErrorRate, Lengths, RougeScore, ScoreReport

N = 200
NO_RAPL = "no energy counter: /sys/class/powercap is not readable"


def spread(mean: float, n: int = N, seed: int = 1, width: float = 0.08) -> list[float]:
    """Return n scores a dialogue around a mean; the same seed gives the same dialogues their difficulty."""
    rng = random.Random(seed)
    noise = [rng.gauss(0, width) for _ in range(n)]
    centre = sum(noise) / n
    return [mean + value - centre for value in noise]


def score_report(rouge_l: float, half: float = 0.012, **changes: Any) -> ScoreReport:
    def score(f: float) -> RougeScore:
        return RougeScore(f=f, low=max(0.0, f - half), high=f + half)

    rates = {
        "heuristic_length": 0.02,
        "heuristic_hallucination": 0.065,
        "heuristic_missing_key_info": 0.7 - rouge_l,
        "heuristic_focus": 0.41 - rouge_l / 2,
    }
    fields: dict[str, Any] = {
        "rouge1": score(rouge_l + 0.06),
        "rouge2": score(rouge_l * 0.27),
        "rougeL": score(rouge_l),
        "rougeLsum": score(rouge_l + 0.003),
        "references": "mean",
        "n": N,
        "signature": f"rouge|v:0.1.2|stem:yes|refs:mean|n:{N}|bs:1000|seed:13|peftsum:0.1.0",
        "error_rates": {name: ErrorRate(rate=r, low=max(0, r - 0.03), high=r + 0.03) for name, r in rates.items()},
        "lengths": Lengths(
            prediction_words_mean=19.4,
            prediction_words_median=18.0,
            reference_words_mean=18.8,
            ratio=1.03,
            empty_share=0.0,
            distinct_share=0.985,
            distinct_bigrams_share=0.97,
        ),
    }
    return ScoreReport(**{**fields, **changes})


def readings(
    wall_s: float | None = 184.2, peak: float | None = 612e6, energy_j: float | None = 2950.0, estimated: bool = True
) -> Readings:
    source = "8 W a busy core" if estimated else "RAPL counter"
    spread_j = {"low": energy_j * 0.6, "high": energy_j * 1.5} if estimated and energy_j is not None else {}
    lost = "the run was made without a meter"
    return Readings(
        wall_s=Reading(value=wall_s, unit="s", scope="this process", source="perf_counter", reason=lost),
        peak_memory_bytes=Reading(
            value=peak, unit="B", scope="this process", source="peak resident set", reason="not sampled"
        ),
        energy_j=Reading(
            value=energy_j, unit="J", scope="CPU", source=source, estimated=estimated, reason=NO_RAPL, **spread_j
        ),
    )


def system(name: str, method: str, rouge_l: float, **changes: Any) -> System:
    fields: dict[str, Any] = {
        "system": name,
        "method": method,
        "quantize": "none",
        "base": "builtin:tiny",
        "scores": score_report(rouge_l),
        "total_params": 11_200_000,
        "evaluate": readings(21.4, 480e6, 340.0),
        "rouge_l_per_example": spread(rouge_l),
    }
    if method == "full":
        fields |= {"trainable_params": 11_200_000, "model_bytes": 22_400_000, "train": readings(297.0, 1020e6, 4760.0)}
    elif method != "none":
        fields |= {"trainable_params": 327_680, "adapter_bytes": 1_316_000, "train": readings()}
    fields |= changes
    each = fields.pop("rouge_l_per_example")
    return System(**{"statistics": {} if each is None else columns(each), **fields})


def columns(rouge_l: list[float]) -> dict[str, list[float]]:
    """Return all four scores a dialogue, in step with the means of :func:`score_report`."""
    return {
        "rougeL_f": rouge_l,
        "rouge1_f": [value + 0.06 for value in rouge_l],
        "rouge2_f": [value * 0.27 for value in rouge_l],
        "rougeLsum_f": [value + 0.003 for value in rouge_l],
    }


def noisy(rouge_l: float, seed: int, n: int = N) -> list[float]:
    """Scores that differ from those of :func:`spread` by noise of their own, so that differences have an interval."""
    return [a + b for a, b in zip(spread(rouge_l, n), spread(0.0, n, seed, 0.05), strict=True)]


def untuned(rouge_l: float = 0.137, **changes: Any) -> System:
    return system("untuned base", "none", rouge_l, **{"rouge_l_per_example": noisy(rouge_l, 4), **changes})


def full(rouge_l: float = 0.219, **changes: Any) -> System:
    return system("full", "full", rouge_l, **changes)


def lora(rouge_l: float = 0.216, **changes: Any) -> System:
    return system("LoRA r16", "lora", rouge_l, **{"rouge_l_per_example": noisy(rouge_l, 2), **changes})


def ia3(rouge_l: float = 0.171, **changes: Any) -> System:
    fields: dict[str, Any] = {
        "trainable_params": 13_568,
        "total_params": 11_213_568,
        "adapter_bytes": 58_100,
        "train": readings(171.0, 590e6, 2740.0),
        "rouge_l_per_example": noisy(rouge_l, 3),
    }
    return system("IA³", "ia3", rouge_l, **{**fields, **changes})


def comparison(*systems: System, n: int = N, **changes: Any) -> Comparison:
    chosen = systems or (untuned(), full(), lora(), ia3())
    examples = [
        Example(
            id=f"test_{i}",
            dialogue="#Person1#: Shall we move the meeting to Thursday?\n#Person2#: Thursday at ten suits me.\n"
            "#Person1#: Ten it is. I'll tell Anna.",
            references=["The meeting moves to Thursday at ten.", "They agree on Thursday, 10 o'clock; Anna is told."],
            predictions={s.system: f"{s.system}: they meet on Thursday." for s in chosen},
        )
        for i in range(2)
    ]
    fields: dict[str, Any] = {
        "title": "Tiny recipes on the built-in dialogues",
        "data": "builtin:dialogues",
        "split": "test",
        "machine": {"Processor": "AMD EPYC 9R14, 2 cores used", "Memory": "24 GiB", "torch": "2.13.0+cpu"},
        "created": "2025-11-23T08:00:00+00:00",
        "examples": examples,
        "commands": ["peftsum compare recipes/tiny/lora.yaml recipes/tiny/full.yaml --out report"],
    }
    return Comparison(n=n, systems=list(chosen), **{**fields, **changes})


def measured(made: Comparison, n: int = N, seed: int = 1) -> Comparison:
    """Return the comparison with everything that is known of each dialogue, as ``compare`` makes it.

    Scores are drawn around those of each system's report, and do not add up to them to the last digit.
    """
    rng = random.Random(seed)
    words = [rng.randint(60, 260) for _ in range(n)]
    facts = DialogueFacts(
        ids=[f"test_{i}" for i in range(n)],
        speakers=[rng.choices((2, 3, 4), (8, 3, 1))[0] for _ in range(n)],
        words=words,
        topics=[
            rng.choices(("a late parcel", "a flat", "a visit to the vet", None), (8, 4, 1, 1))[0] for _ in range(n)
        ],
        speech=[rng.choices(("direct", "indirect", "none"), (1, 3, 9))[0] for _ in range(n)],
    )
    references = [max(4.0, 18 + rng.gauss(0, 5)) for _ in range(n)]
    systems = [_with_statistics(s, references, words, random.Random(f"{seed} {s.system}")) for s in made.systems]
    update = {"systems": systems, "facts": facts, "reference_coverage": coverage(n, rng, 0.45)}
    return Comparison.model_validate({**dict(made), **update})


def _with_statistics(made: System, references: list[float], words: list[int], rng: random.Random) -> System:
    n = len(references)
    rouge_l = [max(0.0, f) for f in made.statistics.get("rougeL_f") or spread(made.scores.rougeL.f, n)]
    shares = {"rouge1_f": 1.28, "rouge2_f": 0.27, "rougeLsum_f": 1.01}
    statistics = {name: [max(0.0, share * f) for f in rouge_l] for name, share in shares.items()}
    statistics |= {"rougeL_f": rouge_l, "reference_words": references}
    statistics["prediction_words"] = [max(1.0, round(r * rng.uniform(0.6, 1.4))) for r in references]
    statistics["source_cut"] = [float(count > 230) for count in words]
    for name, found in made.scores.error_rates.items():
        statistics[name] = [float(rng.random() < found.rate) for _ in range(n)]
    return made.model_copy(update={"statistics": statistics, "coverage": coverage(n, rng, made.scores.rougeL.f)})


HERE = "AMD EPYC 9R14, 2 cores"


def window(arrangement: Arrangement, wall_s: float, noise: float = 0.02, **changes: Any) -> InferenceCost:
    """Return three passes over 32 dialogues, of which the energy is 8 W a second."""
    passes = tuple(wall_s / 3 * share for share in (1.0, 1.0 - noise, 1.0 + noise))
    fields: dict[str, Any] = {
        "summaries": 96,
        "pass_s": passes,
        "readings": readings(wall_s, 520e6, 8 * wall_s),
        "weights_bytes": 22_400_000,
    }
    return InferenceCost(arrangement=arrangement, **{**fields, **changes})


def forecast(system: System, off: float = 0.05) -> Forecast | None:
    """Return a forecast that is too high by a share of each reading, with a range of a tenth to either side."""
    if system.train is None:
        return None

    def amount(reading: Reading) -> Amount | None:
        if reading.value is None:
            return None
        value = reading.value * (1 + off)
        return Amount(value=value, low=0.9 * value, high=1.1 * value, unit=reading.unit, source="one step run here")

    peak = amount(system.train.peak_memory_bytes)
    assert peak is not None
    return Forecast(
        device="this machine",
        peak_memory_bytes=peak,
        memory=(MemoryItem(part="weights", amount=peak),),
        steps=100,
        wall_s=amount(system.train.wall_s),
        energy_j=amount(system.train.energy_j),
    )


def costed(made: Comparison, **cost: Any) -> Comparison:
    """Return the comparison with its cost side: forecasts, the machine, summaries in each arrangement, and a place."""
    times = {"none": 5.0, "full": 5.0, "lora": 6.0, "ia3": 5.5}
    systems = []
    for system in made.systems:
        wall_s = times.get(system.method, 6.0)
        if system.method in ("none", "full"):
            held = [window("plain", wall_s), window("plain_int8", 2 * wall_s)]
        else:
            held = [window("unmerged", wall_s), window("merged", 5.0), window("unmerged_int8", 2 * wall_s)]
            held.append(InferenceCost(arrangement="merged_int8", reason="bitsandbytes is not installed"))
        update = {
            "forecast": forecast(system),
            "inference": held,
            "generated": made.n,
            "trained_on": HERE,
            "evaluated_on": HERE,
        }
        systems.append(system.model_copy(update=update))
    return Comparison.model_validate({**dict(made), "systems": systems, "cost": Cost(**cost)})


def coverage(n: int, rng: random.Random, share: float) -> Coverage:
    """Return a coverage in which some dialogues have one speaker, no content word, or no missed turn."""
    rows = []
    for i in range(n):
        turns, gap = min(1.0, max(0.0, rng.gauss(share, 0.15))), abs(rng.gauss(0, 0.25))
        most, least = min(1.0, turns + gap / 2), max(0.0, turns - gap / 2)
        missed = min(1.0, max(0.0, rng.gauss(0.52, 0.08)))
        special = {0: (None, None, None, None), 1: (turns, None, None, missed), 2: (1.0, 1.0, 1.0, None)}
        rows.append(special.get(i, (turns, most, least, missed)))
    return Coverage(**dict(zip(Coverage.model_fields, map(list, zip(*rows, strict=True)), strict=True)))


LONG_NAMES = (
    "flan-t5-base LoRA rank 16 on all linear layers, alpha 32, 4 epochs",
    "flan-t5-base LoRA rank 16 on all linear layers, alpha 32, 8 epochs",
    "google/flan-t5-large DoRA rank 8, decoder only, cached encoder",
    "IA³ on keys, values and feed-forward with a learning rate of 1e-2",
)


def many(count: int) -> Comparison:
    """Return an untuned base, a full fine-tune and adapters with long names, ``count`` systems in all."""
    chosen = [untuned(), full()][: max(1, count)]
    for i in range(count - len(chosen)):
        f = 0.14 + 0.09 * ((7 * i) % 11) / 11
        name = LONG_NAMES[i % len(LONG_NAMES)] + ("" if i < len(LONG_NAMES) else f" (seed {i})")
        costs = readings(60.0 + 15 * i, 5e8 + 3e7 * i, 900.0 + 200 * i)
        chosen.append(lora(f, system=name, rouge_l_per_example=noisy(f, 10 + i), train=costs))
    return measured(comparison(*chosen))
