import assert from "node:assert/strict";
import { join } from "node:path";
import { readRecording } from "../../scripts/replay/recordings.ts";

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

Deno.test({
  name: "a file with more in it than its size says is left when it is too large",
  ignore: Deno.build.os !== "linux",
  // Eight bytes for each page that a process might have: many gigabytes, and size 0.
  fn: () =>
    assert.rejects(
      readRecording("/proc/self/pagemap"),
      /^Error: it has more than 100000000 bytes, though its size is 0$/,
    ),
});
