import { MethodOptions_IdempotencyLevel as Idempotency } from "@bufbuild/protobuf/wkt";
import {
  Code,
  ConnectError,
  type Interceptor,
  type StreamRequest,
  type UnaryRequest,
} from "@connectrpc/connect";
import { ADMIN_SERVICES } from "./services.ts";

/** Lets calls that change something through, until it is closed. Reading is not its business. */
export class WriteGate {
  readonly #running = new Set<Promise<unknown>>();
  #closed = false;

  /** Sees every call. */
  readonly interceptor: Interceptor = (next) => (call) => {
    if (!isWrite(call)) return next(call);
    if (this.#closed) throw stopping();
    const answer = next(call);
    this.#running.add(answer);
    const ended = (): void => {
      this.#running.delete(answer);
    };
    answer.then(ended, ended);
    return answer;
  };

  /** Refuses what comes from now on, and waits for what is under way. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(this.#running);
  }
}

const SERVICES: ReadonlySet<string> = new Set(
  ADMIN_SERVICES.map((service) => service.typeName),
);

function isWrite({ method }: UnaryRequest | StreamRequest): boolean {
  return (
    SERVICES.has(method.parent.typeName) &&
    method.idempotency !== Idempotency.NO_SIDE_EFFECTS
  );
}

function stopping(): ConnectError {
  return new ConnectError(
    "the control plane is stopping and takes no changes any more: nothing was changed. Try again when it is back, or at another one",
    Code.Unavailable,
  );
}
