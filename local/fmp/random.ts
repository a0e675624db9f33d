/** Deterministic numbers: the same inputs give the same value in every process. */

/** Mixes a text into 32 unsigned bits (FNV-1a, then Murmur3's finaliser). */
export function hash32(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  return mix(hash);
}

/** A value in [0, 1) that belongs to the given parts. */
export function uniform(...parts: readonly (string | number)[]): number {
  return hash32(parts.join("\u0000")) / 0x1_0000_0000;
}

/** A value in [low, high) that belongs to the given parts. */
export function between(low: number, high: number, ...parts: readonly (string | number)[]): number {
  return low + (high - low) * uniform(...parts);
}

/** One of `choices`, picked by the given parts. `choices` must not be empty. */
export function pick<T>(choices: readonly T[], ...parts: readonly (string | number)[]): T {
  const choice = choices[Math.floor(uniform(...parts) * choices.length)];
  if (choice === undefined) throw new Error("Cannot pick from an empty list");
  return choice;
}

/** Smooth noise in [-1, 1] along `x`, with a fresh value at every whole number. */
export function smoothNoise(seed: number, x: number): number {
  const left = Math.floor(x);
  const part = x - left;
  const eased = part * part * (3 - 2 * part);
  const from = lattice(seed, left);
  return from + (lattice(seed, left + 1) - from) * eased;
}

function lattice(seed: number, index: number): number {
  return mix(seed ^ Math.imul(index, 0x9e3779b1)) / 0x8000_0000 - 1;
}

function mix(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** Rounds to a number of decimal places. */
export function round(value: number, places: number): number {
  const scale = 10 ** places;
  return Math.round(value * scale) / scale;
}
