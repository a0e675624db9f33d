import assert from "node:assert/strict";
import { join } from "node:path";
import { getStorageSchemaSql } from "@supabase/lite";
import postgres, { type Sql } from "postgres";
import { startDatabase } from "../../local/database/embedded.ts";
import { installAuthSchema } from "../../local/gateway/auth_schema.ts";
import { CHECKOUT } from "../../local/migrations.ts";
import { applyPlatform } from "../../local/platform/apply.ts";
import { supabase } from "./yard.ts";

export interface ScratchDatabase {
  /** Role postgres. */
  url: string;
  sql: Sql;
}

/** A database as a new Supabase project has it. */
export async function withPlatform(work: (scratch: ScratchDatabase) => Promise<void>) {
  const database = await startDatabase();
  try {
    await applyPlatform({ adminUrl: database.adminUrl });
    await installAuthSchema(database.adminUrl);
    const admin = postgres(database.adminUrl, { max: 1, onnotice: () => {} });
    await admin.unsafe(getStorageSchemaSql()).simple();
    await admin.end();
    const sql = postgres(database.url, { max: 2, onnotice: () => {} });
    try {
      await work({ url: database.url, sql });
    } finally {
      await sql.end();
    }
  } finally {
    await database.stop();
  }
}

/** Gives a folder to work in, and removes it. */
export async function withFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "switchyard-yard-" });
  try {
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** A repository made by `supabase init`, and nothing else. */
export async function makeNewProject(folder: string): Promise<void> {
  const { code, stderr } = await supabase(["init", `--workdir=${folder}`]);
  assert.equal(code, 0, stderr);
}

interface LegacyFunction {
  table: string;
  conflict: string;
  verifyJwt: boolean;
  /** SQL function that it writes through. */
  rpc?: string;
}

/** The functions of the legacy system: what they write, as docs of that system have it. */
export const LEGACY_FUNCTIONS: Record<string, LegacyFunction> = {
  "fetch-fmp-quote-indicators": open("live_quote_indicators", "symbol"),
  "fetch-fmp-exchange-prices-api": open("live_quote_indicators", "symbol"),
  "fetch-fmp-all-exchange-market-status": open("exchange_market_status", "exchange_code"),
  "fetch-fmp-profiles": { ...open("profiles", "symbol"), rpc: "upsert_profile" },
  "fetch-fmp-available-exchanges": open("available_exchanges", "exchange"),
  "fetch-exchange-rates": open("exchange_rates", "base_code,target_code"),
  "fetch-fmp-ratios-ttm": open("ratios_ttm", "symbol"),
  "fetch-fmp-shares-float": { ...open("shares_float", "symbol,date"), verifyJwt: true },
  "fetch-fmp-exchange-variants": open("exchange_variants", "symbol_variant,exchange_short_name"),
  "fetch-fmp-financial-statements": open("financial_statements", "symbol,date,period"),
  "fetch-fmp-grades-historical": { ...open("grades_historical", "symbol,date"), verifyJwt: true },
  "fetch-fmp-dividend-history": { ...open("dividend_history", "symbol,date"), verifyJwt: true },
  "fetch-fmp-revenue-segmentation": {
    ...open("revenue_product_segmentation", "symbol,fiscal_year,period,date"),
    verifyJwt: true,
  },
};

function open(table: string, conflict: string): LegacyFunction {
  return { table, conflict, verifyJwt: false };
}

/**
 * The repository of the legacy system: its tables and cron jobs as migrations, its functions in a
 * form of their own, a function and shared code of the front end's, and a config.toml with comments.
 */
export async function makeLegacyProject(folder: string): Promise<void> {
  await makeNewProject(folder);
  const migrations = join(folder, "supabase", "migrations");
  await Deno.mkdir(migrations, { recursive: true });
  const baseline = join(CHECKOUT, "local", "legacy");
  for await (const { name } of Deno.readDir(baseline)) {
    const [, number, title] = /^(\d+)_(\w+)\.sql$/.exec(name) ?? [];
    await Deno.copyFile(
      join(baseline, name),
      join(migrations, `202401${number}120000_${title}.sql`),
    );
  }
  const functions = join(folder, "supabase", "functions");
  let config =
    "\n# Our functions; the webhook is called by Auth.\n[functions.user-created-webhook]\n" +
    "verify_jwt = false # it checks a signature\n";
  for (const [name, legacy] of Object.entries(LEGACY_FUNCTIONS)) {
    await write(join(functions, name, "index.ts"), legacyCode(legacy));
    if (!legacy.verifyJwt) config += `\n[functions.${name}]\nverify_jwt = false\n`;
  }
  await write(join(functions, "_shared", "cors.ts"), "export const corsHeaders = {};\n");
  await write(
    join(functions, "user-created-webhook", "index.ts"),
    "Deno.serve(() => new Response());\n",
  );
  const file = join(folder, "supabase", "config.toml");
  await Deno.writeTextFile(file, await Deno.readTextFile(file) + config);
}

function legacyCode({ table, conflict, rpc }: LegacyFunction): string {
  const write = rpc === undefined
    ? `await supabase.from("${table}").upsert(rows, { onConflict: "${conflict}" });`
    : `for (const row of rows) await supabase.rpc("${rpc}", { profile_data: row });`;
  return `import { createClient } from "https://esm.sh/@supabase/supabase-js@2";
import { corsHeaders } from "../_shared/cors.ts";

Deno.serve(async () => {
  const supabase = createClient(Deno.env.get("SUPABASE_URL"), Deno.env.get("SUPABASE_SERVICE_ROLE_KEY"));
  const { data } = await supabase.from("supported_symbols").select("symbol").eq("is_active", true);
  const rows = await Promise.all(data.map(({ symbol }) =>
    fetch("https://financialmodelingprep.com/stable/any?symbol=" + symbol).then((answer) => answer.json())
  ));
  ${write}
  return new Response("{}", { headers: corsHeaders });
});
`;
}

/** Writes a file, making its folders. */
export async function write(path: string, text: string): Promise<void> {
  await Deno.mkdir(join(path, ".."), { recursive: true });
  await Deno.writeTextFile(path, text);
}

/**
 * Makes a file one that is read but cannot be written, by root either: a link to a name so long that no
 * temporary file fits beside it. Returns what takes that back.
 */
export async function makeUnwritable(path: string): Promise<() => Promise<void>> {
  const name = "x".repeat(250);
  const target = join(path, "..", name);
  await Deno.rename(path, target);
  await Deno.symlink(name, path);
  return async () => {
    await Deno.remove(path);
    await Deno.rename(target, path);
  };
}

/** All files of a folder with their texts, by path. */
export async function readTree(folder: string): Promise<Record<string, string>> {
  const tree: Record<string, string> = {};
  const read = async (path: string) => {
    for await (const { name, isDirectory } of Deno.readDir(path)) {
      const below = join(path, name);
      // Where the CLI keeps its own notes.
      if (isDirectory && name === ".temp") continue;
      if (isDirectory) await read(below);
      else tree[below.slice(folder.length + 1)] = await Deno.readTextFile(below);
    }
  };
  await read(folder);
  return tree;
}
