import type { Catalog, Table } from "./catalog.ts";
import type { CronJob } from "./jobs.ts";
import { isTelling, splitName, weigh, wordsOf } from "./words.ts";

export interface Called {
  functionName: string;
  jobs: CronJob[];
  through: string | undefined;
}

export interface Context {
  catalog: Catalog;
  tables: readonly Table[];
  functionWeight: (word: string) => number;
  tableWeight: (word: string) => number;
  /** In how many tables a column is part of a unique key. */
  keyNames: ReadonlyMap<string, number>;
  /** Words that most functions have in their names: the vendor's, probably. */
  vendorWords: ReadonlySet<string>;
}

export function contextOf(catalog: Catalog, called: readonly Called[]): Context {
  return {
    catalog,
    tables: catalog.tables,
    functionWeight: weigh(called.map(({ functionName }) => wordsOf(functionName))),
    tableWeight: weigh(catalog.tables.map(({ name }) => wordsOf(name))),
    keyNames: countKeyNames(catalog.tables),
    vendorWords: vendorWords(called),
  };
}

function countKeyNames(tables: readonly Table[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { keys } of tables) {
    for (const name of new Set(keys.flatMap(({ columns }) => columns))) {
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
  }
  return counts;
}

function vendorWords(called: readonly Called[]): Set<string> {
  if (called.length < 3) return new Set();
  const counts = new Map<string, number>();
  for (const { functionName } of called) {
    for (const word of new Set(splitName(functionName).filter(isTelling))) {
      counts.set(word, (counts.get(word) ?? 0) + 1);
    }
  }
  return new Set(
    [...counts].filter(([, count]) => count > called.length / 2).map(([word]) => word),
  );
}

/** What the registry takes as a name. */
export function isPlain(name: string): boolean {
  return /^[a-z_][a-z0-9_]{0,62}$/.test(name);
}
