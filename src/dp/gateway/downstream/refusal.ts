import type { Duplex } from "node:stream";
import type { Clock } from "../../../runtime/clock.ts";

/** How long a client that sent something unreadable has to read why. */
const LINGER_MS = 1_000;

/** Answers what could not be read as a request, and closes. */
export function refuse(
  socket: Duplex,
  status: string,
  message: string,
  clock: Clock,
): void {
  socket.on("error", ignore);
  const body = JSON.stringify({ message });
  socket.end(
    `HTTP/1.1 ${status}\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
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

/** For errors of connections and streams that are over: their "close" says all there is to know. */
export function ignore(): void {
  // See above.
}
