import fc from "fast-check";
import { once } from "node:events";
import * as http2 from "node:http2";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "../../src/runtime/clock.ts";
import { CloseStack } from "../../src/runtime/close-stack.ts";
import { formatHostPort, ListenError } from "../../src/runtime/host-port.ts";
import {
  HttpListener,
  type HttpHandler,
  type HttpListenerOptions,
} from "../../src/runtime/http-listener.ts";
import { silentLogger } from "../../src/runtime/logger.ts";
import { RawConnection } from "../support/raw-http.ts";

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
const GET = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";

let stack = new CloseStack();
beforeEach(() => {
  stack = new CloseStack();
});
afterEach(() => stack.close());

const echo: HttpHandler = (request, response) => {
  response.setHeader("content-type", "text/plain");
  response.end(`${request.httpVersion} ${request.url ?? ""}`);
};

async function listen(
  handler = echo,
  options: Partial<HttpListenerOptions> = {},
): Promise<HttpListener> {
  const listener = await HttpListener.listen(
    { host: "127.0.0.1", port: 0 },
    handler,
    { clock: systemClock, logger: silentLogger, http2: true, ...options },
  );
  stack.defer(() => listener.close(0));
  return listener;
}

async function open(listener: HttpListener): Promise<RawConnection> {
  const connection = await RawConnection.open(listener.address);
  stack.defer(() => connection.socket.destroy());
  return connection;
}

function session(listener: HttpListener): http2.ClientHttp2Session {
  const client = http2.connect(`http://${formatHostPort(listener.address)}`);
  client.on("error", () => {});
  stack.defer(() => client.destroy());
  return client;
}

async function get(client: http2.ClientHttp2Session, path: string) {
  const stream = client.request({ ":path": path });
  let body = "";
  stream.setEncoding("utf8");
  for await (const chunk of stream) body += chunk as string;
  return body;
}

describe("one port", () => {
  test("speaks HTTP/1.1 and HTTP/2 with prior knowledge", async () => {
    const listener = await listen();
    const url = `http://${formatHostPort(listener.address)}/one`;
    expect(await (await fetch(url)).text()).toBe("1.1 /one");
    expect(await get(session(listener), "/two")).toBe("2.0 /two");
  });

  test("recognises HTTP/2 however its preface is cut into packets", async () => {
    const listener = await listen();
    for (let cut = 1; cut < PREFACE.length; cut += 4) {
      const connection = await open(listener);
      await connection.write(PREFACE.slice(0, cut), PREFACE.slice(cut));
      await connection.write(SETTINGS);
      // The server's SETTINGS frame: type 4 on stream 0.
      expect((await connection.until(/^.{9}/s)).charCodeAt(3)).toBe(4);
      connection.socket.destroy();
    }
  });

  test("recognises HTTP/1.1 however its request is cut into packets", async () => {
    const listener = await listen();
    for (let cut = 1; cut < GET.length; cut += 3) {
      const connection = await open(listener);
      await connection.write(GET.slice(0, cut), GET.slice(cut));
      await connection.until(/1\.1 \/a/);
      connection.socket.destroy();
    }
  });

  test("takes a method that begins like the preface for HTTP/1.1", async () => {
    const listener = await listen();
    const connection = await open(listener);
    await connection.write("P", "RI", " * HTTP/1.1\r\nHost: x\r\n\r\n");
    expect(await connection.closed()).toMatch(/^HTTP\/1\.1 400/);
    const second = await open(listener);
    await second.write("P", "OST /p HTTP/1.1\r\nHost: x\r\n");
    await second.write("Content-Length: 0\r\n\r\n");
    await second.until(/1\.1 \/p/);
  });

  test("answers pipelined requests in their order", async () => {
    const connection = await open(await listen());
    await connection.write(
      [1, 2, 3].map((i) => `GET /${i} HTTP/1.1\r\nHost: x\r\n\r\n`).join(""),
    );
    const all = await connection.until(/\/3/);
    expect(all.match(/1\.1 \/\d/g)).toEqual(["1.1 /1", "1.1 /2", "1.1 /3"]);
  });

  test("survives any garbage and goes on serving", async () => {
    const listener = await listen(echo, {
      limits: { headersMs: 100 },
    });
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.uint8Array({ minLength: 1, maxLength: 200 }),
          fc
            .uint8Array({ maxLength: 200 })
            .map((rest) => Buffer.concat([Buffer.from(PREFACE), rest])),
        ),
        async (garbage) => {
          const connection = await open(listener);
          connection.socket.write(garbage);
          connection.socket.end();
          await connection.closed();
        },
      ),
      { numRuns: 50 },
    );
    const url = `http://${formatHostPort(listener.address)}/alive`;
    expect(await (await fetch(url)).text()).toBe("1.1 /alive");
  });

  test.each([
    ["nothing", ""],
    ["part of the preface", "PRI * H"],
  ])("closes at once for a client that ends after %s", async (_what, begin) => {
    // Long before its time would be up.
    const connection = await open(await listen());
    if (begin !== "") await connection.write(begin);
    connection.socket.end();
    expect(await connection.closed()).toBe("");
  });

  test("survives connections that are reset at any point", async () => {
    const listener = await listen();
    for (const begin of ["", "PRI", GET.slice(0, 10), PREFACE, GET]) {
      const connection = await open(listener);
      if (begin !== "") await connection.write(begin);
      connection.socket.resetAndDestroy();
      await connection.closed();
    }
    expect(await get(session(listener), "/alive")).toBe("2.0 /alive");
  });
});

describe("a slow client", () => {
  test.each([
    ["says nothing", ""],
    ["stops within the preface", "PRI * HTTP/2.0\r\n"],
  ])("that %s is cut off", async (_what, begin) => {
    const listener = await listen(echo, { limits: { headersMs: 50 } });
    const connection = await open(listener);
    if (begin !== "") await connection.write(begin);
    expect(await connection.closed()).toBe("");
  });

  test("that never finishes its head gets 408", async () => {
    const listener = await listen(echo, { limits: { headersMs: 100 } });
    const connection = await open(listener);
    await connection.write("GET / HTTP/1.1\r\n");
    const dripping = setInterval(() => connection.socket.write("X: y\r\n"), 20);
    stack.defer(() => clearInterval(dripping));
    expect(await connection.closed()).toMatch(/^HTTP\/1\.1 408/);
  });

  test("that never finishes its body is cut off", async () => {
    const listener = await listen(
      (request, response) => {
        request.on("end", () => response.end("done"));
        request.resume();
      },
      { limits: { headersMs: 100, requestMs: 200 } },
    );
    const connection = await open(listener);
    await connection.write(
      "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc",
    );
    expect(await connection.closed()).toMatch(/^HTTP\/1\.1 408|^$/);
  });

  test("that sends the HTTP/2 preface and nothing more is cut off", async () => {
    const listener = await listen(echo, { limits: { headersMs: 50 } });
    const connection = await open(listener);
    await connection.write(PREFACE);
    await connection.closed();
  });

  test("that no longer answers pings is cut off, and its requests are aborted", async () => {
    let closed: () => void = () => {};
    const aborted = new Promise<void>((resolve) => {
      closed = resolve;
    });
    const listener = await listen(
      (request) => {
        request.once("close", closed);
      },
      { limits: { pingMs: 50, pingTimeoutMs: 50 } },
    );
    const connection = await open(listener);
    // GET / on stream 1, with the static header table: nothing that answers a PING.
    const headers = Buffer.from([0x82, 0x84, 0x86, 0x41, 0x01, 0x78]);
    const frame = Buffer.from([0, 0, headers.length, 1, 5, 0, 0, 0, 1]);
    await connection.write(PREFACE, SETTINGS, Buffer.concat([frame, headers]));
    await aborted;
    await connection.closed();
  });

  test("that answers pings is kept", async () => {
    const listener = await listen(echo, {
      limits: { pingMs: 20, pingTimeoutMs: 200 },
    });
    const client = session(listener);
    await once(client, "connect");
    let pings = 0;
    client.on("ping", () => pings++);
    while (pings < 3) await once(client, "ping");
    expect(await get(client, "/kept")).toBe("2.0 /kept");
  });
});

describe("a stop", () => {
  test("lets requests that are under way end", async () => {
    let answer: () => void = () => {};
    let arrived: () => void = () => {};
    const underWay = new Promise<void>((resolve) => {
      arrived = resolve;
    });
    const listener = await listen((_request, response) => {
      answer = () => response.end("late");
      arrived();
    });
    const url = `http://${formatHostPort(listener.address)}/`;
    const response = fetch(url);
    await underWay;
    const closing = listener.close(5_000);
    answer();
    expect(await (await response).text()).toBe("late");
    await closing;
    await expect(fetch(url)).rejects.toThrow();
  });

  test("does not wait for idle connections of either version", async () => {
    const listener = await listen();
    await (await fetch(`http://${formatHostPort(listener.address)}/`)).text();
    const client = session(listener);
    await get(client, "/");
    const silent = await open(listener);
    const started = performance.now();
    await listener.close(4_000);
    expect(performance.now() - started).toBeLessThan(3_000);
    await silent.closed();
  });

  test("cuts off what does not end, on both versions, in time", async () => {
    const listener = await listen(() => {});
    const one = await open(listener);
    await one.write(GET);
    const client = session(listener);
    const stream = client.request({ ":path": "/" });
    stream.on("error", () => {});
    await once(client, "connect");
    const closing = listener.close(50);
    expect(listener.close()).toBe(closing);
    await closing;
    expect(await one.closed()).toBe("");
  });
});

test("a handler that throws costs its request only", async () => {
  const listener = await listen((request, response) => {
    if (request.url === "/bad") throw new Error("oops");
    echo(request, response);
  });
  const base = `http://${formatHostPort(listener.address)}`;
  expect((await fetch(`${base}/bad`)).status).toBe(500);
  expect((await fetch(`${base}/good`)).status).toBe(200);
});

test("without HTTP/2 its preface is a bad request", async () => {
  const connection = await open(await listen(echo, { http2: false }));
  await connection.write(PREFACE);
  expect(await connection.closed()).toMatch(/^HTTP\/1\.1 4|^$/);
});

test("more connections than allowed are closed at once", async () => {
  const listener = await listen(echo, { limits: { connections: 2 } });
  const kept = [await open(listener), await open(listener)];
  const third = await open(listener);
  expect(await third.closed()).toBe("");
  await kept[0]!.write(GET);
  await kept[0]!.until(/1\.1 \/a/);
});

test("an address that is taken is named", async () => {
  const listener = await listen();
  await expect(
    HttpListener.listen(listener.address, echo, {
      clock: systemClock,
      logger: silentLogger,
    }),
  ).rejects.toThrow(ListenError);
});
