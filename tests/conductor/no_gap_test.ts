import assert from "node:assert/strict";
import { join } from "node:path";
import postgres, { type Sql } from "postgres";
import { startDatabase } from "../../local/database/embedded.ts";
import { startStack } from "../../local/stack.ts";
import { withStack } from "../integration/with_stack.ts";
import { eventually } from "../eventually.ts";
import { contradictions, readWorld, uncoveredTypes, type World } from "./coverage.ts";
import {
  conductorOperation,
  excusedTypes,
  jobsOf,
  judge,
  type LegacyWork,
  legacyWorks,
  type Operation,
  personsOperation,
  tamperingOperation,
} from "./operations.ts";
import { type Random, seededRandom } from "./random.ts";

const STEPS = 300;

Deno.test("no data type is ever refreshed by neither, whatever flags, stages, people and crashes do", () =>
  withStack({ cron: "pg_cron", net: false }, async ({ stack, sql }) => {
    const random = seededRandom("no gap");
    const url = stack.databaseUrl;
    const observer = connect(url);
    // They have to be active, and nothing but this test may move anything.
    await sql`update switchyard.cron_jobs set schedule = '0 0 1 1 *'`;
    await sql`select switchyard.schedule_cron_jobs()`;
    const works = await legacyWorks(observer);
    assert.equal(works.length, 13);
    const watch = watchOver(url, works);
    const done: string[] = [];
    try {
      for (let step = 0; step < STEPS; step++) {
        done.push(await takeStep(random, url, sql, observer, works));
        await check(observer, works, done, random);
        watch.check(done, random);
      }
      await sql`update public.feature_flags set enabled = false`;
      const world = await check(observer, works, [...done, "all flags off"], random);
      assert.deepEqual(
        works.filter((work) => !work.off && !jobsOf(world, work).some(({ active }) => active)),
        [],
        "with every flag off each legacy job runs that nobody has switched off",
      );
      const failures = await sql`
        select e.id, j ->> 'note' as note
          from switchyard.migration_events as e, jsonb_array_elements(e.detail -> 'legacy_jobs') as j
         where j ->> 'action' = 'failed'
        union all
        select id, detail ->> 'message' from switchyard.queue_events where kind = 'guard failed'`;
      assert.deepEqual([...failures], [], `seed ${random.seed}`);
      assert.ok(watch.reads() > STEPS, "the watch saw what lies between the steps");
      for (const [kind, least] of [["refused", 5], ["cut off", 10], ["roll back", 5]] as const) {
        const seen = done.filter((name) => name.includes(kind)).length;
        assert.ok(seen >= least, `${seen} steps were "${kind}"`);
      }
    } finally {
      await watch.stop();
      await observer.end();
    }
  }));

Deno.test("a server killed in the middle of a move comes up with no gap", async () => {
  const random = seededRandom("killed server");
  const parent = await Deno.makeTempDir({ prefix: "switchyard-no-gap-" });
  await Deno.chmod(parent, 0o755);
  const dataDir = join(parent, "data");
  try {
    const installed = await startStack({ dataDir, cron: "pg_cron", net: false });
    const { databaseUrl } = installed;
    const port = installed.database.port;
    await installed.stop();
    for (let kill = 0; kill < 2; kill++) {
      let database = await startDatabase({ dataDir, port });
      let sql = connect(databaseUrl);
      let before: World;
      const works = await legacyWorks(sql);
      try {
        await sql`update public.feature_flags set enabled = true
                   where flag_name in ('use_queue_system', 'use_new_staleness_check')`;
        await sql`select switchyard.set_stage(data_type, 'live', 'test')
                    from public.data_type_registry_v2 where data_type <> 'quote'`;
        before = await check(sql, works, [`kill ${kill}`], random);
        const mover = connect(databaseUrl);
        await mover`begin`;
        await mover`update public.feature_flags set enabled = false where flag_name like 'use_queue_for_%'`;
        await mover`select switchyard.set_stage('quote', 'retired', 'test')`;
        if (kill === 1) await mover`commit`;
        const pid = Number(
          (await Deno.readTextFile(join(dataDir, "postmaster.pid"))).split("\n")[0],
        );
        Deno.kill(pid, "SIGKILL");
        await mover.end({ timeout: 1 }).catch(isCutOff);
      } finally {
        await sql.end({ timeout: 1 }).catch(isCutOff);
        await database.stop();
      }
      // Its sessions end when they find their parent gone.
      database = await eventually("the server to start again", async () => {
        try {
          return await startDatabase({ dataDir, port });
        } catch (error) {
          if (error instanceof Error && /shared memory|another server|in use/.test(error.message)) {
            return undefined;
          }
          throw error;
        }
      });
      sql = connect(databaseUrl);
      try {
        const after = await check(sql, works, [`killed ${kill}`], random);
        if (kill === 0) assert.deepEqual(after, before, "what was not committed is gone");
        else assert.equal(after.types.find((type) => type.dataType === "quote")!.stage, "retired");
        await sql`update public.feature_flags set enabled = false`;
        const back = await check(sql, works, [`killed ${kill}`, "all flags off"], random);
        assert.ok(works.every((work) => jobsOf(back, work).some(({ active }) => active)));
      } finally {
        await sql.end();
        await database.stop();
      }
    }
  } finally {
    await Deno.remove(parent, { recursive: true });
  }
});

function connect(url: string): Sql {
  return postgres(url, { max: 1, onnotice: () => {}, fetch_types: false });
}

function isCutOff(error: unknown): void {
  if (!(error instanceof Error)) throw error;
}

/** Does something at random; returns what it was. */
async function takeStep(
  random: Random,
  url: string,
  sql: Sql,
  observer: Sql,
  works: readonly LegacyWork[],
): Promise<string> {
  const world = await readWorld(observer);
  if (random.chance(0.35)) {
    const work = random.pick(works);
    const operation = personsOperation(random, world, work);
    if (operation === undefined) return "nothing";
    await sql.begin((transaction) => operation.run(transaction));
    await judge(observer, world, work);
    return `somebody: ${operation.name}`;
  }
  if (random.chance(0.15)) return await cutOff(random, url, observer, world);
  if (random.chance(0.08)) {
    const operation = tamperingOperation(random, world);
    await sql.begin((transaction) => operation.run(transaction));
    return `somebody: ${operation.name}`;
  }
  const operations = Array.from(
    { length: random.chance(0.2) ? 2 + random.integer(3) : 1 },
    () => conductorOperation(random, world),
  );
  const names = operations.map(({ name }) => name).join(" + ");
  try {
    await sql.begin(async (transaction) => {
      for (const operation of operations) await operation.run(transaction);
    });
    return names;
  } catch (error) {
    if (!isRefusal(error, operations)) throw new Error(`Failed at ${names}`, { cause: error });
    return `refused: ${names}`;
  }
}

/** A transaction whose session is terminated before its end: nothing of it may remain. */
async function cutOff(
  random: Random,
  url: string,
  observer: Sql,
  before: World,
): Promise<string> {
  const victim = connect(url);
  const names: string[] = [];
  try {
    const [session] = await victim`select pg_backend_pid() as pid`;
    await victim`begin`;
    for (let n = 0; n <= random.integer(4); n++) {
      const operation = conductorOperation(random, before);
      names.push(operation.name);
      try {
        await operation.run(victim);
      } catch (error) {
        if (!isRefusal(error, [operation])) throw error;
        break;
      }
    }
    await observer`select pg_terminate_backend(${session!.pid}, 10000)`;
  } finally {
    await victim.end({ timeout: 1 }).catch(isCutOff);
  }
  assert.deepEqual(await readWorld(observer), before, `nothing remains of ${names}`);
  return `cut off: ${names.join(" + ")}`;
}

function isRefusal(error: unknown, operations: readonly Operation[]): boolean {
  return error instanceof postgres.PostgresError &&
    operations.some(({ refusals }) => refusals?.includes(error.code));
}

/** Asserts from another session that every type is covered; returns what it saw. */
async function check(
  observer: Sql,
  works: readonly LegacyWork[],
  done: readonly string[],
  random: Random,
): Promise<World> {
  const world = await readWorld(observer);
  const story = `seed ${random.seed}, last steps: ${done.slice(-12).join("; ")}`;
  const excused = excusedTypes(world, works);
  assert.deepEqual(uncoveredTypes(world).filter((type) => !excused.includes(type)), [], story);
  assert.deepEqual(contradictions(world), [], story);
  for (const work of works.filter(({ off }) => off)) {
    assert.deepEqual(
      jobsOf(world, work).filter(({ active }) => active),
      [],
      `what somebody switched off stays off; ${story}`,
    );
  }
  return world;
}

/** Looks all the time; what is uncovered at any moment must be excused before or after the step. */
function watchOver(url: string, works: readonly LegacyWork[]) {
  let reads = 0;
  let isOver = false;
  // With what was off when the look began: its answer may come after the step that it saw.
  let seen: { world: World; offThen: boolean[] }[] = [];
  let offBefore = works.map(({ off }) => off);
  const looking = (async () => {
    const own = connect(url);
    try {
      while (!isOver) {
        const offThen = works.map(({ off }) => off);
        const world = await readWorld(own);
        reads++;
        if (uncoveredTypes(world).length > 0) seen.push({ world, offThen });
        // It shares the processor with what it watches.
        await new Promise((resolve) => setTimeout(resolve, 3));
      }
    } finally {
      await own.end();
    }
  })();
  return {
    reads: () => reads,
    check: (done: readonly string[], random: Random) => {
      const gaps = seen.map(({ world, offThen }) => {
        const maybeOff = works.map((work, index) => ({
          ...work,
          off: work.off || offBefore[index]! || offThen[index]!,
        }));
        const excused = excusedTypes(world, maybeOff);
        return uncoveredTypes(world).filter((type) => !excused.includes(type));
      });
      assert.deepEqual(
        gaps.filter((types) => types.length > 0),
        [],
        `seen while it went on; seed ${random.seed}, last steps: ${done.slice(-12).join("; ")}`,
      );
      seen = [];
      offBefore = works.map(({ off }) => off);
    },
    stop: async () => {
      isOver = true;
      await looking;
    },
  };
}
