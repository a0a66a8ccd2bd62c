import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { refuseLong, type MessageLimits } from "../model/message-limits.ts";
import { ConfigError } from "../model/violation.ts";

/** What a request in one message may hold: with its 4 MiB of bytes alone, it could take 64 times as much decoded. */
export const REQUEST_LIMITS: MessageLimits = {
  list: 20_000,
  objects: 250_000,
  advice:
    "make several requests of it, or send it in parts, where there is a method for that",
};

/**
 * Refuses requests that have too much in a list, in whatever form they came: not all are weighed before they are decoded.
 * To stand before all that waits, so that no more than one of them is held at a time.
 */
export const refuseLongLists: Interceptor = (next) => (call) => {
  if (!call.stream) {
    const message: object = call.message;
    for (const { fieldKind, localName, name } of call.method.input.fields) {
      if (fieldKind !== "list") continue;
      const list = (message as Readonly<Record<string, unknown>>)[localName];
      if (Array.isArray(list)) refuseOne(name, list.length);
    }
  }
  return next(call);
};

function refuseOne(name: string, count: number): void {
  try {
    refuseLong({ name, count, limits: REQUEST_LIMITS });
  } catch (error) {
    throw error instanceof ConfigError
      ? new ConnectError(error.message, Code.ResourceExhausted)
      : error;
  }
}
