// Who got what, and when: messages about models, rounds, devices and parts as they happen, the newest on top.
import { empty, h, put, say } from "../lib/dom.js";
import { bytes, count, moment } from "../lib/format.js";

const KINDS = ["model", "round", "device", "service", "unclear"];
const MOST = 500;
let wanted = { kinds: new Set(KINDS), text: "" };
let parts = null;

const line = (each) => h("tr", {},
  h("td", {}, h("time", { title: moment(each.at) }, new Date(1000 * each.at).toISOString().slice(11, 19))),
  h("td", { class: "soft" }, each.kind),
  h("th", { scope: "row", title: each.topic }, each.about),
  h("td", {}, each.words, each.kept && h("small", {}, " · kept by the broker")),
  h("td", { class: "number soft wide" }, bytes(each.size)));

const draw = () => {
  const text = wanted.text.trim().toLowerCase();
  const kept = parts.lines.filter((each) =>
    wanted.kinds.has(each.kind) && (!text || `${each.about} ${each.words} ${each.topic}`.toLowerCase().includes(text)));
  put(parts.body, kept.toReversed().map(line));
  const what = parts.lines.length ? `${count(kept.length)} of the newest ${count(parts.lines.length)} messages` : "";
  say(parts.note, parts.missed ? `${what}; some before them are not kept any more` : what);
  parts.nothing.hidden = parts.lines.length > 0;
};

const take = (found) => {
  parts.lines = [...parts.lines, ...found.lines].slice(-MOST);
  parts.missed = found.missed || parts.lines[0]?.n > 1;
  parts.newest = found.newest;
  parts.trouble.hidden = found.connected;
  draw();
};

const pressed = (button, on) => button.setAttribute("aria-pressed", `${on}`);

export const view = {
  title: "Topics",
  path: "topics",
  async render(root, ctx) {
    const kinds = KINDS.map((kind) => h("button", { type: "button", class: "chip", "aria-pressed": `${wanted.kinds.has(kind)}`,
      onclick: (event) => {
        if (!wanted.kinds.delete(kind)) wanted.kinds.add(kind);
        pressed(event.currentTarget, wanted.kinds.has(kind));
        draw();
      } }, kind));
    const pause = h("button", { type: "button", "aria-pressed": "false", onclick: async () => {
      parts.paused = !parts.paused;
      pressed(pause, parts.paused);
      say(pause, parts.paused ? "go on" : "pause");
      if (!parts.paused) await view.update(ctx);
    } }, "pause");
    const search = h("input", { type: "search", placeholder: "device, round, words   /", "aria-label": "Search in the messages", value: wanted.text,
      oninput: (event) => { wanted.text = event.target.value; draw(); } });
    const body = h("tbody");
    const note = h("p", { class: "soft" });
    const trouble = h("p", { class: "trouble", hidden: true }, "The broker is not reached; what it says meanwhile is not seen here.");
    const nothing = empty("No message yet", "What the service and its devices say of models, rounds and themselves will stand here.");
    parts = { lines: [], newest: 0, paused: false, missed: false, body, note, trouble, nothing };
    const found = await ctx.api("topics");
    put(root,
      h("div", { class: "head" }, h("h1", {}, "Topics"), h("p", {}, "Who got what, and when: messages about models as they happen.")),
      trouble,
      h("section", {},
        h("div", { class: "bar" }, search, pause), h("div", { class: "chips", role: "group", "aria-label": "Kinds" }, kinds), note,
        h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Messages, the newest on top" },
          h("table", {}, h("thead", {}, h("tr", {}, ["UTC", "kind", "about", "what"].map((title) => h("th", { scope: "col" }, title)), h("th", { scope: "col", class: "number wide" }, "size"))), body)),
        nothing));
    take(found);
  },
  async update(ctx) {
    if (parts.paused) return;
    const found = await ctx.api(`topics?after=${parts.newest}`);
    if (parts && !parts.paused) take(found); // it may have been paused, or left, meanwhile
  },
  stop() {
    parts = null;
  },
};
