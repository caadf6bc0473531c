// The shell: which view is shown, what it is told, and the keys. A view is a module of `views/`, and a line here.
import { empty, h, put, say } from "./lib/dom.js";
import { Feed } from "./lib/feed.js";
import { startHelp } from "./lib/help.js";
import { plot } from "./lib/plot.js";
import { Wrong, act, get, toast } from "./lib/service.js";
import { startTheme } from "./lib/theme.js";
import * as dom from "./lib/dom.js";
import { view as fleet } from "./views/fleet.js";
import { view as promise } from "./views/promise.js";
import { view as topics } from "./views/topics.js";
import { view as rounds } from "./views/rounds.js";
import { view as models } from "./views/models.js";
import { view as rollouts } from "./views/rollouts.js";
import { view as device } from "./views/device.js";

const VIEWS = [promise, fleet, rounds, models, rollouts, topics, device];
const AT_MOST_EVERY_MS = 1000;

const main = document.getElementById("main");
const state = { about: null, pipeline: "", view: null, ctx: null, fetched: 0, busy: false, stale: false };

const context = (pipeline, params) => {
  const ended = new AbortController();
  return {
    pipeline,
    params,
    about: state.about,
    dom,
    plot,
    toast,
    end: () => ended.abort(),
    api: (path) => get(`/api/${encodeURIComponent(pipeline)}/${path}`, ended.signal),
    act: (name, body) => act(name, { pipeline, ...body }),
    go: (path) => { location.hash = address(pipeline, path); },
    href: (path) => address(pipeline, path),
  };
};

const address = (pipeline, path) =>
  `#/${[pipeline, ...path.split("/")].map(encodeURIComponent).join("/")}`;

const parsed = () => {
  const [pipeline, path, ...params] = location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  const known = state.about.pipelines.includes(pipeline) ? pipeline : state.about.pipelines[0];
  return { pipeline: known, view: VIEWS.find((each) => each.path === path) ?? VIEWS[0], params };
};

// What a view threw is shown in its place, or, where something is there already, beside it.
const attempt = async (ctx, work) => {
  try {
    await work();
    if (ctx === state.ctx) main.querySelector(".trouble")?.remove();
  } catch (error) {
    if (error.name === "AbortError" || ctx !== state.ctx) return;
    if (!(error instanceof Wrong)) console.error(error);
    if (main.querySelector("h1")) {
      const box = main.querySelector(".trouble") ?? h("p", { class: "trouble", role: "alert" });
      say(box, error.message);
      main.prepend(box);
    } else put(main, empty("This cannot be shown now", error.message));
  }
};

const show = async () => {
  const { pipeline, view, params } = parsed();
  state.ctx?.end();
  state.view?.stop?.();
  if (pipeline !== state.pipeline) {
    state.pipeline = pipeline;
    feed.open(pipeline);
  }
  const ctx = context(pipeline, params);
  Object.assign(state, { ctx, view, busy: true, stale: false });
  document.title = `${view.title} · ${pipeline} · iot-stream`;
  document.getElementById("pipeline").value = pipeline;
  for (const link of document.querySelectorAll("#nav a")) {
    link.href = address(pipeline, link.dataset.path);
    if (link.dataset.path === view.path) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  put(main);
  main.setAttribute("aria-busy", "true");
  await attempt(ctx, () => view.render(main, ctx));
  if (ctx !== state.ctx) return;
  main.removeAttribute("aria-busy");
  done();
};

const done = () => {
  Object.assign(state, { busy: false, fetched: Date.now() });
  if (state.stale) changed(null);
};

// What is to be known of the dashboard itself, whichever view is shown.
const notice = async () => {
  const told = await get(`/api/${encodeURIComponent(state.pipeline)}/notices`).catch(() => null);
  if (told) say(document.getElementById("notices"), told.join(" "));
};

// Changes are gathered, so that a view is fetched once a second however fast they come, and never twice at a time.
const changed = (views) => {
  if (!views || views.includes("notices")) notice();
  if (!state.ctx || (views && !views.includes(state.view.path))) return;
  if (state.busy) { state.stale = true; return; }
  const { ctx, view } = state;
  Object.assign(state, { busy: true, stale: false });
  setTimeout(async () => {
    if (ctx !== state.ctx) return;
    await attempt(ctx, () => view.update(ctx, { views }));
    if (ctx === state.ctx) done();
  }, Math.max(0, state.fetched + AT_MOST_EVERY_MS - Date.now()));
};

const feed = new Feed(changed, (word) => {
  const box = document.getElementById("state");
  box.dataset.state = word;
  say(box, word);
});

const leave = (field) => {
  if (field.type === "search") {
    field.value = "";
    field.dispatchEvent(new Event("input"));
  }
  field.blur();
};

const startKeys = () => {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.target.closest("input, select, textarea")) {
      if (event.key === "Escape") leave(event.target);
      return;
    }
    const listed = VIEWS.filter((view) => !view.hidden);
    if (/^[1-9]$/.test(event.key) && listed[event.key - 1]) {
      location.hash = address(state.pipeline, listed[event.key - 1].path);
    } else if (event.key === "/") {
      const search = main.querySelector("input[type=search]");
      if (search) { event.preventDefault(); search.focus(); }
    } else if (event.key === "?") document.getElementById("help").click();
  });
};

const start = () => {
  startTheme(document.getElementById("theme"));
  startHelp(document.getElementById("help"), VIEWS.filter((view) => !view.hidden));
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    main.focus();
  });
  // Whoever does not look costs nothing, and holds none of the few connections that a browser has.
  document.addEventListener("visibilitychange", () => (document.hidden ? feed.close() : feed.connect()));
  begin();
};

const begin = async () => {
  try {
    state.about = await get("/api/about");
  } catch (error) {
    put(main, empty("The dashboard does not answer", error.message));
    setTimeout(begin, 3000);
    return;
  }
  const { pipelines } = state.about;
  if (!pipelines.length) {
    put(main, empty("No pipeline yet", "Name one in the configuration:", "iot-stream init --config iot-stream.yml"));
    return;
  }
  const select = document.getElementById("pipeline");
  put(select, pipelines.map((name) => h("option", { value: name }, name)));
  select.parentElement.hidden = pipelines.length < 2;
  select.addEventListener("change", () => { location.hash = address(select.value, state.view.path); });
  put(document.getElementById("nav"), VIEWS.filter((view) => !view.hidden).map((view, number) =>
    h("a", { href: address(pipelines[0], view.path), dataset: { path: view.path }, title: `key ${number + 1}` }, view.title)));
  addEventListener("hashchange", () => { show(); main.focus({ preventScroll: true }); scrollTo(0, 0); });
  startKeys();
  await show();
};

start();
