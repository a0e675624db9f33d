import assert from "node:assert/strict";
import { createPace } from "../../supabase/functions/_shared/pacing.ts";

Deno.test("a pace spaces the starts of calls in the order of asking", async () => {
  const waits: number[] = [];
  let now = 1000;
  const pace = createPace(250, {
    now: () => now,
    sleep: (ms) => {
      waits.push(ms);
      return Promise.resolve();
    },
  });
  const { signal } = new AbortController();
  await Promise.all([pace(signal), pace(signal), pace(signal)]);
  assert.deepEqual(waits, [250, 500]);
  now += 10_000;
  await pace(signal);
  assert.deepEqual(waits, [250, 500]);
});

Deno.test("a pace of zero never waits, and an ended signal stops a wait", async () => {
  const unpaced = createPace(0);
  const { signal } = new AbortController();
  await unpaced(signal);
  await unpaced(signal);
  const pace = createPace(60_000);
  const caller = new AbortController();
  await pace(caller.signal);
  const waiting = pace(caller.signal);
  caller.abort(new Error("enough"));
  await assert.rejects(waiting, /enough/);
});
