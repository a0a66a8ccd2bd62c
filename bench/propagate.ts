import type {
  Commit,
  PropagateControlPlane,
  Run,
  Sent,
} from "./roles/propagate-cp.ts";
import type { PropagateDataPlanes } from "./roles/propagate-dp.ts";
import { CloseStack } from "../src/runtime/close-stack.ts";
import { Child } from "./support/child.ts";
import { median, short, spread, table } from "./support/statistics.ts";
import { TempDir } from "./support/temp-dir.ts";

/** Sessions of data planes in each pass. */
const SESSIONS = [1, 10, 100];
/** Entries of the configuration. What more of them cost is what the bench "size" is for. */
const ENTRIES = 1_000;
/** Passes over Holdfast and the bare streams in turn, so that what disturbs the machine disturbs both. */
const ROUNDS = 8;
const COMMITS_PER_ROUND = 25;
/** Rounds before those that count, for the just-in-time compiler. */
const WARM_UP_ROUNDS = 2;
/** The sessions are spread over so many processes. */
const DRIVERS = 2;

/** Milliseconds of all commits or messages, and the CPU microseconds of the sender for each delivery. */
interface Samples {
  readonly reached: number[];
  readonly answered: number[];
  readonly durable: number[];
  readonly afterDurable: number[];
  readonly cpuUs: number[];
}

interface Pass {
  readonly holdfast: Samples;
  readonly bare: Samples;
  /** By round: the median to all, divided by that of the bare streams. */
  readonly ratios: { readonly whole: number; readonly afterDurable: number }[];
  readonly frameBytes: number;
}

/** Commit to served by all, beside bare streams that send the same bytes. */
export async function propagate(
  print: (text: string) => void,
  scale: number,
): Promise<void> {
  const rows: string[][] = [];
  for (const sessions of SESSIONS) {
    const pass = await runPass(
      sessions,
      Math.max(1, Math.round(ROUNDS * scale)),
    );
    rows.push(...rowsOf(sessions, pass));
    print(
      `${sessions} sessions: ${short(median(pass.ratios.map(({ whole }) => whole)))}x bare`,
    );
  }
  print(
    table(
      [
        "sessions",
        "",
        "ratio of medians [rounds]",
        "to all, ms p50 / p99 / max",
        "answered by all, ms p50 / p99 / max",
        "of it durable write, ms p50",
        "after that to all, ms p50 (ratio)",
        "sender CPU, µs per session",
        "bytes",
      ],
      rows,
    ),
  );
}

async function runPass(sessions: number, rounds: number): Promise<Pass> {
  await using directory = await TempDir.make();
  await using cp = await Child.start<PropagateControlPlane>("propagate-cp");
  const drivers: Child<PropagateDataPlanes>[] = [];
  await using stack = new CloseStack();
  const ports = await cp.call("start", directory.join("cp"), ENTRIES);
  const count = Math.min(DRIVERS, sessions);
  for (let i = 0; i < count; i++) {
    const driver = await Child.start<PropagateDataPlanes>("propagate-dp");
    drivers.push(stack.use(driver));
    const share = Math.floor(sessions / count) + (i < sessions % count ? 1 : 0);
    await driver.call("open", `node-${i}`, share, ports);
  }
  await cp.call("ready", sessions);

  const pass: Pass = {
    holdfast: newSamples(),
    bare: newSamples(),
    ratios: [],
    frameBytes: 0,
  };
  let frameBytes = 0;
  let sentBefore = 0;
  for (let round = -WARM_UP_ROUNDS; round < rounds; round++) {
    const commits = await cp.call("commits", sessions, COMMITS_PER_ROUND);
    const sends = await cp.call("sends", COMMITS_PER_ROUND);
    const served = await latestServed(drivers);
    const received = await latestReceived(drivers);
    const holdfast = ofCommits(commits, served, sessions);
    const bare = ofSends(sends, received.slice(sentBefore), sessions);
    sentBefore += COMMITS_PER_ROUND;
    if (round < 0) continue;
    frameBytes = median(sends.items.map(({ bytes }) => bytes));
    append(pass.holdfast, holdfast);
    append(pass.bare, bare);
    pass.ratios.push({
      whole: median(holdfast.reached) / median(bare.reached),
      afterDurable: median(holdfast.afterDurable) / median(bare.reached),
    });
  }
  for (const driver of drivers) await driver.call("close");
  return { ...pass, frameBytes };
}

async function latestServed(
  drivers: readonly Child<PropagateDataPlanes>[],
): Promise<ReadonlyMap<bigint, bigint>> {
  const latest = new Map<bigint, bigint>();
  for (const driver of drivers)
    for (const [revision, atNs] of await driver.call("served"))
      if (atNs > (latest.get(revision) ?? 0n)) latest.set(revision, atNs);
  return latest;
}

async function latestReceived(
  drivers: readonly Child<PropagateDataPlanes>[],
): Promise<readonly bigint[]> {
  const latest: bigint[] = [];
  for (const driver of drivers)
    for (const [i, atNs] of (await driver.call("received")).entries())
      if (atNs > (latest[i] ?? 0n)) latest[i] = atNs;
  return latest;
}

function ofCommits(
  { items, cpuUs }: Run<Commit>,
  served: ReadonlyMap<bigint, bigint>,
  sessions: number,
): Samples {
  const samples = newSamples();
  for (const { revision, beginNs, durableNs, ackedNs } of items) {
    const servedNs = served.get(revision);
    if (servedNs === undefined)
      throw new Error(`revision ${revision} was served by nobody`);
    samples.reached.push(ms(servedNs - beginNs));
    samples.answered.push(ms(ackedNs - beginNs));
    samples.durable.push(ms(durableNs - beginNs));
    samples.afterDurable.push(ms(servedNs - durableNs));
  }
  samples.cpuUs.push(cpuUs / items.length / sessions);
  return samples;
}

function ofSends(
  { items, cpuUs }: Run<Sent>,
  received: readonly bigint[],
  sessions: number,
): Samples {
  const samples = newSamples();
  for (const [i, { sentNs, answeredNs }] of items.entries()) {
    const receivedNs = received[i];
    if (receivedNs === undefined)
      throw new Error(`message ${i} was received by nobody`);
    samples.reached.push(ms(receivedNs - sentNs));
    samples.answered.push(ms(answeredNs - sentNs));
  }
  samples.cpuUs.push(cpuUs / items.length / sessions);
  return samples;
}

function rowsOf(sessions: number, pass: Pass): string[][] {
  const { holdfast, bare, ratios } = pass;
  const whole = ratios.map((ratio) => ratio.whole);
  const after = ratios.map((ratio) => ratio.afterDurable);
  return [
    [
      String(sessions),
      "Holdfast",
      `**${short(median(whole))}** [${range(whole)}]`,
      spread(holdfast.reached),
      spread(holdfast.answered),
      short(median(holdfast.durable)),
      `${short(median(holdfast.afterDurable))} (${short(median(after))})`,
      short(median(holdfast.cpuUs)),
      short(pass.frameBytes),
    ],
    [
      "",
      "bare grpc-js",
      "1",
      spread(bare.reached),
      spread(bare.answered),
      "–",
      "–",
      short(median(bare.cpuUs)),
      short(pass.frameBytes),
    ],
  ];
}

function range(values: readonly number[]): string {
  return `${short(Math.min(...values))}–${short(Math.max(...values))}`;
}

function newSamples(): Samples {
  return {
    reached: [],
    answered: [],
    durable: [],
    afterDurable: [],
    cpuUs: [],
  };
}

function append(into: Samples, more: Samples): void {
  into.reached.push(...more.reached);
  into.answered.push(...more.answered);
  into.durable.push(...more.durable);
  into.afterDurable.push(...more.afterDurable);
  into.cpuUs.push(...more.cpuUs);
}

function ms(ns: bigint): number {
  return Number(ns) / 1e6;
}
