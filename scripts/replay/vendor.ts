import { contentsOf, fieldOf, isPlainSymbol, rowsIn } from "./contents.ts";
import type { Answer, Unit } from "./plan.ts";
import { readRecording } from "./recordings.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** Statuses of answers that have no body. */
const WITHOUT_BODY = [204, 205, 304];

/** The recordings of a unit as a vendor that answers each call with the status of its recording. */
export interface RecordedVendor {
  /** Answers with the bytes as recorded. */
  fetchAll: typeof fetch;
  /** Answers calls about some of the symbols with their rows, as the vendor would have. */
  fetchPart(symbols: readonly string[]): typeof fetch;
  /** Files that no call has asked for so far. */
  unasked(): string[];
  /** Newest time (key `timestamp`, Unix seconds) in the answers that is not after `now`. */
  newestTime(now: Date): Date | undefined;
}

interface Loaded extends Answer {
  bytes: Bytes;
  /** Rows by symbol, once they are asked for. */
  rowsOf?: Map<string, unknown[]>;
}

const NOTHING = "[]";

/** Opens the recordings of a unit. Throws an Error when a file cannot be read. */
export async function openVendor(unit: Unit): Promise<RecordedVendor> {
  const answers: Loaded[] = [];
  for (const answer of unit.answers) {
    const bytes = await readRecording(answer.path);
    answers.push({
      ...answer,
      bytes: answer.part === "exchange" ? rowsOfExchange(bytes, unit.exchange) : bytes,
    });
  }
  const asked = new Set<string>();

  function answerTo(url: URL, part: readonly string[] | undefined): Response {
    const page = url.searchParams.get("page");
    const found = answers.find((answer) =>
      (answer.asked === null || url.pathname.endsWith(`/${answer.asked}`)) &&
      (answer.page === null || String(answer.page) === page)
    );
    if (found === undefined) return new Response(NOTHING);
    asked.add(found.file);
    const { status } = found;
    const symbols = part ?? (found.part === "symbol" ? unit.symbols : undefined);
    if (symbols === undefined || status !== 200) {
      return new Response(WITHOUT_BODY.includes(status) ? null : found.bytes, { status });
    }
    const rowsOf = found.rowsOf ??= rowsBySymbol(found.bytes);
    return Response.json(symbols.flatMap((symbol) => rowsOf.get(symbol) ?? []));
  }

  const fetchOf = (part?: readonly string[]): typeof fetch => (input) => {
    const url = new URL(input instanceof Request ? input.url : input);
    return Promise.resolve(answerTo(url, part));
  };
  return {
    fetchAll: fetchOf(),
    fetchPart: fetchOf,
    unasked: () => answers.map(({ file }) => file).filter((file) => !asked.has(file)),
    newestTime(now) {
      let newest = 0;
      for (const { bytes } of answers) {
        for (const row of rowsIn(bytes)) {
          const time = fieldOf(row, "timestamp");
          if (typeof time === "number" && time * 1000 <= now.getTime() && time > newest) {
            newest = time;
          }
        }
      }
      return newest === 0 ? undefined : new Date(newest * 1000);
    },
  };
}

/** A row that is about no symbol goes with the one before it, so that it is served and judged too. */
function rowsBySymbol(bytes: Bytes): Map<string, unknown[]> {
  const rowsOf = new Map<string, unknown[]>();
  const [first] = contentsOf(bytes).symbols;
  let symbol = first;
  for (const row of rowsIn(bytes)) {
    const own = fieldOf(row, "symbol");
    if (isPlainSymbol(own)) symbol = own;
    if (symbol === undefined) continue;
    const rows = rowsOf.get(symbol);
    if (rows === undefined) rowsOf.set(symbol, [row]);
    else rows.push(row);
  }
  return rowsOf;
}

function rowsOfExchange(bytes: Bytes, exchange: string | null): Bytes {
  const rows = rowsIn(bytes).filter((row) => fieldOf(row, "exchange") === exchange);
  return new TextEncoder().encode(JSON.stringify(rows));
}
