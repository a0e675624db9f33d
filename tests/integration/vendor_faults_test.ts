import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";
import type { Sql } from "postgres";
import { dataTables } from "./data_tables.ts";
import { ANSWERS, type Case, PARTS, ROWS, SCHEMA } from "./vendor_fault_cases.ts";
import { ownersOf, type Subject, SUBJECTS, subjects } from "./vendor_fault_subjects.ts";
import {
  content,
  keepTables,
  mapRow,
  MARKS,
  readTables,
  restore,
  type Tables,
} from "./vendor_fault_tables.ts";
import { processManually, type RunningStack, withStack } from "./with_stack.ts";

const DAY_MS = 86_400_000;

Deno.test("each fault of the vendor leads to its outcome, and never to a wrong row", async (test) => {
  // No examples: those do not change with time.
  const noExamples = await Deno.makeTempDir({ prefix: "switchyard-no-examples-" });
  let at = new Date(Date.now() - 100 * DAY_MS);
  try {
    await withStack({
      cron: false,
      net: false,
      activeSymbols: 0,
      simulator: { now: () => at, symbols: 30, latencyMs: 0, examplesDir: noExamples },
      functionEnv: { PROCESSOR_LINGER_MS: "0", PROCESSOR_CONCURRENCY: "40" },
    }, async (running) => {
      const { stack, sql } = running;
      await prepareRegistry(sql);
      await sql`insert into public.api_call_queue_v2 (symbol, data_type) values ('AAPL', 'profile')`;
      await processManually(stack);
      await runClean(running);
      for (const [table, [column, value]] of Object.entries(MARKS)) {
        await sql`update public.${sql(table)} set ${sql({ [column]: value })}`;
      }
      await keepTables(sql);
      const before = await readTables(sql);

      at = new Date();
      await runClean(running);
      const after = await readTables(sql);
      for (const table of dataTables) {
        assert.notDeepEqual(after.get(table), before.get(table), table);
      }

      for (const each of [...ANSWERS, ...ROWS, ...SCHEMA, ...PARTS]) {
        await test.step(each.name, () => expectOutcomes(running, each, before, after));
      }
    });
  } finally {
    await Deno.remove(noExamples);
  }
});

async function expectOutcomes(
  running: RunningStack,
  each: Case,
  before: Tables,
  after: Tables,
): Promise<void> {
  const { stack, sql } = running;
  const simulator = stack.simulator!;
  await restore(sql);
  simulator.reset();
  for (const [endpoint, fault] of Object.entries(each.faults)) simulator.setFault(endpoint, fault);

  const outcomes = new Map(subjects.flatMap((subject) => {
    const outcome = each.outcomes[subject] ?? each.outcomes["*"];
    return outcome === undefined ? [] : [[subject, outcome] as const];
  }));
  const outcomeOf = (subject: Subject, symbol: string) =>
    (subject === "quote" ? each.ofSymbol?.[symbol] : undefined) ?? outcomes.get(subject);
  await queue(sql, [...outcomes.keys()]);
  const report = await processManually(stack);
  const { leaseLost, unsettled } = report.jobs;
  assert.deepEqual([leaseLost, unsettled], [0, 0], JSON.stringify(report));

  const jobs = await readJobs(sql);
  const wanted = subjects.flatMap((subject) =>
    SUBJECTS[subject].symbols.flatMap((symbol) => {
      const outcome = outcomeOf(subject, symbol);
      if (outcome === undefined) return [];
      const { status, attempts, error = null } = outcome;
      return [{ job: `${subject} ${symbol}`, status, attempts, error }];
    })
  );
  assert.deepEqual(jobs.map(({ message: _, ...job }) => job), sorted(wanted));
  for (const { job, message } of jobs) {
    const [subject, symbol] = job.split(" ") as [Subject, string];
    const names = outcomeOf(subject, symbol)?.names;
    if (names !== undefined) assert.ok(message?.includes(names), `${job}: ${message}`);
  }

  const comparable = each.comparable ?? ((row) => row);
  const found = await readTables(sql);
  for (const table of dataTables) {
    for (const key of new Set([...before.get(table)!.keys(), ...found.get(table)!.keys()])) {
      const [old, now] = [before.get(table)!.get(key), found.get(table)!.get(key)];
      const fresh = after.get(table)!.get(key);
      // Two types write the shares in free float of a symbol: either may have. Nobody's stay.
      const owners = ownersOf(table, now ?? old!);
      const states = owners.length === 0
        ? ["kept"]
        : owners.map((subject) =>
          outcomeOf(subject, String(now?.symbol ?? old?.symbol))?.rows ?? "kept"
        );
      const allowed = states.map((state) => state === "right" ? content(table, fresh) : old);
      const isAllowed = states.some((state, index) =>
        isDeepStrictEqual(
          state === "right" ? mapRow(content(table, now), comparable) : now,
          state === "right" ? mapRow(allowed[index], comparable) : allowed[index],
        )
      );
      if (!isAllowed) {
        assert.deepEqual(
          states[0] === "right" ? content(table, now) : now,
          allowed[0],
          `${table}, row ${key}`,
        );
      }
    }
    if (
      subjects.some((subject) =>
        SUBJECTS[subject].table === table && outcomes.get(subject)?.rows === "right"
      )
    ) {
      const gone = [...after.get(table)!].filter(([key, row]) =>
        !found.get(table)!.has(key) &&
        ownersOf(table, row).every((subject) => outcomes.get(subject)?.rows === "right")
      );
      assert.deepEqual(gone.map(([key]) => key), [], table);
    }
  }
  await expectProviders(sql, each);
}

async function queue(sql: Sql, wanted: readonly Subject[]): Promise<void> {
  const jobs = wanted.flatMap((data_type) =>
    SUBJECTS[data_type].symbols.map((symbol) => ({ data_type, symbol }))
  );
  await sql`insert into public.api_call_queue_v2 ${sql(jobs)}`;
}

interface Job {
  job: string;
  status: string;
  attempts: number;
  error: string | null;
  message: string | null;
}

async function readJobs(sql: Sql): Promise<Job[]> {
  const jobs = await sql<Job[]>`
    select data_type || ' ' || symbol as job, status, attempts::int,
           (errors -> -1 ->> 'class') || ' ' || (errors -> -1 ->> 'code') as error,
           last_error as message
      from public.api_call_queue_v2`;
  return sorted(jobs.map((job) => ({ ...job })));
}

function sorted<Item extends { job: string }>(items: readonly Item[]): Item[] {
  return items.toSorted((left, right) => left.job < right.job ? -1 : 1);
}

async function expectProviders(sql: Sql, { provider }: Case): Promise<void> {
  const states = await sql`
    select breaker_state, coalesce(extract(epoch from hold_until - now()), 0)::float8 as held
      from public.api_providers_v2`;
  assert.equal(states.length, 2);
  for (const { breaker_state, held } of states) {
    const [least, most] = provider !== undefined && "holdSeconds" in provider
      ? provider.holdSeconds
      : [0, 0];
    assert.ok(held >= least && held <= most, `held for ${held} s, wanted ${least} to ${most}`);
    const isOpen = provider !== undefined && "breaker" in provider;
    assert.equal(breaker_state, isOpen ? "open" : "closed");
  }
}

async function prepareRegistry(sql: Sql): Promise<void> {
  await sql`create table public.single_quote (like public.data_type_registry_v2 including all)`;
  await sql`insert into public.single_quote select * from public.data_type_registry_v2
             where data_type = 'quote'`;
  await sql`update public.single_quote
               set data_type = 'single-quote', batch_size = 1, legacy_cron_jobs = '{}'`;
  await sql`insert into public.data_type_registry_v2 select * from public.single_quote`;
  await sql`drop table public.single_quote`;
  // Neither the vendor's limit nor the breaker's count is what is tested here.
  await sql`update public.api_providers_v2 set calls_per_minute = 1000000`;
  await sql`update switchyard.settings set value = '1000000'
             where name = 'breaker_least_failures'`;
}

/** Refreshes all subjects from a vendor without faults. */
async function runClean({ stack, sql }: RunningStack): Promise<void> {
  await sql`delete from public.api_call_queue_v2`;
  await queue(sql, subjects);
  const report = await processManually(stack);
  assert.deepEqual(report.errors, []);
  assert.equal(report.jobs.completed, report.jobs.claimed, JSON.stringify(report));
}
