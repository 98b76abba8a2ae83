// Small drawings that stand in a row: a fleet's size within its bounds, and a signal against its thresholds. Each is an
// image with its meaning in words beside it, so the drawing itself says nothing to a screen reader.

import { h, s } from "./dom.js";
import { arriving } from "./judge.js";
import { count, isShare, value } from "./words.js";

const WIDTH = 100;

const percent = (part, whole) => `${Math.min(WIDTH, Math.max(0, (part / whole) * WIDTH)).toFixed(2)}%`;
const rect = (name, from, to, whole, height = 10) =>
  s("rect", { class: name, x: percent(from, whole), width: percent(to - from, whole), y: 3, height });

const line = (name, at, whole, height) =>
  s("line", { class: name, x1: percent(at, whole), x2: percent(at, whole), y1: 0, y2: height });

/** Hosts that serve (filled), are on their way (striped) or unhealthy, from 0 to max; marks at min and at the size wanted. */
export function sizeBar({ hosts, size }) {
  const most = Math.max(size.max ?? 0, size.live, size.wanted ?? 0, 1);
  const { healthy, unhealthy } = hosts;
  const coming = healthy + unhealthy + arriving(hosts);
  return s(
    "svg",
    { class: "size-bar", height: 16, "aria-hidden": "true" },
    rect("track", 0, most, most),
    rect("healthy", 0, healthy, most),
    rect("unhealthy", healthy, healthy + unhealthy, most),
    rect("coming", healthy + unhealthy, coming, most),
    size.min ? line("bound", size.min, most, 16) : null,
    size.wanted === null ? null : line("wanted", size.wanted, most, 16),
  );
}

/** What a target read, against the value that it keeps and the span around it within which nothing is done. */
export function readingBar({ signal, value: read, wanted, tolerance, hosts }) {
  const edge = wanted * (1 + tolerance);
  const most = Math.max(isShare(signal) ? 1 : 0, read * 1.05, edge * 1.15) || 1;
  return [
    s(
      "svg",
      { class: "signal-bar", height: 10, "aria-hidden": "true" },
      s("rect", { class: "track", x: 0, width: "100%", y: 2, height: 6 }),
      read === null ? null : s("rect", { class: "amount", x: 0, width: percent(read, most), y: 2, height: 6 }),
      s("rect", { class: "kept", x: percent(wanted * (1 - tolerance), most), width: percent(2 * wanted * tolerance, most), y: 0, height: 10 }),
      line("target", wanted, most, 10),
    ),
    h("div", { class: "fine" }, `${signal} ${value(signal, read)} over ${count(hosts, "host")}; ${value(signal, wanted)} ± ${Math.round(tolerance * 100)} % wanted`),
  ];
}

/** Whether a threshold is crossed. A target is kept and not crossed. */
export function crossed(threshold, amount) {
  if (amount === null) return false;
  const tests = {
    ">": amount > threshold.value,
    ">=": amount >= threshold.value,
    "<": amount < threshold.value,
    "<=": amount <= threshold.value,
    "==": amount === threshold.value,
    "!=": amount !== threshold.value,
  };
  return tests[threshold.comparison] ?? false;
}

const told = (signal, threshold) => {
  const what = value(signal.name, threshold.value);
  return threshold.comparison === "target" ? `target ${what}` : `${threshold.comparison} ${what}: ${threshold.action}`;
};

/** One signal: name, value, bar, and each threshold in words. */
export function signalRow(signal) {
  const lines = signal.thresholds.map((threshold) => threshold.value);
  const most = Math.max(isShare(signal.name) ? 1 : 0, (signal.value ?? 0) * 1.05, ...lines.map((at) => at * 1.15)) || 1;
  const hot = signal.thresholds.some((threshold) => crossed(threshold, signal.value));
  return h(
    "div",
    { class: `signal${hot ? " crossed" : ""}`, "data-key": signal.name },
    h("span", { class: "signal-name" }, signal.name),
    h("span", { class: `signal-value${signal.value === null ? " absent" : ""}` }, value(signal.name, signal.value)),
    s(
      "svg",
      { class: "signal-bar", height: 10, "aria-hidden": "true" },
      s("rect", { class: "track", x: 0, width: "100%", y: 2, height: 6 }),
      signal.value === null ? null : s("rect", { class: "amount", x: 0, width: percent(signal.value, most), y: 2, height: 6 }),
      signal.thresholds.map((at) => line(at.comparison === "target" ? "target" : "threshold", at.value, most, 10)),
    ),
    h(
      "span",
      { class: "signal-lines" },
      signal.thresholds.map((at, place) => [
        place ? " · " : "",
        h("span", { class: crossed(at, signal.value) ? "now" : null, title: at.source }, told(signal, at)),
      ]),
    ),
  );
}

/** The signals that something is decided by; the others are only measured. */
export const judged = (observed) => (observed?.signals ?? []).filter((signal) => signal.thresholds.length > 0);
