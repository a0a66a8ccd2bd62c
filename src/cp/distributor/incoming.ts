import { createValidator, type Validator } from "@bufbuild/protovalidate";
import {
  ConnectRequestSchema,
  type ConnectRequest,
  type Report,
} from "../../gen/holdfast/sync/v1/sync_pb.js";
import { flawOfCursor, flawOfDigests } from "../../sync/form.ts";

let validator: Validator | undefined;

/**
 * What is wrong with the form of a node's message. What comes with every change is checked by hand; a test holds that
 * against the rules of sync.proto.
 */
export function flawOf(request: ConnectRequest): string | undefined {
  const { message } = request;
  switch (message.case) {
    case "ack": {
      const { cursor } = message.value;
      return cursor === undefined
        ? "ack.cursor: value is required"
        : flawOfCursor("ack.cursor", cursor);
    }
    case "report":
      return isPlain(message.value)
        ? flawOfCursor("report.serving", message.value.serving)
        : byRules(request);
    case "bucketRequest":
      return message.value.buckets.length === 0
        ? "bucket_request.buckets: names none"
        : flawOfDigests(message.value.buckets);
    case "snapshotRequest":
      return undefined;
    case undefined:
      // Of a newer node: what matters to both is announced in Hello's features.
      return isOfNewerNode(request) ? undefined : byRules(request);
    case "hello":
    case "nack":
      return byRules(request);
    default:
      message satisfies never;
      return undefined;
  }
}

/** Whether there is something in a message, though nothing that this build knows. */
function isOfNewerNode({ $unknown }: ConnectRequest): boolean {
  return $unknown !== undefined && $unknown.length > 0;
}

/** Whether a report is no more than a sign of life. */
export function isPlain(report: Report): boolean {
  const { progress, counters, targets, targetCount } = report;
  return (
    progress === undefined &&
    counters.length === 0 &&
    targets.length === 0 &&
    targetCount === undefined
  );
}

function byRules(request: ConnectRequest): string | undefined {
  validator ??= createValidator();
  const result = validator.validate(ConnectRequestSchema, request);
  return result.kind === "valid" ? undefined : result.error.message;
}
