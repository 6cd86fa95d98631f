"""The cost side of a report: advice inside the noise, order inside the ranges, forecasts, inference, break-even."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from comparisons import HERE, comparison, costed, forecast, full, ia3, lora, measured, noisy, readings, untuned, window

from peftsum.comparison import Comparison
from peftsum.cost.card import card_line, card_metadata
from peftsum.cost.inference import InferenceCost
from peftsum.cost.readings import Reading, Readings
from peftsum.cost.section import Cost
from peftsum.exceptions import UnknownNameError, UsageError
from peftsum.ledger.advice import advice
from peftsum.ledger.axes import AXES, front, parse_pair, placed
from peftsum.ledger.forecasts import checks, median_error
from peftsum.ledger.order import carbon_order, inference_order, order_sentences, training_order
from peftsum.ledger.payback import paybacks
from peftsum.ledger.windows import cheapest_window, windows
from peftsum.report import write_report
from peftsum.report.console import cost_lines
from peftsum.report.figures import draw_figures
from peftsum.report.figures.costs import pair_file
from peftsum.report.ledger import ledger_section
from peftsum.report.page import render_html, render_markdown
from peftsum.report.results import empty_cells, result_columns, results_csv


@pytest.fixture(scope="module")
def whole() -> Comparison:
    return costed(measured(comparison()), region="DE", price_per_kwh=0.3, currency="EUR")


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


# What to choose ------------------------------------------------------------------------------------------------------


def test_no_winner_is_named_inside_the_noise(whole: Comparison) -> None:
    memory, energy, quality = advice(whole)
    assert memory.startswith("For 4, 8, 16 or 24 GB choose LoRA r16: all recipes fit")
    assert "full and LoRA r16, which these dialogues do not tell apart, it is the cheapest by training energy" in memory
    assert quality.startswith("For the best quality choose full or LoRA r16: these dialogues do not tell them apart")
    # IA3 is cheaper still, and what it gives up is told
    assert energy.startswith(
        "For the least training energy choose IA³ (2740 J in 2 min 51 s, an estimate): it gives up"
    )
    assert "more than the noise" in energy


def test_memory_readings_decide_what_fits() -> None:
    large = full(0.30, train=readings(297.0, 12e9, 4760.0))
    small = lora(0.216, train=readings(184.0, 6e9, 2950.0))
    told = advice(comparison(untuned(), large, small))
    assert [line.split(" choose")[0].split(" none")[0] for line in told[:3]] == [
        "For 4 GB",
        "For 8 GB",
        "For 16 or 24 GB",
    ]
    assert "none of these recipes fits: the least peak read in training was 6 GB" in told[0]
    assert "choose LoRA r16: LoRA r16 fits" in told[1]
    assert "choose full: all recipes fit" in told[2]


def test_nothing_is_advised_that_is_not_shown_to_beat_its_base() -> None:
    (only,) = advice(comparison(untuned(0.21), lora(0.2101)))
    assert only.startswith("No recipe here is shown to be better than its untuned base")
    assert advice(comparison(untuned())) == []


def test_a_lone_recipe_and_unmeasured_costs_are_no_trouble() -> None:
    told = advice(comparison(lora(train=readings(None, None, None))))
    assert told[0].startswith("Which recipe takes the least energy is not known")
    assert told[-1] == "For the best quality choose LoRA r16 (ROUGE-L 21.6): there is no other."


# Order inside the ranges ---------------------------------------------------------------------------------------------


def test_estimates_of_one_model_on_one_machine_keep_their_order_however_wide(whole: Comparison) -> None:
    pairs = training_order(whole)
    assert [(p.less, p.more) for p in pairs] == [("IA³", "LoRA r16"), ("IA³", "full"), ("LoRA r16", "full")]
    assert {p.basis for p in pairs} == {"one model"}
    assert not any(p.turns for p in pairs)
    assert all(p.low == pytest.approx(p.ratio) and p.high == pytest.approx(p.ratio) for p in pairs)
    sentence = order_sentences(whole)[0]
    assert "(IA³ < LoRA r16 < full) cannot turn inside the ranges" in sentence
    assert "the order is that of the busy core-seconds" in sentence


def test_estimates_of_two_machines_may_turn() -> None:
    elsewhere = lora(trained_on="another machine")
    made = comparison(untuned(), full(trained_on=HERE), elsewhere)
    (pair,) = training_order(made)
    assert (pair.basis, pair.turns) == ("several models", True)
    assert (pair.low, pair.high) == (pytest.approx(0.6 * 4760 / (1.5 * 2950)), pytest.approx(1.5 * 4760 / (0.6 * 2950)))
    assert (
        "could turn inside the ranges: full takes 1.61 times that of LoRA r16, and within the ranges 0.65 to 4.03"
        in (order_sentences(made)[0])
    )
    # the machine is not known at all: each is like no other
    assert training_order(comparison(full(), lora()))[0].turns


def test_counters_have_no_range() -> None:
    def counted(energy_j: float) -> Readings:
        return readings(100.0, 1e9, energy_j, estimated=False)

    made = comparison(full(train=counted(20.0), trained_on=HERE), lora(train=counted(10.0), trained_on=HERE))
    assert training_order(made)[0].basis == "counters"
    assert "rests on counters" in order_sentences(made)[0]


def test_parts_with_factors_of_their_own_can_turn_the_order() -> None:
    def parts(cpu_j: float, ram_j: float) -> Readings:
        def part(value: float, what: str) -> Reading:
            return Reading(
                value=value, low=value / 4, high=value * 4, unit="J", scope=what, source="a model", estimated=True
            )

        both = (part(cpu_j, "CPU"), part(ram_j, "RAM"))
        whole = Reading(value=cpu_j + ram_j, unit="J", scope="both", source="a model", estimated=True)
        return readings().model_copy(update={"energy_j": whole, "energy_parts": both})

    busy, large = lora(train=parts(100.0, 10.0), trained_on=HERE), full(train=parts(60.0, 40.0), trained_on=HERE)
    assert training_order(comparison(busy, large))[0].turns
    more = full(train=parts(110.0, 11.0), trained_on=HERE)  # more of both: no wattage can turn it
    assert not training_order(comparison(busy, more))[0].turns


def test_the_noise_of_the_passes_can_turn_the_order_of_summaries(whole: Comparison) -> None:
    pairs = {frozenset((p.less, p.more)): p for p in inference_order(whole)}
    assert pairs[frozenset(("full", "LoRA r16"))].turns  # both 5 s: merged, a LoRA is a model like any other
    assert "The ranking by the energy of summaries could turn inside the ranges" in order_sentences(whole)[1]
    slow = whole.systems[1].model_copy(update={"inference": [window("plain", 9.0)]})
    made = whole.model_copy(update={"systems": [slow, whole.systems[2]]})
    assert not inference_order(made)[0].turns
    assert "holds throughout the ranges of the estimates and the spread of the passes" in order_sentences(made)[1]


def test_many_pairs_that_could_turn_are_counted_and_the_nearest_told() -> None:
    some = [lora(system=f"LoRA {i}", train=readings(energy_j=1000.0 + i), trained_on=f"machine {i}") for i in range(6)]
    sentence = order_sentences(comparison(*some))[0]
    assert sentence.count(" takes ") == 3
    assert "and 12 more of 15 pairs" in sentence


def test_carbon_has_an_order_of_its_own_only_with_an_embodied_share(whole: Comparison) -> None:
    assert carbon_order(whole) == []
    assert "Carbon and the cost of electricity rank as energy does" in order_sentences(whole)[-1]
    # LoRA takes less energy and here far more time: the device's share turns the order
    slow = whole.systems[2].model_copy(update={"train": readings(3000.0, 612e6, 2950.0)})
    cost = Cost(region="FR", embodied_kg=3000.0, lifetime_h=1000.0)
    made = whole.model_copy(update={"systems": [whole.systems[1], slow], "cost": cost})
    assert [(p.less, p.more) for p in training_order(made)] == [("LoRA r16", "full")]
    assert [(p.less, p.more) for p in carbon_order(made)] == [("full", "LoRA r16")]


# Forecasts -----------------------------------------------------------------------------------------------------------


def test_forecasts_are_held_against_readings(whole: Comparison) -> None:
    found = checks(whole)
    assert len(found) == 9
    assert all(c.error == pytest.approx(0.05) and c.inside for c in found)
    assert median_error(whole, "wall_s") == pytest.approx(0.05)
    table = ledger_section(whole).forecasts
    assert table is not None
    assert table.rows[0].cells[1].text == "+5.0 %"
    assert table.rows[0].cells[1].details == (
        "forecast 5 min 12 s",
        "read 4 min 57 s",
        "range 4 min 41 s to 5 min 43 s: read inside it",
    )


def test_a_run_without_forecast_says_so_and_one_far_off_is_outside() -> None:
    off = full()
    off = off.model_copy(update={"forecast": forecast(off, 0.5)})
    made = comparison(off, lora())
    assert {c.inside for c in checks(made) if c.system == "full"} == {False}
    table = ledger_section(made).forecasts
    assert table is not None
    assert table.rows[1].cells[0].text == "no forecast"
    assert table.rows[1].cells[0].details == ("read 612 MB",)
    assert ledger_section(comparison(lora())).forecast_note.startswith("No run here has a forecast")


# Inference and break-even --------------------------------------------------------------------------------------------


def test_each_arrangement_is_a_row_and_the_evaluation_one_where_nothing_else_was_measured() -> None:
    made = costed(comparison(untuned(), lora()))
    table = ledger_section(made).inference
    assert table is not None
    assert [(r.name, r.kind) for r in table.rows][:3] == [
        ("untuned base", "whole model"),
        ("untuned base", "whole model, in 8 bits"),
        ("LoRA r16", "adapter beside its base"),
    ]
    assert table.rows[-1].cells[0].details == ("bitsandbytes is not installed",)
    scored = comparison(lora(generated=200))
    (only,) = windows(scored.systems[0])
    assert (only.arrangement, only.summaries) == ("unmerged", 200)
    assert only.wall_s.value == pytest.approx(1000 * 21.4 / 200)
    assert windows(comparison(lora()).systems[0]) == []


def test_a_short_window_is_flagged_on_the_page() -> None:
    quick = lora(inference=[window("merged", 1.2)])
    section = ledger_section(comparison(quick))
    assert section.inference is not None
    assert "too short a window to rely on" in section.inference.rows[0].cells[-1].details
    assert any(note.startswith("Windows under 2 s") and "LoRA r16" in note for note in section.inference_notes)


def test_only_a_time_outside_the_noise_of_all_others_is_marked() -> None:
    one, other = window("unmerged", 6.0), window("merged", 5.9)
    for held, marked in (([one, other], []), ([one, window("merged", 3.0)], ["adapter merged into its base"])):
        table = ledger_section(comparison(lora(inference=held))).inference
        assert table is not None
        assert [row.kind for row in table.rows if row.cells[0].best] == marked


def test_full_tuning_pays_only_where_its_summaries_are_cheaper_than_the_adapters() -> None:
    def held(merged_s: float) -> Comparison:
        beside = lora(inference=[window("unmerged", merged_s, noise=0.0)], trained_on=HERE, evaluated_on=HERE)
        plain = full(inference=[window("plain", 4.8, noise=0.0)], trained_on=HERE, evaluated_on=HERE)
        return comparison(untuned(), plain, beside)

    (pays,) = paybacks(held(6.0))
    assert (pays.system, pays.against) == ("full", "LoRA r16")
    # 4760 - 2950 J of training over 8 J/s (6.0 - 4.8 s) / 96 a summary; the range of the wattage cancels
    assert pays.energy.summaries == pytest.approx(18_100)
    assert (pays.energy.low, pays.energy.high) == (pytest.approx(18_100), pytest.approx(18_100))
    assert pays.time.summaries == pytest.approx((297.0 - 184.2) / (1.2 / 96))
    once = comparison(untuned(), full(generated=200), lora(generated=200, evaluate=readings(30.0, 480e6, 500.0)))
    table = ledger_section(once).paybacks
    assert table is not None
    assert "noise not known: timed once" in table.rows[0].cells[1].details
    (never,) = paybacks(held(4.8))
    assert (never.energy.outcome, never.time.outcome) == ("never", "never")
    assert paybacks(comparison(lora())) == []


def test_the_cheapest_arrangement_counts(whole: Comparison) -> None:
    chosen = cheapest_window(whole.systems[2])
    assert chosen is not None
    assert chosen.arrangement == "merged"


# Axes and fronts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["rougeL", "rougeL,rougeL", "a,b,c", ""])
def test_what_is_no_pair_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no pair of axes"):
        parse_pair(text)


def test_axes_are_known_by_name_and_the_second_is_a_cost() -> None:
    assert parse_pair(" rouge2 , train_wall_s") == ("rouge2", "train_wall_s")
    with pytest.raises(UnknownNameError) as caught:
        parse_pair("rougeL,train_wal_s")
    assert "train_wall_s" in (caught.value.hint or "")
    with pytest.raises(UsageError) as turned:
        parse_pair("train_wall_s,rougeL")
    assert turned.value.hint == "turn them round: rougeL,train_wall_s"


def test_every_pair_of_axes_has_a_front_that_nothing_beats(whole: Comparison) -> None:
    costs = [axis.key for axis in AXES.values() if not axis.more_is_better]
    tried = 0
    for up in AXES:
        for across in costs:
            points, kept = placed(whole, up, across), front(whole, up, across)
            tried += bool(points)
            for point in points:
                beaten = any(
                    q.quality >= point.quality
                    and (q.cost or 0) <= (point.cost or 0)
                    and (q.quality, q.cost) != (point.quality, point.cost)
                    for q in points
                )
                assert (point in kept) != beaten
    assert tried > 50


def test_a_chosen_pair_is_a_figure_with_its_data_and_goes_with_the_next_report(
    whole: Comparison, tmp_path: Path
) -> None:
    pairs = [("rouge2", "train_wall_s"), ("heuristic_focus", "inference_energy_j"), ("train_energy_j", "stored_bytes")]
    chosen = whole.model_copy(update={"pairs": pairs})
    pictures = {picture.file: picture for picture in draw_figures(chosen)}
    for pair in pairs:
        assert pair_file(*pair) in pictures
    data = rows(pictures[pair_file("rouge2", "train_wall_s")].csv)
    assert {row["system"]: row["train_wall_s"] for row in data} == {
        "full": "297.0",
        "LoRA r16": "184.2",
        "IA³": "171.0",
    }
    kept = {point.system for point in front(chosen, "rouge2", "train_wall_s")}
    assert {row["system"] for row in data if row["on_front"] == "yes"} == kept
    write_report(chosen, tmp_path)
    assert {pair_file(*pair) for pair in pairs} <= {path.name for path in tmp_path.iterdir()}
    write_report(whole, tmp_path)
    assert not list(tmp_path.glob("pareto_*"))


# Page, console, CSV --------------------------------------------------------------------------------------------------


def test_the_page_and_the_markdown_tell_the_cost_side(whole: Comparison) -> None:
    pictures = draw_figures(whole)
    plain = render_markdown(whole, pictures).replace("\\", "")
    for text in (render_html(whole, pictures).replace("&#34;", '"'), plain):
        for part in (
            "What to choose",
            "Forecast against reading",
            "Electricity, carbon and money of training",
            "A thousand summaries",
            "When the dearer training pays",
            "For the model card",
            "mean of Germany in 2024",
            "adapter merged into its base",
            advice(whole)[0],
        ):
            assert part in text


def test_the_console_tells_it_too(whole: Comparison) -> None:
    told = "\n".join(cost_lines(whole))
    assert "- For the best quality choose" in told
    assert "cannot turn inside the ranges" in told
    assert "Forecasts: Median size of the error: peak memory 5.0 %, time 5.0 % and energy 5.0 %." in told
    assert "CO2-equivalent of training at DE: full 455 mg, LoRA r16 282 mg, IA³ 262 mg" in told


def test_results_csv_gains_columns_and_every_empty_cell_has_a_reason(whole: Comparison) -> None:
    for made in (whole, comparison(untuned(), lora(train=readings(None, None, None)), full(train=None))):
        table = rows(results_csv(made))
        explained = {
            (name, column) for cells in empty_cells(made) for name in cells.systems for column in cells.columns
        }
        assert explained == {(row["system"], c) for row in table for c, value in row.items() if value == ""}
    row = {row["system"]: row for row in rows(results_csv(whole))}["LoRA r16"]
    assert float(row["forecast_peak_memory_bytes_error"]) == pytest.approx(0.05)
    assert float(row["train_carbon_g"]) == pytest.approx(2950 / 3.6e6 * 344.1)
    assert float(row["train_electricity_cost"]) == pytest.approx(2950 / 3.6e6 * 0.3)
    assert row["cost_currency"] == "EUR"
    assert float(row["inference_merged_wall_s_per_1000"]) == pytest.approx(5000 / 96)
    assert row["inference_plain_wall_s_per_1000"] == ""
    assert "inference_merged_wall_s_per_1000" not in result_columns(comparison())


def test_inference_csv_has_a_row_an_arrangement(whole: Comparison, tmp_path: Path) -> None:
    write_report(whole, tmp_path)
    table = rows((tmp_path / "inference.csv").read_text("utf-8"))
    assert len(table) == 2 + 2 + 4 + 4
    merged = next(row for row in table if (row["system"], row["arrangement"]) == ("LoRA r16", "merged"))
    assert (merged["summaries"], merged["passes"], merged["short"]) == ("96", "3", "no")
    absent = next(row for row in table if row["arrangement"] == "merged_int8")
    assert (absent["wall_s"], absent["reason"]) == ("", "bitsandbytes is not installed")


def test_the_untuned_base_is_no_recipe_and_pays_for_nothing(whole: Comparison) -> None:
    section = ledger_section(whole)
    assert section.paybacks is not None
    assert section.disclosure is not None
    assert section.forecasts is not None
    for table in (section.paybacks, section.disclosure, section.forecasts):
        assert "untuned base" not in {row.name for row in table.rows}


# The model card ------------------------------------------------------------------------------------------------------


def test_the_card_line_has_range_source_and_what_is_left_out() -> None:
    line = card_line(readings(90.0, 1e9, 3600.0), Cost(region="DE", pue=1.0))
    assert line.startswith(
        "Training took 1 Wh (an estimate, range 0.6 Wh to 1.5 Wh) of electricity in 1 min 30 s, "
        "344 mg (range 206 mg to 571 mg) of CO2-equivalent."
    )
    assert "mean of Germany in 2024 (Ember" in line
    assert line.endswith("Not counted: making the device and water.")
    assert card_line(readings(energy_j=None), Cost()).startswith("Training energy and carbon are not known: no energy")


def test_the_cards_front_matter_is_what_the_hub_reads() -> None:
    import yaml

    front_matter = yaml.safe_load("\n".join(card_metadata(readings(90.0, 1e9, 3.6e6), Cost(region="FR", pue=1.0))))
    found = front_matter["co2_eq_emissions"]
    assert found["emissions"] == pytest.approx(44.2)  # grams, by the Hub's specification
    assert found["training_type"] == "fine-tuning"
    assert found["geographical_location"] == "FR"
    assert found["source"].startswith("peftsum: 8 W a busy core")
    assert card_metadata(readings(energy_j=None), Cost()) == []


def test_an_arrangement_that_failed_is_unmeasured_and_not_zero() -> None:
    made = comparison(
        lora(inference=[InferenceCost(arrangement="merged", reason="no")], rouge_l_per_example=noisy(0.2, 2))
    )
    assert cheapest_window(made.systems[0]) is None
    assert AXES["inference_energy_j"].of(made.systems[0]) is None
    assert ia3().inference == []
