// What belongs to a crawl, as fields: for a new one, and for one that is changed.

import { h } from "../core/dom.js";
import { scheduleFields } from "./schedule-fields.js";
import { check, field, fold, select } from "./ui.js";

export const SOURCES = [
  ["site", "A site: its sitemaps, then its links"],
  ["page", "A page, and what it links to"],
  ["sitemap", "A sitemap"],
  ["feed", "A feed (RSS, Atom)"],
  ["list", "A list of pages, and no others"],
];
const GONE = [
  ["delete", "Remove its document"],
  ["keep", "Keep its document"],
];
const LINKS = [
  ["", "As is usual for its kind"],
  ["true", "Follow"],
  ["false", "Do not follow"],
];
const globsOf = (control) => control.value.split(/\s+/).filter(Boolean);
const asked = (control) => (control.value === "" ? undefined : Number(control.value));

/** What can be changed of a crawl later too. `read()` gives the fields of the API's requests. */
export function crawlFields(crawl = {}) {
  const schedule = scheduleFields(crawl.schedule);
  const globs = (value, placeholder) =>
    h("textarea", { rows: 2, class: "mono low", spellcheck: "false", placeholder, value: (value ?? []).join("\n") });
  const include = globs(crawl.include, "/docs/*");
  const exclude = globs(crawl.exclude, "/docs/archive/*");
  const pages = h("input", { type: "number", min: 1, max: 100_000, value: crawl.max_pages ?? 1000 });
  const depth = h("input", { type: "number", min: 0, max: 50, value: crawl.max_depth ?? 10 });
  const gone = select(GONE, crawl.on_gone ?? "delete");
  const subdomains = check("Hosts below the site's belong to it, too", crawl.subdomains);
  const query = check("Keep tracking parameters in addresses (utm_…, gclid, …)", crawl.keep_query);
  return {
    schedule: schedule.element,
    scope: fold("What belongs to it", [
      h(
        "div",
        { class: "grid columns-2" },
        field("Only paths like", include, { hint: "One a line; * is anything. All, if empty." }),
        field("Never paths like", exclude, { hint: "They win." }),
        field("Pages at most", pages),
        field("Links deep at most", depth),
        field("A page that is gone", gone, { hint: "Gone: not there in two runs in a row." }),
      ),
      subdomains.element,
      query.element,
    ]),
    read: () => ({
      include: globsOf(include),
      exclude: globsOf(exclude),
      max_pages: asked(pages),
      max_depth: asked(depth),
      on_gone: gone.value,
      subdomains: subdomains.input.checked,
      keep_query: query.input.checked,
      schedule: schedule.read(),
    }),
  };
}

/** All of a new crawl: where it begins, and what belongs to it. */
export function newCrawlFields(url = "") {
  const site = h("input", { type: "url", placeholder: "https://example.com/docs/", value: url });
  const list = h("textarea", {
    rows: 4,
    spellcheck: "false",
    placeholder: "https://example.com/page\nhttps://example.com/another",
  });
  const source = select(SOURCES, "site", { onchange: () => draw() });
  const links = select(LINKS, "");
  const dry = check("Only find the pages, and index none (a dry run)");
  const more = crawlFields();
  const place = h("div", {});
  function draw() {
    place.replaceChildren(
      source.value === "list"
        ? field("Addresses", list, { hint: "One a line." })
        : field("The site's address", site, {
            hint: "Its pages are found from there, and looked at again when you say so.",
          }),
    );
  }
  draw();
  const fields = more.scope.querySelector(".grid");
  fields.append(field("Links in pages", links));
  more.scope.querySelector(".folded").append(dry.element);
  return {
    element: h("div", { class: "grid" }, place, field("What it is", source), more.schedule),
    scope: more.scope,
    focus: () => (source.value === "list" ? list : site).focus(),
    read: () => {
      const beginning =
        source.value === "list" ? { urls: list.value.split(/\s+/).filter(Boolean) } : { url: site.value.trim() };
      if (source.value === "list" ? !beginning.urls.length : !beginning.url)
        throw new Error("Give an address, such as https://example.com/docs/");
      const { schedule, ...kept } = more.read();
      return {
        source: source.value,
        ...beginning,
        ...kept,
        ...(schedule ? { schedule } : {}),
        ...(links.value ? { follow_links: links.value === "true" } : {}),
        ...(dry.input.checked ? { dry_run: true } : {}),
      };
    },
  };
}
