import type { Sql } from "postgres";

/** One object of a database, as the catalog describes it. */
export interface CatalogObject {
  /** For example `table`, `column`, `function`, `cron job`. */
  kind: string;
  /** Name that tells it from all others of its kind. */
  identity: string;
  /** Everything about it that a change would show in. */
  definition: string;
}

/** What differs between two fingerprints. */
export interface CatalogDifference {
  change: "added" | "removed" | "changed";
  object: CatalogObject;
  /** The definition before, for changed objects. */
  before?: string;
}

/**
 * Reads all objects outside the system schemas: schemas, relations, columns, constraints, indexes,
 * triggers, policies, functions, types, privileges (explicit and default), publications,
 * extensions, roles and cron jobs. Rows of data tables are not part of it.
 */
export async function fingerprint(sql: Sql): Promise<CatalogObject[]> {
  return await sql.unsafe<CatalogObject[]>(CATALOG);
}

/** Compares two fingerprints, in the order of the later one; removed objects come last. */
export function compareFingerprints(
  before: readonly CatalogObject[],
  after: readonly CatalogObject[],
): CatalogDifference[] {
  const key = (object: CatalogObject) => `${object.kind}\n${object.identity}`;
  const earlier = new Map(before.map((object) => [key(object), object]));
  const differences: CatalogDifference[] = [];
  for (const object of after) {
    const known = earlier.get(key(object));
    earlier.delete(key(object));
    if (known === undefined) differences.push({ change: "added", object });
    else if (known.definition !== object.definition) {
      differences.push({ change: "changed", object, before: known.definition });
    }
  }
  for (const object of earlier.values()) differences.push({ change: "removed", object });
  return differences;
}

const OWN_TABLES = [
  "feature_flags",
  "data_type_registry_v2",
  "api_call_queue_v2",
  "api_data_usage_v2",
  "api_providers_v2",
  "active_subscriptions_v2",
  "registry_problems_v2",
  "migration_status_v2",
];
const OWN_CRON_JOBS = [
  "invoke-queue-processor-v2",
  "check-stale-data-v2",
  "queue-scheduled-refreshes-v2",
  "queue-shadow-samples-v2",
  "sample-freshness-v2",
  "guard-migrations-v2",
  "compact-queue-v2",
  "maintain-queue-partitions-v2",
  "prune-queue-history-v2",
];

/**
 * Whether an object belongs to Switchyard, or to the CLI's record of applied migrations. What the
 * install adds must be of these, and nothing else may differ.
 */
export function isOwnObject(object: CatalogObject): boolean {
  if (object.kind === "cron job") return OWN_CRON_JOBS.includes(object.identity);
  const identity = object.identity.replace(/^public\./, "");
  return /^(switchyard|supabase_migrations)(\.|$)/.test(identity) ||
    OWN_TABLES.some((table) => new RegExp(`^${table}(\\.|_pkey|_[a-z_]*idx$|$)`).test(identity)) ||
    (object.kind === "function" && /^([a-z_]+_v2|is_feature_enabled(_for)?)\(/.test(identity));
}

const CATALOG = `
with schemas as (
  select n.oid, n.nspname, n.nspacl
    from pg_catalog.pg_namespace as n
   where n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
     and n.nspname !~ '^pg_(temp|toast_temp)_'
)
select 'schema' as kind, s.nspname::text as identity, coalesce(s.nspacl::text, '') as definition
  from schemas as s
union all
select 'relation', s.nspname || '.' || c.relname,
       concat_ws(' ', c.relkind, pg_get_userbyid(c.relowner), c.relrowsecurity, c.relforcerowsecurity,
                 c.relpersistence, c.relacl::text, c.reloptions::text, c.relreplident, c.relispartition,
                 case when c.relkind in ('v', 'm') then pg_get_viewdef(c.oid) end,
                 obj_description(c.oid, 'pg_class'))
  from pg_catalog.pg_class as c join schemas as s on s.oid = c.relnamespace
 where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f', 'c')
union all
select 'column', s.nspname || '.' || c.relname || '.' || a.attname,
       concat_ws(' ', a.attnum, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
                 a.attgenerated, a.attacl::text, pg_get_expr(d.adbin, d.adrelid))
  from pg_catalog.pg_attribute as a
  join pg_catalog.pg_class as c on c.oid = a.attrelid
  join schemas as s on s.oid = c.relnamespace
  left join pg_catalog.pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
 where a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'p', 'v', 'm', 'f', 'c')
union all
select 'constraint', s.nspname || '.' || coalesce(c.relname, '') || '.' || k.conname,
       pg_get_constraintdef(k.oid)
  from pg_catalog.pg_constraint as k
  join schemas as s on s.oid = k.connamespace
  left join pg_catalog.pg_class as c on c.oid = k.conrelid
union all
select 'index', i.schemaname || '.' || i.tablename || '.' || i.indexname, i.indexdef
  from pg_catalog.pg_indexes as i join schemas as s on s.nspname = i.schemaname
union all
select 'trigger', s.nspname || '.' || c.relname || '.' || t.tgname,
       concat_ws(' ', t.tgenabled, pg_get_triggerdef(t.oid))
  from pg_catalog.pg_trigger as t
  join pg_catalog.pg_class as c on c.oid = t.tgrelid
  join schemas as s on s.oid = c.relnamespace
 where not t.tgisinternal
union all
select 'policy', p.schemaname || '.' || p.tablename || '.' || p.policyname,
       concat_ws(' ', p.permissive, p.roles::text, p.cmd, p.qual, p.with_check)
  from pg_catalog.pg_policies as p
union all
select 'function', s.nspname || '.' || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')',
       concat_ws(' ', pg_get_userbyid(p.proowner), p.proacl::text,
                 case when p.prokind in ('f', 'p') then pg_get_functiondef(p.oid) end)
  from pg_catalog.pg_proc as p join schemas as s on s.oid = p.pronamespace
union all
select 'type', s.nspname || '.' || t.typname,
       concat_ws(' ', t.typtype, pg_get_userbyid(t.typowner), t.typacl::text,
                 (select string_agg(e.enumlabel, ',' order by e.enumsortorder)
                    from pg_catalog.pg_enum as e where e.enumtypid = t.oid))
  from pg_catalog.pg_type as t join schemas as s on s.oid = t.typnamespace
 where t.typtype in ('e', 'd', 'c')
   and not exists (select 1 from pg_catalog.pg_class as c where c.oid = t.typrelid and c.relkind <> 'c')
union all
select 'default privileges', concat_ws('.', pg_get_userbyid(d.defaclrole), n.nspname, d.defaclobjtype),
       d.defaclacl::text
  from pg_catalog.pg_default_acl as d left join pg_catalog.pg_namespace as n on n.oid = d.defaclnamespace
union all
select 'publication', p.pubname::text,
       concat_ws(' ', p.puballtables, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate,
                 (select string_agg(t.schemaname || '.' || t.tablename, ',' order by 1)
                    from pg_catalog.pg_publication_tables as t where t.pubname = p.pubname))
  from pg_catalog.pg_publication as p
union all
select 'extension', e.extname::text, concat_ws(' ', e.extversion, n.nspname)
  from pg_catalog.pg_extension as e join pg_catalog.pg_namespace as n on n.oid = e.extnamespace
union all
select 'role', r.rolname::text,
       concat_ws(' ', r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb, r.rolcanlogin,
                 r.rolreplication, r.rolbypassrls, r.rolconfig::text)
  from pg_catalog.pg_roles as r
union all
select 'cron job', j.jobname::text,
       concat_ws(' ', j.jobid, j.schedule, j.command, j.database, j.username, j.active)
  from cron.job as j
order by 1, 2`;
