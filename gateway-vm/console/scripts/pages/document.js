// A document: its text, with its chunks drawn on it.

import { get, remove } from "../core/api.js";
import { address, breathe, foreign, h, line, outward, put } from "../core/dom.js";
import * as format from "../core/format.js";
import { go, href } from "../core/router.js";
import { confirm } from "../parts/dialogs.js";
import { columns } from "../parts/hits.js";
import { piecesOf } from "../parts/text-pieces.js";
import { button, card, copyable, facts, moment, pageHead, toast, waitingLines } from "../parts/ui.js";

const CHUNKS_AT_ONCE = 200;
const CHUNKS_A_TURN = 10; // made before the clock is looked at
const LINE_PIXELS = 21.6;
const SLICE_MS = 12;

export async function show({ view, signal, params, query }) {
  const path = `corpora/${encodeURIComponent(params.name)}/documents/${encodeURIComponent(params.id)}`;
  const head = pageHead("Document", {
    crumbs: [
      ["Corpora", href("/corpora")],
      [line(params.name, 60), href(`/corpora/${encodeURIComponent(params.name)}`)],
    ],
  });
  const text = h(
    "div",
    { class: "card text-view", tabindex: "0", role: "region", "aria-label": "The text, with its chunks" },
    h("div", { class: "body" }, waitingLines(12)),
  );
  const about = h("div", {}, waitingLines(6));
  const said = h("p", { class: "quiet", role: "status" }, "Loading the text");
  put(
    view,
    head.element,
    h(
      "div",
      { class: "document" },
      h("div", {}, text, said),
      h(
        "aside",
        { class: "grid", "aria-label": "About it" },
        card("About it", about),
        card("How to read it", legend()),
      ),
    ),
  );
  const read = (cursor) => get("embedding", path, { query: { limit: CHUNKS_AT_ONCE, cursor }, signal });
  const first = await read();
  put(head.heading, first.title ? foreign(first.title) : address(first.url));
  put(head.actions, actions(first, path, params.name, signal));
  put(about, facts(aboutOf(first)));
  const wanted = query.get("chunk") === null ? null : Number(query.get("chunk"));
  put(text);
  const chunks = [];
  let drawnUpTo = 0;
  for (let page = first; page; page = page.next_cursor ? await read(page.next_cursor) : null) {
    for (const chunk of page.items) chunks.push(chunk);
    const known = page.next_cursor ? chunks.length - 1 : chunks.length; // of the last one the next is still to come
    await draw(text, chunks, drawnUpTo, known, signal);
    if (wanted !== null && wanted >= drawnUpTo && wanted < known) jump(text, wanted);
    drawnUpTo = known;
    said.textContent = `${format.count(drawnUpTo)} of ${format.plural(first.chunks, "chunk")}`;
  }
}

async function draw(place, chunks, from, to, signal) {
  const letters = Math.max(24, (place.clientWidth - 100) / 7.2);
  let began = performance.now();
  let some = document.createDocumentFragment();
  for (let at = from; at < to; at += 1) {
    for (const piece of piecesOf(chunks, at)) some.append(drawn(piece, at, chunks, letters));
    if ((at + 1) % CHUNKS_A_TURN && at + 1 < to) continue;
    place.append(some);
    some = document.createDocumentFragment();
    if (performance.now() - began > SLICE_MS) {
      await breathe();
      signal.throwIfAborted();
      began = performance.now();
    }
  }
}

function drawn(piece, at, chunks, letters) {
  const chunk = piece.first === null ? null : chunks[piece.first];
  const kind = piece.shared ? "overlap" : at % 2 ? "odd" : "even";
  const element = h(
    "div",
    { class: `piece ${kind} ${chunk ? "first" : ""}`, "data-chunk": chunk ? chunk.chunk_index : null },
    h(
      "div",
      { class: "gutter" },
      chunk ? [h("strong", {}, `#${chunk.chunk_index}`), h("br"), `${format.count(chunk.token_count)} tok`] : "",
    ),
    h(
      "div",
      { class: "words", dir: "auto" },
      chunk?.heading_path.length
        ? h("span", { class: "path" }, foreign(chunk.heading_path.map((one) => line(one, 80)).join(" › ")))
        : null,
      chunk ? columns(chunk.table_header) : null,
      piece.text.replace(/^\n+|\n+$/g, "") || "¶",
    ),
  );
  const lines = Math.ceil(piece.text.length / letters) + (piece.text.match(/\n/g)?.length ?? 0);
  element.style.setProperty("contain-intrinsic-size", `auto ${Math.max(2, lines) * LINE_PIXELS}px`);
  return element;
}

function jump(place, index) {
  const target = place.querySelector(`[data-chunk="${index}"]`);
  if (!target) return;
  target.scrollIntoView({ block: "start" });
  target.classList.add("chosen");
}

function legend() {
  return h(
    "ul",
    { class: "grid" },
    h(
      "li",
      {},
      h("strong", {}, "#3 · 480 tok"),
      h("span", { class: "quiet" }, " – where a chunk begins, and its tokens"),
    ),
    h("li", {}, h("strong", {}, "The coloured edge"), h("span", { class: "quiet" }, " changes from chunk to chunk")),
    h(
      "li",
      {},
      h("strong", {}, "Hatched"),
      h("span", { class: "quiet" }, " – text that two chunks share: their overlap"),
    ),
    h("li", {}, h("strong", {}, "A › B"), h("span", { class: "quiet" }, " – the headings that the chunk stands under")),
  );
}

function aboutOf(one) {
  return [
    ["Address", h("span", {}, foreign(one.url, { class: "mono" }), " ", outward(one.url))],
    ["Chunks", format.count(one.chunks)],
    ["Tokens", format.count(one.tokens)],
    ["Type", one.content_type],
    ["Language", one.language],
    ["Author", one.author ? foreign(one.author) : null],
    ["Published", one.published_at ? moment(one.published_at) : null],
    ["Fetched", one.fetched_at ? moment(one.fetched_at) : null],
    ["Indexed", moment(one.indexed_at)],
    ["Model", foreign(one.model)],
    ["Job", one.job_id ? h("a", { class: "mono", href: href(`/jobs/${one.job_id}`) }, one.job_id) : null],
    ["Trace", one.trace_id ? copyable(one.trace_id, "Copy the trace id") : null],
    [
      "Metadata",
      Object.keys(one.metadata).length ? h("pre", {}, JSON.stringify(one.metadata, null, 2).slice(0, 4000)) : null,
    ],
  ];
}

function actions(one, path, corpus, signal) {
  return [
    h("a", { class: "button", href: href("/search", { corpus }) }, "Search its corpus"),
    button(
      "Delete",
      async () => {
        const done = await confirm({
          title: "Delete this document?",
          text: line(one.url),
          verb: "Delete the document",
          work: () => remove("embedding", path, { signal }),
        });
        if (done) {
          toast("The document is deleted.");
          go(`/corpora/${encodeURIComponent(corpus)}`);
        }
      },
      { class: "danger" },
    ),
  ];
}
