import { createContextKey, type HandlerContext } from "@connectrpc/connect";
import type { Role } from "../access/roles.ts";
import type { UploadOwner } from "./upload-budget.ts";

/** A call's way in: who makes it, and what they may. */
export interface CallEntry {
  /** The name of the token or certificate. Empty: nobody has to say who they are. */
  readonly caller: string;
  /** Whether the caller has a role in a workspace. */
  may(role: Role, workspace: string): boolean;
  /** Whether the caller has a role in any workspace. */
  mayAnywhere(role: Role): boolean;
  /**
   * Says that what a request is answered would tell about secrets, though it asks for none. `why` is told to those who
   * may not see them.
   *
   * @throws ConnectError PERMISSION_DENIED
   */
  seeSecrets(request: object, why: string): void;
  /**
   * Says so much of a request that it can be told who may make it; {@link enter} is yet to come, with all of it.
   *
   * @throws ConnectError PERMISSION_DENIED
   */
  check(request: object): void;
  /**
   * Says what the call is about: a request with the workspaces it names. Resolves when the caller may do that and it is
   * written down that it begins.
   *
   * @throws ConnectError PERMISSION_DENIED
   */
  enter(request: object): Promise<void>;
}

/** Where interceptors and handlers find it. */
export const callEntryKey = createContextKey<CallEntry | undefined>(undefined, {
  description: "who makes the call, and what they may",
});

/** The name of who makes a call. Empty: nobody has to say. */
export function callerOf(call: HandlerContext): string {
  return call.values.get(callEntryKey)?.caller ?? "";
}

/** Whether the caller has a role in a workspace; for answers that leave out what is not theirs. */
export function callerMay(
  call: HandlerContext,
  role: Role,
  workspace: string,
): boolean {
  return entryOf(call).may(role, workspace);
}

/** Who sends a request that comes in parts. */
export function uploadOwnerOf(call: HandlerContext): UploadOwner {
  const entry = entryOf(call);
  return { caller: entry.caller, mayWrite: entry.mayAnywhere("write") };
}

/** See {@link CallEntry.seeSecrets}. */
export function seeSecrets(
  call: HandlerContext,
  request: object,
  why: string,
): void {
  entryOf(call).seeSecrets(request, why);
}

/** See {@link CallEntry.check}. */
export function checkCall(call: HandlerContext, request: object): void {
  entryOf(call).check(request);
}

/**
 * Must be called by each handler of a method whose request comes in parts (see the table of roles), as soon as it is
 * whole and before anything is done: before that nobody knows which workspace it is about.
 */
export async function enterCall(
  call: HandlerContext,
  request: object,
): Promise<void> {
  await entryOf(call).enter(request);
}

function entryOf(call: HandlerContext): CallEntry {
  const entry = call.values.get(callEntryKey);
  if (entry === undefined) throw new TypeError("a call that nobody has let in");
  return entry;
}
