/** What came is not an answer that can be passed on. */
export class BadResponse extends Error {
  override readonly name = "BadResponse";
}

/** How the end of a body is known. */
type Framing =
  | { readonly type: "length"; readonly bytes: number }
  | { readonly type: "chunked" }
  | { readonly type: "until-close" };

/** The head of an answer. */
export interface ParsedHead {
  readonly httpVersion: "1.0" | "1.1";
  readonly status: number;
  readonly reason: string;
  /** Names and values by turns. */
  readonly rawHeaders: string[];
  readonly framing: Framing;
  readonly keepAlive: boolean;
  /** How long the upstream says that it keeps an idle connection; undefined when it does not say. */
  readonly keepAliveSeconds: number | undefined;
}

const CHUNKED: Framing = { type: "chunked" };
const UNTIL_CLOSE: Framing = { type: "until-close" };

/** The most headers that an answer may have. */
const MAX_HEADERS = 1_000;

/** Names as RFC 9110 has them. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** Bytes that a head must not have: they end lines for some who read it and not for others. */
// eslint-disable-next-line no-control-regex
const CONTROL = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|(?<!\r)\n/;

/**
 * Reads a head: a status line and headers, without the empty line at their end.
 *
 * @throws BadResponse
 */
export function parseHead(text: string): ParsedHead {
  if (CONTROL.test(text))
    throw new BadResponse("the headers of the answer have control characters");
  const first = text.indexOf("\r\n");
  const lineEnd = first < 0 ? text.length : first;
  const status = readStatus(text, lineEnd);
  const httpVersion = text.charCodeAt(7) === ZERO ? "1.0" : "1.1";
  const rawHeaders = first < 0 ? [] : readLines(text, first + 2);
  return {
    httpVersion,
    status,
    reason: text.slice(13, lineEnd),
    rawHeaders,
    ...readMeaning(rawHeaders, httpVersion),
  };
}

const ZERO = 0x30;
const SPACE = 0x20;
const TAB = 0x09;

/** "HTTP/1.1 200 OK": the reason may be missing, with its space or without. */
function readStatus(text: string, lineEnd: number): number {
  const version = text.charCodeAt(7) - ZERO;
  if (!text.startsWith("HTTP/1.") || (version !== 0 && version !== 1))
    throw new BadResponse("the answer is not HTTP/1.1");
  const status = Number(text.slice(9, 12));
  if (
    lineEnd < 12 ||
    text.charCodeAt(8) !== SPACE ||
    !/^[1-9]\d\d$/.test(text.slice(9, 12)) ||
    (lineEnd > 12 && text.charCodeAt(12) !== SPACE)
  )
    throw new BadResponse("the answer has no status");
  return status;
}

function readLines(text: string, start: number): string[] {
  const raw: string[] = [];
  for (let at = start; at <= text.length;) {
    const found = text.indexOf("\r\n", at);
    const end = found < 0 ? text.length : found;
    const code = text.charCodeAt(at);
    if (code === SPACE || code === TAB) {
      // A line that goes on: an old way to write a long value, which is passed on as one line.
      if (raw.length === 0)
        throw new BadResponse("a header of the answer has no name");
      raw.push(`${raw.pop() ?? ""} ${trimmed(text, at, end)}`);
    } else {
      const colon = text.indexOf(":", at);
      const name = text.slice(at, colon);
      if (colon < 0 || colon >= end || !TOKEN.test(name))
        throw new BadResponse("a header of the answer has no name");
      raw.push(name, trimmed(text, colon + 1, end));
      if (raw.length > 2 * MAX_HEADERS)
        throw new BadResponse("the answer has too many headers");
    }
    at = end + 2;
  }
  return raw;
}

function trimmed(text: string, start: number, end: number): string {
  let from = start;
  let to = end;
  while (from < to && isBlank(text.charCodeAt(from))) from++;
  while (to > from && isBlank(text.charCodeAt(to - 1))) to--;
  return text.slice(from, to);
}

function isBlank(code: number): boolean {
  return code === SPACE || code === TAB;
}

/** What the headers say about the body and the connection. */
function readMeaning(
  raw: readonly string[],
  httpVersion: "1.0" | "1.1",
): Pick<ParsedHead, "framing" | "keepAlive" | "keepAliveSeconds"> {
  let length: number | undefined;
  let framing: Framing | undefined;
  let keepAlive = httpVersion === "1.1";
  let keepAliveSeconds: number | undefined;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? "";
    const value = raw[i + 1] ?? "";
    // Most headers have another length than these.
    if (name.length === 14 && name.toLowerCase() === "content-length") {
      if (length !== undefined || !/^\d{1,15}$/.test(value))
        throw new BadResponse("the length of the answer is not clear");
      length = Number(value);
    } else if (
      name.length === 17 &&
      name.toLowerCase() === "transfer-encoding"
    ) {
      // Chunks are undone here and nothing else: another coding would reach the client without its name.
      if (framing !== undefined || value.toLowerCase() !== "chunked")
        throw new BadResponse("the answer has an unknown transfer coding");
      framing = CHUNKED;
    } else if (name.length === 10) {
      const lower = name.toLowerCase();
      if (lower === "connection") keepAlive = staysOpen(value, keepAlive);
      else if (lower === "keep-alive") {
        const timeout = /\btimeout=(\d{1,9})/i.exec(value)?.[1];
        if (timeout !== undefined) keepAliveSeconds = Number(timeout);
      }
    }
  }
  if (framing !== undefined && length !== undefined)
    throw new BadResponse("the answer has both a length and chunks");
  return {
    framing:
      framing ??
      (length === undefined ? UNTIL_CLOSE : { type: "length", bytes: length }),
    keepAlive,
    keepAliveSeconds,
  };
}

function staysOpen(value: string, before: boolean): boolean {
  const lower = value.toLowerCase();
  if (lower === "keep-alive") return true;
  const tokens = lower.split(",").map((token) => token.trim());
  if (tokens.includes("close")) return false;
  return before || tokens.includes("keep-alive");
}
