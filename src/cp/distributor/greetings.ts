import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import {
  ConnectResponseSchema,
  GoodbyeReason,
  type ConnectResponse,
} from "../../gen/holdfast/sync/v1/sync_pb.js";
import { LIMITS } from "../../sync/limits.ts";
import type { SessionEffect } from "../../sync/session/state.ts";

/** The first message of a stream. */
export function welcomeOf({
  session,
  build,
  head,
  missing,
}: Pick<Extract<SessionEffect, { type: "welcome" }>, "missing"> & {
  readonly session: string;
  readonly build: string;
  readonly head: Cursor;
}): ConnectResponse {
  return create(ConnectResponseSchema, {
    message: {
      case: "welcome",
      value: {
        session,
        cp: build,
        head,
        heartbeat: durationFromMs(LIMITS.heartbeatMs),
        retry: {
          min: durationFromMs(LIMITS.backoffMinMs),
          max: durationFromMs(LIMITS.backoffMaxMs),
          resetAfter: durationFromMs(LIMITS.backoffResetMs),
        },
        missing: [...missing],
      },
    },
  });
}

/**
 * The last message of a stream.
 *
 * @param alternatives Other control planes that the node may go to.
 */
export function goodbyeOf(
  {
    reason,
    message,
    retryAfterMs,
  }: Extract<SessionEffect, { type: "goodbye" }>,
  alternatives: readonly string[],
): ConnectResponse {
  return create(ConnectResponseSchema, {
    message: {
      case: "goodbye",
      value: {
        reason,
        message,
        // Whoever is at fault itself would be that elsewhere too.
        alternatives: isOurs(reason) ? [...alternatives] : [],
        ...(retryAfterMs === undefined
          ? {}
          : { retryAfter: durationFromMs(retryAfterMs) }),
      },
    },
  });
}

/** Whether it is because of this control plane, and not of the node, that it has to go. */
function isOurs(reason: GoodbyeReason): boolean {
  return reason === GoodbyeReason.DRAIN || reason === GoodbyeReason.OVERLOAD;
}
