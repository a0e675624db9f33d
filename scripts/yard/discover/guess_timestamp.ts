import type { Table } from "./catalog.ts";
import { isPlain } from "./context.ts";
import type { Cadence } from "./jobs.ts";
import { inWords, newestOf } from "./movement.ts";
import type { Guess } from "./proposal.ts";

const TIMESTAMPTZ = "timestamp with time zone";

const TIMESTAMP_NAMES: readonly [pattern: RegExp, score: number][] = [
  [/^(last_)?(updated|modified|refreshed|synced|synchronized)(_at|_on|_time)?$/, 0.6],
  [
    /^(last_)?(update|modification|refresh|sync|modified|updated)(_at|_on|_time|_timestamp)?$/,
    0.55,
  ],
  [
    /^(last_)?(fetched|retrieved|loaded|imported|ingested|checked|polled|pulled|scraped)(_at|_on|_time)?$/,
    0.5,
  ],
  [/^(last_)?(fetch|import|check|poll|pull|load)(_at|_on|_time)?$/, 0.45],
  [/(updated|modified|refreshed|synced|fetched|seen)/, 0.4],
  [/^(created|inserted|added|registered|first_seen)(_at|_on|_time)?$/, -0.6],
  [
    /(deleted|archived|expires|expiry|starts?|ends?|valid|due|scheduled|published|accepted|kickoff|birth|opened|closed)/,
    -0.4,
  ],
];

/** The column that moves on every refresh, of those that hold a time. */
export function guessTimestamp(
  table: Table,
  cadence: Cadence | undefined,
  now: Date,
): Guess<string> | undefined {
  const times = table.columns.filter(({ type }) => type === TIMESTAMPTZ);
  const latest = newestOf(table);
  const scored = times.filter(({ name }) => isPlain(name)).map(({ name }) => {
    const reasons: string[] = [];
    let score = 0;
    const named = TIMESTAMP_NAMES.find(([pattern]) => pattern.test(name));
    if (named !== undefined) {
      score += named[1];
      reasons.push(named[1] > 0 ? "its name says so" : "its name says otherwise");
    }
    if (table.touchedColumns.includes(name)) {
      score += 0.6;
      reasons.push("a trigger sets it on every update");
    }
    const newest = table.newest.get(name);
    if (newest !== undefined && latest !== undefined) {
      const behind = latest.getTime() - newest.getTime();
      const age = (now.getTime() - newest.getTime()) / 60_000;
      if (behind < 1_000 && times.length > 1) {
        score += 0.25;
        reasons.push("it holds the newest time of the row's columns");
      } else if (behind > 60_000) {
        score -= 0.25;
      }
      if (age < 0) score -= 0.3;
      else if (cadence !== undefined && age <= cadence.minutes * 2 + 5) {
        score += 0.15;
        reasons.push(`its newest value is ${inWords(age)} old`);
      }
    }
    return { name, score, reasons };
  }).sort((one, other) => other.score - one.score);
  const [best, second] = scored;
  if (best === undefined) return undefined;
  const margin = best.score - (second?.score ?? -1);
  if (scored.length === 1) best.reasons.push("it is the only timestamptz of the table");
  return {
    value: best.name,
    confidence: best.score >= 0.5 && margin >= 0.15
      ? "high"
      : best.score >= 0.3 && margin > 0
      ? "medium"
      : "low",
    reasons: best.reasons.length === 0 ? ["it is a timestamptz"] : best.reasons,
    alternatives: scored.slice(1).filter((other) => best.score - other.score < 0.3)
      .map(({ name }) => name),
  };
}
