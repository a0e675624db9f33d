import { revenueSegmentationFetcher } from "../_shared/fetchers/revenue_segmentation.ts";
import {
  createLegacyEndpoint,
  type LegacyEndpointDefinition,
  totalsOfRows,
  upsertRows,
} from "../_shared/legacy_endpoint.ts";

type Segmentation = Parameters<typeof revenueSegmentationFetcher.toRows>[0];

/** Refreshes `revenue_product_segmentation` for the active symbols. */
export const revenueSegmentationEndpoint: LegacyEndpointDefinition<Segmentation> = {
  name: "fetch-fmp-revenue-segmentation",
  fetcher: revenueSegmentationFetcher,
  pacingMs: 350,
  emptyIsFailure: false,
  partialStatus: 207,
  write: (database, _symbol, rows) =>
    upsertRows(database, "revenue_product_segmentation", rows, "symbol,fiscal_year,period,date"),
  totals: totalsOfRows("SegmentationRecords"),
};

export default { fetch: createLegacyEndpoint(revenueSegmentationEndpoint) };
