import type { MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import {
  ResourceChangeSchema,
  type WatchRequest,
  type WatchResponseSchema,
} from "../../gen/holdfast/admin/v1/config_service_pb.js";
import { ConfigError } from "../../model/violation.ts";
import { describeChange, describeRecord } from "../catalog/history.ts";
import type { RevisionRecord } from "../store/store.ts";
import { mapped, revisionOf } from "./answers.ts";
import { resourceChangeOf } from "./change-answers.ts";
import type { AdminDeps } from "./deps.ts";
import { followed } from "./follow.ts";
import { ANSWER_BYTES, Room } from "./room.ts";
import { showing, type Show } from "./secrets.ts";

/** After this long without a revision the head is told. */
const HEARTBEAT_MS = 10_000;

/** What the list of changes in a revision's own description may take of a message. */
const REVISION_BYTES = 512 << 10;

type WatchEvent = MessageInitShape<typeof WatchResponseSchema>;

/**
 * Streams revisions as they are committed, each once, in order. They are read from the store when the client is ready for
 * them; nothing is queued for one that reads slowly.
 */
export async function* watch(
  { catalog, clock }: AdminDeps,
  request: WatchRequest,
  call: HandlerContext,
): AsyncGenerator<WatchEvent> {
  const { epoch, revision: newest } = catalog.head.cursor;
  let told = request.afterRevision ?? newest;
  if (
    request.epoch !== "" &&
    request.epoch !== epoch &&
    !(await catalog.passed(request.epoch, told))
  )
    throw outOfRange(
      "epoch",
      `revision ${request.afterRevision ?? 0n} is of another history: this one has epoch ${epoch}. Read everything again, with Export`,
    );
  if (told > newest)
    throw outOfRange(
      "after_revision",
      `there is no revision ${told} yet: the newest is ${newest}`,
    );
  const show = showing(request);
  let toldEpoch = epoch;
  // Before the first answer, so that no commit can fall in between.
  const bell = followed(call.signal, (ring) => catalog.onCommit(ring));
  await kept(told);
  yield heartbeat();
  for (;;) {
    const { revision } = catalog.head.cursor;
    while (told < revision) {
      // Each read for itself: what is open while a client reads slowly may stay open when it leaves.
      const record = await catalog.record(told + 1n);
      if (record === undefined) throw await gone(told + 1n);
      for await (const event of eventsOf(record, call, show)) {
        call.signal.throwIfAborted();
        yield event;
      }
      told = record.cursor.revision;
    }
    const rung = await bell.wait(call.signal, clock, HEARTBEAT_MS);
    // A new epoch comes without a revision.
    if (rung === "timeout" || catalog.head.cursor.epoch !== toldEpoch)
      yield heartbeat();
  }

  function heartbeat(): WatchEvent {
    const { cursor } = catalog.head;
    toldEpoch = cursor.epoch;
    return { event: { case: "heartbeat", value: cursor } };
  }

  /** Refuses at once what would only be refused after the first answer. */
  async function kept(after: bigint): Promise<void> {
    if (after >= newest) return;
    if ((await catalog.record(after + 1n)) === undefined)
      throw await gone(after + 1n);
  }

  async function gone(revision: bigint): Promise<ConfigError> {
    const oldest = await catalog.oldest();
    return outOfRange(
      "after_revision",
      `revision ${revision} is not kept any more: the oldest that is kept is revision ${oldest}. Read everything again, with Export, and watch from its revision on`,
    );
  }
}

/** The messages of one revision, made one at a time and in slices: its changes may be very many. */
async function* eventsOf(
  record: RevisionRecord,
  call: HandlerContext,
  show: Show,
): AsyncGenerator<WatchEvent, void, undefined> {
  const revision = await revisionOf(describeRecord(record), call);
  let left = record.changes;
  do {
    const room = new Room(call, ANSWER_BYTES - REVISION_BYTES);
    // The first always fits: a value is at most 256 KiB.
    const changes = await room.fitInTurns(
      ResourceChangeSchema,
      mapped(left, (change) =>
        resourceChangeOf(describeChange(change), show, { fields: false }),
      ),
    );
    left = left.slice(changes.length);
    yield {
      event: {
        case: "revision",
        value: { revision, changes, more: left.length > 0 },
      },
    };
  } while (left.length > 0);
}

function outOfRange(field: string, reason: string): ConfigError {
  return ConfigError.of("out_of_range", [
    { kind: "", name: "", field, reason },
  ]);
}
