// Rollouts: how far each version has come, how it does beside the one before, and who decided what.
import { empty, h, put } from "../lib/dom.js";
import { count, duration, moment, percent } from "../lib/format.js";
import { badge, bar, doing, renew, signed, table, when } from "../lib/pieces.js";

const OUTCOMES = { good: ["doing well", "released"], bad: ["doing badly", "rejected"], wait: ["too early to say", "held"] };

const steer = (ctx, line, action, verb, words, again) => doing(ctx, verb, {
  name: "rollout", body: { action, cohort: line.cohort }, reason: true, danger: action === "abort",
  title: `${verb}: version ${line.version}`, words, after: again,
});

const buttons = (ctx, line, again) => h("div", { class: "buttons" },
  steer(ctx, line, "advance", "Advance", "It goes on to the next stage now, whatever its health.", again),
  line.state === "paused"
    ? steer(ctx, line, "resume", "Resume", "It goes on by itself again; the stage is watched anew.", again)
    : steer(ctx, line, "pause", "Pause", "It stays at this stage until it is resumed; its devices keep the version.", again),
  steer(ctx, line, "abort", "Abort", "The version is called off: its devices go back to the stable one.", again));

const track = (stages, line) => h("ol", { class: "track", "aria-label": "Stages" }, stages.map((stage, place) => h("li", {
  class: place < line.stage || line.state === "done" ? "done" : line.state === "aborted" && place === line.stage ? "stopped" : null,
  "aria-current": place === line.stage && line.state !== "done" && line.state !== "aborted" ? "step" : null,
}, stage)));

const share = (value) => (value == null ? "–" : percent(value));

const sides = ({ stage, control }) => {
  const row = (words, read, told) => [words, told(read(stage)), told(read(control))];
  const change = (side, what) => (side.since[what] == null || side.before[what] == null ? "–" : signed(side.since[what] - side.before[what]));
  return h("div", { class: "pair" },
    table("The stage beside the control group", ["", { words: "has the version", number: true }, { words: "control", number: true }], [
      row("devices", (side) => side.devices, count),
      row("windows since it came", (side) => side.since.windows, count),
      row("right since it came", (side) => side.since.accuracy, share),
      row("right before", (side) => side.before.accuracy, share),
      ["change", change(stage, "accuracy"), change(control, "accuracy")],
      row("mean certainty since", (side) => side.since.certainty, share),
      row("mean certainty before", (side) => side.before.certainty, share),
      row("an inference", (side) => side.infer_us || null, (value) => (value == null ? "–" : `${count(Math.round(value))} µs`)),
    ]),
    h("div", {}, [["has the version", stage, "student"], ["control", control, "static"]].map(([words, side, kind]) => side.since.accuracy != null && h("p", {},
      `${words}: ${percent(side.since.accuracy)} right of ${count(side.since.judged)} windows`, bar(side.since.accuracy, side.before.accuracy, kind))),
    h("p", { class: "soft" }, "The thin line is how right they were before the version came.")));
};

const underWay = (ctx, found, line, again) => {
  const { field } = line;
  const [words, kind] = OUTCOMES[field?.outcome] ?? ["not known", "none"];
  const left = line.soaked == null ? null : line.soaked - Date.now() / 1000;
  return h("section", {},
    h("div", { class: "head" }, h("h2", {}, h("a", { href: ctx.href(`models/${line.cohort}/${line.version}`), dataset: { key: `version ${line.version}` } }, `Version ${line.version}`), ` in cohort ${line.cohort}`),
      badge(line.state), buttons(ctx, line, again)),
    track(found.stages, line),
    h("p", {}, `At ${found.stages[line.stage]} `, when(line.since), "; ", line.state === "paused" ? "it waits for a person." : left > 0 ? `watched for ${duration(left)} more at least.` : "watched long enough; it goes on when it does well."),
    field && [h("p", {}, badge(words, kind), " ", field.why, field.failed ? `; ${count(field.failed)} refused it or left it` : ""), sides(field)]);
};

const rules = ({ rules: rule, soak_s: soak }) => h("details", { dataset: { key: "rules" } }, h("summary", {}, "When a version is called off"),
  h("ul", {}, [
    `more than ${percent(rule.failures, 0)} of a stage's devices refuse it or leave it again`,
    `it is right by ${percent(rule.drop, 0)} less than before, against the control group, beyond chance`,
    `its mean certainty falls by more than ${rule.confidence}, against the control group`,
    `an inference takes more than ${rule.latency} times as long as in the control group`,
  ].map((each) => h("li", {}, each))),
  h("p", { class: "soft" }, `Judged on ${count(rule.n_min)} windows at least, in stages of ${duration(soak)} at least (release: in the configuration).`));

const draw = async (root, ctx) => {
  const found = await ctx.api("rollouts");
  const again = () => draw(root, ctx);
  renew(root,
    h("div", { class: "head" }, h("h1", {}, "Rollouts"), h("p", {}, `A version goes out in stages: ${found.stages.join(" → ")} of the devices.`)),
    found.under_way.map((line) => underWay(ctx, found, line, again)),
    !found.under_way.length && h("section", {}, found.stages.length > 1
      ? empty("No rollout is under way", "The next version that passes the gate begins one.")
      : empty("Versions go to all devices at once", "With stages in the configuration each is watched on few devices first:", "release: {stages: [1%, 10%, 50%, 100%], soak: 10 min}")),
    h("section", {}, rules(found)),
    found.past.length > 0 && h("section", {}, h("h2", {}, "Before"), table("Rollouts of before", [{ words: "version", number: true }, "cohort", "came to", "state", "since"],
      found.past.map((line) => [h("a", { href: ctx.href(`models/${line.cohort}/${line.version}`), dataset: { key: `${line.cohort}/${line.version}` } }, `${line.version}`),
        line.cohort, line.state === "done" ? "all" : found.stages[line.stage], badge(line.state), when(line.since)]))),
    found.decisions.length > 0 && h("section", {}, h("h2", {}, "Who decided what"), table("Decisions", ["when", { words: "version", number: true }, "cohort", "what", "by", { words: "why", long: true }],
      found.decisions.map((each) => [moment(each.at), `${each.version}`, each.cohort, each.what, each.who, each.why]))));
};

export const view = {
  title: "Rollouts",
  path: "rollouts",
  async render(root, ctx) {
    put(root);
    await draw(root, ctx);
  },
  update: (ctx) => draw(document.getElementById("main"), ctx),
  stop() {},
};
