// Charts over time, drawn by hand as SVG: a few lines, steps and thresholds are less code than a library's options, and
// nothing is loaded from elsewhere.
//
// A chart is a pure function of its data, its width and the moment that is pointed at. That moment is shared by all
// charts of a page, so that one sees what the signals were when the size changed. The keyboard moves it as the mouse
// does, and a table under the charts says the same to whoever cannot see them.

import { h, s } from "./dom.js";
import { clock, tick } from "./words.js";

const LEFT = 52;
const RIGHT = 12;
const TOP = 10;
const BOTTOM = 22;
const MARKS = 20;
const CLUSTER = 14;
const NICE = [1, 2, 5, 10];
const STEPS = [10, 30, 60, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800, 604800].map((seconds) => seconds * 1000);

/** About `wanted` round numbers from 0 to at least `most`. */
function ticks(most, wanted, whole) {
  const rough = most / wanted;
  const power = 10 ** Math.floor(Math.log10(rough || 1));
  const step = Math.max((NICE.find((nice) => nice * power >= rough) ?? 10) * power, whole ? 1 : 0);
  return Array.from({ length: Math.ceil(most / step - 1e-9) + 1 }, (_, place) => +(place * step).toPrecision(12));
}

function timeTicks(since, until, width) {
  const step = STEPS.find((one) => (until - since) / one <= width / 80) ?? STEPS.at(-1);
  const offset = new Date(since).getTimezoneOffset() * 60_000;
  const first = Math.ceil((since - offset) / step) * step + offset;
  const found = [];
  for (let at = first; at < until; at += step) found.push(at);
  return { found, days: step >= 86_400_000 };
}

/** The path of a line; it breaks where nothing is known. */
function path(points, x, y, { stepped, gap }) {
  let text = "";
  let last = null;
  for (const [at, amount] of points) {
    if (amount === null) {
      last = null;
      continue;
    }
    const place = `${x(at).toFixed(1)} ${y(amount).toFixed(1)}`;
    if (last === null || at - last > gap) text += `M${place}`;
    else text += stepped ? `H${x(at).toFixed(1)}V${y(amount).toFixed(1)}` : `L${place}`;
    last = at;
  }
  return text;
}

/** The area under a stepped line. */
function area(points, x, y, gap) {
  let text = "";
  for (let place = 1; place < points.length; place += 1) {
    const [from, amount] = points[place - 1];
    const [to] = points[place];
    if (amount === null || to - from > gap) continue;
    text += `M${x(from).toFixed(1)} ${y(0).toFixed(1)}V${y(amount).toFixed(1)}H${x(to).toFixed(1)}V${y(0).toFixed(1)}Z`;
  }
  return text;
}

/** The place of the point nearest to a moment. */
export function nearest(times, at) {
  let best = 0;
  for (let place = 1; place < times.length; place += 1) {
    if (Math.abs(times[place] - at) < Math.abs(times[best] - at)) best = place;
  }
  return best;
}

/**
 * One chart. `lines` are `{name, mark, points: [[time, amount]], stepped, filled}`; `levels` are `{value, text, kind}`;
 * `marks` are `{at, href, text}`. `pointer` is `{get, set}` of the moment that is pointed at.
 */
export function chart({ title, since, until, times, gap, lines, levels = [], marks = [], whole, format, width, height, pointer }) {
  const bottom = BOTTOM + (marks.length ? MARKS : 0);
  const most = Math.max(...levels.map((level) => level.value), ...lines.flatMap((line) => line.points.map(([, amount]) => amount ?? 0)), whole ? 2 : 0) || 1;
  const scale = ticks(most * 1.02, 3, whole);
  const top = scale.at(-1);
  const x = (at) => LEFT + ((at - since) / (until - since)) * (width - LEFT - RIGHT);
  const y = (amount) => TOP + (1 - amount / top) * (height - TOP - bottom);
  const floor = y(0);
  const inside = (at) => at >= since && at <= until;
  const drawn = lines.map((line) => ({ ...line, points: line.points.filter(([at]) => inside(at)) }));
  const at = pointer.get();
  const place = at === null || times.length === 0 ? null : nearest(times, at);
  return h(
    "figure",
    { class: "chart", "data-key": title },
    h("figcaption", null, h("h3", null, title), legend(drawn, levels, place, format)),
    h(
      "div",
      { class: "plot", tabindex: 0, role: "group", "aria-label": `${title}. Arrow keys move over time.`, on: pointing({ since, until, times, width, pointer, x }) },
      s(
        "svg",
        { viewBox: `0 0 ${width} ${height}`, width: "100%", height, preserveAspectRatio: "none", "aria-hidden": marks.length ? null : "true" },
        grid(scale, x, y, { since, until, width, height, bottom, format }),
        levels.map((level) => level.value <= top && s("line", { class: `level ${level.kind}`, x1: LEFT, x2: width - RIGHT, y1: y(level.value), y2: y(level.value) })),
        drawn.map((line) => line.filled && s("path", { class: "area", d: area(line.points, x, y, gap) })),
        drawn.map((line) => s("path", { class: `series ${line.mark}`, d: path(line.points, x, y, { stepped: line.stepped, gap }) })),
        place === null ? null : cursor(times[place], drawn, place, x, y, floor),
        clusters(marks.filter((mark) => inside(mark.at)), x).map((mark) => flag(mark, x, floor + BOTTOM + 8)),
      ),
    ),
  );
}

function grid(scale, x, y, { since, until, width, height, bottom, format }) {
  const { found, days } = timeTicks(since, until, width - LEFT - RIGHT);
  return [
    scale.map((amount) => [
      s("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(amount), y2: y(amount) }),
      s("text", { class: "axis", x: LEFT - 8, y: y(amount) + 4, "text-anchor": "end" }, format(amount)),
    ]),
    found.map((at) => [
      s("line", { class: "grid", x1: x(at), x2: x(at), y1: TOP, y2: height - bottom }),
      x(at) > LEFT + 12 && x(at) < width - RIGHT - 16 && s("text", { class: "axis", x: x(at), y: height - bottom + 16, "text-anchor": "middle" }, tick(at, days)),
    ]),
  ];
}

/** What the lines are called, and what they were at the moment that is pointed at, or are now. */
function legend(lines, levels, place, format) {
  const amount = (line) => (line.all ?? line.points)[place ?? (line.all ?? line.points).length - 1]?.[1] ?? null;
  return h(
    "ul",
    { class: "legend" },
    lines.map((line) => h("li", null, h("span", { class: `key ${line.mark}`, "aria-hidden": "true" }), `${line.name} `,
      h("b", null, amount(line) === null ? "–" : format(amount(line))))),
    levels.map((level) => h("li", null, h("span", { class: `key level ${level.kind}`, "aria-hidden": "true" }), level.text)),
  );
}

function cursor(at, lines, place, x, y, floor) {
  return s(
    "g",
    { class: "cursor" },
    s("line", { x1: x(at), x2: x(at), y1: TOP, y2: floor }),
    lines.map((line) => {
      const amount = (line.all ?? line.points)[place]?.[1] ?? null;
      return amount !== null && s("circle", { class: line.mark, cx: x(at), cy: y(amount), r: 3.5 });
    }),
  );
}

/** Marks that would cover one another become one. */
function clusters(marks, x) {
  const found = [];
  for (const mark of [...marks].sort((a, b) => a.at - b.at)) {
    const last = found.at(-1);
    if (last && x(mark.at) - x(last.at) < CLUSTER) Object.assign(last, { at: mark.at, href: mark.href, text: mark.text, kind: mark.kind, more: last.more + 1 });
    else found.push({ ...mark, more: 0 });
  }
  return found;
}

function flag(mark, x, y) {
  const text = `${clock(new Date(mark.at))}: ${mark.text}${mark.more ? ` (and ${mark.more} just before)` : ""}`;
  const up = "M-5 4L0 -5L5 4Z";
  const shapes = { scale_out: up, repair: up, scale_in: "M-5 -4L0 5L5 -4Z" };
  return s(
    "a",
    { href: mark.href, class: `flag ${mark.kind}`, "aria-label": text, transform: `translate(${x(mark.at).toFixed(1)} ${y})` },
    s("title", null, text),
    s("rect", { x: -7, y: -10, width: 14, height: 20, class: "touch" }),
    s("path", { d: shapes[mark.kind] ?? "M-4 -4H4V4H-4Z" }),
  );
}

function pointing({ since, until, times, width, pointer, x }) {
  const at = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    const across = ((event.clientX - box.left) / box.width) * width;
    return since + ((across - LEFT) / (width - LEFT - RIGHT)) * (until - since);
  };
  const moves = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity };
  return {
    pointermove: (event) => pointer.set(at(event)),
    pointerleave: () => pointer.set(null),
    blur: () => pointer.set(null),
    keydown: (event) => {
      if (event.key === "Escape") return pointer.set(null);
      const move = moves[event.key];
      if (move === undefined || times.length === 0 || x === undefined) return undefined;
      event.preventDefault();
      const from = pointer.get() === null ? times.length : nearest(times, pointer.get());
      return pointer.set(times[Math.max(0, Math.min(times.length - 1, from + move))]);
    },
  };
}
