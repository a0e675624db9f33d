import { DEFAULT_MOST_ANSWER_BYTES, DEFAULT_TIMEOUT_MS } from "./http.ts";
import type { FetchContext } from "./fetchers/contract.ts";

/** Where settings are read from; `Deno.env` is one. */
export interface Env {
  get(name: string): string | undefined;
}

/** A setting that is missing or unreadable. The message names it and says how to set it. */
export class EnvError extends Error {
  override readonly name = "EnvError";
}

/** Keys of one kind: those accepted from callers, and the one to send. */
export interface ApiKeys {
  accepted: string[];
  /** The key to use for own calls: the one named `default` of the new keys, else the legacy one. */
  own: string;
}

const DEFAULT_FMP_BASE_URL = "https://financialmodelingprep.com/stable";
const DEFAULT_STATEMENTS_LIMIT = 40;
const DEFAULT_EXCHANGE_RATES_URL = "https://open.er-api.com/v6/latest/USD";
const DEFAULT_HOLIDAY_EXCHANGES = "NYSE,NASDAQ";

/** The value of a setting; an empty one counts as missing. Throws {@linkcode EnvError}. */
export function requireEnv(env: Env, name: string): string {
  const value = env.get(name);
  if (value === undefined || value === "") {
    const next = name.startsWith("SUPABASE_")
      ? "the platform sets it for deployed functions"
      : `run: supabase secrets set ${name}=…`;
    throw new EnvError(`Cannot read ${name}: it is not set; ${next}`);
  }
  return value;
}

/** A whole number within bounds, or the default when unset. Throws {@linkcode EnvError}. */
export function wholeNumberEnv(
  env: Env,
  name: string,
  bounds: { default: number; min: number; max: number },
): number {
  const text = env.get(name);
  if (text === undefined || text === "") return bounds.default;
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < bounds.min || value > bounds.max) {
    throw new EnvError(
      `Cannot read ${name}: found ${
        JSON.stringify(text)
      }, wanted a whole number from ${bounds.min} to ${bounds.max}; run: supabase secrets set ${name}=${bounds.default}`,
    );
  }
  return value;
}

/** The vendor key, from `FMP_API_KEY`. */
export function fmpApiKey(env: Env): string {
  return requireEnv(env, "FMP_API_KEY");
}

/** The vendor's base URL, from `FMP_BASE_URL`; the default is the real one. */
export function fmpBaseUrl(env: Env): string {
  return urlEnv(env, "FMP_BASE_URL", DEFAULT_FMP_BASE_URL);
}

/**
 * Where the exchange rates of the US dollar come from without a key, from `EXCHANGE_RATES_URL`; the
 * default is the provider's open address.
 */
export function exchangeRatesUrl(env: Env): string {
  return urlEnv(env, "EXCHANGE_RATES_URL", DEFAULT_EXCHANGE_RATES_URL);
}

/** Who gives the exchange rates, from `EXCHANGE_RATES_SOURCE`; default `exchangerate-api`. */
export function exchangeRatesSource(env: Env): "exchangerate-api" | "fmp" {
  const text = env.get("EXCHANGE_RATES_SOURCE");
  if (text === undefined || text === "" || text === "exchangerate-api") return "exchangerate-api";
  if (text === "fmp") return "fmp";
  throw new EnvError(
    `Cannot read EXCHANGE_RATES_SOURCE: found ${
      JSON.stringify(text)
    }, wanted exchangerate-api or fmp; run: supabase secrets set EXCHANGE_RATES_SOURCE=exchangerate-api`,
  );
}

/**
 * Codes of the exchanges whose holidays the queue fetches, from `MARKET_HOLIDAY_EXCHANGES`, with
 * commas between; default `NYSE,NASDAQ`.
 */
export function marketHolidayExchanges(env: Env): string[] {
  const text = env.get("MARKET_HOLIDAY_EXCHANGES") || DEFAULT_HOLIDAY_EXCHANGES;
  const codes = text.split(",").map((code) => code.trim().toUpperCase());
  if (!codes.every((code) => /^[A-Z0-9_-]{1,20}$/.test(code))) {
    throw new EnvError(
      `Cannot read MARKET_HOLIDAY_EXCHANGES: found ${
        JSON.stringify(text)
      }, wanted exchange codes with commas between; run: supabase secrets set MARKET_HOLIDAY_EXCHANGES=${DEFAULT_HOLIDAY_EXCHANGES}`,
    );
  }
  return [...new Set(codes)];
}

/** Rows per statement, from `FMP_STATEMENTS_LIMIT`; default 40, at least 1. */
export function statementsLimit(env: Env): number {
  return wholeNumberEnv(env, "FMP_STATEMENTS_LIMIT", {
    default: DEFAULT_STATEMENTS_LIMIT,
    min: 1,
    max: 1000,
  });
}

/** Milliseconds between vendor calls of an endpoint, from `FMP_LEGACY_PACING_MS`; 0 means no pause. */
export function legacyPacingMs(env: Env, defaultMs: number): number {
  return wholeNumberEnv(env, "FMP_LEGACY_PACING_MS", { default: defaultMs, min: 0, max: 60_000 });
}

/**
 * Base URL that stands for the vendor's image host, from `FMP_IMAGES_URL`; undefined: the host itself.
 */
export function fmpImagesUrl(env: Env): string | undefined {
  const url = urlEnv(env, "FMP_IMAGES_URL", "");
  return url === "" ? undefined : url;
}

/** Bytes of one vendor answer that are read at most, from `FMP_MOST_ANSWER_BYTES`. */
export function mostAnswerBytes(env: Env): number {
  return wholeNumberEnv(env, "FMP_MOST_ANSWER_BYTES", {
    default: DEFAULT_MOST_ANSWER_BYTES,
    min: 100_000,
    max: 200_000_000,
  });
}

/** Vendor access from the environment. Throws {@linkcode EnvError}. */
export function fetchContextFromEnv(
  env: Env,
  signal: AbortSignal,
  overrides: Partial<FetchContext> = {},
): FetchContext {
  return {
    fetch: globalThis.fetch,
    baseUrl: fmpBaseUrl(env),
    apiKey: overrides.apiKey ?? fmpApiKey(env),
    signal,
    timeoutMs: DEFAULT_TIMEOUT_MS,
    mostAnswerBytes: mostAnswerBytes(env),
    now: () => new Date(),
    ...overrides,
  };
}

/** The project's API URL, from `SUPABASE_URL`. */
export function supabaseUrl(env: Env): string {
  return requireEnv(env, "SUPABASE_URL");
}

/** Secret keys: `SUPABASE_SECRET_KEYS` (JSON by name) and `SUPABASE_SERVICE_ROLE_KEY`. */
export function secretKeys(env: Env): ApiKeys {
  return apiKeys(env, "SUPABASE_SECRET_KEYS", "SUPABASE_SERVICE_ROLE_KEY");
}

/** Public keys: `SUPABASE_PUBLISHABLE_KEYS` (JSON by name) and `SUPABASE_ANON_KEY`. */
export function publicKeys(env: Env): ApiKeys {
  return apiKeys(env, "SUPABASE_PUBLISHABLE_KEYS", "SUPABASE_ANON_KEY");
}

/** The value may hold a key, so no message repeats it. */
function urlEnv(env: Env, name: string, defaultUrl: string): string {
  const text = env.get(name);
  if (text === undefined || text === "") return defaultUrl;
  if (!URL.canParse(text)) {
    throw new EnvError(
      `Cannot read ${name}: it is not a URL; run: supabase secrets set ${name}=${defaultUrl}`,
    );
  }
  return text;
}

function apiKeys(env: Env, namedKeys: string, legacyKey: string): ApiKeys {
  const named = namedKeysOf(env, namedKeys);
  const legacy = env.get(legacyKey);
  const accepted = [...Object.values(named), legacy ?? ""].filter((key) => key !== "");
  const own = [named["default"], legacy, ...accepted].find((key) =>
    key !== undefined && key !== ""
  );
  if (own === undefined) {
    throw new EnvError(
      `Cannot read ${namedKeys}: neither it nor ${legacyKey} is set; the platform sets both for deployed functions`,
    );
  }
  return { accepted, own };
}

function namedKeysOf(env: Env, name: string): Record<string, string> {
  const text = env.get(name);
  if (text === undefined || text === "") return {};
  const keys = parseJson(text);
  if (
    typeof keys !== "object" || keys === null || Array.isArray(keys) ||
    !Object.values(keys).every((key) => typeof key === "string")
  ) {
    throw new EnvError(`Cannot read ${name}: wanted a JSON object of key name and key`);
  }
  return keys as Record<string, string>;
}

/** Undefined when the text is not JSON; the text holds keys, so no message may repeat it. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
