// What is asked of the service, and what it is told to do; the token is kept for this browser tab alone.
import { h } from "./dom.js";

const KEY = "iot-stream-token";

export class Wrong extends Error {}

const answered = async (response) => {
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw Object.assign(new Wrong(body.error ?? `${response.status}`), { status: response.status });
  return body;
};

const asked = async (path, options) => {
  try {
    return await answered(await fetch(path, options));
  } catch (error) {
    if (error instanceof Wrong || error.name === "AbortError") throw error;
    throw new Wrong("the dashboard does not answer; is `iot-stream dashboard` (or serve) running?");
  }
};

export const get = (path, signal) => asked(path, { signal });

export const toast = (words, kind = "done") => {
  const box = h("p", { class: `toast ${kind}` }, words,
    h("button", { type: "button", "aria-label": "Close", onclick: () => box.remove() }, "×"));
  document.getElementById("toasts").append(box);
  if (kind === "done") setTimeout(() => box.remove(), 12000);
};

const tokenAsked = () =>
  new Promise((done) => {
    const field = h("input", { id: "token", type: "password", autocomplete: "off", required: true });
    const dialog = h("dialog", { "aria-labelledby": "token-title" },
      h("form", { method: "dialog" },
        h("h2", { id: "token-title" }, "Token"),
        h("p", {}, "Whoever changes something shows the token that the dashboard printed at its start."),
        h("label", { for: "token" }, "token "), field,
        h("p", { class: "buttons" },
          h("button", { type: "submit", value: "yes", class: "primary" }, "Go on"),
          h("button", { type: "button", onclick: () => dialog.close("") }, "Cancel"))));
    dialog.addEventListener("close", () => {
      dialog.remove();
      done(dialog.returnValue === "yes" ? field.value.trim() : "");
    });
    document.body.append(dialog);
    dialog.showModal();
  });

// Does what `iot-stream` would do; true where it came about. What came of it is shown and read out.
export const act = async (name, body) => {
  for (;;) {
    const token = sessionStorage.getItem(KEY) || (await tokenAsked());
    if (!token) return false;
    try {
      const headers = { "Content-Type": "application/json", "X-Iot-Stream-Token": token };
      const found = await asked(`/api/actions/${name}`, { method: "POST", headers, body: JSON.stringify(body) });
      sessionStorage.setItem(KEY, token);
      toast(found.outcome);
      return true;
    } catch (error) {
      if (error.status === 401) sessionStorage.removeItem(KEY);
      toast(error.message, "wrong");
      if (error.status !== 401) return false;
    }
  }
};
