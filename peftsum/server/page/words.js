// What the page says, and how figures are written. Text only: nothing here touches the page.

// The detectors and rules that `flags` of a summary may hold (docs/errors.md). A test holds them against the detectors.
const SUSPICIONS = {
  error_any: ["Something may be wrong", "The dialogue may not bear this out."],
  error_speaker: ["Maybe the wrong person", "It may say of one person what another said or did."],
  error_pronoun: ["Maybe an unclear pronoun", "A pronoun may stand for the wrong person, or for nobody."],
  error_negation: ["Maybe a lost or added “not”", "It may affirm what was denied, or deny what was affirmed."],
  error_circumstance: ["Maybe a wrong detail", "When, where, how much, how or why may be wrong."],
  error_hallucination: ["Maybe made up", "It may tell what the dialogue does not."],
  error_predicate: ["Maybe the wrong action", "Somebody may do, want or think something else in the dialogue."],
  error_redundancy: ["Says a thing twice", "These words repeat others of the summary."],
  error_length: ["Unusual length", "It has under five words, or over half of the dialogue's."],
};

// The kinds of personal values that a summary is screened for (docs/responsible-use.md). A test holds them, too.
const PERSONAL = {
  phone: "a phone number",
  email: "an e-mail address",
  address: "a postal address",
  card: "a card number",
  iban: "an IBAN",
  identity: "an identity number",
  birth: "a date of birth",
  name: "a name",
  placeholder: "a placeholder",
};

function personal(error) {
  const [, does, kind] = /^(shows|invents)_(\w+)$/.exec(error) ?? [];
  if (!(kind in PERSONAL)) return undefined;
  return does === "shows"
    ? [`Shows ${PERSONAL[kind]}`, "A personal value of the dialogue."]
    : [`Makes up ${PERSONAL[kind]}`, "The dialogue does not have it."];
}

export const suspicion = (error) => SUSPICIONS[error] ?? personal(error) ?? [error.replace(/^error_/, "").replaceAll("_", " "), ""];

export const percent = (share) => `${Math.round(100 * share)} %`;

export const points = (share) => `${Math.round(100 * share)}`;

// Two digits that count, or all before the point: 0.034, 1.2, 14, 230.
export const figure = (value) => {
  if (value === 0) return "0";
  const places = Math.max(0, 1 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(places, 6));
};

export const seconds = (value) => (value < 100 ? `${figure(value)} s` : `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`);

const joules = (value) => (value < 3600 ? `${figure(value)} J` : `${figure(value / 3600)} Wh`);

/** Return a reading of joules as a figure, and its range and source. */
export function energy({ value, low, high, source, reason, estimated }) {
  if (value === null) return ["not measured", reason];
  const range = low === null || high === null ? "" : `(${joules(low)} to ${joules(high)}) — `;
  return [`${estimated ? "about " : ""}${joules(value)}`, `${range}${source}`];
}

export const bytes = (value) => (value < 1e6 ? `${figure(value / 1e3)} kB` : value < 1e9 ? `${figure(value / 1e6)} MB` : `${figure(value / 1e9)} GB`);

export const list = (words) => (words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`);

const count = (number, one, many) => `${number} ${number === 1 ? one : many}`;

export const summaries = (number) => count(number, "summary", "summaries");

export const turnName = (turn) => `turn ${turn.index + 1}${turn.speaker === null ? "" : ` (${turn.speaker})`}`;

export function trust(flag) {
  if (!flag.checked || !flag.precision?.length) return "A rule that nobody has checked.";
  const [low, high] = [flag.precision[0], flag.precision.at(-1)].map((share) => Math.round(100 * share));
  return `People agreed with ${low < high ? `${low} to ${high}` : low} % of such flags.`;
}

// Against the mean of the summaries it was calibrated on; a difference within the calibration error says nothing.
export function sureness(confidence) {
  const more = confidence.value - confidence.mean_score;
  if (Math.abs(more) <= confidence.calibration_error) return "about as usual";
  return more > 0 ? "surer than usual" : "less sure than usual";
}

export const confidenceMeaning = (confidence) =>
  `The ROUGE-L to expect: how like it is to what a person would write, of 100. The mean was ${points(confidence.mean_score)} (thin line). ` +
  `One summary is off by ${points(confidence.absolute_error)} in the mean (band); the calibration error is ${figure(100 * confidence.calibration_error)}. Likeness is not truth.`;

export function support(source) {
  const share = source.support === null ? "It has no content to look for but names." : `${percent(source.support)} of its content found.`;
  if (!source.turns.length) return source.support === null ? share : `No turn supports it. ${share}`;
  return `Supported by ${list(source.turns.map(turnName))}. ${share}`;
}

export function readNote(read) {
  if (read.parts > 1) return `The dialogue is longer than the context: it was read in ${read.parts} parts and ${count(read.stages, "stage", "stages")}.`;
  if (read.read_tokens < read.source_tokens) return `Only ${read.read_tokens} of ${read.source_tokens} tokens were read: the end of the dialogue was cut off.`;
  return "";
}

export const EXAMPLE = `Ines: Hi Tomas. Have you thought about Nora's birthday on Saturday?
Tomas: Not yet. I wanted to bake a cake, but my oven is broken.
Ines: Then I'll bake the cake, and you bring the drinks.
Tomas: Fine. What shall we give her? I thought of a scarf.
Ines: She has ten scarves. She said that she wants to learn to paint.
Tomas: A painting course, then? There's one at the museum for £60.
Ines: Good idea. We pay half each.
Tomas: Agreed. When does the party start, at six?
Ines: At seven, because Nora works until half past five.
Tomas: All right. I'll be there at half past six and help you with the chairs.
Ines: Thanks a lot. See you on Saturday!`;
