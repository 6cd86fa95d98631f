"""Data sources: every format alike, bad rows named by file and line, references kept together, splits found."""

from __future__ import annotations

import csv
import io
import json
import logging
from pathlib import Path

import pytest
from conftest import dialogue_rows, write_jsonl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trainings import make_recipe

from peftsum.batching import encode
from peftsum.data import Example, Split, available_splits, load_split, load_training_splits
from peftsum.data_files import line_of_row
from peftsum.data_summary import leak_lines, summarize_source
from peftsum.dialogue_input import read_dialogues
from peftsum.exceptions import DataError, StorageError, UsageError
from peftsum.model import load_tokenizer
from peftsum.recipe import Data, Recipe

GOOD = '{"id": "a", "dialogue": "Ann: Hi.", "summary": "Ann greets."}\n'


def load(path: Path | str, split: str = "test", **settings: object) -> Split:
    return load_split(Data.model_validate({"source": str(path), **settings}), split)


def write_rows(path: Path, rows: list[dict[str, str]]) -> Path:
    """Write the same rows in the format that the ending names."""
    if path.suffix == ".jsonl":
        return write_jsonl(path, rows)
    if path.suffix == ".json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    elif path.suffix == ".csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        path.write_bytes(text.getvalue().encode())
    else:
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


ROWS = [
    {"id": "007", "dialogue": 'Ann: It\'s 12:30, "soon".\nBob: Née?\n\nAnn: {x}', "summary": "None"},
    {"id": "2024-01-02", "dialogue": "Bob: NA", "summary": "42"},
    {"id": "8", "dialogue": "Cleo: null, , ;", "summary": "2024-01-02"},
]


@pytest.mark.parametrize("ending", [".jsonl", ".json", ".csv", ".parquet"])
def test_every_format_gives_the_same_examples_and_reads_no_text_as_a_number_a_date_or_nothing(
    ending: str, tmp_path: Path
) -> None:
    split = load(write_rows(tmp_path / f"rows{ending}", ROWS))
    assert split.examples == [Example(r["id"], r["dialogue"], (r["summary"],)) for r in ROWS]


@pytest.mark.parametrize("ending", [".jsonl", ".csv"])
def test_a_column_of_nothing_but_dates_or_numbers_stays_text(ending: str, tmp_path: Path) -> None:
    rows = [{"id": f"2024-01-0{i}", "dialogue": f"0{i}", "summary": f"2024-01-0{i} 10:00:00"} for i in range(1, 4)]
    examples = load(write_rows(tmp_path / f"rows{ending}", rows)).examples
    assert examples == [Example(r["id"], r["dialogue"], (r["summary"],)) for r in rows]


def test_the_fingerprint_is_of_the_content_wherever_it_lies(tmp_path: Path) -> None:
    one, two = write_rows(tmp_path / "a.jsonl", ROWS), write_rows(tmp_path / "b.csv", ROWS)
    assert load(one).fingerprint == load(two).fingerprint
    changed = [{**ROWS[0], "summary": "None."}, *ROWS[1:]]
    assert load(write_rows(tmp_path / "c.jsonl", changed)).fingerprint != load(one).fingerprint


def test_numbered_summaries_are_references_of_one_dialogue(tmp_path: Path) -> None:
    rows = [{"dialogue": "A: x", "summary10": "j", "summary2": "b", "summary1": "a"}]
    (example,) = load(write_jsonl(tmp_path / "rows.jsonl", rows)).examples
    assert example.references == ("a", "b", "j")


def test_rows_that_repeat_a_test_dialogue_are_its_references_and_training_rows_are_left_alone(tmp_path: Path) -> None:
    rows = [{"id": f"t{i}", "dialogue": f"A: {i // 3}", "summary": str(i)} for i in range(6)]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    assert load(path, "test").examples == [
        Example("t0", "A: 0", ("0", "1", "2")),
        Example("t3", "A: 1", ("3", "4", "5")),
    ]
    assert len(load(path, "train").examples) == 6


@pytest.mark.parametrize(("value", "topic"), [(" a  flat ", "a flat"), (7, "7"), (None, None), ("", None)])
def test_a_topic_is_kept_and_changes_no_fingerprint(value: object, topic: str | None, tmp_path: Path) -> None:
    row = {"id": "a", "dialogue": "A: x", "summary": "s"}
    path = write_jsonl(tmp_path / "rows.jsonl", [{**row, "topic": value, "kind": "home"}])
    plain = load(write_jsonl(tmp_path / "plain.jsonl", [row]))
    assert [load(path).examples[0].topic, plain.examples[0].topic] == [topic, None]
    assert load(path, fields={"topic": "kind"}).examples[0].topic == "home"
    assert load(path).fingerprint == plain.fingerprint
    with pytest.raises(DataError, match="no column 'subject'"):
        load(path, fields={"topic": "subject"})


def test_columns_of_other_names_are_taken_from_fields(tmp_path: Path) -> None:
    rows = [{"key": "k", "transcript": "A: x", "note": "n", "summary": "other"}]
    fields = {"id": "key", "dialogue": "transcript", "summary": "note"}
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    assert load(path, fields=fields).examples == [Example("k", "A: x", ("n",))]


BAD_ROWS = {
    "broken JSON": ('{"id": "b", "dialogue', "not JSON"),
    "no object": ("[1, 2]", "not a JSON object"),
    "no dialogue": ('{"summary": "s"}', "no 'dialogue'"),
    "no summary": ('{"dialogue": "A: x"}', "no 'summary'"),
    "null summary": ('{"dialogue": "A: x", "summary": null}', "no 'summary'"),
    "blank summary": ('{"dialogue": "A: x", "summary": " "}', "no 'summary'"),
    "empty dialogue": ('{"dialogue": "", "summary": "s"}', "an empty dialogue"),
    "blank dialogue": ('{"dialogue": " \\n ", "summary": "s"}', "an empty dialogue"),
    "a list of turns": ('{"dialogue": ["A: x"], "summary": "s"}', "is not text but list"),
    "a number": ('{"dialogue": "A: x", "summary": 5}', "is not text but int"),
    "half a character": ('{"dialogue": "A: \\ud800", "summary": "s"}', "not valid Unicode"),
}


@pytest.mark.parametrize("kind", list(BAD_ROWS))
def test_a_bad_row_is_named_by_file_and_line(kind: str, tmp_path: Path) -> None:
    line, problem = BAD_ROWS[kind]
    path = tmp_path / "rows.jsonl"
    path.write_text(f"{GOOD}\n{line}\n{GOOD}", encoding="utf-8")
    with pytest.raises(DataError) as raised:
        load(path)
    assert raised.value.message.startswith(f"{path}:3: ")
    assert problem in raised.value.message
    assert "skip" in raised.value.hint


def test_skipped_rows_are_counted_and_each_is_reported_with_its_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "rows.jsonl"
    bad = [line for line, _ in BAD_ROWS.values()]
    path.write_text("\n".join([*bad, GOOD, *bad]), encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        split = load(path, on_bad_row="skip")
    assert [e.id for e in split.examples] == ["a"]
    assert split.skipped == 2 * len(bad)
    named = [int(record.getMessage().split(":")[1]) for record in caplog.records]
    after = len(bad) + 3  # the good row and the blank line behind it
    assert named == [*range(1, len(bad) + 1), *range(after, after + len(bad))]


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".json"])
def test_text_that_is_not_utf_8_is_named_by_its_line(ending: str, tmp_path: Path) -> None:
    rows = [{"dialogue": "A: x", "summary": "s"}, {"dialogue": "A: café", "summary": "s"}]
    path = write_rows(tmp_path / f"rows{ending}", rows)
    if ending != ".csv":
        path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    path.write_bytes(path.read_text(encoding="utf-8").encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8") as raised:
        load(path)
    assert f"{path}:{3 if ending == '.csv' else 2}: " in raised.value.message
    assert "iconv" in raised.value.hint


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("rows.jsonl", b"", "is empty"),
        ("rows.jsonl", b"\n\n", "has no rows"),
        ("rows.csv", b"dialogue,summary\n", "has no rows"),
        ("rows.json", b"[]", "has no rows"),
        ("rows.json", b"[{", "not JSON"),
        ("rows.csv", b"dialogue,summary\na,b\na,b,c\n", "line 3"),
        ("rows.parquet", b"PAR1 cut short", "parquet"),
        ("rows.txt", b"A: x", "no data file"),
        ("rows.jsonl", b'{"text": "A: x", "summary": "s"}', "no column 'dialogue'"),
        ("rows.csv", b"dialog,summary\na,b\n", "no column 'dialogue'"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(name: str, content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError) as raised:
        load(path)
    assert str(path) in raised.value.message
    assert words in raised.value.message


def test_a_column_that_is_not_there_is_answered_with_the_nearest(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", [{"dialog": "A: x", "summary": "s"}])
    with pytest.raises(DataError) as raised:
        load(path)
    assert "it has: dialog, summary" in raised.value.hint
    assert "dialogue=dialog" in raised.value.hint


@given(st.lists(st.sampled_from(["", " ", GOOD.strip()]), max_size=12))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_row_is_found_on_its_line_whatever_blank_lines_stand_between(tmp_path: Path, lines: list[str]) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    filled = [number for number, line in enumerate(lines, start=1) if line.strip()]
    assert [line_of_row(path, i) for i in range(len(filled))] == filled


def test_a_row_of_a_csv_file_is_found_on_its_line_when_a_cell_spans_several(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.csv", [*ROWS, {"id": "9", "dialogue": "A: x", "summary": ""}])
    line = path.read_text(encoding="utf-8").splitlines().index("9,A: x,") + 1
    with pytest.raises(DataError, match=f"rows.csv:{line}: no 'summary'"):
        load(path)


@pytest.mark.parametrize(
    ("name", "split"), [("dev.jsonl", "validation"), ("training.csv", "train"), ("test.json", "test")]
)
def test_a_split_of_a_folder_is_found_under_its_usual_names(name: str, split: str, tmp_path: Path) -> None:
    write_rows(tmp_path / name, ROWS)
    assert available_splits(str(tmp_path)) == [split]
    assert len(load(tmp_path, split).examples) == 3


def test_a_missing_split_is_answered_with_those_that_are_there(tmp_path: Path) -> None:
    write_rows(tmp_path / "train.jsonl", ROWS)
    with pytest.raises(DataError, match="has no split test") as raised:
        load(tmp_path)
    assert "train" in raised.value.hint


@pytest.mark.parametrize("source", ["", "  ", "~nobody-of-this-name/rows.jsonl", "./none", "builtin:dialog", "a/b/c"])
def test_a_source_that_names_nothing_is_an_error_with_a_remedy(source: str, in_tmp: Path) -> None:
    with pytest.raises(DataError) as raised:
        load(source)
    assert raised.value.hint


def test_a_misspelt_file_is_answered_with_the_nearest(tmp_path: Path) -> None:
    write_rows(tmp_path / "dialogues.jsonl", ROWS)
    with pytest.raises(DataError, match="no data at") as raised:
        load(tmp_path / "dialgues.jsonl")
    assert raised.value.hint == f"did you mean {tmp_path / 'dialogues.jsonl'}?"


def test_held_out_rows_are_a_tenth_drawn_with_the_seed_and_never_trained_on(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", dialogue_rows(50))
    train, validation = load_training_splits(Data(source=str(path)), seed=1)
    ids = [{e.id for e in split.examples} for split in (train, validation)]
    assert [len(i) for i in ids] == [45, 5]
    assert not ids[0] & ids[1]
    assert load_training_splits(Data(source=str(path)), seed=1)[1].examples == validation.examples
    assert load_training_splits(Data(source=str(path)), seed=2)[1].examples != validation.examples


def test_a_limit_draws_with_the_seed_and_keeps_the_order(dialogues: Path) -> None:
    data = Data(source=str(dialogues), limit_train=7)
    train, _ = load_training_splits(data, seed=1)
    everything = load_split(Data(source=str(dialogues)), "train").examples
    positions = [everything.index(e) for e in train.examples]
    assert positions == sorted(positions)
    assert len(positions) == 7
    assert load_training_splits(data, seed=2)[0].examples != train.examples


def test_too_few_rows_to_hold_some_out_is_an_error(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", dialogue_rows(9))
    with pytest.raises(DataError, match="too few rows"):
        load_training_splits(Data(source=str(path)), seed=1)


def test_a_full_disk_under_the_cache_is_no_fault_of_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def full(*_: object, **__: object) -> None:
        raise datasets.exceptions.DatasetGenerationError("failed") from OSError(28, "No space left on device")

    monkeypatch.setattr(datasets, "load_dataset", full)
    with pytest.raises(StorageError, match="No space left") as raised:
        load(write_rows(tmp_path / "rows.jsonl", ROWS))
    assert "HF_DATASETS_CACHE" in raised.value.hint


def test_the_figures_of_a_source_are_those_of_its_splits(dialogues: Path) -> None:
    train, validation, test = summarize_source(str(dialogues)).splits
    assert (train.split, train.dialogues, train.references_max, train.bad_rows) == ("train", 40, 1, 0)
    assert (validation.split, validation.dialogues) == ("validation", 8)
    assert (test.split, test.dialogues, test.references_max) == ("test", 8, 2)
    assert test.fingerprint == load(dialogues).fingerprint


FIGURES = [
    {"id": "a", "dialogue": "Ann: One two three.\nBob: Four.", "summary": "Five words stand in it."},
    {"id": "b", "dialogue": "ANN: one, two, three!\nCleo: four", "summary": "x"},
    {"id": "c", "dialogue": "Ann: A\nBob: B\nCleo: C\nAnn: D", "summary": "y"},
    {"id": "d", "dialogue": "nobody is named\nnor here", "summary": "z"},
]


def test_speakers_turns_and_repeats_are_counted(tmp_path: Path) -> None:
    (split,) = summarize_source(str(write_jsonl(tmp_path / "rows.jsonl", FIGURES))).splits
    assert split.speakers == {0: 1, 2: 2, 3: 1}
    assert (split.turns_median, split.turns_max) == (2, 4)
    assert (split.repeated_dialogues, [(leak.id, leak.other_id) for leak in split.repeats]) == (1, [("b", "a")])


def with_data(recipe: Recipe, **settings: object) -> Recipe:
    return recipe.model_copy(update={"data": recipe.data.model_copy(update=settings)})


@pytest.mark.parametrize("prompt", ["raw", "structured"])
def test_tokens_and_cuts_are_those_of_the_recipe_s_training(prompt: str, byte_base: Path, tmp_path: Path) -> None:
    rows = [{**row, "dialogue": f"Ann: {'a' * 9 * i}", "summary": "s" * i} for i, row in enumerate(FIGURES * 8, 1)]
    source = write_jsonl(tmp_path / "data" / "train.jsonl", rows)
    limits = {"max_source_tokens": 180, "max_target_tokens": 20}
    recipe = with_data(make_recipe(byte_base, source, prompt={"kind": prompt}), **limits)
    (split,) = summarize_source(recipe=recipe).splits
    shown = split.source_tokens, split.target_tokens
    assert [lengths.limit for lengths in shown] == [180, 20]
    around = len(recipe.prompt.render("")) + len("Ann: ") + 1  # a byte a token, and the end of the sequence
    assert [(lengths.median, lengths.p95, lengths.max) for lengths in shown] == [
        (around + 9 * 16.5, around + 9 * 31, around + 9 * 32),
        (17.5, 32, 33),
    ]
    encoded = encode(load(source, "train").examples, load_tokenizer(recipe.model), recipe.prompt, **limits)
    assert split.source_tokens.cut == sum(e.source_cut for e in encoded) > 0
    assert split.target_tokens.cut == sum(e.target_cut for e in encoded) > 0


def test_a_recipe_names_columns_and_bad_rows_and_what_is_asked_goes_before(byte_base: Path, tmp_path: Path) -> None:
    rows = [{"key": "k", "talk": "A: x", "note": "n", "other": "o o"}, {"key": "l", "talk": "", "note": "n"}]
    source = str(write_jsonl(tmp_path / "rows.jsonl", rows))
    fields = {"id": "key", "dialogue": "talk", "summary": "note"}
    recipe = with_data(make_recipe(byte_base, "elsewhere"), fields=fields, on_bad_row="skip")
    summary = summarize_source(source, recipe=recipe)
    assert (summary.tokenizer, summary.source, summary.splits[0].bad_rows) == (str(byte_base), source, 1)
    assert summary.splits[0].summary_words_median == 1
    asked = summarize_source(source, ["summary=other"], recipe=recipe, base="builtin:tiny")
    assert (asked.tokenizer, asked.splits[0].summary_words_median) == ("builtin:tiny", 2)


def test_without_a_source_or_a_recipe_there_is_nothing_to_show() -> None:
    with pytest.raises(UsageError, match="no data source"):
        summarize_source()


def test_every_repeated_and_leaked_dialogue_is_a_line_with_both_ids(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "train.jsonl", FIGURES)
    write_jsonl(tmp_path / "test.jsonl", [{**FIGURES[2], "id": "t"}])
    rows = [json.loads(line) for line in leak_lines(summarize_source(str(tmp_path))).splitlines()]
    exact = {"kind": "exact", "similarity": 1.0}
    assert rows == [
        {"split": "train", "other_split": "train", "id": "b", "other_id": "a", **exact},
        {"split": "test", "other_split": "train", "id": "t", "other_id": "c", **exact},
    ]


def test_a_folder_without_data_is_an_error_and_no_empty_answer(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no data"):
        summarize_source(str(tmp_path))


@pytest.mark.parametrize("field", ["dialogue", "dialogue=", "text=x", "=x"])
def test_a_field_that_is_not_of_the_form_is_refused(field: str, dialogues: Path) -> None:
    with pytest.raises(UsageError, match="--field"):
        summarize_source(str(dialogues), [field])


def test_dialogues_without_references_are_read_from_text_and_jsonl(tmp_path: Path) -> None:
    text = tmp_path / "lunch.txt"
    text.write_text("Ann: Hi\nBob: Hé\n", encoding="utf-8")
    assert [(d.id, d.dialogue) for d in read_dialogues(str(text))] == [("lunch", "Ann: Hi\nBob: Hé")]
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"id": 7, "dialogue": "A: x"}\n\n{"dialogue": "B: y"}\n{"id": null, "dialogue": "C"}', "utf-8")
    assert [(d.id, d.dialogue) for d in read_dialogues(str(rows))] == [("7", "A: x"), ("3", "B: y"), ("4", "C")]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("d.txt", b"", "is empty"),
        ("d.txt", b" \n", "is empty"),
        ("d.txt", "é".encode("latin-1"), "not UTF-8"),
        ("d.jsonl", b"\n", "is empty"),
        ("d.jsonl", b"{oops", ":1: not JSON"),
        ("d.jsonl", b'{"dialogue": "A: x"}\n{"text": "x"}', ":2: no dialogue"),
    ],
)
def test_a_dialogue_file_that_cannot_be_read_says_why(name: str, content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError) as raised:
        read_dialogues(str(path))
    assert words in raised.value.message
