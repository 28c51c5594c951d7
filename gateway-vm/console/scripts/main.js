// What the console is made of: the key, the frame, and a page at a time.

import { ApiProblem, get } from "./core/api.js";
import { h, put } from "./core/dom.js";
import * as router from "./core/router.js";
import { forget, key, onChange, remember } from "./core/session.js";
import { openIndexing } from "./parts/indexing.js";
import { showShortcuts } from "./parts/dialogs.js";
import { icon } from "./parts/icons.js";
import { field, problem, toastPlace } from "./parts/ui.js";

const SECTIONS = [
  ["overview", "/", "Overview"],
  ["search", "/search", "Search"],
  ["jobs", "/jobs", "Jobs", true],
  ["batches", "/batches", "Batches"],
  ["crawls", "/crawls", "Crawls"],
  ["corpora", "/corpora", "Corpora"],
  ["webhooks", "/webhooks", "Webhooks", true],
  ["api", "/api", "API"],
];
const PAGES = [
  ["/", "overview", "overview"],
  ["/search", "search", "search"],
  ["/jobs", "jobs", "jobs"],
  ["/jobs/:id", "job", "jobs"],
  ["/batches", "batches", "batches"],
  ["/batches/:id", "batch", "batches"],
  ["/crawls", "crawls", "crawls"],
  ["/crawls/:id", "crawl", "crawls"],
  ["/crawls/:id/runs/:run", "run", "crawls"],
  ["/corpora", "corpora", "corpora"],
  ["/corpora/:name", "documents", "corpora"],
  ["/corpora/:name/:id", "document", "corpora"],
  ["/webhooks", "webhooks", "webhooks"],
  ["/webhooks/:id", "webhook", "webhooks"],
  ["/api", "api", "api"],
];

for (const [pattern, module, section] of PAGES) {
  router.route(pattern, async (context) => (await import(`./pages/${module}.js`)).show(context), section);
}

const brand = () => [
  h("img", { src: "console/icon.svg", alt: "", width: 26, height: 26 }),
  h("span", {}, "CloudCIX ML", h("small", {}, "index and search")),
];

// the key

function askForKey(why) {
  router.stop();
  document.title = "Sign in · CloudCIX ML";
  const said = h("div", {}, why ? h("p", { class: "notice warn", role: "status" }, why) : null);
  const input = h("input", {
    type: "password",
    autocomplete: "off",
    spellcheck: "false",
    required: true,
    autocapitalize: "none",
    placeholder: "API key",
  });
  const submit = h("button", { type: "submit", class: "primary" }, "Open the console");
  const form = h(
    "form",
    {
      class: "card",
      onsubmit: async (event) => {
        event.preventDefault();
        submit.disabled = true;
        const typed = input.value.trim();
        try {
          await tryKey(typed);
          remember(typed);
        } catch (error) {
          put(said, problem(error));
          submit.disabled = false;
          input.focus();
        }
      },
    },
    h("h1", { class: "brand", tabindex: "-1" }, brand()),
    h("p", { class: "quiet" }, "Turn pages into a corpus, and search it by meaning and by word."),
    field("API key", input, { hint: "It stays in this tab, and is gone when you close it." }),
    said,
    submit,
  );
  put(document.body, h("main", { class: "gate" }, form), toastPlace());
  input.focus();
}

async function tryKey(typed) {
  if (!/^[\x21-\x7e]+$/.test(typed))
    throw new ApiProblem(401, {
      detail: "An API key has letters, digits and signs only, without spaces.",
      code: "unauthorized",
    });
  await get("orchestrator", "jobs", { query: { limit: 1 }, headers: { "X-API-Key": typed }, once: true });
}

// the frame

let main;
let links;

function drawFrame() {
  main = h("main", { class: "content", id: "main", tabindex: "-1" });
  links = new Map();
  const nav = h(
    "nav",
    { "aria-label": "Pages" },
    h(
      "ul",
      {},
      SECTIONS.map((section) => {
        const [name, path, text, apart] = section;
        const link = h("a", { href: router.href(path) }, icon(name), text);
        links.set(name, link);
        return h("li", apart ? { class: "apart" } : {}, link);
      }),
    ),
  );
  const foot = h(
    "div",
    { class: "foot" },
    h("button", { type: "button", onclick: () => openIndexing() }, icon("add"), h("span", {}, "Index something")),
    h("button", { type: "button", onclick: showShortcuts, "aria-label": "Keys" }, icon("keys"), h("span", {}, "Keys")),
    h(
      "button",
      { type: "button", onclick: changeTheme, "aria-label": "Light or dark" },
      icon("theme"),
      h("span", {}, "Light or dark"),
    ),
    h(
      "button",
      { type: "button", onclick: () => forget("The key is forgotten."), "aria-label": "Forget the key" },
      icon("leave"),
      h("span", {}, "Forget the key"),
    ),
  );
  put(
    document.body,
    h("button", { type: "button", class: "skip", onclick: () => main.focus() }, "Skip to the page"),
    h(
      "div",
      { class: "frame" },
      h(
        "header",
        { class: "side" },
        h("a", { class: "brand", href: "#/", "aria-label": "CloudCIX ML: overview" }, brand()),
        nav,
        foot,
      ),
      main,
    ),
    toastPlace(),
  );
}

function changeTheme() {
  const dark = document.documentElement.dataset.theme
    ? document.documentElement.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("cloudcix-ml.theme", document.documentElement.dataset.theme);
}

let first = true;

async function drawPage(found) {
  if (!key()) {
    askForKey("");
    return;
  }
  if (!main?.isConnected) drawFrame();
  for (const [name, link] of links) {
    if (name === found?.section) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const view = h("div", {});
  put(main, view);
  scrollTo(0, 0);
  if (!found) {
    put(view, h("h1", { tabindex: "-1" }, "There is no such page"), h("p", {}, h("a", { href: "#/" }, "Overview")));
    return;
  }
  try {
    await found.draw({ ...found, view });
  } catch (error) {
    if (!found.signal.aborted) put(view, problem(error, { retry: router.show }));
  }
  if (found.signal.aborted) return;
  const heading = view.querySelector("h1");
  document.title = `${heading?.textContent ?? "Console"} · CloudCIX ML`;
  if (!first && !view.contains(document.activeElement)) heading?.focus({ preventScroll: true });
  first = false;
}

// keys

let before = "";
addEventListener("keydown", (event) => {
  if (
    event.ctrlKey ||
    event.metaKey ||
    event.altKey ||
    !key() ||
    document.querySelector("dialog[open]") ||
    event.target.closest?.("input, select, textarea")
  )
    return;
  const pair = `${before}${event.key}`;
  before = event.key === "g" ? "g" : "";
  const target = { go: "/", gj: "/jobs", gb: "/batches", gc: "/corpora", "/": "/search" }[pair];
  if (target) router.go(target);
  else if (event.key === "?") showShortcuts();
  else if (event.key === "i") openIndexing();
  else return;
  event.preventDefault();
});

onChange((why) => {
  if (key()) {
    put(document.body);
    router.show();
  } else askForKey(why);
});
router.onNavigate(drawPage);
router.start();
