// Asks for a token where the service wants one. It is kept for as long as this tab is open, and sent to nobody else.

import { forget, token } from "./api.js";
import { h } from "./dom.js";

const WHY = {
  no_token: "This service lets in whoever shows a token.",
  unknown_token: "The service does not know this token. It may have been taken back, or it was not copied whole.",
  expired_token: "This token has expired. A new one is needed.",
};

let open = null;

/** Shows the dialogue, once; `done` is called when a token was given. */
export function askForToken(problem, done) {
  if (open?.isConnected) return;
  const field = h("input", { id: "token-field", type: "password", autocomplete: "off", spellcheck: "false", required: true, placeholder: "fs_…" });
  const submit = (event) => {
    event.preventDefault();
    const text = field.value.trim();
    if (!text) return;
    token.set(text);
    forget();
    open.close();
    done();
  };
  open = h(
    "dialog",
    { class: "dialog", "aria-labelledby": "token-title", on: { close: () => open.remove() } },
    h(
      "form",
      { on: { submit } },
      h("h2", { id: "token-title" }, problem.code === "no_token" ? "A token is needed" : "The token was refused"),
      h("p", null, WHY[problem.code] ?? problem.message),
      h("label", { for: "token-field" }, "Token"),
      field,
      h("p", { class: "fine" }, "A viewer's token shows everything; an operator's may also change things. It is kept in this tab only. ",
        h("code", null, "fleet-scaler token new"), " makes one."),
      h("div", { class: "buttons" }, h("button", { class: "primary", type: "submit" }, "Show the fleets")),
    ),
  );
  document.body.append(open);
  open.showModal();
}
