import type { DescMessage, JsonObject, MessageShape } from "@bufbuild/protobuf";
import { parseKnownConfig } from "../../model/plugins.ts";
import type { Clock } from "../../runtime/clock.ts";

/** Somebody who calls the APIs. */
export interface ConsumerIdentity {
  readonly id: string;
  /** Empty when the consumer has none. */
  readonly username: string;
  /** Empty when the consumer has none. */
  readonly customId: string;
}

/** Who a key belongs to. */
export interface KeyOwner {
  readonly credentialId: string;
  readonly consumer: ConsumerIdentity;
}

/** Who a user name belongs to. */
export interface PasswordOwner extends KeyOwner {
  /** As it is stored: hashed. */
  readonly password: string;
}

/** Whose tokens name a key. */
export interface TokenOwner extends KeyOwner {
  /** The only algorithm that the tokens may use. */
  readonly algorithm: string;
  /** Of the HS algorithms; empty with another. */
  readonly secret: string;
  /** Of the other algorithms, in PEM; empty with HS. */
  readonly publicKey: string;
}

/** The consumers and credentials of the revision that serves the request. */
export interface Consumers {
  byId(id: string): ConsumerIdentity | undefined;
  byUsername(username: string): ConsumerIdentity | undefined;
  /** The owner of an API key. */
  byKey(key: string): KeyOwner | undefined;
  /** The owner of a user name. */
  byLogin(username: string): PasswordOwner | undefined;
  /** The owner of the tokens that name this key. */
  byTokenKey(key: string): TokenOwner | undefined;
  /** The groups that a consumer is in, sorted. */
  groupsOf(consumerId: string): readonly string[];
}

/** Headers that can be changed. Names are compared without regard to case and written as they were set. */
export interface MutableHeaders {
  /** The names that are there, as they were written. */
  names(): readonly string[];
  /** All values, in order; none when the header is not there. */
  get(name: string): readonly string[];
  /** Replaces all values. Text beyond Latin-1 goes out in UTF-8. */
  set(name: string, ...values: readonly string[]): void;
  append(name: string, value: string): void;
  delete(name: string): void;
}

/** The client's connection. */
export interface ClientConnection {
  /** Where the client comes from. */
  readonly remoteAddress: string;
  /** Where it connected to. */
  readonly localAddress: string;
  readonly localPort: number;
  /** Of this process, from 1. */
  readonly serial: number;
  /** Requests of this connection, this one included. */
  readonly requests: number;
}

/** What the client sent. */
export interface ClientRequest {
  readonly method: string;
  readonly scheme: "http" | "https";
  /** "1.1" */
  readonly httpVersion: string;
  /** The Host header's name, in lower case, without port; empty when there is none. */
  readonly host: string;
  /** The path as it was sent, without query. */
  readonly rawPath: string;
  /** What follows the "?", as it was sent; undefined when there is no "?". */
  readonly rawQuery: string | undefined;
  readonly connection: ClientConnection;
  /** All values of a header as the client sent them; the name is in lower case. */
  header(name: string): readonly string[];
  /**
   * The whole body; undefined when it has more than `limitBytes` or does not arrive whole. Either way it still goes
   * upstream, so this may be asked more than once.
   */
  body(limitBytes: number): Promise<Buffer | undefined>;
}

/** What will be sent upstream: the client's request until a plugin changes it. */
export interface UpstreamRequest {
  readonly headers: MutableHeaders;
  /** What follows the "?"; undefined for no "?". */
  rawQuery: string | undefined;
  /** Sends this instead of the client's body, with its length. */
  replaceBody(body: Buffer): void;
}

/** One request on its way. Plugins see it in their phases. */
export interface Exchange {
  /** The id that the client and the upstream see too. */
  readonly id: string;
  readonly request: ClientRequest;
  readonly upstream: UpstreamRequest;
  /** Empty strings for what has no name or is not there. */
  readonly route: { readonly id: string; readonly name: string };
  readonly service: { readonly id: string; readonly name: string } | undefined;
  readonly consumers: Consumers;
  /** Who the request comes from, once a plugin knows. */
  readonly consumer: ConsumerIdentity | undefined;
  /** The id of the credential that proved it; undefined for an anonymous consumer. */
  readonly credentialId: string | undefined;
  /**
   * Says who the request comes from and tells the upstream. Plugins with a lower priority that are scoped to this
   * consumer take part from now on.
   */
  authenticate(
    consumer: ConsumerIdentity,
    credentialId: string | undefined,
  ): void;
}

/** What the data plane answers itself. */
export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** An object is sent as JSON. Absent: an empty body. */
  readonly body?: string | Buffer | Readonly<Record<string, unknown>>;
  /** Instead of a body: a sentence that is sent with the request's id, as JSON, XML, HTML or text by what the client accepts. */
  readonly message?: string;
}

/** The head of the answer, before it goes to the client. */
export interface ResponseHead {
  readonly status: number;
  readonly headers: MutableHeaders;
  /** Whether the upstream made it, else the data plane. */
  readonly fromUpstream: boolean;
}

/** How an exchange ended. */
export interface Outcome {
  /** The answer's status; 499 when the client left before it had one. */
  readonly status: number;
  readonly durationMs: number;
}

/** What one configured plugin does with the requests in its scope. All of it is optional. */
export interface PluginHandlers {
  /** Before the request goes upstream. An answer ends it here; later plugins' access does not run, their other phases do. */
  access?(exchange: Exchange): Answer | undefined | Promise<Answer | undefined>;
  /** Before the head of any answer, the upstream's or the data plane's own, goes to the client. */
  headerFilter?(exchange: Exchange, response: ResponseHead): void;
  /** After the answer has gone, or the connection was upgraded. */
  log?(exchange: Exchange, outcome: Outcome): void;
}

/** What plugins get from their process. */
export interface PluginEnvironment {
  readonly clock: Clock;
  /** A random UUID. */
  readonly uuid: () => string;
  readonly pid: number;
}

/** A plugin that this data plane has. */
export interface Plugin {
  readonly name: string;
  /** Of the feature "plugin/name". Goes up when the configuration can ask for more. */
  readonly version: number;
  /** Higher runs first. Kong's numbers. */
  readonly priority: number;
  /** @throws TypeError when the configuration is not the plugin's: the rules of the model let none such through. */
  create(config: JsonObject, environment: PluginEnvironment): PluginHandlers;
}

/** Makes a plugin of a name, a priority, its configuration's message and a function from that to its handlers. */
export function definePlugin<Desc extends DescMessage>(definition: {
  readonly name: string;
  readonly version: number;
  readonly priority: number;
  readonly schema: Desc;
  readonly create: (
    config: MessageShape<Desc>,
    environment: PluginEnvironment,
  ) => PluginHandlers;
}): Plugin {
  const { name, version, priority, schema, create } = definition;
  return {
    name,
    version,
    priority,
    create: (config, environment) =>
      create(parseKnownConfig(schema, config), environment),
  };
}
