// What went wrong, in words, and what to do. An answer of the server that is no success becomes a Problem.

import { seconds } from "./words.js";

export class Problem extends Error {
  /**
   * @param {string} what went wrong
   * @param {string} remedy what to do
   * @param {{ wait?: number, needsKey?: boolean }} more seconds after which to try again; whether a key is asked for
   */
  constructor(what, remedy, { wait = 0, needsKey = false } = {}) {
    super(what);
    Object.assign(this, { remedy, wait, needsKey });
  }
}

/** Return the JSON of an answer, or throw the Problem that it is. */
export async function answerOf(request) {
  let response, body;
  try {
    response = await request;
    body = await response.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The server does not answer.", "See whether “peftsum serve” still runs, then try again. Your dialogue is still here.");
  }
  const found = parsed(body);
  if (response.ok && found !== null) return found;
  throw problemOf(response, found);
}

function parsed(body) {
  try {
    return JSON.parse(body);
  } catch {
    return null; // a proxy's page of HTML, say
  }
}

function problemOf({ status, headers }, body) {
  const { error: said = "", hint = "" } = body ?? {};
  const wait = Number(headers.get("Retry-After")) || 0;
  switch (status) {
    case 401: // the server tells "no key, or a wrong one"
      return new Problem("The server does not take this key.", "Enter the one that it was started with.", { needsKey: true });
    case 429:
      return new Problem("The server has more to do than it can take on.", `It asks to wait ${seconds(wait || 1)}.`, { wait: wait || 1 });
    case 503:
      return new Problem(said || "The server is stopping, or not ready.", hint || "Try again in a moment.", { wait });
    case 504:
      return new Problem(said || "The summary took longer than the server allows.", hint || "Try a shorter dialogue, or try again when the server has less to do.");
    case 413:
      return new Problem(said || "The dialogue is too long for this server.", "Paste a part of it, or start the server with a larger --max-body.");
    default:
      if (status < 400 || (status >= 500 && !said)) return new Problem(`The server failed (HTTP ${status}).`, "Its terminal says why. Try again.");
      return new Problem(said || `The server refused (HTTP ${status}).`, hint);
  }
}
