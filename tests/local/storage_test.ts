import assert from "node:assert/strict";
import { createClient } from "@supabase/supabase-js";
import { withStack } from "../integration/with_stack.ts";

const BUCKET = "profile-images";

Deno.test("the stand-in for Storage does what the client library asks of uploads, heads and lists", () =>
  withStack(
    { cron: false, net: false, migrate: false, activeSymbols: 1 },
    async ({ stack, sql }) => {
      const client = (key: string) =>
        createClient(stack.apiUrl, key, {
          auth: { persistSession: false, autoRefreshToken: false },
        })
          .storage.from(BUCKET);
      const files = client(stack.keys.secretKey);
      const bytes = new TextEncoder().encode("an image");

      assert.equal((await files.exists("AAPL.png")).data, false);
      const first = await files.upload("AAPL.png", bytes, { contentType: "image/png" });
      assert.equal(first.error, null);
      assert.equal(first.data?.fullPath, `${BUCKET}/AAPL.png`);
      assert.equal((await files.exists("AAPL.png")).data, true);
      const read = await files.download("AAPL.png");
      assert.equal(await read.data?.text(), "an image");
      assert.equal(read.data?.type, "image/png");

      const again = await files.upload("AAPL.png", bytes, {
        contentType: "image/png",
        upsert: false,
      });
      assert.equal(again.error?.message, "The resource already exists");
      assert.equal((again.error as { statusCode?: string } | null)?.statusCode, "409");
      const blob = new Blob(["another"], { type: "image/svg+xml" });
      assert.equal((await files.upload("AAPL.png", blob, { upsert: true })).error, null);
      assert.equal(await (await files.download("AAPL.png")).data?.text(), "another");

      await files.upload("folder/MSFT.png", bytes);
      const { data: listed } = await files.list("", { search: "aapl" });
      assert.deepEqual(listed?.map(({ name }) => name), ["AAPL.png"]);
      const { data: folder } = await files.list("folder");
      assert.deepEqual(folder?.map(({ name }) => name), ["MSFT.png"]);

      const rows = await sql`
      select bucket_id, name, metadata, path_tokens from storage.objects order by name`;
      assert.deepEqual(rows.map((row) => ({ ...row })), [
        {
          bucket_id: BUCKET,
          name: "AAPL.png",
          metadata: { size: 7, mimetype: "image/svg+xml" },
          path_tokens: ["AAPL.png"],
        },
        {
          bucket_id: BUCKET,
          name: "folder/MSFT.png",
          metadata: { size: 8, mimetype: "text/plain;charset=UTF-8" },
          path_tokens: ["folder", "MSFT.png"],
        },
      ]);

      const refused = await client(stack.keys.publishableKey).upload("TSLA.png", bytes);
      assert.equal(refused.error?.message, "new row violates row-level security policy");
      const stranger = await client("sb_secret_of_another_project").upload("TSLA.png", bytes);
      assert.equal((stranger.error as { statusCode?: string } | null)?.statusCode, "403");
      const nowhere = await createClient(stack.apiUrl, stack.keys.secretKey).storage.from("none")
        .upload("TSLA.png", bytes);
      assert.equal(nowhere.error?.message, "Bucket not found");

      const shown = await fetch(`${stack.apiUrl}/storage/v1/object/public/${BUCKET}/AAPL.png`);
      assert.equal(shown.status, 200);
      assert.equal(await shown.text(), "another");
      const missing = await fetch(`${stack.apiUrl}/storage/v1/object/public/${BUCKET}/NONE.png`);
      assert.equal(missing.status, 400);
      assert.deepEqual(await missing.json(), {
        statusCode: "404",
        error: "not_found",
        message: "Object not found",
      });
    },
  ));
