import assert from "node:assert/strict";
import type { SupabaseClient } from "npm:@supabase/supabase-js@2.109.0";
import { createSharedLedgerPace } from "../../supabase/functions/_shared/shared_ledger.ts";
import { quoteEndpoint } from "../../supabase/functions/fetch-fmp-quote-indicators/index.ts";
import { createLegacyEndpoint } from "../../supabase/functions/_shared/legacy_endpoint.ts";
import { quoteExample } from "./fetcher_examples.ts";
import { callEndpoint } from "./legacy_support.ts";
import { VirtualClock } from "./processor_fakes.ts";

type Ledger = { data: number | null; error: { code: string; message: string } | null };

function paceOn(answers: readonly Ledger[]) {
  const clock = new VirtualClock();
  const asked: unknown[] = [];
  const logged: string[] = [];
  let paced = 0;
  const database = {
    rpc: (name: string, parameters: unknown) => {
      const answer = answers[asked.length];
      asked.push([name, parameters]);
      return Promise.resolve(answer ?? { data: 0, error: null });
    },
  } as unknown as SupabaseClient;
  const pace = createSharedLedgerPace({
    database,
    provider: "fmp",
    pace: () => Promise.resolve(void (paced += 1)),
    log: (line) => logged.push(line),
    clock,
  });
  const take = () => clock.drive(pace(new AbortController().signal));
  return { clock, asked, logged, take, paced: () => paced };
}

Deno.test("while the queue is on each call is taken from its ledger", async () => {
  const { asked, take, paced } = paceOn([{ data: 0, error: null }, { data: 0, error: null }]);
  await take();
  await take();
  assert.deepEqual(asked[0], ["take_vendor_calls_v2", { p_provider: "fmp", p_calls: 1 }]);
  assert.equal(asked.length, 2);
  assert.equal(paced(), 2, "and paced as before");
});

Deno.test("a call waits until the ledger grants it", async () => {
  const { clock, asked, take } = paceOn([{ data: 4_000, error: null }, { data: 700, error: null }]);
  await take();
  assert.equal(asked.length, 3);
  assert.equal(clock.elapsed, 4_700);
});

Deno.test("a call that would wait longer than half a minute is given up, by name", async () => {
  const { take } = paceOn([{ data: 20_000, error: null }, { data: 20_000, error: null }]);
  await assert.rejects(take(), /Cannot call fmp: its limit is used up for another 20 s/);
});

Deno.test("with the queue off the ledger is asked once", async () => {
  const { asked, take, logged } = paceOn([{ data: null, error: null }]);
  await take();
  await take();
  assert.equal(asked.length, 1);
  assert.deepEqual(logged, []);
});

Deno.test("a ledger that is not there or fails stops nothing", async () => {
  const missing = paceOn([{ data: null, error: { code: "PGRST202", message: "no function" } }]);
  await missing.take();
  assert.deepEqual(missing.logged, [], "Switchyard may not be installed");
  const failing = paceOn([{ data: null, error: { code: "57014", message: "timeout" } }]);
  await failing.take();
  assert.deepEqual(failing.logged, ["calls are not counted in the queue's ledger: timeout"]);
});

Deno.test("an endpoint counts its calls while the queue is on", async () => {
  const taken: unknown[] = [];
  const { status, vendorCalls } = await callEndpoint(
    (surroundings) => createLegacyEndpoint(quoteEndpoint, surroundings),
    {
      vendor: (_path, query) => Response.json([{ ...quoteExample, symbol: query.get("symbol")! }]),
      ledger: (parameters) => {
        taken.push(parameters);
        return 0;
      },
    },
  );
  assert.equal(status, 200);
  assert.equal(taken.length, vendorCalls.length);
});
