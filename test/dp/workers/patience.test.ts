import { expect, test } from "vitest";
import { Heartbeat, Silence } from "../../../src/dp/workers/patience.ts";
import { GONE, Questions } from "../../../src/dp/workers/questions.ts";
import { ManualClock } from "../../support/manual-clock.ts";

const patience = { heartbeatMs: 1_000, heartbeats: 3, silenceMs: 5_000 };

test("a worker is asked for signs of life again and again, and is found silent when it has missed as many in a row as it may", () => {
  const clock = new ManualClock();
  let asked = 0;
  const silent: number[] = [];
  const heartbeat = new Heartbeat({
    clock,
    patience,
    ask: () => {
      asked++;
    },
    onSilent: (seconds) => {
      silent.push(seconds);
    },
  });
  heartbeat.begin();
  clock.advance(3_000);
  expect(asked).toBe(3);
  heartbeat.heard();
  clock.advance(3_000);
  expect([asked, silent]).toEqual([6, []]);
  clock.advance(1_000);
  expect([asked, silent]).toEqual([6, [3]]);
  expect(clock.timers).toBe(0);
});

test("one that is gone is asked no more", () => {
  const clock = new ManualClock();
  const heartbeat = new Heartbeat({
    clock,
    patience,
    ask: () => {
      throw new Error("asked");
    },
    onSilent: () => undefined,
  });
  heartbeat.begin();
  heartbeat.stop();
  clock.advance(10_000);
  expect(clock.timers).toBe(0);
});

test("silence begins anew with every word, and is told unless it has ended", () => {
  const clock = new ManualClock();
  const silent: number[] = [];
  const silence = new Silence({ clock, patience }, (seconds) => {
    silent.push(seconds);
  });
  clock.advance(4_999);
  silence.heard();
  clock.advance(4_999);
  expect(silent).toEqual([]);
  clock.advance(1);
  expect(silent).toEqual([5]);
  silence.heard();
  silence.end();
  clock.advance(10_000);
  expect(silent).toEqual([5]);
});

test("a question is answered once, by its key; with a worker that ends, all that wait and all that come are answered that it is gone", async () => {
  const questions = new Questions();
  const [first, second, third] = ["a 1", "a 2", "b"].map((key) =>
    questions.ask<number>(key),
  );
  questions.answer("a 2", 2);
  questions.answer("a 2", 3);
  questions.answer("nobody's", 4);
  expect(await second).toEqual({ type: "answer", value: 2 });
  questions.drop("b");
  expect(await third).toEqual(GONE);
  questions.end();
  expect(await first).toEqual(GONE);
  expect(await questions.ask("late")).toEqual(GONE);
});
