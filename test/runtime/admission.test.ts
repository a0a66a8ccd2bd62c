import { expect, test } from "vitest";
import { Admission, type Entrant } from "../../src/runtime/admission.ts";
import { ManualClock } from "../support/manual-clock.ts";

/** Somebody who wants in. */
class Guest implements Entrant {
  readonly network: string;
  isIn = false;
  isCut = false;

  constructor(network = "a") {
    this.network = network;
  }

  hurry(): void {
    this.isCut = true;
  }
}

/** A clock that may be late. */
class LateClock extends ManualClock {
  #lateMs = 0;

  override monotonic(): number {
    return super.monotonic() + this.#lateMs;
  }

  /** Moves on by ticks that all come late. */
  stall(ticks: number): void {
    for (let i = 0; i < ticks; i++) {
      this.#lateMs += 500;
      this.advance(100);
    }
  }
}

function setUp(places: number) {
  const clock = new LateClock();
  const queue: Guest[] = [];
  const admission = new Admission({
    clock,
    places,
    othersWait: () => queue.length > 0,
    admitOne: () => {
      const guest = queue.shift();
      if (guest === undefined) return false;
      guest.isIn = true;
      admission.enter(guest);
      return true;
    },
  });
  const come = (...guests: Guest[]): void => {
    queue.push(...guests);
    admission.advance();
  };
  const crowd = (count: number, network?: string): Guest[] =>
    Array.from({ length: count }, () => new Guest(network));
  return { clock, admission, come, crowd, queue };
}

test("who does not prove himself makes room for others, is not cut off for that, and comes in before them once proven", async () => {
  const { clock, admission, come } = setUp(1);
  const [slow, second, third] = [new Guest(), new Guest(), new Guest()];
  come(slow);
  clock.advance(60_000);
  come(second);
  expect(second.isIn).toBe(false);
  clock.advance(100);
  expect(second.isIn).toBe(true);
  await admission.proven(second);
  come(third);
  let isBack = false;
  const back = admission.proven(slow).then(() => {
    isBack = true;
  });
  clock.advance(60_000);
  expect(isBack).toBe(false);
  expect(third.isIn).toBe(false);
  admission.leave(second);
  await back;
  expect(third.isIn).toBe(false);
  admission.leave(slow);
  expect(third.isIn).toBe(true);
  expect([slow, second, third].some(({ isCut }) => isCut)).toBe(false);
});

test("one proven who leaves before he has a place again holds up nobody", async () => {
  const { clock, admission, come } = setUp(1);
  const [slow, second, third] = [new Guest(), new Guest(), new Guest()];
  come(slow, second);
  clock.advance(200);
  await admission.proven(second);
  const back = admission.proven(slow);
  admission.leave(slow);
  await back;
  come(third);
  admission.leave(second);
  expect(third.isIn).toBe(true);
});

test("when too many have not proven themselves the oldest are cut off, of those where most come from", () => {
  const { clock, come, crowd, queue } = setUp(64);
  const friend = new Guest("b");
  come(friend);
  const strangers = crowd(2_000);
  come(...strangers);
  const cut = () => strangers.filter(({ isCut }) => isCut).length;
  clock.advance(2_900);
  expect(cut()).toBe(0);
  clock.advance(200);
  expect(cut()).toBeGreaterThan(0);
  clock.advance(6_000);
  expect(queue).toHaveLength(0);
  expect(strangers.findLastIndex(({ isCut }) => isCut)).toBe(cut() - 1);
  expect(cut()).toBeGreaterThanOrEqual(2_001 - 64 - 1_024);
  expect(friend.isCut).toBe(false);
});

test("time in which this process was busy counts little", () => {
  const { clock, come, crowd, queue } = setUp(64);
  come(...crowd(65));
  clock.stall(3);
  expect(queue).toHaveLength(1);
  clock.stall(1);
  expect(queue).toHaveLength(0);
});

test("no timer runs when nobody has anything to prove", async () => {
  const { clock, admission, come } = setUp(1);
  const guest = new Guest();
  come(guest);
  expect(clock.timers).toBe(1);
  await admission.proven(guest);
  clock.advance(100);
  expect(clock.timers).toBe(0);
});
