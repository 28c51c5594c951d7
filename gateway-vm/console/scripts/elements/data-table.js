// <data-table>: as many rows as one likes, of which those that are seen are in the page. One tab stop; arrows move in it.

import { h, put } from "../core/dom.js";
import { controlsOf, latest, succeed } from "../core/focus.js";
import { plural } from "../core/format.js";
import { problem, skeleton } from "../parts/ui.js";

const ROW_PIXELS = 36; // --row
const BEYOND = 8; // rows drawn above and below those that are seen
const MORE_WITHIN = 60; // rows before the end at which the next ones are asked for
const SKELETON_ROWS = 8;

/**
 * Set `columns`, then `rows`. A column: `{ label, render(row), width, end, from, link }`; `from`: the narrowest table, in
 * pixels, that shows it. The one with `link` is what a row is opened by (`hrefOf`).
 */
class DataTable extends HTMLElement {
  #columns = [];
  #rows = [];
  #shown = [];
  #state = "loading";
  #active = 0;
  #first = -1;
  #last = -1;
  #asking = false;
  #frame = 0;

  keyOf = (row) => row.id;
  hrefOf = () => null;
  label = "Table";
  empty = null;
  more = null; // async () => whether there are more still
  noun = ["row", "rows"];

  connectedCallback() {
    if (this.scroller) return;
    this.table = h("table", { "aria-label": this.label });
    this.head = h("thead");
    this.body = h("tbody");
    this.table.append(this.head, this.body);
    this.scroller = h(
      "div",
      { class: "scroller", role: "region", "aria-label": `${this.label}, scrollable` },
      this.table,
    );
    this.counted = h("span", { role: "status" });
    this.below = h("div", { class: "below" }, this.counted, h("span", {}));
    this.aside = h("div", {});
    this.append(this.aside, this.scroller, this.below);
    this.scroller.addEventListener("scroll", () => this.#later());
    this.scroller.addEventListener("keydown", (event) => this.#key(event));
    this.body.addEventListener("click", (event) => this.#click(event));
    this.body.addEventListener("focusin", (event) => this.#focused(event));
    this.watcher = new ResizeObserver(() => this.#fit());
    this.watcher.observe(this);
    this.#fit(true);
  }

  disconnectedCallback() {
    this.watcher?.disconnect();
    cancelAnimationFrame(this.#frame);
  }

  set columns(columns) {
    this.#columns = columns;
    this.#fit(true);
  }

  get rows() {
    return this.#rows;
  }

  /** The rows that are in the page: from the first one to before the second. */
  get seen() {
    return [Math.max(0, this.#first), Math.max(0, this.#last)];
  }

  /** What is looked at, and what is chosen, stays where it is when rows come before it. */
  set rows(rows) {
    const moved = this.#movedBy(rows);
    this.#rows = rows;
    this.#state = "ready";
    if (moved && this.scroller?.scrollTop > 0) this.scroller.scrollTop += moved * ROW_PIXELS;
    this.#active = Math.max(0, this.#active + moved);
    this.#draw(true);
  }

  #movedBy(rows) {
    if (!this.#rows.length || !rows.length) return 0;
    const key = this.keyOf(this.#rows[0]);
    return Math.max(
      0,
      rows.findIndex((row) => this.keyOf(row) === key),
    );
  }

  /** Begin anew: a skeleton until rows come. */
  loading() {
    this.#rows = [];
    this.#state = "loading";
    this.#active = 0;
    if (this.scroller) this.scroller.scrollTop = 0;
    this.#draw(true);
  }

  failed(error, retry, what) {
    this.#state = "failed";
    if (this.aside) put(this.aside, problem(error, { retry, what }));
    this.#draw(true);
  }

  #fit(force = false) {
    const wide = this.clientWidth || 1200;
    const shown = this.#columns.filter((column) => (column.from ?? 0) <= wide);
    if (!force && shown.length === this.#shown.length) {
      this.#later();
      return;
    }
    this.#shown = shown;
    if (!this.head) return;
    put(
      this.head,
      h(
        "tr",
        {},
        shown.map((column) =>
          h(
            "th",
            { scope: "col", class: column.end ? "end" : "", style: column.width ? { width: `${column.width}px` } : {} },
            column.label,
          ),
        ),
      ),
    );
    this.#draw(true);
  }

  #later() {
    if (this.#frame) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw(false);
    });
  }

  #draw(force) {
    if (!this.scroller || !this.#shown.length) return;
    const rows = this.#rows;
    const quiet = this.#state === "failed" || (this.#state === "ready" && rows.length === 0);
    this.scroller.hidden = quiet;
    this.below.hidden = quiet;
    if (this.#state !== "failed") put(this.aside, quiet ? (this.empty ?? "Nothing here.") : null);
    if (quiet) {
      put(this.body);
      return;
    }
    if (this.#state === "loading") {
      this.#drawSkeleton();
      return;
    }
    const height = this.scroller.clientHeight || 600;
    const first = Math.max(0, Math.floor(this.scroller.scrollTop / ROW_PIXELS) - BEYOND);
    const last = Math.min(rows.length, Math.ceil((this.scroller.scrollTop + height) / ROW_PIXELS) + BEYOND);
    if (force || first !== this.#first || last !== this.#last) this.#drawRows(first, last, force);
    this.#askForMore(last);
  }

  #drawSkeleton() {
    this.#first = -1;
    this.table.setAttribute("aria-busy", "true");
    put(
      this.body,
      Array.from({ length: SKELETON_ROWS }, (_, row) =>
        h(
          "tr",
          {},
          this.#shown.map((column, at) =>
            h("td", { class: column.end ? "end" : "" }, skeleton(`${40 + ((row * 7 + at * 13) % 45)}%`)),
          ),
        ),
      ),
    );
    this.counted.textContent = "Loading";
  }

  #drawRows(first, last, force) {
    const held = this.body.contains(document.activeElement) ? document.activeElement : null;
    const before = [...this.body.children].filter((one) => one.dataset.at);
    const kept = new Map(force ? [] : before.map((one) => [Number(one.dataset.at), one]));
    this.#first = first;
    this.#last = last;
    this.table.removeAttribute("aria-busy");
    this.table.setAttribute("aria-rowcount", String(this.more ? -1 : this.#rows.length + 1));
    const drawn = [];
    for (let at = first; at < last; at += 1) drawn.push(kept.get(at) ?? this.#row(this.#rows[at], at));
    this.#active = Math.min(this.#active, this.#rows.length - 1);
    put(this.body, this.#spacer(first), drawn, this.#spacer(this.#rows.length - last));
    if (force) this.#follow(before, drawn);
    this.#markActive();
    if (held && !this.body.contains(document.activeElement))
      (latest(held) ?? this.#link())?.focus({ preventScroll: true });
    this.counted.textContent = `${plural(this.#rows.length, ...this.noun)}${this.more ? " so far" : ""}`;
  }

  /** What was in a row goes on in the same one as it is drawn now. */
  #follow(before, drawn) {
    const now = new Map(drawn.map((row) => [row.dataset.key, row]));
    for (const row of before)
      if (now.has(row.dataset.key)) succeed(controlsOf(row), controlsOf(now.get(row.dataset.key)));
  }

  #spacer(rows) {
    return rows > 0
      ? h(
          "tr",
          { class: "spacer", "aria-hidden": "true" },
          h("td", { colspan: this.#shown.length, style: { height: `${rows * ROW_PIXELS}px` } }),
        )
      : null;
  }

  #row(row, at) {
    const target = this.hrefOf(row);
    const element = h(
      "tr",
      { "aria-rowindex": at + 2, "data-at": at, "data-key": this.keyOf(row) },
      this.#shown.map((column) => {
        const content = column.render(row);
        return h(
          "td",
          { class: column.end ? "end" : "" },
          column.link && target
            ? h(
                "a",
                {
                  class: "row-link",
                  href: target,
                  tabindex: "-1",
                  "aria-label": content.classList?.contains("address") ? content.title : null,
                },
                content,
              )
            : content,
        );
      }),
    );
    return element;
  }

  #link(at = this.#active) {
    return this.body.querySelector(`tr[data-at="${at}"] :is(a.row-link, button)`);
  }

  #markActive() {
    const links = [...this.body.querySelectorAll("a.row-link")];
    for (const one of links) one.tabIndex = -1;
    const active = this.#link() ?? links[Math.min(BEYOND, links.length - 1)];
    if (active) active.tabIndex = 0;
    if (active) this.scroller.removeAttribute("tabindex");
    else this.scroller.tabIndex = 0; // without links it has to be scrolled by keyboard itself
  }

  #focused(event) {
    const row = event.target.closest("tr[data-at]");
    if (!row) return;
    this.#active = Number(row.dataset.at);
    this.#markActive();
  }

  #key(event) {
    const page = Math.max(1, Math.floor(this.scroller.clientHeight / ROW_PIXELS) - 2);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (
      !(event.key in steps) ||
      event.target.closest("input, select, textarea") ||
      event.ctrlKey ||
      event.metaKey ||
      event.altKey
    )
      return;
    event.preventDefault();
    const to = Math.max(0, Math.min(this.#rows.length - 1, this.#active + steps[event.key]));
    this.#active = to;
    const top = to * ROW_PIXELS;
    const seen = this.scroller.clientHeight - 2 * ROW_PIXELS;
    if (top < this.scroller.scrollTop) this.scroller.scrollTop = top;
    else if (top > this.scroller.scrollTop + seen) this.scroller.scrollTop = top - seen;
    this.#draw(false);
    this.#link(to)?.focus({ preventScroll: true });
  }

  #click(event) {
    if (event.target.closest("a, button, input, copy-text") || String(getSelection()) !== "") return;
    const link = event.target.closest("tr")?.querySelector("a.row-link");
    link?.click();
  }

  async #askForMore(last) {
    if (!this.more || this.#asking || this.#state !== "ready" || last < this.#rows.length - MORE_WITHIN) return;
    this.#asking = true;
    try {
      if (!(await this.more())) this.more = null;
    } finally {
      this.#asking = false;
    }
    this.#draw(true);
  }
}

customElements.define("data-table", DataTable);
