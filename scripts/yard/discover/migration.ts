import type { Discovery, Guess, Proposal } from "./proposal.ts";

/** The migration that registers what was discovered. Rows of low confidence are comments. */
export function discoveryMigration(discovery: Discovery): string {
  const sure = inOrder(discovery.proposals.filter(({ confidence }) => confidence !== "low"));
  const doubtful = discovery.proposals.filter(({ confidence }) => confidence === "low");
  const lines = [
    "-- Registers the data types that cron jobs refresh now, all in stage legacy: nothing moves.",
    "-- Guessed by npm run yard -- discover; read each row before it is pushed.",
    "",
    ...providerLines(sure, discovery.suffix),
    ...knownSymbolsLines(discovery),
    ...sure.flatMap((proposal) => rowLines(proposal, discovery.suffix)),
    ...(doubtful.length === 0 ? [] : [
      "-- Guesses of low confidence: correct them, then take the dashes away.",
      "",
      ...[
        ...providersOnlyOf(doubtful, sure, discovery.suffix),
        ...doubtful.flatMap((proposal) => rowLines(proposal, discovery.suffix)),
      ].map((line) => line === "" ? "" : `-- ${line}`),
    ]),
    ...(discovery.unproposed.length === 0 ? [] : [
      "-- Not registered:",
      ...discovery.unproposed.map(({ functionName, jobs, reason }) =>
        `--   ${functionName ?? "unknown function"} (${jobs.map(oneLine).join(", ")}): ${reason}`
      ),
    ]),
  ];
  return `${lines.join("\n").trimEnd()}\n`;
}

/** Parents before those that depend on them. */
function inOrder(proposals: readonly Proposal[]): Proposal[] {
  const ordered: Proposal[] = [];
  const place = (proposal: Proposal, above: readonly Proposal[]) => {
    if (ordered.includes(proposal) || above.includes(proposal)) return;
    const parent = proposals.find(({ dataType }) => dataType === proposal.dependsOn);
    if (parent !== undefined) place(parent, [...above, proposal]);
    ordered.push(proposal);
  };
  for (const proposal of proposals) place(proposal, []);
  return ordered;
}

function providerLines(proposals: readonly Proposal[], suffix: Discovery["suffix"]): string[] {
  const names = [...new Set(proposals.map(({ provider }) => provider.value))];
  if (names.length === 0) return [];
  return [
    "-- The limits are unknown, and an unknown limit refuses every claim. State those of your plans:",
    `--   update api_providers${suffix} set calls_per_minute = …, bytes_per_30_days = … where provider = …;`,
    `insert into public.api_providers${suffix} (provider) values`,
    `  ${names.map((name) => `(${literal(name)})`).join(", ")}`,
    "on conflict (provider) do nothing;",
    "",
  ];
}

function providersOnlyOf(
  doubtful: readonly Proposal[],
  sure: readonly Proposal[],
  suffix: Discovery["suffix"],
): string[] {
  const known = new Set(sure.map(({ provider }) => provider.value));
  const names = [...new Set(doubtful.map(({ provider }) => provider.value))]
    .filter((name) => !known.has(name));
  return names.flatMap((name) => [
    `insert into public.api_providers${suffix} (provider) values (${
      literal(name)
    }) on conflict do nothing;`,
    "",
  ]);
}

function knownSymbolsLines({ knownSymbols, symbolNotes }: Discovery): string[] {
  if (knownSymbols === undefined) return [];
  const set = (name: string, value: string | null) =>
    `update switchyard.settings set value = ${
      literal(JSON.stringify(value))
    } where name = '${name}';`;
  if (knownSymbols === null) {
    return [
      ...symbolNotes.map((note) => `-- ${oneLine(note)}.`),
      set("known_symbols_table", null),
      "",
    ];
  }
  const { table, column, activeColumn, reasons } = knownSymbols;
  return [
    `-- The symbols are listed in ${table}: ${reasons.join("; ")}.`,
    set("known_symbols_table", table),
    set("known_symbols_column", column),
    set("known_symbols_active_column", activeColumn),
    "",
  ];
}

function rowLines(proposal: Proposal, suffix: Discovery["suffix"]): string[] {
  const {
    dataType,
    table,
    symbolColumn,
    timestampColumn,
    conflictColumns,
    ttlMinutes,
    strategy,
    provider,
    functionName,
    estimatedBytes,
    dependsOn,
    legacyCronJobs,
    notes,
  } = proposal;
  const columns: [name: string, value: string][] = [
    ["data_type", literal(dataType)],
    ["table_name", literal(table.value)],
    ["symbol_column", orNull(symbolColumn.value)],
    ["timestamp_column", literal(timestampColumn.value)],
    ["conflict_columns", array(conflictColumns.value)],
    ["default_ttl_minutes", String(ttlMinutes.value)],
    ["refresh_strategy", literal(strategy)],
    ["provider", literal(provider.value)],
    ["fetcher", "'edge-function'"],
    ["edge_function_name", literal(functionName)],
    ["estimated_data_size_bytes", String(estimatedBytes)],
    ["depends_on", orNull(dependsOn)],
    ["legacy_cron_jobs", array(legacyCronJobs)],
  ];
  return [
    `-- ${dataType}: ${proposal.confidence} confidence`,
    ...[
      reasonLine("table", table),
      reasonLine("symbol column", symbolColumn),
      reasonLine("timestamp column", timestampColumn),
      reasonLine("conflict columns", conflictColumns),
      ...notes,
    ].map((line) => `--   ${oneLine(line)}`),
    `insert into public.data_type_registry${suffix} (${columns.map(([name]) => name).join(", ")})`,
    `values (${columns.map(([, value]) => value).join(", ")})`,
    "on conflict (data_type) do nothing;",
    "",
  ];
}

/** `table profiles (high): both names have "profile"; or user_profiles`. */
export function reasonLine(what: string, guess: Guess<unknown>): string {
  const { value, confidence, reasons, alternatives } = guess;
  const said = value === null ? "none" : Array.isArray(value) ? value.join(", ") : String(value);
  const others = alternatives.length === 0 ? "" : `; or ${alternatives.join(" or ")}`;
  return `${what} ${said} (${confidence}): ${reasons.join("; ")}${others}`;
}

function orNull(value: string | null): string {
  return value === null ? "null" : literal(value);
}

function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

function array(values: readonly string[]): string {
  return values.length === 0 ? "'{}'::text[]" : `array[${values.map(literal).join(", ")}]`;
}

/** Names of jobs may hold anything; a comment ends with its line. */
function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, " ");
}
