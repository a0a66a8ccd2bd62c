import { once } from "node:events";
import {
  request,
  type Agent,
  type IncomingMessage,
  type RequestOptions,
} from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { adminClient, putting, type AdminClient } from "./admin-client.ts";
import { eventually } from "./eventually.ts";
import { HoldfastProcess, startCp } from "./holdfast-process.ts";
import { resource } from "./resources.ts";
import { TempDir } from "./temp-dir.ts";
import { Upstream } from "./upstream.ts";

/** A worker as `/status` tells of it. */
export interface Worker {
  readonly worker: number;
  readonly state: string;
  readonly pid: number;
  readonly revision: string | null;
  readonly restarts: number;
  readonly last_end: string | null;
}

/** What came of a request: a status, or that there was no answer. */
export type Answered = number | "none";

/** How a node with workers differs from an ordinary one. */
export interface WorkerNodeOptions {
  /** Default 2. */
  readonly workers?: number;
  /** The working directory of the data plane. Default: that of the tests. */
  readonly directory?: string;
  /** Further flags of the data plane. */
  readonly flags?: readonly string[];
}

/** A control plane, an upstream, and a data plane with workers that has a route to it: `/`. */
export class WorkerNode implements AsyncDisposable {
  readonly admin: AdminClient;
  readonly cp: HoldfastProcess;
  readonly upstream: Upstream;
  readonly #dir: TempDir;
  readonly #workers: number;
  readonly #options: WorkerNodeOptions;
  #dp: HoldfastProcess | undefined;
  #changes = 0;

  private constructor(
    dir: TempDir,
    cp: HoldfastProcess,
    upstream: Upstream,
    options: WorkerNodeOptions,
  ) {
    this.#dir = dir;
    this.cp = cp;
    this.upstream = upstream;
    this.#options = options;
    this.#workers = options.workers ?? 2;
    this.admin = adminClient(cp.url("admin"));
  }

  static async start(
    handle?: Parameters<typeof Upstream.start>[0],
    options: WorkerNodeOptions = {},
  ): Promise<WorkerNode> {
    const dir = await TempDir.make();
    const node = new WorkerNode(
      dir,
      await startCp(dir.join("cp")),
      await Upstream.start(handle),
      options,
    );
    try {
      await node.#begin();
      return node;
    } catch (error) {
      await node[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #begin(): Promise<void> {
    await this.admin.config.transact({
      operations: [
        putting(
          resource("service", {
            name: "s",
            host: "127.0.0.1",
            port: this.upstream.port,
          }),
        ),
        putting(
          resource("route", {
            name: "r",
            paths: ["/"],
            service: { name: "s" },
          }),
        ),
      ],
    });
    await this.startDp();
    await this.untilServed("1");
  }

  get dp(): HoldfastProcess {
    if (this.#dp === undefined) throw new Error("there is no data plane");
    return this.#dp;
  }

  /** Starts the data plane, on any port or on this one. */
  async startDp(listen = "127.0.0.1:0"): Promise<void> {
    const { directory, flags = [] } = this.#options;
    this.#dp = await HoldfastProcess.startIn(
      directory,
      ...["dp", "--insecure-sync", "--data-dir", this.#dir.join("dp")],
      ...["--control-plane", this.cp.address("sync")],
      ...["--proxy-listen", listen, "--status-listen", "127.0.0.1:0"],
      "--node-id",
      "edge",
      "--workers",
      String(this.#workers),
      ...flags,
    );
  }

  /** Publishes another revision. */
  async change(): Promise<void> {
    await this.admin.config.transact({
      operations: [
        putting(
          resource("service", {
            name: `other-${++this.#changes}`,
            host: "a.example",
          }),
        ),
      ],
    });
  }

  async status(): Promise<{ readonly workers: readonly Worker[] }> {
    const response = await fetch(this.dp.url("status", "/status"));
    return (await response.json()) as { readonly workers: readonly Worker[] };
  }

  /** Waits until all workers serve a revision, and says who they are. */
  untilServed(
    revision: string,
    timeoutMs = 30_000,
  ): Promise<readonly Worker[]> {
    return this.until(
      (workers) =>
        workers.length === this.#workers &&
        workers.every(
          (each) => each.state === "serving" && each.revision === revision,
        ),
      `${this.#workers} workers to serve revision ${revision}`,
      timeoutMs,
    );
  }

  until(
    isSo: (workers: readonly Worker[]) => boolean,
    what: string,
    timeoutMs = 30_000,
  ): Promise<readonly Worker[]> {
    return eventually(
      async () => {
        await delay(20);
        const { workers } = await this.status();
        return isSo(workers) ? workers : undefined;
      },
      what,
      timeoutMs,
    );
  }

  /** Requests that were answered, by all workers together, as the metrics tell. */
  async served(): Promise<number> {
    const page = await (await fetch(this.dp.url("status", "/metrics"))).text();
    return [...page.matchAll(/^holdfast_requests_total\{.*\} (\d+)$/gm)].reduce(
      (sum, [, count]) => sum + Number(count),
      0,
    );
  }

  /** Makes a request. With an agent, over a connection that is kept. */
  get(path = "/", agent?: Agent): Promise<Answered> {
    const [host = "", port] = this.dp.address("proxy").split(":");
    return answerOf({ host, port: Number(port), path, agent: agent ?? false });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#dp?.kill("SIGTERM");
    await this.cp.kill("SIGTERM");
    await this.upstream[Symbol.asyncDispose]();
    await this.#dir[Symbol.asyncDispose]();
  }
}

async function answerOf(options: RequestOptions): Promise<Answered> {
  const sent = request(options);
  sent.end();
  try {
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    response.resume();
    await once(response, "end");
    return response.statusCode ?? "none";
  } catch {
    return "none";
  }
}

/** Whether a process is there. */
export function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
