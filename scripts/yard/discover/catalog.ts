import type { Sql, TransactionSql } from "postgres";
import { RefusedError } from "../command.ts";
import { registrySuffix } from "../database.ts";
import type { CronJob, SqlFunction } from "./jobs.ts";

export interface Column {
  name: string;
  /** As `format_type` says it: `text`, `timestamp with time zone`. */
  type: string;
  isRequired: boolean;
  /** Whether the database makes its values: identity, sequence or random uuid. */
  isGenerated: boolean;
}

export interface UniqueKey {
  columns: string[];
  isPrimary: boolean;
}

export interface ForeignKey {
  column: string;
  /** `schema.table`. */
  table: string;
  foreignColumn: string;
}

export interface Table {
  schema: string;
  name: string;
  columns: Column[];
  keys: UniqueKey[];
  foreignKeys: ForeignKey[];
  /** Columns that a trigger sets on every update. */
  touchedColumns: string[];
  /** Rough number of rows; 0 where it was never counted. */
  rows: number;
  /** The newest value of each timestamptz column; a table that was too big to look at has none. */
  newest: Map<string, Date>;
  /** Bytes of a row, of some rows; undefined for an empty table. */
  rowBytes: number | undefined;
}

export interface Catalog {
  /** The database's clock. */
  now: Date;
  jobs: CronJob[];
  /** When each job ran last, by its id. */
  lastRuns: Map<number, Date>;
  sqlFunctions: SqlFunction[];
  tables: Table[];
  /** Edge Functions that data types of the registry name already, with those. */
  registered: Map<string, string>;
  /** Names of registered data types. */
  dataTypes: Set<string>;
  /** Behind the registry's name: `_v2`, or nothing once it is finalized; undefined: not installed. */
  suffix: "_v2" | "" | undefined;
  /** Cron jobs of Switchyard's own. */
  ownJobs: Set<string>;
  /** The table of known symbols that is set; null: none by choice; undefined: nobody has set one. */
  knownSymbolsTable: string | null | undefined;
  /** What the reader should know. */
  notes: string[];
}

/** Rows up to which a column without an index is looked through for its newest value. */
const MOST_ROWS_WITHOUT_INDEX = 500_000;

/** Reads what discovering takes, in one transaction that cannot write. */
export function readCatalog(sql: Sql, progress: (text: string) => void): Promise<Catalog> {
  return sql.begin("isolation level repeatable read read only", async (tx) => {
    await tx`set local statement_timeout = '30s'`;
    const [facts] = await tx<Facts[]>`
      select clock_timestamp() as now, current_user::text as user,
             (select has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')
                from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
               where n.nspname = 'cron' and c.relname = 'job') as "canReadJobs",
             (select r.rolsuper or r.rolbypassrls from pg_roles as r where r.rolname = current_user)
               as "seesAllJobs"`;
    const suffix = await registrySuffix(tx);
    if (facts!.canReadJobs === null) {
      throw new RefusedError("Cannot discover cron jobs: the database has no pg_cron", {
        detail: "there is no table cron.job",
        next: "create extension pg_cron, or pass the --db-url of the project that has the jobs",
      });
    }
    const tables = await readTables(tx, suffix);
    const notes: string[] = [];
    const jobs = await readJobs(tx, facts!, notes);
    for (const [index, table] of tables.entries()) {
      progress(`Looking at ${table.schema}.${table.name} (${index + 1} of ${tables.length})`);
      await lookInto(tx, table, notes);
    }
    return {
      now: facts!.now,
      jobs,
      lastRuns: await readLastRuns(tx, notes),
      sqlFunctions: await readSqlFunctions(tx),
      tables,
      ...await readRegistry(tx, suffix),
      notes,
    };
  }) as Promise<Catalog>;
}

interface Facts {
  now: Date;
  user: string;
  /** Null without pg_cron. */
  canReadJobs: boolean | null;
  seesAllJobs: boolean;
}

async function readJobs(
  tx: TransactionSql,
  { user, canReadJobs, seesAllJobs }: Facts,
  notes: string[],
): Promise<CronJob[]> {
  if (!canReadJobs) {
    throw new RefusedError(`Cannot read cron.job as role "${user}"`, {
      detail: "it has no privilege to",
      next: "connect as postgres: --db-url postgresql://postgres:…",
    });
  }
  if (!seesAllJobs) notes.push(`Role "${user}" sees its own cron jobs only; postgres sees all`);
  const jobs = await tx<CronJob[]>`
    select jobid::int, jobname::text, schedule, command, database, username, active
      from cron.job
     where database = current_database()
     order by jobid`;
  const [others] = await tx<{ count: number }[]>`
    select count(*)::int as count from cron.job where database <> current_database()`;
  if (others!.count > 0) notes.push(`${others!.count} cron jobs of other databases were left out`);
  return [...jobs];
}

async function readLastRuns(tx: TransactionSql, notes: string[]): Promise<Map<number, Date>> {
  const rows = await attempt(
    tx,
    (inner) =>
      inner<{ jobid: number; at: Date }[]>`
      select jobid::int, max(start_time) as at from cron.job_run_details
       where start_time is not null group by jobid`,
    (reason) => notes.push(`The last runs of jobs could not be read: ${reason}`),
  );
  return new Map(rows?.map(({ jobid, at }) => [jobid, at]));
}

/** SQL functions that a command may call. */
async function readSqlFunctions(tx: TransactionSql): Promise<SqlFunction[]> {
  const rows = await tx<SqlFunction[]>`
    select n.nspname::text as schema, p.proname::text as name, p.provolatile = 'v' as "isVolatile",
           -- Of a body in standard SQL (begin atomic) there is no source.
           coalesce(nullif(p.prosrc, ''), pg_get_functiondef(p.oid)) as source
      from pg_proc as p
      join pg_namespace as n on n.oid = p.pronamespace
      join pg_language as l on l.oid = p.prolang
     where n.nspname not in ${tx(PLATFORM_SCHEMAS)} and n.nspname <> 'switchyard'
       and p.prokind in ('f', 'p') and l.lanname in ('sql', 'plpgsql')
       and not exists (
         select 1 from pg_depend as e
          where e.classid = 'pg_proc'::regclass and e.objid = p.oid and e.deptype = 'e')
     order by 1, 2`;
  return [...rows];
}

type Registry = Pick<
  Catalog,
  "registered" | "dataTypes" | "suffix" | "ownJobs" | "knownSymbolsTable"
>;

async function readRegistry(tx: TransactionSql, suffix: Catalog["suffix"]): Promise<Registry> {
  if (suffix === undefined) {
    return {
      registered: new Map(),
      dataTypes: new Set(),
      suffix,
      ownJobs: new Set(),
      knownSymbolsTable: undefined,
    };
  }
  const rows = await tx<{ dataType: string; functions: (string | null)[] }[]>`
    select r.data_type as "dataType",
           -- As JSON: an older registry has no legacy_functions.
           jsonb_build_array(r.edge_function_name)
             || coalesce(to_jsonb(r) -> 'legacy_functions', '[]') as functions
      from public.${tx(`data_type_registry${suffix}`)} as r
     order by r.data_type`;
  const registered = new Map<string, string>();
  for (const { dataType, functions } of rows) {
    for (const name of functions) {
      if (name !== null && !registered.has(name)) registered.set(name, dataType);
    }
  }
  const [setting] = await tx<{ name: string | null }[]>`
    select (select s.value #>> '{}' from switchyard.settings as s
             where s.name = 'known_symbols_table'
               and to_regclass('public.' || quote_ident(s.value #>> '{}')) is not null) as name`;
  const jobs = await tx<{ name: string }[]>`select job_name as name from switchyard.cron_jobs`;
  return {
    registered,
    dataTypes: new Set(rows.map(({ dataType }) => dataType)),
    suffix,
    ownJobs: new Set(jobs.map(({ name }) => name)),
    knownSymbolsTable: setting?.name ?? (rows.length > 0 ? null : undefined),
  };
}

/** Tables of Switchyard in schema public, without the suffix that they may have. */
const OWN_TABLES = [
  "active_subscriptions",
  "api_call_queue",
  "api_data_usage",
  "api_providers",
  "data_type_registry",
];

function ownTables(suffix: Catalog["suffix"]): string[] {
  if (suffix === undefined) return [];
  return ["feature_flags", ...OWN_TABLES.map((name) => `${name}${suffix}`)];
}

const PLATFORM_SCHEMAS = [
  "auth",
  "cron",
  "extensions",
  "graphql",
  "graphql_public",
  "information_schema",
  "net",
  "pg_catalog",
  "pgbouncer",
  "pgmq",
  "pgsodium",
  "realtime",
  "storage",
  "supabase_functions",
  "supabase_migrations",
  "switchyard",
  "vault",
];

async function readTables(tx: TransactionSql, suffix: Catalog["suffix"]): Promise<Table[]> {
  const rows = await tx<{
    schema: string;
    name: string;
    rows: number;
    columns: Column[] | null;
    keys: UniqueKey[] | null;
    foreignKeys: ForeignKey[] | null;
    triggers: { function: string; arguments: string; source: string }[] | null;
  }[]>`
    select n.nspname::text as schema, c.relname::text as name,
           greatest(c.reltuples, pg_stat_get_live_tuples(c.oid), 0)::float8 as rows,
           (select json_agg(json_build_object(
                     'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
                     'isRequired', a.attnotnull,
                     'isGenerated', a.attidentity <> ''
                       or coalesce(pg_get_expr(d.adbin, d.adrelid) ~* 'nextval|uuid', false))
                   order by a.attnum)
              from pg_attribute as a
              left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
             where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns,
           (select json_agg(json_build_object(
                     'isPrimary', i.indisprimary,
                     'columns', (select array_agg(a.attname order by k.position)
                                   from unnest(i.indkey::int2[]) with ordinality as k (attnum, position)
                                   join pg_attribute as a on a.attrelid = c.oid and a.attnum = k.attnum
                                  where k.position <= i.indnkeyatts))
                   order by i.indisprimary desc, i.indexrelid)
              from pg_index as i
             where i.indrelid = c.oid and i.indisunique and i.indisvalid and i.indimmediate
               and i.indpred is null and i.indexprs is null) as keys,
           (select json_agg(json_build_object(
                     'column', a.attname, 'foreignColumn', f.attname,
                     'table', fn.nspname || '.' || fc.relname)
                   order by k.oid)
              from pg_constraint as k
              join pg_attribute as a on a.attrelid = k.conrelid and a.attnum = k.conkey[1]
              join pg_attribute as f on f.attrelid = k.confrelid and f.attnum = k.confkey[1]
              join pg_class as fc on fc.oid = k.confrelid
              join pg_namespace as fn on fn.oid = fc.relnamespace
             where k.conrelid = c.oid and k.contype = 'f' and cardinality(k.conkey) = 1
           ) as "foreignKeys",
           (select json_agg(json_build_object(
                     'function', p.proname, 'source', p.prosrc,
                     'arguments', encode(t.tgargs, 'escape')))
              from pg_trigger as t
              join pg_proc as p on p.oid = t.tgfoid
             -- Row triggers before an update: bits 1 (row), 2 (before), 16 (update).
             where t.tgrelid = c.oid and not t.tgisinternal and t.tgtype & 19 = 19) as triggers
      from pg_class as c
      join pg_namespace as n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p') and not c.relispartition
       and n.nspname not in ${tx(PLATFORM_SCHEMAS)} and n.nspname !~ '^pg_'
       and not (n.nspname = 'public' and c.relname in (
         select jsonb_array_elements_text(${tx.json(ownTables(suffix))})))
       and not exists (
         select 1 from pg_depend as e
          where e.classid = 'pg_class'::regclass and e.objid = c.oid and e.deptype = 'e')
     order by 1, 2`;
  return rows.map((row): Table => {
    const columns = row.columns ?? [];
    return {
      schema: row.schema,
      name: row.name,
      columns,
      keys: row.keys ?? [],
      foreignKeys: row.foreignKeys ?? [],
      touchedColumns: touchedColumns(row.triggers ?? [], columns),
      rows: row.rows,
      newest: new Map(),
      rowBytes: undefined,
    };
  });
}

function touchedColumns(
  triggers: readonly { function: string; arguments: string; source: string }[],
  columns: readonly Column[],
): string[] {
  const touched = triggers.flatMap((trigger) => {
    if (trigger.function === "moddatetime") return trigger.arguments.split("\\000");
    return [...trigger.source.matchAll(SETS_TO_NOW)].map(([, name]) => name);
  });
  return columns.map(({ name }) => name).filter((name) => touched.includes(name));
}

/** `new.updated_at := now()` in the source of a trigger function. */
const SETS_TO_NOW =
  /\bnew\s*\.\s*"?(\w+)"?\s*:?=\s*(?:now|clock_timestamp|current_timestamp|statement_timestamp|transaction_timestamp|timezone)\b/gi;

/** Reads the newest timestamps and the size of rows, unless that would take long. */
async function lookInto(tx: TransactionSql, table: Table, notes: string[]): Promise<void> {
  const columns = table.columns.filter(({ type }) => type === "timestamp with time zone");
  const looked = table.rows <= MOST_ROWS_WITHOUT_INDEX
    ? columns.map(({ name }) => name)
    : await indexedColumns(tx, table, columns);
  const answer = await attempt(
    tx,
    async (inner) => {
      await inner`set local statement_timeout = '5s'`;
      const relation = inner`${inner(table.schema)}.${inner(table.name)}`;
      const newest: [string, Date][] = [];
      for (const name of looked) {
        const [row] = await inner<{ at: Date | null }[]>`
          select max(${inner(name)}) as at from ${relation} where isfinite(${inner(name)})`;
        if (row?.at instanceof Date) newest.push([name, row.at]);
      }
      const [size] = await inner<{ bytes: number | null }[]>`
        select avg(pg_column_size(looked))::float8 as bytes
          from (select t.* from ${relation} as t limit 200) as looked`;
      return { newest, bytes: size?.bytes ?? undefined };
    },
    (reason) => notes.push(`${table.schema}.${table.name} could not be looked into: ${reason}`),
  );
  if (answer === undefined) return;
  table.newest = new Map(answer.newest);
  table.rowBytes = answer.bytes;
}

async function indexedColumns(
  tx: TransactionSql,
  table: Table,
  columns: readonly Column[],
): Promise<string[]> {
  const rows = await tx<{ name: string }[]>`
    select distinct a.attname::text as name
      from pg_index as i
      join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
     where i.indrelid = format('%I.%I', ${table.schema}::text, ${table.name}::text)::regclass
       and i.indisvalid and i.indpred is null`;
  const indexed = new Set(rows.map(({ name }) => name));
  return columns.map(({ name }) => name).filter((name) => indexed.has(name));
}

/** Does something that may fail without the transaction: too slow, or not allowed. */
async function attempt<Result>(
  tx: TransactionSql,
  work: (inner: TransactionSql) => Promise<Result>,
  failed: (reason: string) => void,
): Promise<Result | undefined> {
  try {
    return await tx.savepoint(work) as Result;
  } catch (error) {
    const code = (error as { code?: unknown }).code;
    if (typeof code !== "string" || !EXPECTED.has(code)) throw error;
    failed((error as Error).message);
    return undefined;
  }
}

/** Cancelled by the timeout, not allowed, no such table. */
const EXPECTED = new Set(["57014", "42501", "42P01"]);
