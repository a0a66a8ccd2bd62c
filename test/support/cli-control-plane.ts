import {
  startControlPlane,
  type ControlPlane,
  type ControlPlaneOptions,
} from "../../src/cp/control-plane.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { silentLogger } from "../../src/runtime/logger.ts";
import { runCli, startCli, type CliOptions } from "./cli.ts";
import { TempDir } from "./temp-dir.ts";

/** A real control plane in this process, and commands that are run on it. */
export class CliControlPlane implements AsyncDisposable {
  readonly admin: string;
  /** Where data planes connect: "host:port". */
  readonly sync: string;
  /** The control plane's own folder is not in it alone: tests may write there too. */
  readonly dir: TempDir;
  readonly #plane: ControlPlane;

  private constructor(plane: ControlPlane, dir: TempDir) {
    this.admin = plane.addresses.admin;
    this.sync = plane.addresses.sync;
    this.#plane = plane;
    this.dir = dir;
  }

  /** @param options What is to be other than usual, with the test's folder. */
  static async start(
    options: (dir: TempDir) => Partial<ControlPlaneOptions> = () => ({}),
  ): Promise<CliControlPlane> {
    const dir = await TempDir.make();
    const loopback = { host: "127.0.0.1", port: 0 };
    const plane = await startControlPlane(
      {
        adminListen: loopback,
        syncListen: loopback,
        dataDir: dir.join("cp"),
        insecureSync: true,
        build: "test",
        ...options(dir),
      },
      { clock: systemClock, logger: silentLogger },
    );
    return new CliControlPlane(plane, dir);
  }

  /** Runs a command on it to its end. */
  run(argv: readonly string[], options: CliOptions = {}) {
    return runCli(argv, { env: { HOLDFAST_ADMIN: this.admin }, ...options });
  }

  /** Starts a command on it. */
  start(argv: readonly string[], options: CliOptions = {}) {
    return startCli(argv, { env: { HOLDFAST_ADMIN: this.admin }, ...options });
  }

  /** Applies a file without anything to complain about. */
  async apply(content: string): Promise<void> {
    const done = await this.run(["apply", "-f", "-"], { stdin: content });
    if (done.code !== 0) throw new Error(done.stderr);
  }

  /** What a command prints with -o json. */
  async json(...argv: string[]): Promise<unknown> {
    const done = await this.run([...argv, "-o", "json"]);
    if (done.code !== 0) throw new Error(done.stderr);
    return JSON.parse(done.stdout);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#plane[Symbol.asyncDispose]();
    await this.dir[Symbol.asyncDispose]();
  }
}
