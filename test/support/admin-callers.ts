import {
  create,
  toBinary,
  type DescMessage,
  type DescMethod,
  type DescMethodStreaming,
  type DescMethodUnary,
  type Message,
  type MessageInitShape,
} from "@bufbuild/protobuf";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { writeFile } from "node:fs/promises";
import type { Role } from "../../src/cp/access/roles.ts";
import { digestOf, newToken } from "../../src/cp/access/token.ts";
import {
  ApplyRequestSchema,
  TransactRequestSchema,
} from "../../src/gen/holdfast/admin/v1/config_service_pb.js";
import { transportTo, type Protocol } from "./admin-server.ts";

/** A caller's roles, and when they end. */
export interface CallerSpec {
  readonly roles: Readonly<Record<string, Role>>;
  readonly expires?: string;
}

/** A token file whose callers a test changes. */
export class TokenFile {
  readonly file: string;
  readonly #tokens = new Map<string, string>();

  private constructor(file: string) {
    this.file = file;
  }

  static async make(
    file: string,
    callers: Readonly<Record<string, CallerSpec>>,
  ): Promise<TokenFile> {
    const made = new TokenFile(file);
    await made.write(callers);
    return made;
  }

  /** Who may call from now on. Those who could before keep their tokens. */
  async write(callers: Readonly<Record<string, CallerSpec>>): Promise<void> {
    const tokens = Object.entries(callers).map(([name, spec]) => ({
      name,
      sha256: digestOf(this.tokenOf(name)).toString("hex"),
      ...spec,
    }));
    await writeFile(this.file, JSON.stringify({ tokens }));
  }

  tokenOf(name: string): string {
    const token = this.#tokens.get(name) ?? newToken();
    this.#tokens.set(name, token);
    return token;
  }
}

/** Calls with a token. */
export function bearing(token: string | undefined): Interceptor[] {
  return [
    (next) => (call) => {
      if (token !== undefined)
        call.header.set("authorization", `Bearer ${token}`);
      return next(call);
    },
  ];
}

export interface AnyCall {
  readonly url: string;
  readonly protocol: Protocol;
  readonly token: string | undefined;
  readonly workspace: string;
}

/** Makes a call of any method about a workspace, to its first answer. What comes of it: "Ok", or the name of the code. */
export async function outcomeOf(
  method: DescMethod,
  { url, protocol, token, workspace }: AnyCall,
): Promise<string> {
  const transport = transportTo(url, protocol, bearing(token));
  const leave = new AbortController();
  const input = requestOf(method, workspace);
  // A union of methods does not tell which of its members is handed on.
  const unary = method as DescMethodUnary;
  const streaming = method as DescMethodStreaming;
  try {
    if (method.methodKind === "unary") {
      await transport.unary(unary, leave.signal, 20_000, {}, input);
      return "Ok";
    }
    const answer = await transport.stream(
      streaming,
      leave.signal,
      20_000,
      {},
      one(input),
    );
    await answer.message[Symbol.asyncIterator]().next();
    return "Ok";
  } catch (error) {
    return Code[ConnectError.from(error).code];
  } finally {
    leave.abort();
  }
}

/** A request that names a workspace, in parts where that is how it comes. */
function requestOf(method: DescMethod, workspace: string): Message {
  const named = method.input.fields.some(({ name }) => name === "workspace")
    ? { workspace }
    : {};
  const data =
    method.name === "TransactStream"
      ? toBinary(
          TransactRequestSchema,
          create(TransactRequestSchema, { workspace }),
        )
      : method.name === "ApplyStream"
        ? toBinary(
            ApplyRequestSchema,
            create(ApplyRequestSchema, { workspace }),
          )
        : undefined;
  return create(
    method.input,
    (data === undefined ? named : { data }) as MessageInitShape<DescMessage>,
  );
}

async function* one<T>(message: T): AsyncGenerator<T> {
  yield message;
}
