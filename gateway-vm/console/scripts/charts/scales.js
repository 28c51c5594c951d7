// Steps that people count in.

/** The least round and even number at or above a value, so that half of it is a number to read, too. */
export function roundUp(value) {
  if (value <= 2) return 2;
  const power = 10 ** Math.floor(Math.log10(value));
  const steps = power === 1 ? [2, 4, 6, 8, 10] : [1, 1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8, 10];
  return steps.map((step) => step * power).find((step) => step >= value);
}

const TIMES = [
  0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400, 604800, 2592000,
];

/** A step in seconds that divides a stretch into at most so many. */
export const timeStep = (seconds, most) => TIMES.find((step) => seconds / step <= most) ?? seconds / most;
