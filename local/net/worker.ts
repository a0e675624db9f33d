import postgres from "postgres";
import { type QueuedRequest, send, type StoredResponse } from "./request.ts";

export interface NetWorkerOptions {
  /** Superuser connection string of the database that has the schema `net`. */
  adminUrl: string;
  /** Stops the worker. */
  signal?: AbortSignal | undefined;
  /** Receives a line for each batch and each failure. Default: none. */
  log?: ((line: string) => void) | undefined;
  /** Rows taken at once, as `pg_net.batch_size`. Default: 200. */
  batchSize?: number | undefined;
  /** Age at which responses are deleted, as `pg_net.ttl`, in seconds. Default: 6 hours. */
  ttlSeconds?: number | undefined;
  /** Pause between two batches in milliseconds, which limits pg_net to some 200 requests a second.
   * Default: 1000. */
  pauseMs?: number | undefined;
}

/** A running worker. */
export interface NetWorker {
  /** Stops; a batch that is under way is rolled back, so its requests are sent again later. */
  stop(): Promise<void>;
}

/**
 * Sends the requests queued by `net.http_get`, `net.http_post` and `net.http_delete` as pg_net does:
 * woken after the commit of the transaction that queued them, up to 200 rows by id in one
 * transaction that lasts until the slowest request has ended, then a pause of a second.
 * Responses become visible together. Delivery is not exactly once: a batch that fails is sent again.
 * Throws when the database cannot be reached.
 */
export async function startNetWorker(options: NetWorkerOptions): Promise<NetWorker> {
  const { adminUrl, signal, log, batchSize = 200, ttlSeconds = 6 * 60 * 60, pauseMs = 1000 } =
    options;
  signal?.throwIfAborted();
  const sql = postgres(adminUrl, {
    max: 1,
    connection: { application_name: "pg_net worker" },
    fetch_types: false,
    onnotice: () => {},
  });
  const stopping = new AbortController();
  let woken = Promise.withResolvers<void>();
  const wake = () => woken.resolve();
  let listening: { unlisten(): Promise<void> };
  try {
    await sql`select from net.http_request_queue limit 0`;
    // Again after a lost connection: what was queued meanwhile is found by the first batch.
    listening = await sql.listen("pg_net_wake", wake, wake);
  } catch (error) {
    await sql.end({ timeout: 0 });
    throw error;
  }

  const working = work();

  async function work(): Promise<void> {
    while (!stopping.signal.aborted) {
      await untilWoken();
      let busy = true;
      while (busy && !stopping.signal.aborted) {
        try {
          const batch = await runBatch();
          busy = batch.sent > 0 || batch.expired > 0;
          if (batch.sent > 0) log?.(`net worker: ${batch.sent} requests, ${batch.failed} failed`);
        } catch (error) {
          if (stopping.signal.aborted) return;
          log?.(`net worker: batch rolled back, trying again: ${messageOf(error)}`);
        }
        if (busy) await pause(pauseMs);
      }
    }
  }

  async function untilWoken(): Promise<void> {
    await Promise.race([woken.promise, aborted()]);
    woken = Promise.withResolvers<void>();
  }

  function aborted(): Promise<void> {
    if (stopping.signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      stopping.signal.addEventListener("abort", () => resolve(), { once: true });
    });
  }

  async function pause(ms: number): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const over = new Promise<void>((resolve) => timer = setTimeout(resolve, ms));
    await Promise.race([over, aborted()]);
    clearTimeout(timer);
  }

  async function runBatch(): Promise<{ sent: number; failed: number; expired: number }> {
    return await sql.begin(async (transaction) => {
      const { count: expired } = await transaction`
        with expired as (
          select ctid from net._http_response
          where created < now() - make_interval(secs => ${ttlSeconds})
          order by created
          limit ${batchSize}
        )
        delete from net._http_response as r using expired where r.ctid = expired.ctid
      `;
      const requests = await transaction<QueuedRequest[]>`
        with batch as (
          select id from net.http_request_queue order by id limit ${batchSize}
        )
        delete from net.http_request_queue as q using batch where q.id = batch.id
        returning q.id, q.method, q.url, q.headers, q.body,
          q.timeout_milliseconds as "timeoutMs"
      `;
      const responses = await Promise.all(
        requests.map((request) => send(request, stopping.signal)),
      );
      for (const response of responses) await store(transaction, response);
      const failed = responses.filter(({ error }) => error !== null).length;
      return { sent: responses.length, failed, expired };
    });
  }

  let stopped: Promise<void> | undefined;
  async function shutDown(): Promise<void> {
    signal?.removeEventListener("abort", onAbort);
    stopping.abort(new Error("the net worker is stopping"));
    await working;
    await listening.unlisten();
    await sql.end({ timeout: 5 });
  }
  const stop = () => stopped ??= shutDown();
  const onAbort = () => void stop();
  signal?.addEventListener("abort", onAbort);

  return { stop };
}

async function store(sql: postgres.TransactionSql, response: StoredResponse): Promise<void> {
  const { id, statusCode, contentType, headers, content, timedOut, error } = response;
  await sql`
    insert into net._http_response
      (id, status_code, content_type, headers, content, timed_out, error_msg)
    values (
      ${id}, ${statusCode}, ${contentType}, ${headers === null ? null : sql.json(headers)},
      ${content}, ${timedOut}, ${error}
    )
  `;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
