import { z } from "npm:zod@4.6.7";
import { getVendorJson } from "../http.ts";
import type { FetchContext, Fetcher, Row, VendorAnswer } from "./contract.ts";
import { VendorError } from "./errors.ts";
import { isDateTime, optionalPrice, optionalText, rowsOf } from "./fields.ts";
import { GLOBAL, globalRows } from "./global_rows.ts";
import { oneRowPerKey } from "./symbol_rows.ts";
import { subjectOf } from "./validation.ts";

const DATA_TYPE = "shares-float-all";
const SUBJECT = subjectOf(DATA_TYPE, [GLOBAL]);

/** Entries asked for per page; the vendor may give fewer. */
const PAGE_SIZE = 5_000;

/** Pages of one refresh by the queue, which has to know its calls beforehand. */
const MOST_PAGES = 20;

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

/**
 * Shares outstanding and in free float of the whole market for `shares_float`, in up to twenty vendor
 * calls. The rows are those of all symbols.
 */
export const sharesFloatAllFetcher: Fetcher<SharesFloatEntries> = {
  dataType: DATA_TYPE,
  maxSymbolsPerCall: 1,
  callsPerBatch: MOST_PAGES,
  schema: sharesFloatAllSchema,

  async request(_symbols, context) {
    const entries: unknown[] = [];
    const warnings: string[] = [];
    let calls = 0;
    let bytes = 0;
    for await (const { page, answer, mayGoOn } of sharesFloatPages(context, MOST_PAGES)) {
      calls += answer.calls;
      bytes += answer.bytes;
      if (answer instanceof VendorError) throw answer.with({ calls, bytes });
      if (!Array.isArray(answer.payload)) {
        return { payload: { entries: answer.payload, warnings }, calls, bytes };
      }
      // One by one, since a page is more than some engines take as arguments.
      for (const entry of answer.payload) entries.push(entry);
      if (mayGoOn && page === MOST_PAGES - 1) {
        warnings.push(`${SUBJECT}: stopped after ${MOST_PAGES} pages, though there may be more`);
      }
    }
    return { payload: { entries, warnings }, calls, bytes };
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
 * A first page that is shorter than asked for may show the vendor's own page size, which the next
 * page tells: when that is not empty, pages are short only below that size. A page that begins as the
 * first one did, or that the vendor refuses as too high (400), is the end too. After a page that
 * failed in a way that may pass, the next one is asked for; two in a row, or any other failure, are
 * the end.
 */
export async function* sharesFloatPages(
  context: FetchContext,
  mostPages: number,
): AsyncGenerator<SharesFloatPage, void, void> {
  let first: { begin: string; pageSize: number } | undefined;
  let failed = false;
  for (let page = 0; page < mostPages; page++) {
    const answer = await requestPage(page, context);
    if (answer instanceof VendorError) {
      yield { page, answer, mayGoOn: true };
      if (failed || answer.errorClass !== "retryable") return;
      failed = true;
      continue;
    }
    failed = false;
    const entries: unknown[] = Array.isArray(answer.payload) ? answer.payload : [];
    const begin = JSON.stringify(entries[0]);
    const isShort = entries.length < (first?.pageSize ?? 1);
    const isRepeated = first !== undefined && begin === first.begin;
    first ??= { begin, pageSize: Math.min(PAGE_SIZE, entries.length) };
    const mayGoOn = !isShort && !isRepeated;
    yield { page, answer: isRepeated ? { ...answer, payload: [] } : answer, mayGoOn };
    if (!mayGoOn) return;
  }
}

async function requestPage(
  page: number,
  context: FetchContext,
): Promise<VendorAnswer<unknown> | VendorError> {
  try {
    return await getVendorJson({
      path: "shares-float-all",
      query: { page, limit: PAGE_SIZE },
      subject: `${SUBJECT}, page ${page}`,
    }, context);
  } catch (error) {
    if (!(error instanceof VendorError)) throw error;
    const isPastTheEnd = error.code === "http_400" && page > 0;
    return isPastTheEnd ? { payload: [], calls: error.calls, bytes: error.bytes } : error;
  }
}
