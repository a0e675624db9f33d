import type postgres from "postgres";
import { alone, type Benchmark, type Result } from "../benchmark.ts";
import { formatNumber, median } from "../statistics.ts";

const TYPES = 12;
const MOST_MS = 2_000;
const ROUNDS = 5;

export const stalenessBenchmark: Benchmark = {
  name: "staleness",
  title: "A pass of the staleness check, nothing stale",
  method:
    "Twelve data types with a table each, half of them with one row per symbol, half with four, for " +
    "50,000 known symbols, all rows fresh and nothing known from earlier checks, so that every verdict " +
    "reads the table. Demand rows from presence are spread over types and symbols. The median of five " +
    "calls of check_and_queue_stale_data_from_presence_v2 counts, for 1,000, 10,000 and 100,000 rows. Then " +
    "50,000 quotes that are older than their TTL while their exchange is closed, which the condition " +
    "function of quotes has to tell: with its form for sets, and as a function of one symbol.",
  usesPeers: false,
  async run(workbench) {
    const { admin } = await workbench.server();
    const symbols = workbench.quick ? 5_000 : 50_000;
    const sizes = workbench.quick ? [100, 1_000, 10_000] : [1_000, 10_000, 100_000];
    await makeTypes(admin, symbols);
    try {
      const medians: number[] = [];
      for (const size of sizes) {
        workbench.signal.throwIfAborted();
        await makeDemand(admin, size, symbols);
        const times: number[] = [];
        for (let round = 0; round < ROUNDS; round++) {
          times.push(await passMs(admin));
        }
        medians.push(median(times));
        workbench.progress(
          `${formatNumber(size)} demand rows: ${formatNumber(medians.at(-1)!)} ms ` +
            `(${times.map(formatNumber).join(", ")})`,
        );
      }
      await admin`update switchyard.settings set value = '1000000' where name = 'most_pending_jobs'`;
      await makeStale(admin);
      const allStale = await passMs(admin, sizes.at(-1)!);
      workbench.progress(`all stale: ${formatNumber(allStale)} ms`);
      const closed = await measureClosedQuotes(admin, symbols);
      workbench.progress(
        `closed quotes: ${formatNumber(closed.inSets)} ms, one by one ${
          formatNumber(closed.oneByOne)
        } ms`,
      );
      const perRow = medians.map((ms, index) => 1_000 * ms / sizes[index]!);
      return {
        results: [
          alone({ name: "staleness", value: medians.at(-1)!, unit: "ms" }, {
            text: `<= ${MOST_MS}`,
            isMet: (value) => value <= MOST_MS,
          }),
          information("staleness/all stale, queued", allStale),
          information("staleness/closed quotes", closed.inSets),
          information("staleness/closed quotes, one by one", closed.oneByOne),
        ],
        details: [
          `${formatNumber(symbols)} symbols; ` +
          sizes.map((size, index) =>
            `${formatNumber(size)} demand rows: ${formatNumber(medians[index]!)} ms ` +
            `(${formatNumber(perRow[index]!)} µs a row)`
          ).join("; ") + ".",
        ],
      };
    } finally {
      await removeTypes(admin);
    }
  },
};

function information(name: string, ms: number): Result {
  return {
    name,
    value: ms,
    unit: "ms",
    target: null,
    peer: null,
    peer_value: null,
    ratio: null,
    met: null,
  };
}

async function makeTypes(admin: postgres.Sql, symbols: number): Promise<void> {
  await admin`update public.feature_flags set enabled = true where flag_name = 'use_new_staleness_check'`;
  await admin`insert into public.supported_symbols (symbol)
              select 'S' || n from generate_series(1, ${symbols}) as n on conflict do nothing`;
  for (let type = 1; type <= TYPES; type++) {
    const table = `bench_type_${type}`;
    const rows = type % 2 === 0 ? 4 : 1;
    await admin.unsafe(`create table public.${table} (
      symbol text, day integer, updated_at timestamptz not null, primary key (symbol, day))`);
    await admin.unsafe(`alter table public.${table} owner to postgres`);
    await admin.unsafe(`insert into public.${table}
      select 'S' || n, day, now() from generate_series(1, ${symbols}) as n, generate_series(1, ${rows}) as day`);
    await admin`insert into public.data_type_registry_v2
        (data_type, table_name, symbol_column, timestamp_column, conflict_columns,
         default_ttl_minutes, provider, fetcher, estimated_data_size_bytes)
      values (${`bench-type-${type}`}, ${table}, 'symbol', 'updated_at', '{symbol,day}', 1000, 'fmp', 'none', 1)`;
    await admin`select switchyard.set_stage(${`bench-type-${type}`}, 'live')`;
  }
  await admin.unsafe("vacuum (analyze)");
}

async function makeDemand(
  admin: postgres.Sql,
  rows: number,
  symbols: number,
): Promise<void> {
  await admin`truncate public.active_subscriptions_v2`;
  await admin`
    insert into public.active_subscriptions_v2 (symbol, data_type, source, viewers, last_seen_at)
    select 'S' || (1 + (n / ${TYPES}::int) * 7919::bigint % ${symbols}), 'bench-type-' || (1 + n % ${TYPES}::int),
           'presence', 1 + n % 50, now() + interval '1 hour'
      from generate_series(0, ${rows - 1}) as n
        on conflict do nothing`;
  await admin.unsafe("vacuum (analyze) public.active_subscriptions_v2");
}

async function makeStale(admin: postgres.Sql): Promise<void> {
  await admin`update public.data_type_registry_v2 set default_ttl_minutes = 1
               where data_type like 'bench-type-%'`;
  for (let type = 1; type <= TYPES; type++) {
    await admin.unsafe(
      `update public.bench_type_${type} set updated_at = now() - interval '1 day'`,
    );
  }
  await admin.unsafe("vacuum (analyze)");
}

/** Milliseconds of one pass, which has to queue so many jobs. */
async function passMs(admin: postgres.Sql, jobs = 0): Promise<number> {
  const started = performance.now();
  const types = await admin<{ queued: number; reason: string | null }[]>`
    select queued, reason from public.check_and_queue_stale_data_from_presence_v2()
     where data_type like 'bench-type-%'`;
  const ms = performance.now() - started;
  const queued = types.reduce((sum, type) => sum + type.queued, 0);
  const problem = types.find(({ reason }) => reason !== null)?.reason;
  if (types.length !== TYPES || queued !== jobs || problem !== undefined) {
    throw new Error(
      `Cannot measure the staleness check: ${types.length} types, ${queued} jobs, wanted ${TYPES} ` +
        `and ${jobs}; ${problem ?? "no reason given"}`,
    );
  }
  return ms;
}

/** Milliseconds of a pass over quotes of which none is worth refreshing, by both forms of the condition. */
async function measureClosedQuotes(
  admin: postgres.Sql,
  symbols: number,
): Promise<{ inSets: number; oneByOne: number }> {
  await admin`truncate switchyard.api_call_queue_v2_live`;
  // What other benchmarks have checked would count as fresh, or as empty.
  await admin`truncate switchyard.refresh_state`;
  await admin`truncate public.active_subscriptions_v2`;
  await admin`
    insert into public.exchange_market_status
      (exchange_code, opening_time_local, closing_time_local, timezone, last_fetched_at, raw_holidays_json)
    select 'BENCH', 'CLOSED', 'CLOSED', 'UTC', now(),
           jsonb_agg(jsonb_build_object('date', (now() at time zone 'UTC')::date - n, 'isClosed', true))
      from generate_series(0, 3) as n`;
  await admin`
    insert into public.live_quote_indicators (symbol, current_price, api_timestamp, exchange, fetched_at)
    select 'S' || n, 1, 1, 'BENCH', now() - interval '1 hour' from generate_series(1, ${symbols}) as n`;
  await admin`
    insert into public.active_subscriptions_v2 (symbol, data_type, source, viewers, last_seen_at)
    select 'S' || n, 'quote', 'presence', 1, now() + interval '1 hour' from generate_series(1, ${symbols}) as n`;
  await admin`
    create function public.bench_one_by_one(p_symbol text) returns boolean language sql stable
    as 'select public.is_exchange_open_v2(p_symbol)'`;
  await admin`select switchyard.set_stage('quote', 'live')`;
  await admin.unsafe(
    "vacuum (analyze) public.live_quote_indicators, public.active_subscriptions_v2",
  );
  const times = {
    is_exchange_open_v2: [] as number[],
    bench_one_by_one: [] as number[],
  };
  try {
    for (let round = 0; round < ROUNDS; round++) {
      for (
        const condition of ["is_exchange_open_v2", "bench_one_by_one"] as const
      ) {
        await admin`update public.data_type_registry_v2 set condition_function = ${condition}
                     where data_type = 'quote'`;
        times[condition].push(await quotesPassMs(admin));
      }
    }
    await admin`update public.data_type_registry_v2 set condition_function = null where data_type = 'quote'`;
    const [unasked] = await admin<{ queued: number }[]>`
      select queued from public.check_and_queue_stale_data_from_presence_v2() where data_type = 'quote'`;
    if (!unasked?.queued) {
      throw new Error(
        "Cannot measure closed quotes: without the condition none is stale",
      );
    }
  } finally {
    await admin`select switchyard.set_stage('quote', 'legacy')`;
    await admin`update public.data_type_registry_v2 set condition_function = 'is_exchange_open_v2'
                 where data_type = 'quote'`;
    await admin`drop function public.bench_one_by_one(text)`;
    await admin`delete from public.exchange_market_status where exchange_code = 'BENCH'`;
    await admin`truncate public.live_quote_indicators`;
  }
  return {
    inSets: median(times.is_exchange_open_v2),
    oneByOne: median(times.bench_one_by_one),
  };
}

async function quotesPassMs(admin: postgres.Sql): Promise<number> {
  const started = performance.now();
  const [type] = await admin<{ queued: number; reason: string | null }[]>`
    select queued, reason from public.check_and_queue_stale_data_from_presence_v2()
     where data_type = 'quote'`;
  const ms = performance.now() - started;
  if (type?.queued !== 0 || type.reason !== null) {
    throw new Error(
      `Cannot measure closed quotes: ${type?.queued} jobs, wanted 0; ${type?.reason}`,
    );
  }
  return ms;
}

async function removeTypes(admin: postgres.Sql): Promise<void> {
  await admin`truncate switchyard.api_call_queue_v2_live`;
  await admin`update switchyard.settings set value = '5000' where name = 'most_pending_jobs'`;
  await admin`update public.feature_flags set enabled = false where flag_name = 'use_new_staleness_check'`;
  await admin`truncate public.active_subscriptions_v2`;
  await admin`
    select switchyard.set_stage(data_type, 'legacy') from public.data_type_registry_v2
     where data_type like 'bench-type-%'`;
  await admin`delete from public.data_type_registry_v2 where data_type like 'bench-type-%'`;
  for (let type = 1; type <= TYPES; type++) {
    await admin.unsafe(`drop table if exists public.bench_type_${type}`);
  }
}
