// Batches: many pages that were asked for at once.

import { get } from "../core/api.js";
import { foreign, h, put } from "../core/dom.js";
import * as format from "../core/format.js";
import { href } from "../core/router.js";
import "../elements/data-table.js";
import { openIndexing } from "../parts/indexing.js";
import { fill } from "../parts/paging.js";
import { bar, button, empty, moment, pageHead } from "../parts/ui.js";

const REFRESH_MS = 5_000;
const ORDER = ["completed", "failed", "cancelled", "embedding", "chunking", "scraping"];
export const told = (counts) =>
  Object.entries(counts)
    .filter(([, value]) => value)
    .map(([name, value]) => `${format.count(value)} ${name}`)
    .join(", ");
export const progress = (batch) =>
  bar(
    ORDER.map((name) => [name, batch.counts[name]]),
    batch.jobs,
    told(batch.counts) || "nothing yet",
  );

const COLUMNS = [
  { label: "Batch", link: true, render: (batch) => h("span", { class: "mono" }, batch.batch_id) },
  { label: "Corpus", width: 140, from: 620, render: (batch) => foreign(batch.corpus_name) },
  { label: "Pages", width: 84, end: true, render: (batch) => format.count(batch.jobs) },
  { label: "Progress", width: 240, from: 520, render: (batch) => progress(batch) },
  { label: "Done", width: 72, end: true, render: (batch) => format.percent(batch.progress) },
  { label: "Ended", width: 110, from: 860, render: (batch) => moment(batch.ended_at) },
  { label: "Submitted", width: 118, from: 420, render: (batch) => moment(batch.submitted_at) },
];

export async function show({ view, signal }) {
  const table = document.createElement("data-table");
  Object.assign(table, {
    label: "Batches",
    noun: ["batch", "batches"],
    keyOf: (batch) => batch.batch_id,
    hrefOf: (batch) => href(`/batches/${batch.batch_id}`),
    columns: COLUMNS,
  });
  table.empty = empty(
    "No batches yet",
    "Give several addresses at once, and they are one batch: followed, cancelled and tried again together.",
    button("Index several pages", () => openIndexing(), { class: "primary" }),
  );
  put(view, pageHead("Batches", { lead: "Pages that were asked for together." }).element, table);
  const read = (cursor) => get("orchestrator", "batches", { query: { limit: 20, cursor }, signal });
  await fill(table, read, { signal, what: "The list of batches", every: REFRESH_MS });
}
