import assert from "node:assert/strict";
import fc from "fast-check";
import postgres, { type Sql } from "postgres";
import { withStack } from "../integration/with_stack.ts";

/** Runs a property a number of times; the seed in a failure repeats it. */
const RUNS = 150;

const HOSTILE = [
  "'; drop table public.profiles; --",
  '"); drop table public.profiles; --',
  "symbol) values ('X'); --",
  "${symbol}",
  "%I",
  "$1",
  "a\nb",
  "\u{1F4A9}",
  "x".repeat(70),
];

const scalar = fc.oneof(
  fc.constantFrom(...HOSTILE),
  fc.string({ maxLength: 30 }).map((text) => text.replaceAll("\0", "")),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.integer(),
  fc.constant(1e300),
  fc.constant("9".repeat(400)),
  fc.boolean(),
  fc.constant(null),
);
const json = fc.oneof(
  scalar,
  fc.array(scalar, { maxLength: 4 }),
  fc.dictionary(fc.string({ maxLength: 10 }).map((key) => key.replaceAll("\0", "")), scalar),
);
const column = fc.oneof(
  fc.constantFrom(
    "symbol",
    "current_price",
    "volume",
    "api_timestamp",
    "fetched_at",
    "id",
    "exchange",
  ),
  fc.constantFrom(...HOSTILE),
);
const row = fc.oneof({ weight: 4, arbitrary: fc.dictionary(column, json) }, {
  weight: 1,
  arbitrary: json,
});

interface Claimed {
  id: number;
  symbol: string;
  lease_token: string;
}

async function claimQuotes(sql: Sql, symbols: string[]): Promise<Claimed[]> {
  await sql`delete from switchyard.api_call_queue_v2_live`;
  await sql`update public.api_providers_v2 set breaker_state = 'closed', hold_until = null,
              calls_per_minute = 100000000`;
  await sql`insert into public.api_call_queue_v2 (symbol, data_type)
            select symbol, 'quote' from unnest(${symbols}::text[]) as symbol`;
  return [
    ...await sql<Claimed[]>`
    select id::int, symbol, lease_token from public.get_queue_batch_v2(10, null, true)
     order by symbol`,
  ];
}

Deno.test("no settle payload crashes a batch, injects SQL or keeps the good result out", () =>
  withStack({ cron: false, net: false }, async ({ sql }) => {
    await sql`insert into public.profiles (symbol) values ('WITNESS')`;
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            job_id: fc.option(json, { nil: undefined }),
            lease_token: fc.option(json, { nil: undefined }),
            outcome: fc.oneof(fc.constantFrom("completed", "empty", "failed", "released"), json),
            rows: fc.oneof(fc.array(row, { maxLength: 3 }), json),
            calls: json,
            bytes: json,
            error: fc.oneof(
              fc.record({ class: fc.constantFrom("permanent", "retryable", "odd"), message: json }),
              json,
            ),
          }, { requiredKeys: [] }),
          { maxLength: 5 },
        ),
        fc.array(json, { maxLength: 2 }),
        fc.array(row, { minLength: 1, maxLength: 3 }),
        async (strangers, notObjects, rows) => {
          const [bad, good] = await claimQuotes(sql, ["BAD", "GOOD"]);
          const result = (job: Claimed, own: unknown[]) => ({
            job_id: job.id,
            lease_token: job.lease_token,
            outcome: "completed",
            calls: 1,
            bytes: 10,
            rows: own,
          });
          const payload = [
            ...strangers,
            result(bad!, rows),
            ...notObjects,
            result(good!, [{ symbol: "GOOD", current_price: 5, api_timestamp: Date.now() }]),
          ];
          const answers = await sql<{ job_id: string | null; outcome: string }[]>`
            select job_id::text, outcome from public.settle_queue_batch_v2(${
            sql.json(payload as postgres.JSONValue)
          })`;
          assert.equal(answers.length, payload.length);
          const goodAnswer = answers.find(({ job_id, outcome }) =>
            job_id === String(good!.id) && outcome !== "lease_lost" && outcome !== "malformed"
          );
          assert.equal(goodAnswer?.outcome, "completed");
        },
      ),
      { numRuns: RUNS },
    );
    assert.equal((await sql`select from public.profiles where symbol = 'WITNESS'`).length, 1);
  }));

Deno.test("absurd sizes are refused or isolated", () =>
  withStack({ cron: false, net: false }, async ({ sql }) => {
    const many = Array.from({ length: 10_000 }, () => ({ outcome: "empty" }));
    await assert.rejects(
      Promise.resolve(sql`select from public.settle_queue_batch_v2(${sql.json(many)})`),
      { code: "SY012" },
    );
    const [big, good] = await claimQuotes(sql, ["BIG", "GOOD"]);
    const price = { current_price: 1, api_timestamp: 1_700_000_000 };
    const answers = await sql<{ job_id: string; outcome: string }[]>`
      select job_id::text, outcome from public.settle_queue_batch_v2(${
      sql.json([
        {
          job_id: big!.id,
          lease_token: big!.lease_token,
          outcome: "completed",
          rows: [{ symbol: "BIG", ...price, exchange: "x".repeat(1_000_000), volume: "1e400" }],
        },
        {
          job_id: good!.id,
          lease_token: good!.lease_token,
          outcome: "completed",
          rows: [{ symbol: "GOOD", ...price }],
        },
      ])
    }) order by job_id`;
    assert.deepEqual(answers.map(({ outcome }) => outcome), ["rescheduled", "completed"]);
  }));

Deno.test("no registry row gets SQL into a statement", () =>
  withStack({ cron: false, net: false }, async ({ sql }) => {
    const identifier = fc.oneof(fc.constantFrom(...HOSTILE, "symbol", "Symbol", ""), fc.string());
    await fc.assert(
      fc.asyncProperty(
        identifier,
        identifier,
        fc.array(identifier, { maxLength: 3 }),
        identifier,
        async (table, timestamp, conflict, staleness) => {
          const isClean = (name: string) => !name.includes("\0");
          fc.pre([table, timestamp, staleness, ...conflict].every(isClean));
          try {
            await sql.begin(async (transaction) => {
              await transaction`
                insert into public.data_type_registry_v2
                  (data_type, table_name, timestamp_column, conflict_columns, staleness_function,
                   default_ttl_minutes, provider, fetcher, estimated_data_size_bytes)
                values ('fuzzed', ${table}, ${timestamp}, ${conflict}, ${staleness},
                        1, 'fmp', 'quote', 1)`;
              await transaction`select * from public.registry_problems_v2`;
              throw new Error("roll back");
            });
          } catch (error) {
            const code = (error as { code?: string }).code;
            const isRefused = code === "SY005";
            const isAccepted = error instanceof Error && error.message === "roll back";
            assert.ok(isRefused || isAccepted, `${code}: ${error}`);
          }
        },
      ),
      { numRuns: RUNS },
    );
    assert.equal((await sql`select from public.data_type_registry_v2`).length, 13);
  }));
