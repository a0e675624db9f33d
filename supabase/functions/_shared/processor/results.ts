import { redact } from "../http.ts";
import { VendorError } from "../fetchers/errors.ts";
import type { ClaimedJob, JobError, SettleResult } from "../queue_client.ts";

const LONGEST_MESSAGE = 1_000;
const LONGEST_RETRY_AFTER_SECONDS = 86_400;

/** A result that gives the job back as it was. */
export function releasedResult(job: ClaimedJob): SettleResult {
  return {
    job_id: job.id,
    lease_token: job.lease_token,
    outcome: "released",
    rows: [],
    bytes: 0,
    calls: 0,
    duration_ms: 0,
    error: null,
  };
}

/** A result that fails this attempt of the job. */
export function failedResult(job: ClaimedJob, error: JobError): SettleResult {
  return { ...releasedResult(job), outcome: "failed", error };
}

/**
 * What the queue is told about a thrown value: a VendorError with its class and code, anything else
 * as retryable with code `unexpected`. Secrets are taken out, and what Postgres cannot store.
 */
export function jobErrorOf(thrown: unknown, subject: string, secrets: readonly string[]): JobError {
  if (!(thrown instanceof VendorError)) {
    const text = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown);
    return {
      class: "retryable",
      code: "unexpected",
      message: messageText(`Cannot refresh ${subject}: the fetcher failed with ${text}`, secrets),
      retry_after_seconds: null,
    };
  }
  const { retryAfterSeconds } = thrown;
  return {
    class: thrown.errorClass,
    code: messageText(thrown.code, secrets),
    message: messageText(thrown.message, secrets),
    retry_after_seconds: retryAfterSeconds === undefined || Number.isNaN(retryAfterSeconds)
      ? null
      : Math.min(Math.max(Math.ceil(retryAfterSeconds), 0), LONGEST_RETRY_AFTER_SECONDS),
  };
}

/** A text without secrets and without what `jsonb` refuses, cut to a thousand characters. */
export function messageText(text: string, secrets: readonly string[]): string {
  const clean = redact(text, secrets).replaceAll("\0", "").toWellFormed();
  return clean.length <= LONGEST_MESSAGE
    ? clean
    : `${clean.slice(0, LONGEST_MESSAGE).toWellFormed()}…`;
}
