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
const config = {
  maxRootRotations: 32, rootMaxLength: 32 * KB,
  timestampMaxLength: 8 * KB, snapshotMaxLength: 8 * KB, targetsMaxLength: 64 * KB,
};

export const sha256 = (content) => createHash("sha256").update(content).digest("hex");

export const refused = (reason, detail, offered) => Object.assign(new Error(detail), { reason, offered });

// tuf-js puts most of what it finds into texts, so texts are what there is to go by.
const TEXTS = {
  too_large: /too large|larger than/, expired: /is expired/, unsigned: /was signed by/,
  altered: /Expected (hash|length)/, older: /less than|match|Expected version/,
};

/** The protocol's reason for an error. */
export function reasonOf({ reason, syscall, message }) {
  const found = Object.keys(TEXTS).find((name) => TEXTS[name].test(message));
  return reason ?? (syscall ? "disk" : found ?? "malformed");
}

/**
 * What a bundle offers, if it can be believed. `known`: what the last good bundle of this scope offered;
 * `root`: what the device was set up with; `floor`: the latest time (ms) at which it took a bundle, so that
 * a clock set back makes nothing fresh again.
 */
export async function offerOf(payload, scope, known, root, floor) {
  // A small message can inflate to gigabytes.
  const { buffer, engine } = inflateSync(payload, { maxOutputLength: 256 * KB, info: true });
  if (engine.bytesWritten !== payload.length) throw new Error("something is appended");
  const entries = decode(buffer);
  if (!Object.values(entries).every(Buffer.isBuffer)) throw new Error("not a map of names to bytes");
  for (const role of ["timestamp", "snapshot", "targets"]) {
    // Before the signatures, because another cohort's bundle would also look older or altered.
    const { signed } = JSON.parse(entries[`${role}.json`]);
    if (!equal(signed.scope, scope)) throw refused("foreign", `${role}: ${JSON.stringify(signed.scope)}`);
  }
  const metadata = await refreshed(entries, known?.metadata ?? { "root.json": root });
  for (const [name, text] of Object.entries(metadata))
    if (!(Date.parse(JSON.parse(text).signed.expires) > floor)) throw refused("expired", name);
  const offer = { ...releaseOf(JSON.parse(metadata["targets.json"]).signed), metadata, entries };
  // Numbers may not fall, unless the online key that signed what is known has been replaced since.
  const isOlder = offer.version <= known?.version && offer.id !== known.id;
  const signatures = known ? JSON.parse(known.metadata["targets.json"]).signatures : [];
  const { keyids } = JSON.parse(metadata["root.json"]).signed.roles.targets;
  if (isOlder && signatures.some(({ keyid }) => keyids.includes(keyid)))
    throw refused("older", `version ${offer.version}, known is ${known.version}`, offer.version);
  return offer;
}

/** TUF's client workflow on a bundle's entries: from trusted metadata (file name → text) to that of now. */
async function refreshed(entries, trusted) {
  const metadataDir = fs.mkdtempSync(join(tmpdir(), "iot-stream-")); // a copy, for tuf-js works on files
  const downloadBytes = async (url, limit) => {
    const content = entries[url.split("/").pop()];
    if (!content) throw new DownloadHTTPError(`the bundle has no ${url}`, 404);
    if (content.length > limit) throw new Error(`${url} is too large`);
    return content;
  };
  try {
    for (const [name, text] of Object.entries(trusted)) fs.writeFileSync(join(metadataDir, name), text);
    await new Updater({ metadataDir, metadataBaseUrl: "tuf:", config, fetcher: { downloadBytes } }).refresh();
    const read = (name) => [name, fs.readFileSync(join(metadataDir, name), "utf8")];
    return Object.fromEntries(fs.readdirSync(metadataDir).map(read));
  } finally {
    fs.rmSync(metadataDir, { recursive: true });
  }
}

/** What verified targets vouch for. */
function releaseOf({ targets: signed, version: signings }) {
  if (!signed["weights.int8"]) throw refused("unsupported", "no weights in int8");
  const targets = ["graph.onnx", "spec.json", "weights.int8"].map((name) => {
    const { hashes: { sha256: sha }, length, custom } = signed[name];
    const pieces = (custom?.chunks ?? sha).split(" ");
    // They become topics and names of files: nothing but hexadecimal digits.
    if (![sha, ...pieces].every((hash) => /^[0-9a-f]{64}$/.test(hash))) throw new Error(`${name}: no hash`);
    if (length > 64 * KB * KB) throw new Error(`${name} is too large: ${length} bytes`);
    return { sha, length, pieces };
  });
  const { version: number, percent: share = 100, first = "[]", never = "[]" } = signed["weights.int8"].custom;
  const [version, percent] = [number, share].map(Number);
  const audience = { percent, first: [...JSON.parse(first)], never: [...JSON.parse(never)] };
  if (!(version >= 1 && percent >= 0 && percent <= 100)) throw new Error(`version ${number} for ${share} %`);
  const id = [version, ...targets.map(({ sha }) => sha)].join();
  return { id, version, targets, audience, signings };
}

/** Whether a release is meant for a device: "Slots". */
export function meantFor(device, { version, audience: { percent, first, never } }) {
  const place = parseInt(sha256(`${device}${version}`).slice(0, 8), 16) / 2 ** 32;
  const isIn = first.includes(device) || place < percent / 100;
  return percent === 100 || (percent > 0 && !never.includes(device) && isIn);
}
