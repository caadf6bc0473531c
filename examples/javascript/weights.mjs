// weights.int8 → float32 tensors by name: docs/protocol.md, "Weights".
export function tensorsOf(content) {
  const start = 8 + Number(content.readBigUInt64LE(0));
  const { __metadata__, ...found } = JSON.parse(content.subarray(8, start));
  const bytesOf = ({ data_offsets: [from, to], dtype, shape }) => {
    const bytes = content.subarray(start + from, start + to);
    const count = shape.reduce((product, size) => product * size, 1);
    if (bytes.length !== count * { F32: 4, I8: 1 }[dtype]) throw new Error(`${dtype} of ${shape} in ${bytes.length}`);
    return bytes;
  };
  const floats = (tensor) => {
    const bytes = bytesOf(tensor);
    return Float32Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(4 * i));
  };
  const tensors = {};
  for (const [name, tensor] of Object.entries(found)) {
    if (name.endsWith(":scale") && found[name.slice(0, -6)]) continue;
    if (name !== "selftest" && (tensor.dtype === "I8") !== tensor.shape.length > 1) throw new Error(`${name}: encoding`);
    let values;
    if (tensor.dtype === "I8") {
      const [scale, steps] = [floats(found[`${name}:scale`]), new Int8Array(bytesOf(tensor))];
      // One scale for each row of the first axis.
      values = Float32Array.from(steps, (step, i) => step * scale[Math.floor((i * scale.length) / steps.length)]);
    } else values = floats(tensor);
    if (!values.every(Number.isFinite)) throw new Error(`${name} is not finite`);
    tensors[name] = { shape: tensor.shape, values };
  }
  return tensors;
}
