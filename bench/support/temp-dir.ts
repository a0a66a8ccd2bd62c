import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

/** A directory for the time of a bench. */
export class TempDir implements AsyncDisposable {
  readonly path: string;

  private constructor(directory: string) {
    this.path = directory;
  }

  static async make(): Promise<TempDir> {
    return new TempDir(await mkdtemp(path.join(tmpdir(), "holdfast-bench-")));
  }

  join(...parts: readonly string[]): string {
    return path.join(this.path, ...parts);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
  }
}
