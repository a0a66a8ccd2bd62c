import { request as httpRequest, type IncomingHttpHeaders } from "node:http";
import type { Resource } from "../../src/gen/holdfast/config/v1/resource_pb.js";
import { cursorOf } from "../../src/model/cursor.ts";
import { fillDefaults } from "../../src/model/defaults.ts";
import { encodeResource } from "../../src/model/encode.ts";
import { keyOf, kindOfResource } from "../../src/model/kinds.ts";
import { runSlices } from "../../src/model/slices.ts";
import type { Entry } from "../../src/model/bucket.ts";
import { Snapshot } from "../../src/model/snapshot.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import type { HostPort } from "../../src/runtime/host-port.ts";
import { silentLogger } from "../../src/runtime/logger.ts";
import type { Forwarder } from "../../src/dp/gateway/proxy/forward.ts";
import { Gateway } from "../../src/dp/gateway/gateway.ts";
import type { GatewayOptions } from "../../src/dp/gateway/options.ts";
import type { Prepared } from "../../src/dp/gateway/states.ts";

/** The entry of a resource as the catalog stores it. */
export function entryOf(resource: Resource): Entry {
  const filled = fillDefaults(resource);
  const kind = kindOfResource(filled);
  if (kind === undefined) throw new TypeError("no kind is set");
  return {
    key: keyOf(kind, filled.kind.value?.id ?? ""),
    value: encodeResource(filled),
  };
}

/** A snapshot of these resources. */
export function snapshotOf(resources: readonly Resource[]): Snapshot {
  return withEntries(resources.map(entryOf));
}

/** A snapshot of these entries, which may be no resources at all. */
export function withEntries(puts: readonly Entry[]): Snapshot {
  return runSlices(
    Snapshot.empty("default").applySlices({ puts, deletes: [] }),
  );
}

let makeForwarder: (() => Forwarder) | undefined;

/** All test gateways of this file are made with such a forwarder from now on. */
export function useForwarder(make: () => Forwarder): void {
  makeForwarder = make;
}

/** A gateway on a port of its own, for tests. */
export class TestGateway implements AsyncDisposable {
  readonly gateway: Gateway;
  #revision = 0n;

  private constructor(gateway: Gateway) {
    this.gateway = gateway;
  }

  static async start(
    resources: readonly Resource[] = [],
    options: Partial<GatewayOptions> & { readonly tlsListen?: HostPort } = {},
  ): Promise<TestGateway> {
    const gateway = await Gateway.listen({
      listen: { host: "127.0.0.1", port: 0 },
      onUnsupported: "refuse",
      clock: systemClock,
      logger: silentLogger,
      graceMs: 200,
      // Rounds begin with the targets in the order given.
      random: () => 0.999_999,
      ...(makeForwarder === undefined ? {} : { forwarder: makeForwarder() }),
      ...options,
    });
    const test = new TestGateway(gateway);
    await test.serve(resources);
    return test;
  }

  /** One that listens with TLS too. */
  static startSecure(
    resources: readonly Resource[] = [],
    options: Partial<GatewayOptions> = {},
  ): Promise<TestGateway> {
    return TestGateway.start(resources, {
      ...options,
      tlsListen: { host: "127.0.0.1", port: 0 },
    });
  }

  get port(): number {
    return Number(this.gateway.address.split(":").at(-1));
  }

  get tlsPort(): number {
    return Number(this.gateway.tlsAddress.split(":").at(-1));
  }

  get host(): { readonly host: string; readonly port: number } {
    return { host: "127.0.0.1", port: this.port };
  }

  /** Prepares and commits the next revision. */
  async serve(resources: readonly Resource[]): Promise<Prepared> {
    const snapshot = snapshotOf(resources);
    const cursor = cursorOf("epoch", ++this.#revision, snapshot.root);
    const result = await this.gateway.prepare({ cursor, snapshot });
    if (!result.ok)
      throw new Error(`not prepared: ${JSON.stringify(result.violations)}`);
    this.gateway.commit(result.prepared);
    return result.prepared;
  }

  /** Sends a request on a connection of its own. */
  ask(path: string, options: AskOptions = {}): Promise<Asked> {
    return ask(this.port, path, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.gateway.close();
  }
}

export interface AskOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: string | Buffer;
}

/** What came back. */
export interface Asked {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  readonly trailers: NodeJS.ReadOnlyDict<string>;
  readonly text: string;
  /** The body as JSON, of the form that the test says. */
  // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters
  json<T = Record<string, unknown>>(): T;
}

/** Sends one request and reads the whole answer; rejects when that breaks off. */
export function ask(
  port: number,
  path: string,
  { method = "GET", headers = {}, body }: AskOptions = {},
): Promise<Asked> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      {
        host: "127.0.0.1",
        port,
        path,
        method,
        agent: false,
        headers: headers as Record<string, string | string[]>,
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.once("error", reject);
        response.once("end", () => {
          const text = Buffer.concat(chunks).toString("utf8");
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            rawHeaders: response.rawHeaders,
            trailers: response.trailers,
            text,
            // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters
            json: <T>() => JSON.parse(text) as T,
          });
        });
      },
    );
    request.once("error", reject);
    request.end(body);
  });
}
