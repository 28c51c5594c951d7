// A list of the API in a table: the first page, the next ones as one comes near the end, and what is new meanwhile.

import { isAborted, isMissing } from "../core/api.js";
import { ask } from "../core/live.js";
import { toast } from "./ui.js";

/**
 * Fill a `<data-table>`.
 *
 * @param read `(cursor) => page`, with `items` and `next_cursor`
 * @param what what it is called where it can't be read
 * @param every how often the first page is read again, in milliseconds; never unless given
 */
export async function fill(table, read, { signal, what, every }) {
  table.loading();
  try {
    const page = await read();
    let cursor = page.next_cursor;
    table.more = cursor
      ? async () => {
          try {
            const next = await read(cursor);
            cursor = next.next_cursor;
            const known = new Set(table.rows.map(table.keyOf));
            table.rows = [...table.rows, ...next.items.filter((row) => !known.has(table.keyOf(row)))];
            return Boolean(cursor);
          } catch (error) {
            if (!isAborted(error)) toast(`The next ${table.noun[1]} can't be read: ${error.message}`, { bad: true });
            return false;
          }
        }
      : null;
    table.rows = page.items;
  } catch (error) {
    if (!signal.aborted)
      table.failed(error, isMissing(error) ? undefined : () => fill(table, read, { signal, what, every }), what);
    return;
  }
  if (every) ask(() => refresh(table, read, signal), signal, every);
}

/** Put the newest rows before, or in place of, those that are there. A failure is told by the next try, if it lasts. */
async function refresh(table, read, signal) {
  try {
    const { items } = await read();
    const newest = new Map(items.map((row) => [table.keyOf(row), row]));
    const known = new Map(table.rows.map((row) => [table.keyOf(row), row]));
    if (items.every((row) => JSON.stringify(known.get(table.keyOf(row))) === JSON.stringify(row))) return;
    table.rows = [...items, ...table.rows.filter((row) => !newest.has(table.keyOf(row)))];
  } catch (error) {
    if (signal.aborted) throw error;
  }
}

/**
 * Fill a `<data-table>` with a list whose new rows come at its end, and return what reads again those that are seen.
 *
 * @param read `(cursor) => page`; it keeps its order, so that a page that is read again begins where it did
 */
export async function grow(table, read, { signal, what }) {
  const pages = [];
  const last = () => pages[pages.length - 1];
  const rowsOf = () => {
    const met = new Map();
    for (const page of pages) for (const row of page.items) met.set(table.keyOf(row), row);
    return [...met.values()];
  };
  const load = async (at, cursor) => {
    const page = await read(cursor);
    pages[at] = { cursor, items: page.items, next: page.next_cursor };
  };
  const more = async () => {
    try {
      if (last().next) await load(pages.length, last().next);
      else await load(pages.length - 1, last().cursor);
      table.rows = rowsOf();
      return Boolean(last().next);
    } catch (error) {
      if (!isAborted(error)) toast(`The next ${table.noun[1]} can't be read: ${error.message}`, { bad: true });
      return false;
    }
  };
  const begin = async () => {
    table.loading();
    try {
      await load(0, undefined);
      table.more = last().next ? more : null;
      table.rows = rowsOf();
    } catch (error) {
      if (!signal.aborted) table.failed(error, isMissing(error) ? undefined : begin, what);
    }
  };
  await begin();
  return async () => {
    if (!pages.length) return;
    try {
      const before = JSON.stringify(rowsOf());
      for (const at of seenPages(pages, table.seen)) await load(at, pages[at].cursor);
      if (last().next) table.more = more;
      if (JSON.stringify(rowsOf()) !== before) table.rows = rowsOf();
    } catch (error) {
      if (signal.aborted) return; // a failure is told by the next try, if it lasts
    }
  };
}

/** Which pages have rows from one to another, at most so many of them. */
function seenPages(pages, [first, last], most = 2) {
  const found = [];
  let from = 0;
  for (const [at, page] of pages.entries()) {
    const to = from + page.items.length;
    if ((to > first && from < last) || (at === pages.length - 1 && from <= last)) found.push(at);
    from = to;
  }
  return found.slice(-most);
}
