// What several views are made of: tables, facts, bars, moments, and questions before something is done.
import { h, put } from "./dom.js";
import { ago, count, moment, percent } from "./format.js";

export const when = (seconds, now) =>
  (seconds == null ? "–" : h("time", { datetime: new Date(1000 * seconds).toISOString(), title: moment(seconds) }, ago(seconds, now)));

export const badge = (word, kind = word) => h("span", { class: `badge is-${kind}` }, word);

// `head`: words, or {words, number | long | hidden: true}; `rows`: cells, of words or elements. The first heads its row.
export const table = (label, head, rows) => {
  const columns = head.map((each) => (typeof each === "string" ? { words: each } : each));
  const kind = (place) => (columns[place]?.number ? "number" : columns[place]?.long ? "long" : null);
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, h("table", {},
    h("thead", {}, h("tr", {}, columns.map((each, place) => h("th", { scope: "col", class: kind(place) },
      each.hidden ? h("span", { class: "unseen" }, each.words) : each.words)))),
    h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((cell, place) =>
      (place ? h("td", { class: kind(place) }, cell) : h("th", { scope: "row", class: kind(place) }, cell))))))));
};

export const facts = (pairs) =>
  h("dl", { class: "facts" }, pairs.filter(([, told]) => told != null && told !== "").map(([name, told]) => [h("dt", {}, name), h("dd", {}, told)]));

// A share of a full field, with a thin line for what it was before.
export const bar = (share, before, kind = "", words = "") => {
  const box = h("span", { class: `bar-of ${kind}`, role: "img", "aria-label": words || percent(share), title: words || percent(share) });
  box.style.setProperty("--share", `${100 * Math.max(0, Math.min(1, share))}%`);
  if (before != null) {
    box.classList.add("had");
    box.style.setProperty("--before", `${100 * Math.max(0, Math.min(1, before))}%`);
  }
  return box;
};

const svg = (tag, given, ...children) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(given)) element.setAttribute(name, value);
  element.append(...children);
  return element;
};

// One line from left to right; what is missing is a gap.
export const curve = (words, values) => {
  const known = values.filter((value) => value != null);
  if (!known.length) return h("p", { class: "soft" }, `${words}: all missing`);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const at = (value, place) => `${2 + (296 * place) / Math.max(1, values.length - 1)},${42 - (40 * (value - low)) / (high - low || 1)}`;
  const runs = [[]];
  values.forEach((value, place) => (value == null ? runs.push([]) : runs.at(-1).push(at(value, place))));
  const drawn = runs.filter((run) => run.length).map((run) => svg("polyline", { points: (run.length > 1 ? run : [run[0], run[0]]).join(" ") }));
  const told = `${words}: ${Number(low.toPrecision(4))} to ${Number(high.toPrecision(4))}`;
  return h("figure", { class: "curve" }, h("figcaption", {}, told),
    svg("svg", { viewBox: "0 0 300 44", preserveAspectRatio: "none", role: "img", "aria-label": told }, ...drawn));
};

// Pixels from dark to light, over their own range.
export const picture = (rows) => {
  const canvas = h("canvas", { class: "picture", role: "img", "aria-label": "the picture" });
  [canvas.width, canvas.height] = [rows[0].length, rows.length];
  const known = rows.flat().filter((value) => value != null);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const ctx = canvas.getContext("2d");
  rows.forEach((row, y) => row.forEach((value, x) => {
    if (value == null) return;
    ctx.fillStyle = `hsl(0 0% ${(100 * (value - low)) / (high - low || 1)}%)`;
    ctx.fillRect(x, y, 1, 1);
  }));
  return canvas;
};

// A figure with its bounds on an axis through zero; `limit` is a line that must not be crossed.
export const interval = (value, lower, upper, limit, words) => {
  const most = 1.15 * Math.max(Math.abs(lower), Math.abs(upper), Math.abs(limit), 0.02);
  const x = (at) => 200 + (190 * at) / most;
  return h("figure", { class: "interval" },
    svg("svg", { viewBox: "0 0 400 46", role: "img", "aria-label": words },
      svg("line", { x1: x(0), x2: x(0), y1: 4, y2: 34, class: "zero" }),
      svg("line", { x1: x(limit), x2: x(limit), y1: 4, y2: 34, class: "limit" }),
      svg("line", { x1: x(lower), x2: x(upper), y1: 19, y2: 19, class: "span" }),
      svg("circle", { cx: x(value), cy: 19, r: 5 }),
      Object.assign(svg("text", { x: x(0), y: 45 }), { textContent: "as before" }),
      ...(Math.abs(x(limit) - x(0)) > 60 ? [Object.assign(svg("text", { x: x(limit), y: 45 }), { textContent: "−δ" })] : [])),
    h("figcaption", { class: "soft" }, words));
};

// While something is pressed it stays where it is, else the click would be lost; so does what is selected.
const held = { by: null, waiting: new Map() };
addEventListener("pointerdown", (event) => { held.by = event.target; }, true);
for (const end of ["pointerup", "pointercancel"]) {
  addEventListener(end, () => {
    held.by = null;
    setTimeout(() => {
      const waiting = [...held.waiting];
      held.waiting.clear();
      for (const [host, children] of waiting) if (host.isConnected) renew(host, ...children);
    });
  }, true);
}

export const pressed = (host) => host.contains(held.by);

const kept = (host) => {
  const chosen = getSelection();
  return pressed(host) || (!chosen.isCollapsed && host.contains(chosen.anchorNode));
};

// Puts children anew and leaves the person where they were: the focus, and what was unfolded.
export const renew = (host, ...children) => {
  if (kept(host)) { held.waiting.set(host, children); return; }
  const focused = host.contains(document.activeElement) ? document.activeElement.closest("[data-key]")?.dataset.key : null;
  const open = new Set([...host.querySelectorAll("details[open][data-key]")].map((each) => each.dataset.key));
  const scrolled = [...host.querySelectorAll(".scroll")].map((each) => each.scrollLeft);
  put(host, ...children);
  for (const each of host.querySelectorAll("details[data-key]")) if (open.has(each.dataset.key)) each.open = true;
  host.querySelectorAll(".scroll").forEach((each, place) => { each.scrollLeft = scrolled[place] ?? 0; });
  if (focused) host.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
};

export const folded = (key, summary, ...body) => h("details", { dataset: { key } }, h("summary", {}, summary), body);

// A question before something is done: null where it was called off, else the reason given ("" where none is asked for).
export const asked = ({ title, words, reason = false, verb, danger = false }) =>
  new Promise((done) => {
    const field = h("input", { id: "reason", type: "text", required: true, maxlength: "500", autocomplete: "off" });
    const dialog = h("dialog", { "aria-labelledby": "asked-title" },
      h("form", { method: "dialog" },
        h("h2", { id: "asked-title" }, title), h("p", {}, words),
        reason && h("p", {}, h("label", { for: "reason" }, "Why, for those who read the list "), field),
        h("p", { class: "buttons" },
          h("button", { type: "submit", value: "yes", class: danger ? "danger" : "primary" }, verb),
          h("button", { type: "button", onclick: () => dialog.close("") }, "Cancel"))));
    dialog.addEventListener("close", () => {
      dialog.remove();
      done(dialog.returnValue === "yes" ? (reason ? field.value.trim() : "") : null);
    });
    document.body.append(dialog);
    dialog.showModal();
  });

// A button that asks, does, and then looks again. `about.read_only`: there are none.
export const doing = (ctx, words, { name, body = {}, after, ...question }) => {
  if (ctx.about.read_only) return null;
  const { label } = question;
  const button = h("button", { type: "button", class: question.danger ? "danger" : null, "aria-label": label, dataset: { key: `do ${label ?? words}` } }, words);
  button.addEventListener("click", async () => {
    const reason = question.title ? await asked({ verb: words, ...question }) : "";
    if (reason === null) return;
    button.disabled = true;
    try {
      if (await ctx.act(name, question.reason ? { ...body, reason } : body)) await after?.();
    } finally {
      button.disabled = false;
    }
  });
  return button;
};

export const signed = (number, digits = 3) => (number == null ? "–" : `${number < 0 ? "−" : "+"}${Math.abs(number).toFixed(digits)}`);

// Any report as a tree of facts: what a newer service writes is shown too.
export const tree = (value) => {
  if (value === null || value === "") return "–";
  if (Array.isArray(value)) {
    if (!value.length) return "none";
    return value.some((each) => each !== null && typeof each === "object") ? value.map((each) => h("div", {}, tree(each))) : value.join(", ");
  }
  if (typeof value === "object") return Object.keys(value).length ? facts(Object.entries(value).map(([name, inner]) => [name.replaceAll("_", " "), tree(inner)])) : "none";
  if (typeof value === "number") return Number.isInteger(value) ? count(value) : `${Number(value.toPrecision(5))}`;
  return String(value);
};
