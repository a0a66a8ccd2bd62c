import type { HealthEvent } from "../gateway/upstreams/health/upstream-health.ts";
import type { Member } from "./member.ts";

/** What is asked of a worker here. */
export type HealthMember = Pick<
  Member,
  "isGone" | "observe" | "states" | "probe"
>;

/** What workers know of upstreams' addresses is the same in all of them, and one of them sends the probes. */
export class SharedHealth {
  readonly #members: () => readonly HealthMember[];
  /** New ones that are not told yet what is known, with the states that were found out meanwhile. */
  readonly #waiting = new Map<HealthMember, HealthEvent[]>();
  #prober: HealthMember | undefined;

  constructor(members: () => readonly HealthMember[]) {
    this.#members = members;
  }

  /** A worker has found something out. */
  observed(by: HealthMember, event: HealthEvent): void {
    for (const member of this.#members()) {
      if (member === by) continue;
      const held = this.#waiting.get(member);
      if (held === undefined) member.observe(event);
      // What was only counted is in what it will be told, or is one of the few that may be missing.
      else if (event.state !== undefined) held.push(event);
    }
  }

  /** A worker is new: it hears what another one knows. Whichever answers first, since one of them may hang. */
  async joined(member: HealthMember): Promise<void> {
    const others = this.#members().filter(
      (each) => each !== member && !this.#waiting.has(each),
    );
    const held: HealthEvent[] = [];
    this.#waiting.set(member, held);
    const known = await Promise.any(others.map(statesOf)).catch(() => []);
    // The answer is as old as its way was long.
    for (const event of [...known, ...held]) member.observe(event);
    this.#waiting.delete(member);
  }

  /** Has one of those that serve send the probes, if nobody does. */
  appoint(serving: readonly HealthMember[]): void {
    if (this.#prober?.isGone === false) return;
    const [prober] = serving;
    this.#prober = prober;
    prober?.probe();
  }
}

/** @throws Error when it ends before it answers. */
async function statesOf(member: HealthMember): Promise<readonly HealthEvent[]> {
  const answer = await member.states();
  if (answer.type === "gone") throw new Error("it is gone");
  return answer.value;
}
