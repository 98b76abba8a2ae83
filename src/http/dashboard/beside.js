// What else moves or might move a fleet: schedules, which set its bounds by the clock, forecasts of its load, and
// candidates, which are policies that are asked the same as the one in force and never act.

import { ago, at, decisionPath, kind, link, said, section, sizes, table } from "./parts.js";
import { h } from "./dom.js";
import { count, number, relative } from "./words.js";

/** Every schedule: those in force, then those to come. Its own words are by its own clock, and name the zone. */
export function schedules({ schedules: known }) {
  if (known.length === 0) return null;
  const row = (one) =>
    h(
      "tr",
      { "data-key": one.name },
      h("td", null, h("b", null, one.name), h("div", { class: "mono" }, `${one.start} – ${one.end}`), h("div", { class: "fine" }, one.timezone)),
      h("td", { class: "nowrap" }, [one.min !== null && `min ${one.min}`, one.max !== null && `max ${one.max}`].filter(Boolean).join(", ")),
      h("td", null, standing(one)),
    );
  return section("Schedules", { class: "block", id: "schedules" }, table("Schedules", ["Schedule", "Bounds", "When"], known.map(row)));
}

function standing({ in_force: inForce, until, next_start: next, says }) {
  const words = says.slice(says.indexOf(", ") + 2);
  const change = inForce ? until : next;
  const soon = change ? h("div", { class: "fine" }, `${inForce ? "ends" : "starts"} ${relative(change)}: `, at(change), " here") : null;
  return [h("p", null, inForce ? h("span", { class: "badge changing" }, "In force") : h("span", { class: "badge plain" }, "Not now"), ` ${words}`), soon];
}

/** What is expected of the load of each target that may follow a forecast, or why it is not followed. */
export function forecasts({ forecasts: known, last_decision: last }) {
  if (known.length === 0 || !last) return null;
  const row = (one) =>
    h(
      "tr",
      { "data-key": one.target },
      h("td", null, h("b", null, one.target)),
      h("td", { class: "nowrap" }, one.size === null ? h("span", { class: "badge plain" }, "Says nothing") : count(one.size, "host")),
      h("td", null, said(one.because, last.at)),
    );
  return section("Forecasts", { class: "block", id: "forecasts" }, table("Forecasts", ["Target", "Would want", "Why"], known.map(row)));
}

/** Each candidate beside the real decision: what it would want now, and how often it differed in the span of the charts. */
export function candidates({ candidates: known, last_decision: last }, tallies, since) {
  if (known.length === 0 || !last) return null;
  const counted = new Map(tallies.map((tally) => [tally.name, tally]));
  const real = h("tr", { "data-key": "" },
    h("td", { class: "nowrap" }, h("b", null, "In force")),
    h("td", { class: "nowrap" }, kind(last.action), " ", sizes(last)),
    h("td", null, link(decisionPath(last.decision_id), said(last.reason, last.at))),
    h("td", { class: "fine" }, "is what is done"));
  const row = (one) =>
    h(
      "tr",
      { "data-key": one.name },
      h("td", null, h("b", null, one.name)),
      h("td", null, kind(one.action), ` ${one.size_wanted} `, difference(one.size_wanted - last.size_wanted)),
      h("td", null, said(one.reason, last.at)),
      h("td", null, often(counted.get(one.name))),
    );
  return section(
    "Candidates",
    { class: "block", id: "candidates" },
    h("p", { class: "fine" }, "Policies that are tried beside the one in force, with the same observation each time. Nothing of it is done."),
    table("Candidates", ["Policy", "Would want", "Why", `Over ${since}`], [real, ...known.map(row)]),
  );
}

const difference = (more) =>
  h("span", { class: `badge ${more === 0 ? "plain" : "changing"}` }, more === 0 ? "the same" : `${count(Math.abs(more), "host")} ${more > 0 ? "more" : "fewer"}`);

/** How often it differed; what was asked most is not what differs most, so both numbers are told. */
function often(tally) {
  if (!tally) return h("span", { class: "fine" }, "not asked yet");
  const { evaluations, larger, smaller, hosts_more: more, differed_at: when, differed_decision_id: id } = tally;
  if (larger + smaller === 0) return `never differed in ${count(evaluations, "evaluation")}`;
  const ways = [larger && `${larger} larger`, smaller && `${smaller} smaller`].filter(Boolean).join(", ");
  const mean = Math.abs(more) < 0.005 ? "as many hosts" : `${number(Math.abs(more))} hosts ${more < 0 ? "fewer" : "more"}`;
  return [
    h("p", null, `differed in ${larger + smaller} of ${count(evaluations, "evaluation")}: ${ways}`),
    h("p", { class: "fine" }, `${mean} on average; last `, link(decisionPath(id), ago(when))),
  ];
}
