import { once } from "node:events";
import { describe, expect, test } from "vitest";
import { PluginGateway } from "../../support/plugin-gateway.ts";
import { id, resource } from "../../support/resources.ts";
import { RawConnection } from "../../support/raw-http.ts";

const TOO_LARGE = "Request size limit exceeded";

async function withLimit(
  config: object,
  use: (plane: PluginGateway) => Promise<void>,
): Promise<void> {
  await using plane = await PluginGateway.start({
    "request-size-limiting": config,
  });
  await use(plane);
}

describe("request-size-limiting of a body whose length is told", () => {
  test.each<[config: object, bytes: number, status: number]>([
    [{ allowed_payload_size: 10, size_unit: "bytes" }, 10, 200],
    [{ allowed_payload_size: 10, size_unit: "bytes" }, 11, 413],
    [{ allowed_payload_size: 2, size_unit: "kilobytes" }, 2048, 200],
    [{ allowed_payload_size: 2, size_unit: "kilobytes" }, 2049, 413],
    [{ allowed_payload_size: 1 }, 1024 * 1024, 200],
    [{ allowed_payload_size: 1 }, 1024 * 1024 + 1, 413],
  ])("with %j, %d bytes: %d", (config, bytes, status) =>
    withLimit(config, async (plane) => {
      const answer = await plane.ask("/api", {
        method: "POST",
        headers: { "content-length": String(bytes) },
        body: Buffer.alloc(bytes),
      });
      expect(answer.status).toBe(status);
      if (status === 413) expect(answer.json()["message"]).toBe(TOO_LARGE);
    }),
  );

  test("says 417 to a client that waits for leave to send it", () =>
    withLimit({ allowed_payload_size: 1 }, async (plane) => {
      const raw = await RawConnection.open(plane.gateway.host);
      await raw.write(
        "POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\nExpect: 100-continue\r\n\r\n",
      );
      const received = await raw.until(/limit exceeded/);
      expect(received).toMatch(/^HTTP\/1\.1 417 /);
      raw.socket.destroy();
    }));
});

describe("request-size-limiting of a body whose length nobody knows", () => {
  const chunked = {
    method: "POST",
    headers: { "transfer-encoding": "chunked" },
  };
  const small = { allowed_payload_size: 100, size_unit: "bytes" };

  test("lets one pass that is not too long", () =>
    withLimit(small, async (plane) => {
      const body = Buffer.alloc(100);
      expect((await plane.ask("/api", { ...chunked, body })).status).toBe(200);
    }));

  test("answers 413 to one that is", () =>
    withLimit(small, async (plane) => {
      const body = Buffer.alloc(101);
      const answer = await plane.ask("/api", { ...chunked, body });
      expect(answer.status).toBe(413);
      expect(answer.json()["message"]).toBe(TOO_LARGE);
    }));

  test("answers as soon as it is too long, and the upstream's request ends", async () => {
    const broken: Promise<unknown>[] = [];
    await using plane = await PluginGateway.start(
      { "request-size-limiting": small },
      {
        upstream: (request) => {
          broken.push(once(request, "aborted"));
          request.on("error", () => undefined).resume();
        },
      },
    );
    const raw = await RawConnection.open(plane.gateway.host);
    const chunk = `40\r\n${"x".repeat(64)}\r\n`;
    await raw.write(
      `POST /api HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${chunk}`,
    );
    await raw.write(chunk);
    expect(await raw.until(/limit exceeded/)).toMatch(/^HTTP\/1\.1 413 /);
    await Promise.all(broken);
    raw.socket.destroy();
  });

  test("counts what another plugin has read already", async () => {
    await using plane = await PluginGateway.start(
      { "request-size-limiting": small, "key-auth": { key_in_body: true } },
      {
        resources: [
          resource("consumer", { id: id(20), username: "ann" }),
          resource("keyauthCredential", {
            id: id(21),
            consumer: { id: id(20) },
            key: "anns",
          }),
        ],
      },
    );
    const statusWith = async (filler: string): Promise<number> =>
      (
        await plane.ask("/api", {
          method: "POST",
          headers: {
            "transfer-encoding": "chunked",
            "content-type": "application/json",
          },
          body: JSON.stringify({ apikey: "anns", filler }),
        })
      ).status;
    expect(await statusWith("short")).toBe(200);
    expect(await statusWith("x".repeat(100))).toBe(413);
  });

  test("refuses it with 411 where the length must be told", () =>
    withLimit({ ...small, require_content_length: true }, async (plane) => {
      const answer = await plane.ask("/api", { ...chunked, body: "x" });
      expect(answer.status).toBe(411);
      expect(answer.json()["message"]).toBe(
        "A valid Content-Length header is required",
      );
      const told = { method: "POST", headers: { "content-length": "1" } };
      expect((await plane.ask("/api", { ...told, body: "x" })).status).toBe(
        200,
      );
    }));
});
