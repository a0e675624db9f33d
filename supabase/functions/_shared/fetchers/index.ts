/** The fetchers that the queue knows, and everything needed to run them. */
import { statementsLimit } from "../env.ts";
import type { Fetcher } from "./contract.ts";
import { createFinancialStatementsFetcher } from "./financial_statements.ts";
import { profileFetcher } from "./profile.ts";
import { quoteFetcher } from "./quote.ts";

export * from "./contract.ts";

/** Fetchers by data type. The row limit of statements is the setting `FMP_STATEMENTS_LIMIT`. */
export const fetchers: Record<string, Fetcher> = Object.fromEntries(
  ([
    quoteFetcher,
    profileFetcher,
    createFinancialStatementsFetcher({
      limit: () => statementsLimit(Deno.env),
      onFailedStatement: "fail",
    }),
  ] as Fetcher[]).map((fetcher) => [fetcher.dataType, fetcher]),
);
