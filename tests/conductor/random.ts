/** Random choices that a seed repeats. */
export interface Random {
  seed: number;
  /** From 0 to below the limit. */
  integer(limit: number): number;
  chance(share: number): boolean;
  pick<Item>(items: readonly Item[]): Item;
}

/** Mulberry32. The seed comes from SWITCHYARD_TEST_SEED, else from the clock; it is printed. */
export function seededRandom(what: string): Random {
  const seed = Number(Deno.env.get("SWITCHYARD_TEST_SEED") ?? Date.now() % 2 ** 31);
  console.log(`${what}: SWITCHYARD_TEST_SEED=${seed}`);
  let state = seed;
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const integer = (limit: number) => Math.floor(next() * limit);
  return {
    seed,
    integer,
    chance: (share) => next() < share,
    pick: (items) => items[integer(items.length)]!,
  };
}
