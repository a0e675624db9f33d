import { join } from "node:path";
import postgres from "postgres";
import { copyData } from "./database/embedded.ts";
import { type DefaultPrivileges, type Stack, startStack } from "./stack.ts";

/** Names the folder of {@linkcode makeTemplates} to every process that starts stacks. */
export const TEMPLATES_VARIABLE = "SWITCHYARD_STACK_TEMPLATES";

/**
 * Data folder of a stopped server that a stack with these settings can start from, or undefined where
 * `SWITCHYARD_STACK_TEMPLATES` names no folder of templates.
 */
export function findTemplate(
  defaultPrivileges: DefaultPrivileges,
  isMigrated: boolean,
): string | undefined {
  const folder = Deno.env.get(TEMPLATES_VARIABLE);
  if (folder === undefined) return undefined;
  const template = templateIn(folder, defaultPrivileges, isMigrated);
  try {
    Deno.statSync(join(template, "PG_VERSION"));
  } catch (cause) {
    throw new Error(
      `Cannot start from "${template}", which ${TEMPLATES_VARIABLE} names: it holds no data of a server; unset it`,
      { cause },
    );
  }
  return template;
}

/**
 * Makes the data of stacks without symbols, before and after the migrations of this checkout, for a
 * suite that starts many: from a copy a stack is there in a fraction of the time.
 */
export async function makeTemplates(folder: string): Promise<void> {
  // Postgres runs as another user when we are root.
  await Deno.chmod(folder, 0o755);
  for (const defaultPrivileges of ["legacy", "none"] as const) {
    const [bare, migrated] = [false, true].map((isMigrated) =>
      templateIn(folder, defaultPrivileges, isMigrated)
    ) as [string, string];
    await makeTemplate(bare, defaultPrivileges, false);
    await copyData(bare, migrated);
    await makeTemplate(migrated, defaultPrivileges, true);
  }
}

function templateIn(
  folder: string,
  defaultPrivileges: DefaultPrivileges,
  isMigrated: boolean,
): string {
  return join(folder, `${defaultPrivileges}-${isMigrated ? "migrated" : "bare"}`);
}

async function makeTemplate(
  dataDir: string,
  defaultPrivileges: DefaultPrivileges,
  migrate: boolean,
): Promise<void> {
  const stack = await startStack({
    dataDir,
    defaultPrivileges,
    migrate,
    cron: false,
    net: false,
    // Nothing is asked of it.
    fmp: { apiKey: "none", baseUrl: "http://127.0.0.1:9" },
  });
  try {
    await removeTraces(stack);
  } finally {
    await stack.stop();
  }
}

/** Symbols are a stack's own choice; pg_cron may have run legacy jobs meanwhile. */
async function removeTraces(stack: Stack): Promise<void> {
  const sql = postgres(stack.adminUrl, { max: 1, onnotice: () => {} });
  try {
    await sql`delete from public.supported_symbols`;
    await sql`delete from net.http_request_queue`;
    await sql`delete from cron.job_run_details`;
  } finally {
    await sql.end();
  }
}
