// Rounds: a list with what runs now on top; and one round, from what it learnt from to why it changed the student.
import { empty, h, put } from "../lib/dom.js";
import { count, duration, moment, percent } from "../lib/format.js";
import { badge, bar, doing, facts, folded, interval, renew, signed, table, tree, when } from "../lib/pieces.js";
import { preparing, said } from "./steps.js";
import { why } from "./why.js";

const STAGES = ["sample", "training", "distillation", "fusion", "gate"];
const OUTCOMES = { released: "released", rejected: "rejected", held: "held", failed: "failed", interrupted: "failed", running: "running" };
let shown = { before: null };

const outcome = (round) => badge(round.ended == null ? "running" : round.outcome, OUTCOMES[round.outcome] ?? "held");

const gateWords = ({ gate, error }) =>
  (gate.windows && gate.outcome && gate.outcome !== "held" ? `${signed(gate.gain)} (at least ${signed(gate.lower)})` : error || gate.reason || "–");

// What the broker told of a round that runs, and how long such rounds took of late.
const live = (id, steps, started, now, usual, href) => {
  const done = new Set(steps.map((step) => step.stage).filter(Boolean));
  const last = steps.findLast((step) => step.stage);
  const elapsed = Math.max(0, now - started);
  const left = usual == null ? null : usual - elapsed;
  const share = usual ? Math.min(0.99, elapsed / usual) : null;
  const words = left == null ? "the first round: nobody knows yet how long it takes"
    : left > 0 ? `about ${duration(left)} left, as rounds took ${duration(usual)} of late` : `longer than the ${duration(usual)} of late`;
  return h("section", { class: "live" },
    h("h2", {}, "Running: ", href ? h("a", { href, dataset: { key: `running ${id}` } }, id) : id),
    h("ol", { class: "track" }, STAGES.map((stage) => h("li", {
      class: done.has(stage) ? "done" : null, "aria-current": last?.stage === stage ? "step" : null,
    }, stage))),
    share == null ? null : h("progress", { max: "1", value: share, "aria-label": "how much of the usual time has gone" }),
    h("p", { class: "soft" }, `${duration(elapsed)} so far; ${words}.`),
    steps.length ? said(steps) : h("p", { class: "soft" }, "Its steps will stand here as the distiller tells them."));
};

const list = async (root, ctx) => {
  const found = await ctx.api(`rounds${shown.before == null ? "" : `?before=${shown.before}`}`);
  const again = () => list(root, ctx);
  const several = new Set(found.rounds.map((each) => each.cohort)).size > 1;
  const running = found.rounds.filter((each) => each.ended == null);
  renew(root,
    h("div", { class: "head" }, h("h1", {}, "Rounds"), h("p", {}, "Each distils what the teacher knows of recent windows into the student; the gate lets no worse one out."),
      h("div", { class: "buttons" },
        doing(ctx, "Distil now", { name: "distil", after: again }),
        found.paused
          ? doing(ctx, "Learn again", { name: "resume", after: again })
          : doing(ctx, "Pause learning", { name: "pause", reason: true, title: "Pause learning", words: `Nothing of ${ctx.pipeline} is learnt from until it is resumed; it is scored and served as before.`, after: again }))),
    found.paused && h("p", { class: "notice warn" }, `Learning is paused: ${found.paused}`),
    found.doubts.map((doubt) => h("div", { class: "notice warn" }, h("p", {}, `The teacher is held, nothing it says is learnt: ${doubt}`),
      doing(ctx, "Believe it again", { name: "believe-teacher", title: "Believe the teacher again", words: "What it said until now no longer speaks against it, and is learnt. Exclude first the time in which it was wrong, if it was.", after: again }))),
    running.map((each) => live(each.id, found.running[each.id] ?? [], each.started, Date.now() / 1000, found.usual_s, ctx.href(`rounds/${each.id}`))),
    found.preparing.length > 0 && preparing(found.preparing),
    found.rounds.length
      ? h("section", {}, h("h2", {}, shown.before == null ? "Newest first" : "Earlier ones"), table("Rounds",
        ["round", several && { words: "cohort" }, "began", "why", "outcome", { words: "candidate − running", long: true }, { words: "windows", number: true }, { words: "took", number: true }, { words: "version", number: true }].filter(Boolean),
        found.rounds.map((each) => [
          h("a", { href: ctx.href(`rounds/${each.id}`), dataset: { key: each.id } }, each.id),
          ...(several ? [each.cohort] : []),
          when(each.started), each.trigger, outcome(each), gateWords(each.outline),
          each.outline.gate.windows ? count(each.outline.gate.windows) : "–",
          duration(each.took_s),
          each.outline.version ? h("a", { href: ctx.href(`models/${each.cohort}/${each.outline.version}`) }, `${each.outline.version}`) : "–",
        ])),
      h("p", { class: "buttons" },
        shown.before != null && h("button", { type: "button", dataset: { key: "newest" }, onclick: () => { shown.before = null; return again(); } }, "Newest"),
        found.older && h("button", { type: "button", dataset: { key: "older" }, onclick: () => { shown.before = found.rounds.at(-1).started; return again(); } }, "Earlier rounds")))
      : h("section", {}, empty("No round yet", "The first student is released once there is a teacher; rounds start as the triggers of the configuration say, or when somebody asks for one."),
        h("p", { class: "buttons middle" }, doing(ctx, "Distil now", { name: "distil", after: again, label: "Distil now, the first round" }))));
};

const gate = (report, delta) => {
  const { gate: verdict } = report;
  if (!verdict?.outcome) return h("section", {}, h("h2", {}, "Gate"), h("p", {}, verdict?.reason ?? report.error ?? "It has not been judged."));
  const upper = 2 * verdict.gain - verdict.lower;
  const judged = verdict.windows > 0 && (verdict.candidate || verdict.running);
  const recalls = Object.entries(verdict.recall ?? {});
  return h("section", {}, h("h2", {}, "Gate"),
    h("p", {}, badge(verdict.outcome, verdict.outcome === "passed" ? "released" : verdict.outcome), " ", verdict.reason),
    judged && h("div", { class: "pair" },
      table("Accuracy on the windows that judge", ["", { words: `right, by ${verdict.basis}`, number: true }, { words: "", hidden: true }], [
        ["candidate", percent(verdict.candidate), bar(verdict.candidate, null, "student")],
        ["running", percent(verdict.running), bar(verdict.running, null, "static")],
      ]),
      interval(verdict.gain, verdict.lower, upper, -delta,
        `candidate − running ${signed(verdict.gain)}, 95 % between ${signed(verdict.lower)} and ${signed(upper)}; released where the lower end is above −δ = ${signed(-delta)} (as configured now)`)),
    facts([["windows to judge by", `${count(verdict.windows)}, ${verdict.classes} classes`], ["encoded", verdict.bytes ? `${count(verdict.bytes)} bytes` : null],
      ["old regimes", verdict.old?.windows ? `${signed(verdict.old.gain)} (at least ${signed(verdict.old.lower)}) on ${count(verdict.old.windows)} windows` : null]]),
    recalls.length > 0 && table("Recall of each class", ["class", { words: "candidate", number: true }, { words: "running", number: true }, { words: "", hidden: true }],
      recalls.map(([name, [now, was]]) => [name, percent(now), percent(was), bar(now, was, "student")])));
};

const learnt = ({ sample, trust, excluded, held, held_note: note, training }) => sample && h("section", {}, h("h2", {}, "Learnt from"),
  facts([
    ["recent windows", count(sample.recent)], ["older ones", `${count(sample.reservoir)} from the reservoir`],
    ["with a label", count(sample.labelled)], ["devices", sample.devices?.slice(0, 12).join(", ") + (sample.devices?.length > 12 ? ` and ${sample.devices.length - 12} more` : "")],
    ["left out", [excluded ? `${count(excluded)} windows that a person took out` : "", trust?.broken ? `${count(trust.broken)} of a broken channel` : "",
      held?.length ? `devices that are held: ${held.map((each) => each.device ?? each).join(", ")}` : ""].filter(Boolean).join("; ") || "nothing"],
    ["note", note], ["teacher held", trust?.doubt], ["teacher", training && Object.keys(training).length ? tree(training) : "as it was"],
  ]));

// The first version comes of no round.
const trained = ({ teacher, first_student: student, version }) => student && h("section", {}, h("h2", {}, "Trained"),
  facts([["teacher", tree(teacher)], ["first student", tree(student)], ["released as", version && `version ${version}`]]));

const cost = ({ cost: spent }) => spent && h("section", {}, h("h2", {}, "Cost"), facts([
  ["time", `${duration(spent.seconds)}, of which distilling ${duration(spent.distill_seconds)}`], ["processor time", duration(spent.cpu_seconds)],
  ["arithmetic", spent.flops == null ? null : `${(spent.flops / 1e9).toPrecision(3)} GFLOP`],
  ["teacher passes", spent.teacher_passes == null ? null : `${count(spent.teacher_passes)}, ${count(spent.teacher_passes_saved)} saved by what it had said before`],
  ["explaining", spent.explain_seconds == null ? null : duration(spent.explain_seconds)],
]));

const fused = ({ ema, pull, averaged }) => [
  ema && `moving average ${ema}`, pull && `pull ${pull}`, averaged && `mean with ${averaged} past students`,
].filter(Boolean).join(", ") || "none";

const distilled = ({ distillation, fusion, encoding }) => distillation && h("section", {}, h("h2", {}, "Distilled"), facts([
  ["steps", count(distillation.steps)],
  ["losses", Object.entries(distillation.losses ?? {}).map(([name, value]) => `${name} ${value.toPrecision(4)}`).join(", ")],
  ["before fusion", distillation.accuracy_before_fusion == null ? null : `${percent(distillation.accuracy_before_fusion)} right`],
  ["fusion", fusion && fused(fusion)],
  ["encoding", encoding && `${encoding.name}, ${count(encoding.bytes)} bytes`],
]), fusion?.search?.length > 0 && folded("search", "What the search tried", tree(fusion.search)));

const one = async (root, ctx, id) => {
  const { round, report, steps, usual_s: usual, delta } = await ctx.api(`rounds?id=${encodeURIComponent(id)}`);
  const runs = round.ended == null;
  renew(root,
    h("p", {}, h("a", { href: ctx.href("rounds"), dataset: { key: "back" } }, "← all rounds")),
    h("div", { class: "head" }, h("h1", {}, round.id), outcome(round),
      h("p", {}, `began ${moment(round.started)} (${round.trigger})${runs ? "" : `, took ${duration(round.took_s)}`}; cohort ${round.cohort}`)),
    runs && live(round.id, steps, round.started, Date.now() / 1000, usual),
    !runs && round.trigger !== "bootstrap" && h("ol", { class: "track" }, STAGES.map((stage) => h("li", { class: reached(report, stage) ? "done" : null }, stage)),
      h("li", { class: report.version ? "done" : "stopped" }, report.version
        ? h("a", { href: ctx.href(`models/${round.cohort}/${report.version}`), dataset: { key: "version" } }, `version ${report.version}`) : round.outcome)),
    report.running ? h("p", {}, "It set out to better ", h("a", { href: ctx.href(`models/${round.cohort}/${report.running}`), dataset: { key: "running" } }, `version ${report.running}`), ".") : null,
    !runs && gate(report, delta),
    report.why ? why(report.why, report.excluded) : !runs && h("section", {}, h("h2", {}, "Why it changed"), h("p", { class: "soft" }, unexplained(round, report))),
    trained(report), learnt(report), distilled(report), cost(report));
};

const reached = (report, stage) => ({ sample: report.sample, training: report.training, fusion: report.fusion, distillation: report.distillation, gate: report.gate?.outcome }[stage] != null);

const unexplained = (round, report) => {
  if (round.trigger === "bootstrap") return "It made the first student; there was none before it to compare with.";
  return report.error ? `It failed: ${report.error}` : "It did not come far enough to explain itself.";
};

const draw = (root, ctx) => (ctx.params[0] ? one(root, ctx, ctx.params[0]) : list(root, ctx));

export const view = {
  title: "Rounds",
  path: "rounds",
  async render(root, ctx) {
    shown = { before: null };
    put(root);
    await draw(root, ctx);
  },
  update: (ctx) => draw(document.getElementById("main"), ctx),
  stop() {},
};
