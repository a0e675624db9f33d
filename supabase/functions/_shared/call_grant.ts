/** Header in which the queue says how many vendor calls its claim has already counted for a request. */
export const GRANTED_CALLS_HEADER = "x-switchyard-granted-calls";

/**
 * The number in that header; undefined without one. Only to be believed of callers with a secret key.
 */
export function grantedCallsOf(request: Request): number | undefined {
  const text = request.headers.get(GRANTED_CALLS_HEADER);
  return text !== null && /^\d{1,4}$/.test(text) ? Number(text) : undefined;
}
