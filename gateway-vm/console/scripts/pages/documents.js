// A corpus: its documents.

import { get, remove } from "../core/api.js";
import { address, foreign, h, put } from "../core/dom.js";
import * as format from "../core/format.js";
import { go, href } from "../core/router.js";
import "../elements/data-table.js";
import { confirm } from "../parts/dialogs.js";
import { openIndexing } from "../parts/indexing.js";
import { fill } from "../parts/paging.js";
import { button, empty, moment, pageHead, skeleton, tiles, toast } from "../parts/ui.js";
import { corpusOf } from "./corpora.js";

const PAGE = 200;

const columns = () => [
  { label: "Document", link: true, render: (one) => (one.title ? foreign(one.title) : address(one.url)) },
  { label: "Address", from: 760, render: (one) => address(one.url) },
  { label: "Chunks", width: 84, end: true, from: 420, render: (one) => format.count(one.chunks) },
  { label: "Tokens", width: 96, end: true, from: 620, render: (one) => format.count(one.tokens) },
  { label: "Language", width: 92, from: 1000, render: (one) => foreign(one.language ?? "") },
  { label: "Indexed", width: 118, from: 520, render: (one) => moment(one.indexed_at) },
];

export async function show({ view, signal, params }) {
  const name = params.name;
  const path = `corpora/${encodeURIComponent(name)}`;
  const figures = h(
    "div",
    {},
    tiles(["Documents", "Chunks", "Tokens", "Model"].map((text) => [text, skeleton("50%")])),
  );
  const table = document.createElement("data-table");
  Object.assign(table, {
    label: "Documents",
    noun: ["document", "documents"],
    keyOf: (one) => one.document_id,
    hrefOf: (one) => href(`/corpora/${encodeURIComponent(name)}/${one.document_id}`),
    columns: columns(),
  });
  table.style.setProperty("--table-height", "calc(100dvh - 300px)");
  table.empty = empty(
    "No document",
    "This corpus has no document, or not any more.",
    button("Index something", () => openIndexing({ corpus: name }), { class: "primary" }),
  );
  const head = pageHead("", {
    crumbs: [["Corpora", href("/corpora")]],
    actions: [
      h("a", { class: "button", href: href("/search", { corpus: name }) }, "Search it"),
      button("Add to it", () => openIndexing({ corpus: name })),
      button(
        "Delete",
        async () => {
          const done = await confirm({
            title: "Delete this corpus?",
            text: "All of its documents and chunks go, and jobs that were submitted before do not bring them back.",
            verb: "Delete the corpus",
            work: () => remove("embedding", path, { signal }),
          });
          if (done) {
            toast("The corpus is deleted.");
            go("/corpora");
          }
        },
        { class: "danger" },
      ),
    ],
  });
  put(head.heading, foreign(name));
  put(view, head.element, h("div", { class: "grid" }, figures, table));
  const read = (cursor) => get("embedding", `${path}/documents`, { query: { limit: PAGE, cursor }, signal });
  const counted = corpusOf(name, signal).then((corpus) =>
    put(
      figures,
      tiles([
        ["Documents", format.count(corpus.documents)],
        ["Chunks", format.count(corpus.chunks)],
        ["Tokens", format.compact(corpus.tokens)],
        ["Model", h("small", {}, corpus.model ?? format.NOTHING)],
      ]),
    ),
  );
  await fill(table, read, { signal, what: "The list of documents" });
  await counted.catch((error) => {
    if (!signal.aborted && error.code !== "corpus_not_found") throw error;
  });
}
