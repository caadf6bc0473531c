// A device that follows the releases of iot-stream, written from docs/protocol.md:
//   iot-stream device add pump-07 > pump-07.json && node client.mjs pump-07.json
import * as fs from "node:fs";
import { dirname, join, resolve } from "node:path";
import mqtt from "mqtt";
import { meantFor, offerOf, reasonOf, refused, sha256 } from "./trust.mjs";
import { tensorsOf } from "./weights.mjs";

const settings = JSON.parse(fs.readFileSync(process.argv[2]));
const { prefix, pipeline, device, root, max_packet = 0 } = settings;
const base = `${prefix}/${pipeline}`;
const own = `${base}/device/${device}`;
const SLOTS = ["stable", "canary"];

// ---- the disk: state.json, and blob/<sha256> for artifacts and for pieces of them
// Blobs are written first and the state last, so one rename makes a whole release count, or nothing does.
const home = resolve(dirname(process.argv[2]), settings.state);
const stateFile = join(home, "state.json");
const blobFile = (hash) => join(home, "blob", hash);
const has = (hash) => fs.existsSync(blobFile(hash));
const read = (hash) => fs.readFileSync(blobFile(hash));

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

fs.mkdirSync(blobFile(""), { recursive: true });
for (const name of fs.readdirSync(blobFile(""))) // from here on, what is there is whole
  if (sha256(read(name)) !== name) fs.rmSync(blobFile(name));

// id: which release runs; floor: when (ms) it last took a bundle; offers: topic of a bundle → its offer
let state = { cohort: settings.cohort, pinned: false, id: "", version: 0, floor: 0, offers: {} };
if (fs.existsSync(stateFile)) state = JSON.parse(fs.readFileSync(stateFile));
const offers = { ...state.offers }; // of the last good bundles; in the state once they are settled
const bundleOf = (slot) => `${base}/model/${state.cohort}/${slot}/bundle`;

// ---- what the device says
const { url = settings.broker, user, ca } = settings.broker; // or it is a URL itself
const client = mqtt.connect(url, {
  protocolVersion: 5, clientId: `${prefix}-${pipeline}-${device}`, keepalive: 30,
  ca: ca && fs.readFileSync(ca), ...(user && { username: user, password: process.env.MQTT_PASSWORD }),
  ...(max_packet && { properties: { maximumPacketSize: max_packet } }),
  will: { topic: `${own}/status`, payload: JSON.stringify({ online: false }), qos: 1, retain: true },
});

function say(online = true) {
  const { version, cohort } = state;
  const [stable, canary] = SLOTS.map((slot) => offers[bundleOf(slot)]?.signings);
  const signed = { stable, canary };
  const status = { online, version, cohort, runtime: "javascript", max_packet, signed, pinned: state.pinned };
  client.publish(`${own}/status`, JSON.stringify(status), { qos: 1, retain: true });
}

function report(event, fields) {
  const said = JSON.stringify({ event, time: Date.now() * 1e6, version: state.version, ...fields });
  console.log(said);
  client.publish(`${own}/report`, said, { qos: 1 });
}

function refuse(error, offered = error.offered ?? 0) {
  report("rejected", { offered, reason: reasonOf(error), detail: error.message.slice(0, 300) });
}

// ---- what it fetches
let awaited = new Map(); // topic of a piece that it has subscribed to → its hash
const inline = (sha) => Object.values(offers).map((offer) => offer?.entries?.[`blob/${sha}`]).find(Boolean);

/** The pieces to ask for now, 16 at a time: topic → hash. */
function missing({ targets }) {
  const lacking = targets.filter(({ sha }) => !has(sha) && !inline(sha));
  const topicsOf = ({ sha, pieces }) => pieces.map((hash, n) => [`${base}/blob/${sha}/${n}`, hash]);
  return new Map(lacking.flatMap(topicsOf).filter(([, hash]) => !has(hash)).slice(0, 16));
}

function contentOf({ sha, length, pieces }) {
  const content = has(sha) ? read(sha) : inline(sha) ?? Buffer.concat(pieces.map(read));
  if (content.length !== length || sha256(content) !== sha) throw refused("altered", `blob ${sha}`);
  return content;
}

// ---- releases
/** The next step towards what the slots offer: ask for pieces, or make it run. */
function settle() {
  const staying = state.pinned && state.id;
  const [stable, canary] = staying ? [] : SLOTS.map((slot) => offers[bundleOf(slot)]);
  const ahead = canary && canary.version > (stable?.version ?? 0) && meantFor(device, canary);
  const topic = bundleOf(ahead ? "canary" : "stable");
  const chosen = staying ? null : offers[topic]; // none: a canary for others, and nothing stable yet
  const wanted = chosen ? missing(chosen) : new Map();
  for (const [piece, hash] of awaited) if (wanted.get(piece) !== hash) client.unsubscribe(piece);
  for (const [piece, hash] of wanted) if (awaited.get(piece) !== hash) client.subscribe(piece, { qos: 1 });
  awaited = wanted;
  if (!chosen || awaited.size) return;
  try {
    install(chosen);
  } catch (error) {
    offers[topic] = state.offers[topic]; // as if this bundle had never come
    refuse(error, chosen.version);
    if (ahead && stable?.id !== state.id && offers[topic] !== chosen) settle(); // then the stable one
  }
}

function keep(changes) {
  const next = { ...state, ...changes };
  write(stateFile, JSON.stringify(next, (key, value) => (key === "entries" ? undefined : value)));
  state = next;
}

function install({ id, version, targets }) {
  const contents = targets.map(contentOf);
  load(...contents);
  targets.forEach(({ sha }, i) => has(sha) || write(blobFile(sha), contents[i]));
  const previous = { ...state };
  keep({ id, version, floor: Math.max(Date.now(), state.floor), offers: { ...offers } });
  if (id !== previous.id) report("applied", { version, previous: previous.version });
  say();
  const needed = Object.values(offers).flatMap((offer) => offer?.targets ?? []).map(({ sha }) => sha);
  for (const name of fs.readdirSync(blobFile(""))) if (!needed.includes(name)) fs.rmSync(blobFile(name));
}

/** Here a device loads the graph, feeds it the golden windows of the spec, and compares with `selftest`. */
function load(graph, spec, weights) {
  try {
    return { ...JSON.parse(spec), tensors: tensorsOf(weights) };
  } catch (error) {
    throw refused("self_test", `malformed: ${error.message}`);
  }
}

// ---- what it hears
function follow(topic, payload) {
  const { cohort, pinned = false } = JSON.parse(payload);
  if (pinned !== state.pinned) {
    keep({ pinned });
    say();
    settle();
  }
  if (cohort === state.cohort || !/^[^/+#\p{Cc}]+$/u.test(cohort) || Buffer.byteLength(cohort) > 128) return;
  client.unsubscribe([...SLOTS.map(bundleOf), ...awaited.keys()]);
  awaited = new Map();
  state.cohort = cohort; // on the disk with its first release
  client.subscribe(SLOTS.map(bundleOf), { qos: 1 });
}

async function hear(topic, payload) {
  const scope = { pipeline, cohort: state.cohort, slot: SLOTS.find((slot) => bundleOf(slot) === topic) };
  const hash = sha256(payload);
  if (scope.slot) offers[topic] = await offerOf(payload, scope, offers[topic], root, state.floor);
  else if (awaited.get(topic) === hash) write(blobFile(hash), payload);
  else if (awaited.has(topic)) throw refused("altered", `${topic} has other content`);
  else return; // of a cohort or a release that it has just left
  settle();
}

let work = Promise.resolve(); // one message after the other
client.on("message", (topic, payload) => {
  const [handle, failed] = topic === `${own}/cohort` ? [follow, console.error] : [hear, refuse];
  if (payload.length) work = work.then(() => handle(topic, payload)).catch(failed); // else it was cleared
});
client.once("connect", () => client.subscribe([`${own}/cohort`, ...SLOTS.map(bundleOf)], { qos: 1 }));
client.on("connect", () => say());
client.on("error", (error) => console.error(error.message)); // it goes on trying

for (const signal of ["SIGTERM", "SIGINT"])
  process.once(signal, () => {
    if (client.connected) say(false); // the broker tells the Last Will only of those that go without a word
    client.end();
  });
