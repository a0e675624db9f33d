import { z } from "zod";
import { messageOf, RefusedError } from "./command.ts";
import { isFile, readIfThere, writeWhole } from "./project.ts";

/** A number that could not be had is a `problem` in words. */
const Value = z.record(z.string(), z.unknown());

/** What the old world was like before Switchyard was installed in it. */
const BaselineFile = z.object({
  format: z.literal("switchyard-baseline-1"),
  recordedAt: z.iso.datetime(),
  /** `host:port/database`. */
  database: z.string(),
  notes: z.string().nullable(),
  /** Cron jobs, as `switchyard.describe_cron_jobs` has them: without their commands. */
  jobs: z.array(z.object({ subject: z.string(), value: Value })),
  /** Row counts of tables. */
  rows: z.array(z.object({ subject: z.string(), value: Value })),
  /** How old the rows of each type were, once or each minute; and by which columns that was seen. */
  freshness: z.array(z.object({
    recordedAt: z.iso.datetime(),
    dataType: z.string(),
    functionName: z.string(),
    table: z.string(),
    symbolColumn: z.string().nullable(),
    timestampColumn: z.string(),
    value: Value,
  })),
});

export type BaselineFile = z.infer<typeof BaselineFile>;

/** Reads a file that `baseline` wrote. */
export async function readBaseline(path: string): Promise<BaselineFile> {
  const text = await readIfThere(path);
  if (text === undefined) {
    throw new RefusedError(`Cannot import "${path}"`, {
      detail: "there is no such file",
      next: "npm run yard -- baseline --help",
    });
  }
  try {
    return BaselineFile.parse(JSON.parse(text));
  } catch (cause) {
    throw new RefusedError(`Cannot import "${path}": it is no baseline`, {
      detail: cause instanceof z.ZodError ? z.prettifyError(cause) : messageOf(cause),
      next: "pass a file that npm run yard -- baseline wrote",
      cause,
    });
  }
}

/** Refuses a path that holds something. */
export async function refuseTaken(path: string): Promise<void> {
  if (!(await isFile(path))) return;
  throw new RefusedError(`Cannot write "${path}": it exists`, {
    next: "pass another --out, or remove that file",
  });
}

export async function writeBaseline(path: string, baseline: BaselineFile): Promise<void> {
  await writeWhole(path, `${JSON.stringify(baseline, null, 2)}\n`);
}
