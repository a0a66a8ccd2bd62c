import { describe, expect, test } from "vitest";
import type { Persistence } from "../../../src/dp/sync/applier.ts";
import type { State } from "../../../src/dp/replica/last-good.ts";
import { eventually } from "../../support/eventually.ts";
import {
  service,
  TestActivation,
  TestControlPlane,
  TestNode,
} from "../../support/link-harness.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { feed, offer } from "../../support/offering.ts";
import { filled } from "../../support/states.ts";
import { PuppetControlPlane } from "../../support/sync-peers.ts";
import { TempDir } from "../../support/temp-dir.ts";

type Tell = (done: number, total: number) => void;

/** Holds a step of an apply until the test lets it go on, and tells how far it is as the test says. */
class Held {
  #tell: Tell | undefined;
  #open: () => void = () => undefined;

  async hold(tell: Tell | undefined): Promise<void> {
    this.#tell = tell;
    await new Promise<void>((resolve) => {
      this.#open = resolve;
    });
  }

  /** Waits for the step to begin. */
  async begun(): Promise<void> {
    await eventually(() => this.#tell !== undefined || undefined, "the step");
  }

  tell(done: number, total: number): void {
    this.#tell?.(done, total);
  }

  open(): void {
    this.#open();
  }
}

class HeldPrepare extends TestActivation {
  readonly held = new Held();

  override async prepare(
    state: State,
    tell?: Tell,
  ): ReturnType<TestActivation["prepare"]> {
    await this.held.hold(tell);
    return super.prepare(state);
  }
}

function heldPersist(held: Held): Persistence {
  return {
    persist: (_state, tell) => held.hold(tell),
    remember: () => Promise.resolve(),
  };
}

describe("while an apply takes long, the control plane hears every 5 s how far it is", () => {
  const state = filled(1, 5);
  const activation = new HeldPrepare();
  const persisted = new Held();
  const cases = {
    prepare: { held: activation.held, options: { activation } },
    persist: {
      held: persisted,
      options: { persistence: () => heldPersist(persisted) },
    },
  };

  test.each(["prepare", "persist"] as const)("in %s", async (step) => {
    const { held, options } = cases[step];
    await using dir = await TempDir.make();
    await using cp = await PuppetControlPlane.start();
    const clock = new ManualClock();
    const node = await TestNode.start(dir, cp.address, { clock, ...options });
    const stream = await cp.welcomed(1);
    await offer(stream, 1n, state);
    await feed(stream, state);
    await held.begun();
    clock.advance(4_999);
    for (let i = 1; i <= 4; i++) {
      held.tell(i, 5);
      clock.advance(i === 1 ? 1_001 : 5_000);
      expect(await stream.heard("report", i)).toMatchObject({
        progress: { seq: 1n, step, done: BigInt(i), total: 5n },
      });
    }
    expect(
      stream.received.filter(({ message }) => message.case === "report"),
    ).toHaveLength(4);
    held.open();
    await stream.heard("ack");
    await node[Symbol.asyncDispose]();
  });
});

test("an apply of five minutes that goes on is not taken for a stall", async () => {
  await using dir = await TempDir.make();
  const clock = new ManualClock();
  await using cp = await TestControlPlane.start(dir, 0, { clock });
  await cp.put(service("a"));
  const activation = new HeldPrepare();
  await using node = await TestNode.start(dir, cp.address, {
    clock,
    activation,
  });
  await activation.held.begun();
  for (let second = 5; second <= 300; second += 5) {
    activation.held.tell(second, 300);
    clock.advance(5_000);
    // What either side says has left before time goes on.
    await eventually(
      async () =>
        ((await node.messages())["out report"] ?? 0) >= second / 5 || undefined,
      "the report",
    );
    await eventually(
      () =>
        Number(cp.nodes.get("default", "node")?.lastSeen?.seconds ?? 0) *
          1000 >=
          clock.now() - 15_000 || undefined,
      "the control plane to hear of it",
    );
  }
  activation.held.open();
  await eventually(
    () => cp.nodes.get("default", "node")?.inSync === true || undefined,
    "the state",
  );
  expect(await node.messages()).toMatchObject({ "in welcome": 1 });
});
