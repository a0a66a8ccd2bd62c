import { toBinary } from "@bufbuild/protobuf";
import { createClient, type Client } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { ConfigService } from "../src/gen/holdfast/admin/v1/config_service_pb.js";
import { ResourceSchema } from "../src/gen/holdfast/config/v1/resource_pb.js";
import { CloseStack } from "../src/runtime/close-stack.ts";
import { startEtcd } from "./peers/etcd.ts";
import type { AdminControlPlane } from "./roles/admin-cp.ts";
import type { AdminEcho } from "./roles/admin-echo.ts";
import { Child } from "./support/child.ts";
import {
  changedRoute,
  configuration,
  routeNumber,
} from "./support/configuration.ts";
import { median, short, spread, table } from "./support/statistics.ts";
import { TempDir } from "./support/temp-dir.ts";
import { makeKeyPair } from "./support/tls.ts";

/** What is there when puts begin. */
const ENTRIES = 1_000;
const WRITERS = [1, 16];
const ROUNDS = 7;
/** Puts of one round, by all writers together. */
const PUTS = 1_600;
const WARM_UP = 64;
const APPLY_ENTRIES = 10_000;
const APPLIES = 5;
const DIFF_ENTRIES = 100_000;
const DIFFS = 5;
/** Operations of one transaction while a large configuration is built up. */
const AT_ONCE = 5_000;

type Config = Client<typeof ConfigService>;

/** One that is put to, by several at a time. */
interface Contender {
  readonly name: string;
  /** Puts a resource's `version`. */
  readonly put: (writer: number, version: number) => Promise<unknown>;
}

interface Round {
  readonly ms: readonly number[];
  readonly perSecond: number;
}

/** What writing through the Admin RPCs costs, beside what the same stack needs to make the same bytes durable. */
export async function admin(
  print: (text: string) => void,
  scale: number,
): Promise<void> {
  await using directory = await TempDir.make();
  await using stack = new CloseStack();
  const cp = stack.use(await Child.start<AdminControlPlane>("admin-cp"));
  const echo = stack.use(await Child.start<AdminEcho>("admin-echo"));
  const cpUrl = await cp.call("start", directory.join("cp"));
  const echoUrl = await echo.call("start", directory.join("log"));
  const etcd = await startEtcd(directory, await makeKeyPair(directory));
  if (etcd === undefined) print("etcd is not installed: left out");
  else stack.use(etcd);
  const own = clientsOf(cpUrl);
  const bare = clientsOf(echoUrl);
  await fill(first(own), ENTRIES);

  const contenders: Contender[] = [
    { name: "Holdfast", put: putTo(own) },
    { name: "connect-node echo, log, shared fsync", put: putTo(bare) },
  ];
  if (etcd !== undefined)
    contenders.push({
      name: "etcd",
      put: (_writer, version) => {
        const route = changedRoute(routeNumber(ENTRIES, version), version);
        return etcd.writer.put(
          `bench/${routeNumber(ENTRIES, version)}`,
          toBinary(ResourceSchema, route),
        );
      },
    });
  for (const writers of WRITERS)
    print(await puts(contenders, writers, Math.max(32, PUTS * scale)));
  print(
    await applies(
      { own: first(own), bare: first(bare) },
      Math.max(100, Math.round(APPLY_ENTRIES * scale)),
    ),
  );
  print(
    await diffs(first(own), Math.max(1_000, Math.round(DIFF_ENTRIES * scale))),
  );
  await cp.call("stop");
}

/** As many clients as the most writers, each with a connection of its own. */
function clientsOf(baseUrl: string): readonly Config[] {
  return Array.from({ length: Math.max(...WRITERS) }, () =>
    createClient(ConfigService, createGrpcTransport({ baseUrl })),
  );
}

function first(clients: readonly Config[]): Config {
  const [client] = clients;
  if (client === undefined) throw new Error("there is no client");
  return client;
}

function putTo(clients: readonly Config[]): Contender["put"] {
  return (writer, version) =>
    (clients[writer] ?? first(clients)).put({
      resource: changedRoute(routeNumber(ENTRIES, version), version),
    });
}

/** Puts a configuration and returns the revision. */
async function fill(config: Config, entries: number): Promise<bigint> {
  const all = [...configuration(entries)];
  let revision = 0n;
  for (let i = 0; i < all.length; i += AT_ONCE)
    ({ revision } = await config.transact({
      operations: all.slice(i, i + AT_ONCE).map((value) => ({
        operation: { case: "put" as const, value },
      })),
    }));
  return revision;
}

/** Versions that no put has had yet, in one count over all rounds. */
let version = 0;

async function puts(
  contenders: readonly Contender[],
  writers: number,
  count: number,
): Promise<string> {
  const rounds = new Map<string, Round[]>();
  for (const { put } of contenders) await run(put, writers, WARM_UP);
  for (let i = 0; i < ROUNDS; i++)
    for (const { name, put } of contenders) {
      const done = rounds.get(name) ?? [];
      done.push(await run(put, writers, count));
      rounds.set(name, done);
    }
  const echo = rounds.get(contenders[1]?.name ?? "") ?? [];
  return table(
    [
      `${writers} ${writers === 1 ? "writer" : "writers"}`,
      "× the echo's puts a second [rounds]",
      "puts a second",
      "latency, ms p50 / p99 / max",
    ],
    [...rounds].map(([name, all]) => {
      const ratios = all.map(
        ({ perSecond }, i) => perSecond / (echo[i]?.perSecond ?? NaN),
      );
      return [
        name,
        `${short(median(ratios))} [${short(Math.min(...ratios))}–${short(Math.max(...ratios))}]`,
        short(median(all.map(({ perSecond }) => perSecond))),
        spread(all.flatMap(({ ms }) => ms)),
      ];
    }),
  );
}

/** Lets each writer put one after the other. */
async function run(
  put: Contender["put"],
  writers: number,
  count: number,
): Promise<Round> {
  const ms: number[] = [];
  const startedMs = performance.now();
  await Promise.all(
    Array.from({ length: writers }, async (_, writer) => {
      for (let i = writer; i < count; i += writers) {
        const beganMs = performance.now();
        await put(writer, ++version);
        ms.push(performance.now() - beganMs);
      }
    }),
  );
  return { ms, perSecond: (ms.length / (performance.now() - startedMs)) * 1e3 };
}

/** A file in which every entry is another one than the time before. */
function fileOf(entries: number, tag: string): string {
  const services = Array.from({ length: Math.ceil(entries / 10) }, (_, i) => ({
    name: `applied-${i}`,
    host: `backend-${i}.internal.example.com`,
    tags: [tag],
    routes: Array.from({ length: 9 }, (_, j) => ({
      name: `applied-${i}-${j}`,
      paths: [`/applied/${i}/${j}`],
      methods: ["GET", "POST"],
      tags: [tag],
    })),
  }));
  return JSON.stringify({ _format_version: "3.0", services });
}

async function applies(
  { own, bare }: { readonly own: Config; readonly bare: Config },
  entries: number,
): Promise<string> {
  const times: Record<"create" | "change" | "same" | "echo", number[]> = {
    create: [],
    change: [],
    same: [],
    echo: [],
  };
  const timed = async (
    config: Config,
    content: string,
    expected: number | undefined,
  ): Promise<number> => {
    const startedMs = performance.now();
    const { changes } = await config.apply({
      files: [{ name: "bench.json", content }],
    });
    const ms = performance.now() - startedMs;
    if (expected !== undefined && changes.length !== expected)
      throw new Error(`${changes.length} changes instead of ${expected}`);
    return ms;
  };
  const all = Math.ceil(entries / 10) * 10;
  for (let i = 0; i <= APPLIES; i++) {
    const content = fileOf(entries, `v${i}`);
    times[i === 0 ? "create" : "change"].push(await timed(own, content, all));
    times.same.push(await timed(own, content, 0));
    times.echo.push(await timed(bare, content, undefined));
  }
  return table(
    [`apply of ${all} entries in one file`, "ms p50 / p99 / max"],
    [
      ["all are new", spread(times.create)],
      ["all change", spread(times.change)],
      ["nothing changes", spread(times.same)],
      ["connect-node echo of the same file, log, fsync", spread(times.echo)],
    ],
  );
}

async function diffs(config: Config, entries: number): Promise<string> {
  const { revision: from } = await config.put({
    resource: changedRoute(routeNumber(ENTRIES, 1), ++version),
  });
  const to = await fill(config, entries + ENTRIES);
  const times: number[] = [];
  const firsts: number[] = [];
  let found = 0;
  for (let i = 0; i < DIFFS; i++) {
    found = 0;
    const startedMs = performance.now();
    for (let pageToken = ""; ;) {
      const page = await config.diff({
        fromRevision: from,
        toRevision: to,
        pageToken,
      });
      if (pageToken === "") firsts.push(performance.now() - startedMs);
      found += page.changes.length;
      pageToken = page.nextPageToken;
      if (pageToken === "") break;
    }
    times.push(performance.now() - startedMs);
  }
  return table(
    [
      `diff of two revisions with ${found} changes`,
      "ms p50 / p99 / max",
      "the first page, ms p50",
    ],
    [["Holdfast, all pages", spread(times), short(median(firsts))]],
  );
}
