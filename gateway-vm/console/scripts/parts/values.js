// Values of metadata, as one types them: JSON where it is JSON, else text. So does the command line (`-f year=2026`).

/** JSON, with every number as it stands there; a `SyntaxError` or a `RangeError` where it is none, or can't be kept so. */
export function exactJson(text) {
  return JSON.parse(text, (_name, value) => {
    if (typeof value === "number" && !(Number.isInteger(value) ? Number.isSafeInteger(value) : Number.isFinite(value)))
      throw new RangeError("A number in it has more digits than a browser keeps; send it with the client or with curl.");
    return value;
  });
}

/** What was typed: a number, true, false, null, a list or an object; text in quotes, and whatever else, is text. */
export function valueOf(typed) {
  try {
    return exactJson(typed);
  } catch (error) {
    if (!(error instanceof SyntaxError || error instanceof RangeError)) throw error;
    return typed;
  }
}

/** A value with its kind, in words. */
export function told(value) {
  if (typeof value === "string") return value ? `the text ${value}` : "an empty text";
  if (typeof value === "number") return `the number ${value}`;
  if (Array.isArray(value)) return `a list that has ${JSON.stringify(value).slice(1, -1) || "anything"}`;
  if (value !== null && typeof value === "object") return `an object that has ${JSON.stringify(value)}`;
  return `${value}, and not the text`;
}
