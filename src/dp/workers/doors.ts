import { ListenError, type HostPort } from "../../runtime/host-port.ts";
import type { Crew } from "./crew.ts";
import { withPorts } from "./free-port.ts";
import type { Member } from "./member.ts";
import type { ListenAt, ListenNews } from "./messages.ts";

/** Somebody may take a free port before workers listen on it. */
const PORT_TRIES = 3;

type Refused = Extract<ListenNews, { readonly type: "notListening" }>;

/** Where all workers listen. */
export class Doors {
  #at: ListenAt | undefined;
  #refused: Refused | undefined;
  /** Whether all have listened. */
  #isOpen = false;

  /** Where to listen; undefined before that is wanted. */
  get at(): ListenAt | undefined {
    return this.#refused === undefined ? this.#at : undefined;
  }

  /**
   * Has all workers listen. Port 0: the same for all.
   *
   * @throws ListenError when nothing can listen there.
   */
  async open(
    crew: Crew,
    listen: HostPort,
    tlsListen: HostPort | undefined,
  ): Promise<void> {
    const wanted = [listen, ...(tlsListen === undefined ? [] : [tlsListen])];
    const mayDiffer = wanted.some(({ port }) => port === 0);
    for (let tries = 1; ; tries++) {
      const [plain = listen, secure] = await withPorts(wanted);
      const refused = await this.#try(
        crew,
        secure === undefined ? [plain] : [plain, secure],
      );
      if (refused === undefined) break;
      this.#at = undefined;
      const isTaken = refused.code === "EADDRINUSE";
      if (!isTaken || !mayDiffer || tries === PORT_TRIES)
        throw new ListenError(refused.listen, new Error(refused.reason));
    }
    this.#isOpen = true;
  }

  /** A worker listens, or cannot. */
  tried(member: Member, news: ListenNews): void {
    if (news.type === "listening") return;
    // The first time it is the address that is wrong; later somebody has taken it and may give it back.
    if (this.#isOpen) member.kill(`it cannot listen: ${news.reason}`);
    else this.#refused = news;
  }

  async #try(crew: Crew, at: ListenAt): Promise<Refused | undefined> {
    this.#refused = undefined;
    this.#at = at;
    crew.changed();
    let refused: Refused | undefined;
    await crew.until(() => {
      refused = this.#refused;
      return (
        refused !== undefined ||
        crew.members.every(({ listening }) => listening !== undefined)
      );
    });
    return refused;
  }
}
