// Crawls: sites that are kept in a corpus, and when each is looked at next.

import { get } from "../core/api.js";
import { address, foreign, h, put } from "../core/dom.js";
import * as format from "../core/format.js";
import { href } from "../core/router.js";
import "../elements/data-table.js";
import { openIndexing } from "../parts/indexing.js";
import { fill } from "../parts/paging.js";
import { button, empty, moment, pageHead, status, tag } from "../parts/ui.js";

const REFRESH_MS = 8_000;
const UNITS = { m: "minute", h: "hour", d: "day", w: "week" };

export function scheduleOf(schedule) {
  if (!schedule) return "by hand";
  const [, amount, unit] = /^(\d+)([mhdw])$/.exec(schedule.every ?? "") ?? [];
  if (unit) return Number(amount) === 1 ? `every ${UNITS[unit]}` : `every ${amount} ${UNITS[unit]}s`;
  return schedule.every ? `every ${schedule.every}` : `${schedule.cron} (${schedule.timezone})`;
}

export const standing = (crawl) =>
  crawl.paused ? status("paused") : crawl.last_state ? status(crawl.last_state) : status("queued");

const COLUMNS = [
  {
    label: "Where it begins",
    link: true,
    render: (crawl) => (crawl.url ? address(crawl.url) : format.plural(crawl.urls, "page")),
  },
  { label: "Kind", width: 92, from: 560, render: (crawl) => tag(crawl.source) },
  { label: "Corpus", width: 130, from: 700, render: (crawl) => foreign(crawl.corpus_name) },
  { label: "Last run", width: 190, render: (crawl) => h("span", {}, standing(crawl)) },
  { label: "Documents", width: 100, end: true, from: 460, render: (crawl) => format.count(crawl.documents) },
  { label: "Schedule", width: 150, from: 900, render: (crawl) => foreign(scheduleOf(crawl.schedule)) },
  { label: "Next", width: 110, from: 640, render: (crawl) => moment(crawl.next_run_at) },
];

export async function show({ view, signal }) {
  const table = document.createElement("data-table");
  Object.assign(table, {
    label: "Crawls",
    noun: ["crawl", "crawls"],
    keyOf: (crawl) => crawl.crawl_id,
    hrefOf: (crawl) => href(`/crawls/${crawl.crawl_id}`),
    columns: COLUMNS,
  });
  table.empty = empty(
    "No crawl yet",
    "Give a site, a sitemap or a feed: its pages are found, indexed, and kept as they are there.",
    button("Index a site", () => openIndexing({ kind: "site" }), { class: "primary" }),
  );
  put(
    view,
    pageHead("Crawls", {
      lead: "Sites that are kept in a corpus.",
      actions: [button("Index a site", () => openIndexing({ kind: "site" }))],
    }).element,
    table,
  );
  const read = (cursor) => get("orchestrator", "crawls", { query: { limit: 50, cursor }, signal });
  await fill(table, read, { signal, what: "Crawling sites", every: REFRESH_MS });
}
