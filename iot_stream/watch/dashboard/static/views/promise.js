// Does the promise hold? The curves of student, static and teacher, what happened when, and the four numbers.
import { empty, h, put, say } from "../lib/dom.js";
import { bytes, count, duration, moment, percent } from "../lib/format.js";
import { preparing } from "./steps.js";

const MODELS = {
  student: "on the devices, as it was updated",
  static: "the same student, never updated",
  teacher: "what the student learns from",
};
const MARKS = [
  ["drift", "line", "drift"],
  ["released", "", "round, released"],
  ["rejected", "ring", "round, rejected or failed"],
  ["held", "ring", "round, held"],
  ["swap", "ring", "round, running or cut short"],
  ["swap", "tick", "devices take a version"],
];
const PENDING = ["pending", "square", "not scored yet"];
const BRIDGED = 20; // a gap of less than the so many-th part of what is shown is bridged
let shown = { measure: "plain", by: "", from: null, to: null };
let parts = null;

const tile = (kind, title) => {
  const value = h("dd");
  const note = h("dd", { class: "note" });
  return { box: h("div", { class: kind && `edge-${kind}` }, h("dt", {}, title), value, note), value, note };
};

const tell = ({ value, note }, figure, words) => {
  say(value, figure);
  say(note, words);
};

const query = () => {
  const given = new URLSearchParams();
  if (shown.by) given.set("by", shown.by);
  if (shown.from != null) { given.set("from", shown.from); given.set("to", shown.to); }
  const text = `${given}`;
  return text && `?${text}`;
};

const choice = (words, isOn, onclick) => h("button", { type: "button", class: "chip", "aria-pressed": `${isOn}`, onclick }, words);

// Moments without a label, or of which one is yet to be asked, are no end of a curve.
const bridged = (values) => {
  const most = Math.max(3, values.length / BRIDGED);
  const known = values.flatMap((value, place) => (value == null ? [] : [place]));
  const line = [...values];
  known.slice(1).forEach((place, before) => {
    if (place - known[before] <= most) line.fill(undefined, known[before] + 1, place);
  });
  return line;
};

// Since when somebody who speaks at all has yet to be scored, while others have been. A teacher may be gone for good.
const pending = (times, curves) => {
  const scored = Object.keys(curves).filter((name) => name !== "teacher");
  const last = scored.map((name) => curves[name]).map((values) => values.findLastIndex((value) => value != null)).filter((place) => place >= 0);
  const least = Math.min(...last);
  return last.length && least < Math.max(...last) ? times[least] : null;
};

const build = (root, ctx, found) => {
  const names = Object.keys(found.curves);
  const what = found.by === "labels" ? "Accuracy" : "Agreement with the teacher";
  const tiles = Object.fromEntries([
    ...names.map((name) => [name, tile(name, `${name}: ${found.by === "labels" ? "accuracy" : "agreement"}`)]),
    ["recovery", tile("", "last drift: a better version after")],
    ["up", tile("", "up, a device and day")],
    ["down", tile("", "down, a device and day")],
    ["missed", tile("", "readings missed or lost")],
  ]);
  const again = async (changes) => {
    shown = { ...shown, ...changes };
    const next = await ctx.api(`promise${query()}`);
    if (changes.by !== undefined || changes.measure) build(root, ctx, next);
    fill(ctx, next);
  };
  const reset = h("button", { type: "button", class: "chip", hidden: true, onclick: () => again({ from: null, to: null }) }, "show all");
  const host = h("div");
  const note = h("p", { class: "soft" });
  put(root,
    h("div", { class: "head" }, h("h1", {}, "Promise"),
      h("p", {}, "The small model on every device stays as good as the big one in the cloud, while the world changes.")),
    h("dl", { class: "tiles" }, Object.values(tiles).map((each) => each.box)),
    h("section", { "aria-labelledby": "curves" },
      h("h2", { id: "curves" }, `${what} over time`),
      h("div", { class: "chips" },
        choice("plain", shown.measure === "plain", () => again({ measure: "plain" })),
        choice("balanced over classes", shown.measure === "balanced", () => again({ measure: "balanced" })),
        found.judged > 0 && choice("by labels", found.by === "labels", () => again({ by: "labels" })),
        found.judged > 0 && choice("by the teacher's word", found.by === "teacher", () => again({ by: "teacher" })),
        reset),
      host,
      h("div", { class: "chips" },
        names.map((name) => h("span", { class: `key is-${name}`, title: MODELS[name] }, h("span", { class: "swatch" }), `${name}: ${MODELS[name]}`)),
        [...MARKS, PENDING].map(([kind, form, words]) => h("span", { class: `key is-${kind}` }, h("i", { class: form }), words))),
      note),
    h("section", {}, h("h2", {}, "What happened"), h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "What happened" }, h("table", {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "when"), h("th", { scope: "col" }, "what"), h("th", { scope: "col" }, "in words"))),
      h("tbody", { id: "happened" })))));
  parts?.plot.destroy();
  const plot = ctx.plot(host, {
    label: `${what} over time of ${names.join(", ")}; the table below says what happened when`,
    series: names.map((name) => ({
      name, colour: name, width: name === "student" ? 2.5 : 1.5, dash: name === "teacher" ? [6, 4] : undefined, format: percent,
    })),
    range: (_, low) => [Math.max(0, Math.floor(10 * (low ?? 1) - 0.5) / 10), 1.01],
    tick: (value) => percent(value, 0),
    height: 300,
    onZoom: (from, to) => again({ from, to }),
  });
  parts = { tiles, plot, reset, note, names, happened: root.querySelector("#happened"), by: found.by };
};

const fill = (ctx, found) => {
  const { tiles, plot, names } = parts;
  const unit = found.by === "labels" ? "labelled windows" : "windows";
  for (const name of names) {
    const newest = found.newest[name];
    tell(tiles[name], percent(newest[shown.measure]), newest.windows ? `newest ${count(newest.windows)} ${unit} that all have told` : name === "student" && found.unmet ? unmet(found) : "nothing to judge by yet");
  }
  const { recovery, up, down } = found;
  const recovered = recovery?.seconds != null;
  tell(tiles.recovery, recovered ? duration(recovery.seconds) : recovery ? "not yet" : "–", recovery
    ? `${recovered ? "recovered: " : ""}${recovery.words}`
    : found.watched ? "no drift has been noticed" : "no drift trigger is set (triggers.drift)");
  tell(tiles.up, up ? bytes(up.per_day) : "–", up?.note ?? "nothing has come yet");
  tell(tiles.down, down ? bytes(down.per_day) : "–", down?.note ?? "no device yet");
  const known = found.missed + found.lost;
  tell(tiles.missed, known || found.numbered || !found.readings ? count(known) : "–", `${count(found.missed)} not judged, ${lost(found)}`);
  const curves = Object.fromEntries(names.map((name) => [name, found.curves[name][shown.measure]]));
  plot.set([found.times, ...names.map((name) => bridged(curves[name]))], found.marks, pending(found.times, curves));
  parts.reset.hidden = shown.from == null;
  const since = found.since == null ? "" : ` of the windows since ${moment(found.since)}`;
  say(parts.note, found.by === "labels"
    ? `A point is ${duration(found.width_s)}${since} whose truth is known: ${count(found.judged)}.${found.behind ? " More of the past is being read." : ""}`
    : `${unlabelled(found)}A point is the share${since} in ${duration(found.width_s)} that are told as the teacher tells them${found.judged || found.behind ? "" : "; who is right is not known"}.`);
  const recent = found.marks.slice(-12).reverse();
  put(parts.happened, recent.length
    ? recent.map((mark) => h("tr", {}, h("td", {}, h("time", {}, moment(mark.time))), h("td", { class: `is-${mark.kind}` }, mark.kind), h("td", { class: "long" }, mark.words)))
    : h("tr", {}, h("td", { colspan: "3" }, "Nothing yet: rounds, swaps and drifts will stand here.")));
};

const unlabelled = ({ judged, strayed, behind }) => {
  if (judged || behind) return "";
  if (!strayed) return "No labels. ";
  return `${count(strayed)} labels came and none has joined a window, which one does that holds when the window ends: say how long they are true, by labels.hold or an end (until), and compare names and clocks; iot-stream windows stats tells each device's. `;
};

const lost = ({ lost, numbered, readings }) => {
  if (numbered >= readings) return `${count(lost)} lost of ${count(readings)}`;
  if (numbered || lost) return `${count(lost)} lost of ${count(numbered)} that are numbered, of ${count(readings)}`;
  return `the ${count(readings)} that came are not numbered: loss cannot be told`;
};

const unmet = (found) => `${count(found.unmet)} predictions, none at a window's end: see a device's page`;

const soFar = (found) => {
  if (found.unmet) return `${unmet(found)}.`;
  return found.preparing.length ? "Readings come in; the first version goes to the devices when it is trained." : "Readings come in; the first version is being trained, or no device runs one.";
};

const nothing = (root, found) => put(root,
  h("div", { class: "head" }, h("h1", {}, "Promise")),
  found.preparing.length > 0 && preparing(found.preparing),
  found.readings
    ? empty("No window has been judged yet", soFar(found), "iot-stream monitor")
    : empty("No reading yet", "Let a device speak; or see all of it on a simulated fleet, which has a dashboard of its own:", "iot-stream device add NAME > NAME.json\niot-device run --config NAME.json\n\niot-stream demo"));

export const view = {
  title: "Promise",
  path: "promise",
  async render(root, ctx) {
    parts = null;
    const found = await ctx.api(`promise${query()}`);
    if (!found.times.length && shown.from == null) { nothing(root, found); return; }
    build(root, ctx, found);
    fill(ctx, found);
  },
  async update(ctx) {
    const root = document.getElementById("main");
    const found = await ctx.api(`promise${query()}`);
    if (!parts) { await this.render(root, ctx); return; }
    if (found.by !== parts.by || !found.times.length) build(root, ctx, found);
    fill(ctx, found);
  },
  stop() {
    parts?.plot.destroy();
    parts = null;
  },
};
