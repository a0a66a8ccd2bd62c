import type { IncomingHttpHeaders } from "node:http";
import type { Duplex } from "node:stream";
import type { ClientConnection } from "../../plugins/plugin.ts";

/** A message that is read: a client's request, or an upstream's answer. node's IncomingMessage is one. */
export interface ReadMessage {
  /** "1.0", "1.1" or "2". */
  readonly httpVersion: string;
  /** Names and values by turns, without the pseudo-headers of HTTP/2. */
  readonly rawHeaders: string[];
  readonly headers: IncomingHttpHeaders;
  /** All that came after the body; known when it has ended. */
  readonly rawTrailers: string[];
  /** Whether all of it has arrived. */
  readonly complete: boolean;
  /** Whether all of the body has been taken. */
  readonly readableEnded: boolean;
  readonly destroyed: boolean;
  on(event: "data", listener: (chunk: Buffer) => void): this;
  on(event: "end" | "close", listener: () => void): this;
  on(event: "error", listener: (error: Error) => void): this;
  once(event: "end" | "close", listener: () => void): this;
  once(event: "error", listener: (error: Error) => void): this;
  off(event: "data", listener: (chunk: Buffer) => void): this;
  off(event: "end" | "close", listener: () => void): this;
  pause(): this;
  resume(): this;
  /** Gives up what has not arrived: with HTTP/1.1 that ends the connection, with HTTP/2 the stream. */
  destroy(error?: Error): this;
}

/** A client's request, by whichever version of HTTP it came. HTTP/2's `:authority` stands as its Host header. */
export interface DownstreamRequest extends ReadMessage {
  readonly method?: string | undefined;
  /** The request target as it was sent: a path with query, or the absolute form. */
  readonly url?: string | undefined;
  /** All values of each header, apart; names in lower case. */
  readonly headersDistinct: NodeJS.Dict<string[]>;
  /** Whether there is a body whose length no header tells (HTTP/2). With HTTP/1.1 that is Transfer-Encoding's to say. */
  readonly openEnded?: boolean;
}

/** What the client gets, by whichever version of HTTP. node's ServerResponse is one. */
export interface DownstreamResponse {
  readonly headersSent: boolean;
  readonly destroyed: boolean;
  readonly closed: boolean;
  /** Whether the connection serves on after this. Says nothing on HTTP/2. */
  shouldKeepAlive: boolean;
  /** Lets the client send its body. */
  writeContinue(): void;
  /** @throws when the status or a header is not one that can be sent. */
  writeHead(status: number, reason: string, rawHeaders: string[]): unknown;
  /** Sends the head at once instead of with the first bytes of the body. */
  flushHeaders(): void;
  /** False when the client is slower than this: "drain" tells when it has caught up. */
  write(chunk: Buffer): boolean;
  /** What follows the body; before `end`. HTTP/1.1 sends them after a chunked body only. */
  addTrailers(pairs: readonly [name: string, value: string][]): void;
  end(body?: Buffer): unknown;
  /** Sends a whole small body, if that is less work than `end`. */
  endSmall?(body: Buffer): unknown;
  /** Breaks off: with HTTP/1.1 that ends the connection, with HTTP/2 the stream. */
  destroy(error?: Error): unknown;
  on(event: "drain" | "close", listener: () => void): this;
  once(event: "drain" | "close", listener: () => void): this;
  off(event: "drain" | "close", listener: () => void): this;
}

/** A client's connection, as far as it concerns its requests. */
export interface DownstreamConnection extends ClientConnection {
  readonly scheme: "http" | "https";
  /** The server name that the client asked for in its TLS greeting, in lower case; empty for none. */
  readonly serverName: string;
}

/** A request as a listener got it. */
export interface Arrived {
  readonly request: DownstreamRequest;
  readonly response: DownstreamResponse;
  /** The way to the connection itself, when the client asks to upgrade it. */
  readonly upgrade: { readonly take: () => Duplex } | undefined;
  readonly connection: DownstreamConnection;
  /** Whether the client waits for leave to send its body. */
  readonly awaitsContinue: boolean;
}
