import type { Sql } from "postgres";
import { formatBytes, formatCount, formatDuration, formatTable } from "../format.ts";

interface TypeSummary {
  dataType: string;
  jobs: number;
  completed: number;
  failed: number;
  rowsWritten: number;
  calls: number;
  bytes: number;
  p50Ms: number;
  p95Ms: number;
  errors: number;
}

/**
 * The closing table: per data type the finished jobs, rows written, vendor calls and bytes (both
 * as booked, failed calls included), latency from claim to finish, and attempts that failed.
 */
export async function summarize(sql: Sql): Promise<string[]> {
  const types = await sql<TypeSummary[]>`
    select q.data_type as "dataType",
           count(*)::int as jobs,
           count(*) filter (where q.status = 'completed')::int as completed,
           count(*) filter (where q.status = 'failed')::int as failed,
           coalesce(sum(q.rows_written), 0)::int as "rowsWritten",
           coalesce((select sum(u.calls) from public.api_data_usage_v2 as u
                      where u.data_type = q.data_type), 0)::int as calls,
           coalesce((select sum(u.bytes) from public.api_data_usage_v2 as u
                      where u.data_type = q.data_type), 0)::float8 as bytes,
           coalesce(percentile_cont(0.5) within group (
             order by extract(epoch from q.finished_at - q.claimed_at) * 1000), 0)::float8 as "p50Ms",
           coalesce(percentile_cont(0.95) within group (
             order by extract(epoch from q.finished_at - q.claimed_at) * 1000), 0)::float8 as "p95Ms",
           sum(jsonb_array_length(q.errors))::int as errors
      from public.api_call_queue_v2 as q
     where q.finished_at < 'infinity'
     group by q.data_type
     order by q.data_type`;
  const sum = (pick: (type: TypeSummary) => number) =>
    types.reduce((total, type) => total + pick(type), 0);
  const cells = (
    name: string,
    totals: Omit<TypeSummary, "dataType" | "p50Ms" | "p95Ms">,
    latency: [string, string],
  ) => [
    name,
    formatCount(totals.jobs),
    formatCount(totals.completed),
    formatCount(totals.failed),
    formatCount(totals.rowsWritten),
    formatCount(totals.calls),
    formatBytes(totals.bytes),
    ...latency,
    formatCount(totals.errors),
  ];
  return formatTable(
    [
      { title: "data type" },
      ...["jobs", "completed", "failed", "rows", "calls", "bytes", "p50", "p95", "errors"]
        .map((title) => ({ title, align: "right" as const })),
    ],
    [
      ...types.map((type) =>
        cells(type.dataType, type, [formatDuration(type.p50Ms), formatDuration(type.p95Ms)])
      ),
      cells("all", {
        jobs: sum((type) => type.jobs),
        completed: sum((type) => type.completed),
        failed: sum((type) => type.failed),
        rowsWritten: sum((type) => type.rowsWritten),
        calls: sum((type) => type.calls),
        bytes: sum((type) => type.bytes),
        errors: sum((type) => type.errors),
      }, ["", ""]),
    ],
  );
}
