import { fetchSymbols, type VendorAnswer, VendorError } from "../_shared/fetchers/contract.ts";
import { GLOBAL } from "../_shared/fetchers/global_rows.ts";
import { sharesFloatAllFetcher, sharesFloatPages } from "../_shared/fetchers/shares_float_all.ts";
import {
  answer,
  type LegacyAccess,
  legacyAccess,
  type LegacyEndpointSurroundings,
  type LegacyService,
  platform,
  serveLegacy,
  upsertRows,
} from "../_shared/legacy_endpoint.ts";

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
  surroundings: LegacyEndpointSurroundings = platform(),
): (request: Request) => Promise<Response> {
  return serveLegacy(service, surroundings, async () => {
    const access = legacyAccess(service, surroundings);
    const details: PageResult[] = [];
    for await (const { page, answer } of sharesFloatPages(access.context, MOST_PAGES)) {
      const result = await storePage(page, answer, access);
      // An empty page is how the market ends.
      if (result.fetchedCount > 0 || !result.success) details.push(result);
    }
    const sumOf = (count: "fetchedCount" | "upsertedCount" | "skippedCount") =>
      details.reduce((total, result) => total + result[count], 0);
    const failed = details.filter(({ success }) => !success).length;
    const skipped = sumOf("skippedCount");
    const message = `Processed ${details.length} pages: ${
      details.length - failed
    } succeeded, ${failed} failed`;
    access.log(message);
    return answer(failed === 0 && skipped === 0 ? 200 : 207, {
      message,
      details,
      totalPagesProcessed: details.length,
      totalRecordsFetched: sumOf("fetchedCount"),
      totalRecordsUpserted: sumOf("upsertedCount"),
      totalRecordsSkipped: skipped,
    });
  });
}

async function storePage(
  page: number,
  answer: VendorAnswer<unknown> | VendorError,
  { context, database, log, describe }: LegacyAccess,
): Promise<PageResult> {
  const counts = { fetchedCount: 0, upsertedCount: 0, skippedCount: 0 };
  try {
    if (answer instanceof VendorError) throw answer;
    const { payload } = answer;
    const fetched = await fetchSymbols(
      {
        ...sharesFloatAllFetcher,
        request: () => Promise.resolve({ ...answer, payload: { entries: payload, warnings: [] } }),
      },
      [GLOBAL],
      context,
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
