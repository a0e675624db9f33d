/** What a recorded answer is about, found without trusting anything in it. */

/** Symbols that the queue takes, as its constraint `symbols_are_plain` says. */
const PLAIN_SYMBOL = /^[A-Za-z0-9^][A-Za-z0-9.^=_-]{0,39}$/;

/** The symbols and exchanges that the rows of an answer name. */
export interface Contents {
  /** Each once, in the order of the rows; those that no job can have are left out. */
  symbols: string[];
  /** Rows whose symbol no job can have. */
  oddSymbols: number;
  /** Symbol of the first row with a `cik`, which only main listings have; else the first symbol. */
  mainListing: string | null;
  exchanges: string[];
}

/** True for text that can be the symbol of a job. */
export function isPlainSymbol(text: unknown): text is string {
  return typeof text === "string" && PLAIN_SYMBOL.test(text);
}

/** Reads what the rows name; an answer that is no array of objects names nothing. */
export function contentsOf(bytes: Uint8Array<ArrayBuffer>): Contents {
  const symbols = new Set<string>();
  const exchanges = new Set<string>();
  let oddSymbols = 0;
  let withCik: string | null = null;
  for (const row of rowsIn(bytes)) {
    const symbol = fieldOf(row, "symbol");
    if (isPlainSymbol(symbol)) {
      symbols.add(symbol);
      if (typeof fieldOf(row, "cik") === "string") withCik ??= symbol;
    } else if (symbol !== undefined) {
      oddSymbols += 1;
    }
    const exchange = fieldOf(row, "exchange");
    if (typeof exchange === "string") exchanges.add(exchange);
  }
  const [first] = symbols;
  return {
    symbols: [...symbols],
    oddSymbols,
    mainListing: withCik ?? first ?? null,
    exchanges: [...exchanges],
  };
}

/** The elements of an answer that is a JSON array; none otherwise. */
export function rowsIn(bytes: Uint8Array<ArrayBuffer>): unknown[] {
  try {
    const answer: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return Array.isArray(answer) ? answer : [];
  } catch (error) {
    // What is wrong with the text is for the fetcher to say.
    if (error instanceof SyntaxError) return [];
    throw error;
  }
}

/** A key of a row; undefined when it is no object or lacks the key. */
export function fieldOf(row: unknown, key: string): unknown {
  return typeof row === "object" && row !== null && Object.hasOwn(row, key)
    ? (row as Record<string, unknown>)[key]
    : undefined;
}
