import assert from "node:assert/strict";
import { mkdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const FIXTURES = join(ROOT, "tests", "fixtures", "fmp");

const KEYS = [
  "file",
  "endpoint",
  "label",
  "dataType",
  "outcome",
  "error",
  "reason",
  "jobs",
  "rowsWritten",
  "columnsLeftNull",
  "warnings",
  "warningsLeftOut",
  "replayedWith",
];

interface Report {
  file: string;
  endpoint: string;
  label: string | null;
  dataType: string | null;
  outcome: string;
  error: { class: string; code: string; message: string } | null;
  reason: string | null;
  jobs: number;
  rowsWritten: number;
  columnsLeftNull: string[];
  warnings: string[];
  warningsLeftOut: number;
  replayedWith: string[];
}

async function replay(
  args: string[],
  cwd = ROOT,
): Promise<{ code: number; stdout: string; stderr: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", join(ROOT, "scripts", "replay.ts"), ...args],
    cwd,
    env: { NO_COLOR: "1", INIT_CWD: cwd },
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** Replays files with --json and gives the reports by file, after a check of their shape. */
async function reportsOf(
  files: Record<string, string | Uint8Array>,
  more: (folder: string) => Promise<void> = () => Promise.resolve(),
): Promise<{ code: number; of: (file: string) => Report }> {
  const folder = await Deno.makeTempDir();
  try {
    for (const [name, content] of Object.entries(files)) {
      const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
      await Deno.writeFile(join(folder, name), bytes);
    }
    await more(folder);
    const { code, stdout, stderr } = await replay([folder, "--json"]);
    assert.equal(stderr, "");
    const reports = JSON.parse(stdout) as Report[];
    for (const report of reports) assert.deepEqual(Object.keys(report), KEYS);
    const byFile = new Map(reports.map((report) => [report.file, report]));
    return {
      code,
      of(file) {
        const report = byFile.get(file);
        assert.ok(report, file);
        return report;
      },
    };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function fixture(name: string): Promise<Record<string, unknown>[]> {
  return JSON.parse(await Deno.readTextFile(join(FIXTURES, name)));
}

/** Outcome with class and code: `failed retryable not_json`. */
function outcomeOf({ outcome, error }: Report): string {
  return error === null ? outcome : `${outcome} ${error.class} ${error.code}`;
}

Deno.test("npm run replay prints a table of the project's fixtures, what is left null and one line of sums", async () => {
  const { code, stdout, stderr } = await replay([FIXTURES]);
  assert.equal(code, 0, stderr);
  assert.equal(stderr, "");
  assert.match(stdout, /^file +data type +outcome +rows +left null +warnings$/m);
  assert.match(stdout, /^batch-quote\.json +quote +completed +\d+ +0 +0$/m);
  assert.match(stdout, /^error-bodies\.json +none +skipped +0 +0 +0$/m);
  assert.match(stdout, /^income-statement\.json +financial-statements +completed +\d+ +0 +0$/m);
  assert.match(stdout, /^quote-forex\.json\n {2}left null: market_cap$/m);
  assert.match(stdout, /^forex-list\.json\n {2}skipped: no data type uses this endpoint$/m);
  assert.match(stdout, /^batch-forex-quotes\.json\n {2}warning: .*no times/m);
  assert.match(
    stdout,
    /\n\d+ files: \d+ completed, 0 empty, 0 failed, \d+ skipped, 0 unprocessed; \d+ rows written\n$/,
  );
});

Deno.test("good recordings are completed, whatever their labels, and pages and statements are joined", async () => {
  const [quote] = await fixture("quote.json");
  const [income] = await fixture("income-statement.json");
  const [forex] = await fixture("quote-forex.json");
  const hours = await fixture("all-exchange-market-hours.json");
  const holidays = (await fixture("holidays-by-exchange.json")).map((day) => ({
    ...day,
    exchange: hours[0]!["exchange"],
  }));
  const quoteOf = (symbol: string) => ({ ...quote, symbol });
  const page = (first: string) =>
    ["1", "2", "3"].map((nth) => ({
      symbol: `${first}${nth}`,
      date: "2026-06-06 09:23:35",
      freeFloat: 50,
      floatShares: 1,
      outstandingShares: 2,
    }));
  const thousands = Array.from({ length: 1_200 }, (_, nth) => quoteOf(`S${nth}`));
  const { code, of } = await reportsOf({
    "quote__%5EGSPC.json": JSON.stringify([quoteOf("^GSPC")]),
    "quote__^DJI.json": JSON.stringify([quoteOf("^DJI")]),
    "quote__BRK.B.json": JSON.stringify([quoteOf("BRK.B")]),
    "quote__recorded-on-monday.json": JSON.stringify([quoteOf("MSFT")]),
    "quote__AAPL.json": JSON.stringify([quoteOf("NVDA")]),
    "quote__nobody.json": "[]",
    "batch-quote__thousands.json": JSON.stringify(thousands),
    "batch-exchange-quote__NASDAQ.json": JSON.stringify([
      ...thousands,
      { ...quoteOf("DORMANT"), price: null },
    ]),
    "income-statement__AAPL.json": JSON.stringify([{ ...income, symbol: "AAPL" }]),
    "cash-flow-statement__AAPL.json": "[]",
    "shares-float-all__page-0.json": JSON.stringify(page("A")),
    "shares-float-all__page-1.json": JSON.stringify(page("B")),
    "all-exchange-market-hours.json": JSON.stringify(hours),
    "holidays-by-exchange__recorded.json": JSON.stringify(holidays),
    "batch-forex-quotes__long.json": JSON.stringify([
      { ...forex, symbol: "EURUSD", timestamp: 1_761_350_400 },
      { ...forex, symbol: "USDJPY", timestamp: 1_761_350_400 - 30 * 86_400 },
    ]),
    "latest-USD.json": await Deno.readTextFile(
      join(FIXTURES, "..", "exchangerate-api", "latest-usd.json"),
    ),
    "discounted-cash-flow__AAPL.json": "[]",
  });
  assert.equal(code, 0);
  for (const name of ["%5EGSPC", "^DJI", "BRK.B", "recorded-on-monday"]) {
    const report = of(`quote__${name}.json`);
    assert.deepEqual([outcomeOf(report), report.rowsWritten], ["completed", 1], name);
    assert.deepEqual([report.columnsLeftNull, report.warnings], [[], []], name);
  }
  assert.equal(of("quote__%5EGSPC.json").label, "^GSPC");
  assert.match(of("quote__AAPL.json").warnings.join(), /label "AAPL"; "NVDA" was taken/);
  assert.equal(outcomeOf(of("quote__nobody.json")), "empty");

  const batch = of("batch-quote__thousands.json");
  assert.deepEqual([batch.jobs, batch.rowsWritten, batch.warnings], [1_200, 1_200, []]);
  const exchange = of("batch-exchange-quote__NASDAQ.json");
  assert.deepEqual([outcomeOf(exchange), exchange.rowsWritten], ["completed", 1_200]);
  assert.match(exchange.warnings.join(), /skipped 1 of 1201 quotes/);

  const statement = of("income-statement__AAPL.json");
  assert.deepEqual([outcomeOf(statement), statement.rowsWritten], ["completed", 1]);
  assert.deepEqual(statement.columnsLeftNull, ["balance_sheet_payload", "cash_flow_payload"]);
  assert.deepEqual(statement.replayedWith, ["cash-flow-statement__AAPL.json"]);
  assert.match(statement.warnings.join(), /no recording of balance-sheet-statement for "AAPL"/);

  assert.equal(of("shares-float-all__page-0.json").rowsWritten, 6);
  assert.deepEqual(of("shares-float-all__page-0.json").warnings, []);
  assert.equal(of("all-exchange-market-hours.json").rowsWritten, hours.length);
  assert.equal(of("holidays-by-exchange__recorded.json").rowsWritten, 1);
  assert.ok(
    !of("holidays-by-exchange__recorded.json").columnsLeftNull.includes("raw_holidays_json"),
  );
  // Judged as of the time of the recording, of which one pair is a month older.
  const pairs = of("batch-forex-quotes__long.json");
  assert.deepEqual([outcomeOf(pairs), pairs.rowsWritten], ["completed", 2]);
  assert.match(pairs.warnings.join(), /USDJPY/);
  assert.equal(outcomeOf(of("latest-USD.json")), "completed");
  assert.deepEqual(
    [of("discounted-cash-flow__AAPL.json").outcome, of("discounted-cash-flow__AAPL.json").reason],
    ["skipped", "no data type uses this endpoint"],
  );
});

Deno.test("bad recordings fail with class and code as in production, and the exit status is still 0", async () => {
  const [quote] = await fixture("quote.json");
  const [income] = await fixture("income-statement.json");
  const quoteOf = (symbol: string, changes = {}) => ({ ...quote, symbol, ...changes });
  const nested = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
  const cases: [name: string, content: string | Uint8Array, outcome: string][] = [
    ["quote__empty.json", "", "failed retryable not_json"],
    ["quote__words.json", "Restricted Endpoint", "failed retryable not_json"],
    ["quote__cut.json", JSON.stringify([quote]).slice(0, 60), "failed retryable truncated_json"],
    ["profile__page.json", "<html>\x1b[31m502</html>", "failed retryable not_json"],
    ["profile__bytes.json", new Uint8Array([0, 255, 254, 0, 7]), "failed retryable not_json"],
    ["profile__null.json", "null", "failed retryable schema_mismatch"],
    ["profile__types.json", '[{"symbol": 5}, 7]', "failed retryable schema_mismatch"],
    ["dividends__A.json", '{"Error Message": "Limit Reach"}', "failed rate_limited limit_reach"],
    ["dividends__B.json", '{"Error Message": "Invalid API KEY"}', "failed auth invalid_key"],
    ["ratios-ttm__odd.json", '{"Error Message": "x"}', "failed retryable error_message"],
    ["quote__deep.json", nested, "failed retryable nested_too_deep"],
    [
      "quote__http-402.json",
      "Restricted Endpoint: not in your plan",
      "failed permanent plan_endpoint",
    ],
    [
      "quote__AAPL-http-429.json",
      '{"Error Message":"Limit Reach ."}',
      "failed rate_limited http_429",
    ],
    ["quote__GONE.http-404.json", "[]", "failed permanent http_404"],
    ["quote__EMPTY-http-204.json", "", "failed retryable not_json"],
    ["profile__LEGACY.json", '{"Error Message":"Legacy Endpoint"}', "failed auth http_403"],
    ["profile__ODD-http-999.json", "[]", "empty"],
    ["profile__PIPE.json", "[]", "empty"],
    [
      "income-statement__PART.json",
      "Premium Query Parameter: 'x'",
      "failed permanent plan_parameter",
    ],
    [
      "batch-quote__THREE-http-402.json",
      "Restricted Endpoint: not in your plan",
      "failed permanent plan_endpoint",
    ],
    [
      "income-statement__deep.json",
      JSON.stringify([{ ...income, extra: "@" }]).replace('"@"', nested),
      "failed retryable nested_too_deep",
    ],
    [
      "shares-float__nul.json",
      '[{"symbol":"A\\u0000","date":"2026-06-06 09:23:35","freeFloat":1,"floatShares":1,"outstandingShares":1}]',
      "failed permanent symbol_mismatch",
    ],
    [
      "available-exchanges__nul.json",
      '[{"exchange":"A\\u0000B","name":"\\ud800","countryName":"","countryCode":"US","symbolSuffix":"N/A","delay":null}]',
      "completed",
    ],
    [
      "quote__large.json",
      JSON.stringify([quoteOf("A", { volume: 1e300 })]),
      "failed retryable schema_mismatch",
    ],
    ["quote__twice.json", JSON.stringify([quote, quote]), "completed"],
    [
      "batch-quote__one-bad.json",
      JSON.stringify([quoteOf("A"), quoteOf("B", { price: "1" }), quoteOf("C"), quoteOf("D E")]),
      "failed retryable schema_mismatch",
    ],
    ["batch-quote__odd-row.json", JSON.stringify([quoteOf("A"), 5, quoteOf("B")]), "failed"],
    [`quote__${"n".repeat(200)}.json`, "[]", "empty"],
    ["quote__ \x1b[31m$(x)'\"\n.json", "[]", "empty"],
    ["quote__.json", "[]", "empty"],
    [".json", "[]", "skipped"],
    ["__.json", "[]", "skipped"],
    ["no-such-endpoint__AAPL.json", "x", "skipped"],
    ["quote-short__AAPL.json", "[]", "skipped"],
    ["holidays-by-exchange__NYSE.json", "[]", "skipped"],
  ];
  const { code, of } = await reportsOf(
    Object.fromEntries(cases.map(([name, content]) => [name, content])),
    async (folder) => {
      await Deno.writeTextFile(join(folder, "profile__LEGACY.status"), "403\n");
      await Deno.writeTextFile(join(folder, "income-statement__PART.status"), "402");
      await mkdir(join(folder, "profile__PIPE.status"));
    },
  );
  for (const [name, , outcome] of cases) {
    const found = outcomeOf(of(name));
    assert.ok(outcome === "failed" ? found.startsWith(outcome) : found === outcome, name + found);
  }
  assert.equal(code, 0);
  assert.deepEqual(
    [of("quote__AAPL-http-429.json").label, of("quote__http-402.json").label],
    ["AAPL", ""],
  );
  assert.match(
    of("profile__ODD-http-999.json").warnings.join(),
    /the status of the label is "999"; wanted a number from 200 to 599; served with 200/,
  );
  assert.match(of("profile__PIPE.json").warnings.join(), /profile__PIPE.status is "no small file"/);
  assert.match(of("batch-quote__one-bad.json").error!.message, /"B".*"price"/);
  assert.equal(of("batch-quote__one-bad.json").rowsWritten, 2);
  assert.match(of("batch-quote__one-bad.json").warnings.join(), /1 of 3 symbols failed/);
  assert.equal(of("batch-quote__odd-row.json").rowsWritten, 1);
  assert.match(of("quote__twice.json").warnings.join(), /more than one row/);
  assert.match(of("quote-short__AAPL.json").reason!, /record quote or batch-quote/);
});

Deno.test("what cannot be read or takes all memory is named, the rest is processed, and the exit status is 1", async () => {
  const [quote] = await fixture("quote.json");
  const { code, of } = await reportsOf({
    "quote__AAPL.json": JSON.stringify([{ ...quote, symbol: "AAPL" }]),
    "profile__blank.json": " ".repeat(50_000_000),
    "quote__zeros.json": `[${"0,".repeat(25_000_000)}0]`,
    "quote__objects.json": `[${"{},".repeat(17_000_000)}{}]`,
  }, async (folder) => {
    await mkdir(join(folder, "folder.json"));
    await symlink("loop.json", join(folder, "loop.json"));
    await symlink("nowhere", join(folder, "quote__gone.json"));
    await symlink("/dev/zero", join(folder, "quote__endless.json"));
    await symlink("quote__AAPL.json", join(folder, "quote__link.json"));
    await Deno.writeTextFile(join(folder, "notes.txt"), "none of ours");
    await Deno.writeTextFile(join(folder, "quote__sparse.json"), "");
    await Deno.truncate(join(folder, "quote__sparse.json"), 3_000_000_000);
  });
  assert.equal(code, 1);
  for (
    const [file, reason] of [
      ["folder.json", /it is a folder/],
      ["loop.json", /ELOOP|symbolic link/],
      ["quote__gone.json", /ENOENT|no such file/],
      ["quote__endless.json", /pipe, socket or device/],
      ["quote__sparse.json", /3000000000 bytes/],
      ["quote__objects.json", /memory/],
    ] as const
  ) {
    assert.equal(of(file).outcome, "unprocessed", file);
    assert.match(of(file).reason!, reason);
  }
  assert.equal(outcomeOf(of("profile__blank.json")), "failed permanent answer_too_large");
  assert.equal(outcomeOf(of("quote__zeros.json")), "failed permanent answer_too_large");
  assert.equal(outcomeOf(of("quote__AAPL.json")), "completed");
  assert.equal(outcomeOf(of("quote__link.json")), "completed");
});

Deno.test("npm run replay says what is wrong with its arguments and exits 2", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(join(folder, "notes.txt"), "");
    for (
      const [args, message] of [
        [[], /found 0 folders, wanted one/],
        [["a", "b"], /found 2 folders, wanted one/],
        [["no-such-folder"], /Cannot read the folder "no-such-folder"/],
        [["notes.txt"], /Cannot read the folder "notes.txt"/],
        [["."], /found no files called \*\.json/],
        [[".", "--jsn"], /--jsn/],
      ] as [string[], RegExp][]
    ) {
      const { code, stdout, stderr } = await replay(args, folder);
      assert.deepEqual([code, stdout], [2, ""], args.join(" "));
      assert.match(stderr, message);
      assert.match(stderr, /Usage: npm run replay/);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
