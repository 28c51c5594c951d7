// The API key: in this tab's sessionStorage and nowhere else, so that it is gone with the tab.

const KEY = "cloudcix-ml.key";
const listeners = new Set();

export const key = () => sessionStorage.getItem(KEY);

export function remember(value) {
  sessionStorage.setItem(KEY, value);
  tell();
}

export function forget(why = "") {
  if (!sessionStorage.getItem(KEY)) return;
  sessionStorage.removeItem(KEY);
  tell(why);
}

/** Be told when there is a key, or no key any more; with the reason, where somebody gave one. */
export const onChange = (listener) => listeners.add(listener);

function tell(why = "") {
  for (const listener of listeners) listener(why);
}
