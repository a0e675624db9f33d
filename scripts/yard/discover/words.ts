/** Words of names, as far as they say what something is about. */

/** What a function does, and how often, says nothing about its table. */
const EMPTY_WORDS = new Set(
  ("fetch get sync synchronize refresh update upsert pull import load ingest poll scrape crawl " +
    "collect download grab retrieve cron job schedule scheduled task run runner invoke trigger call " +
    "worker edge function func fn api data db the all every each from to for of and with in by " +
    "minute minutely hour hourly day daily night nightly week weekly month monthly quarter quarterly " +
    "year yearly annual annually tbl table public app v1 v2 v3 prod production").split(" "),
);

/** `fetch-fmp-quoteIndicators` → `fetch`, `fmp`, `quote`, `indicators`. */
export function splitName(name: string): string[] {
  return name
    .replaceAll(/([a-z0-9])([A-Z])/g, "$1 $2")
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter((word) => word !== "" && !/^\d+$/.test(word));
}

/** The words that say something, in the singular; all of them when none does. */
export function wordsOf(name: string): string[] {
  const words = splitName(name).map(singular);
  const telling = words.filter((word) => !EMPTY_WORDS.has(word));
  return [...new Set(telling.length === 0 ? words : telling)];
}

/** Whether a word of a name says something. */
export function isTelling(word: string): boolean {
  return !EMPTY_WORDS.has(singular(word));
}

/** The singular of an English word, near enough to compare two names. */
export function singular(word: string): string {
  if (word.length <= 3 || /(?:ss|us|is)$/.test(word)) return word;
  if (word.endsWith("ies")) return `${word.slice(0, -3)}y`;
  if (/(?:ss|x|z|ch|sh|us)es$/.test(word)) return word.slice(0, -2);
  return word.endsWith("s") ? word.slice(0, -1) : word;
}

/** How alike two words are: 1 the same, 0 not. */
export function likeness(one: string, other: string): number {
  if (one === other) return 1;
  const [short, long] = one.length < other.length ? [one, other] : [other, one];
  return short.length >= 4 && long.startsWith(short) ? 0.7 : 0;
}

/** How much each word tells: one that most of the names have tells little. 0.1 to 1. */
export function weigh(names: readonly (readonly string[])[]): (word: string) => number {
  const count = new Map<string, number>();
  for (const words of names) {
    for (const word of new Set(words)) count.set(word, (count.get(word) ?? 0) + 1);
  }
  const total = names.length;
  return (word) => {
    if (total < 3) return 1;
    const share = Math.log((total + 1) / (count.get(word) ?? 1)) / Math.log(total + 1);
    return Math.max(0.1, share);
  };
}
