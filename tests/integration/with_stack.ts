import postgres from "postgres";
import { type Stack, type StackOptions, startStack } from "../../local/stack.ts";

export interface RunningStack {
  stack: Stack;
  /** Role postgres. */
  sql: postgres.Sql;
}

/** Starts a stack, gives it to the test and stops it, also when the test fails. */
export async function withStack(
  options: StackOptions,
  test: (running: RunningStack) => Promise<void>,
): Promise<void> {
  const stack = await startStack({ functionEnv: { FMP_LEGACY_PACING_MS: "0" }, ...options });
  const sql = postgres(stack.databaseUrl, { max: 4, onnotice: () => {} });
  try {
    await test({ stack, sql });
  } finally {
    await sql.end();
    await stack.stop();
  }
}

/** Calls an Edge Function with the secret key. */
export function callFunction(
  stack: Stack,
  name: string,
  body: unknown,
  headers: Record<string, string> = { apikey: stack.keys.secretKey },
): Promise<Response> {
  return fetch(`${stack.functionsUrl}/${name}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
}

/** The report of a manual run to the end. */
export interface ManualReport {
  jobs: Record<string, number>;
  rowsWritten: number;
  vendorCalls: number;
  errors: { dataType: string; symbol: string; class: string; code: string; message: string }[];
}

/** Processes the manual jobs and returns the report. */
export async function processManually(stack: Stack): Promise<ManualReport> {
  const response = await callFunction(stack, "queue-processor-v2", { manual: true, wait: true });
  const text = await response.text();
  if (response.status !== 200) throw new Error(`Processor answered ${response.status}: ${text}`);
  return JSON.parse(text);
}
