import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";
import { fetcherIndex, FETCHERS } from "../../scripts/fetchers/index_text.ts";
import { fetchers, queueTypes } from "../../supabase/functions/_shared/fetchers/index.ts";

Deno.test("the list of fetchers is up to date: else run deno run -A scripts/fetchers.ts", async () => {
  assert.equal(
    await Deno.readTextFile(new URL("index.ts", FETCHERS)),
    await fetcherIndex(FETCHERS),
  );
});

Deno.test("a file that exports queueType is all that a new fetcher takes", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/city_weather.ts`, "export const queueType = 1;\n");
    await Deno.writeTextFile(`${folder}/places.ts`, "export const places = 'queueType';\n");
    await Deno.writeTextFile(`${folder}/index.ts`, "export const queueType = 1;\n");
    const text = await fetcherIndex(pathToFileURL(`${folder}/`));
    assert.match(text, /^import { queueType as cityWeather } from "\.\/city_weather\.ts";$/m);
    assert.match(text, /= \[\n {2}cityWeather,\n\];/);
    assert.ok(!text.includes("places"));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("no two fetchers are of one data type, and no endpoint is recorded for two", () => {
  assert.equal(Object.keys(fetchers).length, queueTypes.length);
  const endpoints = queueTypes.flatMap(({ recordings }) => Object.keys(recordings));
  assert.equal(new Set(endpoints).size, endpoints.length);
  for (const endpoint of endpoints) assert.match(endpoint, /^[a-z0-9-]+$/);
});
