import { randomUUID } from "node:crypto";
import { STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import type { Clock } from "../../../runtime/clock.ts";
import { wordFor } from "../answers/wording.ts";

/** How long a client that sent something unreadable has to read why. */
const LINGER_MS = 1_000;

/** What a client is told whose request was not read. */
export interface Refusal {
  readonly status: number;
  readonly message: string;
}

/**
 * Answers what could not be read as a request, and closes.
 *
 * @param read What was read of it: it may say how its client wants to be told.
 */
export function refuse(
  socket: Duplex,
  { status, message }: Refusal,
  clock: Clock,
  read?: Buffer,
): void {
  socket.on("error", ignore);
  const id = randomUUID().replaceAll("-", "");
  const { type, body } = wordFor(acceptIn(read), message, id);
  socket.end(
    [
      `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}`,
      `Content-Type: ${type}`,
      `Content-Length: ${Buffer.byteLength(body)}`,
      "Server: holdfast",
      "Connection: close",
      "",
      body,
    ].join("\r\n"),
  );
  // Closing with unread bytes would take the answer back: they are read and dropped.
  socket.resume();
  const timer = clock.setTimer(LINGER_MS, () => {
    socket.destroy();
  });
  socket.once("close", () => {
    timer.cancel();
  });
}

function acceptIn(read: Buffer | undefined): string | undefined {
  if (read === undefined) return undefined;
  return /\r\naccept:[ \t]*([^\r\n]*)/i.exec(read.toString("latin1"))?.[1];
}

/** For errors of connections and streams that are over: their "close" says all there is to know. */
export function ignore(): void {
  // See above.
}
