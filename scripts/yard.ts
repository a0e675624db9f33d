/** `npm run yard -- <command>`: the command line. */
import { runYard } from "./yard/run.ts";

Deno.exit(await runYard(Deno.args));
