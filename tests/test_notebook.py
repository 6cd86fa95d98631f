"""The notebook: it runs from start to end, and what is stored of it is what a reader should see."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from run_notebook import NOTEBOOK, run_notebook, stored  # noqa: E402  # a tool, not a package

LARGEST_BYTES = 1_500_000


@pytest.fixture(scope="module")
def notebook() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


def code_of(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_outputs_are_stored_without_errors_and_in_the_order_they_were_made(notebook: Any) -> None:
    cells = code_of(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    kinds = {output.output_type for cell in cells for output in cell.outputs}
    assert {"stream", "execute_result", "display_data"} <= kinds
    assert "error" not in kinds
    pictures = [o for cell in cells for o in cell.outputs if "image/png" in o.get("data", {})]
    assert len(pictures) >= 5


def test_it_is_small_and_names_no_folder_of_the_machine_it_ran_on(notebook: Any) -> None:
    text = NOTEBOOK.read_text("utf-8")
    assert len(text.encode()) < LARGEST_BYTES
    shown = json.dumps([c.source + json.dumps([dict(o) for o in c.get("outputs", [])]) for c in notebook.cells])
    without_pictures = re.sub(r"[A-Za-z0-9+/=\\n]{200,}", "", shown)
    assert not re.findall(r"/(?:tmp|home|root|work|Users)/", without_pictures)


def test_its_links_lead_somewhere(notebook: Any) -> None:
    links = [
        t for cell in notebook.cells if cell.cell_type == "markdown" for t in re.findall(r"\]\(([^)]+)\)", cell.source)
    ]
    assert len(links) >= 4
    for link in links:
        assert (NOTEBOOK.parent / link).is_file(), link


def test_every_cell_runs_on_less(tmp_path: Path, notebook: Any) -> None:
    done = run_notebook(NOTEBOOK, tmp_path, quick=True)
    assert [cell.source for cell in done.cells] == [cell.source for cell in notebook.cells]
    assert all(cell.execution_count for cell in code_of(done))
    assert (tmp_path / "runs/notebook/report/index.html").is_file()
    assert (tmp_path / "runs/notebook/adapters/tiny-lora/confidence.json").is_file()
    assert not any(output.get("name") == "stderr" for cell in code_of(stored(done)) for output in cell.outputs)


@pytest.mark.slow
def test_the_whole_notebook_gains_over_the_untuned_base(tmp_path: Path) -> None:
    run_notebook(NOTEBOOK, tmp_path, quick=False)
    comparison = json.loads((tmp_path / "runs/notebook/report/comparison.json").read_text("utf-8"))
    untuned, tuned = (system["scores"]["rougeL"] for system in comparison["systems"])
    assert tuned["low"] > untuned["high"]
