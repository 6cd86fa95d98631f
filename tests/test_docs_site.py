"""The documentation site: it builds strictly, every link in it leads somewhere, and nothing is fetched from outside."""

from __future__ import annotations

import ast
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config
from pages import blocks_of

from peftsum.cli import cli
from peftsum.recipe import Recipe

ROOT = Path(__file__).parent.parent
LOADED = {("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src"), ("source", "src")}
PAGES = ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
MARKDOWN_LINK = re.compile(r"\]\(([^)\s]+)\)")


class Page(HTMLParser):
    """Collects the names that can be linked to, the links, and what a browser would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take what one tag has."""
        for name, value in attrs:
            if name == "id" and value:
                self.names.add(value)
            if tag == "a" and name == "href" and value:
                self.links.append(value)
            if (tag, name) in LOADED and value:
                self.loaded.append(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does; a warning fails the build."""
    folder = tmp_path_factory.mktemp("site")
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True))
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path.read_text("utf-8")) for path in sorted(site.rglob("*.html")) if path.name != "404.html"}


def test_every_page_of_docs_is_in_the_site(site: Path, pages: dict[Path, Page]) -> None:
    built = {path.relative_to(site).as_posix() for path in pages}
    assert built >= {f"{path.stem}.html" for path in (ROOT / "docs").glob("*.md")}
    assert built >= {f"reference/{name}.html" for name in ("recipe", "commands", "python", "names")}


def test_links_and_anchors_lead_somewhere(pages: dict[Path, Page]) -> None:
    checked = 0
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.is_file(), f"{path.name}: {link}"
            if parts.fragment and target in pages:
                assert unquote(parts.fragment) in pages[target].names | {"__skip"}, f"{path.name}: {link}"
            checked += 1
    assert checked > 500


def test_nothing_is_loaded_from_outside(site: Path, pages: dict[Path, Page]) -> None:
    for path, page in pages.items():
        assert not [one for one in page.loaded if urlsplit(one).netloc], path.name
    for sheet in site.rglob("*.css"):
        assert not re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", sheet.read_text("utf-8")), sheet.name


def test_the_search_knows_the_pages_and_the_reference(site: Path) -> None:
    index = (site / "search/search_index.json").read_text("utf-8")
    assert "train.batch_tokens" in index
    assert "start.html#train" in index


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_the_reference_has_every_option_of_a_command(name: str, site: Path) -> None:
    text = (site / "reference/commands.html").read_text("utf-8")
    assert f'id="peftsum-{name}"' in text
    for parameter in cli.commands[name].params:
        if isinstance(parameter, click.Option):
            assert all(option in text for option in parameter.opts)


def test_the_reference_has_every_key_of_a_recipe(site: Path) -> None:
    text = (site / "reference/recipe.html").read_text("utf-8")
    for section, field in Recipe.model_fields.items():
        if hasattr(field.annotation, "model_fields"):
            for key in field.annotation.model_fields:
                assert f"{section}.{key}" in text
    for key in ("method.rank", "method.targets", "train.engine.packing", "cost.region"):
        assert f"<code>{key}</code>" in text


@pytest.mark.parametrize("page", PAGES)
def test_links_of_a_page_lead_somewhere_on_a_forge_too(page: str) -> None:
    for link in MARKDOWN_LINK.findall((ROOT / page).read_text("utf-8")):
        parts = urlsplit(link)
        if parts.scheme or not parts.path:
            continue
        assert ((ROOT / page).parent / parts.path).exists(), link


def test_the_first_page_leads_to_every_other_one() -> None:
    """On a forge there is no navigation: what the first page does not name is not found."""
    linked = set(MARKDOWN_LINK.findall((ROOT / "docs/index.md").read_text("utf-8")))
    assert linked >= {path.name for path in (ROOT / "docs").glob("*.md")} - {"index.md"}


def test_the_python_of_swapping_adapters_works_as_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    (block,) = [b for b in blocks_of(ROOT / "docs/swap-adapters.md") if b.language == "python"]
    exec(compile(block.text, "swap-adapters.md", "exec"), {})
    alone, mixed, bare = (ast.literal_eval(line) for line in capsys.readouterr().out.splitlines())
    assert (len(alone), len(mixed), len(bare)) == (1, 2, 1)
    assert mixed[0] == alone[0]
    assert len({alone[0], mixed[1], bare[0]}) == 3
