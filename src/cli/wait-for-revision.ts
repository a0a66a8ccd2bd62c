import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type {
  MissingNode,
  WaitForRevisionResponse,
} from "../gen/holdfast/admin/v1/config_service_pb.js";
import type { ControlPlaneClient } from "./client.ts";
import { EXIT, Failure, type ExitCode, type Io } from "./io.ts";
import { Progress } from "./progress.ts";
import { printable } from "./table.ts";

/** The control plane ends the wait itself; this long after it the call is given up. */
const GRACE_MS = 15_000;

/** How a wait came out. */
export interface Waited {
  readonly code: ExitCode;
  /** The last that the control plane said. */
  readonly last: WaitForRevisionResponse;
}

/** How long to wait, and for which nodes. */
export interface Patience {
  readonly timeoutMs: number;
  /** The part of the nodes that is enough: over 0, at most 1. Default: all. */
  readonly fraction?: number;
  /** Only nodes with these labels count. */
  readonly labels?: Readonly<Record<string, string>>;
}

/**
 * Waits until the nodes of the workspace serve a revision, so many refuse it or are kept before it that it cannot come to
 * that, or time is up. Tells a person on standard error
 * how far it is, and in the end which nodes are missing and why.
 */
export async function waitForRevision(
  io: Io,
  client: ControlPlaneClient,
  revision: bigint,
  { timeoutMs, fraction, labels = {} }: Patience,
): Promise<Waited> {
  const progress = new Progress(io.stderr);
  let last: WaitForRevisionResponse | undefined;
  try {
    const answers = client.config.waitForRevision(
      {
        workspace: client.workspace,
        revision,
        timeout: durationFromMs(timeoutMs),
        labels,
        ...(fraction === undefined ? {} : { fraction }),
      },
      { signal: io.stop, timeoutMs: timeoutMs + GRACE_MS },
    );
    for await (const answer of answers) {
      last = answer;
      if (isLast(answer)) break;
      progress.show(
        `revision ${answer.revision}: ${answer.serving} of ${answer.total} nodes serve it${needed(answer)}`,
      );
    }
  } finally {
    progress.clear();
  }
  if (last === undefined || !isLast(last))
    throw new Failure("the control plane ended the wait without a result");
  io.stderr.write(outcome(last, timeoutMs, Object.keys(labels).length > 0));
  return { code: last.done ? EXIT.done : EXIT.notConverged, last };
}

function isLast(answer: WaitForRevisionResponse): boolean {
  return answer.done || answer.refused || answer.heldBack || answer.timedOut;
}

/** How many are enough, where that is not all. */
function needed({ needed: enough, total }: WaitForRevisionResponse): string {
  // 0: an older control plane, which knows of no part.
  return enough === total || enough === 0 ? "" : ` (${enough} are enough)`;
}

function why(last: WaitForRevisionResponse, timeoutMs: number): string {
  if (last.refused)
    return last.heldBack
      ? "a node refuses it, and others are pinned or paused"
      : "a node refuses it";
  return last.heldBack
    ? "nodes are pinned or paused before it"
    : `time is up after ${timeoutMs / 1000} s`;
}

function outcome(
  last: WaitForRevisionResponse,
  timeoutMs: number,
  isPicky: boolean,
): string {
  const { revision, serving, total } = last;
  if (last.done) {
    if (total === 0)
      return `revision ${revision}: no node ${isPicky ? "with these labels " : ""}is connected, so there is nothing to wait for\n`;
    if (serving < total)
      return `revision ${revision} is served by ${serving} of ${total} nodes, which is enough\n`;
    return `revision ${revision} is served by ${total === 1 ? "the one node" : `all ${total} nodes`}\n`;
  }
  return [
    `revision ${revision} is served by ${serving} of ${total} nodes${needed(last)}, ${why(last, timeoutMs)}. It stays committed. Missing:`,
    ...last.missing.map((node) => `  ${missing(node)}`),
    "",
  ].join("\n");
}

function missing({ id, hostname, serving, reason }: MissingNode): string {
  const has =
    serving === undefined
      ? "serves nothing"
      : `serves revision ${serving.revision}`;
  const why = reason === "" ? "" : `: ${reason}`;
  return printable(`${id} (${hostname}) ${has}${why}`);
}
