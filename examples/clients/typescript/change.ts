/**
 * Makes a service and a route in one transaction, waits until the data planes serve it, and prints the revision as
 * everybody who watches sees it.
 */
import { readFileSync } from "node:fs";
import { env, exit } from "node:process";
import { parseArgs } from "node:util";
import {
  ConnectError,
  createClient,
  Code,
  type Client,
  type Interceptor,
} from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import {
  ConfigService,
  type WaitForRevisionResponse,
  type WatchResponse,
} from "./gen/holdfast/admin/v1/config_service_pb.js";
import { BadRequestSchema } from "./gen/google/rpc/error_details_pb.js";

const { values: options } = parseArgs({
  options: {
    // With TLS: https://…
    admin: { type: "string", default: "http://127.0.0.1:8001" },
    // A file with the authority of its certificate (PEM), unless that is one that Node trusts anyway.
    ca: { type: "string" },
    host: { type: "string", default: "example.com" },
    path: { type: "string", default: "/typescript" },
  },
});

/** A control plane with --admin-token-file wants to know who calls. */
const authorize: Interceptor = (next) => (request) => {
  const token = env["HOLDFAST_TOKEN"];
  if (token) request.header.set("authorization", `Bearer ${token}`);
  return next(request);
};

const config = createClient(
  ConfigService,
  createGrpcTransport({
    baseUrl: options.admin,
    nodeOptions:
      options.ca === undefined ? {} : { ca: readFileSync(options.ca) },
    defaultTimeoutMs: 60_000,
    interceptors: [authorize],
  }),
);

try {
  await change(config);
} catch (error) {
  explain(error);
  exit(1);
}

async function change(config: Client<typeof ConfigService>): Promise<void> {
  // Watching begins before the change is made, so that nothing is missed. The first message says where we are.
  const stop = new AbortController();
  const events = config.watch({}, { signal: stop.signal });
  const watch = events[Symbol.asyncIterator]();
  const first = await watch.next();
  if (first.done !== true && first.value.event.case === "heartbeat")
    console.log(`at revision ${first.value.event.value.revision}`);

  const done = await config.transact({
    operations: [
      put({ case: "service", value: { name: "from-ts", host: options.host } }),
      // What comes earlier in a transaction may be referred to by name.
      put({
        case: "route",
        value: {
          name: "from-ts",
          paths: [options.path],
          service: { name: "from-ts" },
        },
      }),
    ],
    author: "example",
    message: "A service and its route, from TypeScript",
  });
  console.log(`committed revision ${done.revision}`);
  for (const { kind, name, field, message } of done.warnings)
    console.log(`  warning: ${kind} "${name}": ${field}: ${message}`);
  if (done.changes.length > 0) {
    await wait(config, done.revision);
    await follow(watch, done.revision);
  } else {
    console.log("nothing had to change");
  }
  // To its end: its deadline would keep the process until then.
  stop.abort();
  await watch.next().catch(() => undefined);
}

type Transaction = Parameters<Client<typeof ConfigService>["transact"]>[0];
type Put = Extract<
  NonNullable<NonNullable<Transaction["operations"]>[number]["operation"]>,
  { case: "put" }
>["value"];

function put(kind: NonNullable<Put["kind"]>) {
  return { operation: { case: "put" as const, value: { kind } } };
}

/** Follows the progress of a revision until all nodes serve it, or waiting longer does not help. */
async function wait(
  config: Client<typeof ConfigService>,
  revision: bigint,
): Promise<void> {
  let last: WaitForRevisionResponse | undefined;
  for await (last of config.waitForRevision({
    revision,
    timeout: { seconds: 30n },
  }))
    console.log(
      `revision ${last.revision} is served by ${last.serving} of ${last.total} nodes`,
    );
  if (last?.done === true) return;
  for (const { id, reason } of last?.missing ?? [])
    console.log(`  not by ${id}: ${reason || "on its way"}`);
  throw new Error(
    `revision ${revision} is committed, and not served everywhere`,
  );
}

/** Prints revisions until it has seen the one. */
async function follow(
  watch: AsyncIterator<WatchResponse>,
  revision: bigint,
): Promise<void> {
  for (;;) {
    const next = await watch.next();
    if (next.done === true) return;
    const { event } = next.value;
    if (event.case !== "revision") continue; // a heartbeat
    const { revision: seen, changes, more } = event.value;
    const at = seen?.cursor?.revision ?? 0n;
    console.log(`saw revision ${at} by ${seen?.author}: ${seen?.message}`);
    for (const { change } of changes)
      console.log(`  ${change?.action} ${change?.kind} "${change?.name}"`);
    if (at >= revision && !more) return;
  }
}

/** Prints an error with everything that is wrong, not only the first. */
function explain(error: unknown): void {
  const failed = ConnectError.from(error);
  console.error(`${Code[failed.code]}: ${failed.rawMessage}`);
  for (const { fieldViolations } of failed.findDetails(BadRequestSchema))
    for (const { field, description } of fieldViolations)
      console.error(`  ${field}: ${description}`);
}
