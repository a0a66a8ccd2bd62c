import { createHash } from "node:crypto";
import type { Clock } from "../../../runtime/clock.ts";
import { UpstreamAgent, type TlsSettings } from "./upstream-agent.ts";

/**
 * The connections to upstreams, kept and used again, over revisions too. Connections are shared only by services whose
 * TLS settings are the same.
 */
export class AgentPool {
  readonly plain: UpstreamAgent;
  readonly #clock: Clock;
  readonly #secure = new Map<string, UpstreamAgent>();

  constructor(clock: Clock) {
    this.#clock = clock;
    this.plain = new UpstreamAgent(clock);
  }

  /** The connections for these settings. */
  secure(settings: TlsSettings): UpstreamAgent {
    const name = createHash("sha256")
      .update(JSON.stringify(settings))
      .digest("base64");
    let agent = this.#secure.get(name);
    if (agent === undefined)
      this.#secure.set(
        name,
        (agent = new UpstreamAgent(this.#clock, settings)),
      );
    return agent;
  }

  /** Closes the idle connections of all settings but these; the others when their requests are done. */
  keepOnly(used: Pick<ReadonlySet<UpstreamAgent>, "has">): void {
    for (const [name, agent] of this.#secure) {
      if (used.has(agent)) continue;
      this.#secure.delete(name);
      agent.retire();
    }
  }

  /** Connections that are open, in use or idle. */
  openConnections(): number {
    return this.#all().reduce((sum, { open }) => sum + open, 0);
  }

  /** Connections that serve a request. */
  busyConnections(): number {
    return this.#all().reduce((sum, { busy }) => sum + busy, 0);
  }

  /** Closes all connections at once. */
  destroy(): void {
    for (const agent of this.#all()) agent.destroy();
    this.#secure.clear();
  }

  #all(): UpstreamAgent[] {
    return [this.plain, ...this.#secure.values()];
  }
}
