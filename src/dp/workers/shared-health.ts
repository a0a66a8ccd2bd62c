import type { HealthEvent } from "../gateway/upstreams/health/upstream-health.ts";
import type { Member } from "./member.ts";

/** What workers know of upstreams' addresses is the same in all of them, and one of them sends the probes. */
export class SharedHealth {
  readonly #members: () => readonly Member[];
  #prober: Member | undefined;

  constructor(members: () => readonly Member[]) {
    this.#members = members;
  }

  /** A worker has found something out. */
  observed(by: Member, event: HealthEvent): void {
    for (const member of this.#members())
      if (member !== by) member.observe(event);
  }

  /** A worker is new: it hears what another one knows. */
  async joined(member: Member): Promise<void> {
    const other = this.#members().find((each) => each !== member);
    const answer = await other?.states();
    if (answer?.type !== "answer") return;
    for (const event of answer.value) member.observe(event);
  }

  /** Has one of those that serve send the probes, if nobody does. */
  appoint(serving: readonly Member[]): void {
    if (this.#prober?.isGone === false) return;
    const [prober] = serving;
    this.#prober = prober;
    prober?.probe();
  }
}
