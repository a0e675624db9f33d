import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readVerifyJwt } from "../../local/functions/settings.ts";

const SUPABASE = new URL("../../supabase/", import.meta.url);

Deno.test("the platform's JWT check of each legacy endpoint is as it was", async () => {
  const verifyJwt = readVerifyJwt(await Deno.readTextFile(new URL("config.toml", SUPABASE)));
  const legacy: Record<string, boolean> = {
    "fetch-fmp-quote-indicators": false,
    "fetch-fmp-exchange-prices-api": false,
    "fetch-fmp-all-exchange-market-status": false,
    "fetch-fmp-profiles": false,
    "fetch-fmp-available-exchanges": false,
    "fetch-exchange-rates": false,
    "fetch-fmp-ratios-ttm": false,
    "fetch-fmp-shares-float": true,
    "fetch-fmp-exchange-variants": false,
    "fetch-fmp-financial-statements": false,
    "fetch-fmp-grades-historical": true,
    "fetch-fmp-dividend-history": true,
    "fetch-fmp-revenue-segmentation": true,
  };
  const present = Object.keys(legacy)
    .filter((name) => existsSync(new URL(`functions/${name}/index.ts`, SUPABASE)));
  assert.ok(present.length >= 8);
  for (const name of present) assert.equal(verifyJwt[name], legacy[name], name);
});
