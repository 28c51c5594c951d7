// Pages by path: folders that open, each with what became of what is in it.

import { foreign, h, line } from "../core/dom.js";
import { count, words } from "../core/format.js";
import { href } from "../core/router.js";
import { bar, status, toneOf } from "./ui.js";

const MOST_CHILDREN = 500;
const ORDER = ["new", "changed", "removed", "failed", "unchanged", "skipped", "open", "waiting"];

/** `open`: the folders that are open, by their path; what is opened and closed is kept there. */
export function pathTree(pages, { cut = false, open = new Set() } = {}) {
  const root = folderOf("");
  for (const page of pages) add(root, page);
  if (!open.size) for (const folder of root.folders.values()) open.add(folder.path); // the hosts, at first
  return h(
    "div",
    { class: "card tree" },
    cut ? h("p", { class: "notice warn" }, `The first ${count(pages.length)} pages; filter for others.`) : null,
    h("ul", { "aria-label": "Pages by path" }, children(root, open)),
  );
}

const folderOf = (path) => ({ path, folders: new Map(), pages: [], outcomes: new Map(), total: 0 });

function add(root, page) {
  let url;
  try {
    url = new URL(page.url);
  } catch {
    url = { host: "other", pathname: page.url, search: "" };
  }
  const parts = [url.host, ...url.pathname.split("/").filter(Boolean)];
  // a path that ends in a slash is the folder itself, as servers mean it
  const folders = url.pathname.endsWith("/") ? parts : parts.slice(0, -1);
  let at = root;
  for (const name of [...folders, null]) {
    at.total += 1;
    const outcome = page.outcome ?? page.state;
    at.outcomes.set(outcome, (at.outcomes.get(outcome) ?? 0) + 1);
    if (name === null) break;
    if (!at.folders.has(name)) at.folders.set(name, folderOf(`${at.path}/${name}`));
    at = at.folders.get(name);
  }
  at.pages.push({ name: (folders === parts ? "/" : parts.at(-1)) + url.search, page });
}

function children(node, open) {
  const folders = [...node.folders]
    .sort(([one], [other]) => one.localeCompare(other))
    .map(([name, folder]) => h("li", {}, branch(name, folder, open)));
  const leaves = node.pages.slice(0, MOST_CHILDREN).map(leaf);
  const rest = node.pages.length - leaves.length;
  return [...leaves, ...folders, rest ? h("li", { class: "leaf quiet" }, `and ${count(rest)} more`) : null].filter(
    Boolean,
  );
}

function branch(name, folder, open) {
  const list = h("ul", {});
  const outcomes = [...folder.outcomes].sort(([one], [other]) => ORDER.indexOf(one) - ORDER.indexOf(other));
  const told = outcomes.map(([outcome, amount]) => `${count(amount)} ${words(outcome)}`).join(", ");
  const details = h(
    "details",
    { open: open.has(folder.path) },
    h(
      "summary",
      {},
      foreign(name, { class: "mono name" }),
      bar(
        outcomes.map(([outcome, amount]) => [toneOf(outcome), amount]),
        folder.total,
        told,
      ),
      h("span", { class: "quiet", "aria-hidden": "true" }, told.replaceAll(", ", " · ")),
    ),
    list,
  );
  const fill = () => {
    if (details.open && !list.children.length) list.append(...children(folder, open));
  }; // a large tree is made as it is opened
  details.addEventListener("toggle", () => {
    if (details.open) open.add(folder.path);
    else open.delete(folder.path);
    fill();
  });
  fill();
  return details;
}

function leaf({ name, page }) {
  const told = foreign(name, { class: "mono name", title: line(page.url, 500) });
  const why = [page.reason ? words(line(page.reason, 60)) : null, page.detail ? line(page.detail, 160) : null];
  return h(
    "li",
    { class: "leaf" },
    page.job_id ? h("a", { href: href(`/jobs/${page.job_id}`) }, told) : told,
    status(page.outcome ?? page.state),
    h("span", { class: "quiet" }, why.filter(Boolean).join(" · ")),
  );
}
