/**
 * What is to be done about a failed vendor call.
 *
 * - `retryable`: try again with backoff (timeout, 5xx, network, an answer of the wrong shape)
 * - `rate_limited`: hold the provider, give the job back without counting an attempt
 * - `quota`: the data allowance is used up
 * - `auth`: the key is missing, wrong or blocked; the same for every symbol
 * - `permanent`: asking again for this symbol cannot succeed
 * - `dependency`: another row has to exist first
 * - `batch_refused`: the plan takes one symbol per call only; the queue groups no more jobs
 */
export type ErrorClass =
  | "retryable"
  | "rate_limited"
  | "quota"
  | "auth"
  | "permanent"
  | "dependency"
  | "batch_refused";

/** What a {@linkcode VendorError} holds beside its message. */
export interface VendorErrorDetails {
  errorClass: ErrorClass;
  /** Stable short name of the cause; the list is at {@linkcode VendorError}. */
  code: string;
  /** Vendor calls made before the failure, the failed one included. */
  calls?: number;
  /** Bytes of answer bodies received before the failure. */
  bytes?: number;
  /** Seconds the vendor asks us to wait; absent when it does not say. */
  retryAfterSeconds?: number;
}

/**
 * A refresh that failed at the vendor or in the check of its answer.
 *
 * | code | class | cause |
 * |---|---|---|
 * | `timeout`, `network`, `http_5xx` with the real status, `http_408`, `http_425`, `unexpected_redirect` | retryable | the call did not get through |
 * | `aborted` | retryable | the caller's signal ended the call; the job is to be released |
 * | `not_json`, `truncated_json` | retryable | status 200 with text that is not JSON, or JSON cut short |
 * | `error_message` | retryable | status 200 with an `Error Message` object of unknown wording |
 * | `nested_too_deep` | retryable | JSON in which arrays and objects are nested deeper than any documented answer |
 * | `answer_too_large` | permanent | more bytes than `mostAnswerBytes`; trying again at once would cost as much again |
 * | `schema_mismatch` | retryable | the answer lacks a key, or a value is of the wrong type or implausible; becomes permanent when the attempts are used up |
 * | `configuration` | retryable | a setting of ours is wrong |
 * | `http_429`, `limit_reach` | rate_limited | status 429, or the same words with status 200 |
 * | `http_401`, `http_403`, `invalid_key` | auth | the key |
 * | `plan_endpoint` | permanent | the plan lacks the whole endpoint |
 * | `plan_parameter` | permanent | the plan lacks this symbol, period or start |
 * | `plan_limit` | permanent | the plan refuses this `limit` |
 * | `http_402`, `http_400`, `http_404` and other 4xx | permanent | as the status says |
 * | `symbol_mismatch` | permanent | the answer is about another symbol |
 * | `quota_reached` | quota | the exchange rate provider's allowance is used up |
 * | `batch_refused` | batch_refused | the plan lacks the endpoint that takes several symbols |
 *
 * The message never holds the vendor key.
 */
export class VendorError extends Error {
  override readonly name = "VendorError";
  readonly errorClass: ErrorClass;
  readonly code: string;
  readonly calls: number;
  readonly bytes: number;
  declare readonly retryAfterSeconds?: number;

  constructor(message: string, details: VendorErrorDetails) {
    super(message);
    this.errorClass = details.errorClass;
    this.code = details.code;
    this.calls = details.calls ?? 0;
    this.bytes = details.bytes ?? 0;
    if (details.retryAfterSeconds !== undefined) {
      this.retryAfterSeconds = details.retryAfterSeconds;
    }
  }

  /** The same error with another message or other counts of calls and bytes. */
  with(changes: { message?: string; calls?: number; bytes?: number }): VendorError {
    return new VendorError(changes.message ?? this.message, {
      errorClass: this.errorClass,
      code: this.code,
      calls: changes.calls ?? this.calls,
      bytes: changes.bytes ?? this.bytes,
      ...(this.retryAfterSeconds === undefined
        ? {}
        : { retryAfterSeconds: this.retryAfterSeconds }),
    });
  }
}
