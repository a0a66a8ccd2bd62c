import type { Cursor } from "../../../gen/holdfast/config/v1/cursor_pb.js";
import type { Snapshot } from "../../../model/snapshot.ts";
import type { Slices } from "../../../model/slices.ts";
import { PluginChains } from "../plugin-chains.ts";
import type { UpstreamAgent } from "../proxy/upstream-agent.ts";
import { Router } from "../router/router.ts";
import type { Runtime } from "../runtime.ts";
import type { Balancer } from "../upstreams/balancer.ts";
import { readChanges } from "./changes.ts";
import { ConsumerIndex } from "./consumer-index.ts";
import type { DraftContext, EntryProblem } from "./draft.ts";
import type { LinkContext } from "./linker.ts";
import {
  linkedByName,
  linkedValue,
  NO_LINKS,
  notesOf,
  type LinkedKind,
  type LinkState,
  valuesOf,
} from "./links.ts";
import { relinkSlices, type LinkedChange } from "./relink.ts";

/** What happens to a state that has an enabled plugin which this data plane lacks. */
export type OnUnsupported = LinkContext["onUnsupported"];

/** What a state is compiled with. */
export interface CompileContext extends DraftContext, LinkContext {
  /**
   * The state that is served now: what has not changed is taken from it. It must have been compiled with the same
   * settings.
   */
  readonly previous: Runtime | undefined;
}

/** Why a state is not served. */
export interface Violation {
  readonly key: string;
  /** Empty when it is not about one field. */
  readonly field: string;
  readonly reason: string;
}

/** What compiling came to. */
export type Compiled =
  | { readonly ok: true; readonly runtime: Runtime }
  | {
      readonly ok: false;
      readonly class: "INVALID" | "UNSUPPORTED";
      readonly violations: readonly Violation[];
    };

/**
 * Compiles a state beside the one that is served, at the cost of what differs between them. Nothing outside changes: the
 * served one shares what did not change and never sees the rest.
 */
export function* compileSlices(
  {
    cursor,
    snapshot,
  }: { readonly cursor: Cursor; readonly snapshot: Snapshot },
  context: CompileContext,
): Slices<Compiled> {
  const { previous } = context;
  const read = yield* readChanges(previous?.snapshot, snapshot, context);
  // What refers to an entry that could not be read is not to blame.
  if (read.problems.length > 0) return refused(read.problems);
  const { links, changes, problems } = yield* relinkSlices(
    previous?.links ?? NO_LINKS,
    read.changes,
    context,
  );
  if (problems.length > 0) return refused(problems);
  const routes = changesOf(changes, "route");
  const services = changesOf(changes, "service");
  const plugins = changesOf(changes, "plugin");
  const router = yield* (previous?.router ?? Router.empty()).changed(routes);
  const chains = yield* (previous?.chains ?? PluginChains.none).changed(
    plugins,
  );
  const sameNotes =
    previous?.links.notes === links.notes ? previous : undefined;
  return {
    ok: true,
    runtime: {
      cursor,
      snapshot,
      router,
      chains,
      consumers: new ConsumerIndex(links),
      serverNames: {
        get: (name) => linkedByName(links, "sni", "server name", name),
      },
      routes: () => valuesOf(links, "route"),
      services: lookup(links, "service"),
      upstreams: lookup(links, "upstream"),
      balancers: balancersOf(
        previous?.balancers,
        changesOf(changes, "upstream"),
      ),
      agents: agentsOf(previous?.agents, services),
      degraded: sameNotes?.degraded ?? notesOf(links, "degraded"),
      warnings: sameNotes?.warnings ?? notesOf(links, "warning"),
      counts: {
        routes: router.size,
        services: (previous?.counts.services ?? 0) + growth(services),
      },
      links,
    },
  };
}

type ChangeOf<K extends LinkedKind> = Extract<
  LinkedChange,
  { readonly kind: K }
>;

function changesOf<K extends LinkedKind>(
  changes: readonly LinkedChange[],
  kind: K,
): readonly ChangeOf<K>[] {
  return changes.filter(
    (change): change is ChangeOf<K> => change.kind === kind,
  );
}

function lookup<K extends LinkedKind>(links: LinkState, kind: K) {
  return { get: (id: string) => linkedValue(links, kind, id) };
}

/** How many more there are than before. */
function growth(changes: readonly LinkedChange[]): number {
  return changes.reduce(
    (sum, { before, after }) =>
      sum + (after === undefined ? 0 : 1) - (before === undefined ? 0 : 1),
    0,
  );
}

/** All balancers, by the upstream's id. */
function balancersOf(
  previous: ReadonlyMap<string, Balancer> = new Map(),
  upstreams: readonly ChangeOf<"upstream">[],
): ReadonlyMap<string, Balancer> {
  if (upstreams.length === 0) return previous;
  const balancers = new Map(previous);
  for (const { before, after } of upstreams) {
    if (before !== undefined) balancers.delete(before.balancer.settings.id);
    if (after !== undefined)
      balancers.set(after.balancer.settings.id, after.balancer);
  }
  return balancers;
}

/** How many services use which connections. */
function agentsOf(
  previous: ReadonlyMap<UpstreamAgent, number> = new Map(),
  services: readonly ChangeOf<"service">[],
): ReadonlyMap<UpstreamAgent, number> {
  if (services.length === 0) return previous;
  const uses = new Map(previous);
  const add = (agent: UpstreamAgent | undefined, count: number): void => {
    if (agent === undefined) return;
    const sum = (uses.get(agent) ?? 0) + count;
    if (sum === 0) uses.delete(agent);
    else uses.set(agent, sum);
  };
  for (const { before, after } of services) {
    add(after?.agent, 1);
    add(before?.agent, -1);
  }
  return uses;
}

/** Something invalid is worse than something unsupported: no build can serve it. */
function refused(problems: readonly EntryProblem[]): Compiled {
  const invalid = problems.filter((p) => p.class === "INVALID");
  const told = invalid.length > 0 ? invalid : problems;
  return {
    ok: false,
    class: invalid.length > 0 ? "INVALID" : "UNSUPPORTED",
    violations: told
      .map(({ key, field, reason }) => ({ key, field, reason }))
      .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0)),
  };
}
