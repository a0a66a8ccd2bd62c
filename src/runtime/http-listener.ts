import { once } from "node:events";
import * as http from "node:http";
import * as http2 from "node:http2";
import * as https from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Clock } from "./clock.ts";
import { ListenError, type HostPort } from "./host-port.ts";
import { superviseSession } from "./http2-session.ts";
import { sniff } from "./http-sniff.ts";
import type { Logger } from "./logger.ts";
import type { ListenerTls } from "./tls/listener-tls.ts";

/** A request of either HTTP version. */
export type HttpRequest = http.IncomingMessage | http2.Http2ServerRequest;
/** The answer to a request of either HTTP version. */
export type HttpResponse = http.ServerResponse | http2.Http2ServerResponse;
/** Answers requests. What it throws is logged and answered with 500. */
export type HttpHandler = (
  request: HttpRequest,
  response: HttpResponse,
) => void;

/** How a listener treats its connections. */
export interface HttpLimits {
  /** How long a connection may take to show which HTTP it speaks, and to send the head of a request. Default 10 s. */
  readonly headersMs: number;
  /** How long an HTTP/1.1 request may take to arrive whole. Default 5 min. */
  readonly requestMs: number;
  /** How long an HTTP/1.1 connection is kept between requests. Default 65 s. */
  readonly idleMs: number;
  /** How long an HTTP/2 connection is quiet before it is asked for a sign of life. Default 20 s. */
  readonly pingMs: number;
  /** How long that sign may take. Default 10 s. */
  readonly pingTimeoutMs: number;
  /** Connections at a time; more are closed at once. Default 4096. */
  readonly connections: number;
}

const HTTP_LIMITS: HttpLimits = {
  headersMs: 10_000,
  requestMs: 300_000,
  idleMs: 65_000,
  pingMs: 20_000,
  pingTimeoutMs: 10_000,
  connections: 4096,
};

export interface HttpListenerOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Whether HTTP/2 is spoken on the port too: with prior knowledge, or over TLS by agreement. Default false. */
  readonly http2?: boolean;
  /** What connections are secured with. Absent: they are not. */
  readonly tls?: ListenerTls | undefined;
  readonly limits?: Partial<HttpLimits>;
}

/** How long requests that are under way at a stop get to end by themselves. */
const CLOSE_GRACE_MS = 2_000;

/** HTTP/2 streams that a connection may have at a time. */
const MAX_STREAMS = 256;

/** One port for HTTP/1.1 and, when asked for, HTTP/2; in clear text or over TLS. */
export class HttpListener implements AsyncDisposable {
  /** Where it listens, with the port that the system chose when 0 was asked for. */
  readonly address: HostPort;
  readonly #server: http.Server;
  readonly #clock: Clock;
  readonly #sockets: ReadonlySet<Socket>;
  readonly #sessions: ReadonlySet<http2.Http2Session>;
  #closing: Promise<void> | undefined;

  private constructor(
    server: http.Server,
    address: HostPort,
    clock: Clock,
    sockets: ReadonlySet<Socket>,
    sessions: ReadonlySet<http2.Http2Session>,
  ) {
    this.#server = server;
    this.address = address;
    this.#clock = clock;
    this.#sockets = sockets;
    this.#sessions = sessions;
  }

  /** @throws ListenError */
  static async listen(
    listen: HostPort,
    handler: HttpHandler,
    options: HttpListenerOptions,
  ): Promise<HttpListener> {
    const limits = { ...HTTP_LIMITS, ...options.limits };
    const guarded = guard(handler, options.logger);
    const sockets = new Set<Socket>();
    const sessions = new Set<http2.ServerHttp2Session>();
    const onRequest: http.RequestListener = (request, response) => {
      // A client that keeps its connection alive would keep a closing server alive.
      if (!server.listening) response.setHeader("connection", "close");
      else
        response.once("close", () => {
          if (!server.listening) server.closeIdleConnections();
        });
      guarded(request, response);
    };
    const settings: http.ServerOptions = {
      noDelay: true,
      headersTimeout: limits.headersMs,
      requestTimeout: limits.requestMs,
      keepAliveTimeout: limits.idleMs,
      connectionsCheckingInterval: Math.min(
        1_000,
        Math.ceil(limits.headersMs / 4),
      ),
    };
    const { tls } = options;
    const server =
      tls === undefined
        ? http.createServer(settings, onRequest)
        : https.createServer(
            { ...settings, ...securing(tls, limits, options.http2 === true) },
            onRequest,
          );
    server.maxConnections = limits.connections;
    server.on("connection", (socket: Socket) => {
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket));
    });
    if (options.http2 === true) {
      const second = http2Server(guarded, sessions, limits, options);
      if (tls === undefined)
        divert(server, second, { ...options, timeoutMs: limits.headersMs });
      else divertAgreed(server, second);
    }
    if (server instanceof https.Server && tls !== undefined)
      follow(server, tls, sockets, options.logger);

    const bound = await bind(server, listen);
    server.on("error", (error) => {
      options.logger.error("http.listener_failed", { err: error });
    });
    return new HttpListener(server, bound, options.clock, sockets, sessions);
  }

  /**
   * Accepts nothing new, lets what is under way end for `graceMs` and then cuts it off. Concurrent callers wait for the
   * same closing.
   */
  close(graceMs = CLOSE_GRACE_MS): Promise<void> {
    this.#closing ??= this.#close(graceMs);
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(graceMs: number): Promise<void> {
    // Closes idle HTTP/1.1 connections too; those that become idle later are closed after their answer.
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => {
        resolve();
      });
    });
    // http2 connections would stay: a server's close only waits for them.
    for (const session of this.#sessions) session.close();
    // Nor is a connection idle to Node that has not said anything yet.
    for (const socket of this.#sockets)
      if (socket.bytesRead === 0) socket.destroy();
    const force = this.#clock.setTimer(graceMs, () => {
      for (const socket of this.#sockets) socket.destroy();
    });
    await closed;
    force.cancel();
  }
}

async function bind(server: http.Server, listen: HostPort): Promise<HostPort> {
  try {
    server.listen(listen.port, listen.host);
    await once(server, "listening");
  } catch (error) {
    throw new ListenError(listen, error);
  }
  return { host: listen.host, port: (server.address() as AddressInfo).port };
}

/**
 * Puts a look at the first bytes before the server's own handling of a connection. The HTTP/1.1 server is the one that
 * listens: one that is only handed connections does not enforce its timeouts.
 */
function divert(
  server: http.Server,
  second: http2.Http2Server,
  options: { readonly clock: Clock; readonly timeoutMs: number },
): void {
  const [serveHttp1, ...others] = server.listeners("connection");
  if (serveHttp1 === undefined)
    throw new TypeError("an HTTP server without a connection listener");
  server.removeAllListeners("connection");
  for (const other of others)
    server.on("connection", other as (socket: Socket) => void);
  server.on("connection", (socket: Socket) => {
    sniff(socket, options, (version) => {
      if (version === "http/2") second.emit("connection", socket);
      else Reflect.apply(serveHttp1, server, [socket]);
    });
  });
}

/** What handshakes are done with. Who has to show a certificate and does not gets no further than that. */
function securing(
  tls: ListenerTls,
  limits: HttpLimits,
  offersHttp2: boolean,
): https.ServerOptions {
  const { context, ticketKeys } = tls.current;
  return {
    ...context,
    ticketKeys,
    requestCert: tls.wantsClientCertificates,
    rejectUnauthorized: tls.wantsClientCertificates,
    ALPNProtocols: offersHttp2 ? ["h2", "http/1.1"] : ["http/1.1"],
    handshakeTimeout: limits.headersMs,
  };
}

/** Takes up what changes in the files. When others are trusted, nobody stays whom the old authorities have let in. */
function follow(
  server: https.Server,
  tls: ListenerTls,
  sockets: ReadonlySet<Socket>,
  logger: Logger,
): void {
  server.on("tlsClientError", (error) => {
    logger.debug("http.handshake_failed", { err: error });
  });
  // Before the connection is handed on.
  server.prependListener("secureConnection", (socket: TLSSocket) => {
    if (!tls.admits(socket)) socket.destroy();
  });
  tls.onChange(({ context, ticketKeys }, othersTrusted) => {
    server.setSecureContext(context);
    server.setTicketKeys(ticketKeys);
    if (othersTrusted) for (const socket of sockets) socket.destroy();
  });
}

/** Hands secured connections to the HTTP that they have agreed upon. */
function divertAgreed(server: http.Server, second: http2.Http2Server): void {
  const [serveHttp1, ...others] = server.listeners("secureConnection");
  if (serveHttp1 === undefined || others.length > 0)
    throw new TypeError("an HTTPS server without one connection listener");
  server.removeAllListeners("secureConnection");
  server.on("secureConnection", (socket: TLSSocket) => {
    if (socket.alpnProtocol === "h2") second.emit("connection", socket);
    else Reflect.apply(serveHttp1, server, [socket]);
  });
}

function http2Server(
  handler: HttpHandler,
  sessions: Set<http2.ServerHttp2Session>,
  limits: HttpLimits,
  { clock, logger }: HttpListenerOptions,
): http2.Http2Server {
  const server = http2.createServer(
    { settings: { maxConcurrentStreams: MAX_STREAMS } },
    handler,
  );
  server.on("session", (session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
    superviseSession(session, { ...limits, clock });
  });
  // A peer's mistake ends its connection and nothing else.
  server.on("sessionError", (error) => {
    logger.debug("http2.session_failed", { err: error });
  });
  return server;
}

function guard(handler: HttpHandler, logger: Logger): HttpHandler {
  return (request, response) => {
    try {
      handler(request, response);
    } catch (error) {
      logger.error("http.request_failed", {
        method: request.method,
        err: error,
      });
      if (!response.headersSent) response.writeHead(500);
      response.end();
    }
  };
}
