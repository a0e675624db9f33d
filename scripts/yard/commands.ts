import { advance } from "./advance.ts";
import { baseline } from "./baseline.ts";
import type { Command } from "./command.ts";
import { discover } from "./discover.ts";
import { finalize } from "./finalize.ts";
import { install } from "./install.ts";
import { rollback } from "./rollback.ts";
import { status } from "./status.ts";
import { uninstall } from "./uninstall.ts";

/** All commands, in the order in which a migration meets them. */
export const COMMANDS: readonly Command[] = [
  discover,
  baseline,
  install,
  status,
  advance,
  rollback,
  finalize,
  uninstall,
];
