// From the bytes of a bundle to a release that can be believed: docs/protocol.md, "A release".
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual as equal } from "node:util";
import { inflateSync } from "node:zlib";
import { decode } from "@msgpack/msgpack";
import { Updater } from "tuf-js";
import { DownloadHTTPError } from "tuf-js/dist/error.js"; // how a fetcher says that there is no newer root

const KB = 1024;
const MAX_BUNDLE = 256 * KB;
const MAX_ARTIFACT = 64 * KB * KB;
const ROLES = ["timestamp", "snapshot", "targets"];
const TARGETS = { graph: "graph.onnx", spec: "spec.json", weights: "weights.int8" };
const LIMITS = {
  maxRootRotations: 32, rootMaxLength: 32 * KB,
  timestampMaxLength: 8 * KB, snapshotMaxLength: 8 * KB, targetsMaxLength: 64 * KB,
};

export const sha256 = (content) => createHash("sha256").update(content).digest("hex");

/** Why a release is not taken: a reason that the protocol names, and a detail for a person. */
export class Refused extends Error {
  constructor(reason, detail, offered = 0) {
    super(`${reason}: ${detail}`);
    Object.assign(this, { reason, detail, offered });
  }
}

/** The entries of a bundle, name → bytes. Bounded, for a small message can inflate to gigabytes. */
export function unpack(payload) {
  try {
    const { buffer, engine } = inflateSync(payload, { maxOutputLength: MAX_BUNDLE, info: true });
    const entries = new Map(Object.entries(decode(buffer)));
    if (engine.bytesWritten !== payload.length) throw new Error("something is appended");
    for (const content of entries.values())
      if (!(content instanceof Uint8Array)) throw new Error("not a map of names to bytes");
    return entries;
  } catch (error) {
    throw new Refused(error.code === "ERR_BUFFER_TOO_LARGE" ? "too_large" : "malformed", error.message);
  }
}

/**
 * TUF's client workflow on a bundle's entries. `trusted`: the metadata (file name → text) that the last good
 * bundle of this scope left, {} for none. `root`: what the device was set up with. `floor`: the latest time (ms)
 * at which it took a bundle, so that a clock set back makes nothing fresh again. Returns the metadata of now.
 */
export async function verify(entries, scope, trusted, root, floor) {
  for (const role of ROLES) {
    // Before the signatures, because another cohort's bundle would also look older or altered.
    const { signed } = JSON.parse(Buffer.from(entries.get(`${role}.json`)).toString());
    if (!equal(signed.scope, scope)) throw new Refused("foreign", `${role}: ${JSON.stringify(signed.scope)}`);
  }
  const folder = fs.mkdtempSync(join(tmpdir(), "iot-stream-")); // tuf-js works on files; these are a copy
  const downloadBytes = async (url, limit) => {
    const content = entries.get(url.split("/").pop());
    if (!content) throw new DownloadHTTPError(`the bundle has no ${url}`, 404);
    if (content.length > limit) throw new Refused("too_large", url);
    return Buffer.from(content);
  };
  try {
    for (const [name, text] of Object.entries({ "root.json": root, ...trusted }))
      fs.writeFileSync(join(folder, name), text);
    const options = { metadataDir: folder, metadataBaseUrl: "bundle:/", config: LIMITS, fetcher: { downloadBytes } };
    await new Updater(options).refresh();
    const names = ["root", ...ROLES].map((role) => `${role}.json`);
    const metadata = Object.fromEntries(names.map((name) => [name, fs.readFileSync(join(folder, name), "utf8")]));
    for (const [name, text] of Object.entries(metadata))
      if (Date.parse(JSON.parse(text).signed.expires) <= floor) throw new Refused("expired", name);
    return metadata;
  } catch (error) {
    throw error instanceof Refused ? error : new Refused(reasonOf(error.message), error.message);
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

// tuf-js puts what went wrong with snapshot and targets into a text, so texts are what there is to go by.
function reasonOf(message) {
  if (/too_large/.test(message)) return "too_large";
  if (/is expired/.test(message)) return "expired";
  if (/was signed by/.test(message)) return "unsigned";
  if (/Expected (hash|length)/.test(message)) return "altered";
  return /less than|match|Expected version/.test(message) ? "older" : "malformed";
}

/** What verified metadata vouches for; `entries` of the bundle, in which the weights may have come. */
export function releaseOf(metadata, entries = new Map()) {
  const { signed } = JSON.parse(metadata["targets.json"]);
  if (!signed.targets[TARGETS.weights]) throw new Refused("unsupported", "no weights in int8");
  const targets = {};
  for (const [key, name] of Object.entries(TARGETS)) {
    const { hashes: { sha256: sha }, length, custom } = signed.targets[name];
    const pieces = (custom?.chunks ?? sha).split(" ");
    // They become topics and names of files: nothing but hexadecimal digits.
    if (![sha, ...pieces].every((hash) => /^[0-9a-f]{64}$/.test(hash))) throw new Error(`${name}: no hash`);
    if (length > MAX_ARTIFACT) throw new Refused("too_large", `${name}: ${length} bytes`);
    targets[key] = { sha, length, pieces };
  }
  const { version, percent = "100", first = "[]", never = "[]" } = signed.targets[TARGETS.weights].custom;
  const audience = { percent: Number(percent), first: JSON.parse(first), never: JSON.parse(never) };
  if (!(Number(version) >= 1 && audience.percent >= 0 && audience.percent <= 100))
    throw new Error(`version ${version} for ${percent} percent`);
  return { metadata, entries, targets, audience, version: Number(version), signings: signed.version };
}

/** Whether a release is meant for a device: "Slots". */
export function meantFor(device, { version, audience: { percent, first, never } }) {
  if (percent === 0 || percent === 100) return percent === 100;
  if (never.includes(device)) return false;
  return first.includes(device) || parseInt(sha256(`${device}${version}`).slice(0, 8), 16) / 2 ** 32 < percent / 100;
}

/** Numbers may not fall, unless the online key that signed what is known has been replaced since. */
export function checkVersion(offered, known) {
  const { keyids } = JSON.parse(offered.metadata["root.json"]).signed.roles.targets;
  const { signatures } = JSON.parse(known.metadata["targets.json"]);
  const same = offered.version === known.version && equal(hashes(offered), hashes(known));
  if (same || offered.version > known.version || !signatures.some(({ keyid }) => keyids.includes(keyid))) return;
  throw new Refused("older", `version ${offered.version}, known is ${known.version}`, offered.version);
}

export const hashes = ({ targets }) => Object.values(targets).map(({ sha }) => sha);
