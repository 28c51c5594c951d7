// Sixteen by sixteen, one stroke; drawn here so that no font or sprite has to be fetched.

import { s } from "../core/dom.js";

const PATHS = {
  overview: "M2 13V9M6 13V3M10 13V6M14 13v-3",
  jobs: "M2.5 4h2M2.5 8h2M2.5 12h2M7 4h6.5M7 8h6.5M7 12h6.5",
  batches: "M8 2 14 5 8 8 2 5ZM2 8l6 3 6-3M2 11l6 3 6-3",
  crawls: "M8 2v3M8 5H4v3M8 5h4v3M4 8v0M2.5 8.5h3v3h-3ZM10.5 8.5h3v3h-3ZM6.5 2h3",
  corpora:
    "M2.5 4.5C2.5 3 5 2 8 2s5.500 1 5.500 2.500S11 7 8 7 2.500 6 2.500 4.500v7C2.500 13 5 14 8 14s5.500-1 5.500-2.500v-7M2.500 8c0 1.500 2.500 2.500 5.500 2.500S13.500 9.500 13.500 8",
  search: "M7 2.500a4.500 4.500 0 1 1 0 9 4.500 4.500 0 0 1 0-9ZM10.500 10.500 14 14",
  webhooks:
    "M5 11a2.500 2.500 0 1 1-1.500-4.300M7 6.500 5 11h6M8 4.500a2.500 2.500 0 1 1 4 1.500L9 6M13 11a2.500 2.500 0 1 0-1-2",
  api: "M5 4 1.500 8 5 12M11 4l3.500 4L11 12M9 3 7 13",
  theme: "M8 2a6 6 0 1 0 0 12V2Z",
  leave: "M6 2.500H3v11h3M10 5l3 3-3 3M13 8H6",
  keys: "M1.500 4h13v8h-13ZM4 7h0M7 7h0M10 7h0M12 7h0M5 9.500h6",
  add: "M8 3v10M3 8h10",
  copy: "M5.500 5.500h8v8h-8ZM3 10.500H2.500v-8h8V3",
  refresh: "M13 6A5.500 5.500 0 1 0 13.500 9.500M13.500 2.500V6H10",
};

export function icon(name, size = 16) {
  return s(
    "svg",
    {
      viewBox: "0 0 16 16",
      width: size,
      height: size,
      fill: "none",
      stroke: "currentColor",
      "stroke-width": 1.5,
      "stroke-linecap": "round",
      "stroke-linejoin": "round",
      "aria-hidden": "true",
      focusable: "false",
    },
    s("path", { d: PATHS[name] }),
  );
}
