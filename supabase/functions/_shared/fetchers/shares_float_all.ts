import { z } from "npm:zod@4.6.7";
import { getVendorJson } from "../http.ts";
import type { FetchContext, Fetcher, JsonValue, Row, VendorAnswer } from "./contract.ts";
import { VendorError } from "./errors.ts";
import { isDateTime, optionalPrice, optionalText, rowsOf } from "./fields.ts";
import { GLOBAL, globalRows } from "./global_rows.ts";
import { oneRowPerKey } from "./symbol_rows.ts";
import { subjectOf } from "./validation.ts";
import { queueTypeOf } from "./queue_type.ts";

const DATA_TYPE = "shares-float-all";
const SUBJECT = subjectOf(DATA_TYPE, [GLOBAL]);

/** Entries asked for per page; the vendor may give fewer. */
const PAGE_SIZE = 5_000;

/** Pages of one refresh; the market has fewer. */
const MOST_PAGES = 200;

/** Pages of one claim. More would save up more of the vendor's minute, and cost others their turn. */
const PAGES_PER_CLAIM = 10;

/** Milliseconds for the pages of one claim to begin; a slow vendor gets fewer of them. */
const START_WITHIN_MS = 19_000;

/** Characters of the first entry that tell a page that begins like the first one. */
const BEGIN_LENGTH = 300;

/** Every key has to be there; an entry without symbol or date is skipped, not refused. */
const sharesFloatAllSchema = z.object({
  entries: rowsOf(z.object({
    symbol: optionalText(),
    date: optionalText(),
    freeFloat: optionalPrice(),
    floatShares: optionalPrice(),
    outstandingShares: optionalPrice(),
  }, { error: "an object" })),
  warnings: z.array(z.string()),
});

/** The entries of one or more pages. */
export type SharesFloatEntries = z.infer<typeof sharesFloatAllSchema>;

/** A page of the whole market, or why there is none. */
export interface SharesFloatPage {
  /** From 0. */
  page: number;
  answer: VendorAnswer<unknown> | VendorError;
  /** Nothing in the answer says that it is the last one. */
  mayGoOn: boolean;
}

/** How a walk through the pages knows its end: what its first page was like. */
const firstPageSchema = z.object({ begin: z.string(), pageSize: z.number() });
type FirstPage = z.infer<typeof firstPageSchema>;

const cursorSchema = z.object({ page: z.int().positive(), first: firstPageSchema });

/**
 * Shares outstanding and in free float of the whole market for `shares_float`, one page per part and
 * vendor call, up to two hundred pages. The rows are those of all symbols.
 */
export const sharesFloatAllFetcher: Fetcher<SharesFloatEntries> = {
  dataType: DATA_TYPE,
  maxSymbolsPerCall: 1,
  callsPerBatch: PAGES_PER_CLAIM,
  schema: sharesFloatAllSchema,
  parts: { request: requestPart, startWithinMs: START_WITHIN_MS },

  /** All pages at once, for those who have the memory. */
  async request(_symbols, context) {
    const entries: unknown[] = [];
    const warnings: string[] = [];
    let calls = 0;
    let bytes = 0;
    for (let from: JsonValue | null = null;;) {
      let part: Awaited<ReturnType<typeof requestPart>>;
      try {
        part = await requestPart(from, context);
      } catch (error) {
        if (!(error instanceof VendorError)) throw error;
        throw error.with({ calls: calls + error.calls, bytes: bytes + error.bytes });
      }
      calls += part.calls;
      bytes += part.bytes;
      warnings.push(...part.payload.warnings);
      if (!Array.isArray(part.payload.entries)) {
        return { payload: { entries: part.payload.entries, warnings }, calls, bytes };
      }
      // One by one, since a page is more than some engines take as arguments.
      for (const entry of part.payload.entries) entries.push(entry);
      if (part.next === null) return { payload: { entries, warnings }, calls, bytes };
      from = part.next;
    }
  },

  toRows({ entries, warnings }) {
    const found: Row[] = [];
    for (const entry of entries) {
      if (entry.symbol === null || entry.date === null || !isDateTime(entry.date)) continue;
      found.push({
        symbol: entry.symbol,
        // The text is a time in UTC, the column a date.
        date: entry.date.slice(0, 10),
        free_float: entry.freeFloat,
        float_shares: entry.floatShares,
        outstanding_shares: entry.outstandingShares,
      });
    }
    const distinct = oneRowPerKey(SUBJECT, found, ["symbol", "date"]);
    const skipped = entries.length - found.length;
    const skips = skipped === 0 ? [] : [
      `${SUBJECT}: skipped ${skipped} of ${entries.length} entries, which have no symbol or no date`,
    ];
    return {
      ...globalRows(distinct.rows, [...warnings, ...distinct.warnings, ...skips]),
      skipped,
    };
  },
};

/**
 * Asks for the pages of the whole market until one is empty or short, or `mostPages` are asked for.
 *
 * After a page that failed in a way that may pass, the next one is asked for; two in a row, or any
 * other failure, are the end.
 */
export async function* sharesFloatPages(
  context: FetchContext,
  mostPages: number,
): AsyncGenerator<SharesFloatPage, void, void> {
  let first: FirstPage | undefined;
  let failed = false;
  for (let page = 0; page < mostPages; page++) {
    const answer = await pageOrError(page, context);
    if (answer instanceof VendorError) {
      yield { page, answer, mayGoOn: true };
      if (failed || answer.errorClass !== "retryable") return;
      failed = true;
      continue;
    }
    failed = false;
    const judged = judge(answer, first);
    ({ first } = judged);
    yield { page, answer: judged.answer, mayGoOn: judged.mayGoOn };
    if (!judged.mayGoOn) return;
  }
}

/** One page for the queue, which tries a page that failed again. */
async function requestPart(
  from: JsonValue | null,
  context: FetchContext,
): Promise<
  VendorAnswer<{ entries: unknown; warnings: string[] }> & { next: JsonValue | null }
> {
  // A cursor of another version begins anew.
  const cursor = cursorSchema.safeParse(from).data;
  const page = cursor?.page ?? 0;
  const { answer, first, mayGoOn } = judge(await requestPage(page, context), cursor?.first);
  const isCut = mayGoOn && page + 1 >= MOST_PAGES;
  return {
    ...answer,
    payload: {
      entries: answer.payload,
      warnings: isCut
        ? [`${SUBJECT}: stopped after ${MOST_PAGES} pages, though there may be more`]
        : [],
    },
    next: mayGoOn && !isCut ? { page: page + 1, first: { ...first } } : null,
  };
}

/**
 * Whether there may be more after this page. A first page that is shorter than asked for may show the
 * vendor's own page size, which the next page tells: when that is not empty, pages are short only
 * below that size. A page that begins as the first one did is the end too, and counts as empty.
 */
function judge(
  answer: VendorAnswer<unknown>,
  first: FirstPage | undefined,
): { answer: VendorAnswer<unknown>; first: FirstPage; mayGoOn: boolean } {
  const entries: unknown[] = Array.isArray(answer.payload) ? answer.payload : [];
  const begin = (JSON.stringify(entries[0]) ?? "").slice(0, BEGIN_LENGTH).toWellFormed();
  const isShort = entries.length < (first?.pageSize ?? 1);
  const isRepeated = first !== undefined && begin === first.begin;
  return {
    answer: isRepeated ? { ...answer, payload: [] } : answer,
    first: first ?? { begin, pageSize: Math.min(PAGE_SIZE, entries.length) },
    mayGoOn: !isShort && !isRepeated,
  };
}

async function pageOrError(
  page: number,
  context: FetchContext,
): Promise<VendorAnswer<unknown> | VendorError> {
  try {
    return await requestPage(page, context);
  } catch (error) {
    if (error instanceof VendorError) return error;
    throw error;
  }
}

/** A page that the vendor refuses as too high (400) is an empty one. */
async function requestPage(page: number, context: FetchContext): Promise<VendorAnswer<unknown>> {
  try {
    return await getVendorJson({
      path: "shares-float-all",
      query: { page, limit: PAGE_SIZE },
      subject: `${SUBJECT}, page ${page}`,
    }, context);
  } catch (error) {
    const isPastTheEnd = error instanceof VendorError && error.code === "http_400" && page > 0;
    if (!isPastTheEnd) throw error;
    return { payload: [], calls: error.calls, bytes: error.bytes };
  }
}

/** In the queue. */
export const queueType = queueTypeOf(sharesFloatAllFetcher, {
  "shares-float-all": { symbols: "global", joined: "pages" },
});
