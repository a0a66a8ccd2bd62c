import { open } from "node:fs/promises";
import { Counter, type Registry } from "prom-client";
import type { Clock } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/logger.ts";
import { LineFile, type LineTarget } from "../../runtime/line-file.ts";
import type { LogEntry } from "./log-entry.ts";

/** The access log cannot be written. */
class AccessLogError extends Error {
  override readonly name = "AccessLogError";

  constructor(path: string, cause: unknown) {
    super(
      `the access log "${path}" cannot be opened for writing: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
}

/** Writes a line of JSON for each request that is over. */
export class AccessLog implements AsyncDisposable {
  readonly #lines: LineFile;

  private constructor(lines: LineFile) {
    this.#lines = lines;
  }

  /**
   * @param target "stdout", or the path of a file, which is made if need be and appended to.
   * @throws AccessLogError when the file cannot be opened.
   */
  static async open(
    target: string,
    {
      clock,
      logger,
      metrics,
    }: {
      readonly clock: Clock;
      readonly logger: Logger;
      readonly metrics: Registry | undefined;
    },
  ): Promise<AccessLog> {
    const dropped =
      metrics === undefined
        ? undefined
        : new Counter({
            name: "holdfast_access_log_dropped_total",
            help: "Lines of the access log that were given up because it cannot be written as fast, or at all.",
            registers: [metrics],
          });
    const to: LineTarget = target === "stdout" ? { fd: 1 } : { path: target };
    try {
      return new AccessLog(
        await LineFile.open(to, {
          clock,
          logger,
          name: "access_log",
          onDrop: () => dropped?.inc(),
        }),
      );
    } catch (error) {
      throw new AccessLogError(target, error);
    }
  }

  /** Writes a request down. Never waits, never throws. */
  write(entry: LogEntry): void {
    this.#lines.write(accessLine(entry));
  }

  /** Goes on in a new file of the same name, after the one so far was moved away. */
  reopen(): void {
    this.#lines.reopen();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#lines[Symbol.asyncDispose]();
  }
}

/**
 * Says at the start what would go wrong later.
 *
 * @throws AccessLogError when the file cannot be opened.
 */
export async function checkAccessLog(target: string): Promise<void> {
  if (target === "stdout") return;
  try {
    await (await open(target, "a", 0o600)).close();
  } catch (error) {
    throw new AccessLogError(target, error);
  }
}

/** A request as the access log tells it: one line, with its end. */
function accessLine(entry: LogEntry): string {
  const { request, response, latencies } = entry;
  const line = {
    event: "request",
    time: new Date(entry.startedAt).toISOString(),
    request_id: entry.requestId,
    client_ip: entry.clientIp,
    method: request.method,
    scheme: request.scheme,
    host: request.host,
    uri: request.uri,
    http_version: request.httpVersion,
    user_agent: request.userAgent,
    status: response.status,
    source: entry.source,
    reason: entry.reason,
    bytes_received: request.bodySize,
    bytes_sent: response.bodySize,
    request_ms: latencies.request,
    gateway_ms: latencies.gateway,
    upstream_ms: latencies.proxy,
    revision: entry.revision === 0n ? null : String(entry.revision),
    route: named(entry.route),
    service: named(entry.service),
    consumer:
      entry.consumer === undefined
        ? null
        : { id: entry.consumer.id, username: entry.consumer.username },
    targets: entry.tries.map(({ host, port }) =>
      host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`,
    ),
    upstream_status: entry.upstreamStatus ?? null,
    upstream_uri: entry.upstreamUri,
  };
  return `${JSON.stringify(line)}\n`;
}

function named(
  of: { readonly id: string; readonly name: string } | undefined,
): { readonly id: string; readonly name: string } | null {
  return of === undefined ? null : { id: of.id, name: of.name };
}
