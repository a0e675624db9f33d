import assert from "node:assert/strict";
import type postgres from "postgres";
import { callFunction, processManually, withStack } from "./with_stack.ts";

const filesOf = async (sql: postgres.Sql) =>
  (await sql<{ name: string }[]>`select name from storage.objects order by name`)
    .map(({ name }) => name);

Deno.test("queue and endpoint copy the logos of profiles once, default images never", () =>
  withStack({ cron: false, net: false, activeSymbols: 0 }, async ({ stack, sql }) => {
    const symbols = stack.simulator!.symbols.slice(0, 12);
    await sql`update public.supported_symbols set is_active = symbol = any(${[...symbols]})`;
    const [viaQueue, viaEndpoint] = [symbols.slice(0, 6), symbols.slice(6)];
    await sql`
      select public.queue_refresh_if_not_exists_v2(symbol, 'profile') from unnest(${viaQueue}::text[]) as symbol`;
    const report = await processManually(stack);
    assert.equal(report.jobs.completed, 6);

    const expected = async () =>
      (await sql<{ symbol: string }[]>`
        select symbol from public.profiles where not default_image order by symbol`)
        .map(({ symbol }) => `${symbol}.png`);
    const copied = await expected();
    assert.ok(copied.length >= 3);
    assert.deepEqual(await filesOf(sql), copied);

    const before = await sql`select name, version from storage.objects order by name`;
    await sql`
      select public.queue_refresh_if_not_exists_v2(symbol, 'profile') from unnest(${viaQueue}::text[]) as symbol`;
    await processManually(stack);
    const after = await sql`select name, version from storage.objects order by name`;
    assert.deepEqual([...after], [...before], "nothing is copied again");

    const response = await callFunction(stack, "fetch-fmp-profiles", { symbols: viaEndpoint });
    assert.equal(response.status, 200);
    assert.deepEqual(await filesOf(sql), await expected());

    const [logo] = copied;
    const shown = await fetch(`${stack.apiUrl}/storage/v1/object/public/profile-images/${logo}`);
    assert.equal(shown.headers.get("content-type"), "image/png");
  }));
