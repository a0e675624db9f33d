import assert from "node:assert/strict";
import { createClient } from "@supabase/supabase-js";
import type { Row } from "../../supabase/functions/_shared/fetchers/contract.ts";
import { copyMissingLogos } from "../../supabase/functions/_shared/fetchers/profile_logo.ts";

const IMAGE = new Uint8Array([137, 80, 78, 71]);

interface Project {
  /** Files that the queue hands out; absent: Switchyard is not installed. */
  missing?: string[];
  /** Files that are in the bucket. */
  stored?: string[];
  /** Answer of the image host. Default: an image. */
  image?: () => Response | Promise<Response>;
  /** Answer to an upload. Default: done. */
  upload?: () => Response;
  /** Where a server of its own has the images, asked over the network. */
  imagesUrl?: string;
}

const image = () => new Response(IMAGE, { headers: { "content-type": "image/png" } });

/** Copies logos in a project in a function; tells every request but that of the missing files. */
async function copy(project: Project, rows: Record<string, Row>, signal?: AbortSignal) {
  const requests: string[] = [];
  const uploads: { name: string; type: string | null; upsert: string | null; size: number }[] = [];
  const fetchIt = async (input: RequestInfo | URL, init?: RequestInit): Promise<Response> => {
    const request = new Request(input, init);
    const url = new URL(request.url);
    if (url.pathname === "/rest/v1/rpc/take_missing_files_v2") {
      const body = await request.json();
      assert.equal(body.p_bucket, "profile-images");
      assert.equal(body.p_most, 20);
      return project.missing === undefined
        ? Response.json({ code: "PGRST202", message: "no such function" }, { status: 404 })
        : Response.json(project.missing);
    }
    requests.push(`${request.method} ${url.host}${url.pathname}`);
    if (project.imagesUrl !== undefined && url.host !== "project.test") return await fetch(request);
    if (url.host !== "project.test") return await (project.image ?? image)();
    const name = url.pathname.split("/").at(-1) ?? "";
    if (request.method === "HEAD") {
      return new Response(null, { status: project.stored?.includes(name) ? 200 : 400 });
    }
    uploads.push({
      name,
      type: request.headers.get("content-type"),
      upsert: request.headers.get("x-upsert"),
      size: (await request.arrayBuffer()).byteLength,
    });
    return project.upload?.() ?? Response.json({ Key: name, Id: crypto.randomUUID() });
  };
  const warnings = await copyMissingLogos(
    new Map(Object.entries(rows).map(([symbol, row]) => [symbol, [row]])),
    {
      fetch: fetchIt,
      signal: signal ?? new AbortController().signal,
      ...(project.imagesUrl === undefined ? {} : { imagesUrl: project.imagesUrl }),
      database: createClient("http://project.test", "sb_secret_test", {
        auth: { persistSession: false, autoRefreshToken: false },
        global: { fetch: fetchIt },
      }),
    },
  );
  return { warnings, requests, uploads };
}

const profile = (symbol: string, changes: Row = {}): Row => ({
  symbol,
  image: `https://images.financialmodelingprep.com/symbol/${symbol}.png`,
  default_image: false,
  ...changes,
});

Deno.test("a logo whose file is missing is copied under the symbol's name, replacing nothing", async () => {
  const { uploads, requests, warnings } = await copy(
    { missing: ["AAPL.png"] },
    { AAPL: profile("AAPL"), MSFT: profile("MSFT") },
  );
  assert.deepEqual(uploads, [{ name: "AAPL.png", type: "image/png", upsert: "false", size: 4 }]);
  assert.equal(requests[0], "GET images.financialmodelingprep.com/symbol/AAPL.png");
  assert.equal(requests.length, 2, "MSFT has its file already");
  assert.deepEqual(warnings, []);
});

for (
  const [name, changes] of [
    ["the default image", { default_image: true }],
    ["not told to be another than the default image", { default_image: null }],
    ["no address", { image: null }],
    ["an address that is none", { image: "images.financialmodelingprep.com/AAPL.png" }],
    ["without https", { image: "http://images.financialmodelingprep.com/symbol/AAPL.png" }],
    ["of another host", { image: "https://169.254.169.254/latest/meta-data" }],
    ["of another port", { image: "https://images.financialmodelingprep.com:8443/symbol/AAPL.png" }],
    ["of a host that only begins like it", {
      image: "https://images.financialmodelingprep.com.evil.test/symbol/AAPL.png",
    }],
    ["with a user", { image: "https://x@images.financialmodelingprep.com/symbol/AAPL.png" }],
  ] as const
) {
  Deno.test(`an image that is ${name} is not asked for`, async () => {
    const { requests, uploads } = await copy(
      { missing: ["AAPL.png"] },
      { AAPL: profile("AAPL", changes) },
    );
    assert.deepEqual([requests, uploads], [[], []]);
  });
}

for (
  const [name, answer, problem] of [
    ["is not there", () => new Response("no", { status: 404 }), /answered 404 with text\/plain/],
    [
      "is a page",
      () => new Response("<html>", { headers: { "content-type": "text/html" } }),
      /200/,
    ],
    [
      "leads elsewhere",
      () => new Response(null, { status: 302, headers: { location: "http://127.0.0.1/" } }),
      /answered 302 with no type/,
    ],
    [
      "is too large",
      () => new Response(new Uint8Array(1_000_001), { headers: { "content-type": "image/png" } }),
      /more than 1000000 bytes/,
    ],
    ["cannot be had", () => Promise.reject(new TypeError("connection refused")), /refused/],
  ] as const
) {
  Deno.test(`an image that ${name} is a warning, and the next one is copied`, async () => {
    let isFirst = true;
    const { warnings, uploads } = await copy({
      missing: ["AAPL.png", "MSFT.png"],
      image: () => {
        if (!isFirst) return image();
        isFirst = false;
        return answer();
      },
    }, { AAPL: profile("AAPL"), MSFT: profile("MSFT") });
    assert.equal(warnings.length, 1);
    assert.match(warnings[0] ?? "", /The logo of "AAPL" was not copied: /);
    assert.match(warnings[0] ?? "", problem);
    assert.deepEqual(uploads.map(({ name }) => name), ["MSFT.png"]);
  });
}

Deno.test("a file that somebody else has put there is no problem, another refusal is a warning", async () => {
  const refusal = (statusCode: string, error: string, message: string) => () =>
    Response.json({ statusCode, error, message }, { status: 400 });
  const duplicate = await copy({
    missing: ["AAPL.png"],
    upload: refusal("409", "Duplicate", "The resource already exists"),
  }, { AAPL: profile("AAPL") });
  assert.deepEqual(duplicate.warnings, []);
  const noBucket = await copy({
    missing: ["AAPL.png"],
    upload: refusal("404", "Bucket not found", "Bucket not found"),
  }, { AAPL: profile("AAPL") });
  assert.deepEqual(noBucket.warnings, ['The logo of "AAPL" was not copied: Bucket not found']);
});

Deno.test("without Switchyard the bucket is asked for each file", async () => {
  const { requests, uploads } = await copy(
    { stored: ["AAPL.png"] },
    { AAPL: profile("AAPL"), MSFT: profile("MSFT") },
  );
  assert.deepEqual(requests.filter((request) => request.startsWith("HEAD")), [
    "HEAD project.test/storage/v1/object/profile-images/AAPL.png",
    "HEAD project.test/storage/v1/object/profile-images/MSFT.png",
  ]);
  assert.deepEqual(uploads.map(({ name }) => name), ["MSFT.png"]);
});

Deno.test("after an abort nothing more is copied", async () => {
  const { requests } = await copy(
    { missing: ["AAPL.png"] },
    { AAPL: profile("AAPL") },
    AbortSignal.abort(),
  );
  assert.deepEqual(requests, []);
});

/** A server for images, and what it is asked for. */
function serveImages(answer: (path: string) => Response) {
  const asked: string[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    const { pathname } = new URL(request.url);
    asked.push(pathname);
    return answer(pathname);
  });
  return { asked, url: `http://127.0.0.1:${server.addr.port}`, stop: () => server.shutdown() };
}

Deno.test("over the network, a redirect is not followed, wherever it leads", async () => {
  const inner = serveImages(image);
  const outer = serveImages((path) =>
    new Response(null, {
      status: path.includes("PERM") ? 308 : 302,
      headers: {
        "content-type": "image/png",
        location: path.includes("LOOP") ? path : `${inner.url}/symbol/SECRET.png`,
      },
    })
  );
  try {
    const symbols = ["AWAY", "LOOP", "PERM"];
    const { warnings, uploads } = await copy(
      { missing: symbols.map((symbol) => `${symbol}.png`), imagesUrl: outer.url },
      Object.fromEntries(symbols.map((symbol) => [symbol, profile(symbol)])),
    );
    assert.deepEqual(warnings.map((warning) => /answered \d+/.exec(warning)?.[0]), [
      "answered 302",
      "answered 302",
      "answered 308",
    ]);
    assert.deepEqual(outer.asked, symbols.map((symbol) => `/symbol/${symbol}.png`), "once each");
    assert.deepEqual([inner.asked, uploads], [[], []]);
  } finally {
    await outer.stop();
    await inner.stop();
  }
});

Deno.test("over the network, a body without end is left after a megabyte, and an image is copied", async () => {
  let sent = 0;
  const server = serveImages((path) =>
    path.includes("ENDLESS")
      ? new Response(
        new ReadableStream({
          pull(controller) {
            sent += 65_536;
            controller.enqueue(new Uint8Array(65_536));
          },
        }),
        { headers: { "content-type": "image/png" } },
      )
      : image()
  );
  try {
    const { warnings, uploads } = await copy(
      { missing: ["ENDLESS.png", "AAPL.png"], imagesUrl: server.url },
      { ENDLESS: profile("ENDLESS"), AAPL: profile("AAPL") },
    );
    assert.match(
      warnings.join(),
      /^The logo of "ENDLESS" was not copied: it has more than 1000000 bytes$/,
    );
    assert.ok(sent < 50_000_000, `${sent} bytes were sent`);
    assert.deepEqual(uploads.map(({ name, size }) => [name, size]), [["AAPL.png", 4]]);
  } finally {
    await server.stop();
  }
});
