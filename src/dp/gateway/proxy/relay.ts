import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type {
  DownstreamRequest,
  DownstreamResponse,
} from "../downstream/message.ts";
import { hasHeader, trailersOf } from "./hop-by-hop.ts";
import type { HeaderBag } from "./header-bag.ts";
import type { UpstreamResponse } from "./messages.ts";

/** What relaying an answer waits for. */
export type RelayProgress = "read" | "client";

/** What plugins do to a body while it is relayed. */
export interface BodyChange {
  /** What has come of the body already. */
  readonly begun: readonly Buffer[];
  /** What is sent for a piece; the last one is empty. */
  readonly pass: (chunk: Buffer, last: boolean) => Buffer;
}

const NOTHING = Buffer.alloc(0);
/** A body up to this length is cheaper to copy than to send beside its head. */
const SMALL_BYTES = 16 * 1024;

/**
 * Passes the body and the trailers of an answer on. Resolves when the client has all of it, or cannot get it any more: an
 * answer that breaks off upstream breaks off for the client too, instead of looking whole or hanging.
 */
export function relayBody(
  from: UpstreamResponse,
  to: DownstreamResponse,
  onProgress: (next: RelayProgress) => void,
  change?: BodyChange,
): Promise<void> {
  return new Promise((resolve) => {
    // Whoever made the request gives it up when the client goes.
    if (to.closed || to.destroyed) {
      resolve();
      return;
    }
    to.once("close", resolve);
    const whole = change === undefined ? from.takeWhole?.() : undefined;
    if (whole !== undefined) {
      onProgress("client");
      if (whole.length <= SMALL_BYTES && to.endSmall !== undefined)
        to.endSmall(whole);
      else to.end(whole);
      return;
    }
    const breakOff = (): void => {
      if (!from.complete) to.destroy();
    };
    // A head whose body is not there yet goes out by itself: clients of event streams and of gRPC wait for it.
    const flush = setImmediate(() => {
      if (!from.complete && !to.closed) to.flushHeaders();
    });
    from.on("data", (chunk: Buffer) => {
      clearImmediate(flush);
      const out = change === undefined ? chunk : change.pass(chunk, false);
      if (out.length === 0 || to.write(out)) {
        onProgress("read");
        return;
      }
      from.pause();
      onProgress("client");
    });
    to.on("drain", () => {
      onProgress("read");
      from.resume();
    });
    from.once("end", () => {
      const rest = change?.pass(NOTHING, true);
      if (rest !== undefined && rest.length > 0) to.write(rest);
      const trailers = trailersOf(from.rawTrailers);
      if (trailers.length > 0) addTrailers(to, trailers);
      onProgress("client");
      to.end();
    });
    from.once("error", breakOff);
    from.once("close", breakOff);
    onProgress("read");
    if (change === undefined) return;
    for (const chunk of change.begun) {
      const out = change.pass(chunk, false);
      if (out.length > 0) to.write(out);
    }
    from.resume();
  });
}

/** Sends a body that is all here. Resolves as `relayBody` does. */
export function sendWhole(
  body: Buffer,
  to: DownstreamResponse,
  rawTrailers: readonly string[],
): Promise<void> {
  return new Promise((resolve) => {
    if (to.closed || to.destroyed) {
      resolve();
      return;
    }
    to.once("close", resolve);
    const trailers = trailersOf(rawTrailers);
    if (trailers.length === 0) {
      to.end(body);
      return;
    }
    to.write(body);
    addTrailers(to, trailers);
    to.end();
  });
}

function addTrailers(
  to: DownstreamResponse,
  trailers: [string, string][],
): void {
  try {
    to.addTrailers(trailers);
  } catch {
    // A trailer with characters that node does not send: the body is what counts.
  }
}

/** Whether an answer's trailers can be announced: with HTTP/1.1 only a chunked one has any. */
export function mayHaveTrailers(
  request: DownstreamRequest,
  response: UpstreamResponse,
): boolean {
  return (
    request.httpVersion !== "1.0" &&
    request.method !== "HEAD" &&
    (hasHeader(response.rawHeaders, "transfer-encoding") ||
      response.httpVersion === "2") &&
    response.statusCode !== 204 &&
    response.statusCode !== 304
  );
}

/** The answer to an upgrade, as bytes. */
export function switchingProtocols(headers: HeaderBag): Buffer {
  const raw = headers.toRaw();
  const lines = ["HTTP/1.1 101 Switching Protocols"];
  for (let i = 0; i + 1 < raw.length; i += 2)
    lines.push(`${raw[i] ?? ""}: ${raw[i + 1] ?? ""}`);
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
}

/**
 * Joins two upgraded connections. Knows nothing of the request or its revision, so that a long-lived connection keeps
 * nothing of them alive. When either ends, breaks or both are silent for `idleMs`, both are closed.
 */
export function splice(client: Duplex, upstream: Duplex, idleMs: number): void {
  const close = (): void => {
    client.destroy();
    upstream.destroy();
  };
  for (const side of [client, upstream]) {
    side.on("error", close);
    side.once("close", close);
  }
  if (upstream instanceof Socket) upstream.setTimeout(idleMs, close);
  client.pipe(upstream);
  upstream.pipe(client);
}
