import type { DescMethod } from "@bufbuild/protobuf";
import {
  ConnectError,
  createContextValues,
  type ContextValues,
  type Interceptor,
} from "@connectrpc/connect";
import { Counter, type Registry } from "prom-client";
import type { Clock } from "../../runtime/clock.ts";
import type { HttpRequest } from "../../runtime/http-listener.ts";
import type { Logger } from "../../runtime/logger.ts";
import { callEntryKey } from "../admin/caller.ts";
import { codeName } from "../admin/code-name.ts";
import type { AuditTrail } from "../audit/audit-trail.ts";
import { Callers } from "./callers.ts";
import { addressOf, credentialsOf } from "./credentials.ts";
import { identify, type IdentityRules } from "./identities.ts";
import { LiveCall } from "./live-call.ts";
import { accessTo } from "./method-access.ts";
import { RefusalLog } from "./refusal-log.ts";
import { permissionDenied, unauthenticated } from "./refusals.ts";
import { EVERY_WORKSPACE, roleIn, suffices } from "./roles.ts";

/** How callers say who they are. Neither of both: not at all. */
interface AccessRules {
  /** The file of tokens and their roles. */
  readonly tokenFile?: string | undefined;
  /** Whether the listener wants a client certificate of everybody, and verifies it. */
  readonly clientCertificates: boolean;
}

export interface AccessOptions extends AccessRules {
  readonly trail: AuditTrail;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Registry;
}

/** Decides about calls before anything of them is read but their head, and again when it is known what they are about. */
export class AccessControl implements AsyncDisposable {
  readonly #options: AccessOptions;
  readonly #rules: IdentityRules;
  readonly #refusals: RefusalLog;
  readonly #refused: Counter<"code">;
  readonly #live = new Set<LiveCall>();

  private constructor(options: AccessOptions, callers: Callers | undefined) {
    const { clock, clientCertificates, metrics } = options;
    this.#options = options;
    this.#rules = { callers, clientCertificates, now: () => clock.now() };
    this.#refusals = new RefusalLog(options);
    this.#refused = new Counter({
      name: "holdfast_admin_refused_total",
      help: "Admin calls that were refused because of who made them.",
      labelNames: ["code"],
      registers: [metrics],
    });
    callers?.onLook(() => {
      for (const call of this.#live)
        call.recheck(identify(call.credentials, this.#rules));
    });
  }

  /** @throws ConfigError when the token file cannot be used. */
  static async open(options: AccessOptions): Promise<AccessControl> {
    const { tokenFile, clock, logger } = options;
    const callers =
      tokenFile === undefined
        ? undefined
        : await Callers.open({ file: tokenFile, clock, logger });
    return new AccessControl(options, callers);
  }

  /** Looks at the token file now. */
  async reload(): Promise<void> {
    await this.#rules.callers?.reload();
  }

  /** Lets a call in by what its head says, or says why not. */
  readonly admit = (
    request: HttpRequest,
    method: DescMethod,
  ):
    | {
        readonly values: ContextValues;
        /** Aborted when the caller may not go on. Absent: nobody looks. */
        readonly signal?: AbortSignal;
        readonly done: () => void;
      }
    | ConnectError => {
    const { clock } = this.#options;
    const access = accessTo(method);
    const values = createContextValues();
    if (access.needs === "anybody") return { values, done: () => undefined };
    const from = addressOf(request);
    const credentials = credentialsOf(request);
    const identity = identify(credentials, this.#rules);
    if (identity instanceof ConnectError) {
      this.#refuse(`${method.parent.typeName}/${method.name}`, from, identity);
      return identity;
    }
    const call = new LiveCall({
      method,
      access,
      credentials,
      identity,
      from,
      now: () => clock.now(),
      log: {
        begin: (audited) => this.#options.trail.begin(audited),
        end: (begun, record) => this.#options.trail.end(begun, record),
        refused: (audited, result, reason) => {
          this.#refused.inc({ code: result });
          this.#refusals.add(audited, result, reason);
        },
      },
    });
    const turnedAway = call.turnedAway();
    if (turnedAway !== undefined) return turnedAway;
    this.#live.add(call);
    values.set(callEntryKey, call);
    return {
      values,
      // Nobody is looked up again where nobody has to say who they are.
      ...(this.#rules.callers === undefined ? {} : { signal: call.signal }),
      done: () => {
        this.#live.delete(call);
        // The client had left before there was anything to write down.
        void call.settle("canceled");
      },
    };
  };

  /** Why a status page that is about everything is not shown; undefined when it is. */
  readonly mayLook = (request: HttpRequest): ConnectError | undefined => {
    const identity = identify(credentialsOf(request), this.#rules);
    if (identity instanceof ConnectError) return identity;
    return suffices(roleIn(identity.roles, EVERY_WORKSPACE), "read")
      ? undefined
      : permissionDenied(
          "authorization",
          'this page is about all workspaces: it needs a token with a role in "*", or --status-listen, which asks nobody',
        );
  };

  /** Sees every call. One that was not let in gets no further, however it came here. */
  readonly interceptor: Interceptor = (next) => async (call) => {
    const access = accessTo(call.method);
    if (access.needs === "anybody") return next(call);
    const live = call.contextValues.get(callEntryKey);
    if (!(live instanceof LiveCall)) {
      // The body of a call that was refused fails with the reason.
      if (call.stream) await call.message[Symbol.asyncIterator]().next();
      throw unauthenticated("this call was not let in");
    }
    if (access.needs === "known") return next(call);
    const isWhole = access.workspace === "request";
    try {
      if (!call.stream) {
        if (isWhole) await live.enter(call.message);
        const answer = await next(call);
        if (!answer.stream) await live.settle("ok", answer.message);
        return answer;
      }
      const answer = await next(
        isWhole ? { ...call, message: entered(call.message, live) } : call,
      );
      return answer.stream
        ? { ...answer, message: settled(answer.message, live) }
        : answer;
    } catch (error) {
      await live.settle(codeName(error));
      throw error;
    }
  };

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#rules.callers?.[Symbol.asyncDispose]();
  }

  #refuse(method: string, from: string, error: ConnectError): void {
    const call = {
      timeMs: this.#options.clock.now(),
      caller: "",
      from,
      method,
      workspace: "",
      resources: [],
      resourceCount: 0,
      dryRun: false,
    };
    this.#refused.inc({ code: "unauthenticated" });
    this.#refusals.add(call, "unauthenticated", error.rawMessage);
  }
}

/** Messages of a request, each of which is looked at before its handler gets it. */
async function* entered<T extends object>(
  messages: AsyncIterable<T>,
  live: LiveCall,
): AsyncGenerator<T> {
  for await (const message of messages) {
    await live.enter(message);
    yield message;
  }
}

/** Messages of an answer. The first one says that the call is made. None goes out to somebody who may not have it any more. */
async function* settled<T extends object>(
  messages: AsyncIterable<T>,
  live: LiveCall,
): AsyncGenerator<T> {
  try {
    for await (const message of messages) {
      live.signal.throwIfAborted();
      await live.settle("ok", message);
      yield message;
    }
    await live.settle("ok");
  } catch (error) {
    await live.settle(codeName(error));
    throw error;
  }
}
