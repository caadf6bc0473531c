// weights.int8 → float32 tensors by name: docs/protocol.md, "Weights".
export function tensorsOf(content) {
  const start = 8 + Number(content.readBigUInt64LE(0));
  const { __metadata__, ...found } = JSON.parse(content.subarray(8, start));
  const isInt = (name) => name !== "selftest" && found[name]?.shape.length > 1;
  const read = (name, int) => {
    const { data_offsets: [from, to], dtype, shape } = found[name];
    const bytes = content.subarray(start + from, start + to);
    const length = shape.reduce((product, size) => product * size, 1);
    const fits = dtype === (int ? "I8" : "F32") && bytes.length === length * (int ? 1 : 4);
    if (!fits) throw new Error(`${name}: ${dtype} of ${shape} in ${bytes.length} bytes`);
    return Float32Array.from({ length }, (_, i) => (int ? bytes.readInt8(i) : bytes.readFloatLE(4 * i)));
  };
  const names = Object.keys(found).filter((name) => !(name.endsWith(":scale") && isInt(name.slice(0, -6))));
  return Object.fromEntries(names.map((name) => {
    const scale = isInt(name) ? read(`${name}:scale`, false) : [1]; // one for each index of the first axis
    const steps = read(name, isInt(name));
    const values = steps.map((step, i) => step * scale[Math.floor((i * scale.length) / steps.length)]);
    const isOdd = name.endsWith(":scale") || (isInt(name) && scale.length !== found[name].shape[0]);
    if (isOdd || !values.every(Number.isFinite)) throw new Error(`${name}: not finite, or scales do not fit`);
    return [name, { shape: found[name].shape, values }];
  }));
}
