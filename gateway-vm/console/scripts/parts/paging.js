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
