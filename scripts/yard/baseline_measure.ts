import type { Sql, TransactionSql } from "postgres";
import type { BaselineFile } from "./baseline_file.ts";
import { messageOf } from "./command.ts";
import type { KnownSymbols, Proposal } from "./discover/proposal.ts";

type Jobs = BaselineFile["jobs"];
type Rows = BaselineFile["rows"];
type Freshness = BaselineFile["freshness"][number];

/** Cron jobs with their last runs; without the commands, which may hold keys. */
export function measureJobs(sql: Sql): Promise<Jobs> {
  return readOnly(sql, async (tx) => {
    const rows = await tx<Jobs[number][]>`
      select coalesce(j.jobname::text, format('job %s', j.jobid)) as subject,
             jsonb_build_object(
               'jobid', j.jobid, 'schedule', j.schedule, 'active', j.active, 'username', j.username,
               'database', j.database, 'command_md5', md5(j.command),
               'functions', (
                 select coalesce(jsonb_agg(distinct m[1]), '[]')
                   from regexp_matches(j.command, '/functions/v1/([A-Za-z0-9_-]+)', 'g') as m),
               'last_start', last.start_time, 'last_status', last.status,
               'runs', coalesce(runs.total, 0), 'failures', coalesce(runs.failures, 0)) as value
        from cron.job as j
        left join lateral (
          select d.start_time, d.status
            from cron.job_run_details as d
           where d.jobid = j.jobid
           order by d.runid desc
           limit 1) as last on true
        left join (
          select d.jobid, count(*) as total, count(*) filter (where d.status = 'failed') as failures
            from cron.job_run_details as d
           where d.start_time > clock_timestamp() - interval '1 day'
           group by d.jobid) as runs on runs.jobid = j.jobid
       order by j.jobid`;
    return [...rows];
  });
}

/** The number of rows of each table. */
export async function measureRows(sql: Sql, tables: readonly string[]): Promise<Rows> {
  const rows: Rows = [];
  for (const table of tables) {
    const value = await orProblem(() =>
      readOnly(sql, async (tx) => {
        const [row] = await tx<{ rows: number }[]>`
          select count(*)::float8 as rows from public.${tx(table)}`;
        return { rows: row!.rows };
      })
    );
    rows.push({ subject: table, value });
  }
  return rows;
}

/** How old the rows of a type are now: of each known symbol in use the newest one. */
export async function measureFreshness(
  sql: Sql,
  proposal: Proposal,
  known: KnownSymbols | undefined,
): Promise<Freshness> {
  const { dataType, functionName } = proposal;
  const table = proposal.table.value;
  const symbolColumn = proposal.symbolColumn.value;
  const timestampColumn = proposal.timestampColumn.value;
  const started = performance.now();
  const recordedAt = new Date();
  const value = await orProblem(() =>
    readOnly(sql, async (tx) => {
      const symbol = symbolColumn === null ? tx`'GLOBAL'` : tx`t.${tx(symbolColumn)}::text`;
      const ttl = proposal.ttlMinutes.value * 60;
      const [sample] = await tx<Record<string, unknown>[]>`
        with newest as materialized (
          select ${symbol} as symbol, max(t.${tx(timestampColumn)}) as newest_at
            from public.${tx(table)} as t
           group by 1
        ),
        judged as (
          select n.symbol is not null as has_rows,
                 case when n.newest_at is not null
                      then greatest(extract(epoch from clock_timestamp() - n.newest_at), 0)::float8
                  end as age
            from (${symbolsToJudge(tx, proposal, known)}) as k (symbol)
            left join newest as n on n.symbol = k.symbol
        )
        select count(*)::int as symbols_known,
               count(*) filter (where j.has_rows)::int as rows,
               count(*) filter (where not coalesce(j.age <= ${ttl}, false))::int as stale_rows,
               count(*) filter (where j.has_rows and not coalesce(j.age <= ${2 * ttl}, false))::int
                 as very_stale_rows,
               percentile_disc(0.5) within group (order by j.age) as p50_age_seconds,
               percentile_disc(0.95) within group (order by j.age) as p95_age_seconds,
               max(j.age) as max_age_seconds
          from judged as j`;
      return { ...sample! };
    })
  );
  return {
    recordedAt: recordedAt.toISOString(),
    dataType,
    functionName,
    table,
    symbolColumn,
    timestampColumn,
    value: {
      data_type: dataType,
      sampled_at: recordedAt.toISOString(),
      stage: "legacy",
      left_out: 0,
      duration_ms: Math.round(performance.now() - started),
      ...value,
    },
  };
}

function symbolsToJudge(
  tx: TransactionSql,
  { symbolColumn, table }: Proposal,
  known: KnownSymbols | undefined,
) {
  if (symbolColumn.value === null) return tx`select 'GLOBAL'`;
  if (known === undefined) {
    return tx`select distinct s.${tx(symbolColumn.value)}::text from public.${
      tx(table.value)
    } as s`;
  }
  const isActive = known.activeColumn === null ? tx`true` : tx`s.${tx(known.activeColumn)}`;
  return tx`select s.${tx(known.column)}::text from public.${
    tx(known.table)
  } as s where ${isActive}`;
}

/** Seconds that one measurement may take from the database. */
const TIMEOUT = "60s";

function readOnly<Result>(
  sql: Sql,
  work: (tx: TransactionSql) => Promise<Result>,
): Promise<Result> {
  return sql.begin("read only", async (tx) => {
    await tx`select set_config('statement_timeout', ${TIMEOUT}, true)`;
    return await work(tx);
  }) as Promise<Result>;
}

/** What cannot be measured is said, and keeps nothing else from being measured. */
async function orProblem(
  work: () => Promise<Record<string, unknown>>,
): Promise<Record<string, unknown>> {
  try {
    return await work();
  } catch (error) {
    if (typeof (error as { code?: unknown }).code !== "string") throw error;
    return { problem: messageOf(error) };
  }
}
