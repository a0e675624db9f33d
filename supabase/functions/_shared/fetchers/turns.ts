const HOUR_MS = 3_600_000;

/**
 * At most `most` of the items, chosen by the hour alone, so that nothing has to be remembered.
 *
 * Asked for each hour, all items come in each round, of as many hours as there are turns. The order
 * of the turns is another one in each round: in a fixed order an interval of some hours could always
 * meet the same few.
 */
export function inTurn(items: readonly string[], most: number, now: Date): readonly string[] {
  if (most <= 0) return [];
  if (items.length <= most) return items;
  // A prime, so that any step but 0 leads through all turns.
  let turns = Math.ceil(items.length / most);
  while (!isPrime(turns)) turns += 1;
  const hour = Math.floor(now.getTime() / HOUR_MS);
  const mixed = mix(Math.floor(hour / turns));
  const step = 1 + mixed % (turns - 1);
  const turn = (mixed + step * (hour % turns)) % turns;
  return items.toSorted().filter((_item, place) => place % turns === turn);
}

/** A whole number of 32 bits that has little to do with that for the next one. */
function mix(number: number): number {
  let mixed = Math.imul(number ^ (number >>> 16), 0x45d9f3b);
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x45d9f3b);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

function isPrime(number: number): boolean {
  for (let divisor = 2; divisor * divisor <= number; divisor++) {
    if (number % divisor === 0) return false;
  }
  return true;
}
