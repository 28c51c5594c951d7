// Pages by path: folders that open, each with what became of what is in it.

import { foreign, h } from "../core/dom.js";
import { count } from "../core/format.js";
import { status } from "./ui.js";

const MOST_CHILDREN = 500;

export function pathTree(pages, cut) {
  const root = { folders: new Map(), pages: [], outcomes: new Map(), total: 0 };
  for (const page of pages) add(root, page);
  return h(
    "div",
    { class: "card tree" },
    cut ? h("p", { class: "notice warn" }, `The first ${count(pages.length)} pages; filter for others.`) : null,
    h("ul", { "aria-label": "Pages by path" }, children(root, 0)),
  );
}

function add(root, page) {
  let url;
  try {
    url = new URL(page.url);
  } catch {
    url = { host: "other", pathname: page.url, search: "" };
  }
  const parts = [url.host, ...url.pathname.split("/").filter(Boolean)];
  let at = root;
  for (const name of [...parts.slice(0, -1), null]) {
    at.total += 1;
    const outcome = page.outcome ?? page.state;
    at.outcomes.set(outcome, (at.outcomes.get(outcome) ?? 0) + 1);
    if (name === null) break;
    if (!at.folders.has(name)) at.folders.set(name, { folders: new Map(), pages: [], outcomes: new Map(), total: 0 });
    at = at.folders.get(name);
  }
  at.pages.push({ name: (parts.length > 1 ? parts.at(-1) : `${parts[0]}/`) + url.search, page });
}

function children(node, depth) {
  const folders = [...node.folders]
    .sort(([one], [other]) => one.localeCompare(other))
    .map(([name, folder]) => {
      const list = h("ul", {});
      const details = h(
        "details",
        { open: depth < 1 },
        h(
          "summary",
          {},
          foreign(name, { class: "mono" }),
          " ",
          h(
            "span",
            { class: "quiet" },
            [...folder.outcomes].map(([outcome, amount]) => `${count(amount)} ${outcome}`).join(" · "),
          ),
        ),
        list,
      );
      const fill = () => {
        if (details.open && !list.children.length) list.append(...children(folder, depth + 1));
      }; // a large tree is made as it is opened
      details.addEventListener("toggle", fill);
      fill();
      return h("li", {}, details);
    });
  const leaves = node.pages
    .slice(0, MOST_CHILDREN)
    .map(({ name, page }) =>
      h(
        "li",
        { class: "leaf" },
        status(page.outcome ?? page.state),
        foreign(name, { class: "mono" }),
        page.reason ? h("span", { class: "quiet" }, page.reason.replaceAll("_", " ")) : null,
      ),
    );
  return [
    ...folders,
    ...leaves,
    node.pages.length > MOST_CHILDREN
      ? h("li", { class: "leaf quiet" }, `and ${count(node.pages.length - MOST_CHILDREN)} more`)
      : null,
  ].filter(Boolean);
}
