import { expect, test, vi } from "vitest";
import { api } from "../../support/api.ts";
import { eventually } from "../../support/eventually.ts";
import { TestGateway } from "../../support/gateway.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { RawConnection } from "../../support/raw-http.ts";
import { Upstream } from "../../support/upstream.ts";

// Many connections take their time on a busy machine.
vi.setConfig({ testTimeout: 30_000 });

/** What of this process is open: sockets of the gateway, of the upstream and of the clients. */
function sockets(): number {
  return process
    .getActiveResourcesInfo()
    .filter((name) => name === "TCPSocketWrap").length;
}

function untilOpen(count: number): Promise<true> {
  return eventually(
    () => sockets() <= count || undefined,
    `no more than ${count} open sockets`,
  );
}

function come(gateway: TestGateway, count: number): Promise<RawConnection[]> {
  return Promise.all(
    Array.from({ length: count }, () => RawConnection.open(gateway.host)),
  );
}

test("a hundred clients whose heads and bodies come byte by byte hold up nobody, get their answers, and leave nothing open when they go in the middle", async () => {
  await using upstream = await Upstream.start();
  await using gateway = await TestGateway.start(api(upstream.port));
  const before = sockets();
  const slow = await come(gateway, 100);
  const texts = slow.map((_, i) =>
    i % 2 === 0
      ? `GET /api HTTP/1.1\r\nHost: a\r\nX-Slow: ${"s".repeat(20)}\r\nConnection: close\r\n\r\n`
      : `POST /api HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 40\r\n\r\n${"b".repeat(40)}`,
  );
  const from = texts.map((text) => text.length - 10);
  slow.forEach(({ socket }, i) =>
    socket.write((texts[i] ?? "").slice(0, from[i])),
  );
  for (let drop = 0; drop < 9; drop++) {
    slow.forEach(({ socket }, i) => {
      const at = (from[i] ?? 0) + drop;
      socket.write((texts[i] ?? "").slice(at, at + 1));
    });
    expect((await gateway.ask("/api")).status).toBe(200);
  }
  expect(slow.filter(({ received }) => received !== "")).toEqual([]);
  const [staying, leaving] = [slow.slice(0, 50), slow.slice(50)];
  for (const { socket } of leaving) socket.destroy();
  staying.forEach(({ socket }, i) => socket.write((texts[i] ?? "").slice(-1)));
  for (const client of staying)
    expect(await client.closed()).toMatch(/^HTTP\/1\.1 200 /);
  await eventually(
    () => gateway.gateway.upstreamConnections.busy === 0 || undefined,
    "no request under way",
  );
  // Kept to the upstream: at most one for each that had a request there at a time.
  await untilOpen(before + 2 * gateway.gateway.upstreamConnections.open);
  expect((await gateway.ask("/api")).status).toBe(200);
});

test("five hundred idle connections hold up nobody and are closed at once when the gateway ends", async () => {
  await using upstream = await Upstream.start((_request, response) => {
    response.end("ok");
  });
  const before = sockets();
  const gateway = await TestGateway.start(api(upstream.port), {
    graceMs: 60_000,
  });
  const idle = await come(gateway, 500);
  await Promise.all(
    idle.map(async (client, i) => {
      // Some have never asked for anything.
      if (i % 10 === 0) return;
      client.socket.write("GET /api HTTP/1.1\r\nHost: a\r\n\r\n");
      await client.until(/ok$/);
    }),
  );
  expect((await gateway.ask("/api")).text).toBe("ok");
  // Long before the grace is over.
  await gateway[Symbol.asyncDispose]();
  await Promise.all(idle.map((client) => client.closed()));
  await untilOpen(before);
});

test("a client that stops in the middle of its body is answered 408 after a minute, and its connection is closed at once", async () => {
  await using upstream = await Upstream.start();
  const clock = new ManualClock();
  await using gateway = await TestGateway.start(api(upstream.port), { clock });
  const [going, stopped] = await come(gateway, 2);
  if (going === undefined || stopped === undefined) throw new Error("two");
  const head = "POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n";
  await going.write(head);
  await stopped.write(head, "b");
  await eventually(
    () => gateway.gateway.upstreamConnections.busy === 2 || undefined,
    "both requests at the upstream",
  );
  for (const piece of ["b", "b"]) {
    clock.advance(40_000);
    await going.write(piece);
  }
  expect(await stopped.closed()).toMatch(
    /^HTTP\/1\.1 408 .*Connection: close/s,
  );
  expect(going.received).toBe("");
  await going.write("b");
  expect(await going.until(/\r\n\r\n/)).toMatch(/^HTTP\/1\.1 200 /);
  going.socket.destroy();
});
