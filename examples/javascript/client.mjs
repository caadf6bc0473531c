// A device that follows the releases of iot-stream, written from docs/protocol.md:
//   iot-stream device add pump-07 > pump-07.json && node client.mjs pump-07.json
import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { dirname, join, resolve } from "node:path";
import mqtt from "mqtt";
import { Refused, checkVersion, hashes, meantFor, releaseOf, sha256, unpack, verify } from "./trust.mjs";
import { tensorsOf } from "./weights.mjs";

const settings = JSON.parse(fs.readFileSync(process.argv[2]));
const { prefix, pipeline, device, root, max_packet = 0 } = settings;
const base = `${prefix}/${pipeline}`;
const own = `${base}/device/${device}`;
const boot = randomBytes(4).toString("hex");
const SLOTS = ["stable", "canary"];
const AT_ONCE = 16; // pieces asked for at a time

// ---- the disk: state.json, blob/<sha256>, piece/<sha256>
// Blobs are written first and the state last, so one rename makes a whole release count, or nothing does.
const home = resolve(dirname(process.argv[2]), settings.state);
const path = (...names) => join(home, ...names);
for (const folder of ["blob", "piece"]) fs.mkdirSync(path(folder), { recursive: true });

function write(file, content) {
  fs.writeFileSync(`${file}.new`, content);
  sync(`${file}.new`);
  fs.renameSync(`${file}.new`, file);
  sync(dirname(file)); // the rename itself
}

function sync(file) {
  const handle = fs.openSync(file);
  fs.fsyncSync(handle);
  fs.closeSync(handle);
}

/** What the disk has under a hash, if it is that. */
function kept(folder, hash) {
  const content = fs.existsSync(path(folder, hash)) ? fs.readFileSync(path(folder, hash)) : undefined;
  return content && sha256(content) === hash ? content : undefined;
}

// running: hashes of what runs; floor: when (ms) it last took a bundle; scopes: cohort/slot → trusted metadata
let state = { cohort: settings.cohort, version: 0, running: [], floor: 0, scopes: {} };
if (fs.existsSync(path("state.json"))) state = JSON.parse(fs.readFileSync(path("state.json")));
const offers = {}; // cohort/slot → the release that its last good bundle offered; in the state once it is settled
for (const [scope, metadata] of Object.entries(state.scopes)) offers[scope] = releaseOf(metadata);
const scopeOf = (slot) => `${state.cohort}/${slot}`;

// ---- what the device says
const broker = typeof settings.broker === "string" ? { url: settings.broker } : settings.broker;
const client = mqtt.connect(broker.url, {
  protocolVersion: 5, clientId: `${prefix}-${pipeline}-${device}`, keepalive: 30,
  ca: broker.ca ? fs.readFileSync(broker.ca) : undefined,
  username: broker.user || undefined, password: broker.user ? process.env.MQTT_PASSWORD : undefined,
  properties: max_packet ? { maximumPacketSize: max_packet } : {},
  will: { topic: `${own}/status`, payload: JSON.stringify({ online: false }), qos: 1, retain: true },
});

function say(online = true) {
  const seen = SLOTS.filter((slot) => offers[scopeOf(slot)]);
  const signed = Object.fromEntries(seen.map((slot) => [slot, offers[scopeOf(slot)].signings]));
  const { version, cohort } = state;
  const status = { online, version, cohort, runtime: "javascript", boot, max_packet, signed };
  return client.publishAsync(`${own}/status`, JSON.stringify(status), { qos: 1, retain: true });
}

function report(event, fields) {
  const said = { event, time: Date.now() * 1e6, version: state.version, ...fields };
  console.log(JSON.stringify(said));
  client.publish(`${own}/report`, JSON.stringify(said), { qos: 1 });
}

function refuse(error, offered = error.offered ?? 0) {
  const other = error.syscall ? "disk" : "malformed"; // what is no JSON, say, throws an error of its own
  const { reason, detail } = error instanceof Refused ? error : { reason: other, detail: error.message };
  report("rejected", { offered, reason, detail: detail.slice(0, 300) });
}

// ---- what it fetches
const awaited = new Map(); // topic of a piece → who waits for its payload

function piece(sha, n, hash) {
  if (kept("piece", hash)) return; // it came before a restart
  const topic = `${base}/blob/${sha}/${n}`;
  return new Promise((arrived) => {
    awaited.set(topic, (payload) => {
      if (sha256(payload) !== hash) throw new Refused("altered", `${topic} has other content`);
      write(path("piece", hash), payload);
      awaited.delete(topic);
      client.unsubscribe(topic);
      arrived();
    });
    client.subscribe(topic, { qos: 1 });
  });
}

async function artifact({ sha, length, pieces }) {
  const inline = Object.values(offers).find(({ entries }) => entries.has(`blob/${sha}`));
  let content = kept("blob", sha) ?? inline?.entries.get(`blob/${sha}`);
  if (!content) {
    const todo = pieces.map((hash, n) => [sha, n, hash]);
    const worker = async () => {
      while (todo.length) await piece(...todo.shift());
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    content = Buffer.concat(pieces.map((hash) => fs.readFileSync(path("piece", hash))));
  }
  if (content.length !== length || sha256(content) !== sha) throw new Refused("altered", `blob ${sha}`);
  return Buffer.from(content);
}

// ---- releases
/** A bundle has come: if it can be believed, see what the device is to run now. */
async function consider(topic, payload) {
  const slot = SLOTS[bundles().indexOf(topic)];
  if (!slot) return; // of the cohort that it has just left
  const [scope, known] = [scopeOf(slot), offers[scopeOf(slot)]];
  try {
    const entries = unpack(payload);
    const meant = { pipeline, cohort: state.cohort, slot };
    const metadata = await verify(entries, meant, known?.metadata ?? {}, root, state.floor);
    const offered = releaseOf(metadata, entries);
    if (known) checkVersion(offered, known);
    offers[scope] = offered;
  } catch (error) {
    return refuse(error);
  }
  settle(); // not awaited: newer bundles must be heard while blobs are on their way
}

let rounds = 0;
async function settle() {
  const round = ++rounds; // a bundle that comes meanwhile makes this round void
  for (const topic of awaited.keys()) client.unsubscribe(topic);
  awaited.clear();
  const [stable, canary] = SLOTS.map((slot) => offers[scopeOf(slot)]);
  const ahead = canary && canary.version > (stable?.version ?? 0) && meantFor(device, canary);
  const chosen = ahead ? canary : stable;
  if (!chosen) return; // a canary for others, and nothing stable yet
  try {
    const contents = {};
    for (const [key, target] of Object.entries(chosen.targets)) {
      contents[key] = await artifact(target);
      if (round !== rounds) return;
    }
    install(chosen, contents);
  } catch (error) {
    const scope = scopeOf(ahead ? "canary" : "stable"); // as if this bundle had never come
    delete offers[scope];
    if (state.scopes[scope]) offers[scope] = releaseOf(state.scopes[scope]);
    refuse(error, chosen.version);
  }
}

/** Here a device loads the graph, feeds it the golden windows of the spec, and compares with `selftest`. */
function loaded({ spec, weights }) {
  try {
    return { ...JSON.parse(spec), tensors: tensorsOf(weights) };
  } catch (error) {
    throw new Refused("self_test", `malformed: ${error.message}`);
  }
}

function install(chosen, contents) {
  const [previous, version, running] = [state.version, chosen.version, hashes(chosen)];
  const isNew = version !== previous || running.join() !== state.running.join();
  const { classes, tensors } = loaded(contents);
  for (const [key, { sha }] of Object.entries(chosen.targets))
    if (!kept("blob", sha)) write(path("blob", sha), contents[key]);
  const scopes = Object.fromEntries(Object.entries(offers).map(([scope, { metadata }]) => [scope, metadata]));
  state = { ...state, version, running, scopes, floor: Math.max(Date.now(), state.floor) };
  write(path("state.json"), JSON.stringify(state));
  const needed = { blob: Object.values(offers).flatMap(hashes), piece: [] };
  for (const [folder, names] of Object.entries(needed))
    for (const name of fs.readdirSync(path(folder))) if (!names.includes(name)) fs.rmSync(path(folder, name));
  if (isNew) console.log(`${classes.join(" or ")}, by ${Object.keys(tensors).length} tensors`);
  if (isNew) report("applied", { previous });
  say();
}

// ---- what it hears
const bundles = () => SLOTS.map((slot) => `${base}/model/${state.cohort}/${slot}/bundle`);

function follow(cohort) {
  if (cohort === state.cohort || !/^[^/+#\p{Cc}]+$/u.test(cohort) || Buffer.byteLength(cohort) > 128) return;
  client.unsubscribe(bundles());
  state.cohort = cohort; // on the disk with its first release
  client.subscribe(bundles(), { qos: 1 });
}

let work = Promise.resolve(); // one message after the other
client.on("message", (topic, payload) => {
  if (!payload.length) return; // cleared
  if (awaited.has(topic)) work = work.then(() => awaited.get(topic)?.(payload)).catch(refuse);
  else if (topic !== `${own}/cohort`) work = work.then(() => consider(topic, payload));
  else work = work.then(() => follow(JSON.parse(payload).cohort)).catch((error) => console.error(error.message));
});
client.once("connect", () => client.subscribe([`${own}/cohort`, ...bundles()], { qos: 1 }));
client.on("connect", () => say());
client.on("error", (error) => console.error(error.message)); // it goes on trying

async function leave() {
  if (client.connected) await say(false); // as a goodbye: the broker tells the Last Will only of those that go without a word
  await client.endAsync();
  process.exit(0);
}
for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, leave);
