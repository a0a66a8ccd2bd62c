import { CloseStack } from "../../src/runtime/close-stack.ts";
import type { LoadResult } from "../roles/proxy-load.ts";
import { cpuUs } from "../support/process-figures.ts";
import { median, short, table } from "../support/statistics.ts";
import { startRig } from "./rig.ts";

const ROUTES = 10_000;
const CHANGES_PER_SECOND = 100;
/** Of what the gateway can do alone. */
const LOAD_SHARE = 0.7;
const ROUNDS = 5;
const ROUND_MS = 5_000;
const BODY_BYTES = 100;

interface Round {
  readonly calm: LoadResult;
  readonly churned: LoadResult;
  readonly perSecond: number;
}

/** What clients notice of a configuration that changes all the time. */
export async function churn(
  print: (text: string) => void,
  scale: number,
): Promise<void> {
  await using stack = new CloseStack();
  const rig = await startRig(stack, ROUTES, BODY_BYTES);
  const { load, gateway } = rig;
  const plan = rig.plan(ROUND_MS * scale);
  // The first one warms up.
  await load.call("run", plan);
  const rounds: Round[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    // What others leave of this machine changes: each round has a capacity of its own.
    const full = await load.call("run", plan);
    const rate = (LOAD_SHARE * full.requests * 1000) / full.durationMs;
    const calm = await load.call("run", { ...plan, rate });
    const [churned, { changes, durationMs }] = await Promise.all([
      load.call("run", { ...plan, rate }),
      gateway.call("churn", CHANGES_PER_SECOND, plan.durationMs),
    ]);
    const perSecond = (changes * 1000) / durationMs;
    rounds.push({ calm, churned, perSecond });
  }
  print(tableOf(rounds));
  print(`\nCPU of the gateway in all: ${short(cpuUs(gateway.pid) / 1e6)} s`);
}

function tableOf(rounds: readonly Round[]): string {
  const middle = (of: (round: Round) => number): string =>
    short(median(rounds.map(of)));
  const sum = (of: (round: Round) => number): string =>
    String(rounds.reduce((total, round) => total + of(round), 0));
  return table(
    ["", "requests", "failed", "p50 / p99, ms", "changes per second"],
    [
      [
        "no changes",
        sum(({ calm }) => calm.requests),
        sum(({ calm }) => calm.failures.length),
        `${middle(({ calm }) => calm.p50Ms)} / ${middle(({ calm }) => calm.p99Ms)}`,
        "0",
      ],
      [
        "a route changes all the time",
        sum(({ churned }) => churned.requests),
        sum(({ churned }) => churned.failures.length),
        `${middle(({ churned }) => churned.p50Ms)} / ${middle(({ churned }) => churned.p99Ms)}`,
        middle(({ perSecond }) => perSecond),
      ],
      [
        "ratio of each round",
        "",
        "",
        `${middle(({ calm, churned }) => churned.p50Ms / calm.p50Ms)} / ${middle(({ calm, churned }) => churned.p99Ms / calm.p99Ms)}`,
        "",
      ],
    ],
  );
}
