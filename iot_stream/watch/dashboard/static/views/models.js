// Models: the versions of the student; one of them with where it came from; two of them side by side.
import { empty, h, put, say } from "../lib/dom.js";
import { bytes, count, duration, moment, percent } from "../lib/format.js";
import { badge, bar, doing, folded, renew, signed, table, tree, when } from "../lib/pieces.js";

const STATES = {
  stable: "all devices of the cohort are to run it", running: "a rollout is under way", paused: "its rollout is paused",
  done: "it went to all devices", aborted: "called off", superseded: "superseded",
  waiting: "its turn comes when the rollout under way is over", "passed over": "a newer one came before its turn",
};
let shown = { before: null, chosen: [] };

const key = ({ cohort, version }) => `${cohort}/${version}`;

const state = (line) => (line.state ? h("span", { title: STATES[line.state] }, badge(line.state, line.state.split(" ")[0])) : "–");

const origin = (ctx, line) => (line.origin.rollback_of
  ? `the weights of version ${line.origin.rollback_of}`
  : h("a", { href: ctx.href(`rounds/${line.round}`) }, line.round));

const rollBack = (ctx, line, after) => line.state !== "stable" && doing(ctx, "Roll back", {
  name: "rollback", body: { version: line.version, cohort: line.cohort }, danger: true, label: `Roll back to version ${line.version}`, title: `Back to version ${line.version}`,
  words: `Its weights go out again, under a new number, to all devices of cohort ${line.cohort}. Later rounds start from them.`, after,
});

const list = async (root, ctx) => {
  const found = await ctx.api(`models${shown.before == null ? "" : `?before=${shown.before}`}`);
  const again = () => list(root, ctx);
  const changes = found.versions.some((line) => line.sizes.delta);
  const several = found.cohorts.length > 1;
  const compare = h("button", { type: "button", dataset: { key: "compare" } });
  const tell = () => {
    compare.disabled = shown.chosen.length !== 2;
    say(compare, shown.chosen.length === 2 ? `Compare ${shown.chosen.map((each) => each.split("/")[1]).join(" and ")}` : "Compare two");
  };
  compare.addEventListener("click", () => ctx.go(`models/${shown.chosen.join("/beside/")}`));
  const choose = (line) => h("input", {
    type: "checkbox", checked: shown.chosen.includes(key(line)), "aria-label": `compare version ${line.version}${several ? ` of ${line.cohort}` : ""}`,
    dataset: { key: `choose ${key(line)}` },
    onchange: (event) => {
      shown.chosen = shown.chosen.filter((each) => each !== key(line));
      if (event.target.checked) shown.chosen = [...shown.chosen, key(line)].slice(-2);
      for (const box of root.querySelectorAll("input[type=checkbox]")) box.checked = shown.chosen.includes(box.dataset.key.replace("choose ", ""));
      tell();
    },
  });
  tell();
  renew(root,
    h("div", { class: "head" }, h("h1", {}, "Models"), h("p", {}, "Every version of the student that passed the gate, and where it came from."), h("div", { class: "buttons" }, compare)),
    found.versions.length
      ? h("section", {}, table("Versions",
        [{ words: "compare", hidden: true }, { words: "version", number: true }, several && "cohort", "made", "state", { words: "devices", number: true }, "encoding",
          { words: "weights", number: true }, changes && { words: "difference", number: true }, { words: "gate", long: true }, "from", { words: "do", hidden: true }].filter(Boolean),
        found.versions.map((line) => [
          choose(line), h("a", { href: ctx.href(`models/${key(line)}`), dataset: { key: key(line) } }, `${line.version}`),
          ...(several ? [line.cohort] : []),
          when(line.made), state(line), count(line.devices), line.encoding, bytes(line.sizes.weights), ...(changes ? [line.sizes.delta ? bytes(line.sizes.delta) : "–"] : []),
          line.origin.gate.windows ? `${signed(line.origin.gate.gain)} (at least ${signed(line.origin.gate.lower)})` : line.origin.gate.reason || "–",
          origin(ctx, line), rollBack(ctx, line, again),
        ])),
      h("p", { class: "buttons" },
        shown.before != null && h("button", { type: "button", dataset: { key: "newest" }, onclick: () => { shown.before = null; return again(); } }, "Newest"),
        found.older && h("button", { type: "button", dataset: { key: "older" }, onclick: () => { shown.before = found.versions.at(-1).made; return again(); } }, "Earlier versions")))
      : empty("No version yet", "The first student is made as soon as there is a teacher; see what holds it up:", "iot-stream monitor"));
};

const files = (ctx, found) => h("section", {}, h("h2", {}, "Files"), table("Files", ["file", "what", { words: "size", number: true }, "SHA-256"],
  found.files.map((file) => [
    h("a", { href: `/api/${encodeURIComponent(ctx.pipeline)}/${file.path}`, download: file.name, dataset: { key: file.kind } }, file.name),
    { graph: "ONNX, without weights", spec: "how readings become its input", weights: `safetensors, ${found.version.encoding}` }[file.kind],
    bytes(file.bytes), h("code", { title: file.sha256 }, file.sha256.slice(0, 16)),
  ])), h("p", { class: "soft" }, "For C, LiteRT and others: ", h("code", {}, `iot-stream export --help`), "."));

const cohortPath = (cohort, version) => `models?cohort=${encodeURIComponent(cohort)}&version=${version}`;

const KNOWN = ["gate", "cost", "distillation", "fusion", "encoding", "sample", "training", "trust"];

const one = async (root, ctx, cohort, number) => {
  const found = await ctx.api(cohortPath(cohort, number));
  const { version: line, provenance } = found;
  const rest = Object.fromEntries(Object.entries(provenance).filter(([name]) => !KNOWN.includes(name)));
  renew(root,
    h("p", {}, h("a", { href: ctx.href("models"), dataset: { key: "back" } }, "← all versions")),
    h("div", { class: "head" }, h("h1", {}, `Version ${line.version}`), state(line), h("p", {}, `cohort ${line.cohort}, made ${moment(line.made)}`),
      h("div", { class: "buttons" }, rollBack(ctx, line, () => one(root, ctx, cohort, number)))),
    h("dl", { class: "tiles" }, [
      ["devices run it", count(line.devices), STATES[line.state] ?? ""],
      ["weights", bytes(line.sizes.weights), `${count(found.parameters)} parameters, ${line.encoding}`],
      line.sizes.delta && ["as a difference", bytes(line.sizes.delta), "against the version before"],
      ["right at the gate", line.origin.gate.candidate ? percent(line.origin.gate.candidate) : "–", line.origin.gate.windows ? `${count(line.origin.gate.windows)} windows, by ${line.origin.gate.basis}` : line.origin.gate.reason],
    ].filter(Boolean).map(([name, value, note]) => h("div", {}, h("dt", {}, name), h("dd", {}, value), h("dd", { class: "note" }, note)))),
    files(ctx, found),
    h("section", {}, h("h2", {}, "Where it came from"), h("p", {}, "From ", origin(ctx, line), line.origin.trigger ? `, started by: ${line.origin.trigger}.` : "."),
      ["gate", "distillation", "fusion", "encoding", "sample", "training", "trust", "cost"].filter((name) => provenance[name] && Object.keys(provenance[name]).length)
        .map((name) => folded(name, name, tree(provenance[name]))),
      folded("rest", "all else", tree(rest))),
    h("section", {}, h("h2", {}, "Network"), table("Tensors", ["tensor", "shape", { words: "weights", number: true }],
      Object.entries(found.tensors).map(([name, shape]) => [h("code", {}, name), shape.join(" × "), count(shape.reduce((product, size) => product * size, 1))]))),
    h("section", {}, h("h2", {}, "Spec"), folded("spec", `spec.json, without ${bytes(found.golden)} of golden windows`, h("pre", {}, JSON.stringify(found.spec, null, 1)))));
};

const FIGURES = [
  ["right at the gate", ({ origin: { gate } }) => (gate.windows ? gate.candidate : null), percent, true],
  ["against the one it was to better", ({ origin: { gate } }) => (gate.windows ? gate.gain : null), signed],
  ["at least", ({ origin: { gate } }) => (gate.windows ? gate.lower : null), signed],
  ["windows that judged", ({ origin: { gate } }) => gate.windows || null, count],
  ["weights", (line) => line.sizes.weights, bytes],
  ["graph", (line) => line.sizes.graph, bytes],
  ["devices that run it", (line) => line.devices, count],
];
const WRITTEN = [
  ["steps", (told) => told.distillation?.steps, count],
  ["right before fusion", (told) => told.distillation?.accuracy_before_fusion, percent],
  ["processor time", (told) => told.cost?.cpu_seconds, duration],
];

const pair = async (root, ctx, [cohort, number, , of, other]) => {
  const found = await ctx.api(`${cohortPath(cohort, number)}&of=${encodeURIComponent(of)}&beside=${other}`);
  const [one, two] = found.versions;
  const name = (line) => `version ${line.version}${one.cohort === two.cohort ? "" : ` of ${line.cohort}`}`;
  const link = (line) => h("a", { href: ctx.href(`models/${key(line)}`), dataset: { key: key(line) } }, name(line));
  const figure = ([words, read, told, full], [first, second]) => {
    const [a, b] = [read(first), read(second)];
    if (typeof a !== "number" && typeof b !== "number") return null;
    return [words, typeof a === "number" ? told(a) : "–", typeof b === "number" ? told(b) : "–", full && typeof a === "number" && typeof b === "number" ? bar(b, a, "student", `${told(a)} → ${told(b)}`) : ""];
  };
  const recalls = Object.keys({ ...found.provenance[0].gate?.recall, ...found.provenance[1].gate?.recall })
    .map((each) => figure([`recall of ${each}`, (told) => told.gate?.recall?.[each]?.[0], percent, true], found.provenance));
  const losses = Object.keys({ ...found.provenance[0].distillation?.losses, ...found.provenance[1].distillation?.losses })
    .map((each) => figure([`loss: ${each}`, (told) => told.distillation?.losses?.[each], (value) => value.toPrecision(4)], found.provenance));
  const most = Math.max(1e-9, ...(found.weights ?? []).map((each) => each.apart));
  renew(root,
    h("p", {}, h("a", { href: ctx.href("models"), dataset: { key: "back" } }, "← all versions")),
    h("div", { class: "head" }, h("h1", {}, `${name(one)} beside ${name(two)}`.replace("version", "Version"))),
    h("section", {}, h("h2", {}, "Figures"), table("Figures", ["", { words: link(one), number: true }, { words: link(two), number: true }, { words: "drawn", hidden: true }],
      [["made", moment(one.made), moment(two.made), ""], ["from", origin(ctx, one), origin(ctx, two), ""],
        ...FIGURES.map((each) => figure(each, [one, two])), ...recalls, ...WRITTEN.map((each) => figure(each, found.provenance)), ...losses].filter(Boolean)),
    h("p", { class: "soft" }, "Figures of a gate are of the windows of its own round: two versions were judged on the same ones only by the round that compared them.")),
    h("section", {}, h("h2", {}, "How far the weights are apart"),
      found.apart
        ? [h("p", {}, `${percent(found.apart.apart)} of the first one's length, over ${count(found.apart.weights)} weights; the largest change of one weight is ${found.apart.most.toPrecision(3)}.`),
          table("Tensors", ["tensor", { words: "weights", number: true }, { words: "apart", number: true }, { words: "drawn", hidden: true }, { words: "largest", number: true }, { words: "cosine", number: true }],
            found.weights.map((each) => [h("code", {}, each.tensor), count(each.weights), percent(each.apart), bar(each.apart / most, null, "student"), each.most.toPrecision(3), each.cosine.toFixed(3)]))]
        : h("p", {}, "They are networks of different forms: their weights cannot be compared.")),
    h("section", {}, h("h2", {}, "Where their specs differ"),
      found.spec.length
        ? table("Differences", ["place", name(one), name(two)], found.spec.map((each) => [h("code", {}, each.place), h("code", {}, each.one), h("code", {}, each.other)]))
        : h("p", {}, "Nowhere: both see readings in the same way."),
      h("p", { class: "soft" }, found.graph ? "The graph is the same." : "The graph is another one, too.")));
};

const draw = (root, ctx) => {
  const { params } = ctx;
  if (params[2] === "beside") return pair(root, ctx, params);
  return params.length >= 2 ? one(root, ctx, params[0], params[1]) : list(root, ctx);
};

export const view = {
  title: "Models",
  path: "models",
  async render(root, ctx) {
    shown = { before: null, chosen: [] };
    put(root);
    await draw(root, ctx);
  },
  update: (ctx) => draw(document.getElementById("main"), ctx),
  stop() {},
};
