// Bars over time, one upon the other, and a line of what is open. The same figures stand in a table for who can't see it.

import { h, put, s } from "../core/dom.js";
import { compact, count, dayOf, time } from "../core/format.js";
import { roundUp } from "./scales.js";

const HEIGHT = 196;
const LEFT = 40;
const TOP = 10;
const BOTTOM = 22;

/**
 * @param place what the chart is drawn in; it follows that one's width
 * @param buckets `[{ at, <name>: number }]`, from early to late
 * @param series `[[name, label]]`, from bottom to top; a name is a tone
 */
export function stackedBars(place, { buckets, series, stepSeconds, label, signal }) {
  const picture = h("div", {});
  const said = h("p", { class: "quiet", "aria-hidden": "true" }, "\u00a0");
  put(
    place,
    picture,
    h(
      "div",
      { class: "legend" },
      series.map(([name, text]) => h("span", { class: `t-${name}` }, text)),
      buckets.some((bucket) => bucket.open) ? h("span", { class: "t-open" }, "Open at the time") : null,
    ),
    said,
    asTable(buckets, series, label),
  );
  const draw = () =>
    put(
      picture,
      drawn(buckets, series, stepSeconds, label, picture.clientWidth || 640, (bucket) => {
        said.textContent = bucket
          ? `${dayOf(bucket.at)}, ${time(bucket.at)} to ${time(Date.parse(bucket.at) + stepSeconds * 1000)}: ${series.map(([name, text]) => `${count(bucket[name])} ${text.toLowerCase()}`).join(", ")}, ${count(bucket.open)} open then`
          : "\u00a0";
      }),
    );
  const watcher = new ResizeObserver(draw);
  watcher.observe(picture);
  signal.addEventListener("abort", () => watcher.disconnect(), { once: true });
  draw();
}

function drawn(buckets, series, stepSeconds, label, width, tell) {
  const sums = buckets.map((bucket) => series.reduce((sum, [name]) => sum + bucket[name], 0));
  const most = roundUp(Math.max(1, ...sums, ...buckets.map((bucket) => bucket.open ?? 0)));
  const inner = Math.max(60, width - LEFT - 4);
  const tall = HEIGHT - TOP - BOTTOM;
  const step = inner / Math.max(1, buckets.length);
  const y = (value) => TOP + tall - (tall * value) / most;
  const lines = [0, most / 2, most]
    .filter((value) => Number.isInteger(value))
    .map((value) => [
      s("line", { class: "axis", x1: LEFT, x2: LEFT + inner, y1: y(value), y2: y(value) }),
      s("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, compact(value)),
    ]);
  const bars = buckets.map((bucket, at) => {
    let from = 0;
    const x = LEFT + at * step + Math.min(1, step / 8);
    const wide = Math.max(1, step - Math.min(2, step / 4));
    return series.map(([name]) => {
      const value = bucket[name];
      if (!value) return null;
      const top = y(from + value);
      const rect = s("rect", {
        class: `f-${name}`,
        x: x.toFixed(1),
        y: top.toFixed(1),
        width: wide.toFixed(1),
        height: Math.max(1, y(from) - top).toFixed(1),
        rx: Math.min(2, wide / 4),
      });
      from += value;
      return rect;
    });
  });
  const open = buckets.some((bucket) => bucket.open)
    ? s("path", {
        class: "open",
        d: buckets
          .map((bucket, at) => `${at ? "L" : "M"}${(LEFT + (at + 0.5) * step).toFixed(1)} ${y(bucket.open).toFixed(1)}`)
          .join(""),
      })
    : null;
  const every = Math.max(1, Math.ceil(buckets.length / Math.max(2, Math.floor(inner / 96))));
  const days = stepSeconds * buckets.length > 2 * 86400;
  const labels = buckets.map((bucket, at) =>
    at % every
      ? null
      : s("text", { x: (LEFT + at * step).toFixed(1), y: HEIGHT - 5 }, days ? dayOf(bucket.at) : time(bucket.at)),
  );
  const hits = buckets.map((bucket, at) =>
    s("rect", {
      class: "hit",
      x: (LEFT + at * step).toFixed(1),
      y: TOP,
      width: step.toFixed(1),
      height: tall,
      onpointerenter: () => tell(bucket),
      onpointerleave: () => tell(null),
    }),
  );
  return s(
    "svg",
    { class: "chart", viewBox: `0 0 ${width} ${HEIGHT}`, height: HEIGHT, role: "img", "aria-label": label },
    lines,
    bars,
    open,
    labels,
    hits,
  );
}

function asTable(buckets, series, label) {
  const busy = buckets.filter((bucket) => series.some(([name]) => bucket[name])).slice(-200);
  return h(
    "div",
    { class: "visually-hidden" },
    h(
      "table",
      {},
      h("caption", {}, label),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          h("th", { scope: "col" }, "From"),
          series.map(([, text]) => h("th", { scope: "col" }, text)),
          h("th", { scope: "col" }, "Open"),
        ),
      ),
      h(
        "tbody",
        {},
        busy.map((bucket) =>
          h(
            "tr",
            {},
            h("th", { scope: "row" }, new Date(bucket.at).toISOString()),
            series.map(([name]) => h("td", {}, count(bucket[name]))),
            h("td", {}, count(bucket.open)),
          ),
        ),
      ),
    ),
  );
}
