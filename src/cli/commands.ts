import type { Command } from "./command.ts";
import { adopt } from "./commands/adopt.ts";
import { apply } from "./commands/apply.ts";
import { audit } from "./commands/audit.ts";
import { cert } from "./commands/cert.ts";
import { cp } from "./commands/cp.ts";
import { deleteCommand } from "./commands/delete.ts";
import { diff } from "./commands/diff.ts";
import { dp } from "./commands/dp.ts";
import { dpExplain } from "./commands/dp-explain.ts";
import { dump } from "./commands/dump.ts";
import { echo } from "./commands/echo.ts";
import { exportSnapshot } from "./commands/export-snapshot.ts";
import { get } from "./commands/get.ts";
import { history } from "./commands/history.ts";
import { lint } from "./commands/lint.ts";
import { nodes } from "./commands/nodes.ts";
import { pause, resume } from "./commands/pause.ts";
import { nodesPin, nodesUnpin } from "./commands/pin.ts";
import { restore } from "./commands/restore.ts";
import { rollback } from "./commands/rollback.ts";
import { token } from "./commands/token.ts";
import { up } from "./commands/up.ts";
import { upstreams } from "./commands/upstreams.ts";
import { validate } from "./commands/validate.ts";
import { wait } from "./commands/wait.ts";
import { watch } from "./commands/watch.ts";
import { workspace } from "./commands/workspace.ts";

/** Every command, in the order of the help. */
export const COMMANDS: readonly Command[] = [
  up,
  cp,
  dp,
  dpExplain,
  apply,
  diff,
  validate,
  lint,
  dump,
  get,
  deleteCommand,
  history,
  rollback,
  nodes,
  nodesPin,
  nodesUnpin,
  pause,
  resume,
  upstreams,
  workspace,
  adopt,
  watch,
  wait,
  exportSnapshot,
  restore,
  token,
  audit,
  cert,
  echo,
];
