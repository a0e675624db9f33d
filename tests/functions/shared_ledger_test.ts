import assert from "node:assert/strict";
import type { SupabaseClient } from "npm:@supabase/supabase-js@2.109.0";
import { createSharedLedger } from "../../supabase/functions/_shared/shared_ledger.ts";
import { VirtualClock } from "./processor_fakes.ts";

interface Ask {
  data: number | null;
  error?: { code: string; message: string };
  /** Milliseconds until the answer. */
  takes?: number;
}

function ledgerOn(answers: readonly Ask[], grantedCalls?: number) {
  const clock = new VirtualClock();
  const asked: unknown[] = [];
  const logged: string[] = [];
  let paced = 0;
  const database = {
    rpc: (name: string, parameters: unknown) => {
      const { data, error = null, takes = 0 } = answers[asked.length] ?? { data: 0 };
      asked.push([name, parameters]);
      const answer = clock.sleep(takes).then(() => ({ data, error }));
      return { abortSignal: () => takes === 0 ? Promise.resolve({ data, error }) : answer };
    },
  } as unknown as SupabaseClient;
  const ledger = createSharedLedger({
    database,
    provider: "fmp",
    pace: () => Promise.resolve(void (paced += 1)),
    ...(grantedCalls === undefined ? {} : { grantedCalls }),
    log: (line) => logged.push(line),
    clock,
  });
  const take = () => clock.drive(ledger.pace(new AbortController().signal));
  return { clock, asked, logged, ledger, take, paced: () => paced };
}

Deno.test("while the queue is on each call is taken from its ledger", async () => {
  const { asked, take, paced, ledger } = ledgerOn([{ data: 0 }, { data: 0 }]);
  assert.equal(ledger.isOn, false);
  await take();
  assert.equal(ledger.isOn, true);
  ledger.follow({ kind: "started", runId: "a-run", leave: () => Promise.resolve() });
  await take();
  assert.deepEqual(asked, [
    ["take_vendor_calls_v2", { p_provider: "fmp", p_calls: 1 }],
    ["take_vendor_calls_v2", { p_provider: "fmp", p_calls: 1, p_run_id: "a-run" }],
  ]);
  assert.equal(paced(), 2, "and paced as before");
});

Deno.test("a call waits until the ledger grants it, asking again every two seconds", async () => {
  const { clock, asked, take } = ledgerOn([{ data: 4_000 }, { data: 700 }]);
  await take();
  assert.equal(asked.length, 3);
  assert.equal(clock.elapsed, 2_700);
});

Deno.test("a call waits for more than a window, and is then given up by name", async () => {
  const { clock, take } = ledgerOn(Array.from({ length: 100 }, () => ({ data: 10_000 })));
  await assert.rejects(take(), /Cannot call fmp: no call is free for another 10 s/);
  assert.ok(clock.elapsed >= 54_000, `${clock.elapsed}`);
  const held = ledgerOn([{ data: 3_600_000 }]);
  await assert.rejects(held.take(), /another 3600 s/);
  assert.equal(held.clock.elapsed, 0, "a wait that cannot end in time is none");
});

Deno.test("a call whose grant comes late is not made on it", async () => {
  const { asked, take } = ledgerOn([{ data: 0, takes: 3_000 }, { data: 0, takes: 2_000 }]);
  await take();
  assert.equal(asked.length, 2);
});

Deno.test("with the queue off the ledger is asked once, or not at all where that is known", async () => {
  const { asked, take, logged, ledger } = ledgerOn([{ data: null }]);
  await take();
  await take();
  assert.equal(asked.length, 1);
  assert.equal(ledger.isOn, false);
  assert.deepEqual(logged, []);
  const known = ledgerOn([]);
  known.ledger.follow({ kind: "off" });
  await known.take();
  assert.equal(known.asked.length, 0);
});

Deno.test("a ledger that is not there or fails stops nothing", async () => {
  const missing = ledgerOn([{ data: null, error: { code: "PGRST202", message: "no function" } }]);
  await missing.take();
  await missing.take();
  assert.equal(missing.asked.length, 1);
  assert.deepEqual(missing.logged, [], "Switchyard may not be installed");
  const failing = ledgerOn([{ data: null, error: { code: "57014", message: "timeout" } }]);
  await failing.take();
  await failing.take();
  assert.deepEqual(failing.logged, ["calls are not counted in the queue's ledger: timeout"]);
  assert.equal(failing.asked.length, 1, "while it is down it is not asked for each call");
  await failing.clock.drive(failing.clock.sleep(10_000));
  await failing.take();
  assert.equal(failing.asked.length, 2, "… but again after a while");
});

Deno.test("calls that the queue's claim was granted are not taken again, those beyond are", async () => {
  const { asked, take, clock } = ledgerOn([], 2);
  await take();
  await take();
  assert.equal(asked.length, 0);
  await take();
  assert.equal(asked.length, 1);
  const late = ledgerOn([], 2);
  await late.take();
  await late.clock.drive(late.clock.sleep(30_000));
  await late.take();
  assert.equal(late.asked.length, 1, "a grant that is half a minute old is of no use");
  assert.equal(clock.elapsed, 0);
});
