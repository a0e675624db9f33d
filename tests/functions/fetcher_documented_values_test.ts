import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { type Fetcher, fetchers } from "../../supabase/functions/_shared/fetchers/index.ts";
import { DOCUMENTED, documentedRow, type VendorRow } from "./documented_columns.ts";
import { FOLDERS } from "./example_folders.ts";
import { fetchJson } from "./fetcher_support.ts";

for (const folder of FOLDERS) {
  for (const { dataType, file, key, columns } of DOCUMENTED) {
    const url = new URL(file, folder.url);
    Deno.test({
      name: `${folder.what}: each value of ${file} is in its column`,
      ignore: !existsSync(url),
      async fn() {
        const fetcher: Fetcher | undefined = fetchers[dataType];
        assert.ok(fetcher);
        const vendorRows: VendorRow[] = JSON.parse(await Deno.readTextFile(url))
          .filter((row: VendorRow) => dataType === "exchange-variants" || row.symbol === "AAPL");
        assert.ok(vendorRows.length >= 1);
        const outcome = await fetchJson(fetcher, "AAPL", vendorRows);
        const expected = vendorRows.map((row) => documentedRow(columns, row));
        const rows = outcome.rows.get("AAPL") ?? [];
        assert.equal(rows.length, expected.length);
        for (const wanted of expected) {
          const row = rows.find((row) => key.every((column) => row[column] === wanted[column]));
          assert.deepEqual(row, wanted);
        }
        assert.deepEqual(outcome.warnings, []);
      },
    });
  }
}
