// A fleet's page: how it stands, what it was over time, its hosts, its decisions, and what an operator may ask of it.

import { draining, pausing, resuming, resizing } from "./actions.js";
import { barred, get } from "./api.js";
import { judged, signalRow, sizeBar } from "./bars.js";
import { candidates, forecasts, schedules } from "./beside.js";
import { charts } from "./charts.js";
import { h } from "./dom.js";
import { judge } from "./judge.js";
import { actionsPath, ago, at, badge, bounds, counted, decisionPath, facts, kind, link, said, section, sizes, table } from "./parts.js";
import { count, now, outcome, relative, span } from "./words.js";

const SPANS = ["1h", "6h", "24h", "7d"];
const POINTS = 300;
/** How often a candidate differed is looked up once in so long: the answer opens thousands of decisions. */
const COMPARE_EVERY = 60_000;
const ROWS = 25;
const HOSTS = 500;
const LIVE = "pending,running,registered,healthy,unhealthy,draining,deregistered,terminating";
const FILTERS = { changes: "scale_out,scale_in,repair,replace,manual", all: null, holds: "hold" };
const FILTER_WORDS = { changes: "Changes", all: "All", holds: "Holds" };

/** The view of one fleet. What the reader has chosen lives as long as the view. */
export function fleetView(name, redraw, reload) {
  const chosen = { span: "1h", filter: "changes", gone: false, rows: ROWS, pointed: null };
  const choose = (change) => {
    Object.assign(chosen, change);
    redraw();
    reload();
  };
  const pointer = {
    get: () => chosen.pointed,
    set: (moment) => {
      if (chosen.pointed === moment) return;
      chosen.pointed = moment;
      requestAnimationFrame(redraw);
    },
  };
  const base = `/fleets/${encodeURIComponent(name)}`;
  let compared = { since: null, at: 0, tallies: [] };
  const compare = async (fleet, since) => {
    if (fleet.candidates.length === 0) return [];
    if (compared.since !== since || now() - compared.at > COMPARE_EVERY) {
      const { candidates: tallies } = await get(`${base}/candidates?since=${since}`);
      compared = { since, at: now(), tallies };
    }
    return compared.tallies;
  };
  const load = async () => {
    const { span: since, filter, gone, rows } = chosen;
    const actions = FILTERS[filter] ? `&action=${FILTERS[filter]}` : "";
    const [fleet, series, hosts, decisions] = await Promise.all([
      get(base),
      get(`${base}/series?since=${since}&points=${POINTS}`),
      get(`${base}/hosts?limit=${HOSTS}${gone ? "" : `&state=${LIVE}`}`),
      get(`/decisions?fleet=${encodeURIComponent(name)}&limit=${rows}${actions}`),
    ]);
    return { fleet, series, hosts, decisions, tallies: await compare(fleet, since), since };
  };
  const render = (data) => page(data, { chosen, choose, pointer, reload });
  return { fleet: name, title: () => name, load, render };
}

function page(data, tools) {
  const { fleet } = data;
  const { level, findings } = judge(fleet);
  return [
    h("nav", { "aria-label": "Way", class: "way" }, link("/", "All fleets")),
    h("div", { class: "head" },
      h("h1", null, fleet.fleet), badge(level),
      fleet.mode === "dry-run" ? h("span", { class: "badge plain" }, "Dry-run: decides, and does nothing") : null),
    findings.length ? h("ul", { class: "findings" }, findings.map((one) => h("li", { class: one.level }, one.text))) : null,
    buttons(fleet, tools),
    barred() ? h("p", { class: "fine", id: "barred", "data-key": "barred" }, barred()) : null,
    h("div", { class: "grid" }, standing(fleet), following(fleet), measured(fleet)),
    charts(data.series, fleet, tools),
    schedules(fleet),
    forecasts(fleet),
    candidates(fleet, data.tallies, data.since),
    hostList(data.hosts, fleet, tools),
    decisionList(data.decisions, tools),
    rules(fleet),
  ];
}

function buttons(fleet, { reload }) {
  const paused = fleet.pauses.length > 0;
  const button = (id, text, unfit, act) => {
    const why = barred() ?? unfit;
    return h("button", { type: "button", id, disabled: why !== null, title: why, "aria-describedby": barred() ? "barred" : null, on: { click: () => act(fleet, reload) } }, text);
  };
  return h(
    "div",
    { class: "buttons actions" },
    button("pause", "Pause …", null, pausing),
    button("resume", "Resume …", paused ? null : "It is not paused", resuming),
    button("set-size", "Set size …", fleet.mode === null ? "No file configures it" : null, resizing),
    link(actionsPath(fleet.fleet), "Who did what"),
  );
}

function standing(fleet) {
  const { size, hosts, lease, breaker, termination_budget: budget } = fleet;
  const there = Object.entries(hosts).filter(([, number]) => number > 0).map(([state, number]) => `${number} ${state}`);
  return section(
    "Size",
    { class: "card" },
    h("p", { class: "size" }, h("b", null, hosts.healthy), ` ${hosts.healthy === 1 ? "host serves" : "hosts serve"}, ${size.wanted ?? "none"} wanted`),
    sizeBar(fleet),
    h("p", { class: "fine" }, bounds(size)),
    facts(
      ["Hosts", there.join(", ") || "none"],
      size.reserved > 0 && ["Being bought", count(size.reserved, "host")],
      ["Breaker", breaker.open ? `open, one launch is tried ${relative(breaker.resets_at)}` : `closed, ${breaker.launch_failures} of ${breaker.launch_failures_max ?? "–"} failures`],
      budget && ["Terminations", `${budget.used} of ${budget.count} within ${span(budget.per_seconds)}`],
      ["Held by", lease ? `${lease.holder ?? "nobody"}${lease.held ? "" : " (lease is over)"}, epoch ${lease.epoch}` : "nobody"],
    ),
  );
}

function following(fleet) {
  const { last_decision: last, next, cooldowns } = fleet;
  const cools = (until) => (until && Date.parse(until) > now() ? `may happen ${relative(until)}` : "may happen now");
  return section(
    "Why, and what comes next",
    { class: "card" },
    last
      ? [h("p", { class: "sentence" }, link(decisionPath(last.decision_id), said(last.reason, last.at))),
        h("p", { class: "fine" }, outcome(last.outcome), ", ", ago(last.at), last.count > 1 ? ` and ${count(last.count - 1, "time")} since` : null)]
      : h("p", { class: "fine" }, "Nothing was decided yet"),
    facts(
      ["Waits for", next.waits_for.length ? h("ul", { class: "waits" }, next.waits_for.map((wait) => h("li", null, said(wait)))) : "nothing"],
      ["Scale-out", cools(cooldowns.scale_out_until)],
      ["Scale-in", cools(cooldowns.scale_in_until)],
      ["Next look", next.evaluation_at ? relative(next.evaluation_at) : "nobody evaluates it"],
    ),
  );
}

function measured({ observed }) {
  if (!observed) return section("Signals", { class: "card" }, h("p", { class: "fine" }, "Nothing observed lately"));
  const others = observed.signals.filter((signal) => signal.thresholds.length === 0);
  return section(
    "Signals",
    { class: "card" },
    h("p", { class: "fine" }, `${observed.hosts_heard} of ${count(observed.hosts_asked, "host")} heard, `, ago(observed.at),
      observed.recommended === null ? null : `; the load asks for ${count(observed.recommended, "host")}`),
    judged(observed).map(signalRow),
    observed.faults.length ? h("ul", { class: "faults" }, observed.faults.map((fault) => h("li", null, fault))) : null,
    others.length
      ? h("details", { "data-key": "others" }, h("summary", null, `${count(others.length, "signal")} that nothing is decided by`), others.map(signalRow))
      : null,
  );
}

function choice(label, options, chosen, pick) {
  return h("div", { class: "choice", role: "group", "aria-label": label },
    options.map(([key, text]) => h("button", { type: "button", class: "small", "aria-pressed": String(key === chosen), on: { click: () => pick(key) } }, text)));
}

/** The time span of the charts. */
export const spanChoice = ({ chosen, choose }) => choice("Time span", SPANS.map((one) => [one, one]), chosen.span, (one) => choose({ span: one }));

const GONE = new Set(["draining", "deregistered", "terminating", "terminated", "lost"]);

function hostList({ hosts, next }, fleet, { chosen, choose, reload }) {
  const row = (host) =>
    h(
      "tr",
      { id: host.instance_id, "data-key": host.instance_id },
      h("td", { class: "mono" }, host.instance_id),
      h("td", null, h("span", { class: `state ${host.state}` }, host.state), h("div", { class: "fine" }, "for ", ago(host.since).textContent.replace(" ago", ""))),
      h("td", null, host.zone, h("div", { class: "fine" }, host.instance_type)),
      h("td", { class: "nowrap" }, span(host.age_seconds)),
      h("td", null, said(host.waits_for), host.deadline ? h("div", { class: "fine" }, `${host.deadline.then} ${relative(host.deadline.at)}`) : null),
      h("td", { class: "mono nowrap" }, host.address ?? "–"),
      h("td", null, GONE.has(host.state) ? null
        : h("button", { type: "button", class: "small", "aria-label": `Drain ${host.instance_id}`, disabled: barred() !== null, title: barred(), "aria-describedby": barred() ? "barred" : null, on: { click: () => draining(fleet, host, reload) } }, "Drain …")),
    );
  const heads = ["Host", "State", "Zone", "Age", "Waits for", "Address", h("span", { class: "hidden" }, "Action")];
  return section(
    "Hosts",
    { class: "block" },
    choice("Hosts shown", [[false, "There"], [true, "Also gone"]], chosen.gone, (gone) => choose({ gone })),
    hosts.length ? table("Hosts", heads, hosts.map(row)) : h("p", { class: "fine" }, chosen.gone ? "It never had a host" : "It has no host now"),
    next ? h("p", { class: "fine" }, `The first ${hosts.length} are shown; \`fleet-scaler hosts ${fleet.fleet}\` prints them all.`) : null,
  );
}

function decisionList({ decisions, next }, { chosen, choose }) {
  const row = (one) =>
    h(
      "tr",
      { "data-key": one.decision_id },
      h("td", { class: "nowrap" }, at(one.at), h("div", { class: "fine" }, one.count > 1 ? `${one.count} times` : relative(one.at))),
      h("td", { class: "nowrap" }, kind(one.action), " ", sizes(one)),
      h("td", null, link(decisionPath(one.decision_id), said(one.reason, one.at))),
      h("td", null, outcome(one.outcome)),
    );
  return section(
    "Decisions",
    { class: "block" },
    choice("Decisions shown", Object.entries(FILTER_WORDS), chosen.filter, (filter) => choose({ filter, rows: ROWS })),
    decisions.length ? table("Decisions", ["When", "What", "Why", "Outcome"], decisions.map(row)) : h("p", { class: "fine" }, "There is none of this kind"),
    next && chosen.rows < HOSTS ? h("button", { type: "button", on: { click: () => choose({ rows: Math.min(HOSTS, chosen.rows * 4) }) } }, "Show more") : null,
  );
}

function rules({ rules: known }) {
  if (known.length === 0) return null;
  const row = (rule) =>
    h(
      "tr",
      { "data-key": rule.name },
      h("td", null, h("b", null, rule.name), h("div", { class: "mono" }, rule.when)),
      h("td", { class: "nowrap" }, rule.action),
      h("td", null, counted(rule, rule.window.map((sample) => sample.holds))),
      h("td", null, rule.fired_at ? ["fired ", ago(rule.fired_at)] : "never fired"),
    );
  return section("Rules", { class: "block" }, table("Rules", ["Rule", "Does", "Observations", "Last"], known.map(row)));
}
