"""The recipes that are shipped: each loads, and is headed by the command that runs it and by whom it is for."""

from __future__ import annotations

from pathlib import Path

import pytest

from peftsum.forecast.plan import choose_into
from peftsum.recipe_file import load_recipe
from peftsum.starter import write_starter_recipes

ROOT = Path(__file__).parent.parent
SWEEPS = sorted((ROOT / "recipes" / "sweeps").glob("*.yaml"))
SHIPPED = sorted(set((ROOT / "recipes").rglob("*.yaml")) - set(SWEEPS))
HUB = ["full", "lora", "lora-int8", "qlora-nf4", "dora", "ia3", "vram-4gb", "vram-8gb", "vram-16gb"]
TINY = ["full", "lora", "lora-int8", "topic"]


def test_the_recipes_are_there() -> None:
    assert len(SHIPPED) >= 9
    names = {path.relative_to(ROOT / "recipes").as_posix() for path in SHIPPED}
    assert names >= {f"{name}.yaml" for name in HUB} | {f"tiny/{name}.yaml" for name in TINY}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_shipped_recipe_loads_and_says_how_to_run_it_and_for_whom(path: Path) -> None:
    recipe = load_recipe(path)
    header = path.read_text(encoding="utf-8").split("name:")[0]
    assert f"peftsum train {path.relative_to(ROOT).as_posix()}" in header
    assert "For whom" in header
    if path.parent.name == "tiny":
        assert (recipe.model.base, recipe.data.source) == ("builtin:tiny", "builtin:dialogues")
        assert recipe.name.startswith("tiny-")  # beside the ones for the Hub in runs/ and adapters/
    else:
        assert recipe.model.base.startswith("google/flan-t5-")


@pytest.mark.slow
@pytest.mark.parametrize("size", ["4GB", "8GB", "16GB"])
def test_the_recipe_for_a_size_of_memory_is_the_one_that_choosing_gives(size: str, tmp_path: Path) -> None:
    shipped = ROOT / f"recipes/vram-{size.lower()}.yaml"
    again = tmp_path / shipped.name
    choose_into(load_recipe(ROOT / "recipes/lora.yaml"), size, "recipes/lora.yaml", again)
    assert load_recipe(again) == load_recipe(shipped)
    assert _head(again).replace(again.as_posix(), f"recipes/{again.name}") == _head(shipped)  # its forecast, too


def _head(path: Path) -> str:
    """Return the comments at the head of a recipe."""
    return "\n".join(line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#"))


@pytest.mark.parametrize("size", ["4GB", "8GB", "16GB"])
def test_the_recipe_for_a_size_of_memory_says_what_it_takes_and_how_it_was_made(size: str) -> None:
    path = f"recipes/vram-{size.lower()}.yaml"
    header = (ROOT / path).read_text(encoding="utf-8").split("name:")[0]
    assert f"peftsum plan recipes/lora.yaml --gpu {size} --choose {path}" in header
    assert "peak memory" in header


def test_names_are_unique_so_that_runs_do_not_collide() -> None:
    names = [load_recipe(path).name for path in SHIPPED]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_an_adapter_takes_a_higher_rate_than_full_tuning(path: Path) -> None:
    recipe, full = load_recipe(path), load_recipe(path.parent / "full.yaml")
    if recipe.method.frozen_base:
        assert recipe.learning_rate > full.learning_rate


def test_init_writes_every_recipe_and_leaves_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "lora.yaml").write_text("mine", encoding="utf-8")
    written, kept = write_starter_recipes(tmp_path)
    assert kept == [tmp_path / "lora.yaml"]
    assert (tmp_path / "lora.yaml").read_text(encoding="utf-8") == "mine"
    assert {p.relative_to(tmp_path) for p in [*written, *kept]} == {
        p.relative_to(ROOT / "recipes") for p in [*SHIPPED, *SWEEPS]
    }
    for path in written:
        assert path.read_bytes() == (ROOT / "recipes" / path.relative_to(tmp_path)).read_bytes()
