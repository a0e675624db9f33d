/** A row of `net.http_request_queue`. */
export interface QueuedRequest {
  id: string;
  method: string;
  url: string;
  headers: Record<string, unknown> | null;
  body: Uint8Array<ArrayBuffer> | null;
  timeoutMs: number;
}

/** A row for `net._http_response`. */
export interface StoredResponse {
  id: string;
  statusCode: number | null;
  contentType: string | null;
  headers: Record<string, string> | null;
  content: string | null;
  timedOut: boolean;
  error: string | null;
}

/** The longest timeout that pg_net takes (`pg_net.max_timeout_ms`). */
const MAX_TIMEOUT_MS = 600_000;

/** Sends one request and says what came of it; throws only when `signal` aborts. */
export async function send(request: QueuedRequest, signal: AbortSignal): Promise<StoredResponse> {
  const { id, timeoutMs } = request;
  const reason = rejection(request);
  if (reason !== undefined) return failed(id, reason);
  const started = performance.now();
  const timeout = AbortSignal.timeout(timeoutMs);
  try {
    const response = await fetch(request.url, {
      method: request.method.toUpperCase(),
      headers: requestHeaders(request.headers),
      body: request.body,
      redirect: "follow",
      signal: AbortSignal.any([signal, timeout]),
    });
    const content = await response.text();
    return {
      id,
      statusCode: response.status,
      contentType: response.headers.get("content-type"),
      headers: Object.fromEntries(response.headers),
      content: storedContent(content),
      timedOut: false,
      error: null,
    };
  } catch (error) {
    signal.throwIfAborted();
    if (timeout.aborted) {
      const total = (performance.now() - started).toFixed(6);
      return {
        ...failed(id, `Timeout of ${timeoutMs} ms reached. Total time: ${total} ms`),
        timedOut: true,
      };
    }
    return failed(id, failureText(error));
  }
}

/** Why pg_net does not send a request at all. */
function rejection({ url, timeoutMs, headers }: QueuedRequest): string | undefined {
  if (timeoutMs <= 0 || timeoutMs > MAX_TIMEOUT_MS) {
    return `timeout_milliseconds must be between 1 and ${MAX_TIMEOUT_MS} (pg_net.max_timeout_ms), got ${timeoutMs}`;
  }
  if (!URL.canParse(url)) return "URL using bad/illegal format or missing URL";
  if (!/^https?:$/.test(new URL(url).protocol)) return "Unsupported protocol";
  for (const [name, value] of Object.entries(headers ?? {})) {
    // The value may be a credential, so only the name is told.
    if (/[\r\n]/.test(`${name}${String(value)}`)) {
      return `header "${name.replace(/[\r\n].*/s, "")}" contains a carriage return or line feed`;
    }
  }
}

/** Headers that are null, such as one built from a missing secret, are dropped without a word. */
function requestHeaders(headers: QueuedRequest["headers"]): Headers {
  const result = new Headers();
  for (const [name, value] of Object.entries(headers ?? {})) {
    if (value === null) continue;
    result.set(name, typeof value === "string" ? value : JSON.stringify(value));
  }
  result.set("User-Agent", "pg_net/0.20.0");
  return result;
}

/** An empty body is stored as null, and a text ends at its first NUL, as C strings do. */
function storedContent(content: string): string | null {
  return content.split("\0", 1)[0] || null;
}

function failed(id: string, error: string): StoredResponse {
  return {
    id,
    statusCode: null,
    contentType: null,
    headers: null,
    content: null,
    timedOut: false,
    error,
  };
}

/** libcurl's words for the common failures, else the error's own. */
function failureText(error: unknown): string {
  const text = messages(error);
  if (/dns error|failed to lookup|ENOTFOUND/i.test(text)) return "Couldn't resolve host name";
  if (/tcp connect|connection refused|ECONNREFUSED/i.test(text)) {
    return "Couldn't connect to server";
  }
  if (/certificate|tls|ssl/i.test(text)) return "SSL connect error";
  if (/connection closed|reset by peer|ECONNRESET/i.test(text)) {
    return "Server returned nothing (no headers, no data)";
  }
  return text;
}

/** The messages of an error and of what caused it. */
function messages(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}: ${messages(error.cause)}`;
}
