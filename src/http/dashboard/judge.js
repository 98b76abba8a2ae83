// Is a fleet all right? The one place that says so, so that the overview's order, its colours and a fleet's page agree.
//
// Each finding is a level and a sentence. Nothing is judged here that the service does not say: a threshold of this file
// would be a second opinion beside the rules'.

import { count, now, relative, span } from "./words.js";

/** From worst to best. `changing` is no problem: hosts come and go as they should. */
export const LEVELS = ["problem", "warning", "changing", "well"];

export const LEVEL_WORDS = { problem: "Problem", warning: "Look", changing: "Changing", well: "Well" };

/** A fleet is late when three evaluations in a row have not come. */
const LATE_AFTER = 3;
const LATE_AT_LEAST = 15;

const sum = (hosts, states) => states.reduce((total, state) => total + (hosts[state] ?? 0), 0);

export const arriving = (hosts) => sum(hosts, ["pending", "running", "registered"]);
export const leaving = (hosts) => sum(hosts, ["draining", "deregistered", "terminating"]);

const size = (list) => (Array.isArray(list) ? list.length : list);

function findings(fleet) {
  const found = [];
  const say = (level, text) => found.push({ level, text });
  acting(fleet, say);
  serving(fleet, say);
  heard(fleet, say);
  held(fleet, say);
  moving(fleet, say);
  return found;
}

function acting({ mode, lease, observed, interval_seconds: interval }, say) {
  if (mode === null) say("warning", "No file configures it any more: nobody acts for it");
  else if (!lease?.held) say("problem", "No replica acts for it");
  const age = observed ? (now() - Date.parse(observed.at)) / 1000 : null;
  if (mode !== null && age !== null && age > Math.max(LATE_AFTER * interval, LATE_AT_LEAST)) {
    say("problem", `Not looked at for ${span(age)}`);
  }
  if (mode !== null && lease?.held && !observed) say("changing", "Not looked at yet");
}

const served = ({ healthy }) => (healthy === 1 ? "1 host serves" : `${healthy} hosts serve`);

function serving({ hosts, size: { min, wanted }, mode, breaker }, say) {
  if (breaker.open) {
    const failures = count(breaker.launch_failures, "launch", "launches");
    say("problem", `Breaker open: ${failures} failed in a row; one is tried ${relative(breaker.resets_at)}`);
  }
  if (mode !== "live" || wanted === null) return;
  if (hosts.healthy < min && hosts.healthy + arriving(hosts) < min) {
    say("problem", `${served(hosts)}; min is ${min}`);
  } else if (hosts.healthy < min) {
    say("warning", `${served(hosts)}; min is ${min}, and more are on their way`);
  }
  if (hosts.unhealthy > 0) say("warning", `${count(hosts.unhealthy, "host")} unhealthy`);
}

function heard({ observed }, say) {
  if (!observed || observed.hosts_asked === 0) return;
  const { hosts_heard: answered, hosts_asked: asked, signals } = observed;
  const silent = signals.filter((signal) => signal.value === null && signal.thresholds.length > 0);
  if (answered === 0) say("problem", "No host's metrics are heard: the load is not known");
  else if (answered < asked) say("warning", `${asked - answered} of ${count(asked, "host")} silent`);
  if (answered > 0 && silent.length) say("warning", `No value: ${silent.map((signal) => signal.name).join(", ")}`);
}

function held(fleet, say) {
  const { pauses, pools_cooling: pools, last_decision: last, observed, size: { max } } = fleet;
  for (const pause of merged(pauses)) say("warning", pause);
  if (size(pools) > 0) say("warning", `${count(size(pools), "pool")} without capacity`);
  if (observed && max !== null && observed.recommended > max) {
    say("warning", `Its load asks for ${observed.recommended} hosts; max is ${max}`);
  }
  if (last?.outcome === "failed") say("problem", "What was last decided has failed");
  else if (last?.outcome === "held" || last?.code === "stuck") say("warning", "A change is wanted and cannot be made");
  else if (last?.outcome === "partial") say("warning", "What was last decided was done in part");
}

/** Both directions paused by one person at one time are one pause. */
function merged(pauses) {
  const [first, second] = pauses;
  const same = second && ["actor", "reason", "until"].every((name) => first[name] === second[name]);
  const tell = (pause, what) => {
    const until = pause.until ? `, ends ${relative(pause.until)}` : " until resumed";
    return `${what} paused${until}: “${pause.reason}” (${pause.actor})`;
  };
  return same ? [tell(first, "Scaling")] : pauses.map((pause) => tell(pause, `Scale-${pause.direction}`));
}

function moving({ hosts, requests, size: { reserved } }, say) {
  const some = [
    [arriving(hosts), "host coming", "hosts coming"],
    [reserved, "host being bought", "hosts being bought"],
    [leaving(hosts), "host leaving", "hosts leaving"],
    [size(requests), "request waits for an answer", "requests wait for an answer"],
  ];
  const said = some.filter(([number]) => number > 0).map(([number, one, more]) => count(number, one, more));
  if (said.length) say("changing", said.join(", "));
}

const rank = (level) => LEVELS.indexOf(level);

/** The worst level, and what there is to say, worst first. */
export function judge(fleet) {
  const found = findings(fleet).sort((a, b) => rank(a.level) - rank(b.level));
  return { level: found[0]?.level ?? "well", findings: found };
}

/** The fleets with their judgments, problems first, then by name. */
export function inOrder(fleets) {
  return fleets
    .map((fleet) => ({ fleet, ...judge(fleet) }))
    .sort((a, b) => rank(a.level) - rank(b.level) || a.fleet.fleet.localeCompare(b.fleet.fleet));
}
