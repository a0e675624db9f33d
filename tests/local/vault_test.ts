import assert from "node:assert/strict";
import postgres from "postgres";
import { startDatabase } from "../../local/database/embedded.ts";
import { applyPlatform } from "../../local/platform/apply.ts";

Deno.test("The vault", async (t) => {
  const database = await startDatabase();
  await applyPlatform({ adminUrl: database.adminUrl });
  const sql = postgres(database.url, { max: 1, onnotice: () => {} });
  try {
    await t.step("a secret created by postgres is read back through the view", async () => {
      await sql`select vault.create_secret('https://x.example', 'project_url', 'where')`;
      const [row] = await sql`
        select name, description, secret, decrypted_secret from vault.decrypted_secrets
      `;
      assert.equal(row?.decrypted_secret, "https://x.example");
      assert.equal(row?.name, "project_url");
      assert.equal(row?.description, "where");
      assert.doesNotMatch(atob(row?.secret), /x\.example/);
    });

    await t.step("a second secret of the same name is refused", async () => {
      await assert.rejects(
        () => sql`select vault.create_secret('other', 'project_url')`,
        { code: "23505" },
      );
    });

    await t.step("secrets without a name may be many", async () => {
      await sql`select vault.create_secret('a'), vault.create_secret('b')`;
      const rows = await sql`
        select decrypted_secret as secret from vault.decrypted_secrets where name is null order by 1
      `;
      assert.deepEqual(rows.map((row) => row.secret), ["a", "b"]);
    });

    await t.step("update_secret leaves alone what is null", async () => {
      const [row] = await sql`select id from vault.secrets where name = 'project_url'`;
      await sql`select vault.update_secret(${row?.id}, new_secret => 'https://y.example')`;
      const [updated] = await sql`
        select name, description, decrypted_secret from vault.decrypted_secrets
        where id = ${row?.id}
      `;
      assert.deepEqual({ ...updated }, {
        name: "project_url",
        description: "where",
        decrypted_secret: "https://y.example",
      });
      await sql`select vault.update_secret(${row?.id}, new_name => 'renamed')`;
      const [renamed] = await sql`
        select name, decrypted_secret from vault.decrypted_secrets where id = ${row?.id}
      `;
      assert.deepEqual({ ...renamed }, { name: "renamed", decrypted_secret: "https://y.example" });
    });

    await t.step("postgres writes through the functions only", async () => {
      await assert.rejects(
        () => sql`insert into vault.secrets (secret) values ('x')`,
        { code: "42501" },
      );
      await assert.rejects(() => sql`update vault.secrets set secret = 'x'`, { code: "42501" });
    });

    for (const role of ["anon", "authenticated", "service_role"]) {
      await t.step(`${role} can neither read nor write`, async () => {
        for (
          const statement of [
            "select * from vault.decrypted_secrets",
            "select * from vault.secrets",
            "select vault.create_secret('x')",
          ]
        ) {
          await assert.rejects(
            () =>
              sql.begin(async (transaction) => {
                await transaction.unsafe(`set local role ${role}`);
                await transaction.unsafe(statement);
              }),
            { code: "42501" },
            statement,
          );
        }
      });
    }
  } finally {
    await sql.end();
    await database.stop();
  }
});
