import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { createInterface } from "node:readline";
import {
  createServer as createTlsServer,
  Server as TlsServer,
  type TLSSocket,
} from "node:tls";
import { TempDir } from "./temp-dir.ts";

/** Whether redis-server is installed. */
export const hasRedis = ((): boolean => {
  try {
    execFileSync("redis-server", ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    if (process.env["HOLDFAST_REQUIRE_REDIS"] === "1")
      throw new Error("redis-server is not installed, but required");
    return false;
  }
})();

/** What stands in the names of tests that need it where it is missing. */
export const redisNote = hasRedis
  ? ""
  : " (skipped: redis-server is not installed)";

/**
 * A real Redis server in a folder of its own, behind a port of ours that can be shut ("away") or go silent, as a network
 * does.
 */
export class RedisServer implements AsyncDisposable {
  readonly #dir: TempDir;
  readonly #child: ChildProcess;
  readonly #front: Server;
  readonly #sockets = new Set<Socket>();
  readonly port: number;
  /** The names that clients asked for by TLS, in order. */
  readonly serverNames: string[] = [];
  #open = true;
  #silent = false;

  private constructor(dir: TempDir, child: ChildProcess, front: Server) {
    this.#dir = dir;
    this.#child = child;
    this.#front = front;
    this.port = (front.address() as AddressInfo).port;
    front.on("secureConnection", (socket: TLSSocket) => {
      this.serverNames.push(String(socket.servername));
    });
    front.on(
      front instanceof TlsServer ? "secureConnection" : "connection",
      (socket: Socket) => {
        this.#join(socket);
      },
    );
  }

  static start(...args: readonly string[]): Promise<RedisServer> {
    return RedisServer.#start(createServer(), args);
  }

  /** One that speaks TLS. */
  static startTls(identity: {
    readonly cert: string;
    readonly key: string;
  }): Promise<RedisServer> {
    return RedisServer.#start(createTlsServer(identity), []);
  }

  static async #start(
    front: Server,
    args: readonly string[],
  ): Promise<RedisServer> {
    const dir = await TempDir.make();
    const child = spawn(
      "redis-server",
      [
        ...["--port", "0", "--unixsocket", dir.join("redis.sock")],
        ...["--save", "", "--appendonly", "no", "--dir", dir.path, ...args],
      ],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    for await (const line of createInterface({ input: child.stdout }))
      if (/ready to accept connections/i.test(line)) break;
    child.stdout.resume();
    front.listen(0, "127.0.0.1");
    await once(front, "listening");
    return new RedisServer(dir, child, front);
  }

  /** Connections to it through its port. */
  get connections(): number {
    return this.#sockets.size;
  }

  /** Cuts all connections, and refuses new ones until `comeBack`. */
  goAway(): void {
    this.#open = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Keeps connections, but says nothing any more until `comeBack`. */
  goSilent(): void {
    this.#silent = true;
  }

  comeBack(): void {
    this.#open = true;
    this.#silent = false;
  }

  /** What redis-cli prints. */
  cli(...args: readonly string[]): string {
    return execFileSync("redis-cli", ["-s", this.#socketPath, ...args], {
      encoding: "utf8",
    }).trim();
  }

  get #socketPath(): string {
    return this.#dir.join("redis.sock");
  }

  #join(socket: Socket): void {
    socket.on("error", () => undefined);
    if (!this.#open) {
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    const inner = connect(this.#socketPath);
    inner.on("error", () => undefined);
    socket.on("data", (chunk) => inner.write(chunk));
    inner.on("data", (chunk) => {
      if (!this.#silent) socket.write(chunk);
    });
    socket.on("close", () => {
      this.#sockets.delete(socket);
      inner.destroy();
    });
    inner.on("close", () => socket.destroy());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.goAway();
    this.#front.close();
    this.#child.kill();
    if (this.#child.exitCode === null && this.#child.signalCode === null)
      await once(this.#child, "exit");
    await this.#dir[Symbol.asyncDispose]();
  }
}
