import type { DescMessage, JsonObject, MessageShape } from "@bufbuild/protobuf";
import type { Registry } from "prom-client";
import { parseKnownConfig } from "../../model/plugins.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/logger.ts";
import type { LogEntry } from "../gateway/log-entry.ts";
import type { UpstreamView } from "../gateway/upstreams/view.ts";
import type { ExchangeContext } from "./context.ts";
import type { SharedCounters } from "./counters.ts";

/** Somebody who calls the APIs. */
export interface ConsumerIdentity {
  readonly id: string;
  /** Empty when the consumer has none. */
  readonly username: string;
  /** Empty when the consumer has none. */
  readonly customId: string;
}

/** A group of consumers that plugins can be for. */
export interface ConsumerGroup {
  readonly id: string;
  readonly name: string;
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
  /** The groups of the acl plugin that a consumer is in, sorted. */
  groupsOf(consumerId: string): readonly string[];
  /** The consumer groups that a consumer is in, by name. The first one with a plugin of some name has that one run. */
  consumerGroupsOf(consumerId: string): readonly ConsumerGroup[];
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
  /**
   * Ends the exchange with this answer as soon as more than `limitBytes` of the body have come. It is counted while it
   * passes; by then its beginning may have gone upstream.
   */
  limitBody(limitBytes: number, answer: Answer): void;
}

/** What will be sent upstream: the client's request until a plugin changes it. */
export interface UpstreamRequest {
  readonly headers: MutableHeaders;
  /** In upper case. */
  method: string;
  /**
   * The path as it will be sent, without query: made of the service's and the client's until a plugin sets another.
   * Before the access phase, and for a route without service, that is the client's.
   */
  path: string;
  /** What follows the "?"; undefined for no "?". */
  rawQuery: string | undefined;
  /** Sends this instead of the client's body, with its length. */
  replaceBody(body: Buffer): void;
}

/** A request that has come in and has no route yet. */
interface Arrival {
  /** The id that the client and the upstream see too. */
  readonly id: string;
  readonly request: ClientRequest;
  readonly upstream: UpstreamRequest;
  /** What plugins keep about this request. */
  readonly context: ExchangeContext;
}

/** What of the request's path the route's regular expression captured. */
export interface PathCaptures {
  /** In order; undefined for a group that took no part. */
  readonly groups: readonly (string | undefined)[];
  readonly named: ReadonlyMap<string, string>;
}

/** One request on its way. Plugins see it in their phases. */
export interface Exchange extends Arrival {
  /** Empty strings for what has no name; both empty when no route was found. */
  readonly route: { readonly id: string; readonly name: string };
  readonly service: { readonly id: string; readonly name: string } | undefined;
  readonly captures: PathCaptures;
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

/** The whole of an answer, before its head goes to the client. What is assigned to it is sent instead. */
export interface WholeResponse {
  status: number;
  readonly headers: MutableHeaders;
  body: Buffer;
  readonly fromUpstream: boolean;
}

/** What a plugin wants with the body of one answer. */
export type ResponseHandler =
  | {
      /**
       * Sees the body as its maker sent it, before any plugin changed it: piece by piece, and once more with `last` when
       * it has arrived whole. An answer that breaks off never has a last piece.
       */
      readonly watch: (chunk: Buffer, last: boolean) => void;
    }
  | {
      /** Most bytes of a body that are held back for this plugin. */
      readonly limitBytes: number;
      /** Changes the whole answer. */
      readonly whole: (response: WholeResponse) => void | Promise<void>;
      /** Whether a larger body passes this plugin by, or is answered with 502 because it must not. */
      readonly tooLarge: "pass" | "refuse";
    }
  | {
      /** The upstream's answer is given up: the client gets this status and its headers, without the body. */
      readonly insteadStatus: number;
    };

/** Changes a body on its way: returns what is sent instead of a piece. The last piece may be empty. */
export type BodyFilter = (chunk: Buffer, last: boolean) => Buffer;

/**
 * What one configured plugin does with the requests in its scope. All of it is optional.
 *
 * One that throws in `rewrite` or `access` makes the answer a 500; in the other phases that is logged and it is as if the
 * plugin were not there.
 */
export interface PluginHandlers {
  /** Before the route is looked for. Only plugins without a scope have this phase. An answer ends the request here. */
  rewrite?(arrival: Arrival): Answer | undefined | Promise<Answer | undefined>;
  /** Before the request goes upstream. An answer ends it here; later plugins' access does not run, their other phases do. */
  access?(exchange: Exchange): Answer | undefined | Promise<Answer | undefined>;
  /** With the head of any answer as its maker sent it, the upstream's or the data plane's own; decides about its body. */
  response?(
    exchange: Exchange,
    response: ResponseHead,
  ): ResponseHandler | undefined;
  /** Before the head of any answer, the upstream's or the data plane's own, goes to the client. */
  headerFilter?(exchange: Exchange, response: ResponseHead): void;
  /** After the header filters, for an answer that has a body: a function that changes it while it passes. */
  bodyFilter?(
    exchange: Exchange,
    response: ResponseHead,
  ): BodyFilter | undefined;
  /** After the answer has gone, or the connection was upgraded. */
  log?(exchange: Exchange, entry: LogEntry): void;
  /** When no request uses it any more: the configuration changed, or the data plane stops. Waits at most some seconds. */
  close?(): void | Promise<void>;
}

/** What plugins get from their process. */
export interface PluginEnvironment {
  readonly clock: Clock;
  /** A random UUID. */
  readonly uuid: () => string;
  readonly pid: number;
  readonly logger: Logger;
  /** Counters that all workers of this data plane share. */
  readonly counters: SharedCounters;
  /** Where numbers go that the status listener shows; undefined when nobody asks for any. */
  readonly metrics: Registry | undefined;
  /** The upstreams that are served, and how their targets are doing. */
  readonly upstreams: () => readonly UpstreamView[];
}

/** What is wrong with a field of a configuration: its path, beginning inside the configuration, and the reason. */
export interface ConfigProblem {
  readonly field: string;
  readonly reason: string;
}

/** Which requests a configured plugin is for, as far as it makes a difference to the plugin itself. */
export interface PluginPlace {
  /** The id of the consumer group that it is for; undefined when it is for no group alone. */
  readonly consumerGroup?: string | undefined;
}

/** A plugin that this data plane has. */
export interface Plugin {
  readonly name: string;
  /** Of the feature "plugin/name". Goes up when the configuration can ask for more. */
  readonly version: number;
  /** Higher runs first. Kong's numbers. */
  readonly priority: number;
  /**
   * What is wrong with a configuration; absent for a plugin whose configuration the model knows, and has checked.
   */
  readonly problems?: (config: JsonObject) => readonly ConfigProblem[];
  /**
   * Cheap, and begins nothing: a state that is prepared may never be served. Called again only when the configuration or
   * the place has changed, so what the handlers keep lasts from revision to revision.
   *
   * @param key Names this configured plugin, the same in every worker and every data plane.
   * @throws TypeError when the configuration is not the plugin's: the rules of the model let none such through.
   */
  create(
    config: JsonObject,
    environment: PluginEnvironment,
    key: string,
    place: PluginPlace,
  ): PluginHandlers;
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
    key: string,
    place: PluginPlace,
  ) => PluginHandlers;
}): Plugin {
  const { name, version, priority, schema, create } = definition;
  return {
    name,
    version,
    priority,
    create: (config, environment, key, place) =>
      create(parseKnownConfig(schema, config), environment, key, place),
  };
}
