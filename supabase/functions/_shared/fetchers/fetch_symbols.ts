import { redact } from "../http.ts";
import type { FetchContext, FetchedRows, Fetcher, FetchOutcome } from "./contract.ts";
import { VendorError } from "./errors.ts";
import { storableRows } from "./storable.ts";
import { withoutBrokenEntries } from "./broken_entries.ts";
import { describeMismatch, subjectOf } from "./validation.ts";

/**
 * Fetches, checks and converts the data of some symbols: the one path that the queue processor and
 * the endpoints share.
 *
 * Throws {@linkcode VendorError} with calls and bytes counted, and RangeError when the group of
 * symbols does not fit the fetcher.
 */
export async function fetchSymbols<Payload>(
  fetcher: Fetcher<Payload>,
  symbols: readonly string[],
  context: FetchContext,
): Promise<FetchOutcome> {
  if (symbols.length === 0 || symbols.length > fetcher.maxSymbolsPerCall) {
    throw new RangeError(
      `Cannot fetch ${fetcher.dataType}: found ${symbols.length} symbols in one group, wanted 1 to ${fetcher.maxSymbolsPerCall}`,
    );
  }
  let calls = 0;
  let bytes = 0;
  try {
    const answer = await fetcher.request(symbols, context);
    ({ calls, bytes } = answer);
    const fetched = checkedRows(fetcher, symbols, answer.payload, context);
    const storable = storableRows(
      fetched.rows,
      subjectOf(fetcher.dataType, symbols),
      context.apiKey,
    );
    return {
      rows: storable.rows,
      warnings: [...fetched.warnings, ...storable.warnings].map((warning) =>
        redact(warning, [context.apiKey])
      ),
      calls,
      bytes,
      ...(fetched.written === undefined ? {} : { written: fetched.written }),
      ...(fetched.failures === undefined ? {} : { failures: fetched.failures }),
      ...(fetched.skipped === undefined ? {} : { skipped: fetched.skipped }),
    };
  } catch (error) {
    if (!(error instanceof VendorError)) throw error;
    throw error.with({
      message: redact(error.message, [context.apiKey]),
      calls: error.calls + calls,
      bytes: error.bytes + bytes,
    });
  }
}

function checkedRows<Payload>(
  fetcher: Fetcher<Payload>,
  symbols: readonly string[],
  payload: unknown,
  context: FetchContext,
): FetchedRows {
  const parsed = fetcher.schema.safeParse(payload);
  if (!parsed.success) {
    const parted = withoutBrokenEntries(fetcher, symbols, payload, parsed.error, context.apiKey);
    if (parted !== undefined) {
      const { rows, warnings, failures } = fetcher.toRows(parted.sound, symbols, context.now());
      return { rows, warnings, failures: new Map([...failures ?? [], ...parted.failures]) };
    }
    throw new VendorError(
      describeMismatch(subjectOf(fetcher.dataType, symbols), payload, parsed.error, context.apiKey),
      { errorClass: "retryable", code: "schema_mismatch" },
    );
  }
  return fetcher.toRows(parsed.data, symbols, context.now());
}
