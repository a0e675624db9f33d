import { createClient } from "npm:@supabase/supabase-js@2.109.0";
import { z } from "npm:zod@4.6.7";
import { callerHasSecretKey } from "../_shared/auth.ts";
import {
  type Env,
  EnvError,
  fetchContextFromEnv,
  fmpImagesUrl,
  secretKeys,
  supabaseUrl,
} from "../_shared/env.ts";
import type { Fetcher } from "../_shared/fetchers/contract.ts";
import { redact } from "../_shared/http.ts";
import type { ProcessorReport } from "../_shared/processor/report.ts";
import { runProcessor } from "../_shared/processor/run_processor.ts";
import { processorSettings } from "../_shared/processor/settings.ts";
import { createQueueClient, QueueError } from "../_shared/queue_client.ts";

/** Milliseconds to register the run. */
const START_MS = 15_000;

/** Milliseconds for one call that keeps a file. */
const FILE_CALL_MS = 10_000;

/** The platform cuts a log message at 10,000 characters. */
const ERRORS_IN_LOG = 5;
const LONGEST_TEXT_IN_LOG = 300;

const bodySchema = z.object({
  wait: z.boolean().optional(),
  manual: z.boolean().optional(),
  reason: z.string().optional(),
});

/** What the processor takes from its surroundings. */
export interface HandlerSurroundings {
  env: Env;
  fetchers: Readonly<Record<string, Fetcher>>;
  fetch: typeof fetch;
  /** Ends the runs of this worker. */
  shutdown: AbortSignal;
  /** Keeps the worker alive until the promise settles. */
  waitUntil(promise: Promise<unknown>): void;
  /** Takes one line of JSON per run. */
  log(line: string): void;
}

/**
 * The HTTP side of the processor.
 *
 * `POST` with a secret key in `apikey` (or the service role key as bearer token) and optionally
 * `{"wait": boolean, "manual": boolean, "reason": string}`:
 *
 * | status | body | when |
 * |---|---|---|
 * | 202 | `{runId}` | started; goes on after the answer |
 * | 200 | the report | `wait` was true and the run has ended |
 * | 200 | `{started: false, reason}` | the queue is switched off |
 * | 400 | `{message}` | the body is not JSON or has values of the wrong type |
 * | 401, 405 | `{message}` | wrong key, wrong method |
 * | 500 | `{message}` | a setting is missing; nothing was claimed |
 * | 500, 503 | `{message}` | the run could not be registered, 503 if trying later may help |
 *
 * No answer and no log line holds a key.
 */
export function createProcessorHandler(
  surroundings: HandlerSurroundings,
): (request: Request) => Promise<Response> {
  const { env } = surroundings;
  return async (request) => {
    if (request.method === "OPTIONS") {
      return new Response(null, { status: 204, headers: { allow: "POST, OPTIONS" } });
    }
    if (request.method !== "POST") {
      return problem(405, `Cannot ${request.method} the processor: use POST`, {
        allow: "POST, OPTIONS",
      });
    }
    try {
      if (!callerHasSecretKey(request, env)) {
        return problem(
          401,
          "Cannot run the processor: the request carries no secret key of this project; " +
            "send one in the header apikey",
        );
      }
      return await answer(request, surroundings);
    } catch (error) {
      const message = safe(error instanceof Error ? error.message : String(error), env);
      surroundings.log(JSON.stringify({ event: "processor run refused", message }));
      return problem(error instanceof QueueError && error.transient ? 503 : 500, message);
    }
  };
}

async function answer(request: Request, surroundings: HandlerSurroundings): Promise<Response> {
  const { env, fetchers, fetch, shutdown } = surroundings;
  const body = parseBody(await request.text());
  if (body.problem !== undefined) return problem(400, body.problem);
  const { wait = false, manual = false, reason } = body.value;

  const settings = processorSettings(env);
  const context = fetchContextFromEnv(env, shutdown, { fetch });
  const project = { url: supabaseUrl(env), key: secretKeys(env).own };
  const queue = createQueueClient({ ...project, fetch });
  const imagesUrl = fmpImagesUrl(env);
  const runId = crypto.randomUUID();
  const start = await queue.startRun(runId, manual, { until: Date.now() + START_MS });
  if (!start.started) return Response.json({ started: false, reason: start.reason });

  const run = runProcessor({
    ...settings,
    queue,
    fetchers,
    context,
    afterAccess: {
      fetch,
      database: filesClient(project, fetch),
      ...(imagesUrl === undefined ? {} : { imagesUrl }),
    },
    edgeFunctions: { ...project, anonKey: env.get("SUPABASE_ANON_KEY") ?? "" },
    runId,
    manual,
    signal: shutdown,
  });
  const ended = run.then((report) => {
    const clean = withoutKeys(report, env);
    surroundings.log(logLine(clean, reason === undefined ? undefined : safe(reason, env)));
    return clean;
  });
  // Also when the caller waits: it may hang up, and the jobs are claimed.
  surroundings.waitUntil(ended.catch((error) => {
    const message = safe(error instanceof Error ? error.message : String(error), env);
    surroundings.log(JSON.stringify({ event: "processor run broke off", runId, message }));
  }));
  if (!wait) return Response.json({ runId }, { status: 202 });
  return Response.json(await ended);
}

/** The project as fetchers need it to keep files. */
function filesClient(project: { url: string; key: string }, fetchIt: typeof fetch) {
  return createClient(project.url, project.key, {
    auth: { autoRefreshToken: false, persistSession: false, detectSessionInUrl: false },
    global: {
      fetch: (input, init) =>
        fetchIt(input, { ...init, signal: init?.signal ?? AbortSignal.timeout(FILE_CALL_MS) }),
    },
  });
}

function parseBody(
  text: string,
): { value: z.infer<typeof bodySchema>; problem?: undefined } | { problem: string } {
  if (text.trim() === "") return { value: {} };
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return { problem: "Cannot read the request body: it is not JSON; send {} or nothing" };
  }
  const parsed = bodySchema.safeParse(json);
  if (parsed.success) return { value: parsed.data };
  const [issue] = parsed.error.issues;
  const place = issue === undefined || issue.path.length === 0
    ? "it"
    : `"${issue.path.join(".")}" in it`;
  return {
    problem: `Cannot read the request body: ${place} is of the wrong type; ` +
      'wanted {"wait": boolean, "manual": boolean, "reason": string}, each optional',
  };
}

function logLine(report: ProcessorReport, reason: string | undefined): string {
  const { errors, errorsLeftOut, warnings, warningsLeftOut, byDataType: _, ...rest } = report;
  const cut = (text: string) => text.slice(0, LONGEST_TEXT_IN_LOG).toWellFormed();
  return JSON.stringify({
    event: "processor run ended",
    ...(reason === undefined ? {} : { reason: cut(reason) }),
    ...rest,
    errorCount: errors.length + errorsLeftOut,
    errors: errors.slice(0, ERRORS_IN_LOG)
      .map((error) => ({ ...error, message: cut(error.message) })),
    warningCount: warnings.length + warningsLeftOut,
    warnings: warnings.slice(0, ERRORS_IN_LOG).map(cut),
  });
}

function withoutKeys(report: ProcessorReport, env: Env): ProcessorReport {
  return {
    ...report,
    errors: report.errors.map((error) => ({ ...error, message: safe(error.message, env) })),
    warnings: report.warnings.map((warning) => safe(warning, env)),
  };
}

/** Takes every key that the environment holds out of a text. */
function safe(text: string, env: Env): string {
  return redact(text, [env.get("FMP_API_KEY") ?? "", ...projectKeys(env)]);
}

/** None where the setting that holds them is missing or unreadable: then no key was read from it. */
function projectKeys(env: Env): string[] {
  try {
    return secretKeys(env).accepted;
  } catch (error) {
    if (error instanceof EnvError) return [];
    throw error;
  }
}

function problem(status: number, message: string, headers: Record<string, string> = {}): Response {
  return Response.json({ message }, { status, headers });
}
