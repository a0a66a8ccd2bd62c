import type { Socket } from "node:net";
import { formatHostPort, type HostPort } from "./host-port.ts";

/** An HTTP proxy that connections go through. */
export interface Proxy extends HostPort {
  /** The value of the header Proxy-Authorization. */
  readonly authorization?: string | undefined;
}

/** How long the proxy may take to answer. */
const ANSWER_MS = 10_000;
const MAX_HEAD_BYTES = 16_384;
const HEAD_END = "\r\n\r\n";

/** Asks the proxy at the other end of a connection for a tunnel to the target. From then on the socket is the target's. */
export async function openTunnel(
  socket: Socket,
  proxy: Proxy,
  target: HostPort,
): Promise<void> {
  const to = formatHostPort(target);
  const head = [
    `CONNECT ${to} HTTP/1.1`,
    `Host: ${to}`,
    ...(proxy.authorization === undefined
      ? []
      : [`Proxy-Authorization: ${proxy.authorization}`]),
  ];
  socket.write(head.join("\r\n") + HEAD_END);
  const status = await readStatusLine(socket).catch((error: unknown) => {
    throw new Error(
      `the proxy ${formatHostPort(proxy)} opened no tunnel to ${to}: ${error instanceof Error ? error.message : String(error)}`,
    );
  });
  if (!/^HTTP\/1\.[01] 2\d\d\b/.test(status))
    throw new Error(
      `the proxy ${formatHostPort(proxy)} refused a tunnel to ${to}: ${JSON.stringify(status.slice(0, 200))}`,
    );
}

/** Reads the head of the answer; what follows it stays in the socket. */
function readStatusLine(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let seen = Buffer.alloc(0);
    const timer = setTimeout(() => {
      fail(new Error(`it did not answer within ${ANSWER_MS / 1000} s`));
    }, ANSWER_MS);
    socket.on("readable", look);
    socket.on("end", ended);
    socket.on("close", ended);
    socket.on("error", fail);

    function look(): void {
      for (;;) {
        const chunk = socket.read() as Buffer | null;
        if (chunk === null) return;
        seen = Buffer.concat([seen, chunk]);
        const end = seen.indexOf(HEAD_END);
        if (end >= 0) {
          stop();
          const rest = seen.subarray(end + HEAD_END.length);
          if (rest.length > 0) socket.unshift(rest);
          resolve(seen.toString("latin1").split("\r\n", 1)[0] ?? "");
          return;
        }
        if (seen.length > MAX_HEAD_BYTES) {
          fail(new Error("its answer is no HTTP"));
          return;
        }
      }
    }

    function ended(): void {
      fail(new Error("it closed the connection"));
    }

    function fail(error: Error): void {
      stop();
      reject(error);
    }

    function stop(): void {
      clearTimeout(timer);
      socket.off("readable", look);
      socket.off("end", ended);
      socket.off("close", ended);
      socket.off("error", fail);
    }
  });
}
