// Batches: many pages that were asked for at once.

import { get, isAborted } from "../core/api.js";
import { foreign, h, put } from "../core/dom.js";
import * as format from "../core/format.js";
import { ask } from "../core/live.js";
import { href } from "../core/router.js";
import "../elements/data-table.js";
import { openIndexing } from "../parts/indexing.js";
import { bar, button, empty, moment, pageHead, toast } from "../parts/ui.js";

const REFRESH_MS = 5_000;
const ORDER = ["completed", "failed", "cancelled", "embedding", "chunking", "scraping"];
export const told = (counts) => Object.entries(counts).filter(([, value]) => value).map(([name, value]) => `${format.count(value)} ${name}`).join(", ");
export const progress = (batch) => bar(ORDER.map((name) => [name, batch.counts[name]]), batch.jobs, told(batch.counts) || "nothing yet");

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
  Object.assign(table, { label: "Batches", noun: "batches", keyOf: (batch) => batch.batch_id, hrefOf: (batch) => href(`/batches/${batch.batch_id}`), columns: COLUMNS });
  table.empty = empty("No batches yet", "Give several addresses at once, and they are one batch: followed, cancelled and tried again together.", button("Index several pages", () => openIndexing(), { class: "primary" }));
  put(view, pageHead("Batches", { lead: "Pages that were asked for together." }).element, table);
  const read = (query) => get("orchestrator", "batches", { query: { limit: 20, ...query }, signal });
  async function begin() {
    table.loading();
    try {
      const page = await read();
      let cursor = page.next_cursor;
      table.more = cursor ? async () => {
        try {
          const next = await read({ cursor });
          cursor = next.next_cursor;
          table.rows = [...table.rows, ...next.items];
          return Boolean(cursor);
        } catch (error) {
          if (!isAborted(error)) toast(error.message, { bad: true });
          return false;
        }
      } : null;
      table.rows = page.items;
    } catch (error) {
      if (!signal.aborted) table.failed(error, begin, "The list of batches");
    }
  }
  await begin();
  ask(async () => {
    try {
      const fresh = (await read()).items;
      const ids = new Set(fresh.map((batch) => batch.batch_id));
      table.rows = [...fresh, ...table.rows.filter((batch) => !ids.has(batch.batch_id))];
    } catch (error) {
      if (signal.aborted) throw error; // the next try tells by itself where it lasts
    }
  }, signal, REFRESH_MS);
}
