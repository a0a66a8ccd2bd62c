import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { api } from "../../../support/api.ts";
import { TestGateway } from "../../../support/gateway.ts";
import { RawConnection } from "../../../support/raw-http.ts";
import { Upstream } from "../../../support/upstream.ts";

let upstream: Upstream;
let gateway: TestGateway;
const seen: string[] = [];

beforeAll(async () => {
  upstream = await Upstream.start((request, response) => {
    seen.push(`${request.method ?? ""} ${request.url ?? ""}`);
    request.resume();
    request.on("end", () => response.end("passed"));
  });
  gateway = await TestGateway.start(api(upstream.port));
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await upstream[Symbol.asyncDispose]();
});

/** What the gateway says to these bytes before it closes, or once it has answered. */
async function said(bytes: string): Promise<string> {
  seen.length = 0;
  const client = await RawConnection.open(gateway.host);
  await client.write(bytes);
  const text = await client
    .until(/\r\n\r\n[^]*(\}|passed|\n)$/)
    .catch(() => client.received);
  client.socket.destroy();
  return text;
}

const SMUGGLED = "GET /api/smuggled HTTP/1.1\r\nHost: x\r\n\r\n";

/** More headers than node shows of a request when it is not told otherwise. */
const MANY = Array.from({ length: 2_100 }, () => "a:b");

/** A request with these lines between the first one and the body. */
function post(lines: readonly string[], body = ""): string {
  return `POST /api HTTP/1.1\r\nHost: x\r\n${lines.map((line) => `${line}\r\n`).join("")}\r\n${body}`;
}

describe("a request that could be read in two ways is refused, and nothing of it goes on:", () => {
  test.each<[string, string]>([
    [
      "Content-Length and Transfer-Encoding",
      post(
        ["Content-Length: 5", "Transfer-Encoding: chunked"],
        `0\r\n\r\n${SMUGGLED}`,
      ),
    ],
    [
      "Transfer-Encoding and Content-Length",
      post(
        ["Transfer-Encoding: chunked", "Content-Length: 5"],
        `0\r\n\r\n${SMUGGLED}`,
      ),
    ],
    [
      "two lengths that differ",
      post(["Content-Length: 5", "Content-Length: 6"], "hello!"),
    ],
    [
      "two lengths that agree",
      post(["Content-Length: 5", "Content-Length: 5"], "hello"),
    ],
    ["a list of lengths", post(["Content-Length: 5, 5"], "hello")],
    ["a signed length", post(["Content-Length: +5"], "hello")],
    ["a negative length", post(["Content-Length: -5"], "hello")],
    ["a hexadecimal length", post(["Content-Length: 0x5"], "hello")],
    [
      "a length that overflows",
      post(["Content-Length: 99999999999999999999999"], "hello"),
    ],
    ["an empty length", post(["Content-Length:"], SMUGGLED)],
    ["a length in two words", post(["Content-Length: 5 0"], "hello")],
    ["a folded line", post(["Content-Length: 5", "X-A: b", " c: d"], "hello")],
    [
      "a folded Transfer-Encoding",
      post(["Transfer-Encoding:", " chunked"], `0\r\n\r\n`),
    ],
    ["a space before the colon", post(["Content-Length : 5"], "hello")],
    [
      "a tab before the colon",
      post(["Transfer-Encoding\t: chunked"], "0\r\n\r\n"),
    ],
    ["a line that begins with a space", post([" Content-Length: 5"], "hello")],
    ["a header without a colon", post(["Content-Length 5"], "hello")],
    ["a control character in a name", post(["X-\x00A: b"])],
    ["a NUL in a value", post(["X-A: b\x00c"])],
    ["a lone CR in a value", post(["X-A: b\rContent-Length: 5"], "hello")],
    [
      "a lone LF between lines",
      "POST /api HTTP/1.1\nHost: x\nContent-Length: 5\n\nhello",
    ],
    ["an unknown coding", post(["Transfer-Encoding: identity"], "hello")],
    ["a misspelt coding", post(["Transfer-Encoding: xchunked"], "hello")],
    ["a quoted coding", post(['Transfer-Encoding: "chunked"'], "0\r\n\r\n")],
    [
      "chunked and then another coding",
      post(["Transfer-Encoding: chunked, gzip"], "0\r\n\r\n"),
    ],
    [
      "another coding and then chunked",
      post(["Transfer-Encoding: gzip, chunked"], "0\r\n\r\n"),
    ],
    [
      "chunked twice",
      post(
        ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
        "0\r\n\r\n",
      ),
    ],
    [
      "chunked and identity",
      post(
        ["Transfer-Encoding: chunked", "Transfer-Encoding: identity"],
        "0\r\n\r\n",
      ),
    ],
    [
      "a vertical tab in the coding",
      post(["Transfer-Encoding: \x0bchunked"], "0\r\n\r\n"),
    ],
    [
      "Transfer-Encoding in HTTP/1.0",
      "POST /api HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ["no Host", "GET /api HTTP/1.1\r\n\r\n"],
    ["two Hosts", "GET /api HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"],
    ["a Host that is none", "GET /api HTTP/1.1\r\nHost: x y\r\n\r\n"],
    ["a Host with a user", "GET /api HTTP/1.1\r\nHost: u@x\r\n\r\n"],
    [
      "a path that does not begin with a slash",
      "GET api HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ["a space in the path", "GET /api a HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["an unknown version", "GET /api HTTP/1.2\r\nHost: x\r\n\r\n"],
    ["HTTP/0.9", "GET /api\r\n\r\n"],
    [
      "a scheme that is not HTTP's",
      "GET ftp://x/api HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    [
      "a length behind very many headers",
      post([...MANY, `Content-Length: ${SMUGGLED.length}`], SMUGGLED),
    ],
    [
      "a length behind very many headers and a wish to upgrade",
      post(
        [
          "Connection: upgrade",
          "Upgrade: foo",
          ...MANY,
          `Content-Length: ${SMUGGLED.length}`,
        ],
        SMUGGLED,
      ),
    ],
    [
      "chunked behind very many headers",
      post(
        [...MANY, "Transfer-Encoding: chunked"],
        `${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`,
      ),
    ],
    ["no method", " /api HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["a method that is none", "GE(T /api HTTP/1.1\r\nHost: x\r\n\r\n"],
  ])("%s", async (_what, bytes) => {
    const text = await said(bytes);
    expect(text).toMatch(/^(HTTP\/1\.1 400 |$)/);
    expect(seen).toEqual([]);
  });
});

describe("a body whose chunks make no sense never looks whole to the upstream:", () => {
  test.each<[string, string]>([
    ["a size that is no number", "z\r\nhello\r\n0\r\n\r\n"],
    ["a negative size", "-5\r\nhello\r\n0\r\n\r\n"],
    ["a size with 0x", "0x5\r\nhello\r\n0\r\n\r\n"],
    ["a size that overflows", "fffffffffffffffff\r\nhello\r\n0\r\n\r\n"],
    ["a size that is too small", "4\r\nhello\r\n0\r\n\r\n"],
    ["a space before the size", " 5\r\nhello\r\n0\r\n\r\n"],
    ["a space after the size", "5 \r\nhello\r\n0\r\n\r\n"],
    ["an LF instead of CRLF after the size", "5\nhello\r\n0\r\n\r\n"],
    ["an LF instead of CRLF after the chunk", "5\r\nhello\n0\r\n\r\n"],
    ["an LF in a chunk's extension", "5;a\nb\r\nhello\r\n0\r\n\r\n"],
    ["an LF at the end", "5\r\nhello\r\n0\r\n\n"],
  ])("%s", async (_what, body) => {
    const text = await said(post(["Transfer-Encoding: chunked"], body));
    expect(text).toMatch(/^(HTTP\/1\.1 400 |$)/);
    expect(text).not.toContain("passed");
  });
});
