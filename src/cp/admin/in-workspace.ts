import type { HandlerContext } from "@connectrpc/connect";
import { setMaxListeners } from "node:events";
import { ConfigError } from "../../model/violation.ts";
import type { AdminContext, AdminDeps } from "./deps.ts";

/** What an empty workspace in a request means. */
const DEFAULT_WORKSPACE = "default";

interface OfWorkspace {
  readonly workspace: string;
}

/** The name of the workspace that a request is about. */
export function workspaceNameOf({ workspace }: OfWorkspace): string {
  return workspace === "" ? DEFAULT_WORKSPACE : workspace;
}

/**
 * What a request is handled with.
 *
 * @throws ConfigError when its workspace is not there or cannot be served.
 */
export function depsFor(
  { workspaces, clock, logger }: AdminContext,
  request: OfWorkspace,
): AdminDeps {
  const { catalog, nodes } = workspaces.get(workspaceNameOf(request));
  return { catalog, nodes, clock, logger };
}

/** Streams what `run` answers until the call ends, or the request's workspace is deleted. */
export async function* streamFor<Request extends OfWorkspace, T>(
  context: AdminContext,
  request: Request,
  call: HandlerContext,
  run: (
    deps: AdminDeps,
    request: Request,
    call: HandlerContext,
  ) => AsyncIterable<T>,
): AsyncGenerator<T> {
  const name = workspaceNameOf(request);
  const { deleted } = context.workspaces.get(name);
  const signal = eitherOf(call.signal, deleted);
  try {
    yield* run(depsFor(context, request), request, { ...call, signal });
  } catch (error) {
    if (!deleted.aborted) throw error;
    throw ConfigError.of("not_found", [
      {
        kind: "",
        name: "",
        field: "workspace",
        reason: `workspace "${name}" was deleted`,
      },
    ]);
  }
}

/** Like AbortSignal.any, which would keep something of every call as long as the workspace is there. */
function eitherOf(call: AbortSignal, deleted: AbortSignal): AbortSignal {
  const either = new AbortController();
  const onDeleted = (): void => {
    either.abort(deleted.reason);
  };
  // However a call ends, its signal is aborted.
  const onEnded = (): void => {
    deleted.removeEventListener("abort", onDeleted);
    either.abort(call.reason);
  };
  if (call.aborted) either.abort(call.reason);
  else if (deleted.aborted) either.abort(deleted.reason);
  else {
    // As many listen as there are streams: that is no leak, which Node would warn of.
    setMaxListeners(0, deleted);
    deleted.addEventListener("abort", onDeleted, { once: true });
    call.addEventListener("abort", onEnded, { once: true });
  }
  return either.signal;
}
