import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  attempted,
  beginCourse,
  connected,
  ended,
  nextAttempt,
  STAGGER_MS,
  withAlternatives,
  type Advice,
  type Course,
} from "../../../src/dp/sync/course.ts";
import { formatHostPort } from "../../../src/runtime/host-port.ts";
import { LIMITS } from "../../../src/sync/limits.ts";

const A = { host: "127.0.0.1", port: 1 };
const B = { host: "127.0.0.1", port: 2 };
const C = { host: "127.0.0.1", port: 3 };
const [a, b, c] = [A, B, C].map(formatHostPort) as [string, string, string];
const none = (): number => 0;
const most = (): number => 0.999_999;
const T = 1_000_000;

/** An attempt that has failed. */
function failed(
  course: Course,
  address: string,
  nowMs: number,
  random = none,
): Course {
  return ended(
    attempted(course, address, nowMs),
    address,
    { reason: "no" },
    nowMs,
    random,
  );
}

/** A control plane that had the node for a while and is lost. */
function lost(
  course: Course,
  address: string,
  nowMs: number,
  leg: { readonly servedMs?: number; readonly retryAfterMs?: number } = {},
  random = none,
): Course {
  return ended(
    connected(attempted(course, address, nowMs), address),
    address,
    { reason: "cut", servedMs: 5_000, ...leg },
    nowMs,
    random,
  );
}

const tries = (address: string): Advice => ({ type: "try", address });
const waits = (untilMs: number): Advice => ({ type: "wait", untilMs });

describe("the order", () => {
  test("the first attempt is due at once, and each is as likely as any other", () => {
    const course = beginCourse([A, B, C]);
    const firsts = [0, 0.34, 0.67].map((random) =>
      nextAttempt(course, T, () => random),
    );
    expect(firsts).toEqual([a, b, c].map(tries));
  });

  test("what fails is followed by the others, each once, before any is tried again", () => {
    let course = failed(beginCourse([A, B, C]), b, T);
    const order = [b];
    for (let i = 0; i < 2; i++) {
      const advice = nextAttempt(course, T, none);
      if (advice.type !== "try") throw new Error(advice.type);
      order.push(advice.address);
      course = failed(course, advice.address, T);
    }
    expect(order.sort()).toEqual([a, b, c]);
  });

  test("no control plane at all is a mistake", () => {
    expect(() => beginCourse([])).toThrow("at least one control plane");
  });
});

describe("one that is lost", () => {
  test("is followed by another within 200 ms", () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 0.999, noNaN: true }), (random) => {
        const course = lost(beginCourse([A, B]), a, T, {}, () => random);
        expect(nextAttempt(course, T + 200, () => random)).toEqual(tries(b));
      }),
    );
  });

  test("is followed at once by one that had failed and was waiting for long", () => {
    let course = beginCourse([A, B]);
    for (let i = 0; i < 9; i++) course = failed(course, b, T, most);
    expect(nextAttempt(attempted(course, a, T), T + 20_000, none)).toEqual(
      waits(T + 29_999.97),
    );
    course = lost(course, a, T + 20_000, {}, most);
    // The lost one waits for less than 250 ms, the other for the jitter alone.
    expect(nextAttempt(course, T + 20_200, none)).toEqual(tries(b));
  });

  test("does so once in 10 s: two that welcome and hang up make no loop without a wait", () => {
    let course = beginCourse([A, B]);
    let nowMs = T;
    let attempts = 0;
    while (nowMs < T + 60_000) {
      const advice = nextAttempt(course, nowMs, () => 0.5);
      if (advice.type === "none") throw new Error("stuck");
      if (advice.type === "wait") {
        nowMs = advice.untilMs;
        continue;
      }
      attempts++;
      course = lost(course, advice.address, nowMs, { servedMs: 1 }, () => 0.5);
    }
    // Alone with its backoff each makes 9 attempts in a minute, and each of 6 renewals adds 1 at most.
    expect(attempts).toBeLessThanOrEqual(2 * 9 + 6);
  });

  test("alone waits for its backoff, which begins anew after a minute of calm", () => {
    let course = beginCourse([A]);
    const bounds = [];
    for (let i = 0; i < 9; i++) {
      course = lost(course, a, T, { servedMs: 59_999 }, most);
      const advice = nextAttempt(course, T, none);
      bounds.push(advice.type === "wait" && Math.round(advice.untilMs - T));
    }
    expect(bounds).toEqual([
      250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000,
    ]);
    course = lost(course, a, T, { servedMs: 60_000 }, most);
    expect(nextAttempt(course, T, none)).toEqual(waits(T + 249.999_75));
  });
});

describe("one that asks to be left alone", () => {
  test("is, while the others are tried", () => {
    let course = lost(beginCourse([A, B]), a, T, { retryAfterMs: 60_000 });
    expect(nextAttempt(course, T, none)).toEqual(tries(b));
    course = failed(course, b, T);
    for (let nowMs = T; nowMs < T + 60_000; nowMs += 5_000)
      expect(nextAttempt(course, nowMs, most)).toEqual(tries(b));
    expect(nextAttempt(course, T + 60_000, none)).toEqual(tries(a));
  });

  test("is when it is the only one, and when the others ask for it too, and no longer than an hour", () => {
    const alone = lost(beginCourse([A]), a, T, { retryAfterMs: 7_000 });
    expect(nextAttempt(alone, T, none)).toEqual(waits(T + 7_000));
    const both = lost(
      lost(beginCourse([A, B]), a, T, { retryAfterMs: 9_000 }),
      b,
      T,
      { retryAfterMs: 8_000 },
    );
    expect(nextAttempt(both, T, none)).toEqual(waits(T + 8_000));
    expect(nextAttempt(both, T + 8_000, none)).toEqual(tries(b));
    const long = lost(beginCourse([A]), a, T, { retryAfterMs: 1e12 });
    expect(nextAttempt(long, T, none)).toEqual(waits(T + LIMITS.retryAfterMs));
  });

  test("is, also when the loss of another makes the rest worth a try", () => {
    let course = lost(beginCourse([A, B]), a, T, { retryAfterMs: 60_000 });
    course = lost(course, b, T + 20_000);
    expect(nextAttempt(course, T + 20_000, none)).toEqual(tries(b));
  });
});

describe("one that does not answer", () => {
  test("has another tried beside it after a second, and is not given up", () => {
    let course = attempted(beginCourse([A, B]), a, T);
    expect(nextAttempt(course, T, none)).toEqual(waits(T + STAGGER_MS));
    expect(nextAttempt(course, T + STAGGER_MS, none)).toEqual(tries(b));
    course = attempted(course, b, T + STAGGER_MS);
    expect(nextAttempt(course, T + 60_000, none)).toEqual({ type: "none" });
    expect(course.candidates.get(a)?.at).toBe("connecting");
  });

  test("does not keep another from being tried again and again", () => {
    let course = attempted(beginCourse([A, B]), a, T);
    course = failed(course, b, T + STAGGER_MS, most);
    expect(nextAttempt(course, T + 2 * STAGGER_MS, none)).toEqual(tries(b));
  });

  test("is given up when another is connected", () => {
    let course = attempted(beginCourse([A, B]), a, T);
    course = connected(attempted(course, b, T + STAGGER_MS), b);
    expect(course.candidates.get(a)).toMatchObject({ at: "idle", failures: 0 });
    expect(course.candidates.get(b)?.at).toBe("connected");
  });
});

describe("other control planes that one names", () => {
  const insecure = { loopbackOnly: true };
  const secure = { loopbackOnly: false };
  const names = (course: Course): readonly string[] => [
    ...course.candidates.keys(),
  ];

  test("are tried when it is lost, in place of those named before, and those listed stay", () => {
    let course = connected(attempted(beginCourse([A]), a, T), a);
    course = withAlternatives(course, [b], T, insecure);
    expect(names(course)).toEqual([a, b]);
    course = lost(course, a, T, { retryAfterMs: 60_000 });
    expect(nextAttempt(course, T, none)).toEqual(tries(b));
    expect(names(withAlternatives(course, [c], T + 10_000, insecure))).toEqual([
      a,
      c,
    ]);
    expect(names(withAlternatives(course, [], T + 10_000, insecure))).toEqual([
      a,
      b,
    ]);
  });

  test("count only if they are addresses, without TLS only those of this machine", () => {
    const course = beginCourse([A]);
    const named = [
      "no address",
      "10.0.0.1:0",
      "10.0.0.1:99999",
      "http://10.0.0.1:5",
      "[::1]:7",
      "10.0.0.1:5",
      "cp.example:5",
      a,
    ];
    expect(names(withAlternatives(course, named, T, insecure))).toEqual([
      a,
      "[::1]:7",
    ]);
    expect(names(withAlternatives(course, named, T, secure))).toEqual([
      a,
      "[::1]:7",
      "10.0.0.1:5",
      "cp.example:5",
    ]);
  });

  test("are few, and come seldom, and keep what is known of them: nobody is sent round and round", () => {
    let course = beginCourse([A]);
    const many = Array.from({ length: 100_000 }, (_, i) => `127.0.0.9:${i}`);
    course = withAlternatives(course, many, T, insecure);
    expect(names(course)).toHaveLength(9);
    const first = "127.0.0.9:1";
    course = failed(course, first, T);
    expect(withAlternatives(course, [b], T + 9_999, insecure)).toBe(course);
    course = withAlternatives(course, [first], T + 10_000, insecure);
    expect(course.candidates.get(first)?.failures).toBe(1);
  });
});

test("whatever happens, something is due or being tried, and never more often than the backoff allows", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 4 }),
      fc.infiniteStream(fc.double({ min: 0, max: 0.999, noNaN: true })),
      fc.array(fc.constantFrom("refuse", "hang", "serve", "drain"), {
        maxLength: 60,
      }),
      (count, randoms, fates) => {
        const random = (): number => Number(randoms.next().value);
        let course = beginCourse(
          Array.from({ length: count }, (_, port) => ({ ...A, port })),
        );
        let nowMs = T;
        const trying: string[] = [];
        for (const fate of fates) {
          let advice = nextAttempt(course, nowMs, random);
          if (advice.type === "wait") {
            expect(advice.untilMs - nowMs).toBeLessThanOrEqual(60_000);
            nowMs = advice.untilMs;
            advice = nextAttempt(course, nowMs, random);
          }
          if (advice.type === "none") {
            expect(trying.length).toBeGreaterThan(0);
            for (const address of trying.splice(0))
              course = ended(course, address, { reason: "" }, nowMs, random);
            continue;
          }
          if (advice.type !== "try") throw new Error("a wait after a wait");
          const { address } = advice;
          expect(trying).not.toContain(address);
          course = attempted(course, address, nowMs);
          if (fate === "hang") trying.push(address);
          else if (fate === "refuse")
            course = ended(course, address, { reason: "" }, nowMs, random);
          else {
            course = connected(course, address);
            trying.splice(0);
            nowMs += random() * 100_000;
            const servedMs = random() * 100_000;
            const retryAfterMs = fate === "drain" ? random() * 60_000 : 0;
            course = ended(
              course,
              address,
              { reason: "", servedMs, retryAfterMs },
              nowMs,
              random,
            );
          }
        }
      },
    ),
  );
});
