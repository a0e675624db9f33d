import { startStack } from "./local/stack.ts";
import { formatPgtapReport, runPgtap } from "./local/pgtap.ts";
const stack = await startStack({ cron: false, net: false });
try { console.log(formatPgtapReport(await runPgtap(stack.databaseUrl, Deno.args[0]!))); } finally { await stack.stop(); }
