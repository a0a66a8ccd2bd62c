import { CloseStack } from "../src/runtime/close-stack.ts";
import { startEtcd } from "./peers/etcd.ts";
import { WATCHED, type FleetNodes } from "./roles/fleet-nodes.ts";
import type { FleetControlPlane } from "./roles/fleet-cp.ts";
import { Child } from "./support/child.ts";
import { cpuUs } from "./support/process-figures.ts";
import { median, short, spread, table } from "./support/statistics.ts";
import { TempDir } from "./support/temp-dir.ts";
import { makeKeyPair, type KeyPair } from "./support/tls.ts";

/** Changes while somebody is cut off, and the keys they are to. */
const CHANGES = 10_000;
const KEYS = 1_000;
const VALUE_BYTES = 250;
const TRIES = 10;
/** Changes that are under way at a time. */
const AT_A_TIME = 64;

interface Result {
  readonly name: string;
  readonly ms: readonly number[];
  readonly cpuMs: readonly number[];
}

/** How long it takes somebody who was cut off during many changes to be current again, and what that costs the sender. */
export async function catchUp(
  print: (text: string) => void,
  scale: number,
): Promise<void> {
  await using directory = await TempDir.make();
  const pair = await makeKeyPair(directory);
  const changes = Math.max(100, Math.round(CHANGES * scale));
  const keys = Math.max(10, Math.round(KEYS * scale));
  const results = [await holdfast(directory, pair, changes, keys)];
  const peer = await etcd(directory, pair, changes, keys);
  if (peer === undefined) print("etcd is not installed: left out");
  else results.push(peer);
  print(
    table(
      [
        `cut off during ${changes} changes to ${keys} keys`,
        "current again after, ms p50 / p99 / max",
        "CPU of the sender, ms p50",
      ],
      results.map(({ name, ms, cpuMs }) => [
        name,
        spread(ms),
        short(median(cpuMs)),
      ]),
    ),
  );
}

async function holdfast(
  directory: TempDir,
  pair: KeyPair,
  changes: number,
  keys: number,
): Promise<Result> {
  await using stack = new CloseStack();
  const cp = stack.use(await Child.start<FleetControlPlane>("fleet-cp"));
  const node = stack.use(await Child.start<FleetNodes>("fleet-nodes"));
  const { port } = await cp.call("start", directory.join("cp"), keys, pair);
  const target = { port, pair };
  await node.call("prepare", target, "node", 1);
  await node.call("fetch", target, await cp.call("head"));
  await cp.call("deserted");
  await cp.call("commitMany", changes, keys);
  const ms: number[] = [];
  const cpuMs: number[] = [];
  for (let i = 0; i < TRIES; i++) {
    const cpu = cpuUs(cp.pid);
    const startedMs = performance.now();
    await node.call("openNodes", target, "node", 1, true);
    await cp.call("inSync", 1);
    ms.push(performance.now() - startedMs);
    cpuMs.push((cpuUs(cp.pid) - cpu) / 1000);
    await node.call("close", "node");
    await cp.call("deserted");
  }
  return { name: "Holdfast", ms, cpuMs };
}

async function etcd(
  directory: TempDir,
  pair: KeyPair,
  changes: number,
  keys: number,
): Promise<Result | undefined> {
  await using peer = await startEtcd(directory, pair);
  if (peer === undefined) return undefined;
  await using node = await Child.start<FleetNodes>("fleet-nodes");
  const value = Buffer.alloc(VALUE_BYTES, 1);
  const first = await peer.writer.put(`${WATCHED.from}0`, value);
  let last = first;
  for (let i = 0; i < changes; i += AT_A_TIME) {
    const revisions = await Promise.all(
      Array.from({ length: Math.min(AT_A_TIME, changes - i) }, (_, j) =>
        peer.writer.put(`${WATCHED.from}${(i + j) % keys}`, value),
      ),
    );
    last = Math.max(last, ...revisions);
  }
  const ms: number[] = [];
  const cpuMs: number[] = [];
  for (let i = 0; i < TRIES; i++) {
    const cpu = cpuUs(peer.pid);
    const startedMs = performance.now();
    await node.call("catchUp", { port: peer.port, pair }, first + 1, last);
    ms.push(performance.now() - startedMs);
    cpuMs.push((cpuUs(peer.pid) - cpu) / 1000);
  }
  return { name: "etcd", ms, cpuMs };
}
