// The page's frame: which view stands at this address, when it is loaded anew, and what is said where it cannot be.

import { forget, learn, token } from "./api.js";
import { decisionView } from "./decision.js";
import { h, morphChildren } from "./dom.js";
import { fleetView } from "./fleet.js";
import { follow } from "./live.js";
import { overview } from "./overview.js";
import { notice } from "./parts.js";
import { peopleView } from "./people.js";
import { askForToken } from "./token.js";
import { span, zone } from "./words.js";

const LATE = 15_000;
const SECOND = 1_000;

const page = document.getElementById("page");
const state = { view: null, data: null, problem: null, heardAt: null, loading: false, again: false, turn: 0 };

const ROUTES = [
  [/^\/$/, () => overview],
  [/^\/fleets\/([^/]+)$/, (name) => fleetView(decodeURIComponent(name), redraw, reload)],
  [/^\/actions$/, () => peopleView(redraw, reload)],
  [/^\/decisions\/([^/]+)$/, (id) => decisionView(decodeURIComponent(id))],
];

const NOWHERE = {
  title: () => "Not found",
  load: async () => ({}),
  render: () => [h("h1", null, "There is no such page"), h("p", null, h("a", { href: "/" }, "All fleets"))],
};

function viewAt(path) {
  for (const [pattern, make] of ROUTES) {
    const match = pattern.exec(path);
    if (match) return make(...match.slice(1));
  }
  return NOWHERE;
}

/** Shows what stands at the address. */
async function arrive() {
  Object.assign(state, { view: viewAt(location.pathname), data: null, problem: null, turn: state.turn + 1, loading: false });
  document.title = `${state.view.title()} – Fleet Scaler`;
  page.replaceChildren(h("p", { class: "loading" }, "Loading …"));
  await reload();
  const wanted = location.hash && document.getElementById(location.hash.slice(1));
  if (wanted) wanted.scrollIntoView({ block: "center" });
  else scrollTo(0, 0);
}

/** Asks anew. One question at a time; what happens meanwhile makes one more. */
async function reload() {
  if (state.loading) {
    state.again = true;
    return;
  }
  const { turn, view } = state;
  Object.assign(state, { loading: true, again: false });
  try {
    const [data] = await Promise.all([view.load(), learn()]);
    if (turn !== state.turn) return;
    Object.assign(state, { data, problem: null, heardAt: Date.now() });
  } catch (problem) {
    if (turn !== state.turn) return;
    state.problem = problem;
    // It is there and says no: that is an answer.
    if (refused(problem)) state.heardAt = Date.now();
    if (problem.status === 401) askForToken(problem, arrive);
  } finally {
    if (turn === state.turn) state.loading = false;
  }
  redraw();
  if (state.again) reload();
}

/** Whether the service answered, and what is asked for is not to be had. */
const refused = ({ status }) => status >= 400 && status < 500 && status !== 429;

function redraw() {
  const { view, data, problem } = state;
  if (data) {
    // What was seen last is better than nothing, as long as it says that it is old.
    const old = problem && problem.status !== 401 ? [failure(problem, true)] : [];
    morphChildren(page, [h("div", { class: "old", "data-key": "old" }, ...old), ...[view.render(data)].flat(3).filter(Boolean)]);
  } else if (problem) {
    morphChildren(page, [h("h1", { class: "hidden" }, state.view.title()), failure(problem, false)]);
  }
  tellConnection();
}

function failure(problem, seen) {
  if (problem.status === 401) return notice("plain", "A token is needed", h("p", null, problem.message));
  const title = problem.title ?? "This page has failed";
  const again = refused(problem) ? "" : " It is asked again every few seconds.";
  const rest = seen ? " What is shown below is what was seen last." : again;
  const way = problem.status === 404 || problem.status === 400 ? h("p", null, h("a", { href: "/" }, "All fleets")) : null;
  return notice("problem", title, h("p", null, problem.message, rest), way);
}

/** Whether what is shown is of now. */
function tellConnection() {
  const label = document.getElementById("link");
  const age = state.heardAt === null ? null : Date.now() - state.heardAt;
  const lost = state.problem?.status === 0 || state.problem?.status === 503 || (age !== null && age > LATE);
  const words = age === null ? "no answer yet" : age < 2 * SECOND ? "updated now" : `updated ${span(age / SECOND)} ago`;
  label.className = `link ${lost ? "lost" : age === null ? "" : "live"}`;
  const text = lost ? `Connection lost – ${words}` : age === null ? "Connecting …" : `Live – ${words}`;
  // It is a live region: a change of words every second would be read out every second.
  label.setAttribute("aria-live", "off");
  if (label.textContent !== text) label.textContent = text;
  document.getElementById("token").hidden = !token.get();
}

function followLinks(event) {
  const anchor = event.target.closest("a[href]");
  if (!anchor || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
  const to = new URL(anchor.href?.baseVal ?? anchor.href, location.href);
  if (to.origin !== location.origin || to.pathname.startsWith("/api/") || anchor.classList.contains("skip")) return;
  if (to.pathname === location.pathname && to.hash) return;
  event.preventDefault();
  history.pushState(null, "", to);
  arrive().then(() => page.focus({ preventScroll: true }));
}

const THEMES = { system: "light", light: "dark", dark: "system" };

function showTheme(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  document.getElementById("theme").textContent = `Theme: ${theme}`;
}

function theme() {
  const known = localStorage.getItem("fleet-scaler-theme");
  showTheme(known in THEMES ? known : "system");
  document.getElementById("theme").addEventListener("click", () => {
    const before = localStorage.getItem("fleet-scaler-theme");
    const wanted = THEMES[before in THEMES ? before : "system"];
    localStorage.setItem("fleet-scaler-theme", wanted);
    showTheme(wanted);
  });
}

/** Whose clock the page's times are by. */
function clockLine() {
  const known = zone();
  return known === "UTC" ? "Times are in UTC, as this browser's clock is." : `Times are by this browser's clock: ${known}. Point at one for UTC.`;
}

theme();
document.getElementById("zone").textContent = clockLine();
document.getElementById("token").addEventListener("click", () => {
  token.set(null);
  forget();
  arrive();
});
document.addEventListener("click", followLinks);
addEventListener("popstate", arrive);
addEventListener("resize", () => state.data && redraw());
document.addEventListener("visibilitychange", () => document.hidden || reload());
// Ages on the page go on while nothing happens.
setInterval(() => (state.data && !document.hidden ? redraw() : tellConnection()), SECOND);
arrive();
follow((fleet) => (fleet === null || !state.view.fleet || state.view.fleet === fleet) && reload(), new AbortController().signal);
