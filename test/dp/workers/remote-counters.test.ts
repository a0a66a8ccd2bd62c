import { setImmediate as turn } from "node:timers/promises";
import { expect, test } from "vitest";
import { LocalCounters } from "../../../src/dp/plugins/counters.ts";
import { RemoteCounters } from "../../../src/dp/workers/remote-counters.ts";
import { ManualClock } from "../../support/manual-clock.ts";

const clock = new ManualClock();
const step = (by: number, key = "k") => ({
  key,
  by,
  expiresMs: clock.now() + 3_600_000,
});

/** Workers whose counters are in one place, which answers when it is told to. */
class Shared {
  readonly #counters = new LocalCounters({ clock });
  #answers: (() => void)[] = [];
  messages = 0;
  isFull = false;

  worker(): RemoteCounters {
    const worker: RemoteCounters = new RemoteCounters({
      clock,
      isFull: () => this.isFull,
      send: (id, steps) => {
        this.messages++;
        const values = this.#counters.addNow(steps);
        this.#answers.push(() => worker.answered(id, values));
      },
    });
    return worker;
  }

  async answer(): Promise<void> {
    await turn();
    for (const each of this.#answers) each();
    this.#answers = [];
  }
}

test("all workers add to the same counters, exactly", async () => {
  const shared = new Shared();
  const [a, b] = [shared.worker(), shared.worker()];
  const values = [a, b, a, a, b].map((worker) => worker.add([step(1)]));
  await shared.answer();
  const seen = (await Promise.all(values)).flat();
  expect([...seen].sort()).toEqual([1, 2, 3, 4, 5]);
  const read = b.add([step(0), step(2, "other"), step(0, "other")]);
  await shared.answer();
  expect(await read).toEqual([5, 2, 2]);
});

test("what is asked for in one turn goes in one message", async () => {
  const shared = new Shared();
  const worker = shared.worker();
  const values = [worker.add([step(1)]), worker.add([step(1), step(1, "x")])];
  await shared.answer();
  expect(await Promise.all(values)).toEqual([[1], [2, 1]]);
  expect(shared.messages).toBe(1);
});

test("when no answer comes in time a request goes by what its worker has counted, and its steps are counted all the same", async () => {
  const shared = new Shared();
  const [a, b] = [shared.worker(), shared.worker()];
  for (let i = 0; i < 3; i++) void a.add([step(1)]);
  const early = b.add([step(1)]);
  await turn();
  clock.advance(100);
  expect(await early).toEqual([1]);
  await shared.answer();
  const late = b.add([step(1)]);
  await shared.answer();
  expect(await late).toEqual([5]);
});

test("while the other side does not read, steps wait within bounds, and go out when it does", async () => {
  const shared = new Shared();
  const worker = shared.worker();
  shared.isFull = true;
  const many = Array.from({ length: 12_000 }, () => worker.add([step(1)]));
  await turn();
  expect(shared.messages).toBe(0);
  // Those over the bound are answered at once, by what the worker has counted.
  expect(await many[11_999]).toEqual([12_000]);
  shared.isFull = false;
  void worker.add([step(0)]);
  await shared.answer();
  const counted = shared.worker().add([step(0)]);
  await shared.answer();
  expect(await counted).toEqual([10_000]);
});
