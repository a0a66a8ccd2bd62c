import { once } from "node:events";
import {
  connect as connectHttp2,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
  type OutgoingHttpHeaders,
} from "node:http2";
import { connect as connectTls, type TLSSocket } from "node:tls";

/** An HTTP/2 client of one connection. */
export class Http2Client implements AsyncDisposable {
  readonly session: ClientHttp2Session;

  private constructor(session: ClientHttp2Session) {
    this.session = session;
    session.on("error", () => undefined);
  }

  /** Over TLS, believing any certificate. */
  static async secure(port: number, servername = ""): Promise<Http2Client> {
    const session = connectHttp2(`https://localhost:${port}`, {
      host: "127.0.0.1",
      rejectUnauthorized: false,
      ...(servername === "" ? {} : { servername }),
    });
    await once(session, "connect");
    return new Http2Client(session);
  }

  /** In clear text, with prior knowledge. */
  static async clear(port: number): Promise<Http2Client> {
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    await once(session, "connect");
    return new Http2Client(session);
  }

  /** Begins a request. */
  open(
    path: string,
    headers: OutgoingHttpHeaders = {},
    endStream = false,
  ): ClientHttp2Stream {
    const stream = this.session.request(
      { ":path": path, ...headers },
      { endStream },
    );
    stream.on("error", () => undefined);
    return stream;
  }

  /** Sends a request and reads the whole answer; rejects when it breaks off. */
  async ask(
    path: string,
    headers: OutgoingHttpHeaders = {},
    body?: string | Buffer,
  ): Promise<Http2Answer> {
    const stream = this.open(path, headers, body === undefined);
    if (body !== undefined) stream.end(body);
    return read(stream);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.session.closed && this.session.destroyed) return;
    const closed = once(this.session, "close");
    this.session.destroy();
    await closed;
  }
}

export interface Http2Answer {
  readonly status: number | undefined;
  readonly headers: IncomingHttpHeaders & IncomingHttpStatusHeader;
  readonly trailers: IncomingHttpHeaders;
  readonly text: string;
  /** The code that the stream was reset with; 0 when it ended as it should. */
  readonly code: number;
}

/** Reads what answers a request. */
export function read(stream: ClientHttp2Stream): Promise<Http2Answer> {
  return new Promise((resolve) => {
    let headers: IncomingHttpHeaders & IncomingHttpStatusHeader = {};
    let trailers: IncomingHttpHeaders = {};
    const chunks: Buffer[] = [];
    stream.on("response", (got: typeof headers) => {
      headers = got;
    });
    stream.on("trailers", (got: typeof trailers) => {
      trailers = got;
    });
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("error", () => undefined);
    stream.once("close", () => {
      resolve({
        status: headers[":status"],
        headers,
        trailers,
        text: Buffer.concat(chunks).toString("utf8"),
        code: stream.rstCode,
      });
    });
  });
}

/** Opens a TLS connection, believing any certificate, and says whose name that had. */
export async function tlsConnection(
  port: number,
  servername?: string,
  alpn: string[] = ["http/1.1"],
): Promise<{ readonly socket: TLSSocket; readonly subject: string }> {
  const socket = connectTls({
    host: "127.0.0.1",
    port,
    rejectUnauthorized: false,
    ALPNProtocols: alpn,
    ...(servername === undefined ? {} : { servername }),
  });
  socket.on("error", () => undefined);
  await once(socket, "secureConnect");
  return { socket, subject: String(socket.getPeerCertificate().subject.CN) };
}
