import { type Reply, textReply } from "./replies.ts";
import type { World } from "./endpoints/endpoint.ts";
import { plusDays } from "./calendar.ts";

/** Path of the other provider's latest rates; the base currency follows. */
export const exchangeRatesPrefix = "/v6/latest/";

/** The path that can be asked for, and given a fault: rates of the US dollar. */
export const exchangeRatesPath = `${exchangeRatesPrefix}USD`;

/**
 * Answers as the open endpoint of the provider of exchange rates: rates of midnight UTC, without a
 * key. A call that carries the vendor's key is refused, since the key is not for this provider.
 */
export function latestRates(base: string, carriesKey: boolean, world: World): Reply {
  if (carriesKey) {
    return textReply(400, JSON.stringify({ result: "error", "error-type": "key-of-other-vendor" }));
  }
  const midnight = new Date(Math.floor(world.now.getTime() / 86_400_000) * 86_400_000);
  const pairs = [...world.forex.values()].filter((pair) => pair.base === base);
  if (pairs.length === 0) {
    return textReply(404, JSON.stringify({ result: "error", "error-type": "unsupported-code" }));
  }
  const next = plusDays(midnight, 1);
  const rates = pairs.map((pair): [string, number] => [
    pair.quote,
    world.market.price(pair, midnight.getTime()),
  ]);
  return textReply(
    200,
    JSON.stringify({
      result: "success",
      provider: "https://www.exchangerate-api.com",
      documentation: "https://www.exchangerate-api.com/docs/free",
      terms_of_use: "https://www.exchangerate-api.com/terms",
      time_last_update_unix: midnight.getTime() / 1000 + 1,
      time_last_update_utc: midnight.toUTCString(),
      time_next_update_unix: next.getTime() / 1000 + 1,
      time_next_update_utc: next.toUTCString(),
      time_eol_unix: 0,
      base_code: base,
      rates: { [base]: 1, ...Object.fromEntries(rates) },
    }),
  );
}
