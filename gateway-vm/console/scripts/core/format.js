// Numbers, sizes and times as people read them.

const LOCALE = navigator.language || "en";
const number = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const exactly = new Intl.DateTimeFormat(LOCALE, { dateStyle: "full", timeStyle: "long" });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const clockSeconds = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
export const NOTHING = "–";

export const count = (value) => (value === null || value === undefined ? NOTHING : number.format(value));
export const compact = (value) =>
  value === null || value === undefined
    ? NOTHING
    : Math.abs(value) < 10_000
      ? number.format(value)
      : short.format(value);
export const plural = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;
export const time = (date) => clock.format(new Date(date));
export const timeWithSeconds = (date) => clockSeconds.format(new Date(date));
export const dayOf = (date) => day.format(new Date(date));

export function bytes(value) {
  if (value === null || value === undefined) return NOTHING;
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  let left = value;
  while (left >= 1000 && at < units.length - 1) {
    left /= 1000;
    at += 1;
  }
  return `${at && left < 10 ? left.toFixed(1) : Math.round(left)} ${units[at]}`;
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return NOTHING;
  if (seconds < 0) return "0 s";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.round((seconds % 86400) / 3600)} h`;
}

export const between = (start, end) => (new Date(end) - new Date(start)) / 1000;

const STEPS = [
  [60, "s", 1],
  [3600, "min", 60],
  [86400, "h", 3600],
  [2592000, "d", 86400],
  [31536000, "months", 2592000],
  [Infinity, "years", 31536000],
];

export function ago(date, now = Date.now()) {
  const seconds = (new Date(date) - now) / 1000;
  if (Math.abs(seconds) < 5) return "now";
  const [, unit, size] = STEPS.find(([most]) => Math.abs(seconds) < most);
  const text = `${Math.round(Math.abs(seconds) / size)} ${unit}`;
  return seconds < 0 ? `${text} ago` : `in ${text}`;
}

export const exact = (date) => `${exactly.format(new Date(date))} · ${new Date(date).toISOString()}`;
export const percent = (share) => `${Math.round(share * 100)} %`;
export const words = (name) => String(name ?? "").replaceAll("_", " ");
