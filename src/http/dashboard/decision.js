// One decision: the sentence, what it was made from, who wanted what, who objected, and what came of it.

import { get } from "./api.js";
import { readingBar } from "./bars.js";
import { h } from "./dom.js";
import { ago, at, counted, facts, fleetPath, hostPath, kind, link, notice, said, section, sizes, table } from "./parts.js";
import { count, outcome, plain, span, value } from "./words.js";

/** The view of one decision. */
export const decisionView = (id) => ({
  title: () => "Decision",
  load: async () => ({ decision: await get(`/decisions/${encodeURIComponent(id)}`) }),
  render: ({ decision }) => page(decision),
});

function page(one) {
  return [
    h("nav", { "aria-label": "Way", class: "way" }, link("/", "All fleets"), " › ", link(fleetPath(one.fleet), one.fleet)),
    h("h1", null, said(one.reason, one.at)),
    h("p", { class: "tags" }, kind(one.action), " ", h("b", null, sizes(one)), " · ", outcome(one.outcome), " · ",
      h("span", null, at(one.at), " (", ago(one.at), ")")),
    h("div", { class: "grid two" }, inputs(one), made(one)),
    wishes(one),
    verdicts(one),
    consequences(one),
    calls(one),
  ];
}

function made(one) {
  return section("Made", { class: "card" }, facts(
    ["By", one.replica, `, epoch ${one.epoch}`],
    ["First", at(one.at)],
    one.count > 1 && ["Repeated", `${count(one.count - 1, "time")}, unchanged, last `, at(one.last_at)],
    ["Reason", plain(one.code)],
    ["Cloud", one.cloud === "fresh" ? "seen at this moment" : `not seen: ${one.cloud.unknown}`],
    ["Id", h("code", null, one.decision_id)],
  ));
}

function inputs({ inputs: seen }) {
  const range = (name, one) =>
    one.if_idle === one.if_busy ? null : h("span", { class: "fine" }, ` ${value(name, one.if_idle)} to ${value(name, one.if_busy)}, had the silent spoken`);
  return section(
    "What was known",
    { class: "card" },
    h("p", { class: "fine" }, `${seen.hosts_heard} of ${count(seen.hosts_asked, "host")} heard`,
      seen.recommended === null ? null : `; the load asked for ${count(seen.recommended, "host")}`),
    h("div", { class: "columns" }, facts(...Object.entries(seen.values).map(([name, one]) => [name, h("b", null, value(name, one.heard)), range(name, one)]))),
    seen.faults.length ? h("ul", { class: "faults" }, seen.faults.map((fault) => h("li", null, said(fault, seen.at)))) : null,
  );
}

/** A rule's observations as they were recorded: a letter each. */
const LETTERS = { H: true, F: false, U: null };

function wishes({ recommendations, rules_fired: fired, at: when }) {
  const row = (one) => h("tr", null,
    h("td", null, one.source, fired.includes(one.source.replace(/^rule /, "")) ? h("div", { class: "fine" }, "fired") : null),
    h("td", { class: "nowrap" }, one.size === null ? "no opinion" : count(one.size, "host")),
    h("td", null, said(one.because, when)),
    h("td", { class: "seen-then" }, one.window ? [h("div", { class: "mono" }, one.window.when), counted(one.window, [...one.window.observations].map((letter) => LETTERS[letter]))]
      : one.reading ? readingBar(one.reading) : null));
  return section("What each would have liked", { class: "block" },
    recommendations.length ? table("Recommendations", ["Who", "Size", "Because", "What it saw"], recommendations.map(row)) : h("p", { class: "fine" }, "Nobody had a say"));
}

function effect(what) {
  if (what === "pass") return h("span", { class: "fine" }, "pass");
  if (what === "refuse") return h("span", { class: "badge problem" }, "Refused");
  return h("span", { class: "badge warning" }, `${what.clamp.from} → ${what.clamp.to}`);
}

function verdicts({ verdicts: spoken, at: when }) {
  const row = (one) => h("tr", { class: one.effect === "pass" ? "passed" : "objected" }, h("td", { class: "nowrap" }, plain(one.guard)), h("td", { class: "nowrap" }, effect(one.effect)), h("td", null, said(one.because, when)));
  return section("What each guard said", { class: "block" },
    spoken.length ? table("Guards", ["Guard", "Verdict", "Because"], spoken.map(row)) : h("p", { class: "fine" }, "No guard was asked: there was nothing to change"));
}

function consequences(one) {
  const host = (id) => link(hostPath(one.fleet, id), h("code", null, id));
  const lines = [
    ...one.launches.map((launch) => [`Buy ${count(launch.count, "host")} in ${launch.pool.zone}${launch.pool.instance_type ? ` (${launch.pool.instance_type})` : ""}, ${launch.subnet}`]),
    ...one.drains.map((drain) => ["Drain ", host(drain.host), ` (${plain(drain.reason)})`]),
    ...one.cancelled_drains.map((id) => ["Keep ", host(id), " after all"]),
    ...one.answered.map((answer) => [answer.granted === "yes" ? "Granted: " : "Refused: ", said(answer.because, one.at)]),
  ];
  return section("What was to be done", { class: "block" },
    lines.length ? h("ul", { class: "lines" }, lines.map((line) => h("li", null, ...line))) : h("p", { class: "fine" }, "Nothing"));
}

function calls({ calls: made_, fleet, launches, drains }) {
  const row = (call) => h("tr", { "data-key": call.call_id },
    h("td", { class: "nowrap" }, at(call.at)),
    h("td", null, call.op, call.zone ? h("div", { class: "fine" }, call.zone) : null),
    h("td", null, h("span", { class: `call ${call.outcome}` }, call.outcome), call.error_code ? h("div", { class: "fine" }, call.error_code, call.error_message ? `: ${call.error_message}` : null) : null,
      call.answered_after_seconds === null ? null : h("div", { class: "fine" }, `after ${call.answered_after_seconds < 10 ? `${Math.round(call.answered_after_seconds * 1000)} ms` : span(call.answered_after_seconds)}`)),
    h("td", null, call.instance_ids.map((id) => h("div", null, link(hostPath(fleet, id), h("code", null, id))))),
    h("td", { class: "mono" }, call.request_id ?? "–", call.attempt > 1 ? h("div", { class: "fine" }, `attempt ${call.attempt}`) : null));
  const quiet = launches.length + drains.length === 0;
  const body = made_.length
    ? table("Calls", ["When", "Call", "Outcome", "Hosts", "AWS request id"], made_.map(row))
    : quiet ? h("p", { class: "fine" }, "Nothing was asked of the cloud") : notice("plain", "No call yet", h("p", null, "What is to be done is written down before it is asked of the cloud."));
  return section("What was asked of the cloud", { class: "block" }, body);
}
