import type { Cursor } from "../../../gen/holdfast/config/v1/cursor_pb.js";
import type { Snapshot } from "../../../model/snapshot.ts";
import type { Slices } from "../../../model/slices.ts";
import { PluginChains } from "../plugin-chains.ts";
import { Router } from "../router/router.ts";
import type { Runtime } from "../runtime.ts";
import { collectSlices, type DraftsByKind } from "./collect.ts";
import { decodeSlices } from "./decode.ts";
import type { DraftContext, EntryProblem } from "./draft.ts";
import { linkSlices, type LinkContext } from "./link.ts";

/** What happens to a state that has an enabled plugin which this data plane lacks. */
export type OnUnsupported = "refuse" | "fail-route";

/** What a state is compiled with. */
export interface CompileContext
  extends DraftContext, Omit<LinkContext, "balancers"> {
  readonly onUnsupported: OnUnsupported;
  /** The state that is served now: what has not changed is taken from it. */
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

/** Compiles a state beside the one that is served. Nothing outside changes. */
export function* compileSlices(
  {
    cursor,
    snapshot,
  }: { readonly cursor: Cursor; readonly snapshot: Snapshot },
  context: CompileContext,
): Slices<Compiled> {
  const { previous } = context;
  const { drafts, problems } = yield* decodeSlices(
    snapshot,
    previous?.drafts ?? new Map(),
    context,
  );
  // What refers to an entry that could not be read is not to blame.
  if (problems.length > 0) return refused(problems);
  const byKind = yield* collectSlices(drafts);
  const linked = yield* linkSlices(byKind, {
    ...context,
    balancers: previous?.balancers ?? new Map(),
  });
  if (linked.problems.length > 0) return refused(linked.problems);
  if (context.onUnsupported === "refuse") {
    const lacking = lackingPlugins(byKind);
    if (lacking.length > 0) return refused(lacking);
  }
  const router = yield* Router.build(linked.routes);
  return {
    ok: true,
    runtime: {
      cursor,
      snapshot,
      router,
      chains: yield* PluginChains.build(linked.plugins),
      consumers: linked.consumers,
      balancers: linked.balancers,
      agents: linked.agents,
      degraded: linked.degraded,
      warnings: linked.warnings,
      counts: {
        routes: linked.routes.length,
        services: linked.serviceCount,
      },
      drafts,
    },
  };
}

function lackingPlugins({ plugin }: DraftsByKind): EntryProblem[] {
  return plugin.flatMap(({ key, draft }) =>
    draft.missing.map(({ name, version }) => ({
      key,
      field: "name",
      reason: `this data plane does not have the feature "${name}" in version ${version}`,
      class: "UNSUPPORTED",
    })),
  );
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
