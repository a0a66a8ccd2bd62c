import { create, toBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { durationMs, type Duration } from "@bufbuild/protobuf/wkt";
import type { HandlerContext } from "@connectrpc/connect";
import {
  MissingNodeSchema,
  WaitForRevisionResponseSchema,
  type WaitForRevisionRequest,
  type WaitForRevisionResponse,
} from "../../gen/holdfast/admin/v1/config_service_pb.js";
import type { AdminDeps } from "./deps.ts";
import { followed } from "./follow.ts";
import { knownRevision } from "./known-revision.ts";
import { RequestForm } from "./request-form.ts";
import { Room } from "./room.ts";

const DEFAULT_TIMEOUT_MS = 30_000;
const MAX_TIMEOUT_MS = 3_600_000;

/** Progress is told at most this often: a thousand nodes that catch up are not a thousand messages. */
const PROGRESS_MS = 200;

/** Looked again this often without an event: nodes stop counting by time alone. */
const LOOK_MS = 1_000;

/**
 * Streams how far the nodes are until all, or the part of them that is enough, serve a revision; or so many refuse it, or
 * are kept before it, that it cannot come to that; or time is up.
 */
export async function* waitForRevision(
  { catalog, nodes, clock }: AdminDeps,
  request: WaitForRevisionRequest,
  call: HandlerContext,
): AsyncGenerator<MessageInitShape<typeof WaitForRevisionResponseSchema>> {
  const { workspace } = catalog;
  const form = new RequestForm();
  const timeoutMs = timeoutOf(request.timeout, form);
  const { labels, fraction = 1 } = request;
  if (!(fraction > 0 && fraction <= 1))
    form.refuse("fraction", `must be over 0 and at most 1, got ${fraction}`);
  form.check();
  const head = catalog.head.cursor.revision;
  const revision = request.revision === 0n ? head : request.revision;
  knownRevision("revision", revision, head);

  const bell = followed(call.signal, (ring) => nodes.onChange(ring));
  const start = clock.monotonic();
  let told: Uint8Array | undefined;
  let toldAt = -Infinity;
  for (;;) {
    const now = clock.monotonic();
    const answer = look(now - start >= timeoutMs);
    const final =
      answer.done || answer.refused || answer.heldBack || answer.timedOut;
    const bytes = toBinary(WaitForRevisionResponseSchema, answer);
    const isNews = told === undefined || Buffer.compare(bytes, told) !== 0;
    if (final || (isNews && now - toldAt >= PROGRESS_MS)) {
      yield answer;
      if (final) return;
      told = bytes;
      toldAt = now;
    }
    const left = timeoutMs - (clock.monotonic() - start);
    const untilTold = isNews ? PROGRESS_MS : LOOK_MS;
    await bell.wait(call.signal, clock, Math.max(0, Math.min(left, untilTold)));
  }

  function look(isLate: boolean): WaitForRevisionResponse {
    const { serving, total, refusing, heldBack, missing } = nodes.waiting(
      workspace,
      revision,
      labels,
    );
    const needed = neededOf(fraction, total);
    const done = serving >= needed;
    // Of those that neither serve it nor ever will as things are.
    const hopeless = !done && total - refusing - heldBack < needed;
    return create(WaitForRevisionResponseSchema, {
      revision,
      done,
      serving,
      total,
      needed,
      missing: new Room(call).fit(MissingNodeSchema, missing),
      refused: hopeless && refusing > 0,
      heldBack: hopeless && heldBack > 0,
      timedOut: !done && !hopeless && isLate,
    });
  }
}

/**
 * How many of so many nodes a part of them is, in whole nodes: at least one where there is one. What only a double can be
 * off by is not a node more.
 */
function neededOf(fraction: number, total: number): number {
  return Math.min(total, Math.max(1, Math.ceil(fraction * total - 1e-9)));
}

function timeoutOf(timeout: Duration | undefined, form: RequestForm): number {
  if (timeout === undefined) return DEFAULT_TIMEOUT_MS;
  const ms = durationMs(timeout);
  if (!(ms >= 0 && ms <= MAX_TIMEOUT_MS))
    form.refuse("timeout", `must be from 0s to 3600s, got ${ms / 1000}s`);
  return ms;
}
