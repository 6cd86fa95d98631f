"""The page's own files: no way out of the server, no HTML from text, words for every flag, and colours one can read."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import product
from pathlib import Path

import pytest

import peftsum
from peftsum.flags import trusted_detectors
from peftsum.metrics.errors import FITTED, RULES
from peftsum.redaction import KINDS
from peftsum.server.limits import MOST_DIALOGUE_CHARACTERS

PAGE = Path(peftsum.__file__).parent / "server" / "page"
SCRIPTS = sorted(PAGE.glob("*.js"))
ENOUGH = 4.5  # WCAG 2.2, 1.4.3: text
ENOUGH_OF_EDGES = 3.0  # 1.4.11: what bounds a control
ON_PAPER = ("ink", "soft", "accent")
ON_CARD = ("ink", "soft", "accent", "bad", "warn", "a", "b", *(f"s{i}" for i in range(6)))
PAIRS = [
    *product(ON_PAPER, ("paper",)),
    *product(ON_CARD, ("card",)),
    *product(("ink", "soft", "bad"), ("bad-card",)),
    *product(("ink", "soft", "warn", *(f"s{i}" for i in range(6))), ("lit",)),
    ("a", "a-card"),
    ("b", "b-card"),
    ("on-accent", "accent"),
]


class Tags(HTMLParser):
    """Every tag of a document with its attributes, and what scripts and styles hold."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inline: list[str] = []
        self._within = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a tag."""
        self.tags.append((tag, dict(attrs)))
        self._within = tag

    def handle_data(self, data: str) -> None:
        """Keep what a script or style holds."""
        if self._within in {"script", "style"} and data.strip():
            self.inline.append(data)


@pytest.fixture(scope="module")
def html() -> Tags:
    return Tags((PAGE / "index.html").read_text(encoding="utf-8"))


def test_the_page_runs_under_a_policy_that_allows_its_own_files_only(html: Tags) -> None:
    assert not html.inline
    assert not [tag for tag, attributes in html.tags if any(n == "style" or n.startswith("on") for n in attributes)]
    sources = [a[key] for _, a in html.tags for key in ("src", "href") if key in a]
    assert sources
    for source in sources:
        assert source is not None
        assert (PAGE / source.removeprefix("page/")).is_file(), f"{source} is no file of the page"


def test_nothing_of_the_page_names_another_server() -> None:
    files = [path for path in PAGE.iterdir() if path.suffix in {".html", ".js", ".css", ".svg"}]
    assert len(files) >= 4
    for path in files:
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")  # a name, never fetched
        assert not re.search(r"https?:|//[a-z0-9-]+\.|url\(|@import", text), path.name


def test_text_never_becomes_html_and_nothing_is_stored() -> None:
    assert SCRIPTS
    for path in SCRIPTS:
        text = path.read_text(encoding="utf-8")
        found = re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|localStorage|cookie", text)
        assert not found, f"{path.name}: {found[0] if found else ''}"


def test_every_flag_that_a_summary_can_have_is_put_in_words() -> None:
    table = re.search(r"const SUSPICIONS = \{(.*?)\n\};", (PAGE / "words.js").read_text(encoding="utf-8"), re.DOTALL)
    assert table
    worded = set(re.findall(r"^ {2}(error_\w+):", table[1], re.MULTILINE))
    assert trusted_detectors().keys() <= worded
    assert worded <= {*FITTED, *RULES}


def test_the_page_has_words_for_every_kind_of_personal_value() -> None:
    table = re.search(r"const PERSONAL = \{(.*?)\n\};", (PAGE / "words.js").read_text(encoding="utf-8"), re.DOTALL)
    assert table is not None
    assert re.findall(r"^  (\w+):", table[1], re.MULTILINE) == [*KINDS, "placeholder"]


def test_the_page_knows_how_long_a_dialogue_may_be(html: Tags) -> None:
    (field,) = [a for tag, a in html.tags if tag == "textarea"]
    assert field["data-longest"] == str(MOST_DIALOGUE_CHARACTERS)


def test_every_control_has_a_label(html: Tags) -> None:
    labelled = {a.get("for") for tag, a in html.tags if tag == "label"}
    controls = [a for tag, a in html.tags if tag in {"input", "select", "textarea"}]
    assert controls
    assert [a["id"] for a in controls if a["id"] not in labelled] == []
    ids = [a["id"] for _, a in html.tags if "id" in a]
    assert len(ids) == len(set(ids))
    referred = {a[key] for _, a in html.tags for key in ("for", "aria-labelledby", "aria-describedby") if key in a}
    assert referred <= set(ids)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_both_schemes(scheme: str) -> None:
    colours = _colours(scheme)
    weak = {(fore, back): r for fore, back in PAIRS if (r := _contrast(colours[fore], colours[back])) < ENOUGH}
    assert not weak
    edges = {("edge", "card"), ("edge", "paper"), ("lit-edge", "lit"), ("lit-edge", "card")}
    weak = {(fore, back): r for fore, back in edges if (r := _contrast(colours[fore], colours[back])) < ENOUGH_OF_EDGES}
    assert not weak


def _colours(scheme: str) -> dict[str, str]:
    css = (PAGE / "page.css").read_text(encoding="utf-8")
    roots = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    assert len(roots) == 2
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]+);", roots[scheme == "dark"]))


def _contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours (WCAG 2.2, "contrast ratio")."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    """Return the relative luminance of a colour such as #fff or #0b5c8f (WCAG 2.2, "relative luminance")."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
