// What is highlighted: a sentence or a flag, with the turns and words it points at. Pointing or focusing shows a mark
// while it lasts; pressing keeps it, is told to screen readers, and a second press or Escape takes it back.

// As the detectors cut words (peftsum/metrics/words.py).
const WORD = /#person\d+#|[\p{L}\p{M}]+(?:['’][\p{L}\p{M}]+)?|\d+(?:[.:,]\d+)*/giu;

export class Marks {
  /**
   * @param {HTMLElement} pane that scrolls the turns
   * @param {(text: string) => void} tell screen readers
   */
  constructor(pane, tell) {
    this.pane = pane;
    this.tell = tell;
    this.clear();
  }

  clear() {
    this.marks = new Map();
    this.buttons = [];
    this.turns = [];
    this.texts = new Map();
    this.kept = this.shown = null;
  }

  /** Add what `key` stands for: `{turns: [index], words, letter, told, home: element, quotes: element?}`. */
  add(key, mark) {
    this.marks.set(key, mark);
  }

  /** Let a button show and keep a mark. */
  bind(button, key, { scrollsHome = false } = {}) {
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => this.press(key, scrollsHome));
    for (const start of ["focus", "mouseenter"]) button.addEventListener(start, () => this.paint(key));
    for (const end of ["blur", "mouseleave"]) button.addEventListener(end, () => this.paint(this.kept));
    this.buttons.push([button, key]);
  }

  press(key, scrollsHome) {
    this.kept = this.kept === key ? null : key;
    const mark = this.marks.get(key);
    this.paint(this.kept);
    if (this.kept === null) {
      this.tell("Highlighting removed.");
      return;
    }
    this.tell(mark.told);
    this.#scrollTo(mark.turns[0]);
    if (scrollsHome) mark.home.scrollIntoView({ block: "nearest" });
  }

  release() {
    if (this.kept === null) return false;
    this.press(this.kept, false);
    return true;
  }

  /** Show one mark, or none for null. */
  paint(key) {
    if (key === this.shown) return this.#press();
    this.shown = key;
    const mark = this.marks.get(key);
    const lit = new Set(mark?.turns);
    this.turns.forEach((turn, index) => turn.classList.toggle("lit", lit.has(index)));
    for (const [element, { letter, text }] of this.texts) {
      markWords(element, text, new Set(mark?.letter === letter ? mark.words.map(plain) : []));
    }
    for (const [other, { home }] of this.marks) home.classList.toggle("lit", other === key);
    this.#press();
  }

  #press() {
    for (const [button, key] of this.buttons) {
      button.setAttribute("aria-pressed", String(key === this.kept));
      button.classList.toggle("lit", key === this.shown);
    }
    for (const [key, { quotes }] of this.marks) if (quotes) quotes.hidden = key !== this.kept;
  }

  #scrollTo(index) {
    const turn = this.turns[index];
    if (!turn || this.pane.scrollHeight <= this.pane.clientHeight) return;
    const above = turn.offsetTop - this.pane.scrollTop;
    if (above < 0 || above + turn.offsetHeight > this.pane.clientHeight) this.pane.scrollTop = turn.offsetTop - 16;
  }
}

const plain = (word) => word.toLowerCase().replace("’", "'");

/** Return those of some words that a text has, once each and as they are written there. */
export function wordsIn(text, words) {
  const wanted = new Set(words.map(plain));
  return [...new Set((text.match(WORD) ?? []).filter((word) => wanted.has(plain(word))))];
}

function markWords(element, text, words) {
  if (!words.size) {
    element.textContent = text;
    return;
  }
  const pieces = [];
  let end = 0;
  for (const found of text.matchAll(WORD)) {
    if (!words.has(plain(found[0]))) continue;
    const mark = document.createElement("mark");
    mark.textContent = found[0];
    pieces.push(text.slice(end, found.index), mark);
    end = found.index + found[0].length;
  }
  element.replaceChildren(...pieces, text.slice(end));
}
