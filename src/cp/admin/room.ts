import {
  toBinary,
  toJsonString,
  type DescMessage,
  type MessageShape,
} from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import { runSlices, type Slices } from "../../model/slices.ts";
import { driveSlices } from "../../runtime/slices.ts";

/** How much an answer holds of what may be much. The limit of a message is 4 MiB, with all around it. */
export const ANSWER_BYTES = 3 << 20;

/** Space in an answer, in bytes as its caller gets them: JSON takes more than the binary form. */
export class Room {
  readonly #json: boolean;
  #left: number;

  constructor(call: HandlerContext, bytes = ANSWER_BYTES) {
    this.#json = isJson(call);
    this.#left = bytes;
  }

  /** Takes the space that a message needs. False, taking none, when that is not left. */
  take<T extends DescMessage>(schema: T, message: MessageShape<T>): boolean {
    const size = AROUND + this.#sizeOf(schema, message);
    if (size > this.#left) return false;
    this.#left -= size;
    return true;
  }

  /** As many of the messages, from the first on, as there is space for. */
  fit<T extends DescMessage>(
    schema: T,
    messages: Iterable<MessageShape<T>>,
  ): MessageShape<T>[] {
    return runSlices(this.#fitSlices(schema, messages));
  }

  /** As {@link fit} does, and others get the event loop in between. */
  fitInTurns<T extends DescMessage>(
    schema: T,
    messages: Iterable<MessageShape<T>>,
  ): Promise<MessageShape<T>[]> {
    return driveSlices(this.#fitSlices(schema, messages));
  }

  *#fitSlices<T extends DescMessage>(
    schema: T,
    messages: Iterable<MessageShape<T>>,
  ): Slices<MessageShape<T>[]> {
    const fitted: MessageShape<T>[] = [];
    for (const message of messages) {
      if (!this.take(schema, message)) break;
      fitted.push(message);
      yield MESSAGE_WEIGHT;
    }
    return fitted;
  }

  #sizeOf<T extends DescMessage>(schema: T, message: MessageShape<T>): number {
    return this.#json
      ? Buffer.byteLength(
          toJsonString(schema, message, { useProtoFieldName: true }),
        )
      : toBinary(schema, message).length;
  }
}

/** Making a message and measuring it costs about as much as handling this many entries. */
const MESSAGE_WEIGHT = 16;

/** A tag and a length, or a comma. */
const AROUND = 8;

function isJson({
  requestHeader,
  requestMethod,
  url,
}: HandlerContext): boolean {
  return requestMethod === "GET"
    ? /[?&]encoding=json(?:&|$)/.test(url)
    : (requestHeader.get("content-type") ?? "").includes("json");
}
