// What several pages show alike.

import { h } from "./dom.js";
import { LEVEL_WORDS } from "./judge.js";
import { action, clock, pieces, relative, utc } from "./words.js";

const SIGNS = { problem: "✕", warning: "!", changing: "↻", well: "✓" };

/** How a fleet is: a sign, a word and a colour, so that none of them has to be seen. */
export const badge = (level) =>
  h("span", { class: `badge ${level}` }, h("span", { "aria-hidden": "true" }, SIGNS[level]), ` ${LEVEL_WORDS[level]}`);

/** A moment, as long ago; the time itself on hover and for programs. */
export const ago = (moment) =>
  h("time", { datetime: moment, title: `${clock(moment)} here; ${utc(moment)}`, class: "ago" }, relative(moment));

/** A moment by the reader's clock; in UTC on hover. */
export const at = (moment, text = clock(moment)) => h("time", { datetime: moment, title: utc(moment) }, text);

/** A sentence of the service's: times in it, which it writes in UTC, are shown by the reader's clock as all others are. */
export const said = (sentence, near) => pieces(sentence, near).map((piece) => (piece.moment ? at(piece.moment, piece.text) : piece));

/** `min 6 (schedule office-hours), max 12`: whose bound it is, where it is not the fleet's own. */
export function bounds({ min, min_by: minBy, max, max_by: maxBy }) {
  if (max === null) return "no bounds configured";
  const by = (name) => (name ? ` (schedule ${name})` : "");
  return `min ${min}${by(minBy)}, max ${max}${by(maxBy)}`;
}

/** A link that the page itself follows. */
export const link = (to, ...children) => h("a", { href: to }, ...children);

export const fleetPath = (name) => `/fleets/${encodeURIComponent(name)}`;
export const decisionPath = (id) => `/decisions/${encodeURIComponent(id)}`;
export const actionsPath = (fleet) => (fleet ? `/actions?fleet=${encodeURIComponent(fleet)}` : "/actions");
export const hostPath = (fleet, id) => `${fleetPath(fleet)}#${id}`;

/** `3 → 5`, or `5` where nothing changes. */
export const sizes = ({ size_before: before, size_wanted: wanted }) => (before === wanted ? `${wanted}` : `${before} → ${wanted}`);

/** A decision's direction as a small mark. */
export const kind = (word) => h("span", { class: `kind ${word}` }, action(word));

const HELD = { true: ["●", "held"], false: ["○", "did not hold"], null: ["?", "not known"] };

/** What a rule counts: a mark for each observation, the oldest first, and what it takes. */
export const counted = ({ hits, hits_needed: needed, of }, observations) => [
  h("span", { class: "window", "aria-hidden": "true" }, observations.map((holds) => h("i", { class: `seen ${holds}` }, HELD[holds][0]))),
  h("span", { class: "hidden" }, observations.map((holds) => HELD[holds][1]).join(", ")),
  h("div", { class: "fine" }, `${hits} held; it takes ${needed} of ${of}`),
];

/** A section with its heading. */
export const section = (title, attributes, ...children) =>
  h("section", { ...attributes }, h("h2", null, title), ...children);

/** A list of terms. */
export const facts = (...pairs) =>
  h(
    "dl",
    { class: "facts" },
    pairs.filter(Boolean).map(([term, ...what]) => h("div", { "data-key": term }, h("dt", null, term), h("dd", null, ...what))),
  );

/**
 * A table. Where the page is narrow each row becomes a small list of its own, in which every cell says what it is; one of
 * class `figures` is scrolled by itself instead. The roles are written out because a table that is laid out as something
 * else would lose them.
 */
export const table = (label, heads, rows, attributes) => {
  for (const row of rows) {
    row.setAttribute("role", "row");
    [...row.children].forEach((cell, place) => {
      cell.setAttribute("role", "cell");
      if (typeof heads[place] === "string") cell.setAttribute("data-label", heads[place]);
    });
  }
  const columns = heads.map((head) => h("th", { scope: "col", role: "columnheader" }, head));
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": label },
    h(
      "table",
      { role: "table", "aria-label": label, ...attributes },
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, columns)),
      h("tbody", { role: "rowgroup" }, rows),
    ),
  );
};

/** What stands where something else was expected. */
export const notice = (level, title, ...text) =>
  h("div", { class: `notice ${level}`, role: level === "problem" ? "alert" : null }, h("h2", null, title), ...text);
