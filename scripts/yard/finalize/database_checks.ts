import type { Sql } from "postgres";
import { RefusedError } from "../command.ts";
import type { Own } from "../uninstall/own_objects.ts";
import { renamedObject, type SuffixedNames } from "./names.ts";

/** Throws {@linkcode RefusedError} while a data type is not retired, and where there is none. */
export async function refuseUnretired(sql: Sql): Promise<void> {
  const all = await sql<{ dataType: string; stage: string }[]>`
    select data_type as "dataType", stage from public.data_type_registry_v2 order by data_type`;
  if (all.length === 0) {
    throw new RefusedError("Cannot finalize: no data type is registered, so that none was moved", {
      next: "npm run yard -- discover",
    });
  }
  const rows = all.filter(({ stage }) => stage !== "retired");
  if (rows.length === 0) return;
  const count = rows.length === 1 ? "1 data type is" : `${rows.length} data types are`;
  throw new RefusedError(`Cannot finalize: ${count} not retired`, {
    detail: rows.map(({ dataType, stage }) => `${dataType} is in ${stage}`).join("\n"),
    next: "npm run yard -- status",
  });
}

/** Throws {@linkcode RefusedError} when something has a name that is wanted. */
export async function refuseTaken(sql: Sql, own: Own, names: SuffixedNames): Promise<void> {
  const wanted = own.objects.flatMap((object) => {
    const { kind, schema } = object;
    const { name } = renamedObject(object, names);
    return name === object.name || kind === "trigger" || kind === "policy" ? [] : [
      { kind, schema, name },
    ];
  });
  const rows = await sql<{ name: string }[]>`
    with wanted as (
      select * from jsonb_to_recordset(${sql.json(wanted)}) as w (kind text, schema text, name text)
    )
    select format('relation %s', c.oid::regclass) as name
      from wanted as w
      join pg_class as c on c.relnamespace = to_regnamespace(w.schema) and c.relname = w.name
     where w.kind not in ('function', 'procedure')
    union
    select format('function %s', p.oid::regprocedure)
      from wanted as w
      join pg_proc as p on p.pronamespace = to_regnamespace(w.schema) and p.proname = w.name
     where w.kind in ('function', 'procedure')
    union
    select format('cron job %s', j.jobname)
      from cron.job as j
     where j.jobname::text in (
       select name from jsonb_array_elements_text(${sql.json([...names.jobs])}) as job (name))
     order by 1`;
  if (rows.length === 0) return;
  throw new RefusedError("Cannot finalize: names that are wanted are taken", {
    detail: rows.map(({ name }) => name).join("\n"),
    next: "rename these, then run it again",
  });
}

/** Throws {@linkcode RefusedError} unless `finalize` was pushed. */
export async function refuseUnpushed(sql: Sql, description: string): Promise<void> {
  const [found] = await sql<[{ isThere: boolean }]>`
    select to_regclass('switchyard.old_names') is not null as "isThere"`;
  if (found.isThere) return;
  throw new RefusedError(`Cannot drop the old names: ${description} has none`, {
    detail: "the migration of yard finalize is not applied there",
    next: "supabase db push",
  });
}

/** Milliseconds for a function to answer, whatever it answers. */
const ANSWER_MS = 20_000;

/**
 * Throws {@linkcode RefusedError} unless each Edge Function is deployed under its new name: asked without
 * a key it answers as it does under the old one. (Deployed with another verify_jwt it does not.)
 */
export async function refuseUndeployed(
  sql: Sql,
  names: SuffixedNames,
  signal: AbortSignal,
): Promise<void> {
  const [secret] = await sql<{ url: string | null }[]>`
    select decrypted_secret as url from vault.decrypted_secrets where name = 'project_url'`;
  const missing: string[] = [];
  if (!secret?.url && names.functions.length > 0) {
    missing.push("Vault has no secret project_url, so the functions cannot be asked");
  } else {
    for (const name of names.functions) {
      const url = `${secret!.url!.replace(/\/$/, "")}/functions/v1/${name}`;
      const after = await ask(url, signal);
      const before = await ask(`${url}-v2`, signal);
      if (after !== before || after.startsWith("404")) {
        missing.push(`${name} answers ${after}`, `${name}-v2 answers ${before}`);
      }
    }
  }
  if (missing.length === 0) return;
  throw new RefusedError("Cannot switch to the new Edge Functions: they do not seem deployed", {
    detail: missing.join("\n"),
    next: "supabase functions deploy --use-api; or pass --deployed if you know better",
  });
}

/** Status and beginning of the body of a call without a key. */
async function ask(url: string, signal: AbortSignal): Promise<string> {
  try {
    const answer = await fetch(url, {
      method: "POST",
      signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]),
    });
    return `${answer.status} ${(await answer.text()).slice(0, 200)}`;
  } catch (error) {
    signal.throwIfAborted();
    return `nothing: ${error instanceof Error ? error.message : error}`;
  }
}
