// Questions to the API, and changes. Each has a deadline; an error says what the service said, or that it said nothing.

import { setClock } from "./words.js";

const BASE = "/api/v1";
const DEADLINE = 12_000;
const REMEMBERED = 60;
const TOKEN = "fleet-scaler-token";

/** What went wrong: the service's own words where it had any. */
export class Problem extends Error {
  constructor(status, code, title, detail) {
    super(detail || title);
    Object.assign(this, { status, code, title, detail });
  }
}

export const token = {
  get: () => sessionStorage.getItem(TOKEN),
  set: (text) => (text ? sessionStorage.setItem(TOKEN, text) : sessionStorage.removeItem(TOKEN)),
};

function headers(more) {
  const shown = token.get();
  return shown ? { ...more, authorization: `Bearer ${shown}` } : { ...more };
}

/** Asks once and gives the response; every failure becomes a `Problem`. */
export async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(BASE + path, { ...options, headers: headers(options.headers), cache: "no-store" });
  } catch (error) {
    if (options.signal?.reason?.name === "AbortError") throw error;
    const slow = error.name === "TimeoutError";
    const detail = slow ? "It did not answer in time." : "It cannot be reached: it is stopped, or the network is away.";
    throw new Problem(0, "unreachable", "No answer from the service", detail);
  }
  if (response.ok || response.status === 304) return response;
  const said = await response.json().catch(() => ({}));
  throw new Problem(response.status, said.code ?? "", said.title ?? `Status ${response.status}`, said.detail ?? "");
}

// What was answered last, with its ETag: an answer that has not changed is not sent again.
const known = new Map();

/** Gets an answer; the same object again where nothing has changed. */
export async function get(path) {
  const before = known.get(path);
  const tagged = before ? { "if-none-match": before.tag } : {};
  const response = await ask(path, { headers: tagged, signal: AbortSignal.timeout(DEADLINE) });
  if (response.status === 304) return before.body;
  const body = await response.json();
  tellTime(path, body, response);
  known.delete(path);
  known.set(path, { tag: response.headers.get("etag"), body });
  if (known.size > REMEMBERED) known.delete(known.keys().next().value);
  return body;
}

let told = false;

/** The service's clock: an answer about fleets says the moment it is of; elsewhere `at` is when something happened. */
function tellTime(path, { at }, response) {
  const exact = path.startsWith("/fleets") ? at : undefined;
  if (exact === undefined && told) return;
  told = exact !== undefined;
  const moment = exact ?? response.headers.get("date");
  if (moment) setClock(moment);
}

/** What whoever reads may do: `viewer` or `operator`, and by which token; null: not known yet. */
export const session = { token: null, scope: null };

/** Asks what the token may do. It is asked anew with every page, for a token's scope can be changed. */
export const learn = async () => void Object.assign(session, await get("/session"));

/** Why whoever reads may change nothing; null: they may, or it is not known, and then the service says it. */
export const barred = () =>
  session.scope === "viewer" ? `The token ${session.token} may look and not act: changes take a token with the scope operator.` : null;

/** A token that was changed may see and do other things. */
export function forget() {
  known.clear();
  Object.assign(session, { token: null, scope: null });
}

/** A new key: what is sent again under it is done once. `crypto.randomUUID` is not there over plain HTTP. */
export function key() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Asks for a change. */
export async function post(path, body, idempotencyKey) {
  const response = await ask(path, {
    method: "POST",
    headers: { "content-type": "application/json", "idempotency-key": idempotencyKey },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(DEADLINE),
  });
  return response.json();
}
