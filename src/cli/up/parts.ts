import path from "node:path";
import { formatHostPort, type HostPort } from "../../runtime/host-port.ts";
import type { Context } from "../command.ts";
import { Child, describeEnd } from "./child.ts";
import { commandLine } from "./command-line.ts";

/** A child of `holdfast up` and what a person may want to know when it is gone. */
export interface Part {
  readonly child: Child;
  /** A command line that starts it alone again, at the same place. */
  readonly restart: string;
}

/** Where everything is to listen and to keep its data. */
export interface UpOptions {
  readonly dataDir: string;
  readonly proxyListen: HostPort;
  readonly adminListen: HostPort;
  readonly syncListen: HostPort;
  readonly statusListen: HostPort;
  readonly echoListen: readonly HostPort[];
  readonly logLevel: string;
}

/** The children of one `holdfast up`: started one by one, reported when they die, stopped together. */
export class Parts implements AsyncDisposable {
  readonly #context: Context;
  readonly #options: UpOptions;
  readonly #children: Child[] = [];
  #stopping = false;

  constructor(context: Context, options: UpOptions) {
    this.#context = context;
    this.#options = options;
  }

  async startEcho(): Promise<Part & { addresses: readonly string[] }> {
    const args = (listen: readonly string[]) => [
      "echo",
      ...listen.flatMap((at) => ["--listen", at]),
    ];
    const child = await this.#start(
      "echo upstream",
      args(this.#options.echoListen.map(formatHostPort)),
    );
    const addresses = textsOf(child.ready["addresses"]);
    return {
      addresses,
      ...this.#part(
        child,
        args(addresses),
        "Requests to the upstream fail until it is back; the rest goes on.",
      ),
    };
  }

  async startControlPlane(): Promise<Part & { admin: string; sync: string }> {
    const { dataDir, adminListen, syncListen } = this.#options;
    const args = (admin: string, sync: string) => [
      ...["cp", "--admin-listen", admin, "--sync-listen", sync],
      ...["--data-dir", path.join(dataDir, "cp"), "--insecure-sync"],
    ];
    const child = await this.#start(
      "control plane",
      args(formatHostPort(adminListen), formatHostPort(syncListen)),
    );
    const admin = textOf(child.ready["admin"]);
    const sync = textOf(child.ready["sync"]);
    return {
      admin,
      sync,
      ...this.#part(
        child,
        args(admin, sync),
        "Data planes go on serving what they have; changes wait until it is back.",
      ),
    };
  }

  async startDataPlane(
    sync: string,
  ): Promise<Part & { proxy: string; status: string }> {
    const { dataDir, proxyListen, statusListen } = this.#options;
    const args = (proxy: string, status: string) => [
      ...["dp", "--control-plane", sync],
      ...["--proxy-listen", proxy, "--status-listen", status],
      ...["--data-dir", path.join(dataDir, "dp")],
      ...["--on-unsupported", "fail-route", "--insecure-sync"],
    ];
    const child = await this.#start(
      "data plane",
      args(formatHostPort(proxyListen), formatHostPort(statusListen)),
    );
    const proxy = textOf(child.ready["proxy"]);
    const status = textOf(child.ready["status"]);
    return {
      proxy,
      status,
      ...this.#part(
        child,
        args(proxy, status),
        "Nothing is proxied until it is back; the rest goes on.",
      ),
    };
  }

  /** Ends all that still run, all at the same time. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#children.map((child) => child.stop()));
  }

  async #start(title: string, argv: readonly string[]): Promise<Child> {
    const { io, env } = this.#context;
    const child = await Child.start({
      title,
      program: io.program,
      argv: [...argv, "--log-level", this.#options.logLevel],
      env,
      log: io.stderr,
      signal: io.stop,
    });
    this.#children.push(child);
    return child;
  }

  /** From here on the end of the child is told to a person. */
  #part(child: Child, argv: readonly string[], meanwhile: string): Part {
    const { io, env } = this.#context;
    const restart = commandLine(io.program, argv, env);
    void child.ended.then((end) => {
      if (this.#stopping || io.stop.aborted) return;
      io.stderr.write(
        `\nThe ${child.title} (pid ${child.pid}) ${describeEnd(end)}. ${meanwhile}\nStart it again with:\n  ${restart}\n`,
      );
    });
    return { child, restart };
  }
}

function textOf(value: unknown): string {
  if (typeof value !== "string")
    throw new TypeError(`${String(value)} is not an address`);
  return value;
}

function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.map(textOf) : [];
}
