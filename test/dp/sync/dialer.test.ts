import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { Dialer } from "../../../src/dp/sync/dialer.ts";
import { formatHostPort } from "../../../src/runtime/host-port.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { RecordingLogger } from "../../support/recording-logger.ts";

const A = { host: "127.0.0.1", port: 1 };
const B = { host: "127.0.0.1", port: 2 };
const [a, b] = [formatHostPort(A), formatHostPort(B)];

/** A connection that knows whether it was let go. */
class Line implements Disposable {
  isClosed = false;
  [Symbol.dispose](): void {
    this.isClosed = true;
  }
}

interface Attempt {
  readonly address: string;
  readonly signal: AbortSignal;
  readonly work: () => Line;
  readonly fail: (reason: string, cause?: string) => void;
}

/** A dialer whose attempts the test decides. */
function dialer(controlPlanes = [A, B]) {
  const clock = new ManualClock();
  const logger = new RecordingLogger();
  const attempts: Attempt[] = [];
  const under = new Dialer<Line>({
    controlPlanes,
    open: (target, signal) =>
      new Promise((resolve, reject) => {
        attempts.push({
          address: formatHostPort(target),
          signal,
          work: () => {
            const line = new Line();
            resolve(line);
            return line;
          },
          fail: (reason, cause) => {
            reject(
              new Error(
                reason,
                cause === undefined ? undefined : { cause: new Error(cause) },
              ),
            );
          },
        });
      }),
    loopbackOnly: true,
    clock,
    logger,
    random: () => 0,
  });
  return { under, clock, logger, attempts };
}

const forever = new AbortController().signal;

describe("connecting", () => {
  test("takes the first that works, tells the others to stop, and lets go of one that comes late", async () => {
    const { under, clock, attempts } = dialer();
    const dialled = under.connect(forever);
    expect(attempts.map(({ address }) => address)).toEqual([a]);
    clock.advance(1_000);
    await turn();
    expect(attempts.map(({ address }) => address)).toEqual([a, b]);
    const won = attempts[1]?.work();
    expect(await dialled).toEqual({ address: b, connection: won });
    expect(attempts[0]?.signal.aborted).toBe(true);
    const late = attempts[0]?.work();
    await turn();
    expect([won?.isClosed, late?.isClosed]).toEqual([false, true]);
    expect(under.status()).toMatchObject([
      { address: a, state: "idle" },
      { address: b, state: "connected" },
    ]);
  });

  test("goes on after each failure, says why, loudly once for each, and what is next", async () => {
    const { under, clock, logger, attempts } = dialer();
    const dialled = under.connect(forever);
    for (let i = 0; i < 4; i++) {
      attempts[i]?.fail(`cannot ${i}`, "no way");
      await turn();
      clock.advance(0);
      await turn();
    }
    expect(attempts.map(({ address }) => address)).toEqual([a, b, a, b, a]);
    expect(
      logger.lines.map(({ level, event, fields }) => [
        level,
        event,
        fields["control_plane"],
        fields["reason"],
        fields["failures"],
      ]),
    ).toEqual([
      ["warn", "sync.disconnected", a, "cannot 0: no way", 1],
      ["warn", "sync.disconnected", b, "cannot 1: no way", 1],
      ["info", "sync.retrying", a, "cannot 2: no way", 2],
      ["info", "sync.retrying", b, "cannot 3: no way", 2],
    ]);
    attempts[4]?.work();
    await dialled;
    expect(under.status()).toMatchObject([
      { lastError: "cannot 2: no way", state: "connected" },
      { lastError: "cannot 3: no way", state: "idle" },
    ]);
  });

  test("ends with the signal, with nothing left open", async () => {
    const stop = new AbortController();
    const { under, attempts } = dialer();
    const dialled = under.connect(stop.signal);
    const line = attempts[0]?.work();
    stop.abort(new Error("enough"));
    await expect(dialled).rejects.toThrow("enough");
    expect(attempts[0]?.signal.aborted).toBe(true);
    await turn();
    expect(line?.isClosed).toBe(true);
  });
});

test("a control plane's wishes count from then on: how to come again, when, and where else", async () => {
  const { under, clock, attempts } = dialer([A]);
  const first = under.connect(forever);
  attempts[0]?.work();
  await first;
  under.ended(
    a,
    { reason: "DRAIN", servedMs: 5, retryAfterMs: 3_000 },
    {
      retry: { initialMs: 1_000, maxMs: 2_000, resetMs: 60_000 },
      alternatives: [b, "10.0.0.1:1"],
    },
  );
  expect(under.status()).toEqual([
    { address: a, state: "waiting", lastError: "DRAIN", nextAttemptMs: 3_000 },
    { address: b, state: "waiting", lastError: undefined, nextAttemptMs: 0 },
  ]);
  const second = under.connect(forever);
  attempts[1]?.fail("no");
  await turn();
  // With 0 for a random number it is due again at once, and the first when it said.
  for (let ms = 0; ms < 3_000; ms += 1_000) {
    attempts.at(-1)?.fail("no");
    await turn();
    clock.advance(1_000);
    await turn();
  }
  expect(attempts.at(-1)?.address).toBe(a);
  attempts.at(-1)?.work();
  expect((await second).address).toBe(a);
});
