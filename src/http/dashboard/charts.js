// The charts of a fleet's page: sizes as steps with the decisions marked, and each signal against its thresholds.

import { chart, nearest } from "./chart.js";
import { h } from "./dom.js";
import { spanChoice } from "./fleet.js";
import { decisionPath, section, table } from "./parts.js";
import { action, clock, number, spoken, value } from "./words.js";

const SIGNALS = 6;
const TABLE_ROWS = 30;
const TALL = 190;
const LOW = 130;
/** Decisions of a time before the last hour tell about one moment in a quarter of an hour. */
const SPARSE = 1_900_000;

/** All of them. */
export function charts(series, fleet, tools) {
  const times = series.times.map(Date.parse);
  const [since, until] = [Date.parse(series.since), Date.parse(series.until)];
  const often = Math.max(series.step_seconds * 3, (fleet.interval_seconds ?? 10) * 3) * 1000;
  const gap = until - since > 3_700_000 ? Math.max(often, SPARSE) : often;
  const width = Math.max(280, document.getElementById("page").clientWidth - inset());
  const common = { since, until, times, gap, width, pointer: tools.pointer };
  const body = times.length
    ? [sizeChart(series, fleet, common), signalCharts(series, fleet, common), readout(series, times, tools), numbers(series, times)]
    : h("p", { class: "fine" }, "Nothing was observed in this span");
  return section("Over time", { class: "card over-time" }, spanChoice(tools), body);
}

/** The page's and the card's own edges. */
const inset = () => (window.innerWidth <= 640 ? 24 + 26 : 40 + 34);

const points = (times, amounts) => times.map((at, place) => [at, amounts[place] ?? null]);

function sizeChart(series, fleet, common) {
  const { sizes } = series;
  const line = (name, mark, amounts, more) => ({ name, mark, points: points(common.times, amounts), all: points(common.times, amounts), stepped: true, ...more });
  const { min, max } = fleet.size;
  const levels = max === null ? [] : [{ value: min, text: `min ${min}`, kind: "bound" }, { value: max, text: `max ${max}`, kind: "bound" }];
  return chart({
    ...common,
    title: "Hosts",
    lines: [line("healthy", "one", sizes.healthy, { filled: true }), line("wanted", "two", sizes.wanted), line("load asks for", "three", sizes.recommended)],
    levels,
    marks: series.decisions.map((one) => ({ at: Date.parse(one.at), href: decisionPath(one.decision_id), kind: one.action, text: spoken(one.reason, one.at) })),
    whole: true,
    format: number,
    height: TALL,
  });
}

function signalCharts(series, fleet, common) {
  const known = new Map((fleet.observed?.signals ?? []).map((signal) => [signal.name, signal.thresholds]));
  return Object.entries(series.signals).slice(0, SIGNALS).map(([name, amounts]) =>
    chart({
      ...common,
      title: name,
      lines: [{ name: "value", mark: "one", points: points(common.times, amounts), all: points(common.times, amounts) }],
      levels: (known.get(name) ?? []).map((at) => ({
        value: at.value,
        kind: at.comparison === "target" ? "target" : "threshold",
        text: `${at.source} ${at.comparison === "target" ? "at" : at.comparison} ${value(name, at.value)}`,
      })),
      format: (amount) => value(name, amount),
      height: LOW,
    }));
}

/** The moment that is pointed at, in words: read out as it moves. */
function readout(series, times, { pointer }) {
  const at = pointer.get();
  if (at === null) return h("p", { class: "fine readout", "aria-live": "polite", "data-key": "readout" }, "Point at a chart, or use the arrow keys on it, to read its values.");
  const place = nearest(times, at);
  const { sizes, signals } = series;
  const said = [`${sizes.healthy[place] ?? "–"} healthy, ${sizes.wanted[place] ?? "–"} wanted`,
    ...Object.entries(signals).map(([name, amounts]) => `${name} ${value(name, amounts[place])}`)];
  return h("p", { class: "fine readout", "aria-live": "polite", "data-key": "readout" }, `${clock(times[place])}: ${said.join("; ")}`);
}

/** The same as numbers. */
function numbers(series, times) {
  const every = Math.max(1, Math.ceil(times.length / TABLE_ROWS));
  const names = Object.keys(series.signals).slice(0, SIGNALS);
  const rows = times.map((_, place) => place).filter((place) => place % every === 0 || place === times.length - 1).reverse();
  const row = (place) =>
    h("tr", { "data-key": times[place] },
      [clock(times[place]), series.sizes.healthy[place] ?? "–", series.sizes.wanted[place] ?? "–", ...names.map((name) => value(name, series.signals[name][place]))]
        .map((text) => h("td", null, text)));
  const marks = series.decisions.length;
  return h("details", { "data-key": "numbers" }, h("summary", null, "As a table"),
    table("Values over time", ["When", "Healthy", "Wanted", ...names], rows.map(row), { class: "figures" }),
    marks ? h("p", { class: "fine" }, `The ${marks} decisions of the span are listed below; the last: ${action(series.decisions[0].action)}.`) : null);
}
