import type { Clock, Timer } from "./clock.ts";

/** What files were found to hold. */
interface Found {
  /** Changes when any of the files does. */
  readonly digest: string;
}

export interface FollowedFilesOptions<F extends Found, Content> {
  /** Reads the files. Throws an error that names the file, and its flag. */
  readonly read: () => Promise<F>;
  /** Makes of it what is used; called for what has changed only. Throws likewise. */
  readonly check: (found: F) => Content | Promise<Content>;
  readonly clock: Clock;
  /** How often the files are looked at. */
  readonly pollMs: number;
}

/** Who is told of looks at the files. */
export interface Follower<Content> {
  /** Takes up what the files hold now. What it throws makes them unusable, as with `check`. */
  readonly onChange: (next: Content, before: Content) => void;
  /** Hears of files that cannot be used, once of each state that they are in. */
  readonly onUnusable: (reason: string) => void;
  /** Called at the end of every look, as time may have ended something too. */
  readonly onLook?: () => void;
}

/**
 * Files that are followed: what changes in them is taken up without a restart, and what cannot be used (half written,
 * perhaps) changes nothing until a later look finds it whole.
 */
export class FollowedFiles<
  F extends Found,
  Content,
> implements AsyncDisposable {
  readonly #options: FollowedFilesOptions<F, Content>;
  #digest: string;
  #current: Content;
  /** The last state of the files that was not usable: its digest, or why they could not be read. */
  #unusable: string | undefined;
  #follower: Follower<Content> | undefined;
  #polling: Timer | undefined;
  #looking: Promise<void> | undefined;
  #closed = false;

  private constructor(
    options: FollowedFilesOptions<F, Content>,
    digest: string,
    content: Content,
  ) {
    this.#options = options;
    this.#digest = digest;
    this.#current = content;
  }

  /** Reads the files. Throws what `read` and `check` throw. */
  static async open<F extends Found, Content>(
    options: FollowedFilesOptions<F, Content>,
  ): Promise<FollowedFiles<F, Content>> {
    const found = await options.read();
    const content = await options.check(found);
    return new FollowedFiles(options, found.digest, content);
  }

  /** What is in use. */
  get current(): Content {
    return this.#current;
  }

  /** Looks at the files from now on, for one follower. */
  follow(follower: Follower<Content>): void {
    this.#follower = follower;
    this.#poll();
  }

  /** Looks at the files now. Concurrent callers wait for the same look. */
  reload(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#polling?.cancel();
    await this.#looking;
  }

  #poll(): void {
    if (this.#closed) return;
    const { clock, pollMs } = this.#options;
    this.#polling = clock.setTimer(pollMs, () => {
      void this.reload().finally(() => {
        this.#poll();
      });
    });
  }

  async #look(): Promise<void> {
    let digest: string | undefined;
    try {
      const found = await this.#options.read();
      digest = found.digest;
      if (digest === this.#digest) this.#unusable = undefined;
      else if (digest !== this.#unusable) await this.#take(found);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const state = digest ?? reason;
      if (state !== this.#unusable) this.#follower?.onUnusable(reason);
      this.#unusable = state;
    }
    this.#follower?.onLook?.();
  }

  async #take(found: F): Promise<void> {
    const next = await this.#options.check(found);
    const before = this.#current;
    this.#current = next;
    try {
      this.#follower?.onChange(next, before);
    } catch (error) {
      this.#current = before;
      throw error;
    }
    this.#digest = found.digest;
    this.#unusable = undefined;
  }
}
