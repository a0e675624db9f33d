import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

function start(args: string[]): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "scripts/start.ts", ...args],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

Deno.test("npm start walks through to its table, also a second one beside the first", async () => {
  const outputs = await Promise.all([start([]).output(), start([]).output()]);
  for (const { code, stdout, stderr } of outputs) {
    const text = new TextDecoder().decode(stdout);
    assert.equal(code, 0, `${text}\n${new TextDecoder().decode(stderr)}`);
    assert.match(text, /existing objects unchanged, [\d,]+ added, all of them Switchyard's/);
    assert.match(text, /^all +145 +145 +0 +/m);
  }
});

Deno.test("npm start says what is wrong with its options and exits 2", async () => {
  const { code, stderr } = await start(["--kep"]).output();
  assert.equal(code, 2);
  assert.match(new TextDecoder().decode(stderr), /--kep/);
});

Deno.test("npm start stops everything on Ctrl-C and exits 130", async () => {
  const child = start([]);
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes("PostgreSQL")) {
    const { value, done } = await reader.read();
    assert.ok(!done, `it ended early: ${text}`);
    text += value;
  }
  const port = /API http:\/\/127\.0\.0\.1:(\d+)/.exec(text);
  child.kill("SIGINT");
  for (let end = false; !end;) end = (await reader.read()).done;
  const { code } = await child.status;
  await child.stderr.cancel();
  assert.equal(code, 130);
  assert.ok(port);
  await assert.rejects(Deno.connect({ hostname: "127.0.0.1", port: Number(port[1]) }));
});
