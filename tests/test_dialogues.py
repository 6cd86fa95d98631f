"""The built-in dialogues: what the shipped files promise."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from itertools import combinations, pairwise
from pathlib import Path
from statistics import mean

import pytest
from rouge_score.rouge_scorer import RougeScorer

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "peftsum" / "builtin" / "dialogues"
SIZES = {"train": 1600, "validation": 160, "test": 200}
SUMMARIES = {"train": ["summary"], "validation": ["summary"], "test": ["summary1", "summary2", "summary3"]}
NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
LABEL = re.compile(r"#Person\d#")

Row = dict[str, object]


@pytest.fixture(scope="module")
def splits() -> dict[str, list[Row]]:
    return {
        split: [json.loads(line) for line in (FOLDER / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()]
        for split in SIZES
    }


@pytest.fixture(scope="module")
def rouge_l():
    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    return lambda reference, guess: scorer.score(reference, guess)["rougeL"].fmeasure


def turns_of(row: Row) -> list[tuple[str, str]]:
    return [tuple(line.split(": ", 1)) for line in row["dialogue"].split("\n")]


def numbers(text: str) -> set[str]:
    return set(NUMBER.findall(LABEL.sub("", text)))


@pytest.mark.parametrize("split", SIZES)
def test_counts_and_fields(splits, split):
    rows = splits[split]
    assert len(rows) == SIZES[split]
    expected = {"id", "dialogue", "topic", "situation", "pii", *SUMMARIES[split]}
    for row in rows:
        assert set(row) == expected
        assert all(row[key].strip() for key in expected - {"pii"})
        assert isinstance(row["pii"], list)
    assert [row["id"] for row in rows] == [f"{split}-{i:04d}" for i in range(1, len(rows) + 1)]


@pytest.mark.parametrize("split", SIZES)
def test_turns_and_speakers_are_within_bounds(splits, split):
    speakers = []
    for row in splits[split]:
        turns = turns_of(row)
        assert 4 <= len(turns) <= 40, row["id"]
        assert all(len(turn) == 2 and turn[1].strip() for turn in turns), row["id"]
        assert all(a[0] != b[0] for a, b in pairwise(turns)), row["id"]
        speakers.append(len({speaker for speaker, _ in turns}))
    assert set(speakers) == {2, 3, 4, 5}
    assert mean(n >= 3 for n in speakers) >= 0.3


@pytest.mark.parametrize("split", SIZES)
def test_situations_are_many_and_balanced(splits, split):
    counts = Counter(row["situation"] for row in splits[split])
    assert len(counts) >= 12
    assert len(set(counts.values())) == 1


def test_no_dialogue_and_no_summary_is_in_two_splits(splits):
    dialogues = [row["dialogue"] for rows in splits.values() for row in rows]
    assert len(set(dialogues)) == len(dialogues)
    summaries = {s: {row[key] for row in rows for key in SUMMARIES[s]} for s, rows in splits.items()}
    for a, b in combinations(summaries, 2):
        assert not summaries[a] & summaries[b]


def test_some_names_appear_in_the_test_split_only(splits):
    named = {s: {speaker for row in rows for speaker, _ in turns_of(row)} for s, rows in splits.items()}
    assert len(named["test"] - named["train"] - named["validation"]) >= 10


@pytest.mark.parametrize("split", SIZES)
def test_labels_of_anonymised_dialogues_are_those_of_the_summary(splits, split):
    hidden = 0
    for row in splits[split]:
        labels = {speaker for speaker, _ in turns_of(row)}
        if "#Person1#" in labels:
            hidden += 1
            assert labels == {f"#Person{i}#" for i in range(1, len(labels) + 1)}
        for key in SUMMARIES[split]:
            assert set(LABEL.findall(row[key])) <= labels
    assert 0.15 <= hidden / len(splits[split]) <= 0.35


@pytest.mark.parametrize("split", SIZES)
def test_numbers_of_a_summary_are_said_in_the_dialogue(splits, split):
    for row in splits[split]:
        for key in SUMMARIES[split]:
            assert numbers(row[key]) <= numbers(row["dialogue"]), row["id"]


@pytest.mark.parametrize("split", SIZES)
def test_no_template_shows_and_the_topic_is_a_short_phrase(splits, split):
    for row in splits[split]:
        for text in (row["dialogue"], row["topic"], *(row[key] for key in SUMMARIES[split])):
            assert not re.search(r"[\[\]{}|]|  | [,.?!]|\b[Aa] [aeio]\w|None", text), (row["id"], text)
        assert row["topic"] == row["topic"].lower()
        assert 2 <= len(row["topic"].split()) <= 5
        assert all(row[key].endswith(".") and row[key][0] in "#" + row[key][0].upper() for key in SUMMARIES[split])


@pytest.mark.parametrize("split", SIZES)
def test_personal_data_are_listed_and_made_up(splits, split):
    rows = splits[split]
    for row in rows:
        assert all(datum in row["dialogue"] for datum in row["pii"]), row["id"]
        for mail in re.findall(r"\S+@\S+?(?=[.,?!]?(?:\s|$))", row["dialogue"]):
            assert re.fullmatch(r"[\w.]+@example\.(com|org|net)", mail)
            assert mail in row["pii"]
        for number in re.findall(r"555-\d+|07\d{3} \d+", row["dialogue"]):
            assert re.fullmatch(r"555-01\d\d|07700 900\d{3}", number)
            assert number in row["pii"]
    assert mean(bool(row["pii"]) for row in rows) >= 0.2


def test_card_numbers_and_ibans_have_valid_check_digits(splits):
    cards, ibans = [], []
    for rows in splits.values():
        for row in rows:
            cards += [d.replace(" ", "") for d in row["pii"] if re.fullmatch(r"(\d{4} ){3}\d{4}", d)]
            ibans += [d.replace(" ", "") for d in row["pii"] if re.match(r"[A-Z]{2}\d\d ", d)]
    assert cards
    assert ibans
    for card in cards:
        digits = [int(c) for c in reversed(card)]
        assert (sum(digits[::2]) + sum(sum(divmod(2 * d, 10)) for d in digits[1::2])) % 10 == 0
    for iban in ibans:
        assert int("".join(str(int(c, 36)) for c in iban[4:] + iban[:4])) % 97 == 1


def test_reported_speech_is_common(splits):
    reported = re.compile(r"\b(told me|says|said)\b")
    assert mean(bool(reported.search(row["dialogue"])) for row in splits["train"]) >= 0.15


def test_copying_a_turn_scores_badly(splits, rouge_l):
    first, lead, longest = [], [], []
    for row in splits["test"]:
        texts = [text for _, text in turns_of(row)]
        for key in SUMMARIES["test"]:
            first.append(rouge_l(row[key], texts[0]))
            lead.append(rouge_l(row[key], " ".join(texts[:3])))
            longest.append(rouge_l(row[key], max(texts, key=len)))
    assert mean(first) < 0.15
    assert mean(lead) < 0.25
    assert mean(longest) < 0.25


def test_references_are_independent_wordings(splits, rouge_l):
    scores = []
    for row in splits["test"]:
        references = [row[key] for key in SUMMARIES["test"]]
        assert len(set(references)) == 3
        scores += [rouge_l(a, b) for a, b in combinations(references, 2)]
    assert 0.3 < mean(scores) < 0.55
    assert max(scores) < 0.95


def test_the_generator_gives_what_is_on_disk():
    command = [sys.executable, str(ROOT / "tools" / "make_dialogues.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_check_notices_a_change(tmp_path):
    for split in SIZES:
        (tmp_path / f"{split}.jsonl").write_bytes((FOLDER / f"{split}.jsonl").read_bytes())
    with (tmp_path / "test.jsonl").open("a") as file:
        file.write("\n")
    command = [sys.executable, str(ROOT / "tools" / "make_dialogues.py"), "--check", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "test.jsonl differs" in done.stderr
