// One page at a time, by the address after `#`: `#/jobs/<id>?status=failed`. Leaving a page aborts all that it began.

const routes = [];
let leave = null;
let current = null;
const listeners = new Set();

/** `route("/jobs/:id", show)`; `show({ params, query, signal, view })` draws the page. */
export function route(pattern, show, section) {
  const names = [];
  const expression = pattern.replace(/:(\w+)/g, (_, name) => {
    names.push(name);
    return "([^/]+)";
  });
  routes.push({ expression: new RegExp(`^${expression}/?$`), names, show, section });
}

export const onNavigate = (listener) => listeners.add(listener);

export function place() {
  const raw = location.hash.replace(/^#/, "") || "/";
  const at = raw.indexOf("?");
  return { path: at < 0 ? raw : raw.slice(0, at), query: new URLSearchParams(at < 0 ? "" : raw.slice(at + 1)) };
}

export function href(path, query = {}) {
  const parameters = new URLSearchParams(
    Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== ""),
  );
  const text = parameters.toString();
  return `#${path}${text ? `?${text}` : ""}`;
}

export const go = (path, query) => {
  location.hash = href(path, query);
};

/** Remember in the address how a page is looked at, without beginning the page anew. */
export function setQuery(query) {
  history.replaceState(null, "", href(place().path, query));
}

/** Draw the page that the address names. */
export function show() {
  leave?.abort();
  leave = new AbortController();
  const { path, query } = place();
  current = null;
  for (const { expression, names, show: draw, section } of routes) {
    const found = expression.exec(path);
    if (!found) continue;
    const params = Object.fromEntries(names.map((name, at) => [name, decoded(found[at + 1])]));
    current = { draw, params, query, section, signal: leave.signal };
    break;
  }
  for (const listener of listeners) listener(current);
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export function stop() {
  leave?.abort();
}

export function start() {
  addEventListener("hashchange", show);
  show();
}
