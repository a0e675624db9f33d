import { type VendorAnswer, VendorError } from "../_shared/fetchers/contract.ts";
import { GLOBAL } from "../_shared/fetchers/global_rows.ts";
import { sharesFloatAllFetcher, sharesFloatPages } from "../_shared/fetchers/shares_float_all.ts";
import { upsertRows } from "../_shared/legacy_endpoint.ts";
import {
  type LegacyAccess,
  type LegacyService,
  type LegacySurroundings,
  platform,
  serveLegacy,
} from "../_shared/legacy_service.ts";

const MOST_PAGES = 200;

const service: LegacyService = { name: "fetch-fmp-shares-float", pacingMs: 250 };

interface PageResult {
  /** From 0. */
  page: number;
  fetchedCount: number;
  upsertedCount: number;
  skippedCount: number;
  success: boolean;
  message: string;
}

/**
 * Refreshes `shares_float` for the whole market, page by page: 200, 207 when a page failed or an
 * entry was skipped, 401, 500 when nothing could be tried.
 */
export function createSharesFloatEndpoint(
  surroundings: LegacySurroundings = platform(),
): (request: Request) => Promise<Response> {
  return serveLegacy(service, surroundings, {
    dataType: sharesFloatAllFetcher.dataType,
    nothing: () => ({ status: 207, body: answerOf([]) }),
    async run(access) {
      const details: PageResult[] = [];
      for await (const { page, answer } of sharesFloatPages(access.context, MOST_PAGES)) {
        const result = await storePage(page, answer, access);
        // An empty page is how the market ends.
        if (result.fetchedCount > 0 || !result.success) details.push(result);
      }
      const failed = details.filter(({ success }) => !success).length;
      const message = `Processed ${details.length} pages: ${
        details.length - failed
      } succeeded, ${failed} failed`;
      access.log(message);
      const body = { message, ...answerOf(details) };
      return { status: failed === 0 && body.totalRecordsSkipped === 0 ? 200 : 207, body };
    },
  });
}

/** The answer beside its message. */
function answerOf(details: readonly PageResult[]) {
  const sumOf = (count: "fetchedCount" | "upsertedCount" | "skippedCount") =>
    details.reduce((total, result) => total + result[count], 0);
  return {
    details,
    totalPagesProcessed: details.length,
    totalRecordsFetched: sumOf("fetchedCount"),
    totalRecordsUpserted: sumOf("upsertedCount"),
    totalRecordsSkipped: sumOf("skippedCount"),
  };
}

async function storePage(
  page: number,
  answer: VendorAnswer<unknown> | VendorError,
  { fetch, database, log, describe }: LegacyAccess,
): Promise<PageResult> {
  const counts = { fetchedCount: 0, upsertedCount: 0, skippedCount: 0 };
  try {
    const payload = answer instanceof VendorError ? undefined : answer.payload;
    const fetched = await fetch(
      {
        ...sharesFloatAllFetcher,
        request: () =>
          answer instanceof VendorError
            ? Promise.reject(answer)
            : Promise.resolve({ ...answer, payload: { entries: payload, warnings: [] } }),
      },
      [GLOBAL],
    );
    for (const warning of fetched.warnings) log(`page ${page}: ${warning}`);
    const rows = fetched.rows.get(GLOBAL) ?? [];
    counts.fetchedCount = Array.isArray(payload) ? payload.length : 0;
    counts.skippedCount = fetched.skipped ?? 0;
    await upsertRows(database, "shares_float", rows, "symbol,date");
    counts.upsertedCount = rows.length;
    const warnings = fetched.warnings.length === 0 ? "" : `; ${fetched.warnings.join("; ")}`;
    return { page, ...counts, success: true, message: `Stored ${rows.length} rows${warnings}` };
  } catch (error) {
    return { page, ...counts, success: false, message: describe(error) };
  }
}

export default { fetch: createSharesFloatEndpoint() };
