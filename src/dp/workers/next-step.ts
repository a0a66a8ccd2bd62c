import type { State } from "../replica/last-good.ts";

/** What a worker has. */
export interface Having {
  readonly serving: State | undefined;
  readonly handed:
    { readonly state: State; readonly prepared: boolean } | undefined;
  readonly isListening: boolean;
}

/** What the group wants of its workers. */
export interface Wanted {
  /** What requests are to be served with. */
  readonly serving: State | undefined;
  /** What is to be prepared. */
  readonly next: State | undefined;
  /** Whether workers are to listen. */
  readonly listens: boolean;
  /** Whether any worker serves what is wanted. */
  readonly anyServes: boolean;
}

/** What a worker has to do next. */
export type WorkerStep =
  | { readonly type: "prepare"; readonly state: State }
  | { readonly type: "commit" }
  | { readonly type: "listen" }
  | { readonly type: "wait" };

/** What brings a worker nearer to what is wanted. It listens last: when it has what the others have, served and prepared. */
export function nextStep(has: Having, wanted: Wanted): WorkerStep {
  const isReady = (state: State): boolean =>
    has.handed?.state === state && has.handed.prepared;
  if (wanted.serving !== undefined && has.serving !== wanted.serving) {
    if (isReady(wanted.serving)) return { type: "commit" };
    // With no worker left the state that is served may be why; the next one is not held up by it.
    const { next } = wanted;
    if (next === undefined || wanted.anyServes)
      return { type: "prepare", state: wanted.serving };
  }
  if (wanted.next !== undefined && !isReady(wanted.next))
    return { type: "prepare", state: wanted.next };
  if (
    wanted.listens &&
    !has.isListening &&
    has.serving === wanted.serving &&
    has.handed === undefined
  )
    return { type: "listen" };
  return { type: "wait" };
}
