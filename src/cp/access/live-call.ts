import type { DescMethod } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { CallEntry } from "../admin/caller.ts";
import type { AuditedCall, AuditRecord } from "../audit/record.ts";
import { doneBy, requestedBy, short } from "./audited.ts";
import type { Credentials } from "./credentials.ts";
import type { Identity } from "./identities.ts";
import { isWrite, type MethodAccess } from "./method-access.ts";
import { leastRole, needsOf, type Need } from "./needs.ts";
import { permissionDenied } from "./refusals.ts";
import {
  EVERY_WORKSPACE,
  greatestOf,
  roleIn,
  suffices,
  type Role,
} from "./roles.ts";

/** Where calls are written down. */
interface CallLog {
  /** Rejects when it cannot be. */
  begin(call: AuditedCall): Promise<number>;
  end(begun: number, record: AuditRecord): Promise<void>;
  refused(call: AuditedCall, result: string, reason: string): void;
}

/** A call that is under way. */
export interface LiveCallOptions {
  readonly method: DescMethod;
  readonly access: MethodAccess;
  readonly credentials: Credentials;
  readonly identity: Identity;
  /** The address that it comes from. */
  readonly from: string;
  readonly log: CallLog;
  readonly now: () => number;
}

/** A call from its first bytes to its last: what it may do, as long as its caller may, and what is written down of it. */
export class LiveCall implements CallEntry {
  readonly credentials: Credentials;
  readonly #options: LiveCallOptions;
  readonly #abort = new AbortController();
  readonly #needs: Need[] = [];
  #identity: Identity;
  #begun: { readonly call: AuditedCall; readonly sequence: number } | undefined;

  constructor(options: LiveCallOptions) {
    this.#options = options;
    this.credentials = options.credentials;
    this.#identity = options.identity;
  }

  get caller(): string {
    return this.#identity.name;
  }

  /** Aborted when its caller may not go on with it. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  may(role: Role, workspace: string): boolean {
    return suffices(roleIn(this.#identity.roles, workspace), role);
  }

  mayAnywhere(role: Role): boolean {
    return suffices(greatestOf(this.#identity.roles), role);
  }

  seeSecrets(request: object, why: string): void {
    const [{ workspace, field }] = needsOf(this.#options.access, request);
    const need = { role: "write", workspace, field } as const;
    const error = this.#denied(need, `${why}, which needs`);
    if (error !== undefined) {
      this.#refused({ request, workspace }, error);
      throw error;
    }
    this.#needs.push(need);
  }

  /** Why it may not even be read what the call is about; undefined when it may. */
  turnedAway(): ConnectError | undefined {
    const { access } = this.#options;
    const least = leastRole(access);
    if (least === undefined) return undefined;
    if (this.mayAnywhere(least)) return undefined;
    const error = permissionDenied(
      "authorization",
      `${this.#who()} has the role ${least} in no workspace, and ${this.#options.method.name} needs it`,
    );
    this.#refused({ request: undefined, workspace: "" }, error);
    return error;
  }

  check(request: object): void {
    this.#abort.signal.throwIfAborted();
    const needs = needsOf(this.#options.access, request);
    const [{ workspace }] = needs;
    for (const need of needs) {
      const error = this.#denied(need);
      if (error === undefined) continue;
      this.#refused({ request, workspace }, error);
      throw error;
    }
  }

  async enter(request: object): Promise<void> {
    this.check(request);
    const { access, log } = this.#options;
    const needs = needsOf(access, request);
    const [{ workspace }] = needs;
    this.#needs.push(...needs);
    if (this.#begun !== undefined) return;
    const changes = this.#changes(request);
    // What a reader may do is not written down: it would push out what others have done.
    if (!changes && !flagOf(request, "includeSecrets")) return;
    const call = this.#describe({ request, workspace });
    try {
      this.#begun = { call, sequence: await log.begin(call) };
    } catch (cause) {
      // Reading must stay possible when a disk is full.
      if (changes) throw notWritten(cause);
    }
  }

  /** Writes down what has become of it, once. */
  async settle(result: string, answer?: object): Promise<void> {
    const begun = this.#begun;
    if (begun === undefined) return;
    this.#begun = undefined;
    const done = doneBy(answer);
    const { log, now } = this.#options;
    await log.end(begun.sequence, {
      ...begun.call,
      timeMs: now(),
      // Of a call that changed nothing it is said what it was about.
      ...(done === undefined || done.resourceCount === 0 ? {} : done),
      revision: begun.call.dryRun ? 0 : (done?.revision ?? 0),
      result,
      reason: "",
      omitted: 0,
    });
  }

  /** Takes up who the caller is now, and ends the call when that one may not make it. */
  recheck(now: Identity | ConnectError): void {
    if (now instanceof ConnectError) {
      this.#abort.abort(now);
      return;
    }
    this.#identity = now;
    for (const need of this.#needs) {
      const error = this.#denied(need);
      if (error === undefined) continue;
      this.#abort.abort(error);
      return;
    }
  }

  #changes(request: object): boolean {
    const { access, method } = this.#options;
    const isTrial = access.dryRun === true && flagOf(request, "dryRun");
    return isWrite(method) && !isTrial;
  }

  #denied(
    { role, workspace, field }: Need,
    what = `${this.#options.method.name} needs`,
  ): ConnectError | undefined {
    if (this.may(role, workspace)) return undefined;
    const own = roleIn(this.#identity.roles, workspace);
    const where =
      workspace === EVERY_WORKSPACE
        ? "all workspaces"
        : `workspace ${JSON.stringify(short(workspace))}`;
    return permissionDenied(
      field,
      `${this.#who()} has ${own === undefined ? "no role" : `the role ${own}`} in ${where}, and ${what} ${role} there`,
    );
  }

  #refused(about: About, error: ConnectError): void {
    this.#options.log.refused(
      this.#describe(about),
      "permission_denied",
      error.rawMessage,
    );
  }

  #describe({ request, workspace }: About): AuditedCall {
    const { method, from, now } = this.#options;
    return {
      timeMs: now(),
      caller: this.caller,
      from,
      method: `${method.parent.typeName}/${method.name}`,
      // What was asked for by somebody who may not is no name of ours.
      workspace:
        workspace === EVERY_WORKSPACE || !WORKSPACE.test(workspace)
          ? ""
          : workspace,
      ...(request === undefined
        ? { resources: [], resourceCount: 0 }
        : requestedBy(request)),
      dryRun: flagOf(request, "dryRun"),
    };
  }

  #who(): string {
    return this.caller === "" ? "the caller" : `"${this.caller}"`;
  }
}

interface About {
  readonly request: object | undefined;
  readonly workspace: string;
}

const WORKSPACE = /^[a-z0-9-]{1,63}$/;

function flagOf(request: object | undefined, field: string): boolean {
  return (
    (request as Readonly<Record<string, unknown>> | undefined)?.[field] === true
  );
}

function notWritten(cause: unknown): ConnectError {
  const isFull =
    cause instanceof Error && "code" in cause && cause.code === "ENOSPC";
  return new ConnectError(
    "the audit log cannot be written, so nothing was changed; the control plane's log says more",
    isFull ? Code.ResourceExhausted : Code.Unavailable,
    undefined,
    [],
    cause,
  );
}
