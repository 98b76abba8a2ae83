// Numbers, times and states in words. One place, so that the same thing is called the same on every page.

/** So much later than this browser's clock the service's is, in milliseconds. */
let skew = 0;

/** Takes the service's clock from an answer: ages are by the clock that made the moments. */
export function setClock(moment) {
  skew = Date.parse(moment) - Date.now();
}

export const now = () => Date.now() + skew;

/** Seconds as one or two units: `42 s`, `3 min`, `2 h 5 min`, `4 d 3 h`. */
export function span(seconds) {
  const total = Math.max(0, Math.round(seconds));
  if (total < 60) return `${total} s`;
  if (total < 3600) return total < 300 && total % 60 ? `${Math.floor(total / 60)} min ${total % 60} s` : `${Math.floor(total / 60)} min`;
  const [unit, size, small, smallSize] = total < 86400 ? ["h", 3600, "min", 60] : ["d", 86400, "h", 3600];
  const rest = Math.floor((total % size) / smallSize);
  return rest ? `${Math.floor(total / size)} ${unit} ${rest} ${small}` : `${Math.floor(total / size)} ${unit}`;
}

/** How long ago, or how soon. */
export function relative(moment) {
  const seconds = (now() - Date.parse(moment)) / 1000;
  if (Math.abs(seconds) < 1.5) return "now";
  return seconds > 0 ? `${span(seconds)} ago` : `in ${span(-seconds)}`;
}

const clockOf = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const shortClock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

/** The time of day, in the reader's zone; with the day where it is not today's. */
export function clock(moment) {
  const at = new Date(moment);
  const today = day.format(new Date(now())) === day.format(at);
  return today ? clockOf.format(at) : `${day.format(at)}, ${clockOf.format(at)}`;
}

const utcClock = new Intl.DateTimeFormat("en-GB", {
  weekday: "short", day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", timeZone: "UTC",
});

/** The moment in UTC, in full: as logs, the command line and the audit views write it. */
export const utc = (moment) => `${utcClock.format(new Date(moment))} UTC`;

/** The reader's zone, and how far it is from UTC now: `Europe/Berlin (UTC+1)`. */
export function zone() {
  const parts = new Intl.DateTimeFormat("en-GB", { timeZoneName: "shortOffset" }).formatToParts(new Date(now()));
  const offset = parts.find((part) => part.type === "timeZoneName").value.replace("GMT", "UTC");
  const name = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return name === "UTC" ? name : `${name} (${offset})`;
}

/** A time that the service wrote into a sentence, always in UTC: `2026-11-22 02:30:05Z`, or `02:30:05Z` of about then. */
const WRITTEN = /(?:(\d{4}-\d\d-\d\d)[ T])?(?<![\d:])(\d\d:\d\d:\d\d)(?:\.\d+)?Z/g;
const HALF_A_DAY = 43_200_000;

/** A sentence in pieces: text as it is, and of each time in it the moment and how the reader's clock shows it. */
export function pieces(sentence, near) {
  const found = [];
  let rest = 0;
  for (const match of sentence.matchAll(WRITTEN)) {
    const [all, date, time] = match;
    const then = date ? new Date(`${date}T${time}Z`) : nearest(time, near);
    if (Number.isNaN(then.getTime())) continue;
    found.push(sentence.slice(rest, match.index), { moment: then.toISOString(), text: date ? clock(then) : clockOf.format(then) });
    rest = match.index + all.length;
  }
  return [...found, sentence.slice(rest)].filter((piece) => piece !== "");
}

/** The moment at this time of day that is nearest to another one. */
function nearest(time, near) {
  const about = new Date(near ?? now());
  const then = new Date(`${about.toISOString().slice(0, 10)}T${time}Z`);
  const apart = then - about;
  if (Math.abs(apart) <= HALF_A_DAY) return then;
  return new Date(then.getTime() - Math.sign(apart) * 2 * HALF_A_DAY);
}

/** The sentence as the reader's clock tells it, where only text will do. */
export const spoken = (sentence, near) => pieces(sentence, near).map((piece) => piece.text ?? piece).join("");

/** The same, as short as an axis wants it. */
export const tick = (at, days) => (days ? day.format(at) : shortClock.format(at));

/** `1 host`, `2 hosts`. */
export const count = (number, one, more = `${one}s`) => `${number} ${number === 1 ? one : more}`;

const SHARES = new Set(["cpu", "memory", "disk"]);
const BYTES = new Set(["net_rx", "net_tx"]);
const stem = (name) => name.split(".")[0];

/** Whether 1 means 100 %. */
export const isShare = (signal) => SHARES.has(stem(signal));

/** A number with as many digits as mean something. */
export function number(value) {
  const size = Math.abs(value);
  if (size >= 1e6) return `${+(value / 1e6).toPrecision(3)} M`;
  if (size >= 1e4) return `${+(value / 1e3).toPrecision(3)} k`;
  return String(+value.toPrecision(3));
}

/** A signal's value, in its unit. */
export function value(signal, amount) {
  if (amount === null || amount === undefined) return "no value";
  if (isShare(signal)) return `${+(amount * 100).toFixed(1)} %`;
  if (BYTES.has(stem(signal))) return `${number(amount)}B/s`;
  return number(amount);
}

const ACTIONS = {
  hold: "Hold",
  scale_out: "Scale out",
  scale_in: "Scale in",
  repair: "Repair",
  replace: "Replace",
  manual: "By hand",
};

/** A decision's direction. */
export const action = (word) => ACTIONS[word] ?? word;

const OUTCOMES = {
  quiet: "nothing to do",
  in_progress: "in progress",
  done: "done",
  partial: "done in part",
  failed: "failed",
  dry_run: "only said: dry-run",
  held: "held: nothing could be started",
};

/** How a decision went. */
export const outcome = (word) => OUTCOMES[word] ?? word;

/** A name of the code in plain words. */
export const plain = (word) => word.replaceAll("_", " ");
