import { toBinary } from "@bufbuild/protobuf";
import {
  ApplyRequestSchema,
  type ApplyRequest,
  type ApplyResponse,
  type ApplyStreamResponse,
} from "../gen/holdfast/admin/v1/config_service_pb.js";
import type { ControlPlaneClient } from "./client.ts";
import type { ReadFiles } from "./declarative-files.ts";

/** Requests over this go in parts: no message over 4 MiB enters the control plane. */
const ONE_MESSAGE_BYTES = 3 * 1024 * 1024;
const PART_BYTES = 256 * 1024;

/** Applies files, in parts when they are large. Warnings and violations name places of the files as they are on disk. */
export async function sendApply(
  client: ControlPlaneClient,
  request: ApplyRequest,
  { original }: Pick<ReadFiles, "original"> = { original: (text) => text },
): Promise<ApplyResponse | ApplyStreamResponse> {
  const bytes = toBinary(ApplyRequestSchema, request);
  const answer =
    bytes.length <= ONE_MESSAGE_BYTES
      ? await client.config.apply(request, client.slowCall)
      : await client.config.applyStream(inParts(bytes), client.slowCall);
  for (const warning of answer.warnings)
    warning.position = original(warning.position);
  for (const violation of answer.violations)
    violation.reason = original(violation.reason);
  return answer;
}

async function* inParts(
  bytes: Uint8Array,
): AsyncGenerator<{ data: Uint8Array }> {
  for (let at = 0; at < bytes.length; at += PART_BYTES) {
    yield { data: bytes.subarray(at, at + PART_BYTES) };
  }
}
