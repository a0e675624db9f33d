import assert from "node:assert/strict";
import type {
  AfterAccess,
  Fetcher,
  Row,
} from "../../supabase/functions/_shared/fetchers/contract.ts";
import { fakeFetcher, FakeQueue, run, seeds, VirtualClock } from "./processor_fakes.ts";

const access = { fetch, database: {} as AfterAccess["database"] };

type After = (
  written: ReadonlyMap<string, readonly Row[]>,
  signal: AbortSignal,
) => Promise<string[]>;

function withAfterwards(after: After): Fetcher {
  return { ...fakeFetcher(), afterwards: (written, { signal }) => after(written, signal) };
}

Deno.test("written rows are handed over once, those of empty and failed symbols are not", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, [{ symbol: "A" }, { symbol: "NONE" }, { symbol: "B" }]);
  const seen: [string, readonly Row[]][] = [];
  const fetcher = withAfterwards((written) => {
    seen.push(...written);
    return Promise.resolve([]);
  });
  await run(clock, queue, { quote: fetcher }, { afterAccess: access });
  assert.deepEqual(seen.toSorted(), [
    ["A", [{ symbol: "A", price: 1 }]],
    ["B", [{ symbol: "B", price: 1 }]],
  ]);
});

Deno.test("at most a hundred symbols are handed over at once", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, seeds(250));
  const sizes: number[] = [];
  const fetcher = withAfterwards(async (written) => {
    sizes.push(written.size);
    await clock.sleep(100);
    return [];
  });
  await run(clock, queue, { quote: fetcher }, {
    afterAccess: access,
    batchSize: 250,
    concurrency: 50,
  });
  assert.equal(sizes.reduce((sum, size) => sum + size), 250);
  assert.ok(Math.max(...sizes) <= 100);
});

Deno.test("what it warns of or throws is a warning, without keys, and no job fails", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, [{ symbol: "A" }, { symbol: "B" }]);
  const fetcher = withAfterwards((written) =>
    written.has("A")
      ? Promise.resolve(["no file with vendor-key-of-the-tests"])
      : Promise.reject(new Error("broken"))
  );
  const report = await run(clock, queue, { quote: fetcher }, {
    afterAccess: access,
    concurrency: 1,
    settleDelayMs: 0,
  });
  assert.equal(report.jobs.completed, 2);
  assert.deepEqual(report.errors, []);
  assert.deepEqual(report.warnings, ["no file with ***", "quote: Error: broken"]);
});

Deno.test("an idle run waits for it no longer than its grace time", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, [{ symbol: "A" }]);
  let aborted = false;
  const fetcher = withAfterwards((_written, signal) =>
    new Promise((resolve) =>
      signal.addEventListener("abort", () => {
        aborted = true;
        resolve([]);
      })
    )
  );
  const report = await run(clock, queue, { quote: fetcher }, {
    afterAccess: access,
    graceMs: 3_000,
    lingerMs: 0,
  });
  assert.equal(report.endedBy, "idle");
  assert.ok(aborted);
  assert.ok(clock.elapsed < 5_000, `${clock.elapsed} ms`);
});

Deno.test("a run whose time is up does not wait for it", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, seeds(100));
  const fetcher: Fetcher = {
    ...fakeFetcher({ onCall: () => clock.sleep(1_000) }),
    afterwards: (_written, { signal }) =>
      new Promise((resolve) => signal.addEventListener("abort", () => resolve([]))),
  };
  const report = await run(clock, queue, { quote: fetcher }, {
    afterAccess: access,
    budgetMs: 5_000,
    concurrency: 1,
  });
  assert.equal(report.endedBy, "budget");
  assert.ok(clock.elapsed < 8_000, `${clock.elapsed} ms`);
});

Deno.test("without access to the project nothing is handed over", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, [{ symbol: "A" }]);
  const fetcher = withAfterwards(() => Promise.reject(new Error("must not be called")));
  const report = await run(clock, queue, { quote: fetcher });
  assert.deepEqual(report.warnings, []);
});
