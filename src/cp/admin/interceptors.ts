import {
  Code,
  ConnectError,
  type Interceptor,
  type StreamRequest,
  type UnaryRequest,
} from "@connectrpc/connect";
import { Counter, Histogram, type Registry } from "prom-client";
import { ConfigError } from "../../model/violation.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/logger.ts";
import { codeName } from "./code-name.ts";
import { BODY_ROOM, toConnectError, TRAILER_ROOM } from "./rpc-error.ts";

type Call = UnaryRequest | StreamRequest;

/** Turns what handlers throw into what callers get. What nobody expected is logged, and not shown. */
export function translateErrors(logger: Logger): Interceptor {
  return (next) => async (call) => {
    const translate = (error: unknown): ConnectError => {
      if (error instanceof ConnectError) return error;
      if (error instanceof ConfigError)
        return toConnectError(error, isGrpc(call) ? TRAILER_ROOM : BODY_ROOM);
      if (call.signal.aborted)
        return ConnectError.from(call.signal.reason, Code.Canceled);
      logger.error("rpc.failed", { rpc: nameOf(call), err: error });
      return new ConnectError(
        "internal error; the control plane's log says more",
        Code.Internal,
      );
    };
    try {
      const answer = await next(call);
      return answer.stream
        ? { ...answer, message: translated(answer.message, translate) }
        : answer;
    } catch (error) {
      throw translate(error);
    }
  };
}

async function* translated<T>(
  messages: AsyncIterable<T>,
  translate: (error: unknown) => ConnectError,
): AsyncGenerator<T> {
  try {
    yield* messages;
  } catch (error) {
    throw translate(error);
  }
}

/** Counts calls and measures how long they take, streams until they end. */
export function measureCalls(metrics: Registry, clock: Clock): Interceptor {
  const calls = new Counter({
    name: "holdfast_admin_calls_total",
    help: "Admin calls that have ended, by how.",
    labelNames: ["rpc", "code"],
    registers: [metrics],
  });
  const seconds = new Histogram({
    name: "holdfast_admin_call_seconds",
    help: "How long Admin calls took, those that are no streams.",
    labelNames: ["rpc"],
    buckets: [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60],
    registers: [metrics],
  });
  return (next) => async (call) => {
    const rpc = nameOf(call);
    const start = clock.monotonic();
    const ended = (error?: unknown): void => {
      const code = error === undefined ? "ok" : codeName(error);
      calls.inc({ rpc, code });
      if (!call.stream)
        seconds.observe({ rpc }, (clock.monotonic() - start) / 1000);
    };
    try {
      const answer = await next(call);
      if (answer.stream)
        return { ...answer, message: followed(answer.message, ended) };
      ended();
      return answer;
    } catch (error) {
      ended(error);
      throw error;
    }
  };
}

async function* followed<T>(
  messages: AsyncIterable<T>,
  ended: (error?: unknown) => void,
): AsyncGenerator<T> {
  let failure: unknown;
  try {
    yield* messages;
  } catch (error) {
    failure = error;
    throw error;
  } finally {
    ended(failure);
  }
}

function nameOf({ method }: Call): string {
  return `${method.parent.typeName}/${method.name}`;
}

/** gRPC proper, whose errors travel in trailers; gRPC-Web's are in the body. */
function isGrpc(call: Call): boolean {
  return /^application\/grpc(?:$|[+;])/.test(
    call.header.get("content-type") ?? "",
  );
}
