"""Run the notebook and keep its outputs; with ``--quick`` run it on less and keep nothing.

    .venv/bin/python tools/run_notebook.py            # what made the stored outputs, four minutes on two cores
    .venv/bin/python tools/run_notebook.py --quick    # every cell on a few dialogues, for the tests

A notebook is stored without times, without the names of the folders it ran in, and without progress bars.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "examples" / "dialogue_summarization.ipynb"
CELL_S = 1200  # the training, on a slow machine


def run_notebook(path: Path, folder: Path, *, quick: bool) -> Any:
    """Return the notebook as executed in a folder that gets this repository's recipes and adapters.

    Args:
        path: of the notebook.
        folder: an empty one, in which the kernel runs; what the notebook writes stays there.
        quick: run every step on less.

    Raises:
        CellExecutionError: a cell failed.
    """
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    shutil.copytree(ROOT / "adapters", folder / "adapters")
    notebook = nbformat.read(path, as_version=4)
    quickly = {"PEFTSUM_QUICK": "1"} if quick else {}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", **quickly}
    with tempfile.TemporaryDirectory() as short:  # sockets are files, not ports, and their names must be short
        manager = KernelManager(kernel_name="python3", transport="ipc", connection_file=f"{short}/kernel.json")
        client = NotebookClient(notebook, km=manager, timeout=CELL_S)
        manager.start_kernel(env=environment, cwd=str(folder))
        try:
            client.execute()
        finally:
            manager.shutdown_kernel(now=True)
    return notebook


def stored(notebook: Any) -> Any:
    """Return an executed notebook as it is kept: outputs, and nothing of the machine that made them."""
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
            for output in cell.outputs:
                output.pop("metadata", None) if output.output_type == "stream" else None
    notebook.metadata.pop("widgets", None)
    notebook.metadata.language_info = {"name": "python"}
    return notebook


def main() -> None:
    """Run it in a folder of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="run every step on less, and store nothing")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as folder:
        notebook = run_notebook(NOTEBOOK, Path(folder), quick=quick)
    if not quick:
        nbformat.write(stored(notebook), NOTEBOOK)


if __name__ == "__main__":
    main()
