"""Figures of the built dialogues: lengths, shares and ROUGE-L of trivial summaries (needs rouge_score)."""

from __future__ import annotations

import re
from collections import Counter
from itertools import combinations
from statistics import mean, median

Row = dict[str, object]


def turns_of(row: Row) -> list[tuple[str, str]]:
    """Speaker and text of each turn."""
    lines = str(row["dialogue"]).split("\n")
    return [(speaker, text) for speaker, _, text in (line.partition(": ") for line in lines)]


def references_of(row: Row) -> list[str]:
    """The summaries of a row."""
    return [str(row[key]) for key in ("summary", "summary1", "summary2", "summary3") if key in row]


def trivial_summaries(row: Row) -> dict[str, str]:
    """What a system that reads nothing would answer."""
    texts = [text for _, text in turns_of(row)]
    return {
        "first turn": texts[0],
        "lead-3": " ".join(texts[:3]),
        "longest turn": max(texts, key=len),
        "last turn": texts[-1],
    }


def lengths(rows: list[Row]) -> dict[str, float]:
    """Means and shares that need no library."""
    turns = [len(turns_of(row)) for row in rows]
    speakers = [len({speaker for speaker, _ in turns_of(row)}) for row in rows]
    words = [sum(len(text.split()) for _, text in turns_of(row)) for row in rows]
    summary_words = [len(s.split()) for row in rows for s in references_of(row)]
    return {
        "rows": len(rows),
        "words a dialogue": mean(words),
        "turns, median": median(turns),
        "turns, fewest": min(turns),
        "turns, most": max(turns),
        "share of 6-16 turns": mean(6 <= n <= 16 for n in turns),
        "share of 4-5 turns": mean(n < 6 for n in turns),
        "share of 25-40 turns": mean(n >= 25 for n in turns),
        "share with 3-5 speakers": mean(n >= 3 for n in speakers),
        "most speakers": max(speakers),
        "share anonymised": mean("#Person1#:" in str(row["dialogue"]) for row in rows),
        "share with personal data": mean(bool(row["pii"]) for row in rows),
        "share with reported speech": mean(
            bool(re.search(r"\b(told me|says|said)\b", str(row["dialogue"]))) for row in rows
        ),
        "words a summary": mean(summary_words),
        "share of summaries of 20-45 words": mean(20 <= n <= 45 for n in summary_words),
        "shortest summary": min(summary_words),
        "longest summary": max(summary_words),
        "different topics": len({row["topic"] for row in rows}),
        "situations": len({row["situation"] for row in rows}),
        "different summary openings (4 words)": len({tuple(references_of(r)[0].split()[:4]) for r in rows}),
    }


def rouge(rows: list[Row]) -> dict[str, float]:
    """ROUGE-L F with stemming: trivial summaries against the mean of the references, and references pairwise."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], use_stemmer=True)

    def score(reference: str, guess: str) -> float:
        return float(scorer.score(reference, guess)["rougeL"].fmeasure)

    found: dict[str, list[float]] = {}
    pairs = []
    for row in rows:
        references = references_of(row)
        for name, guess in trivial_summaries(row).items():
            found.setdefault(name, []).append(mean(score(r, guess) for r in references))
        pairs += [score(a, b) for a, b in combinations(references, 2)]
    result = {f"ROUGE-L of the {name}": mean(values) for name, values in found.items()}
    if pairs:
        result |= {"ROUGE-L between references": mean(pairs), "ROUGE-L between references, highest": max(pairs)}
    return result


def report(splits: dict[str, list[Row]]) -> str:
    """All figures as text, a column a split."""
    tables = {split: lengths(rows) | rouge(rows if split == "test" else rows[:200]) for split, rows in splits.items()}
    keys = list(tables["test"])
    lines = [f"{'':40}" + "".join(f"{split:>12}" for split in tables)]
    for key in keys:
        cells = (f"{tables[s][key]:>12.3g}" if key in tables[s] else f"{'':>12}" for s in tables)
        lines.append(f"{key:40}" + "".join(cells))
    lines.append("situations: " + ", ".join(sorted(Counter(str(r["situation"]) for r in splits["test"]))))
    return "\n".join(lines)
