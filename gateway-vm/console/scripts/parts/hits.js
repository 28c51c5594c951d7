// A passage that was found: where it stands, its words, and why it is at this place.

import { address, foreign, h, line } from "../core/dom.js";
import { href } from "../core/router.js";
import { tag } from "./ui.js";

const MOST = 4_000; // characters of a passage that are drawn

export function hit(one, rank, mode) {
  const title = one.title ? foreign(one.title) : address(one.url);
  const path = one.heading_path.map((each) => line(each, 80)).join(" › ");
  return h(
    "li",
    { class: "card hit" },
    h(
      "h3",
      {},
      h("span", { class: "faint" }, `${rank}. `),
      h(
        "a",
        {
          href: href(`/corpora/${encodeURIComponent(one.corpus_name)}/${one.document_id}`, { chunk: one.chunk_index }),
        },
        title,
      ),
    ),
    h("p", { class: "where" }, address(one.url), path ? [" · ", foreign(path)] : null),
    columns(one.table_header),
    h(
      "p",
      { class: "passage", tabindex: "0", dir: "auto", role: "group", "aria-label": `Passage ${rank}` },
      highlighted(one),
    ),
    h("p", { class: "why" }, why(one, mode), tag(`chunk ${one.chunk_index}`)),
  );
}

/** The names of the columns, of a passage that goes on with a table: else nobody knows what stands in which. */
export function columns(header) {
  if (!header) return null;
  const names = header.split("\n", 1)[0];
  return h("p", { class: "columns" }, foreign(names));
}

function why(one, mode) {
  const legs = one.why ?? {};
  const tags = [];
  if (legs.vector)
    tags.push(
      tag(`meaning #${legs.vector.rank} · ${legs.vector.score.toFixed(3)}`, {
        title: "Its rank and score by meaning alone",
      }),
    );
  else if (mode !== "text") tags.push(tag("meaning –", { title: "Not among the best by meaning" }));
  if (legs.text)
    tags.push(
      tag(`words #${legs.text.rank} · ${legs.text.score.toFixed(3)}`, { title: "Its rank and score by words alone" }),
    );
  else if (mode !== "vector") tags.push(tag("words –", { title: "Not among the best by words" }));
  if (legs.rerank)
    tags.push(
      tag(`reranked #${legs.rerank.rank} · ${legs.rerank.score.toFixed(3)}`, {
        title: "Its rank and score by a model that has read both, which ordered it here",
      }),
    );
  const place = legs.rerank ? "What it had before it was ranked anew" : "What ordered it here";
  tags.push(tag(`score ${one.score.toFixed(4)}`, { title: place }));
  return tags;
}

/** The passage with what was searched for marked. Places are code points. */
function highlighted(one) {
  const text = one.text.slice(0, MOST);
  if (!one.highlights?.length) return tight(text);
  const points = Array.from(text);
  const parts = [];
  let from = 0;
  for (const [start, end] of one.highlights) {
    if (start < from || start >= points.length) continue;
    parts.push(tight(points.slice(from, start).join("")), h("mark", {}, points.slice(start, end).join("")));
    from = end;
  }
  parts.push(tight(points.slice(from).join("")));
  return parts;
}

/** Without empty lines: a passage is there to be glanced at. */
const tight = (text) => text.replace(/\n\s*\n/g, "\n");
