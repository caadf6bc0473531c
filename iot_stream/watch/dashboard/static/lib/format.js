// Figures in words, with their units. What is not known is a dash.
const DASH = "–";
const THIN = "\u202f";

export const percent = (share, digits = 1) => (share == null ? DASH : `${(100 * share).toFixed(digits)}${THIN}%`);

export const count = (number) => (number == null ? DASH : number.toLocaleString("en").replaceAll(",", THIN));

export const bytes = (number) => {
  if (number == null) return DASH;
  const units = ["B", "kB", "MB", "GB", "TB"];
  let step = 0;
  while (number >= 999.5 && step < units.length - 1) { number /= 1000; step += 1; }
  return `${number.toFixed(step && number < 99.5 ? 1 : 0)}${THIN}${units[step]}`;
};

export const duration = (seconds) => {
  if (seconds == null) return DASH;
  const steps = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  if (seconds < 1) return `${Math.round(1000 * seconds)}${THIN}ms`;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)}${THIN}s`;
  const place = steps.findIndex(([size]) => seconds >= size);
  const [size, unit] = steps[place];
  const whole = Math.floor(seconds / size);
  const [below, finer] = steps[place + 1];
  const rest = Math.round((seconds - whole * size) / below);
  return rest ? `${whole}${THIN}${unit} ${rest}${THIN}${finer}` : `${whole}${THIN}${unit}`;
};

export const ago = (seconds, now = Date.now() / 1000) => {
  if (!seconds) return DASH;
  const past = now - seconds;
  return past < 2 ? "now" : `${duration(Math.round(past))} ago`;
};

// A moment in UTC, as logs and the command line have it.
export const moment = (seconds) =>
  (seconds == null ? DASH : `${new Date(1000 * seconds).toISOString().slice(0, 19).replace("T", " ")} UTC`);
