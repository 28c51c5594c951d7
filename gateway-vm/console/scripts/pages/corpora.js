// What can be searched.

import { all, get } from "../core/api.js";
import { foreign, put } from "../core/dom.js";
import * as format from "../core/format.js";
import { href } from "../core/router.js";
import "../elements/data-table.js";
import { openIndexing } from "../parts/indexing.js";
import { fill } from "../parts/paging.js";
import { button, empty, moment, pageHead } from "../parts/ui.js";

export const MOST = 2000; // corpora that one chooses from
const REFRESH_MS = 15_000;
const COLUMNS = [
  { label: "Corpus", link: true, render: (corpus) => foreign(corpus.name) },
  { label: "Documents", width: 110, end: true, render: (corpus) => format.count(corpus.documents) },
  { label: "Chunks", width: 110, end: true, from: 520, render: (corpus) => format.count(corpus.chunks) },
  { label: "Tokens", width: 120, end: true, from: 640, render: (corpus) => format.compact(corpus.tokens) },
  {
    label: "Model",
    width: 240,
    from: 860,
    render: (corpus) => foreign(corpus.model ?? format.NOTHING, { class: "faint" }),
  },
  { label: "Changed", width: 118, from: 420, render: (corpus) => moment(corpus.updated_at) },
];

export async function show({ view, signal }) {
  const table = document.createElement("data-table");
  Object.assign(table, {
    label: "Corpora",
    noun: ["corpus", "corpora"],
    keyOf: (corpus) => corpus.name,
    hrefOf: (corpus) => href(`/corpora/${encodeURIComponent(corpus.name)}`),
    columns: COLUMNS,
  });
  table.empty = empty(
    "No corpus yet",
    "A corpus is made by the first page that is indexed into it.",
    button("Index something", () => openIndexing(), { class: "primary" }),
  );
  put(view, pageHead("Corpora", { lead: "Sets of documents that are searched together." }).element, table);
  const read = (cursor) => get("embedding", "corpora", { query: { limit: 200, cursor }, signal });
  await fill(table, read, { signal, what: "The list of corpora", every: REFRESH_MS });
}

export const corpusNames = async (signal) =>
  (await all("embedding", "corpora", { most: MOST, signal })).map((corpus) => corpus.name);
export const corpusOf = (name, signal) => get("embedding", `corpora/${encodeURIComponent(name)}`, { signal });
