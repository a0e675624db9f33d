import assert from "node:assert/strict";
import postgres from "postgres";
import { startDatabase } from "../../local/database/embedded.ts";
import { startNetWorker } from "../../local/net/worker.ts";
import { applyPlatform } from "../../local/platform/apply.ts";
import { eventually } from "../eventually.ts";

/** Shorter than pg_net's second, so that one request need not wait a second for the one before. */
const PAUSE_MS = 20;

interface Stored {
  id: string;
  status_code: number | null;
  content_type: string | null;
  content: string | null;
  timed_out: boolean;
  error_msg: string | null;
  created: Date;
}

interface Received {
  method: string;
  path: string;
  headers: Headers;
  body: string;
}

Deno.test("Requests queued with pg_net's functions", async (t) => {
  const database = await startDatabase();
  await applyPlatform({ adminUrl: database.adminUrl });
  const sql = postgres(database.url, { max: 4, onnotice: () => {} });
  const received: Received[] = [];
  const held = new Set<() => void>();
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (r) => {
    const { pathname, search } = new URL(r.url);
    received.push({
      method: r.method,
      path: pathname + search,
      headers: r.headers,
      body: await r.text(),
    });
    if (pathname === "/hold") {
      await new Promise<void>((resolve) => held.add(resolve));
    }
    if (pathname === "/redirect") {
      return new Response(null, { status: 302, headers: { location: "/there" } });
    }
    if (pathname === "/empty") return new Response(null, { status: 204 });
    if (pathname === "/fails") return new Response("no", { status: 500 });
    return Response.json({ path: pathname });
  });
  const base = `http://127.0.0.1:${server.addr.port}`;
  const release = () => {
    for (const resolve of held) resolve();
    held.clear();
  };
  const response = async (id: string): Promise<Stored> =>
    await eventually(`response ${id}`, async () => {
      const [row] = await sql<Stored[]>`select * from net._http_response where id = ${id}`;
      return row;
    });
  const arrived = (path: string) =>
    eventually(
      `request to ${path}`,
      () => Promise.resolve(received.find((request) => request.path === path)),
    );
  const queue = async (call: postgres.PendingQuery<{ id: string }[]>): Promise<string> => {
    const [row] = await call;
    assert.ok(row);
    return row.id;
  };

  const worker = await startNetWorker({ adminUrl: database.adminUrl, pauseMs: PAUSE_MS });
  try {
    await t.step("nothing is sent before the commit, and a rollback cancels", async () => {
      let id = "";
      await sql.begin(async (transaction) => {
        await transaction`savepoint s`;
        await transaction`select net.http_get(${base + "/never"})`;
        await transaction`rollback to savepoint s`;
        id = await queue(transaction`select net.http_get(${base + "/committed"}) as id`);
        // Another session's request goes out meanwhile.
        await response(await queue(sql`select net.http_get(${base + "/other"}) as id`));
        assert.deepEqual(received.map(({ path }) => path), ["/other"]);
      });
      const stored = await response(id);
      assert.equal(stored.status_code, 200);
      assert.equal(stored.content_type, "application/json");
      assert.equal(stored.content, '{"path":"/committed"}');
      assert.equal(stored.timed_out, false);
      assert.equal(stored.error_msg, null);
      assert.ok(received.every(({ path }) => path !== "/never"));
    });

    await t.step("a post carries its JSON body, its headers and encoded parameters", async () => {
      await response(
        await queue(sql`
          select net.http_post(
            ${base + "/post"},
            body => '{"a": 1}',
            params => '{"q": "BRK.B & ü"}',
            headers => '{"apikey": "k"}'
          ) as id
        `),
      );
      const request = await arrived("/post?q=BRK.B%20%26%20%C3%BC");
      assert.equal(request.method, "POST");
      assert.equal(request.body, '{"a": 1}');
      assert.equal(request.headers.get("apikey"), "k");
      assert.equal(request.headers.get("content-type"), "application/json");
      assert.match(request.headers.get("user-agent") ?? "", /^pg_net\//);
    });

    await t.step("a post without a body argument sends an empty object", async () => {
      await response(await queue(sql`select net.http_post(${base + "/bodyless"}) as id`));
      assert.equal((await arrived("/bodyless")).body, "{}");
    });

    await t.step("a content type other than application/json is refused", async () => {
      await assert.rejects(
        () =>
          sql`select net.http_post(${base}, headers => '{"content-type": "application/json; charset=utf-8"}')`,
        { message: 'Content-Type header must be "application/json"' },
      );
    });

    await t.step("a null header is dropped without a word", async () => {
      await response(
        await queue(sql`
          select net.http_post(
            ${base + "/null-header"},
            headers => jsonb_build_object(
              'Content-type', 'application/json', 'Authorization', 'Bearer ' || null
            )
          ) as id
        `),
      );
      assert.equal((await arrived("/null-header")).headers.get("authorization"), null);
    });

    await t.step("a null url fails the call and queues nothing", async () => {
      await assert.rejects(() => sql`select net.http_post(null)`, { code: "23502" });
      const [row] = await sql`select count(*)::int as n from net.http_request_queue`;
      assert.equal(row?.n, 0);
    });

    await t.step("a failing answer is a row like any other", async () => {
      const stored = await response(
        await queue(sql`select net.http_get(${base + "/fails"}) as id`),
      );
      assert.equal(stored.status_code, 500);
      assert.equal(stored.content, "no");
      assert.equal(stored.error_msg, null);
    });

    await t.step("an empty answer has null content", async () => {
      const stored = await response(
        await queue(sql`select net.http_get(${base + "/empty"}) as id`),
      );
      assert.equal(stored.status_code, 204);
      assert.equal(stored.content, null);
    });

    await t.step("redirects are followed", async () => {
      const stored = await response(
        await queue(sql`select net.http_get(${base + "/redirect"}) as id`),
      );
      assert.equal(stored.content, '{"path":"/there"}');
    });

    await t.step("a delete is sent as one", async () => {
      await response(await queue(sql`select net.http_delete(${base + "/gone"}) as id`));
      assert.equal((await arrived("/gone")).method, "DELETE");
    });

    await t.step("a server that is not there leaves an error message", async () => {
      const stored = await response(
        await queue(sql`select net.http_get(${`http://127.0.0.1:${closedPort()}/`}) as id`),
      );
      assert.equal(stored.status_code, null);
      assert.equal(stored.error_msg, "Couldn't connect to server");
      assert.equal(stored.timed_out, false);
    });

    await t.step("a timeout is told, and the slowest request holds its whole batch", async () => {
      const [row] = await sql<{ slow: string; quick: string }[]>`
        select
          net.http_get(${base + "/hold"}, timeout_milliseconds => 300) as slow,
          net.http_get(${base + "/quick"}) as quick
      `;
      assert.ok(row);
      await arrived("/quick");
      await arrived("/hold");
      const early = await sql`select from net._http_response where id = ${row.quick}`;
      assert.equal(early.length, 0);
      const slow = await response(row.slow);
      const quick = await response(row.quick);
      assert.equal(slow.timed_out, true);
      assert.equal(slow.status_code, null);
      assert.match(slow.error_msg ?? "", /^Timeout of 300 ms reached/);
      assert.equal(quick.created.getTime(), slow.created.getTime());
      release();
    });

    await t.step("a row inserted by hand waits until something else wakes the worker", async () => {
      // A call before it, so that the worker is at rest when the row is inserted.
      await response(await queue(sql`select net.http_get(${base + "/before"}) as id`));
      await atRest(sql);
      const [row] = await sql<{ id: string }[]>`
        insert into net.http_request_queue (method, url, timeout_milliseconds)
        values ('GET', ${base + "/by-hand"}, 1000)
        returning id
      `;
      assert.ok(row);
      const [queued] = await sql`select count(*)::int as n from net.http_request_queue`;
      assert.equal(queued?.n, 1);
      await sql`select net.wake()`;
      assert.equal((await response(row.id)).status_code, 200);
    });

    await t.step("responses older than six hours go when the worker is next awake", async () => {
      await sql`
        insert into net._http_response (id, created)
        values (-1, now() - interval '361 minutes'), (-2, now() - interval '359 minutes')
      `;
      await sql`select net.wake()`;
      await eventually("the old response to go", async () => {
        const rows = await sql`select from net._http_response where id = -1`;
        return rows.length === 0 ? true : undefined;
      });
      const kept = await sql`select from net._http_response where id = -2`;
      assert.equal(kept.length, 1);
    });

    await t.step("_http_collect_response waits for the answer", async () => {
      const id = await queue(sql`select net.http_get(${base + "/collect"}) as id`);
      const [row] = await sql`
        select (r.result).status, ((r.result).response).status_code
        from (select net._http_collect_response(${id}, async => false) as result) as r
      `;
      assert.deepEqual({ ...row }, { status: "SUCCESS", status_code: 200 });
    });

    await t.step("anon may call the functions where the schema is reachable", async () => {
      const id = await sql.begin(async (transaction) => {
        await transaction`set local role anon`;
        return await queue(transaction`select net.http_get(${base + "/anon"}) as id`);
      });
      assert.equal((await response(id)).status_code, 200);
    });

    await t.step("stopping in a batch leaves its requests in the queue", async () => {
      received.length = 0;
      await sql`select net.http_get(${base + "/hold"}, timeout_milliseconds => 60000)`;
      await arrived("/hold");
      await sql`select net.check_worker_is_up()`;
      await worker.stop();
      release();
      const rows = await sql`select url from net.http_request_queue`;
      assert.deepEqual(rows.map(({ url }) => url), [base + "/hold"]);
      await assert.rejects(() => sql`select net.check_worker_is_up()`, {
        message: "the pg_net background worker is not up",
      });
    });

    await t.step("a new worker sends what it finds queued", async () => {
      received.length = 0;
      await sql`update net.http_request_queue set url = ${base + "/again"}`;
      const next = await startNetWorker({ adminUrl: database.adminUrl });
      try {
        await arrived("/again");
      } finally {
        await next.stop();
      }
    });

    await t.step("at most 200 requests make a batch", async () => {
      await sql`truncate net._http_response`;
      await sql`select net.http_get(${base + "/many"}) from generate_series(1, 230)`;
      const next = await startNetWorker({ adminUrl: database.adminUrl, pauseMs: PAUSE_MS });
      try {
        const sizes = await eventually("230 responses", async () => {
          const rows = await sql<{ n: number }[]>`
            select count(*)::int as n from net._http_response group by created order by created
          `;
          const total = rows.reduce((sum, { n }) => sum + n, 0);
          return total >= 230 ? rows.map(({ n }) => n) : undefined;
        });
        assert.equal(sizes[0], 200);
      } finally {
        await next.stop();
      }
    });

    await t.step("the next batch starts a second after the last one", async () => {
      await sql`truncate net._http_response`;
      await sql`select net.http_get(${base + "/first"}), net.http_get(${base + "/second"})`;
      const next = await startNetWorker({ adminUrl: database.adminUrl, batchSize: 1 });
      try {
        const times = await eventually("both responses", async () => {
          const rows = await sql<{ created: Date }[]>`
            select created from net._http_response order by id
          `;
          return rows.length === 2 ? rows.map(({ created }) => created.getTime()) : undefined;
        });
        const [first = 0, second = 0] = times;
        assert.ok(second - first >= 990, `the second came ${second - first} ms after the first`);
      } finally {
        await next.stop();
      }
    });
  } finally {
    release();
    await worker.stop();
    await server.shutdown();
    await sql.end();
    await database.stop();
  }
});

/** A port that nobody listens on. */
function closedPort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  return port;
}

/** Resolves when the worker has found an empty queue and waits for a notification. */
async function atRest(sql: postgres.Sql): Promise<void> {
  let seen = "";
  let since = performance.now();
  await eventually("the worker at rest", async () => {
    const [row] = await sql<{ change: string }[]>`
      select string_agg(state_change::text, ' ' order by pid) as change
      from pg_stat_activity where application_name = 'pg_net worker'
    `;
    if (row?.change !== seen) since = performance.now();
    seen = row?.change ?? "";
    return performance.now() - since > 10 * PAUSE_MS ? true : undefined;
  });
}
