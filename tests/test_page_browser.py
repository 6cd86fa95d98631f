"""The page in headless Chromium before a real ``peftsum serve``, as somebody uses it: with a mouse, and without one."""

from __future__ import annotations

import contextlib
import itertools
import json
import time
import urllib.request
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("selenium", reason="pip install 'peftsum[e2e]'")
pytest.importorskip("uvicorn", reason="pip install 'peftsum[serve]'")

from browsing import BROWSER, DRIVER, KEY, Page, serving, wait
from selenium.webdriver import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not (BROWSER and DRIVER), reason="apt-get install chromium chromium-driver"),
    pytest.mark.allow_hosts(["127.0.0.1", "localhost", "::1"]),
]
QUEUE = 2
ROWS = 2
LOOKS = 5  # in a row, a tenth of a second apart
LARGEST_MIB = 0.05
SHORT = "Ann: Shall we meet at the museum at five?\nBob: Yes, at five. I'll bring the tickets."


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("serve") / "log"
    limits = ("--queue", str(QUEUE), "--batch", str(ROWS), "--max-body", str(LARGEST_MIB))
    with serving(log, *limits) as found:
        yield found


@pytest.fixture(scope="module")
def browser(address: str) -> Iterator[Page]:
    page = Page(address)
    yield page
    page.close()


@pytest.fixture
def page(browser: Page) -> Page:
    browser.look(1280)
    browser.open()
    browser.requests()
    browser.complaints()
    return browser


def ask(address: str, body: dict[str, Any], timeout: float = 60) -> dict[str, Any]:
    """Return what the server answers a program."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
    request = urllib.request.Request(f"{address}v1/summaries", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        return dict(json.load(answer))


def test_two_summaries_stand_side_by_side_with_what_the_server_says_of_them(page: Page) -> None:
    page.one("#example").click()
    dialogue = page.run("return text.value")
    page.summarize()
    told = ask(page.address, {"adapters": ["tiny-summary", "tiny-topic"], "dialogue": dialogue})
    cards = page.all(".card")
    assert len(cards) == len(told["summaries"]) == 2
    left, right = (card.rect for card in cards)
    assert left["y"] == right["y"]
    assert left["x"] + left["width"] < right["x"]
    for letter, summary in zip("AB", told["summaries"], strict=True):
        card = f".card-{letter.lower()}"
        assert page.text(f"{card} h3") == f"{letter} {summary['adapter']}"
        sentences = [source["sentence"] for source in summary["sources"]]
        assert page.texts(f"{card} .sentence > span:last-child") == sentences
        assert page.text(f"{card} .mark span") == summary["generated_by"]["mark"]
        assert f"{100 * summary['confidence']['value']:.0f} of 100" in page.text(f"{card} section")
        assert f"error is {100 * summary['confidence']['calibration_error']:.1f}." in page.text(f"{card} section .hint")
        assert len(page.all(f"{card} .flag")) == len(summary["flags"])
    assert page.texts(".turn .said") == dialogue.split("\n")
    assert " s on the server" in page.text("#cost")
    assert " J (" in page.text("#cost")
    assert "estimate" in page.text("#cost")
    assert page.text("#status").startswith("2 summaries in ")


def test_a_sentence_and_its_turns_point_at_each_other(page: Page) -> None:
    page.one("#example").click()
    dialogue = page.run("return text.value")
    page.summarize()
    (summary,) = ask(page.address, {"adapter": "tiny-summary", "dialogue": dialogue})["summaries"]
    places = [[turn["index"] for turn in source["turns"]] for source in summary["sources"]]
    assert any(places), "the example's summary rests on no turn, so nothing is shown by this"
    for i, button in enumerate(page.all(".card-a .sentence")):
        button.click()
        assert page.lit() == places[i]
        assert button.get_attribute("aria-pressed") == "true"
        assert all(turn["text"] in page.text("#told") for turn in summary["sources"][i]["turns"])
    ActionChains(page.driver).move_to_element(page.one("h1")).click().send_keys(Keys.ESCAPE).perform()
    assert page.lit() == []
    chip = page.one(".turn .chip")
    chip.click()
    assert chip.get_attribute("aria-label") == f"Supports {chip.text}"
    assert page.text(".sentences > li.lit .tag") == chip.text
    chip.click()
    flag = page.one(".card-a .flag")
    flag.click()
    assert page.lit() == [turn["index"] for turn in summary["flags"][0]["turns"]]
    marked = {word.lower() for word in page.texts(".sentence mark")}
    assert marked == {word.lower() for word in summary["flags"][0]["words"]}


def test_all_of_it_can_be_done_by_keyboard(browser: Page) -> None:
    browser.look(1280)
    browser.open(key=False)

    def press(*keys: str) -> None:
        ActionChains(browser.driver).send_keys(*keys).perform()

    def tab_to(selector: str) -> None:
        for _ in range(30):
            if browser.run("return document.activeElement.matches(arguments[0])", selector):
                return
            press(Keys.TAB)
        raise AssertionError(f"Tab does not come to {selector}")

    assert browser.run("return document.activeElement.id") == "key"
    press(KEY, Keys.ENTER)
    wait(lambda: browser.one("#first").is_enabled(), "the adapters")
    tab_to("#text")
    press(SHORT)
    ActionChains(browser.driver).key_down(Keys.CONTROL).send_keys(Keys.ENTER).key_up(Keys.CONTROL).perform()
    wait(lambda: browser.all(".sentences"), "the summaries")
    assert browser.run("return document.activeElement.id") == "summaries-title"
    tab_to(".sentence")
    assert browser.all(".sentence.lit"), "what has the focus is highlighted"
    description = browser.run("return document.activeElement.getAttribute('aria-describedby')")
    assert browser.text(f"#{description}").strip()
    press(Keys.SPACE)
    assert browser.run("return document.activeElement.getAttribute('aria-pressed')") == "true"
    press(Keys.ESCAPE)
    assert browser.run("return document.activeElement.getAttribute('aria-pressed')") == "false"
    tab_to(".flag, summary")
    ActionChains(browser.driver).key_down(Keys.SHIFT).send_keys(Keys.TAB * 12).key_up(Keys.SHIFT).perform()
    tab_to("#edit")
    press(Keys.ENTER)
    assert browser.run("return document.activeElement.id") == "text"


def test_the_browser_asks_nothing_of_anybody_else(page: Page) -> None:
    page.open()
    page.one("#example").click()
    page.summarize()
    asked = page.requests()
    assert f"{page.address}v1/summaries" in asked
    assert [url for url in asked if not url.startswith(page.address)] == []
    complaints = [line for line in page.complaints() if "401" not in line]  # before the key is there
    assert complaints == []
    assert page.run("return [localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]


def test_a_dialogue_is_shown_as_text_whatever_it_holds(page: Page) -> None:
    turns = [
        "Ann: <img src=x onerror=\"document.title='owned'\"> Lunch at one?",
        "Bob: <script>document.title='owned'</script> Yes, at the museum.",
        "<b onclick=alert(1)>Eve</b>: &lt;i&gt; I'll come too, at one.",
    ]
    page.paste("\n".join(turns))
    page.summarize()
    assert "\n".join(page.texts(".turn .said")) == "\n".join(turns)
    assert page.all("main img, main script, main b b, main [onclick]") == []
    assert page.driver.title.startswith("peftsum")
    assert page.complaints() == []


def test_what_is_missing_or_too_much_is_said_where_it_is(page: Page) -> None:
    page.one("#go").click()
    assert "Paste a dialogue" in page.text("#text-error")
    assert page.one("#text").get_attribute("aria-invalid") == "true"
    assert page.run("return document.activeElement.id") == "text"
    page.paste(SHORT)
    assert not page.one("#text-error").is_displayed()
    Select(page.one("#second")).select_by_visible_text("tiny-summary")
    page.one("#go").click()
    assert "another one" in page.text("#second-error")
    page.open()
    page.paste(200_001 * "a")
    page.one("#go").click()
    assert "200001 characters" in page.text("#text-error")
    page.paste("Ann: " + "so " * 30_000)
    page.one("#go").click()
    wait(lambda: page.text("#problem"), "the refusal")
    assert "larger than" in page.text("#problem")
    assert "Paste a part of it" in page.text("#problem")
    assert page.requests().count(f"{page.address}v1/summaries") == 1, "what can be seen here is not sent"


def test_a_wrong_key_is_asked_for_again(browser: Page) -> None:
    browser.open(key=False)
    assert "asks for an API key" in browser.text("#problem")
    browser.one("#key").send_keys("another-key-altogether", Keys.ENTER)
    wait(lambda: "does not take this key" in browser.text("#problem"), "the refusal")
    assert browser.run("return document.activeElement.id") == "key"
    browser.one("#key").clear()
    browser.one("#key").send_keys(KEY)
    browser.one("#problem button").click()
    wait(lambda: browser.one("#first").is_enabled(), "the adapters")
    assert browser.text("#problem") == ""
    assert not browser.one("#key").is_displayed()


def test_a_server_that_is_gone_is_told_and_asked_again(page: Page) -> None:
    page.paste(SHORT)
    page.network(offline=True)
    page.one("#go").click()
    wait(lambda: page.text("#problem"), "word of it")
    assert "does not answer" in page.text("#problem")
    assert page.run("return text.value") == SHORT
    page.network(offline=False)
    page.one("#problem button").click()
    wait(lambda: page.all(".sentences"), "the summaries")
    assert page.text("#problem") == ""


def test_waiting_is_shown_and_can_be_cancelled(page: Page) -> None:
    page.paste(SHORT)
    page.network(offline=False, latency_ms=60_000)
    page.one("#go").click()
    wait(lambda: page.one("#cancel").is_displayed(), "the button")
    assert page.one("#answers").get_attribute("aria-busy") == "true"
    assert "Waiting for 2 summaries" in page.text("#status")
    page.one("#cancel").click()
    wait(lambda: "Cancelled" in page.text("#status"), "the end of it")
    assert page.one("#go").is_displayed()
    assert page.text("#problem") == ""
    assert page.one("#answers").get_attribute("aria-busy") == "false"


def test_a_server_with_too_much_to_do_says_when_to_come_again(page: Page) -> None:
    page.paste(SHORT)
    with contextlib.ExitStack() as crowd:  # that asks, and goes away at the end
        full, until = 0, time.monotonic() + 60
        while full < LOOKS:  # at first they find a place in the batch, and the queue is full for a moment
            full = full + 1 if queued(page.address) == QUEUE else 0
            if not full:
                crowd.enter_context(contextlib.closing(begin_asking(page.address)))
            assert time.monotonic() < until, "the queue never filled"
            time.sleep(0.1)
        page.one("#go").click()
        wait(lambda: page.text("#problem"), "the refusal")
    assert "more to do" in page.text("#problem")
    button = page.one("#problem button")
    assert not button.is_enabled()
    assert button.text.startswith("Try again in ")
    wait(button.is_enabled, "the end of the server's wait")
    button.click()
    wait(lambda: page.all(".sentences"), "the summaries")


def begin_asking(address: str) -> HTTPConnection:
    """Ask for a summary that takes long, and do not wait for it."""
    connection = HTTPConnection(urlsplit(address).netloc)
    # What is rewarded for repeating itself does not end before it has to.
    body = {"dialogue": SHORT, "settings": {"repetition_penalty": 0.1, "max_new_tokens": 256}}
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
    connection.request("POST", "/v1/summaries", json.dumps(body), headers)
    return connection


def queued(address: str) -> int:
    """Return how many summaries wait."""
    with urllib.request.urlopen(f"{address}healthz", timeout=30) as answer:
        return int(json.load(answer)["queued"])


def test_a_dialogue_beyond_the_context_is_cut_or_read_in_parts_and_the_card_says_which(page: Page) -> None:
    page.one("#example").click()
    page.paste("\n".join([page.run("return text.value")] * 4))
    Select(page.one("#second")).select_by_visible_text("none")
    page.summarize()
    assert len(page.all(".card")) == 1
    assert "tokens were read" in page.text(".card .warning")
    assert "not known" in page.text(".card section")
    Select(page.one("#strategy")).select_by_value("staged")
    page.one("#go").click()
    wait(lambda: "read in" in page.text(".card"), "the summary in parts")
    assert "parts" in page.text(".card .warning")
    page.one("#edit").click()
    page.one("#text").send_keys("\nAnn: And one more thing.")
    assert page.one("#stale").is_displayed()


def test_personal_values_are_hidden_where_that_is_chosen(page: Page) -> None:
    page.paste("Ann: Call 202-555-0143, Bob.\nBob: I will, at 202-555-0143.")
    Select(page.one("#redact")).select_by_value("all name")
    page.summarize()
    assert "202-555" not in page.text("main")
    assert "[PHONE_1]" in page.text("#turns")
    assert "[PERSON_1]" in page.text("#turns")


def test_everything_has_a_role_and_a_name_for_those_who_do_not_see_it(page: Page) -> None:
    page.one("#example").click()
    page.summarize()
    nodes = [n for n in page.command("Accessibility.getFullAXTree")["nodes"] if not n["ignored"]]
    named = {"button", "combobox", "textbox", "link", "heading", "region", "article", "list", "DisclosureTriangle"}
    found = [(n["role"]["value"], n.get("name", {}).get("value", "")) for n in nodes if n["role"]["value"] in named]
    unlabelled = {"list"}  # those of flags and turns stand under a heading
    assert [role for role, name in found if not name and role not in unlabelled] == []
    assert {"First adapter", "Second adapter", "Summarize", "Turns of the dialogue"} <= {name for _, name in found}
    levels = [int(h.tag_name[1]) for h in page.all("h1, h2, h3, h4")]
    assert levels[0] == 1
    assert all(later <= earlier + 1 for earlier, later in itertools.pairwise(levels))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_or_overlaps_at_any_width(page: Page, scheme: str, tmp_path: Path) -> None:
    page.one("#example").click()
    page.summarize()
    page.one(".sentence").click()
    for width in (360, 390, 768, 1100, 1280, 1920):
        page.look(width, scheme=scheme)
        assert page.run("return document.documentElement.scrollWidth") <= width
        assert page.run(CUT) == [], f"at {width} px"
        boxes = [element.rect for element in page.all(".dialogue, .card")]
        pairs = [(a, b) for i, a in enumerate(boxes) for b in boxes[i + 1 :]]
        assert len(pairs) == 3
        assert not [pair for pair in pairs if overlap(*pair)], f"at {width} px"
    page.picture(tmp_path / f"{scheme}.png", whole=True)


# Elements whose own text is wider than they are.
CUT = """
return [...document.querySelectorAll("main *")]
  .filter((e) => e.offsetParent && e.matches("button, p, li, h1, h2, h3, h4, dd, dt, label, .said, .tag"))
  .filter((e) => !e.matches(".visually-hidden") && e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0)
  .map((e) => e.outerHTML.slice(0, 120));
"""


def overlap(one: dict[str, float], other: dict[str, float]) -> bool:
    """Tell whether two boxes share an area."""
    return (
        min(one["x"] + one["width"], other["x"] + other["width"]) - max(one["x"], other["x"]) > 0
        and min(one["y"] + one["height"], other["y"] + other["height"]) - max(one["y"], other["y"]) > 0
    )
