import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server } from "node:net";
import { expect, test } from "vitest";
import { KeptConnections } from "../../../../src/dp/gateway/proxy/direct/kept-connections.ts";
import type { DirectConnection } from "../../../../src/dp/gateway/proxy/direct/direct-connection.ts";
import { HeaderBag } from "../../../../src/dp/gateway/proxy/header-bag.ts";
import { eventually } from "../../../support/eventually.ts";
import { ManualClock } from "../../../support/manual-clock.ts";

/** Answers everything with the same bytes. */
class Answering implements AsyncDisposable {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(text: string): Promise<Answering> {
    const server = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.on("data", () => socket.write(text));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new Answering(server);
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    await once(this.#server, "close");
  }
}

const HEAD = {
  method: "GET",
  path: "/",
  headers: new HeaderBag(),
  framing: undefined,
};

async function serveOne(
  kept: KeptConnections,
  port: number,
): Promise<DirectConnection> {
  let connection = kept.take("there");
  if (connection === undefined) {
    const ready = new Promise<void>((resolve, reject) => {
      connection = kept.add(connect(port, "127.0.0.1"), {
        name: "there",
        readyOn: "connect",
        onReady: (error) => {
          if (error === undefined) resolve();
          else reject(error);
        },
      });
    });
    await ready;
  }
  if (connection === undefined) throw new TypeError("no connection");
  const call = connection.begin(HEAD);
  call.request.end();
  expect((await call.answered).type).toBe("response");
  return connection;
}

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const KEEP = { maxIdle: 2, maxUses: 3, idleSeconds: 60 };

async function idle(kept: KeptConnections, open: number): Promise<void> {
  await eventually(
    () => (kept.busy === 0 && kept.open === open ? true : undefined),
    `${open} idle connections`,
  );
}

test("a connection is used again until it has served as many requests as one may", async () => {
  await using upstream = await Answering.start(OK);
  const kept = new KeptConnections(new ManualClock(), KEEP);
  const first = await serveOne(kept, upstream.port);
  await idle(kept, 1);
  expect(await serveOne(kept, upstream.port)).toBe(first);
  await idle(kept, 1);
  expect(await serveOne(kept, upstream.port)).toBe(first);
  await idle(kept, 0);
  expect(await serveOne(kept, upstream.port)).not.toBe(first);
  kept.destroy();
  await idle(kept, 0);
});

test("one that is idle is closed after its time, and no timer stays", async () => {
  await using upstream = await Answering.start(OK);
  const clock = new ManualClock();
  const kept = new KeptConnections(clock, KEEP);
  await serveOne(kept, upstream.port);
  await idle(kept, 1);
  clock.advance(59_000);
  expect(kept.open).toBe(1);
  clock.advance(2_000);
  expect(kept.open).toBe(0);
  expect(clock.timers).toBe(0);
});

test("an upstream that says how long it keeps one is not asked in the last second of that", async () => {
  await using upstream = await Answering.start(
    "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5\r\nContent-Length: 0\r\n\r\n",
  );
  const clock = new ManualClock();
  const kept = new KeptConnections(clock, KEEP);
  await serveOne(kept, upstream.port);
  await idle(kept, 1);
  clock.advance(4_000);
  expect(kept.open).toBe(0);
});

test("no more are kept than may be idle, and none when nobody needs them any more", async () => {
  await using upstream = await Answering.start(OK);
  const kept = new KeptConnections(new ManualClock(), KEEP);
  await Promise.all([1, 2, 3].map(() => serveOne(kept, upstream.port)));
  await idle(kept, 2);
  kept.retire();
  expect(kept.open).toBe(0);
  await serveOne(kept, upstream.port);
  await idle(kept, 0);
});
