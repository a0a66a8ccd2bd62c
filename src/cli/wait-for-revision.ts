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

/**
 * Waits until all nodes of the workspace serve a revision, one refuses it, or time is up. Tells a person on standard error
 * how far it is, and in the end which nodes are missing and why.
 */
export async function waitForRevision(
  io: Io,
  client: ControlPlaneClient,
  revision: bigint,
  timeoutMs: number,
): Promise<Waited> {
  const progress = new Progress(io.stderr);
  let last: WaitForRevisionResponse | undefined;
  try {
    const answers = client.config.waitForRevision(
      {
        workspace: client.workspace,
        revision,
        timeout: durationFromMs(timeoutMs),
      },
      { signal: io.stop, timeoutMs: timeoutMs + GRACE_MS },
    );
    for await (const answer of answers) {
      last = answer;
      if (isLast(answer)) break;
      progress.show(
        `revision ${answer.revision}: ${answer.serving} of ${answer.total} nodes serve it`,
      );
    }
  } finally {
    progress.clear();
  }
  if (last === undefined || !isLast(last))
    throw new Failure("the control plane ended the wait without a result");
  io.stderr.write(outcome(last, timeoutMs));
  return { code: last.done ? EXIT.done : EXIT.notConverged, last };
}

function isLast(answer: WaitForRevisionResponse): boolean {
  return answer.done || answer.refused || answer.timedOut;
}

function outcome(last: WaitForRevisionResponse, timeoutMs: number): string {
  const { revision, serving, total } = last;
  if (last.done) {
    return total === 0
      ? `revision ${revision}: no node is connected, so there is nothing to wait for\n`
      : `revision ${revision} is served by ${total === 1 ? "the one node" : `all ${total} nodes`}\n`;
  }
  const why = last.refused
    ? "a node refuses it"
    : `time is up after ${timeoutMs / 1000} s`;
  return [
    `revision ${revision} is served by ${serving} of ${total} nodes, ${why}. It stays committed. Missing:`,
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
