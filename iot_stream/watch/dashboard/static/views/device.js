// One device: what it measures and says, live; what it runs and what happened to it; what is not learnt from it.
import { empty, h, put, say } from "../lib/dom.js";
import { ago, count, duration, moment, percent } from "../lib/format.js";
import { asked, badge, doing, pressed, renew, table, tree, when } from "../lib/pieces.js";
import { machine } from "./machine.js";
import { Strip } from "./strip.js";

const SPANS = [[1, "1 min"], [10, "10 min"], [60, "1 h"], [360, "6 h"], [1440, "1 day"]];
const MOST_PLOTS = 12;
const MOST_POINTS = 4000;
const UPDATES = {
  none: "it has no model yet", current: "it runs what it should", behind: "a newer version waits for it", pinned: "it is pinned to its version",
  trial: "it tries a version that not all have", refused: "it refused the newest version", left: "it left the newest version again",
};
let at = null;

const shown = (value) => `${Number(value.toPrecision(5))}`;

// Asked for anew, or only what came since.
const query = (name, more = {}) => {
  const given = new URLSearchParams({ device: name, minutes: at.minutes, ...(at.until ? { until: at.until } : {}), ...more });
  return `device?${given}`;
};

const series = (found, channel) => [
  [found.since, ...found.readings.times, found.until],
  [null, ...(found.readings.values[channel] ?? []), null],
];

const spoken = (before, news, since) => {
  const last = before.times.at(-1) ?? -Infinity;
  const begin = before.times.findIndex((time) => time >= since);
  const late = news.times.findIndex((time) => time > last);
  return Object.fromEntries(Object.keys(news).map((part) =>
    [part, [...(begin < 0 ? [] : before[part].slice(begin)), ...(late < 0 ? [] : news[part].slice(late))]]));
};

// What is new behind what is there; what has left the span goes.
const joined = (before, news) => {
  const times = before.readings.times;
  const first = times.findIndex((time) => time >= news.since);
  const keep = first < 0 ? times.length : first;
  const fresh = news.readings.times.length;
  const values = {};
  for (const name of new Set([...Object.keys(before.readings.values), ...Object.keys(news.readings.values)])) {
    values[name] = [
      ...(before.readings.values[name] ?? times.map(() => null)).slice(keep),
      ...(news.readings.values[name] ?? Array(fresh).fill(null)),
    ];
  }
  const [said, teacher] = ["said", "teacher"].map((who) => spoken(before[who], news[who], news.since));
  const readings = { times: [...times.slice(keep), ...news.readings.times], values, readings: before.readings.readings + news.readings.readings };
  return { ...news, readings, said, teacher, whole: before.whole };
};

const spans = (root, ctx) => {
  const set = async (changes) => { Object.assign(at, changes); await fetchAll(root, ctx); };
  const earlier = (way) => set({ until: (at.until ?? at.found.until) + way * at.minutes * 60 });
  return h("div", { class: "chips", role: "group", "aria-label": "Time shown" },
    SPANS.map(([minutes, words]) => h("button", { type: "button", class: "chip", "aria-pressed": `${at.minutes === minutes}`, dataset: { key: `span ${minutes}` }, onclick: () => set({ minutes }) }, words)),
    h("button", { type: "button", class: "chip", dataset: { key: "earlier" }, onclick: () => earlier(-0.5) }, "← earlier"),
    h("button", { type: "button", class: "chip", dataset: { key: "later" }, disabled: at.until == null, onclick: () => earlier(0.5) }, "later →"),
    h("button", { type: "button", class: "chip", dataset: { key: "live" }, "aria-pressed": `${at.until == null}`, onclick: () => set({ until: null }) }, "live"));
};

const exclude = async (root, ctx, from, to) => {
  const ends = h("p", {}, `${moment(from)} to ${moment(to)}`, h("br"), duration(to - from));
  const reason = await asked({ title: "Exclude this time", reason: true, verb: "Exclude", words: ends });
  at.plots.forEach(({ plot }) => plot.clearSelection());
  if (reason === null) return;
  if (await ctx.act("exclude", { device: at.name, start: from, end: to, reason })) await fetchAll(root, ctx);
};

// For who does not drag: the same by typing.
const excludeForm = (root, ctx) => { // made once: what is typed stays
  if (ctx.about.read_only) return null;
  const field = (name, value) => h("input", { id: `exclude-${name}`, type: "text", value: moment(value).replace(" UTC", ""), size: "20", autocomplete: "off" });
  const [from, to] = [field("from", at.found.since), field("to", at.found.until)];
  const read = (box) => Date.parse(`${box.value.trim().replace(" ", "T")}Z`) / 1000;
  return h("details", { dataset: { key: "exclude" } }, h("summary", {}, "Exclude a time by typing it"),
    h("form", { class: "bar", onsubmit: (event) => {
      event.preventDefault();
      const [begin, end] = [read(from), read(to)];
      if (Number.isFinite(begin) && Number.isFinite(end)) exclude(root, ctx, begin, end);
      else ctx.toast("Write times as 2026-02-19 14:43:20", "wrong");
    } },
    h("label", { for: "exclude-from" }, "from "), from, h("label", { for: "exclude-to" }, "to "), to, h("button", { type: "submit" }, "Exclude …")));
};

const head = (root, ctx) => {
  const { state, holds, replaced } = at.found;
  const again = () => fetchAll(root, ctx);
  const held = holds.find((each) => each.device);
  const all = holds.find((each) => !each.device);
  const name = at.name;
  renew(at.head,
    h("p", {}, h("a", { href: ctx.href("fleet"), dataset: { key: "back" } }, "← fleet")),
    h("div", { class: "head" }, h("h1", {}, name), badge(state.online ? "online" : "offline"), badge(state.update),
      h("p", {}, [UPDATES[state.update], state.seen && `seen ${ago(state.seen)}`, state.runtime, state.boot && `boot ${state.boot.slice(0, 8)}`].filter(Boolean).join(" · ")),
      h("div", { class: "buttons" },
        held
          ? doing(ctx, "Learn from it again", { name: "resume", body: { device: name }, title: `Learn from ${name} again`, words: "Also from what it has said meanwhile. Exclude that time first, if it was broken.", after: again })
          : doing(ctx, "Pause learning", { name: "pause", body: { device: name }, reason: true, title: `Pause learning from ${name}`, words: "Nothing it says from now on is learnt from; it is scored and served as before.", after: again }),
        doing(ctx, "Sensor replaced", { name: "replaced", body: { device: name }, title: `Another sensor speaks as ${name}`, words: "Its windows begin anew, and rounds learn from what comes from now on only.", after: again }))),
    held && h("p", { class: "notice warn" }, `Not learnt from since ${moment(held.since)}, by ${held.who}: ${held.reason}`),
    at.found.unmet > 0 && h("p", { class: "notice warn" }, `${count(at.found.unmet)} predictions, none at a window's end, so that the teacher's word cannot be held against them: the sensor tells no time, or windows are counted from another reading. See docs/device.md, “A gateway for sensors that cannot compute”.`),
    all && h("p", { class: "notice warn" }, `Nothing of ${ctx.pipeline} is learnt from: ${all.reason}`),
    replaced.length > 0 && h("p", { class: "soft" }, `Sensor replaced: ${replaced.map(moment).join(", ")}`),
    h("dl", { class: "tiles" }, tiles().map(([title, value, note]) => h("div", {}, h("dt", {}, title), h("dd", {}, value), h("dd", { class: "note" }, note)))));
};

const tiles = () => {
  const { state, problems, quarantined, said, last } = at.found;
  const judged = said.truth.filter((truth) => truth >= 0).length;
  const right = said.truth.filter((truth, place) => truth >= 0 && truth === said.classes[place]).length;
  const mean = said.certainty.length ? said.certainty.reduce((sum, p) => sum + p, 0) / said.certainty.length : null;
  const rest = Object.entries(problems).filter(([reason]) => reason !== "lost");
  return [
    ["runs version", state.version || "–", state.version ? `${state.slot}${state.stable && state.stable !== state.version ? `, stable is ${state.stable}` : ""}; cohort ${state.cohort}` : `cohort ${state.cohort}`],
    last ? ["says", at.found.classes[last.value], `certain by ${percent(last.certainty, 0)}, ${ago(last.time, at.found.now)}`] : ["says", "–", "nothing yet"],
    ["right in this time", judged ? percent(right / judged) : "–", judged ? `of ${count(judged)} windows, by labels or the teacher` : at.found.unmet ? "no prediction meets a window" : "nothing to judge by"],
    ["mean certainty", percent(mean), said.classes.length ? `${count(said.classes.length)} windows` : ""],
    ["readings known to be lost", count(problems.lost ?? 0), rest.length ? rest.map(([reason, n]) => `${reason} ${count(n)}`).join(", ") : "nothing else was wrong"],
    ["quarantined", count(quarantined), quarantined ? "iot-stream quarantine list" : "no message that could not be used"],
  ];
};

const drawPlots = (root, ctx) => {
  const { found } = at;
  const names = Object.keys(found.readings.values).sort();
  const some = names.slice(0, at.all ? names.length : MOST_PLOTS);
  if (at.plots.map((each) => each.name).join() !== some.join()) {
    at.plots.forEach(({ plot }) => plot.destroy());
    at.plots = some.map((name) => ({ name, host: h("div") }));
    put(at.readings, at.plots.map(({ name, host }) => h("div", {}, h("h3", {}, name), host)),
      names.length > some.length && h("button", { type: "button", onclick: () => { at.all = true; drawPlots(root, ctx); } }, `Show all ${names.length} channels`));
    for (const each of at.plots) {
      each.plot = ctx.plot(each.host, {
        label: `${each.name} of ${at.name}; drag over it to exclude a time`, height: 130,
        series: [{ name: each.name, colour: "student", format: shown }],
        onSelect: ctx.about.read_only ? undefined : (from, to) => exclude(root, ctx, from, to),
      });
    }
    if (!names.length) put(at.readings, empty("No reading in this time", "Choose a longer time, or look whether it speaks:", "iot-stream monitor"));
  }
  const marks = found.exclusions.flatMap((each) => [each.start, each.end].map((time) => ({ time, kind: "period", words: `not learnt from: ${each.reason}` })));
  for (const { name, plot } of at.plots) plot.set(series(found, name), marks);
  say(at.note, `${count(found.readings.readings)} readings${found.readings.times.length < found.readings.readings ? "; each span shows its least and greatest" : ""}${found.whole ? "" : "; there are more than can be read at once: choose a shorter time"}. ${ctx.about.read_only ? "" : "Drag over a plot to exclude a time from learning."}`);
  at.strip.draw(found, at.plots[0]?.plot);
};

const LOOKS = { applied: "done", rejected: "refused", rolled_back: "left" };

const below = (root, ctx) => {
  const { events, exclusions } = at.found;
  const again = () => fetchAll(root, ctx);
  renew(at.update, machine(at.found.state, events));
  renew(at.excluded, exclusions.length
    ? table("Excluded times", ["from", "to", "device", { words: "why", long: true }, "by", { words: "do", hidden: true }], exclusions.map((each) => [
      moment(each.start), moment(each.end), each.device || "all", each.reason, each.who,
      doing(ctx, "Learn from it", { name: "include", body: { number: each.id }, label: `Learn from exclusion ${each.id}`, title: "Learn from this time after all", words: each.reason, after: again })]))
    : h("p", { class: "soft" }, "Nothing is excluded."));
  renew(at.log, events.length
    ? table("Events", ["when", "event", { words: "version", number: true }, { words: "in words", long: true }], events.map((each) => [
      when(each.at), badge(each.event.replace("_", " "), LOOKS[each.event] ?? "none"), `${each.version || "–"}`, words(each)]))
    : h("p", { class: "soft" }, "It has reported nothing yet."));
};

const swapped = (us) => (us < 1000 ? `${Math.round(us)} µs` : duration(us / 1e6));

const words = ({ event, report }) => {
  if (event === "applied") return `${report.previous ? `in place of version ${report.previous}, ` : ""}swapped in ${swapped(report.swap_us ?? 0)}, between two readings`;
  if (event === "health") return `${count(report.windows ?? 0)} windows, mean certainty ${percent(report.mean_p ?? 0)}, an inference takes ${count(Math.round(report.infer_us ?? 0))} µs`;
  return [report.offered && `version ${report.offered}`, report.reason, report.detail].filter(Boolean).join(": ") || tree(report);
};

const draw = (root, ctx) => {
  head(root, ctx);
  put(at.spans, spans(root, ctx));
  drawPlots(root, ctx);
  below(root, ctx);
};

const fetchAll = async (root, ctx) => {
  at.found = await ctx.api(query(at.name));
  draw(root, ctx);
};

const fetchNew = async (root, ctx) => {
  // Of student and teacher whoever is behind.
  const last = Math.min(...[at.found.said, at.found.teacher].map(({ times }) => times.at(-1) ?? 0));
  const news = await ctx.api(query(at.name, { after: at.found.segment, ...(last ? { spoken: last } : {}) }));
  at.found = joined(at.found, news);
  if (at.found.readings.times.length > MOST_POINTS) { await fetchAll(root, ctx); return; }
  head(root, ctx);
  drawPlots(root, ctx);
  below(root, ctx);
};

export const view = {
  title: "Device",
  path: "device",
  hidden: true,
  async render(root, ctx) {
    const [name] = ctx.params;
    if (!name) { ctx.go("fleet"); return; }
    at = { name, minutes: 10, until: null, plots: [], all: false, head: h("div"), spans: h("div"), readings: h("div", { class: "plots" }), note: h("p", { class: "soft" }), excluded: h("div"), update: h("div"), log: h("div"), strip: new Strip() };
    at.found = await ctx.api(query(name));
    put(root, at.head,
      h("section", {}, h("h2", {}, "Readings"), at.spans, at.readings, at.note),
      h("section", {}, h("h2", {}, "What it says"), at.strip.box),
      h("section", {}, h("h2", {}, "Update"), at.update),
      h("section", {}, h("h2", {}, "Not learnt from"), at.excluded, excludeForm(root, ctx)),
      h("section", {}, h("h2", {}, "Log"), at.log));
    draw(root, ctx);
  },
  async update(ctx) {
    const root = document.getElementById("main");
    if (!at?.found || pressed(at.readings)) return; // what is being dragged over stays; the next change brings all
    if (at.until == null) await fetchNew(root, ctx);
    else await fetchAll(root, ctx);
  },
  stop() {
    at?.plots.forEach(({ plot }) => plot?.destroy());
    at?.strip.destroy();
    at = null;
  },
};
