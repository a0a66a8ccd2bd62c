import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BadResponse } from "../../../../src/dp/gateway/proxy/direct/response-head.ts";
import { ResponseParser } from "../../../../src/dp/gateway/proxy/direct/response-parser.ts";

interface Read {
  readonly status: number;
  readonly reason: string;
  readonly headers: readonly string[];
  readonly body: string;
  readonly trailers: readonly string[] | undefined;
  readonly keeps: boolean;
}

/** What is read of these pieces, as the answer to a request of that method. */
function read(
  pieces: readonly (string | Buffer)[],
  { method = "GET", closes = false } = {},
): Read {
  let status = 0;
  let reason = "";
  let headers: readonly string[] = [];
  let body = "";
  let trailers: readonly string[] | undefined;
  const parser = new ResponseParser({
    onHead: (head) => {
      ({ status, reason, rawHeaders: headers } = head);
    },
    onBody: (chunk) => {
      body += chunk.toString("latin1");
    },
    onEnd: (names) => {
      trailers = names;
    },
  });
  parser.begin(method);
  for (const piece of pieces)
    parser.take(Buffer.isBuffer(piece) ? piece : Buffer.from(piece, "latin1"));
  if (closes) parser.finish();
  return { status, reason, headers, body, trailers, keeps: parser.keeps };
}

describe("an answer", () => {
  test("with a length ends after it, and the connection is kept", () => {
    expect(
      read(["HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A:  b \r\n\r\nhello"]),
    ).toEqual({
      status: 200,
      reason: "OK",
      headers: ["Content-Length", "5", "X-A", "b"],
      body: "hello",
      trailers: [],
      keeps: true,
    });
  });

  test("with chunks ends after the last one and its trailers", () => {
    expect(
      read([
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nX-Sum: 6 \r\n\r\n",
      ]),
    ).toMatchObject({ body: "hello!", trailers: ["X-Sum", "6"], keeps: true });
  });

  test("with neither ends with the connection, which is not kept", () => {
    const text = "HTTP/1.1 200 OK\r\n\r\nhello";
    expect(read([text])).toMatchObject({ trailers: undefined });
    expect(read([text], { closes: true })).toMatchObject({
      body: "hello",
      trailers: [],
      keeps: false,
    });
  });

  test.each([
    ["to HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"],
    ["204", "GET", "HTTP/1.1 204 No Content\r\n\r\n"],
    ["304", "GET", "HTTP/1.1 304 \r\nContent-Length: 5\r\n\r\n"],
  ])("%s has no body, whatever its headers say", (_what, method, text) => {
    expect(read([text], { method })).toMatchObject({
      body: "",
      trailers: [],
      keeps: true,
    });
  });

  test("comes after those that only tell something", () => {
    expect(
      read([
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
        "HTTP/1.1 201\r\nContent-Length: 0\r\n\r\n",
      ]),
    ).toMatchObject({ status: 201, reason: "", trailers: [] });
  });

  test.each([
    ["HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false],
    [
      "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
      true,
    ],
    [
      "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n",
      false,
    ],
  ])("says whether its connection is kept: %j", (text, keeps) => {
    expect(read([text]).keeps).toBe(keeps);
  });

  test("with a header over several lines has it in one", () => {
    expect(
      read(["HTTP/1.1 200 OK\r\nX-A: b\r\n  c\r\nContent-Length: 0\r\n\r\n"])
        .headers,
    ).toEqual(["X-A", "b c", "Content-Length", "0"]);
  });
});

describe("refused is", () => {
  const refused = (text: string): void => {
    expect(() => read([text])).toThrow(BadResponse);
  };

  test("what has very many headers, each of which costs something", () => {
    const answer = (count: number): string =>
      `HTTP/1.1 200 OK\r\n${"a:b\r\n".repeat(count - 1)}Content-Length: 0\r\n\r\n`;
    expect(read([answer(1_000)]).headers).toHaveLength(2_000);
    refused(answer(1_001));
  });

  test.each([
    ["another protocol", "SSH-2.0-hello\r\n\r\n"],
    ["another protocol, before its end", "220 smtp"],
    ["another version", "HTTP/2.0 200 OK\r\n\r\n"],
    ["no status", "HTTP/1.1 \r\n\r\n"],
    ["a status that is none", "HTTP/1.1 099 Odd\r\n\r\n"],
    ["a status of four digits", "HTTP/1.1 2000 Odd\r\n\r\n"],
    ["a header without a colon", "HTTP/1.1 200 OK\r\nhello\r\n\r\n"],
    ["a header with a space", "HTTP/1.1 200 OK\r\nX A: b\r\n\r\n"],
    ["a header that is no name", "HTTP/1.1 200 OK\r\n: b\r\n\r\n"],
    ["a line that continues nothing", "HTTP/1.1 200 OK\r\n X: b\r\n\r\n"],
    ["a bare line feed", "HTTP/1.1 200 OK\r\nX: a\nY: b\r\n\r\n"],
    ["a bare carriage return", "HTTP/1.1 200 OK\r\nX: a\rY: b\r\n\r\n"],
    ["a zero byte", "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n"],
    [
      "two lengths",
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
    ],
    ["a length that is none", "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na"],
    [
      "a length and chunks",
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
    [
      "an unknown coding",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    ],
    [
      "a chunk's size that is none",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
    ],
    [
      "a chunk that is longer than it says",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
    ],
    [
      "a second answer",
      "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n",
    ],
    ["too long a head", `HTTP/1.1 200 OK\r\nX: ${"x".repeat(70_000)}\r\n\r\n`],
    [
      "too long a head without an end",
      `HTTP/1.1 200 OK\r\nX: ${"x".repeat(70_000)}`,
    ],
    [
      "too long a line between chunks",
      `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;${"x".repeat(5_000)}`,
    ],
    [
      "too many trailers",
      `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n${`X: ${"x".repeat(1_000)}\r\n`.repeat(20)}`,
    ],
  ])("%s", (_what, text) => {
    refused(text);
  });
});

test("what is read does not depend on where the pieces are cut", () => {
  const token = fc.stringMatching(/^[A-Za-z][A-Za-z-]{0,11}$/);
  const answer = fc.record({
    status: fc.integer({ min: 200, max: 599 }),
    headers: fc.array(
      fc.tuple(
        token.filter(
          (name) =>
            !/^(content-length|transfer-encoding|connection|keep-alive)$/i.test(
              name,
            ),
        ),
        fc.stringMatching(/^[!-~]{0,20}$/),
      ),
      { maxLength: 5 },
    ),
    chunks: fc.array(fc.stringMatching(/^[\r\na-z0-9;]{1,30}$/), {
      maxLength: 5,
    }),
    chunked: fc.boolean(),
    cuts: fc.array(fc.nat(), { maxLength: 20 }),
  });
  fc.assert(
    fc.property(answer, ({ status, headers, chunks, chunked, cuts }) => {
      const whole = chunks.join("");
      const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`);
      const text = chunked
        ? `HTTP/1.1 ${status} Ok\r\n${lines.join("")}Transfer-Encoding: chunked\r\n\r\n${chunks.map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join("")}0\r\n\r\n`
        : `HTTP/1.1 ${status} Ok\r\n${lines.join("")}Content-Length: ${whole.length}\r\n\r\n${status === 204 || status === 304 ? "" : whole}`;
      if (chunked && (status === 204 || status === 304)) return;
      const places = [0, ...cuts.map((cut) => cut % text.length), text.length];
      places.sort((a, b) => a - b);
      const pieces = places.slice(1).map((to, i) => text.slice(places[i], to));
      const got = read(pieces);
      expect(got.status).toBe(status);
      expect(got.headers.slice(0, headers.length * 2)).toEqual(headers.flat());
      expect(got.body).toBe(status === 204 || status === 304 ? "" : whole);
      expect(got).toMatchObject({ trailers: [], keeps: true });
    }),
  );
});

test("no bytes at all make it throw anything but a refusal", () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(
          fc.uint8Array({ maxLength: 40 }),
          fc.constantFrom(
            "HTTP/1.1 200 OK\r\n",
            "Content-Length: 3\r\n",
            "Transfer-Encoding: chunked\r\n",
            "\r\n",
            "3\r\n",
            "abc",
          ),
        ),
        { maxLength: 10 },
      ),
      (pieces) => {
        try {
          read(
            pieces.map((piece) =>
              typeof piece === "string" ? piece : Buffer.from(piece),
            ),
          );
        } catch (error) {
          expect(error).toBeInstanceOf(BadResponse);
        }
      },
    ),
  );
});
