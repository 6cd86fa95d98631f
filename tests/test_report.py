"""The report's files, read back as a reader's programs would: page, markdown, CSV, JSON, figures, console."""

from __future__ import annotations

import csv
import io
import itertools
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from comparisons import NO_RAPL, comparison, full, ia3, lora, measured, readings, score_report, untuned
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from peftsum.comparison import Comparison, Example, verdict
from peftsum.exceptions import StorageError
from peftsum.metrics.errors import FITTED
from peftsum.report import write_report
from peftsum.report.console import render_table
from peftsum.report.figures import Picture, draw_figures
from peftsum.report.page import escape_markdown, render_html, render_markdown
from peftsum.report.results import empty_cells, result_columns, results_csv
from peftsum.report.tables import errors_table, glance_table, scores_table
from peftsum.report.text import ERROR_EXPLANATIONS, in_unit

NASTY = "<script>alert('x')</script> | Zoë's `r8`, \"q\" $x^2$ _a_ 日本"
DIALOGUE = "#Person1#: <b>Hi</b> & bye\n#Person2#: 1 < 2 </script>"
UNMEASURED_TOO = ("scores", "improvement", "rouge_by_example", "errors")  # figures that need no cost and no texts
VOID = {"meta", "img", "link", "br", "hr", "input"}


class Page(HTMLParser):
    """What a test asks of a page: tags with attributes, the text of each, and whether every tag is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag and open it."""
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close a tag, which has to be the last opened."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note a text with the tags around it."""
        if data.strip():
            self.texts.append(("/".join(self.open), data.strip()))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of each tag of a name."""
        return [attributes for name, attributes in self.tags if name == tag]

    def text_in(self, tag: str) -> list[str]:
        """Return the texts inside tags of a name."""
        return [text for path, text in self.texts if tag in path.split("/")]


@pytest.fixture(scope="module")
def nasty() -> Comparison:
    """Names and texts that would break a page, and costs that were not measured."""
    chosen = [
        untuned(),
        full(train=readings(energy_j=None)),
        lora(system=NASTY, note="stopped <early>"),
        ia3(train=None),
    ]
    example = Example(
        id="d|1",
        dialogue=DIALOGUE,
        references=["one & two", "1. <i>three</i>"],
        predictions={NASTY: "<img src=https://example.com/x.png>", "full": ""},
    )
    title = "A & B <title>"
    return comparison(*chosen, title=title, examples=[example], commands=["peftsum compare 'a```b' --out <dir>"])


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report") / "deep" / "report"
    assert write_report(comparison(), out) == out / "index.html"
    return out


@pytest.fixture(scope="module")
def nasty_pictures(nasty: Comparison) -> list[Picture]:
    return draw_figures(nasty)


@pytest.fixture(scope="module")
def nasty_page(nasty: Comparison, nasty_pictures: list[Picture]) -> Page:
    return Page(render_html(nasty, nasty_pictures))


@pytest.fixture(scope="module")
def sliced(nasty: Comparison) -> Comparison:
    """All that slices are made of, with a topic that would break a page."""
    known = measured(nasty)
    assert known.facts is not None
    facts = known.facts.model_copy(update={"topics": [NASTY] * 100 + ["plain"] * 100})
    return known.model_copy(update={"facts": facts})


@pytest.fixture(scope="module")
def sliced_page(sliced: Comparison) -> Page:
    return Page(render_html(sliced, draw_figures(sliced)))


DOCUMENTS = (
    "index.html",
    "report.md",
    "results.csv",
    "inference.csv",
    "differences.csv",
    "slices.csv",
    "comparison.json",
)

# Files ---------------------------------------------------------------------------------------------------------------


def test_the_folder_holds_what_the_contract_names_and_nothing_temporary(written: Path) -> None:
    figures = {"rouge", "quality_vs_energy", "quality_vs_memory", "quality_vs_size", *UNMEASURED_TOO}
    documents = {*DOCUMENTS}
    pairs = {f"{figure}.{ending}" for figure in figures for ending in ("png", "csv")}
    assert {path.name for path in written.iterdir()} == pairs | documents
    assert {path.name for path in written.parent.iterdir()} == {"report"}


def test_a_second_report_replaces_the_first_and_its_figures(tmp_path: Path) -> None:
    write_report(measured(comparison()), tmp_path)
    assert (tmp_path / "slices_dialogues.csv").is_file()
    (tmp_path / "notes.txt").write_text("mine")
    write_report(comparison(untuned(), full(train=None, model_bytes=None), lora(train=None)), tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    documents = {*DOCUMENTS}
    pairs = {f"{figure}.{ending}" for figure in ("rouge", *UNMEASURED_TOO) for ending in ("png", "csv")}
    assert names == pairs | documents | {"notes.txt"}
    assert "since no cost of training was measured" in (tmp_path / "index.html").read_text("utf-8")


def test_a_folder_that_cannot_be_made_has_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError):
        write_report(comparison(), tmp_path / "file" / "report")


def test_the_record_reads_back_equal(written: Path) -> None:
    assert Comparison.model_validate_json((written / "comparison.json").read_text("utf-8")) == comparison()


# CSV -----------------------------------------------------------------------------------------------------------------

COLUMNS = (
    "system,method,quantize,base,n,rouge1_f,rouge1_low,rouge1_high,rouge2_f,rouge2_low,rouge2_high,rougeL_f,rougeL_low,"
    "rougeL_high,rougeLsum_f,rougeLsum_low,rougeLsum_high,trainable_params,total_params,adapter_bytes,"
    "peak_memory_bytes,train_wall_s,train_energy_j,train_energy_source,"
    "forecast_peak_memory_bytes,forecast_peak_memory_bytes_error,forecast_train_wall_s,forecast_train_wall_s_error,"
    "forecast_train_energy_j,forecast_train_energy_j_error,train_energy_low_j,train_energy_high_j,train_site_kwh,"
    "train_carbon_g,train_carbon_low_g,train_carbon_high_g,train_embodied_g,train_electricity_cost,train_device_cost,"
    "cost_currency,evaluate_summaries,evaluate_wall_s_per_1000,evaluate_energy_j_per_1000,evaluate_peak_memory_bytes,"
    "heuristic_length,heuristic_hallucination,heuristic_missing_key_info,heuristic_focus"
)


def test_csv_has_the_columns_of_the_contract_and_values_to_the_last_digit(written: Path) -> None:
    text = (written / "results.csv").read_text("utf-8")
    assert text.splitlines()[0] == COLUMNS
    rows = {row["system"]: row for row in csv.DictReader(io.StringIO(text))}
    for system in comparison().systems:
        row, scores = rows[system.system], system.scores
        assert (row["method"], row["base"], int(row["n"])) == (system.method, system.base, scores.n)
        assert float(row["rougeL_f"]) == scores.rougeL.f
        assert float(row["rouge2_low"]) == scores.rouge2.low
        assert float(row["rougeLsum_high"]) == scores.rougeLsum.high
        assert {name: float(row[name]) for name in scores.error_rates} == {
            name: rate.rate for name, rate in scores.error_rates.items()
        }
    assert rows["LoRA r16"]["train_energy_j"] == "2950.0"
    assert rows["LoRA r16"]["train_energy_source"] == "estimate: 8 W a busy core"
    assert rows["LoRA r16"]["peak_memory_bytes"] == "612000000"
    assert rows["full"]["adapter_bytes"] == ""
    assert rows["untuned base"]["train_wall_s"] == ""


def test_csv_keeps_names_with_quotes_and_commas(nasty: Comparison) -> None:
    rows = list(csv.DictReader(io.StringIO(results_csv(nasty))))
    assert rows[2]["system"] == NASTY
    assert rows[1]["train_energy_source"] == ""


def test_an_error_rate_of_one_system_is_a_column_for_all() -> None:
    rates = dict(score_report(0.2).error_rates)
    rates["error_entity"] = rates["heuristic_focus"]
    extended = comparison(full(), lora(scores=score_report(0.216, error_rates=rates)))
    assert result_columns(extended)[-1] == "error_entity"
    assert [row["error_entity"] == "" for row in csv.DictReader(io.StringIO(results_csv(extended)))] == [True, False]
    assert "Entity" in errors_table(extended).headers


def test_every_empty_cell_has_a_reason(nasty: Comparison) -> None:
    explained = {(name, column) for cells in empty_cells(nasty) for name in cells.systems for column in cells.columns}
    rows = csv.DictReader(io.StringIO(results_csv(nasty)))
    assert explained == {(row["system"], column) for row in rows for column, value in row.items() if value == ""}
    reasons = {cells.reason for cells in empty_cells(nasty)}
    assert NO_RAPL in reasons
    assert "full fine-tuning saves a whole model of 22.4 MB, not an adapter" in reasons
    assert NO_RAPL in render_markdown(nasty, []).replace("\\", "").replace("No energy", "no energy")


# Page ----------------------------------------------------------------------------------------------------------------


def test_the_page_fetches_nothing_and_runs_nothing(nasty_page: Page) -> None:
    assert not nasty_page.all("script")
    assert not nasty_page.all("link")
    images = nasty_page.all("img")
    assert len(images) == 4 + len(UNMEASURED_TOO)
    assert all((image["src"] or "").startswith("data:image/png;base64,") for image in images)
    for _, attributes in nasty_page.tags:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "action", "data", "srcset", "poster"):
            assert "//" not in (attributes.get(name) or "").removeprefix("data:image/png;base64,")[:12]
    sheet = "".join(nasty_page.text_in("style"))
    assert "url(" not in sheet
    assert "@import" not in sheet


def test_the_page_shows_names_and_texts_as_they_are(nasty_page: Page) -> None:
    assert nasty_page.open == []
    assert NASTY in nasty_page.text_in("th")
    assert DIALOGUE in nasty_page.text_in("details")
    assert {"one & two", "1. <i>three</i>", "<img src=https://example.com/x.png>", "(empty)"} <= set(
        nasty_page.text_in("dd")
    )
    assert nasty_page.text_in("title") == ["A & B <title>"]
    assert "stopped <early>" in nasty_page.text_in("dd")


@pytest.mark.parametrize("which", [(), (untuned(),), (lora(), ia3()), (full(), lora(train=None))])
def test_the_verdict_is_the_first_sentence(which: tuple[object, ...]) -> None:
    made = comparison(*which)  # type: ignore[arg-type]
    page = Page(render_html(made, []))
    body = [text for path, text in page.texts if "body" in path and "h1" not in path]
    assert body[0] == verdict(made)
    paragraphs = [line for line in render_markdown(made, []).splitlines() if line and not line.startswith("#")]
    assert paragraphs[0].replace("\\", "") == verdict(made)


@pytest.mark.parametrize("which", ["nasty_page", "sliced_page"])
def test_the_page_can_be_read_by_a_screen_reader(which: str, request: pytest.FixtureRequest) -> None:
    nasty_page: Page = request.getfixturevalue(which)
    assert nasty_page.open == []
    assert nasty_page.all("html") == [{"lang": "en"}]
    assert all(header.get("scope") in {"col", "row"} for header in nasty_page.all("th"))
    assert all(len(image["alt"] or "") > 40 for image in nasty_page.all("img"))
    levels = [int(tag[1]) for tag, _ in nasty_page.tags if tag in {"h1", "h2", "h3", "h4"}]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert len(nasty_page.all("caption")) == len(nasty_page.all("table"))
    identifiers = [attributes["id"] for _, attributes in nasty_page.tags if attributes.get("id")]
    targets = [(a["href"] or "")[1:] for a in nasty_page.all("a") if (a["href"] or "").startswith("#")]
    assert set(targets) <= set(identifiers)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(scheme: str) -> None:
    sheet = (Path(__file__).parent.parent / "peftsum/report/page.css").read_text("utf-8")
    block = sheet.split(":root {")[1 if scheme == "light" else 2].split("}")[0]
    colours = dict(part.strip().removeprefix("--").split(": ") for part in block.split(";") if part.strip())
    for ground in ("paper", "band"):
        for ink in ("ink", "soft", "accent", "mark"):
            assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)  # WCAG 2.2, 1.4.3, level AA


def contrast(one: str, other: str) -> float:
    """Contrast of two colours by WCAG 2.2."""

    def luminance(colour: str) -> float:
        digits = colour.lstrip("#")
        pairs = [digits[i : i + 2] for i in (0, 2, 4)] if len(digits) == 6 else [2 * digit for digit in digits]
        linear = [c / 12.92 if (c := int(p, 16) / 255) <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for p in pairs]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def test_the_page_says_how_it_was_made(nasty_page: Page) -> None:
    told = " ".join(text for _, text in nasty_page.texts)
    for fact in ("builtin:dialogues, split test", "every reference of a dialogue, averaged", "seed:13", "2.13.0+cpu"):
        assert fact in told
    assert "peftsum compare 'a```b' --out <dir>" in nasty_page.text_in("pre")
    assert "Every figure here speaks of builtin:tiny" in told
    assert "an estimate, not a measurement: 8 W a busy core; covers CPU" in told
    assert "measured by perf_counter; covers this process" in told


def test_every_heuristic_is_explained_and_called_one() -> None:
    headers = errors_table(comparison()).headers[:4]
    assert all("heuristic" in header for header in headers)
    assert set(ERROR_EXPLANATIONS) == {*comparison().systems[0].scores.error_rates, *FITTED}


def test_the_section_on_slices_shows_topics_as_they_are_and_every_score(sliced: Comparison, sliced_page: Page) -> None:
    headings = sliced_page.text_in("h3")
    assert {"Number of speakers", "Topic", "Are the speakers treated evenly?", "Where the missed turns lie"} <= set(
        headings
    )
    assert f"{NASTY} (n = 100)" in sliced_page.text_in("th")
    assert sliced_page.text_in("summary").count("Every score of these slices") == 8
    assert len(sliced_page.all("img")) == 12
    assert not sliced_page.all("script")
    assert "slices.csv" in {link["href"] for link in sliced_page.all("a")}
    markdown = render_markdown(sliced, []).splitlines()
    assert "## Where it is hard" in markdown
    assert any(line.startswith("| System | &lt;script".replace("&lt;", "\\<")) for line in markdown)


# Markdown ------------------------------------------------------------------------------------------------------------


def test_markdown_tables_keep_their_columns_whatever_the_names(
    nasty: Comparison, nasty_pictures: list[Picture]
) -> None:
    lines = render_markdown(nasty, nasty_pictures).splitlines()
    tables: list[list[str]] = [[]]
    for line in lines:
        if line.startswith("|"):
            tables[-1].append(line)
        elif tables[-1]:
            tables.append([])
    tables = [table for table in tables if table]
    # glance, scores, errors, front and generation of all systems; then forecasts, disclosure and break-even
    rows = [len(table) - 2 for table in tables if table[0].startswith("| System |")]
    tuned, trained = 3, 2
    assert sorted(rows) == sorted([*5 * [len(nasty.systems)], tuned, trained, trained - 1])
    pairs = 5  # two against full fine-tuning, three against the untuned base
    assert [len(table) - 2 for table in tables if table[0].startswith("| Pair |")] == [pairs, 3 * pairs]
    for table in tables:
        assert len({row.replace("\\|", "").count("|") for row in table}) == 1
    assert "<script>" not in "\n".join(lines).replace("\\<", "")
    assert "````\npeftsum compare 'a```b' --out <dir>\n````" in "\n".join(lines)


@settings(deadline=None)
@given(st.text(max_size=60))
def test_escaped_markdown_is_one_line_with_nothing_active(text: str) -> None:
    escaped = escape_markdown(text)
    assert "\n" not in escaped
    bare = "".join(escaped.replace("\\\\", "").split("\\"))
    assert len(escaped) >= len(bare)
    for i, character in enumerate(escaped):
        if character in "`*_[]<>|":
            before = escaped[:i]
            assert (len(before) - len(before.rstrip("\\"))) % 2 == 1


# Tables --------------------------------------------------------------------------------------------------------------


def test_the_best_of_each_column_is_marked_and_only_where_there_is_a_choice() -> None:
    table = glance_table(comparison())
    best = {h: [r.name for r in table.rows if r.cells[i].best] for i, h in enumerate(table.headers)}
    assert best["ROUGE-L"] == ["full"]
    assert best["Peak memory"] == ["IA³"]
    assert best["Training energy"] == ["IA³"]
    assert best["Difference from full fine-tuning"] == []
    alone = glance_table(comparison(lora()))
    assert not any(cell.best for row in alone.rows for cell in row.cells)


def test_an_energy_is_best_only_among_its_like() -> None:
    mixed = glance_table(comparison(full(), lora(train=readings(estimated=False))))
    assert not any(row.cells[-1].best for row in mixed.rows)
    assert [row.cells[-1].details for row in mixed.rows] == [
        ("estimate, range 0.793 to 1.98 Wh",),
        ("measured by RAPL counter",),
    ]


def test_unmeasured_is_never_shown_as_a_number() -> None:
    lost = comparison(untuned(), full(train=readings(None, None, None)), lora(train=None, trainable_params=None))
    for row in glance_table(lost).rows:
        costs = row.cells[-3:]
        assert [cell.text for cell in costs] == ["not trained" if row.name == "untuned base" else "not measured"] * 3
        assert all(cell.missing and not cell.best for cell in costs)


def test_gains_stand_under_each_score() -> None:
    row = scores_table(comparison()).rows[2]
    assert row.cells[2].text == "21.6"
    assert row.cells[2].details == ("20.4 to 22.8", "+7.9 (+58 %)")


@pytest.mark.parametrize(("energy_j", "text"), [(0.25, "0.25 J"), (12.0, "12 J"), (7200.0, "2 Wh"), (0.0, "0 J")])
def test_a_small_energy_is_not_rounded_to_nothing(energy_j: float, text: str) -> None:
    assert in_unit(energy_j, "J") == text


# Console -------------------------------------------------------------------------------------------------------------


def printed(made: Comparison, width: int = 100) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(render_table(made))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_the_console_table_fits_100_columns(nasty: Comparison) -> None:
    for made in (comparison(), nasty):
        assert max(len(line) for line in printed(made).splitlines()) <= 100
    text = printed(comparison())
    (row,) = (line for line in text.splitlines() if line.lstrip().startswith("LoRA r16"))
    assert row.split()[2:8] == ["27.6", "5.8", "21.6", "20.4\N{EN DASH}22.8", "+7.9", "2.93"]
    assert "Energy is an estimate." in text
    assert "builtin:tiny" in text


def test_the_console_shows_brackets_in_names() -> None:
    assert "[bold]x[/bold]" in printed(comparison(full(), lora(system="[bold]x[/bold]")))


def test_a_checked_detector_stands_beside_its_precision_and_recall_and_an_unchecked_rule_stands_nowhere() -> None:
    rates = dict(score_report(0.2).error_rates)
    flag = rates["heuristic_focus"]
    rates = {"heuristic_focus": flag, "error_speaker": flag, "error_redundancy": flag}
    extended = comparison(full(scores=score_report(0.219, error_rates=rates)), lora())
    headers = errors_table(extended).headers
    assert re.fullmatch(r"Wrong speaker \(precision 0\.\d\d, recall 0\.\d\d\)", headers[0])
    assert not any("edundancy" in header for header in headers)
    assert "error_redundancy" in results_csv(extended)
