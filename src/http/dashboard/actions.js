// What an operator may ask of a fleet. Each dialogue says exactly what will happen before it is asked, wants a reason for
// the audit trail, sends a key so that a second try is the same request, and stays open until it has told the outcome.

import { get, key, post } from "./api.js";
import { h, morphChildren } from "./dom.js";
import { decisionPath, link, said } from "./parts.js";
import { count } from "./words.js";

const ANSWER_EVERY = 1_000;
const ANSWER_TRIES = 60;
const REASON_MAX = 500;

const field = (id, label, input) => h("div", { class: "field" }, h("label", { for: id }, label), input);
const options = (list) => list.map(([value, text]) => h("option", { value }, text));
const select = (id, list, change) => h("select", { id, on: { change } }, options(list));

const DIRECTIONS = { both: "neither grows nor shrinks", out: "does not grow; lost hosts are not replaced either", in: "does not shrink" };

/** A pause. */
export function pausing(fleet, done) {
  open({
    title: `Pause ${fleet.fleet}`,
    path: `/fleets/${encodeURIComponent(fleet.fleet)}/pause`,
    verb: "Pause it",
    fields: (tell) => [
      field("direction", "What stops", select("direction", [["both", "Scale-out and scale-in"], ["out", "Scale-out"], ["in", "Scale-in"]], tell)),
      field("for", "For how long", select("for", [["30m", "30 minutes"], ["2h", "2 hours"], ["1d", "1 day"], ["", "Until somebody resumes"]], tell)),
    ],
    body: (form) => ({ direction: form("direction"), ...(form("for") ? { for: form("for") } : {}) }),
    tell: (form) => {
      const end = form("for") ? `for ${{ "30m": "30 minutes", "2h": "2 hours", "1d": "a day" }[form("for")]}; then it goes on by itself` : "until somebody resumes it";
      return `${fleet.fleet} ${DIRECTIONS[form("direction")]} ${end}. What is under way is finished. Decisions are still made and recorded.`;
    },
    done,
  });
}

/** The end of every pause. */
export function resuming(fleet, done) {
  const which = fleet.pauses.map((pause) => `scale-${pause.direction} (“${pause.reason}”, ${pause.actor})`).join(" and ");
  open({
    title: `Resume ${fleet.fleet}`,
    path: `/fleets/${encodeURIComponent(fleet.fleet)}/resume`,
    verb: "Resume it",
    fields: () => [],
    body: () => ({}),
    tell: () => `The pause of ${which} ends, and the next evaluation may change the size at once.`,
    done,
  });
}

/** A size. */
export function resizing(fleet, done) {
  const { min, max, wanted } = fleet.size;
  const input = (tell) => h("input", { id: "size", type: "number", inputmode: "numeric", min, max, step: 1, required: true, value: wanted ?? min, on: { input: tell } });
  open({
    title: `Set the size of ${fleet.fleet}`,
    path: `/fleets/${encodeURIComponent(fleet.fleet)}/size`,
    verb: "Ask for it",
    fields: (tell) => [field("size", `Hosts wanted (${min} to ${max})`, input(tell))],
    body: (form) => ({ size: Number(form("size")) }),
    tell: (form) => {
      const size = Number(form("size"));
      const change = size - (wanted ?? 0);
      if (form("size") === "" || size < min || size > max) return `The configuration allows ${min} to ${max}.`;
      if (change === 0) return `${fleet.fleet} stays at ${size}.`;
      const what = change > 0 ? `buys ${count(change, "host")}` : `drains ${count(-change, "host")}, each deregistered before it is terminated`;
      return `${fleet.fleet} goes from ${wanted ?? 0} to ${size}: the next decision ${what}, if no guard refuses. Rules and targets go on from there.`;
    },
    done,
  });
}

/** One host's way out. */
export function draining(fleet, host, done) {
  open({
    title: `Drain ${host.instance_id}`,
    path: `/fleets/${encodeURIComponent(fleet.fleet)}/hosts/${encodeURIComponent(host.instance_id)}/drain`,
    verb: "Drain it",
    danger: true,
    fields: () => [],
    body: () => ({}),
    tell: () =>
      `${host.instance_id} in ${host.zone} (${host.state}) is deregistered from its target groups, its connections finish, and then it is terminated. It counts against the budget of terminations.`,
    done,
  });
}

function open({ title, path, verb, danger, fields, body, tell, done }) {
  let sent = { key: key(), text: null };
  const effect = h("p", { class: "effect", id: "effect" });
  const outcome = h("div", { class: "outcome", "aria-live": "polite" });
  const reason = h("input", { id: "reason", type: "text", maxlength: REASON_MAX, required: true, autocomplete: "off" });
  const submit = h("button", { class: danger ? "danger" : "primary", type: "submit" }, verb);
  const cancel = h("button", { type: "button", on: { click: () => dialog.close() } }, "Cancel");
  const form = (id) => dialog.querySelector(`#${id}`)?.value ?? "";
  const say = () => morphChildren(effect, [document.createTextNode(tell(form))]);
  const send = async (event) => {
    event.preventDefault();
    const asked = { reason: reason.value.trim(), ...body(form) };
    const text = JSON.stringify(asked);
    // What was changed is another request; what was not is the same one.
    if (sent.text !== null && sent.text !== text) sent = { key: key(), text };
    sent.text = text;
    submit.disabled = true;
    outcome.replaceChildren(h("p", null, "Asking …"));
    try {
      const recorded = await post(path, asked, sent.key);
      done();
      cancel.textContent = "Close";
      submit.hidden = true;
      await tellOutcome(recorded, outcome, dialog);
      done();
    } catch (problem) {
      submit.disabled = false;
      outcome.replaceChildren(...refusal(problem));
    }
  };
  const dialog = h(
    "dialog",
    { class: "dialog", "aria-labelledby": "dialog-title", "aria-describedby": "effect", on: { close: () => dialog.remove() } },
    h(
      "form",
      { on: { submit: send } },
      h("h2", { id: "dialog-title" }, title),
      fields(say),
      field("reason", "Reason, for the audit trail", reason),
      h("h3", null, "What will happen"),
      effect,
      outcome,
      h("div", { class: "buttons" }, submit, cancel),
    ),
  );
  document.body.append(dialog);
  say();
  dialog.showModal();
}

function refusal(problem) {
  if (problem.code === "scope") {
    return [h("p", { class: "refused" }, h("b", null, "This token may look and not act. "), "Changes take a token with the scope operator.")];
  }
  const again = problem.status === 0 ? " Whether it was recorded is not known; asking again is safe, for it is the same request." : "";
  return [h("p", { class: "refused" }, h("b", null, `${problem.title ?? "Failed"}. `), said(problem.message), again)];
}

/** A request is answered by the fleet's next decision: waits for it and says what it was. */
async function tellOutcome(recorded, place, dialog) {
  let action = recorded;
  const waits = recorded.evaluates_now ? "the fleet is looked at now" : recorded.holder ? `${recorded.holder} looks at its next evaluation` : "nobody holds the fleet: it waits until somebody does";
  for (let tries = 0; action.outcome === "pending" && tries < ANSWER_TRIES && dialog.isConnected; tries += 1) {
    place.replaceChildren(h("p", null, `Recorded; ${waits}. Waiting for the answer …`));
    await new Promise((next) => setTimeout(next, ANSWER_EVERY));
    action = await get(`/actions/${recorded.action_id}`).catch(() => action);
  }
  const { answer } = action;
  const told = {
    done: ["granted", "Done, and recorded."],
    granted: ["granted", "Granted: "],
    refused: ["refused", "Refused: "],
    pending: ["", `Recorded; ${waits}. No decision has answered it yet.`],
  }[action.outcome] ?? ["", action.outcome];
  place.replaceChildren(
    h("p", { class: told[0] }, h("b", null, told[1]), answer ? said(answer.because, answer.at) : null, " ", answer ? link(decisionPath(answer.decision_id), "The decision") : null));
  place.querySelector("a")?.addEventListener("click", () => dialog.close());
}
