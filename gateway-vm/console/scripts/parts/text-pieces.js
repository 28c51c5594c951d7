// A text as its chunks tell it, in pieces that do not overlap: where a chunk begins or ends, a piece ends.

const MOST = 8_000; // characters of one piece: a word of a megabyte is drawn in parts, too

/**
 * The pieces that chunk `at` adds: what is its own, and what it shares with the one after it.
 *
 * @param chunks `[{ start, end, text }]` in order; `start` and `end` are code points of the document
 * @returns `[{ text, shared, first }]`; `first`: whether a chunk begins here, and which
 */
export function piecesOf(chunks, at) {
  const chunk = chunks[at];
  const before = chunks[at - 1];
  const after = chunks[at + 1];
  const begin = before && follows(before, chunk) ? Math.max(chunk.start, Math.min(before.end, chunk.end)) : chunk.start;
  const own = after && follows(chunk, after) ? Math.max(begin, Math.min(chunk.end, after.start)) : chunk.end;
  const found = [];
  add(found, cut(chunk, begin, own), { shared: false, first: begin === chunk.start ? at : null });
  add(found, cut(chunk, own, chunk.end), { shared: true, first: own === after?.start ? at + 1 : null });
  return found;
}

/** Whether a chunk stands after another one in the same text. (Who hands in chunks may leave their places out.) */
const follows = (one, next) => next.start >= one.start && next.end >= one.end;

function add(found, text, about) {
  for (let from = 0; from < text.length; from += MOST)
    found.push({ text: text.slice(from, from + MOST), ...about, first: from === 0 ? about.first : null });
}

/** The part of a chunk between two places of the document. JavaScript counts some characters as two. */
function cut(chunk, from, to) {
  if (to <= from) return "";
  if (from === chunk.start && to >= chunk.end) return chunk.text;
  const points = /[\ud800-\udbff]/.test(chunk.text) ? Array.from(chunk.text) : null;
  return points
    ? points.slice(from - chunk.start, to - chunk.start).join("")
    : chunk.text.slice(from - chunk.start, to - chunk.start);
}
