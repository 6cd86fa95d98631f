// A dialogue and two adapters in, two summaries out. What it keeps, it keeps in this tab and until it is left.

import { Marks } from "./marks.js";
import { answerOf, Problem } from "./problems.js";
import { make, placeholder, showAnswer, showTurns } from "./show.js";
import * as words from "./words.js";

const LETTERS = ["A", "B"];
const NO_SECOND = "";

const $ = (id) => document.getElementById(id);
const form = $("form");
const text = $("text");
const tell = (said) => ($("told").textContent = said);
const marks = new Marks($("reading"), tell);

let choices = []; // what the selects offer, by place: {name, label, offered, about, problem}; the name of the bare base is null
let shown = null; // {text, turns} of the dialogue whose summaries stand there
let waiting = null; // the AbortController of the request under way
let retry = null; // the timer of a "Try again" button

/** Ask the server; `body` makes it a POST. Returns its answer, or throws a Problem. */
async function ask(path, body, signal) {
  const headers = {};
  const key = $("key").value.trim();
  if (/[^\x21-\x7e]/.test(key)) throw new Problem("The key has letters that no key has.", "Enter the API key that the server was started with.", { needsKey: true });
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body) headers["Content-Type"] = "application/json";
  return answerOf(fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal }));
}

async function loadAdapters() {
  clearProblem();
  let found;
  try {
    found = await ask("v1/adapters");
  } catch (problem) {
    showProblem(problem, loadAdapters);
    return;
  }
  const untuned = `${found.base.name}, untuned`;
  if (!$("key-field").hidden) {
    $("key-field").hidden = true; // it was the right one
    text.focus();
  }
  choices = [...found.adapters.map(choice), { name: null, label: untuned, offered: untuned, about: "no adapter" }];
  $("base").textContent = `Two adapters on ${found.base.name} summarize a dialogue, side by side.`;
  const options = choices.map(({ offered, problem }, place) => make("option", { value: String(place), disabled: Boolean(problem) }, offered));
  $("first").replaceChildren(...options.map((option) => option.cloneNode(true)));
  $("second").replaceChildren(...options, make("option", { value: NO_SECOND }, "none"));
  const whole = choices.flatMap(({ problem }, place) => (problem ? [] : [String(place)]));
  $("first").value = whole[0]; // the bare base at least
  $("second").value = whole[1] ?? NO_SECOND;
  for (const id of ["first", "second"]) $(id).disabled = false;
  showPlaceholders(false);
}

function choice(adapter) {
  const { name, method, bytes, problem } = adapter;
  const about = `${method}, ${words.bytes(bytes)}`; // "lora r16 all-linear, 1.2 MB"
  return { name, label: name, offered: problem ? `${name} (${problem})` : name, about, problem };
}

const chosen = () =>
  ["first", "second"].map((id) => $(id).value).filter((value) => value !== NO_SECOND).map((value) => choices[Number(value)]);

async function summarize() {
  const asked = chosen();
  if (waiting || !choices.length || !valid(asked)) return;
  clearProblem();
  waiting = new AbortController();
  const hadFocus = document.activeElement === $("go");
  showWaiting(true);
  if (hadFocus) $("cancel").focus();
  const stopClock = startClock();
  try {
    const answer = await ask("v1/summaries", requestFor(asked), waiting.signal);
    showWaiting(false);
    showResult(answer, asked);
  } catch (problem) {
    showWaiting(false);
    showPlaceholders(false);
    if (problem.name === "AbortError") $("status").textContent = "Cancelled.";
    else showProblem(problem, summarize);
    if (hadFocus && !problem.needsKey) $("go").focus();
  } finally {
    waiting = null;
    stopClock();
  }
}

function requestFor(asked) {
  const strategy = $("strategy").value;
  const settings = { explain: true, ...(strategy ? { strategy } : {}) };
  const redact = $("redact").value.split(" ").filter(Boolean);
  return { dialogue: text.value, settings, redact, adapters: asked.map(({ name }) => name) };
}

function valid(asked) {
  const same = asked.length === 2 && asked[0] === asked[1];
  setError("second", same ? "Choose another one than the first, or none." : "");
  const wrong = wrongText();
  setError("text", wrong);
  if (wrong) edit();
  else if (same) $("second").focus();
  return !same && !wrong;
}

function wrongText() {
  if (!text.value.trim()) return "Paste a dialogue first, or take the example.";
  const [count, most] = [[...text.value].length, Number(text.dataset.longest)];
  return count > most ? `The dialogue has ${count} characters, and the server takes ${most}: paste a part of it.` : "";
}

function setError(id, message) {
  const shown = $(`${id}-error`);
  shown.textContent = message;
  shown.hidden = !message;
  if (message) $(id).setAttribute("aria-invalid", "true");
  else $(id).removeAttribute("aria-invalid");
}

function showWaiting(on) {
  $("go").hidden = on;
  $("cancel").hidden = !on;
  $("answers").setAttribute("aria-busy", String(on));
  text.readOnly = on;
  for (const id of ["example", "clear", "edit"]) $(id).disabled = on;
  if (!on) return;
  $("status").textContent = `Waiting for ${words.summaries(chosen().length)}.`;
  $("cost").hidden = true;
  showPlaceholders(true);
}

function showPlaceholders(busy) {
  marks.clear();
  if (shown) showTurns($("turns"), shown.turns, new Map(), marks); // without what pointed at the summaries
  shown = null;
  noteChange();
  $("cost").hidden = true;
  const said = busy ? "Being written …" : "The summary will stand here, with what there is to judge it by.";
  $("answers").replaceChildren(...chosen().map(({ label }, i) => placeholder(LETTERS[i], label, said, busy)));
}

function startClock() {
  const start = performance.now();
  const show = () => ($("clock").textContent = `${((performance.now() - start) / 1000).toFixed(1)} s`);
  show();
  const timer = setInterval(show, 100);
  return () => {
    clearInterval(timer);
    $("clock").textContent = "";
  };
}

function showResult(result, asked) {
  marks.clear();
  const cards = result.summaries.map((answer, i) => showAnswer(answer, LETTERS[i], asked[i].about, marks));
  $("answers").replaceChildren(...cards);
  const supports = new Map();
  result.summaries.forEach((answer, i) =>
    answer.sources.forEach((source, j) => {
      for (const { index } of source.turns) supports.set(index, [...(supports.get(index) ?? []), `${LETTERS[i]}${j + 1}`]);
    }),
  );
  shown = { text: text.value, turns: result.dialogues[0].turns };
  showTurns($("turns"), shown.turns, supports, marks);
  noteChange();
  showReading(true);
  showCost(result);
  $("status").textContent = `${words.summaries(result.summaries.length)} in ${words.seconds(result.seconds)}.`;
  $("summaries-title").focus();
}

function noteChange() {
  $("stale").hidden = !shown || shown.text === text.value;
}

function showReading(on) {
  $("writing").hidden = on;
  $("reading").hidden = !on;
  $("edit").hidden = !on;
}

function edit() {
  marks.paint(null);
  showReading(false);
  text.focus();
}

function showCost({ seconds, energy }) {
  const rows = [
    ["Time", words.seconds(seconds), "on the server, waiting included"],
    ["Energy", ...words.energy(energy)],
  ];
  $("cost").replaceChildren(
    ...rows.map(([term, value, note]) => make("div", {}, make("dt", {}, term), make("dd", {}, make("b", {}, value), note ? ` ${note}` : null))),
  );
  $("cost").hidden = false;
}

function clearProblem() {
  clearInterval(retry);
  $("problem").replaceChildren();
}

/** Say in words what went wrong, with a button that tries again once the server's wait is over. */
function showProblem(problem, again) {
  if (!(problem instanceof Problem)) {
    console.error(problem);
    problem = new Problem("This page does not understand the server's answer.", "Reload the page: the server may be of another version.");
  }
  clearProblem();
  const asked = problem.needsKey && !$("key").value; // no fault of anybody's
  if (problem.needsKey) {
    $("key-field").hidden = false;
    $("key").focus();
  }
  const button = make("button", { type: "button" }, asked ? "Go on" : "Try again");
  button.addEventListener("click", again);
  let left = Math.ceil(problem.wait);
  const count = () => {
    button.disabled = left > 0;
    button.textContent = left > 0 ? `Try again in ${left} s` : "Try again";
    if (left-- <= 0) clearInterval(retry);
  };
  if (problem.wait) {
    count();
    retry = setInterval(count, 1000);
  }
  const remedy = problem.remedy ? make("p", {}, problem.remedy) : null;
  $("problem").append(make("div", { class: asked ? "problem asked" : "problem" }, make("p", {}, make("b", {}, asked ? "This server asks for an API key." : problem.message)), remedy, button));
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (choices.length) return summarize();
  await loadAdapters(); // the first try was refused for want of a key, or found no server
  if (choices.length && text.value.trim()) await summarize();
});
$("cancel").addEventListener("click", () => waiting?.abort());
$("example").addEventListener("click", () => {
  text.value = words.EXAMPLE;
  setError("text", "");
  noteChange();
  edit();
  text.setSelectionRange(0, 0);
  text.scrollTop = 0;
});
$("clear").addEventListener("click", () => {
  text.value = "";
  edit();
  showPlaceholders(false);
});
$("edit").addEventListener("click", edit);
text.addEventListener("input", () => {
  setError("text", "");
  noteChange();
});
for (const id of ["first", "second"]) {
  $(id).addEventListener("change", () => {
    setError("second", "");
    if (!shown && !waiting) showPlaceholders(false);
  });
}
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") marks.release();
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});
loadAdapters();
