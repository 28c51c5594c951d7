// Many wishes for the same work, and one piece of work for all that come within a moment.

import { isAborted } from "./api.js";

/** One call of `work` for all that ask for it within so many milliseconds; what fails is told to `failed`. */
export function together(work, milliseconds, failed = () => {}) {
  let timer = 0;
  return () => {
    timer ||= setTimeout(() => {
      timer = 0;
      work().catch((error) => {
        if (!isAborted(error)) failed(error);
      });
    }, milliseconds);
  };
}
