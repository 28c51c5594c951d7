// What a job did and what it waited for, as a picture: a row a stage, hatched while it waits, filled while it runs.

import { h, put, s } from "../core/dom.js";
import { between, duration } from "../core/format.js";
import { ofEvents, ofStages } from "./job-pieces.js";
import { timeStep } from "./scales.js";

const ROW = 34;
const LEFT = 92;
const RIGHT = 118; // what stands behind the last bar
const TOP = 8;
const BAR = 18;
const CHARACTER = 6.4; // how wide one is, about

/** Draw a job's time; returns what draws it anew, with the events that are known of it. */
export function timeline(place, job, { signal } = {}) {
  let shown = job;
  let known = [];
  const draw = () =>
    put(place, drawn(shown, known.length ? ofEvents(known, shown) : ofStages(shown), place.clientWidth || 640));
  const watcher = new ResizeObserver(draw);
  watcher.observe(place);
  const timer = setInterval(() => {
    if (!shown.ended_at && !document.hidden) draw();
  }, 1_000);
  signal?.addEventListener(
    "abort",
    () => {
      watcher.disconnect();
      clearInterval(timer);
    },
    { once: true },
  );
  draw();
  return (next, events = known) => {
    shown = next;
    known = events;
    draw();
  };
}

function drawn(job, parts, width) {
  const stages = [...new Set(["scraping", "chunking", "embedding", ...parts.map((one) => one.stage)])];
  const start = new Date(job.submitted_at);
  const end = parts.length ? new Date(Math.max(...parts.map((one) => one.end))) : new Date();
  const seconds = Math.max(0.05, between(start, end));
  const inner = Math.max(80, width - LEFT - RIGHT);
  const x = (at) => LEFT + (inner * between(start, at)) / seconds;
  const height = TOP + stages.length * ROW + 24;
  const step = timeStep(seconds, Math.max(2, Math.floor(inner / 90)));
  const ticks = Array.from({ length: Math.floor(seconds / step) + 1 }, (_, at) => at * step);
  const foot = TOP + stages.length * ROW;
  const told = parts
    .map((one) => `${one.stage} ${one.kind === "wait" ? one.text : "ran"} ${duration(between(one.start, one.end))}`)
    .join("; ");
  return s(
    "svg",
    {
      class: "chart timeline",
      viewBox: `0 0 ${width} ${height}`,
      height,
      role: "img",
      "aria-label": `Time line: ${told || "nothing yet"}`,
    },
    s(
      "defs",
      {},
      s(
        "pattern",
        { id: "hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
        s("line", { class: "axis", x1: 0, x2: 0, y1: 0, y2: 6 }),
      ),
    ),
    ticks.map((at) => [
      s("line", {
        class: "axis",
        x1: LEFT + (inner * at) / seconds,
        x2: LEFT + (inner * at) / seconds,
        y1: TOP,
        y2: foot,
      }),
      s(
        "text",
        { x: LEFT + (inner * at) / seconds, y: foot + 15, "text-anchor": at === 0 ? "start" : "middle" },
        at === 0 ? "0" : duration(at),
      ),
    ]),
    stages.map((stage, row) => s("text", { class: "stage", x: 0, y: TOP + row * ROW + 22 }, stage)),
    parts.map((one) => piece(one, stages.indexOf(one.stage), x)),
  );
}

/** What a bar says: a wait, where there is room for it, what for. */
function labelOf(one, took, wide) {
  if (one.kind === "run") return `${took}${one.attempt > 1 ? ` · attempt ${one.attempt}` : ""}`;
  const told = `${one.text} · ${took}`;
  return wide > told.length * CHARACTER + 10 ? told : took;
}

function piece(one, row, x) {
  const left = x(one.start);
  const wide = Math.max(2, x(one.end) - left);
  const top = TOP + row * ROW + (ROW - BAR) / 2;
  const took = duration(between(one.start, one.end));
  const label = labelOf(one, took, wide);
  const room = label.length * CHARACTER + 10;
  const text =
    one.kind === "wait" && wide < room
      ? null
      : s(
          "text",
          {
            class: "count",
            x: (one.kind === "wait" ? left + wide / 2 : left + wide + 6).toFixed(1),
            y: top + 13,
            "text-anchor": one.kind === "wait" ? "middle" : "start",
          },
          label,
        );
  return s(
    "g",
    {},
    s("title", {}, `${one.stage}: ${one.kind === "wait" ? one.text : "ran"} ${took}`),
    one.kind === "wait"
      ? s("rect", { class: "wait", x: left.toFixed(1), y: top + 3, width: wide.toFixed(1), height: BAR - 6, rx: 2 })
      : s("rect", {
          class: `run f-${one.stage}`,
          x: left.toFixed(1),
          y: top,
          width: wide.toFixed(1),
          height: BAR,
          rx: 3,
        }),
    text,
  );
}
