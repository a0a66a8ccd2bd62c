import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import type { ConsumerGroup, ConsumerIdentity } from "../../plugins/plugin.ts";
import { chainFor, type PluginInstance } from "../plugin-chains.ts";
import type { Runtime, ServedRoute, ServedService } from "../runtime.ts";
import type { ExplainQuestion } from "./question.ts";

/** Who is said to send the request. */
export interface AskedConsumer {
  readonly identity: ConsumerIdentity;
  /** In their order: the first one with a plugin of some name has that one run. */
  readonly groups: readonly ConsumerGroup[];
}

/** The consumer of a question, if it names one; a sentence when there is none of that name. */
export function consumerOf(
  { consumers, cursor }: Runtime,
  { consumer: who }: ExplainQuestion,
): AskedConsumer | string | undefined {
  if (who === undefined) return undefined;
  const identity =
    consumers.byId(who.toLowerCase()) ?? consumers.byUsername(who);
  return identity === undefined
    ? `there is no consumer "${who}" in revision ${cursor.revision}: give a username or an id`
    : { identity, groups: consumers.consumerGroupsOf(identity.id) };
}

/** A consumer with its groups. */
export function describeConsumer({
  identity,
  groups,
}: AskedConsumer): JsonObject {
  return {
    id: identity.id,
    name: identity.username,
    groups: groups.map(({ id, name }) => ({ id, name })),
  };
}

/** The plugins that run for a request, in order, as far as that is known before it is sent. */
export function pluginsOf(
  { chains, consumers }: Runtime,
  route: ServedRoute | undefined,
  service: ServedService | undefined,
  consumer: AskedConsumer | undefined,
): JsonValue[] {
  const chain = chainFor(chains, consumers, {
    route: route?.id ?? "",
    service: service?.id ?? "",
    consumer: consumer?.identity.id,
  });
  return chain.map((plugin) => ({
    name: plugin.name,
    id: plugin.key.slice(plugin.key.indexOf("/") + 1),
    scope: scopeOf(plugin, consumer?.groups ?? []),
    priority: Number.isFinite(plugin.priority) ? plugin.priority : null,
    ...(plugin.handlers === undefined
      ? { lacking: "this data plane does not have it, and answers 503" }
      : {}),
  }));
}

function scopeOf(
  { scope }: PluginInstance,
  groups: readonly ConsumerGroup[],
): string {
  const group = groups.find(({ id }) => id === scope.consumerGroup);
  const parts = [
    ...(scope.route === undefined ? [] : ["route"]),
    ...(scope.service === undefined ? [] : ["service"]),
    ...(scope.consumer === undefined ? [] : ["consumer"]),
    ...(scope.consumerGroup === undefined
      ? []
      : [`consumer group ${group?.name ?? scope.consumerGroup}`]),
  ];
  return parts.length === 0 ? "global" : parts.join(" and ");
}
