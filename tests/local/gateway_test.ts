import assert from "node:assert/strict";
import { createClient } from "@supabase/supabase-js";
import postgres from "postgres";
import { type Database, startDatabase } from "../../local/database/embedded.ts";
import { createKeys, installAuthSchema, type Keys, startGateway } from "../../local/gateway.ts";
import { eventually } from "../eventually.ts";

const ROLES = `
  create role anon nologin;
  create role authenticated nologin;
  create role service_role nologin bypassrls;
  grant usage on schema public to anon, authenticated, service_role;
  alter default privileges in schema public grant all on tables to anon, authenticated, service_role;
  alter default privileges in schema public grant all on functions to anon, authenticated, service_role;
`;

const TABLES = `
  create table public.quotes (symbol text primary key, price numeric);
  alter table public.quotes enable row level security;
  create policy "everybody reads" on public.quotes for select to anon, authenticated using (true);
  insert into public.quotes values ('AAPL', 190.5);

  create table public.secrets (id int primary key);
  alter table public.secrets enable row level security;
  revoke all on public.secrets from anon, authenticated;

  create function public.refuse(p_code text) returns void language plpgsql as $$
  begin
    raise exception 'Refused' using errcode = p_code, detail = 'Found it', hint = 'Run that';
  end $$;
  create function public.kind_of(p_value jsonb) returns text language sql
    as 'select jsonb_typeof(p_value)';
  create table public.documents (id int primary key, body jsonb);
  create function public.who() returns text language sql as 'select current_user::text';
  revoke execute on function public.who() from public, anon;
`;

interface Fixture {
  database: Database;
  keys: Keys;
  url: string;
  logged: string[];
  reload(): Promise<void>;
}

async function withGateway(test: (fixture: Fixture) => Promise<void>): Promise<void> {
  const database = await startDatabase();
  try {
    await installAuthSchema(database.adminUrl);
    await run(database, ROLES + TABLES);
    const keys = await createKeys();
    const logged: string[] = [];
    const gateway = await startGateway({
      adminUrl: database.adminUrl,
      keys,
      functionsUrl: "http://127.0.0.1:9",
      log: (line) => logged.push(line),
    });
    try {
      await test({ database, keys, url: gateway.url, logged, reload: gateway.reload });
    } finally {
      await gateway.stop();
    }
  } finally {
    await database.stop();
  }
}

async function run(database: Database, text: string) {
  const sql = postgres(database.adminUrl, { max: 1, onnotice: () => {} });
  try {
    return await sql.unsafe(text);
  } finally {
    await sql.end();
  }
}

function client(url: string, key: string) {
  return createClient(url, key, {
    auth: { persistSession: false, autoRefreshToken: false },
  });
}

Deno.test("the gateway acts as the role of each key", async () => {
  await withGateway(async ({ url, keys }) => {
    for (const key of [keys.anonKey, keys.publishableKey]) {
      const anon = client(url, key);
      assert.deepEqual((await anon.from("quotes").select()).data, [{
        symbol: "AAPL",
        price: 190.5,
      }]);
      const insert = await anon.from("quotes").insert({ symbol: "MSFT", price: 1 });
      assert.equal(insert.error?.code, "42501");
      assert.equal((await anon.rpc("who")).error?.code, "42501");
    }
    for (const key of [keys.serviceKey, keys.secretKey]) {
      const service = client(url, key);
      assert.equal((await service.rpc("who")).data, "service_role");
      assert.equal((await service.from("secrets").select()).error, null);
    }
  });
});

Deno.test("a user who signs up through the gateway acts as authenticated", async () => {
  await withGateway(async ({ url, keys }) => {
    for (const key of [keys.anonKey, keys.publishableKey]) {
      const user = client(url, key);
      const { data, error } = await user.auth.signUp({
        email: `${crypto.randomUUID()}@example.com`,
        password: "a long password",
      });
      assert.equal(error, null);
      assert.ok(data.session);
      assert.equal((await user.rpc("who")).data, "authenticated");
      assert.equal((await user.from("secrets").select()).error?.code, "42501");
    }
  });
});

Deno.test("a request without a key or with a wrong key is refused", async () => {
  await withGateway(async ({ url, keys }) => {
    assert.equal((await fetch(`${url}/rest/v1/quotes`)).status, 401);
    const wrong = await fetch(`${url}/rest/v1/quotes`, { headers: { apikey: "sb_secret_wrong" } });
    assert.equal(wrong.status, 401);
    const forged = await fetch(`${url}/rest/v1/quotes`, {
      headers: {
        apikey: keys.anonKey,
        authorization: `Bearer ${keys.serviceKey.slice(0, -4)}AAAA`,
      },
    });
    assert.equal(forged.status, 401);
    await Promise.all([wrong.body?.cancel(), forged.body?.cancel()]);
  });
});

Deno.test("privileges that a migration revoked stay revoked while the gateway serves", async () => {
  await withGateway(async ({ database, url, keys, reload }) => {
    const privileges = `
      select relname, relacl::text as acl from pg_class
      where relnamespace = 'public'::regnamespace order by relname`;
    const before = await run(database, privileges);
    const anon = client(url, keys.anonKey);
    await anon.from("quotes").select();
    await client(url, keys.secretKey).from("secrets").select();
    await reload();
    assert.equal((await anon.from("secrets").select()).error?.code, "42501");
    assert.deepEqual(await run(database, privileges), before);
  });
});

Deno.test("new tables are visible after a reload, asked for by call or by NOTIFY", async () => {
  await withGateway(async ({ database, url, keys, reload }) => {
    const service = client(url, keys.secretKey);
    await run(database, "create table public.first_table (id int primary key)");
    assert.equal((await service.from("first_table").select()).error?.code, "PGRST205");
    await reload();
    assert.equal((await service.from("first_table").select()).error, null);

    await run(
      database,
      "create table public.second_table (id int primary key); notify pgrst, 'reload schema'",
    );
    await eventually("the table to be visible after NOTIFY", async () => {
      const { error } = await service.from("second_table").select();
      return error === null || undefined;
    });
  });
});

Deno.test("an error raised in SQL reaches the client with code, details and hint", async () => {
  await withGateway(async ({ url, keys, logged }) => {
    const service = client(url, keys.secretKey);
    for (const [code, status] of [["P0001", 400], ["SY001", 400], ["55000", 500]] as const) {
      const answer = await service.rpc("refuse", { p_code: code });
      assert.equal(answer.status, status);
      assert.deepEqual({ ...answer.error }, {
        code,
        message: "Refused",
        details: "Found it",
        hint: "Run that",
      });
    }
    assert.ok(logged.some((line) => line.includes("Refused")), "the log has the error");
  });
});

Deno.test("JSON arguments and columns keep their kind", async () => {
  await withGateway(async ({ url, keys }) => {
    const service = client(url, keys.secretKey);
    const values = { object: { a: [1, null] }, array: [{ b: "c" }], number: 5, string: "text" };
    for (const [kind, value] of Object.entries(values)) {
      assert.equal((await service.rpc("kind_of", { p_value: value })).data, kind);
    }
    const rows = [{ id: 1, body: { a: "b" } }, { id: 2, body: ["c"] }, { id: 3, body: null }];
    assert.equal((await service.from("documents").upsert(rows)).error, null);
    assert.deepEqual((await service.from("documents").select().order("id")).data, rows);
  });
});

Deno.test("times, numbers and bytes look as PostgREST shows them", async () => {
  await withGateway(async ({ database, url, keys, reload }) => {
    await run(
      database,
      `create view public.values_of_types as select
         timestamptz '2026-01-31 12:00:00.5+02' as moment, timestamptz 'infinity' as never,
         timestamp '2026-01-31 12:00' as local_time, date '2026-01-31' as day,
         1.50::numeric as amount, 'NaN'::numeric as nothing, 12345678901::bigint as large,
         '\\x01ff'::bytea as bytes, array[timestamptz '2026-01-31 12:00+00'] as moments;
       grant select on public.values_of_types to service_role`,
    );
    await reload();
    const { data } = await client(url, keys.secretKey).from("values_of_types").select();
    assert.deepEqual(data, [{
      moment: "2026-01-31T10:00:00.5+00:00",
      never: "infinity",
      local_time: "2026-01-31T12:00:00",
      day: "2026-01-31",
      amount: 1.5,
      nothing: "NaN",
      large: 12345678901,
      bytes: "\\x01ff",
      moments: ["2026-01-31T12:00:00+00:00"],
    }]);
  });
});

Deno.test("a request is cut off after the statement timeout of its role", async () => {
  await withGateway(async ({ database, url, keys, reload }) => {
    await run(
      database,
      `alter role anon set statement_timeout = '50ms';
       create function public.wait() returns void language sql as 'select pg_sleep(0.3)';`,
    );
    await reload();
    const cut = await client(url, keys.anonKey).rpc("wait");
    assert.deepEqual([cut.status, cut.error?.code], [500, "57014"]);
    assert.equal((await client(url, keys.secretKey).rpc("wait")).error, null);
  });
});

Deno.test("a port in use is named in the gateway's error", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const database = await startDatabase();
  try {
    await installAuthSchema(database.adminUrl);
    await assert.rejects(
      async () =>
        await startGateway({
          adminUrl: database.adminUrl,
          keys: await createKeys(),
          functionsUrl: "http://127.0.0.1:9",
          port: listener.addr.port,
        }),
      new RegExp(`Cannot start the gateway: port ${listener.addr.port} is in use`),
    );
  } finally {
    listener.close();
    await database.stop();
  }
});

Deno.test("a request that never ends does not keep the gateway from stopping", async () => {
  const database = await startDatabase();
  const asked = Promise.withResolvers<void>();
  const closing = new AbortController();
  const options = { hostname: "127.0.0.1", port: 0, signal: closing.signal, onListen: () => {} };
  const silent = Deno.serve(options, () => {
    asked.resolve();
    return new Promise<Response>(() => {});
  });
  try {
    await installAuthSchema(database.adminUrl);
    await run(database, ROLES);
    const logged: string[] = [];
    const gateway = await startGateway({
      adminUrl: database.adminUrl,
      keys: await createKeys(),
      functionsUrl: `http://127.0.0.1:${silent.addr.port}`,
      log: (line) => logged.push(line),
    });
    const answer = fetch(`${gateway.url}/functions/v1/never`).then(
      ({ status }) => `answered ${status}`,
      () => "cut",
    );
    await asked.promise;
    await gateway.stop();
    assert.equal(await answer, "cut");
    assert.ok(
      logged.includes("Cut requests under way that did not end within 5000 ms: 1"),
      `${logged}`,
    );
  } finally {
    await database.stop();
    closing.abort();
  }
});
