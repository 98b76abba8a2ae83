// Who did what: everything that people asked of fleets, with their reasons and with what became of it.

import { get } from "./api.js";
import { h } from "./dom.js";
import { ago, at, decisionPath, fleetPath, hostPath, link, said, section, table } from "./parts.js";
import { plain } from "./words.js";

const ROWS = 50;
const ROWS_MAX = 500;
const SPANS = { "24h": "Last 24 h", "7d": "Last 7 d", "30d": "Last 30 d", all: "Ever" };

/** The view of actions. What is looked for stands in the address, so that a link to it can be sent to somebody. */
export function peopleView(redraw, reload) {
  const asked = new URLSearchParams(location.search);
  const chosen = { fleet: asked.get("fleet") ?? "", actor: asked.get("actor") ?? "", since: asked.get("since") in SPANS ? asked.get("since") : "30d", rows: ROWS };
  const choose = (change) => {
    Object.assign(chosen, change);
    const { fleet, actor, since } = chosen;
    const search = new URLSearchParams({ ...(fleet && { fleet }), ...(actor && { actor }), since });
    history.replaceState(null, "", `/actions?${search}`);
    redraw();
    reload();
  };
  const load = async () => {
    const { fleet, actor, since, rows } = chosen;
    const query = new URLSearchParams({ limit: rows, ...(fleet && { fleet }), ...(actor && { actor }), ...(since !== "all" && { since }) });
    const [answer, all] = await Promise.all([get(`/actions?${query}`), get("/fleets")]);
    return { answer, names: all.fleets.map((one) => one.fleet) };
  };
  return { title: () => "Who did what", load, render: (data) => page(data, chosen, choose) };
}

function page({ answer: { actions, next }, names }, chosen, choose) {
  return [
    h("nav", { "aria-label": "Way", class: "way" }, link("/", "All fleets"), chosen.fleet ? [" › ", link(fleetPath(chosen.fleet), chosen.fleet)] : null),
    h("h1", null, "Who did what"),
    section("What people asked", { class: "block" },
      filters(names, chosen, choose),
      actions.length ? table("Actions", ["When", "Who", "What", "Why", "Outcome"], actions.map(row)) : h("p", { class: "fine" }, "Nobody asked for anything of this kind"),
      next && chosen.rows < ROWS_MAX ? h("button", { type: "button", on: { click: () => choose({ rows: Math.min(ROWS_MAX, chosen.rows * 4) }) } }, "Show more") : null,
      next && chosen.rows >= ROWS_MAX ? h("p", { class: "fine" }, `The newest ${ROWS_MAX} are shown; `, h("code", null, "fleet-scaler actions --limit 10000"), " prints more.") : null),
  ];
}

function filters(names, chosen, choose) {
  const option = (value, text, now) => h("option", { value, selected: value === now }, text);
  const value = (id) => document.getElementById(id).value.trim();
  const submit = (event) => {
    event.preventDefault();
    choose({ fleet: value("of-fleet"), actor: value("of-actor"), since: value("of-span"), rows: ROWS });
  };
  const field = (id, label, input) => h("div", { class: "field" }, h("label", { for: id }, label), input);
  const known = names.includes(chosen.fleet) || !chosen.fleet ? names : [chosen.fleet, ...names];
  return h(
    "form",
    { class: "filters", on: { submit } },
    field("of-fleet", "Fleet", h("select", { id: "of-fleet" }, option("", "Every fleet", chosen.fleet), known.map((name) => option(name, name, chosen.fleet)))),
    field("of-actor", "Who", h("input", { id: "of-actor", type: "text", autocomplete: "off", maxlength: 200, placeholder: "a person or a token", value: chosen.actor })),
    field("of-span", "When", h("select", { id: "of-span" }, Object.entries(SPANS).map(([span, text]) => option(span, text, chosen.since)))),
    h("button", { type: "submit" }, "Show"),
  );
}

const row = (one) =>
  h(
    "tr",
    { "data-key": one.action_id },
    h("td", { class: "nowrap" }, at(one.at), h("div", { class: "fine" }, ago(one.at))),
    h("td", null, h("b", null, one.actor)),
    h("td", null, what(one), h("div", { class: "fine" }, link(fleetPath(one.fleet), one.fleet))),
    h("td", null, one.reason),
    h("td", null, outcome(one)),
  );

/** What was asked for, in words. */
function what(one) {
  const until = one.until ? [" until ", at(one.until)] : " until resumed";
  if (one.action === "pause") return ["Paused ", one.direction === "both" ? "scaling" : `scale-${one.direction}`, until];
  if (one.action === "set_size") return `Set the size to ${one.size}`;
  if (one.action === "drain") return ["Drain ", link(hostPath(one.fleet, one.instance_id), h("code", null, one.instance_id))];
  return { resume: "Resumed", evaluate: "Asked for a look now" }[one.action] ?? plain(one.action);
}

const OUTCOMES = { done: ["granted", "Done"], granted: ["granted", "Granted"], refused: ["refused", "Refused"], pending: ["fine", "No decision yet"] };

function outcome({ outcome: word, answer }) {
  const [mark, text] = OUTCOMES[word] ?? ["", word];
  const told = answer ? h("div", { class: "fine" }, link(decisionPath(answer.decision_id), said(answer.because, answer.at))) : null;
  return [h("b", { class: mark }, text), told];
}
