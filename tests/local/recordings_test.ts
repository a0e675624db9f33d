import assert from "node:assert/strict";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { readRecording } from "../../scripts/replay/recordings.ts";

const MEGABYTE = new Uint8Array(1_000_000).fill(32);

Deno.test("a recording is read whole", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = join(folder, "quote.json");
    const text = `[${"1,".repeat(2_000_000)}1]`;
    await Deno.writeTextFile(path, text);
    assert.equal(new TextDecoder().decode(await readRecording(path)), text);
    await Deno.writeTextFile(path, "");
    assert.equal((await readRecording(path)).byteLength, 0);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a recording that grows while it is read is left when it is too large", async () => {
  const folder = await Deno.makeTempDir();
  const path = join(folder, "quote.json");
  const file = await open(path, "w");
  let growing = true;
  try {
    // Ninety-nine chunks are on the way when the first of the others is written.
    await file.truncate(99_000_000);
    const grown = (async () => {
      for (let size = 99; growing && size < 400; size++) {
        await file.write(MEGABYTE, 0, MEGABYTE.length, size * MEGABYTE.length);
      }
    })();
    await assert.rejects(
      readRecording(path),
      /^Error: it has more than 100000000 bytes, though its size is \d+$/,
    );
    growing = false;
    await grown;
  } finally {
    await file.close();
    await Deno.remove(folder, { recursive: true });
  }
});
