import type { Contents } from "./contents.ts";
import { isPlainSymbol } from "./contents.ts";
import {
  askedPath,
  BALANCE,
  CASH_FLOW,
  type Endpoint,
  endpointOf,
  type FetcherKind,
  HOLIDAYS,
  HOURS,
  INCOME,
} from "./endpoints.ts";
import type { Recording } from "./recordings.ts";

/** A recording with what its answer is about. */
export interface Inspected extends Recording {
  contents: Contents;
}

/** A recorded answer in its place: the call that it answers. */
export interface Answer {
  file: string;
  path: string;
  /** Path that the fetcher asks for; null answers any. */
  asked: string | null;
  /** Page that it answers; null answers any. */
  page: number | null;
  /** The part that is served: all of it as recorded, or the rows of one symbol or exchange. */
  part: "all" | "symbol" | "exchange";
  /** The jobs are not about this recording: they only need it. */
  isBorrowed: boolean;
  /** HTTP status that it is served with. */
  status: number;
}

/** Jobs of one data type that the same recordings answer. */
export interface Unit {
  dataType: string;
  fetcher: FetcherKind;
  symbols: string[];
  /** Exchange that holidays or quotes are asked for. */
  exchange: string | null;
  answers: Answer[];
  /** Oddities of the recordings themselves, a sentence each. */
  warnings: string[];
}

/** What is to be replayed, and why the other files are not. */
export interface Plan {
  units: Unit[];
  /** File → sentence. */
  skipped: Map<string, string>;
}

/** Symbol of a job whose answer names none and whose label is none. */
const NO_SYMBOL = "UNKNOWN";
const GLOBAL = "GLOBAL";
const TICKER_LIKE = /^(?=.*[A-Z])[A-Z0-9.^=-]{1,12}$/;
const PAGE_LABEL = /^(?:page[-_ ]?)?(\d{1,6})$/i;
const STATEMENTS = [INCOME, BALANCE, CASH_FLOW];
const MOST_NAMED = 5;

/** Sorts recordings to jobs; each usable recording is in at least one unit. */
export function planUnits(recordings: readonly Inspected[]): Plan {
  const problemOf = new Map(recordings.map(({ file, statusProblem }) => [file, statusProblem]));
  const plan: Plan = { units: [], skipped: new Map() };
  const usable: [Inspected, Endpoint][] = [];
  for (const recording of recordings) {
    const endpoint = endpointOf(recording.endpoint);
    if (typeof endpoint === "string") plan.skipped.set(recording.file, endpoint);
    else usable.push([recording, endpoint]);
  }
  const joined = (how: Endpoint["joined"]) =>
    usable.filter(([, endpoint]) => endpoint.joined === how).map(([recording]) => recording);
  plan.units.push(...joinStatements(joined("statements")), ...joinPages(joined("pages")));
  const hours = usable.filter(([{ endpoint }]) => askedPath(endpoint) === HOURS)
    .map(([recording]) => recording);
  for (const recording of joined("holidays")) {
    const unit = holidaysUnit(recording, hours);
    if (unit === undefined) {
      plan.skipped.set(
        recording.file,
        `holidays belong to the hours of their exchange, which are not in the folder; add a recording of ${HOURS} that lists it`,
      );
    } else {
      plan.units.push(unit);
    }
  }
  for (const [recording, endpoint] of usable) {
    if (endpoint.joined === undefined) plan.units.push(singleUnit(recording, endpoint));
  }
  for (const unit of plan.units) {
    for (const { file } of unit.answers) {
      const problem = problemOf.get(file);
      if (typeof problem === "string") unit.warnings.push(`"${file}": ${problem}`);
    }
  }
  return plan;
}

function singleUnit(recording: Inspected, endpoint: Endpoint): Unit {
  const { symbols, warnings } = symbolsOf(recording, endpoint);
  return {
    dataType: endpoint.dataType,
    fetcher: endpoint.fetcher,
    symbols,
    exchange: endpoint.fetcher === "exchange quotes" ? recording.label || "recorded" : null,
    answers: [answer(recording)],
    warnings,
  };
}

function symbolsOf(
  { label, contents }: Inspected,
  { symbols: source }: Endpoint,
): { symbols: string[]; warnings: string[] } {
  if (source === "global") return { symbols: [GLOBAL], warnings: [] };
  const odd = contents.oddSymbols === 0 ? [] : [
    `${contents.oddSymbols} rows have a symbol that no job can have; nobody asks for them`,
  ];
  if (contents.symbols.length === 0) {
    return { symbols: [isPlainSymbol(label) ? label : NO_SYMBOL], warnings: odd };
  }
  if (source === "rows") return { symbols: contents.symbols, warnings: odd };
  const labelled = contents.symbols.find((symbol) => symbol.toLowerCase() === label?.toLowerCase());
  if (labelled !== undefined) return { symbols: [labelled], warnings: odd };
  const found = source === "main listing" && contents.mainListing !== null
    ? [contents.mainListing]
    : contents.symbols;
  if (label !== null && TICKER_LIKE.test(label)) {
    odd.push(`no row is about the label "${label}"; ${someOf(found)} was taken from the answer`);
  }
  return { symbols: found, warnings: odd };
}

/** The three statements of a symbol are one job; of several recordings the nth belong together. */
function joinStatements(recordings: readonly Inspected[]): Unit[] {
  const units = new Map<string, Unit>();
  const jobs = new Map<string, Inspected[]>();
  const warnings = new Map<Inspected, string[]>();
  const isMulti = new Set<Inspected>();
  for (const recording of recordings) {
    const found = symbolsOf(recording, endpointOf(recording.endpoint) as Endpoint);
    warnings.set(recording, found.warnings);
    if (found.symbols.length > 1) isMulti.add(recording);
    const path = askedPath(recording.endpoint);
    for (const symbol of found.symbols) {
      for (let nth = 0;; nth++) {
        const key = JSON.stringify([symbol, nth]);
        const parts = jobs.get(key) ?? [];
        if (parts.some((part) => askedPath(part.endpoint) === path)) continue;
        jobs.set(key, [...parts, recording]);
        break;
      }
    }
  }
  for (const [key, parts] of jobs) {
    const [symbol] = JSON.parse(key) as [string, number];
    const files = JSON.stringify(parts.map(({ file }) => file));
    const unit = units.get(files);
    if (unit !== undefined) {
      unit.symbols.push(symbol);
      continue;
    }
    units.set(files, {
      dataType: "financial-statements",
      fetcher: "registry",
      symbols: [symbol],
      exchange: null,
      answers: parts.map((part) => ({
        ...answer(part),
        asked: askedPath(part.endpoint),
        part: isMulti.has(part) ? "symbol" : "all",
      })),
      warnings: parts.flatMap((part) => warnings.get(part) ?? []),
    });
  }
  for (const unit of units.values()) {
    const missing = STATEMENTS.filter((path) => unit.answers.every(({ asked }) => asked !== path));
    if (missing.length > 0) {
      unit.warnings.push(
        `no recording of ${missing.join(" and ")} for ${someOf(unit.symbols)}; served as []`,
      );
    }
  }
  return [...units.values()];
}

/** Recordings labelled with page numbers are the pages of one refresh; any other is one of its own. */
function joinPages(recordings: readonly Inspected[]): Unit[] {
  const refreshes: Map<number, Inspected>[] = [];
  for (const recording of recordings) {
    const page = PAGE_LABEL.exec(recording.label ?? "")?.[1];
    const refresh = page === undefined
      ? undefined
      : refreshes.find((pages) => !pages.has(-1) && !pages.has(Number(page)));
    if (refresh === undefined) refreshes.push(new Map([[Number(page ?? -1), recording]]));
    else refresh.set(Number(page), recording);
  }
  return refreshes.map((pages) => {
    const inOrder = [...pages].sort(([left], [right]) => left - right);
    return {
      dataType: "shares-float-all",
      fetcher: "registry",
      symbols: [GLOBAL],
      exchange: null,
      answers: inOrder.map(([, recording], page) => ({ ...answer(recording), page })),
      warnings: [],
    };
  });
}

function holidaysUnit(recording: Inspected, hours: readonly Inspected[]): Unit | undefined {
  for (const wanted of [recording.label, ...recording.contents.exchanges]) {
    for (const listing of hours) {
      const exchange = listing.contents.exchanges.find((code) =>
        code.toLowerCase() === wanted?.toLowerCase()
      );
      if (exchange === undefined) continue;
      return {
        dataType: "exchange-market-status",
        fetcher: "market status",
        symbols: [GLOBAL],
        exchange,
        answers: [
          { ...answer(recording), asked: HOLIDAYS },
          { ...answer(listing), asked: HOURS, part: "exchange", isBorrowed: true },
        ],
        warnings: [],
      };
    }
  }
  return undefined;
}

function answer({ file, path, status }: Recording): Answer {
  return { file, path, asked: null, page: null, part: "all", isBorrowed: false, status };
}

function someOf(symbols: readonly string[]): string {
  const named = symbols.slice(0, MOST_NAMED).map((symbol) => `"${symbol}"`).join(", ");
  return symbols.length > MOST_NAMED ? `${named} and ${symbols.length - MOST_NAMED} more` : named;
}
