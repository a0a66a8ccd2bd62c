import { Registry } from "prom-client";
import { describe, expect, test } from "vitest";
import { api } from "../../../support/api.ts";
import { TestGateway } from "../../../support/gateway.ts";
import { RawConnection } from "../../../support/raw-http.ts";
import { id, resource } from "../../../support/resources.ts";

const MESSAGE = "no Route matched with those values";

describe("what the gateway says itself", () => {
  test.each([
    [undefined, "application/json; charset=utf-8"],
    ["*/*", "application/json; charset=utf-8"],
    ["application/*", "application/json; charset=utf-8"],
    ["image/png", "application/json; charset=utf-8"],
    ["application/xml", "application/xml; charset=utf-8"],
    ["TEXT/XML", "application/xml; charset=utf-8"],
    ["text/plain", "text/plain; charset=utf-8"],
    ["text/*", "text/plain; charset=utf-8"],
    ["text/html", "text/html; charset=utf-8"],
    [
      "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
      "text/html; charset=utf-8",
    ],
    [
      "text/html;q=0.2, application/json; q=0.7",
      "application/json; charset=utf-8",
    ],
    ["application/json;q=0, text/plain;q=0.1", "text/plain; charset=utf-8"],
    ["text/html;q=high, text/plain;q=0.1", "text/plain; charset=utf-8"],
  ])("to a client that accepts %s is %s", async (accept, type) => {
    await using gateway = await TestGateway.start();
    const answer = await gateway.ask("/x", {
      headers: accept === undefined ? {} : { accept },
    });
    const requestId = String(answer.headers["x-holdfast-request-id"]);
    expect([answer.status, answer.headers["content-type"]]).toEqual([
      404,
      type,
    ]);
    expect(answer.text).toContain(MESSAGE);
    expect(answer.text).toContain(requestId);
    expect(Buffer.byteLength(answer.text)).toBe(
      Number(answer.headers["content-length"]),
    );
  });

  test("is well-formed in each format", async () => {
    await using gateway = await TestGateway.start();
    const inFormat = async (accept: string): Promise<[string, string]> => {
      const answer = await gateway.ask("/x", { headers: { accept } });
      return [answer.text, String(answer.headers["x-holdfast-request-id"])];
    };
    const [json, jsonId] = await inFormat("application/json");
    expect(JSON.parse(json)).toEqual({ message: MESSAGE, request_id: jsonId });
    const [xml, xmlId] = await inFormat("application/xml");
    expect(xml).toBe(
      `<?xml version="1.0" encoding="UTF-8"?>\n<error>\n  <message>${MESSAGE}</message>\n  <requestid>${xmlId}</requestid>\n</error>\n`,
    );
    const [text, textId] = await inFormat("text/plain");
    expect(text).toBe(`${MESSAGE}\nrequest_id: ${textId}\n`);
    const [html] = await inFormat("text/html");
    expect(html).toMatch(/^<!doctype html>\n<html lang="en">/);
    expect(html).toContain(`<h1>${MESSAGE}</h1>`);
  });

  test("HEAD gets the head of it and no body, in any format", async () => {
    await using gateway = await TestGateway.start();
    const head = await gateway.ask("/x", {
      method: "HEAD",
      headers: { accept: "text/html" },
    });
    expect([head.status, head.text, head.headers["content-type"]]).toEqual([
      404,
      "",
      "text/html; charset=utf-8",
    ]);
    expect(Number(head.headers["content-length"])).toBeGreaterThan(0);
  });

  test("reaches a gRPC client as headers", async () => {
    await using gateway = await TestGateway.start();
    const answer = await gateway.ask("/x", {
      method: "POST",
      headers: { "content-type": "application/grpc+proto" },
    });
    expect([answer.status, answer.text]).toEqual([404, ""]);
    expect(answer.headers).toMatchObject({
      "content-type": "application/grpc",
      "content-length": "0",
      "grpc-status": "5",
      "grpc-message": MESSAGE,
    });
  });
});

describe("what a plugin answers", () => {
  const ended = (config: Record<string, unknown>) => [
    ...api(1),
    resource("plugin", {
      id: id(9),
      name: "request-termination",
      config: { status_code: 403, ...config },
    }),
  ];

  test("stays JSON whatever the client accepts", async () => {
    await using gateway = await TestGateway.start(
      ended({ message: "closed <today>" }),
    );
    const answer = await gateway.ask("/api", {
      headers: { accept: "text/html" },
    });
    expect(answer.headers["content-type"]).toBe(
      "application/json; charset=utf-8",
    );
    expect(answer.json()["message"]).toBe("closed <today>");
  });

  test("reaches a gRPC client as headers too", async () => {
    await using gateway = await TestGateway.start(
      ended({ message: "100% geschlößen" }),
    );
    const answer = await gateway.ask("/api", {
      headers: { "content-type": "application/grpc" },
    });
    expect(answer.headers).toMatchObject({
      "grpc-status": "7",
      "grpc-message": "100%25 geschl%C3%B6%C3%9Fen",
    });
  });
});

describe("what cannot be read as a request", () => {
  test.each([
    ["nonsense", "GET / NONSENSE\r\n", 400, "Bad request"],
    [
      "too long headers",
      `GET / HTTP/1.1\r\nX: ${"x".repeat(40_000)}\r\n`,
      400,
      "Request header or cookie too large",
    ],
    ["CONNECT", "CONNECT a:1 HTTP/1.1\r\n", 405, "Method not allowed"],
  ])(
    "is answered too, and counted: %s",
    async (_what, bytes, status, message) => {
      const metrics = new Registry();
      await using gateway = await TestGateway.start([], { metrics });
      const raw = await RawConnection.open(gateway.host);
      await raw.write(`${bytes}\r\n`);
      const text = await raw.until(/\}$/);
      raw.socket.destroy();
      expect(text).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
      expect(text).toContain("Server: holdfast\r\n");
      expect(JSON.parse(text.slice(text.indexOf("{")))).toEqual({
        message,
        request_id: expect.stringMatching(/^[0-9a-f]{32}$/) as string,
      });
      expect(await metrics.metrics()).toContain(
        'holdfast_requests_total{status="4xx",source="gateway",reason="unreadable"} 1',
      );
    },
  );

  test("is answered in the format that was asked for, as far as that was read", async () => {
    await using gateway = await TestGateway.start();
    const raw = await RawConnection.open(gateway.host);
    await raw.write(
      "GET / HTTP/1.1\r\nAccept: text/plain\r\nBad Header: x\r\n\r\n",
    );
    expect(await raw.until(/request_id: \w+\n$/)).toMatch(
      /\r\n\r\nBad request\nrequest_id: /,
    );
    raw.socket.destroy();
  });
});
