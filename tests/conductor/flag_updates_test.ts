import assert from "node:assert/strict";
import postgres, { type Sql } from "postgres";
import { withStack } from "../integration/with_stack.ts";
import { readWorld, type World } from "./coverage.ts";
import { makeReady } from "./operations.ts";

/** What a session sees of cron.job, in the words of the tests. */
interface Picture {
  /** The v2 cron jobs. */
  v2: "active" | "inactive" | "mixed";
  /** Legacy jobs that are not active, by name; with a minus those that are gone. */
  resting: string[];
  stages: string[];
}

const PROFILES = "hourly-fetch-fmp-profiles";
const QUOTES = ["minute-fetch-fmp-exchange-prices-api", "minute-fetch-fmp-quote-indicators"];
const RATIOS = "daily-fetch-fmp-ratios-ttm";

Deno.test("each UPDATE of a flag takes effect on cron.job at its commit, all of it at once", () =>
  withStack({ cron: false, net: false }, async ({ stack, sql }) => {
    const [role] = await sql`
      select current_user as name, rolsuper as is_superuser from pg_roles where rolname = current_user`;
    assert.deepEqual({ ...role }, { name: "postgres", is_superuser: false });
    const names = await legacyNames(sql);
    assert.equal(names.length, 13);
    const person = connect(stack.databaseUrl);
    const other = connect(stack.databaseUrl);
    const watcher = connect(stack.databaseUrl);
    const update = async (statement: string, wanted: Picture) => {
      const before = picture(await readWorld(other), names);
      const seen = new Set<string>();
      let isOver = false;
      const watching = (async () => {
        while (!isOver) seen.add(JSON.stringify(picture(await readWorld(watcher), names)));
      })();
      try {
        await person.begin(async (transaction) => {
          await transaction.unsafe(statement);
          assert.deepEqual(
            picture(await readWorld(other), names),
            before,
            `${statement}: nothing is seen before its commit`,
          );
        });
        assert.deepEqual(
          picture(await readWorld(other), names),
          wanted,
          `${statement}: all is seen after it`,
        );
      } finally {
        isOver = true;
        await watching;
      }
      const states = [JSON.stringify(before), JSON.stringify(wanted)];
      assert.deepEqual(
        [...seen].filter((state) => !states.includes(state)),
        [],
        `${statement}: nothing in between is ever seen`,
      );
    };
    const flag = (name: string, enabled: boolean) =>
      `update feature_flags set enabled = ${enabled} where flag_name = '${name}'`;
    try {
      const nothing: Picture = { v2: "inactive", resting: [], stages: [] };
      const running: Picture = { v2: "active", resting: [], stages: [] };
      await update(flag("use_queue_system", true), running);
      await update(flag("use_new_staleness_check", true), running);
      await update(flag("use_presence_tracking", true), running);

      for (const dataType of ["profile", "quote", "ratios-ttm"]) await makeReady(sql, dataType);
      const canary = ["profile canary", "quote canary", "ratios-ttm canary"];
      await sql`select switchyard.set_stage('ratios-ttm', 'retired')`;
      const retired: Picture = {
        v2: "active",
        resting: [`-${RATIOS}`],
        stages: [canary[0]!, canary[1]!, "ratios-ttm retired"],
      };
      assert.deepEqual(picture(await readWorld(other), names), retired);

      await update(flag("use_queue_for_profile", true), {
        v2: "active",
        resting: [`-${RATIOS}`, PROFILES],
        stages: ["profile live", "quote canary", "ratios-ttm retired"],
      });
      const moved: Picture = {
        v2: "active",
        resting: [`-${RATIOS}`, PROFILES, ...QUOTES],
        stages: ["profile live", "quote live", "ratios-ttm retired"],
      };
      await update(flag("use_queue_for_quote", true), moved);
      const stopped: Picture = { ...moved, v2: "inactive", resting: [] };
      await update(flag("use_queue_system", false), stopped);
      await update(flag("use_queue_system", true), moved);
      await update(flag("use_new_staleness_check", false), stopped);
      await update(flag("use_new_staleness_check", true), moved);

      await sql`insert into public.api_call_queue_v2 (symbol, data_type) values ('AAPL', 'quote'), ('AAPL', 'profile')`;
      await update(flag("use_queue_for_quote", false), {
        v2: "active",
        resting: [`-${RATIOS}`, PROFILES],
        stages: ["profile live", "ratios-ttm retired"],
      });
      const pending = await sql`
        select data_type from public.api_call_queue_v2 where finished_at = 'infinity'`;
      assert.deepEqual(
        pending.map(({ data_type }) => data_type),
        ["profile"],
        "its jobs are cancelled",
      );
      await update(flag("use_queue_for_ratios-ttm", false), {
        v2: "active",
        resting: [PROFILES],
        stages: ["profile live"],
      });
      await update("update feature_flags set enabled = false", nothing);

      const untouched = await sql`select count(*)::int as jobs from cron.job where active`;
      assert.equal(untouched[0]!.jobs, 13);
    } finally {
      await Promise.all([person, other, watcher].map((session) => session.end()));
    }
  }));

Deno.test("use_queue_for_X fails with what is missing, and changes nothing", () =>
  withStack({ cron: false, net: false }, async ({ sql }) => {
    const before = await readWorld(sql);
    await assert.rejects(
      sql`update public.feature_flags set enabled = true where flag_name = 'use_queue_for_quote'`,
      (error: postgres.PostgresError) => {
        assert.equal(error.code, "SY024");
        assert.match(error.message, /^Cannot move "quote" to live: \d of 12 gates do not hold$/);
        assert.match(
          error.detail ?? "",
          /flags: use_queue_system off.*stage: legacy, wanted canary/,
        );
        assert.match(error.hint ?? "", /select \* from migration_gates_v2\('quote', 'live'\)/);
        return true;
      },
    );
    assert.deepEqual(await readWorld(sql), before);
  }));

Deno.test("a transaction with an older snapshot may not change flags: it would not see what others moved", () =>
  withStack({ cron: false, net: false }, async ({ sql }) => {
    for (const level of ["repeatable read", "serializable"]) {
      for (
        const statement of [
          "update public.feature_flags set enabled = true where flag_name = 'use_queue_system'",
          "select switchyard.set_stage('profile', 'live')",
          "delete from public.data_type_registry_v2 where data_type = 'profile'",
        ]
      ) {
        await assert.rejects(
          sql.begin(`isolation level ${level}`, (transaction) => transaction.unsafe(statement)),
          { code: "SY018" },
        );
      }
    }
  }));

function connect(url: string): Sql {
  return postgres(url, { max: 1, onnotice: () => {} });
}

async function legacyNames(sql: Sql): Promise<string[]> {
  const world = await readWorld(sql);
  return world.jobs.map(({ name }) => name!).filter((name) =>
    !world.own.some((own) => own.name === name)
  );
}

function picture(world: World, legacy: readonly string[]): Picture {
  const own = world.jobs.filter(({ name }) => world.own.some((own) => own.name === name));
  const resting = legacy.flatMap((name) => {
    const job = world.jobs.find((each) => each.name === name);
    return job === undefined ? [`-${name}`] : job.active ? [] : [name];
  });
  return {
    v2: own.every(({ active }) => active)
      ? "active"
      : own.some(({ active }) => active)
      ? "mixed"
      : "inactive",
    resting: resting.toSorted(),
    stages: world.types.filter(({ stage }) => stage !== "legacy")
      .map(({ dataType, stage }) => `${dataType} ${stage}`),
  };
}
