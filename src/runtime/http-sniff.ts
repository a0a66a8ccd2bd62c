import type { Socket } from "node:net";
import type { Clock } from "./clock.ts";

/** What every HTTP/2 connection with prior knowledge starts with. */
const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

/** Which HTTP a connection speaks. Whatever is not HTTP/2 is left to HTTP/1.1, which refuses garbage properly. */
export type HttpVersion = "http/1.1" | "http/2";

/**
 * Looks at the first bytes of a connection, puts them back and hands it on. A connection that ends, breaks or does not
 * say enough in time is destroyed instead.
 */
export function sniff(
  socket: Socket,
  options: { readonly clock: Clock; readonly timeoutMs: number },
  serve: (version: HttpVersion) => void,
): void {
  let head: Buffer = Buffer.alloc(0);
  const timer = options.clock.setTimer(options.timeoutMs, giveUp);
  socket.on("readable", look);
  socket.on("end", giveUp);
  socket.on("close", giveUp);
  socket.on("error", giveUp);

  function look(): void {
    for (;;) {
      const chunk = socket.read() as Buffer | null;
      if (chunk === null) break;
      head = head.length === 0 ? chunk : Buffer.concat([head, chunk]);
    }
    const known = Math.min(head.length, PREFACE.length);
    const matches = PREFACE.subarray(0, known).equals(head.subarray(0, known));
    if (head.length === 0 || (matches && known < PREFACE.length)) return;
    stop();
    socket.unshift(head);
    serve(matches ? "http/2" : "http/1.1");
  }

  function giveUp(): void {
    stop();
    // Errors may still come after the listener is gone.
    socket.on("error", ignore);
    socket.destroy();
  }

  function stop(): void {
    timer.cancel();
    socket.off("readable", look);
    socket.off("end", giveUp);
    socket.off("close", giveUp);
    socket.off("error", giveUp);
  }
}

function ignore(): void {
  // The connection is given up; why it broke does not matter.
}
