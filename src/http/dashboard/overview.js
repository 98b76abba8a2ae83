// The overview: in five seconds, is every fleet all right, what is it doing, why, and what will it do next.

import { get } from "./api.js";
import { judged, signalRow, sizeBar } from "./bars.js";
import { h } from "./dom.js";
import { inOrder } from "./judge.js";
import { actionsPath, ago, badge, bounds, decisionPath, fleetPath, link, notice, said } from "./parts.js";
import { count, relative } from "./words.js";

const SIGNALS = 3;
const WAITS = 3;

export const overview = {
  title: () => "Fleets",
  load: async () => ({ answer: await get("/fleets") }),
  render: ({ answer }) => page(answer.fleets),
};

function page(fleets) {
  if (fleets.length === 0) {
    return [
      h("h1", null, "Fleets"),
      notice(
        "plain",
        "There is no fleet yet",
        h("p", null, "A fleet is one file under ", h("code", null, "fleets/"), " in the service's configuration. ",
          "It is noticed within ten seconds of being written, and appears here."),
      ),
    ];
  }
  const order = inOrder(fleets);
  return [
    h("div", { class: "head" }, h("h1", null, "Fleets"), verdict(order), link(actionsPath(), "Who did what")),
    h("div", { class: "row heads", "aria-hidden": "true" },
      ["Fleet", "Size", "Signals", "Last decision", "Next"].map((head) => h("span", null, head))),
    h("ul", { class: "fleets" }, order.map(row)),
  ];
}

/** One sentence for all of them. */
function verdict(order) {
  const at = (level) => order.filter((one) => one.level === level);
  const [bad, odd] = [at("problem"), at("warning")];
  const names = (list) => list.slice(0, 3).map((one) => one.fleet.fleet).join(", ") + (list.length > 3 ? ", …" : "");
  if (bad.length) {
    return h("p", { class: "verdict problem" }, `${count(bad.length, "fleet has a problem", "fleets have a problem")}: ${names(bad)}`);
  }
  if (odd.length) {
    return h("p", { class: "verdict warning" }, `No problem. Worth a look: ${names(odd)}`);
  }
  const all = order.length === 1 ? "The fleet is well" : `All ${order.length} fleets are well`;
  return h("p", { class: "verdict well" }, `${all}.`);
}

function row({ fleet, level, findings }) {
  const name = fleet.fleet;
  return h(
    "li",
    { class: `row ${level}`, "data-key": name },
    h("div", { class: "cell who" },
      h("h2", null, link(fleetPath(name), name)),
      h("p", { class: "tags" }, badge(level), fleet.mode === "dry-run" ? h("span", { class: "badge plain" }, "Dry-run") : null),
      findings.length
        ? h("ul", { class: "findings" }, findings.map((one) => h("li", { class: one.level }, one.text)))
        : null),
    h("div", { class: "cell" }, sizeCell(fleet)),
    h("div", { class: "cell" }, signals(fleet)),
    h("div", { class: "cell why" }, why(fleet.last_decision)),
    h("div", { class: "cell next" }, next(fleet)),
  );
}

/** Now, wanted, and the bounds. */
export function sizeCell(fleet) {
  const { size, hosts } = fleet;
  const wanted = size.wanted === null ? "nothing wanted yet" : `${size.wanted} wanted`;
  return [
    h("p", { class: "size" },
      h("b", null, hosts.healthy), h("span", null, hosts.healthy === 1 ? " host serves, " : " hosts serve, "), h("span", null, wanted)),
    sizeBar(fleet),
    h("p", { class: "fine" }, bounds(size)),
  ];
}

function signals({ observed }) {
  const shown = judged(observed);
  if (!observed) return h("p", { class: "fine" }, "Nothing observed yet");
  if (shown.length === 0) return h("p", { class: "fine" }, "No rule or target looks at a signal");
  const more = shown.length - SIGNALS;
  return [shown.slice(0, SIGNALS).map(signalRow), more > 0 ? h("p", { class: "fine" }, `and ${count(more, "signal")} more`) : null];
}

function why(last) {
  if (!last) return h("p", { class: "fine" }, "Nothing was decided yet");
  const again = last.count > 1 ? ` and ${count(last.count - 1, "time")} since, last ` : null;
  return [
    h("p", { class: "sentence" }, link(decisionPath(last.decision_id), said(last.reason, last.at))),
    h("p", { class: "fine" }, ago(last.at), again, again ? ago(last.last_at) : null),
  ];
}

function next({ next: { evaluation_at: at, waits_for: waits } }) {
  const late = at && relative(at).endsWith("ago");
  const when = at === null ? "Nobody evaluates it" : late ? "Next look is due" : `Next look ${relative(at)}`;
  const more = waits.length - WAITS;
  return [
    waits.length ? h("p", { class: "fine" }, "Waits for") : h("p", null, "Waits for nothing."),
    waits.length
      ? h("ul", { class: "waits" }, waits.slice(0, WAITS).map((wait) => h("li", null, said(wait))), more > 0 ? h("li", null, `and ${more} more`) : null)
      : null,
    h("p", { class: "fine" }, when),
  ];
}
