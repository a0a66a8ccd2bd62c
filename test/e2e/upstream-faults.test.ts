import { once } from "node:events";
import { request as httpRequest } from "node:http";
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { holdDeadPort } from "../support/dead-port.ts";
import { eventually } from "../support/eventually.ts";
import {
  holdfast,
  startCp,
  startDp,
  type HoldfastProcess,
} from "../support/holdfast-process.ts";
import { TempDir } from "../support/temp-dir.ts";
import { Upstream } from "../support/upstream.ts";

describe("an upstream that fails, behind a real data plane", () => {
  let dir: TempDir;
  let cp: HoldfastProcess;
  let dp: HoldfastProcess;
  let upstream: Upstream;
  let dead: Awaited<ReturnType<typeof holdDeadPort>>;
  /** Requests that the upstream never answers; closed ones are taken out. */
  const hanging = new Set<object>();

  beforeAll(async () => {
    dir = await TempDir.make();
    upstream = await Upstream.start((request, response) => {
      if (request.url === "/cut") {
        response.writeHead(200, { "content-length": 1000 });
        response.write("x".repeat(100), () => {
          response.destroy();
        });
      } else if (request.url === "/cut-chunked") {
        response.writeHead(200);
        response.write("x".repeat(100), () => {
          response.destroy();
        });
      } else if (request.url === "/half") {
        hanging.add(response);
        response.on("close", () => hanging.delete(response));
        response.writeHead(200);
        response.write("part");
      } else {
        hanging.add(response);
        response.on("close", () => hanging.delete(response));
      }
    });
    dead = await holdDeadPort();

    cp = await startCp(dir.join("cp"));
    dp = await startDp(dir.join("dp"), cp.address("sync"));
    const service = (name: string, port: number, more: object): object => ({
      put: {
        service: { name, host: "127.0.0.1", port, ...more },
      },
    });
    const route = (name: string): object => ({
      put: {
        route: { name, paths: [`/${name}`], service: { name } },
      },
    });
    const response = await fetch(
      cp.url("admin", "/holdfast.admin.v1.ConfigService/Transact"),
      {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({
          operations: [
            service("dead", dead.port, { retries: 1 }),
            route("dead"),
            service("slow", upstream.port, { read_timeout: 300 }),
            route("slow"),
            service("up", upstream.port, {}),
            route("up"),
          ],
        }),
      },
    );
    expect(response.status).toBe(200);
    const waited = await holdfast("wait", "1", "--admin", cp.url("admin"));
    expect(waited.code).toBe(0);
  });

  afterAll(async () => {
    dead.release();
    await dp[Symbol.asyncDispose]();
    await cp[Symbol.asyncDispose]();
    await upstream[Symbol.asyncDispose]();
    await dir[Symbol.asyncDispose]();
  });

  test("dead: 503 with a clear body", async () => {
    const response = await fetch(dp.url("proxy", "/dead"));
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({
      message: "The upstream server is currently unavailable",
      request_id: expect.any(String) as string,
    });
  });

  test("slow: 504, and the upstream's connection is let go", async () => {
    const response = await fetch(dp.url("proxy", "/slow/never"));
    expect(response.status).toBe(504);
    expect(await response.json()).toMatchObject({
      message: "The upstream server is timing out",
    });
    await eventually(
      () => hanging.size === 0 || undefined,
      "the upstream's request to be closed",
    );
  });

  test.each(["/up/cut", "/up/cut-chunked"])(
    "%s: the client sees that the body is not whole",
    async (path) => {
      const response = await fetch(dp.url("proxy", path));
      expect(response.status).toBe(200);
      await expect(response.text()).rejects.toThrow();
    },
  );

  test.each(["/up/never", "/up/half"])(
    "%s: a client that goes away takes the upstream's request with it",
    async (path) => {
      const requests = Array.from({ length: 10 }, () => {
        const request = httpRequest(dp.url("proxy", path));
        request.on("error", () => undefined);
        request.end();
        return request;
      });
      await eventually(
        () => hanging.size === 10 || undefined,
        "all requests to arrive",
      );
      for (const request of requests) request.destroy();
      await eventually(
        () => hanging.size === 0 || undefined,
        "all requests to be closed upstream",
      );
    },
  );

  test("the metrics of the data plane count all of it", async () => {
    const page = await (await fetch(dp.url("status", "/metrics"))).text();
    expect(page).toMatch(/^holdfast_requests_total\{.*\} [1-9]/m);
    expect(page).toMatch(/^holdfast_upstream_connections/m);
    expect(page).toMatch(/^holdfast_dp_serving_revision 1$/m);
  });

  test("afterwards the data plane holds no connection to the upstream that it cannot use again", async () => {
    await eventually(() => hanging.size === 0 || undefined, "nothing to hang");
    const socket = connect(
      Number(dp.address("proxy").split(":")[1]),
      "127.0.0.1",
    );
    await once(socket, "connect");
    socket.end("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    const [data] = (await once(socket, "data")) as [Buffer];
    expect(data.toString()).toContain("404");
    expect(upstream.connections).toBeLessThanOrEqual(2);
  });
});
