"""The report's figures: drawn for any comparison, each with its data, and a reason in place of what cannot be drawn."""

from __future__ import annotations

import csv
import io
import math
import random
from pathlib import Path

import pytest
from comparisons import LONG_NAMES, comparison, costed, full, ia3, lora, many, measured, readings, score_report, untuned
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from peftsum.comparison import POINTS, Comparison, gains
from peftsum.report import write_report
from peftsum.report.figures import FIGURES, FILES, Picture, draw_figures, missing_figures
from peftsum.report.figures.base import short_name, short_names
from peftsum.report.figures.examples import sample
from peftsum.report.labels import Box, place_labels
from peftsum.report.page import render_html, render_markdown
from peftsum.slices import slice_comparison

COSTS = {"quality_vs_energy.png", "quality_vs_memory.png", "quality_vs_size.png", "quality_vs_inference_energy.png"}


@pytest.fixture(scope="module")
def whole() -> Comparison:
    return costed(measured(comparison()))


@pytest.fixture(scope="module")
def pictures(whole: Comparison) -> dict[str, Picture]:
    return {picture.file: picture for picture in draw_figures(whole)}


def table(picture: Picture) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(picture.csv)))


# Files ---------------------------------------------------------------------------------------------------------------


def test_a_whole_comparison_has_every_figure(pictures: dict[str, Picture]) -> None:
    assert set(pictures) == {figure.file for figure in FIGURES} | COSTS
    assert next(iter(pictures)) == "rouge.png"
    assert all({picture.file, picture.data_file} <= set(FILES) for picture in pictures.values())


def test_figures_open_and_are_large_enough_to_read(pictures: dict[str, Picture]) -> None:
    for picture in pictures.values():
        with Image.open(io.BytesIO(picture.png)) as image:
            image.verify()
        with Image.open(io.BytesIO(picture.png)) as image:
            assert 1000 <= image.width <= 1400
            assert 400 <= image.height <= 1400
            colours = image.convert("RGB").getcolors(maxcolors=1 << 20) or []
            assert len(colours) > 50  # more than an empty frame
        assert len(picture.png) < 200_000
        assert len(picture.alt) > 40


def test_figures_are_the_same_each_time_and_written_with_their_data(
    whole: Comparison, pictures: dict[str, Picture], tmp_path: Path
) -> None:
    write_report(whole, tmp_path)
    for picture in pictures.values():
        assert (tmp_path / picture.file).read_bytes() == picture.png
        assert (tmp_path / picture.data_file).read_text("utf-8") == picture.csv


def test_nothing_reaches_over_the_edge_of_a_figure_however_long_the_names() -> None:
    for picture in draw_figures(many(8)):
        with Image.open(io.BytesIO(picture.png)) as image:
            grey = image.convert("L")
            edges = [(0, 0, 1, grey.height), (grey.width - 1, 0, grey.width, grey.height)]
            edges += [(0, 0, grey.width, 1), (0, grey.height - 1, grey.width, grey.height)]
            for edge in edges:
                assert grey.crop(edge).getextrema()[0] > 250, (picture.file, edge)


@pytest.mark.parametrize(
    "systems",
    [
        [lora()],
        [full(0.3), lora(0.01)],
        [untuned(0.6), full(), lora()],
        [lora(0.2, system=f"_{i}", train=readings(0.5, 1e6 * (i + 1), 0.2 * (i + 1))) for i in range(20)],
        [full(train=readings(0.0, 0.0, 0.0)), lora(train=readings(0.0, 0.0, 0.0))],
        [untuned(scores=score_report(0.0, 0.0)), full(scores=score_report(0.2, error_rates={}))],
        [lora(rouge_l_per_example=None)],
    ],
)
def test_figures_survive_odd_comparisons(systems: list[object]) -> None:
    bare = comparison(*systems)  # type: ignore[arg-type]
    slicing = slice_comparison(bare)
    drawn = {picture.file for picture in draw_figures(bare, slicing)}
    missing = missing_figures(bare, slicing)
    assert len(drawn - set(COSTS) - {"quality_vs_time.png"}) + len(missing) == len(FIGURES)


def test_figures_survive_a_single_dialogue() -> None:
    one = comparison(full(rouge_l_per_example=[0.2]), lora(rouge_l_per_example=[0.1]), n=1)
    drawn = draw_figures(measured(one, n=1))
    assert {"rouge_by_example.png", "lengths.png", "lengths_scatter.png"} <= {picture.file for picture in drawn}


def test_what_cannot_be_drawn_is_said_on_the_page_and_not_drawn() -> None:
    bare = comparison(lora(rouge_l_per_example=None, scores=score_report(0.2, error_rates={})))
    drawn = draw_figures(bare)
    assert {picture.file for picture in drawn} == {"rouge.png", "scores.png"}
    for text in (render_html(bare, drawn), render_markdown(bare, drawn).replace("\\", "")):
        for reason in (
            "the improvement over the untuned base, because no tuned system has its untuned base beside it",
            "ROUGE by example, because no system here has its scores of each dialogue recorded",
            "the error rates, because no system here has an error rate",
            "the length of the summaries, because no system here has the lengths of its summaries recorded",
            "ROUGE-L by kind of dialogue, because its scores of each dialogue were not recorded",
        ):
            assert f"Not drawn: {reason}" in text


def test_a_system_that_lacks_the_data_is_named_below_the_figure() -> None:
    whole = measured(comparison(untuned(), full(), lora()))
    bare = whole.systems[2].model_copy(update={"statistics": {}, "base": "another", "coverage": None})
    mixed = whole.model_copy(update={"systems": [*whole.systems[:2], bare]})
    pictures = {picture.file: picture for picture in draw_figures(mixed)}
    for stem in ("rouge_by_example", "lengths", "lengths_scatter", "slices_dialogues", "improvement"):
        assert pictures[f"{stem}.png"].undrawn == ("LoRA r16",)
    page = render_html(mixed, list(pictures.values()))
    assert "Not drawn, as their untuned base is not in this comparison: LoRA r16" in page
    assert 'href="slices_dialogues.csv"' in page


# Data ----------------------------------------------------------------------------------------------------------------


def test_the_data_beside_a_figure_is_what_it_shows(whole: Comparison, pictures: dict[str, Picture]) -> None:
    rouge = {(row["system"], row["score"]): float(row["f"]) for row in table(pictures["rouge.png"])}
    rates = {(row["system"], row["error"]): float(row["rate"]) for row in table(pictures["errors.png"])}
    gained = {row["system"]: row for row in table(pictures["improvement.png"])}
    assert gained.keys() == gains(whole).keys()
    for system in whole.systems:
        assert rouge[system.system, "rouge2"] == system.scores.rouge2.f
        assert rates[system.system, "heuristic_focus"] == system.scores.error_rates["heuristic_focus"].rate
    for name, gain in gains(whole).items():
        assert float(gained[name]["rougeL_gain_points"]) == pytest.approx(gain["rougeL"].points)
    base, tuned = whole.systems[0].scores.error_rates, whole.systems[1].scores.error_rates
    fewer = POINTS * (base["heuristic_focus"].rate - tuned["heuristic_focus"].rate)
    assert float(gained["full"]["heuristic_focus_gain_points"]) == pytest.approx(fewer)  # fewer errors are a gain
    assert len(table(pictures["lengths_scatter.png"])) == whole.n * len(whole.systems)


def test_boxes_are_of_the_words_and_the_references_stand_first(whole: Comparison, pictures: dict[str, Picture]) -> None:
    rows = table(pictures["lengths.png"])
    assert [row["system"] for row in rows] == ["references", *(s.system for s in whole.systems)]
    for row in rows:
        assert float(row["p5"]) <= float(row["p25"]) <= float(row["median"]) <= float(row["p75"]) <= float(row["p95"])
    words = whole.systems[1].statistics["prediction_words"]
    assert float(rows[2]["mean"]) == pytest.approx(sum(words) / len(words))


def test_the_data_of_a_cost_says_who_is_on_the_front(pictures: dict[str, Picture]) -> None:
    rows = {row["system"]: row for row in table(pictures["quality_vs_energy.png"])}
    assert rows["LoRA r16"]["train_energy_j"] == "2950.0"
    assert float(rows["LoRA r16"]["train_energy_j_low"]) == pytest.approx(1770.0)
    assert {row["on_front"] for row in rows.values()} <= {"yes", "no"}
    assert rows["IA³"]["on_front"] == "yes"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=200))
def test_a_sample_is_sorted_has_both_ends_and_no_dialogue_twice(scores: list[float]) -> None:
    rows = sample(scores)
    assert len(rows) == len(set(rows)) == min(30, len(scores))
    drawn = [scores[row] for row in rows]
    assert drawn == sorted(drawn)
    assert (drawn[0], drawn[-1]) == (min(scores), max(scores))


def test_time_is_drawn_where_energy_cannot_be_compared() -> None:
    made = comparison(untuned(), full(train=readings(energy_j=None)), lora(), ia3(train=None))
    pictures = {picture.file: picture for picture in draw_figures(made)}
    costs = [file for file in pictures if file.startswith("quality")]
    assert costs == ["quality_vs_time.png", "quality_vs_memory.png", "quality_vs_size.png"]
    assert pictures["quality_vs_time.png"].undrawn == ("IA³",)
    assert "on the front" in pictures["quality_vs_time.png"].alt


# Names ---------------------------------------------------------------------------------------------------------------


def test_names_are_cut_in_the_middle() -> None:
    assert short_name("a\n b") == "a b"
    assert short_name("a" * 40 + "end").endswith("end")
    assert len(short_name("x" * 90)) == 30


@given(st.lists(st.text("ab", min_size=25, max_size=45), min_size=1, max_size=8, unique=True))
def test_names_that_differ_differ_when_cut(names: list[str]) -> None:
    short = short_names([lora(system=name) for name in names], 20)
    assert len(set(short.values())) == len(names)
    assert max(map(len, short.values())) <= 20


def test_the_letters_by_which_long_names_differ_are_kept() -> None:
    short = short_names([lora(system=name) for name in LONG_NAMES], 24)
    assert "4 epochs" in short[LONG_NAMES[0]]
    assert "8 epochs" in short[LONG_NAMES[1]]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([4.0, 15.0, 40.0, 200.0]))
def test_labels_of_clustered_points_do_not_overlap(seed: int, radius: float) -> None:
    rng = random.Random(seed)
    anchors = [(500 + rng.uniform(-radius, radius), 300 + rng.uniform(-radius, radius)) for _ in range(8)]
    sizes = [(rng.uniform(40, 170), 20.0) for _ in anchors]
    marks = [Box(x - 9, y - 9, x + 9, y + 9) for x, y in anchors]
    bounds = Box(60, 40, 1060, 600)
    boxes = place_labels(anchors, sizes, solid=marks, bounds=bounds)
    assert len(boxes) == len(anchors)
    for i, box in enumerate(boxes):
        assert math.isclose(box.overlap(bounds), box.area(), rel_tol=1e-6)
        assert all(box.overlap(other) < 1e-6 for other in boxes[i + 1 :])
        assert all(box.overlap(mark) < 1e-6 for mark in marks)
