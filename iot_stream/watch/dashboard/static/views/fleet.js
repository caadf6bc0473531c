// Every device in a row; what is wrong is told by a word, not by its colour alone.
import { empty, h, put, say } from "../lib/dom.js";
import { ago, count, moment, percent } from "../lib/format.js";
import { table } from "../lib/table.js";

const STATES = {
  "": "all",
  online: "online",
  offline: "offline",
  behind: "behind the release",
  pinned: "pinned to its version",
  silent: "silent sensors",
  held: "held out of learning",
  wrong: "with losses or quarantine",
  drifting: "drifting",
};
const DRIFTS = 0.1;
let wanted = { search: "", state: "", cohort: "" };
let parts = null;

const words = (row) => [
  row.held && "held",
  row.online === false && "offline",
  row.behind && "behind",
  row.pinned && "pinned",
  row.drift > DRIFTS && "drifts",
  row.unmet > 0 && "meets no window",
  row.silent && "silent",
].filter(Boolean);

const matches = {
  online: (row) => row.online,
  offline: (row) => row.online === false,
  behind: (row) => row.behind,
  pinned: (row) => row.pinned,
  silent: (row) => row.silent,
  held: (row) => row.held,
  wrong: (row) => row.lost > 0 || row.quarantined > 0,
  drifting: (row) => row.drift > DRIFTS,
};

const columns = (ctx) => [
  { key: "device", title: "device", cell: (row) => h("a", { href: ctx.href(`device/${row.device}`), dataset: { row: row.device } }, row.device), order: (row) => row.device },
  { key: "state", title: "state", order: (row) => words(row).join() || (row.online ? "online" : "unknown"),
    cell: (row) => {
      const found = words(row);
      return found.length
        ? found.map((word) => h("span", { class: `badge ${word === "offline" ? "bad" : "warn"}`, title: { held: row.held, silent: row.silent && `online, and no window since ${moment(row.silent)}`, "meets no window": `${count(row.unmet)} predictions, none at a window's end: see the device's page` }[word] }, word))
        : h("span", { class: row.online ? "good" : "soft" }, row.online ? "online" : "unknown");
    } },
  { key: "version", title: "version", number: true, cell: (row) => row.version || "–", order: (row) => row.version },
  { key: "cohort", title: "cohort", narrow: false, cell: (row) => row.cohort || "–", order: (row) => row.cohort },
  { key: "right", title: parts?.by === "labels" ? "accuracy" : "agreement", number: true, hint: "of its windows that are known",
    cell: (row) => h("span", { title: `${count(row.judged)} windows` }, percent(row.right)), order: (row) => row.right },
  { key: "certain", title: "confidence", number: true, narrow: false, hint: "the mean certainty of its predictions", cell: (row) => percent(row.certain, 0), order: (row) => row.certain },
  { key: "drift", title: "drift", number: true, narrow: false, hint: "by how much less it agrees with the teacher than before, in percentage points",
    cell: (row) => (row.drift == null ? "–" : h("span", { class: row.drift > DRIFTS ? "warn" : null }, `${row.drift > 0 ? "+" : ""}${(100 * row.drift).toFixed(0)}`)), order: (row) => row.drift },
  { key: "windows", title: "windows/min", number: true, narrow: false, hint: "that came in the last minute", cell: (row) => row.windows ?? "–", order: (row) => row.windows },
  { key: "last", title: "last window", number: true, cell: (row) => h("span", { title: moment(row.last) }, row.last ? ago(row.last, parts.now) : "–"), order: (row) => row.last },
  { key: "lost", title: "lost", number: true, narrow: false, hint: "of its numbered readings; of others it cannot be told", cell: (row) => (row.lost == null ? "–" : row.lost ? h("span", { class: "warn" }, percent(row.lost, 2)) : "0"), order: (row) => row.lost },
  { key: "quarantined", title: "quarantined", number: true, narrow: false, hint: "messages that could not be used", cell: (row) => (row.quarantined ? h("span", { class: "warn" }, count(row.quarantined)) : "0"), order: (row) => row.quarantined },
];

const build = (root, ctx) => {
  const search = h("input", { type: "search", placeholder: "search a device   /", "aria-label": "Search a device", value: wanted.search,
    oninput: (event) => { wanted.search = event.target.value; list(); } });
  const state = h("select", { "aria-label": "State", onchange: (event) => { wanted.state = event.target.value; list(); } },
    Object.entries(STATES).map(([value, title]) => h("option", { value, selected: value === wanted.state }, title)));
  const cohort = h("select", { "aria-label": "Cohort", onchange: (event) => { wanted.cohort = event.target.value; list(); } });
  const summary = h("p", { "aria-live": "off" });
  const found = h("p", { class: "soft", role: "status" });
  const rows = table({ label: "Devices", columns: columns(ctx), sorted: parts.sorted ?? "device" });
  Object.assign(parts, { rows, summary, found, cohort, cohorts: "" });
  put(root,
    h("div", { class: "head" }, h("h1", {}, "Fleet"), summary),
    h("section", {}, h("div", { class: "bar" }, search, state, cohort), found, rows.box));
};

const list = () => {
  const all = [...parts.known.values()];
  const text = wanted.search.trim().toLowerCase();
  const kept = all.filter((row) =>
    (!text || row.device.toLowerCase().includes(text))
    && (!wanted.cohort || row.cohort === wanted.cohort)
    && (!wanted.state || matches[wanted.state](row)));
  parts.rows.set(kept);
  say(parts.found, kept.length === all.length ? "" : `${count(kept.length)} of ${count(all.length)} devices`);
};

const take = (ctx, root, found) => {
  if (found.whole) parts.known.clear();
  for (const values of found.rows) {
    const row = Object.fromEntries(found.columns.map((name, place) => [name, values[place]]));
    parts.known.set(row.device, row);
  }
  const rebuilt = !parts.rows || parts.by !== found.by;
  Object.assign(parts, { revision: found.revision, now: found.now, by: found.by });
  if (!parts.known.size) {
    parts.rows = null;
    put(root, h("div", { class: "head" }, h("h1", {}, "Fleet")),
      empty("No device yet", "One that has its own computer, and sends what it reads:", "iot-stream device add NAME > NAME.json\niot-device run --config NAME.json"));
    return;
  }
  if (rebuilt) build(root, ctx);
  const all = [...parts.known.values()];
  const number = (test) => all.filter(test).length;
  const facts = [
    `${count(all.length)} devices`, `${count(number(matches.online))} online`,
    number(matches.behind) && `${count(number(matches.behind))} behind the release`,
    number(matches.silent) && `${count(number(matches.silent))} silent`,
    number(matches.held) && `${count(number(matches.held))} held`,
    number(matches.drifting) && `${count(number(matches.drifting))} drifting`,
  ];
  say(parts.summary, facts.filter(Boolean).join(" · "));
  const cohorts = [...new Set(all.map((row) => row.cohort))].filter(Boolean).sort();
  if (cohorts.join() !== parts.cohorts) {
    parts.cohorts = cohorts.join();
    put(parts.cohort, h("option", { value: "" }, "all cohorts"), cohorts.map((name) => h("option", { value: name, selected: name === wanted.cohort }, name)));
    parts.cohort.hidden = cohorts.length < 2;
  }
  list();
};

export const view = {
  title: "Fleet",
  path: "fleet",
  async render(root, ctx) {
    parts = { known: new Map(), rows: null };
    take(ctx, root, await ctx.api("fleet"));
  },
  async update(ctx) {
    take(ctx, document.getElementById("main"), await ctx.api(`fleet?since=${parts.revision}`));
  },
  stop() {
    parts?.rows?.destroy();
    parts = null;
  },
};
