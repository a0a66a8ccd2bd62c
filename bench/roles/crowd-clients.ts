import { once } from "node:events";
import { createServer } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { Calls } from "../support/child.ts";

/** Clients that are all there at the same time. */
export interface CrowdPlan {
  readonly port: number;
  readonly clients: number;
  /** A whole request without a body. */
  readonly request: string;
}

/** How a crowd came to its end. */
export interface CrowdEnd {
  /** How many were answered with each status before they were closed; "" are those that got nothing. */
  readonly statuses: Readonly<Record<string, number>>;
  /** When they had their last answers, and when they were closed, counted from when they were told to fall silent. */
  readonly answered: Span;
  readonly closed: Span;
}

/** From the first to the last of several moments, in milliseconds. */
interface Span {
  readonly firstMs: number;
  readonly lastMs: number;
}

export interface CrowdClients {
  /** Starts an upstream that reads bodies and answers with so many bytes; returns its port. */
  readonly upstream: (bodyBytes: number) => Promise<number>;
  /** Half of the clients send a head and half a body, a byte a second each; they go on until they are silenced. */
  readonly drip: (plan: CrowdPlan) => Promise<number>;
  /** Clients that make one request and keep their connection; resolves with how many were answered 200. */
  readonly idle: (plan: CrowdPlan) => Promise<number>;
  /** Nobody sends anything any more. */
  readonly silence: () => void;
  /** Resolves when the other side has closed all connections, or the time is up. */
  readonly ended: (timeoutMs: number) => Promise<CrowdEnd>;
  /** Connections that are open. */
  readonly open: () => number;
}

const EVERY_MS = 1_000;
/** Connections that are being made at a time. */
const AT_A_TIME = 100;

/** Many clients that want little. */
export function crowdClients(): CrowdClients & Calls {
  let clients: Client[] = [];
  let dripping: NodeJS.Timeout | undefined;
  let silentAt = 0;
  return {
    upstream: async (bodyBytes) => {
      const body = Buffer.alloc(bodyBytes, "x");
      const server = createServer((request, response) => {
        request.resume().on("end", () => response.end(body));
        request.on("error", () => undefined);
      });
      server.keepAliveTimeout = 0;
      server.listen(0, "127.0.0.1", 1024);
      await once(server, "listening");
      return (server.address() as AddressInfo).port;
    },
    drip: async (plan) => {
      clients = await arrive(plan);
      const head = Buffer.from(plan.request, "latin1");
      const withBody = Buffer.from(
        plan.request
          .replace(/^GET/, "POST")
          .replace(/\r\n\r\n$/, "\r\nContent-Length: 100000\r\n\r\n"),
        "latin1",
      );
      for (const [i, client] of clients.entries())
        client.say(i % 2 === 0 ? head.subarray(0, 20) : withBody);
      let at = 20;
      dripping = setInterval(() => {
        for (const [i, client] of clients.entries())
          // The end of the head never comes.
          client.say(i % 2 === 0 ? head.subarray(at, at + 1) : ONE);
        at = Math.min(at + 1, head.length - 4);
      }, EVERY_MS);
      return clients.length;
    },
    idle: async (plan) => {
      clients = await arrive(plan);
      const request = Buffer.from(plan.request, "latin1");
      let answered = 0;
      for (let i = 0; i < clients.length; i += AT_A_TIME)
        await Promise.all(
          clients.slice(i, i + AT_A_TIME).map(async (client) => {
            client.say(request);
            if ((await client.status()) === "200") answered++;
          }),
        );
      return answered;
    },
    silence: () => {
      clearInterval(dripping);
      silentAt = performance.now();
    },
    ended: async (timeoutMs) => {
      const deadline = performance.now() + timeoutMs;
      while (
        clients.some(({ isOpen }) => isOpen) &&
        performance.now() < deadline
      )
        await sleep(20);
      const statuses: Record<string, number> = {};
      for (const { last, isOpen } of clients) {
        const what = isOpen ? "open" : last;
        statuses[what] = (statuses[what] ?? 0) + 1;
      }
      for (const { socket } of clients) socket.destroy();
      return {
        statuses,
        answered: spanOf(
          clients.map(({ answeredAt }) => answeredAt - silentAt),
        ),
        closed: spanOf(clients.map(({ endedAt }) => endedAt - silentAt)),
      };
    },
    open: () => clients.filter(({ isOpen }) => isOpen).length,
  };
}

function spanOf(moments: readonly number[]): Span {
  return {
    firstMs: moments.reduce((least, ms) => Math.min(least, ms), Infinity),
    lastMs: moments.reduce((most, ms) => Math.max(most, ms), -Infinity),
  };
}

const ONE = Buffer.from("x");

async function arrive({ port, clients }: CrowdPlan): Promise<Client[]> {
  const all: Client[] = [];
  while (all.length < clients)
    all.push(
      ...(await Promise.all(
        Array.from({ length: Math.min(AT_A_TIME, clients - all.length) }, () =>
          Client.come(port),
        ),
      )),
    );
  return all;
}

/** One connection. */
class Client {
  readonly socket: Socket;
  isOpen = true;
  endedAt = Infinity;
  answeredAt = Infinity;
  /** The status of the last answer; empty without one. */
  last = "";
  readonly #heard: (() => void)[] = [];

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("error", () => undefined);
    socket.on("data", (chunk: Buffer) => {
      const status = /^HTTP\/1\.1 (\d+)/.exec(chunk.toString("latin1", 0, 12));
      if (status?.[1] === undefined) return;
      this.last = status[1];
      this.answeredAt = performance.now();
      for (const hear of this.#heard.splice(0)) hear();
    });
    socket.on("close", () => {
      this.isOpen = false;
      this.endedAt = performance.now();
      for (const hear of this.#heard.splice(0)) hear();
    });
  }

  static async come(port: number): Promise<Client> {
    const socket = connect(port, "127.0.0.1");
    await once(socket, "connect");
    return new Client(socket);
  }

  say(bytes: Uint8Array): void {
    if (this.isOpen && bytes.length > 0) this.socket.write(bytes);
  }

  /** The status of the next answer; empty when the connection ends instead. */
  async status(): Promise<string> {
    if (this.isOpen)
      await new Promise<void>((resolve) => this.#heard.push(resolve));
    return this.last;
  }
}
