// Dialogue and summaries as elements. Text comes from people and models: it goes in as text, never as HTML.

import { wordsIn } from "./marks.js";
import * as words from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const SPEAKER_STYLES = 6; // in page.css; a name always stands beside its line

/** Return an element with attributes and children; strings become text. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

/** Show turns in a list, a line each; `supports` holds for each turn the keys of the sentences it supports. */
export function showTurns(list, turns, supports, marks) {
  const speakers = [...new Set(turns.map((turn) => turn.speaker).filter((speaker) => speaker !== null))];
  const lines = turns.map((turn) => {
    const style = turn.speaker === null ? "nobody" : `speaker-${speakers.indexOf(turn.speaker) % SPEAKER_STYLES}`;
    const chips = (supports.get(turn.index) ?? []).map((key) => {
      const chip = make("button", { type: "button", class: `chip tag-${key[0].toLowerCase()}`, "aria-label": `Supports ${key}` }, key);
      marks.bind(chip, key, { scrollsHome: true });
      return chip;
    });
    return make(
      "li",
      { class: `turn ${style}`, id: `turn-${turn.index + 1}` },
      make("span", { class: "number", "aria-hidden": "true" }, String(turn.index + 1)),
      make("div", { class: "said" }, turn.speaker === null ? null : make("b", {}, `${turn.speaker}: `), turn.text),
      chips.length ? make("span", { class: "chips" }, ...chips) : null,
    );
  });
  list.replaceChildren(...lines);
  marks.turns = lines;
}

/** Return a card for one summary, and enter its sentences and flags into `marks`. */
export function showAnswer(answer, letter, about, marks) {
  const title = `answer-${letter}`;
  const note = words.readNote(answer.read);
  return make(
    "article",
    { class: `card card-${letter.toLowerCase()}`, "aria-labelledby": title },
    heading(title, letter, answer.adapter ?? `${answer.generated_by.base}, untuned`, about),
    mark(answer),
    note ? make("p", { class: "warning" }, note) : null,
    sentences(answer, letter, marks),
    confidence(answer.confidence),
    flags(answer, letter, marks),
    particulars(answer),
  );
}

/** Return a card for a summary that is not there yet. */
export function placeholder(letter, name, text, busy) {
  const bars = busy ? make("div", { class: "bars", "aria-hidden": "true" }, make("i"), make("i"), make("i")) : null;
  return make("article", { class: "card empty" }, heading(null, letter, name, ""), make("p", { class: "hint" }, text), bars);
}

function heading(id, letter, name, about) {
  const tag = make("span", { class: `tag tag-${letter.toLowerCase()}` }, letter);
  return make("header", {}, make("h3", { id }, tag, " ", name), about ? make("p", { class: "hint" }, about) : null);
}

function mark(answer) {
  const copy = make("button", { type: "button", class: "quiet" }, "Copy");
  const text = `${answer.summary}\n${answer.generated_by.mark}`;
  copy.addEventListener("click", async () => {
    const done = await navigator.clipboard.writeText(text).then(() => true, () => false);
    copy.textContent = done ? "Copied" : "Not allowed";
    setTimeout(() => (copy.textContent = "Copy"), 2000);
  });
  // Browsers lend the clipboard to pages of this machine, and to those behind TLS.
  const shown = navigator.clipboard ? copy : null;
  return make("p", { class: "mark" }, make("span", {}, answer.generated_by.mark), shown);
}

function sentences(answer, letter, marks) {
  if (!answer.summary.trim()) return make("p", { class: "hint" }, "The summary is empty.");
  const items = answer.sources.map((source, i) => {
    const key = `${letter}${i + 1}`;
    const said = make("span", {}, source.sentence);
    const button = make("button", { type: "button", class: "sentence", "aria-describedby": `${key}-support` }, make("span", { class: "tag" }, key), " ", said);
    const quotes = make("ul", { class: "quotes", hidden: true }, ...source.turns.map((turn) => make("li", {}, link(turn), ` ${turn.text}`)));
    const home = make("li", {}, button, make("p", { class: "support", id: `${key}-support` }, words.support(source)), quotes);
    const spoken = source.turns.map((turn) => `${words.turnName(turn)}: ${turn.text}`).join(" ");
    marks.texts.set(said, { letter, text: source.sentence });
    marks.add(key, { turns: source.turns.map((turn) => turn.index), words: [], letter, told: `${key}. ${source.sentence} ${words.support(source)} ${spoken}`, home, quotes });
    marks.bind(button, key);
    return home;
  });
  return make("ol", { class: "sentences", "aria-label": "Sentences of the summary" }, ...items);
}

const link = (turn) => make("a", { href: `#turn-${turn.index + 1}` }, `Turn ${turn.index + 1}${turn.speaker === null ? "" : ` (${turn.speaker})`}:`);

function confidence(found) {
  const title = make("h4", {}, "Confidence");
  if (found.value === null) {
    return make("section", {}, title, make("p", {}, make("b", {}, "not known"), ` — ${found.reason}`));
  }
  return make(
    "section",
    {},
    title,
    make("p", {}, make("b", {}, `${words.points(found.value)} of 100`), ` — ${words.sureness(found)}`),
    scale(found),
    make("p", { class: "hint" }, words.confidenceMeaning(found)),
  );
}

// The value in the band that one summary is off by, and a tick at the mean. The words beside it say the same.
function scale({ value, absolute_error: off, mean_score: mean }) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 100 8");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("class", "scale");
  svg.setAttribute("aria-hidden", "true");
  const low = Math.max(0, value - off);
  const parts = [
    ["track", 0, 1, 2, 4],
    ["band", low, Math.min(1, value + off) - low, 2, 4],
    ["mean", mean - 0.002, 0.004, 0, 8],
    ["value", value - 0.006, 0.012, 0, 8],
  ];
  for (const [name, x, width, y, height] of parts) {
    const part = document.createElementNS(SVG, "rect");
    for (const [key, number] of Object.entries({ x: 100 * x, width: 100 * width, y, height })) part.setAttribute(key, number);
    part.setAttribute("class", name);
    svg.append(part);
  }
  return svg;
}

function flags(answer, letter, marks) {
  const title = make("h4", {}, "Flags");
  if (!answer.flags.length) return make("section", {}, title, make("p", {}, make("b", {}, "none"), " — which is no proof that all of it is true"));
  const items = answer.flags.map((flag, i) => {
    const key = `${letter}-flag-${i + 1}`;
    const [name, reason] = words.suspicion(flag.error);
    const where = flag.turns.length ? ` See ${words.list(flag.turns.map(words.turnName))}.` : "";
    const found = wordsIn(answer.summary, flag.words);
    const said = found.length ? `Words: ${found.join(", ")}.` : "";
    const detail = make("p", { class: "support", id: key }, `${reason} ${said}${where} ${words.trust(flag)}`);
    const button = make("button", { type: "button", class: "flag", "aria-describedby": key }, name);
    const home = make("li", {}, button, detail);
    marks.add(key, { turns: flag.turns.map((turn) => turn.index), words: flag.words, letter, told: `${name}. ${detail.textContent}`, home });
    marks.bind(button, key);
    return home;
  });
  return make("section", {}, title, make("ul", { class: "flags" }, ...items));
}

function particulars({ generated_by: by, confidence: sure, read }) {
  const rows = [
    ["Base", `${by.base}${by.base_revision ? ` (${by.base_revision})` : ""}`],
    ["Adapter’s weights", by.weights ?? "none"],
    ["Log-likelihood", `${sure.log_likelihood.toFixed(3)} nats a token`],
    ["Read", `${read.read_tokens} of ${read.source_tokens} tokens, ${read.strategy}`],
  ];
  return make(
    "details",
    {},
    make("summary", {}, "Particulars"),
    make("dl", {}, ...rows.flatMap(([term, text]) => [make("dt", {}, term), make("dd", {}, text)])),
  );
}
