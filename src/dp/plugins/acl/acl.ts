import {
  AclConfigSchema,
  type AclConfig,
} from "../../../gen/holdfast/plugin/v1/acl_pb.js";
import {
  definePlugin,
  type Answer,
  type Consumers,
  type Exchange,
  type PluginHandlers,
} from "../plugin.ts";

/** "acl": only consumers of some groups, or all but those of some groups, may pass. */
export const acl = definePlugin({
  name: "acl",
  version: 1,
  priority: 950,
  schema: AclConfigSchema,
  create: (config): PluginHandlers => {
    const named = new Set([...config.allow, ...config.deny]);
    const denies = config.deny.length > 0;
    return {
      access: (exchange) => {
        const { upstream } = exchange;
        upstream.headers.delete(CONSUMER_GROUPS);
        upstream.headers.delete(AUTHENTICATED_GROUPS);
        const membership = membershipOf(config, exchange);
        // Nobody in particular, or somebody anonymous without groups: to show who it is may help.
        if (
          membership === undefined ||
          (exchange.credentialId === undefined &&
            membership.groups.length === 0 &&
            !denies)
        )
          return { status: 401, message: "Unauthorized" };
        const { header, groups } = membership;
        if (groups.some((group) => named.has(group)) === denies)
          return FORBIDDEN;
        if (!config.hideGroupsHeader && groups.length > 0)
          upstream.headers.set(header, groups.join(", "));
        return undefined;
      },
    };
  },
});

const CONSUMER_GROUPS = "X-Consumer-Groups";
const AUTHENTICATED_GROUPS = "X-Authenticated-Groups";

const FORBIDDEN: Answer = {
  status: 403,
  message: "You cannot consume this service",
};

/** What plugins of third parties that know groups of their own tell this one by. */
const SHARED_GROUPS = "authenticated_groups";

interface Membership {
  /** Tells the upstream. */
  readonly header: string;
  readonly groups: readonly string[];
}

/** The groups that count; undefined when nobody knows who this is. */
function membershipOf(
  { alwaysUseAuthenticatedGroups, includeConsumerGroups }: AclConfig,
  exchange: Exchange,
): Membership | undefined {
  const { consumer, consumers, credentialId, context } = exchange;
  const told = context.shared.get(SHARED_GROUPS);
  const authenticated: Membership | undefined = Array.isArray(told)
    ? { header: AUTHENTICATED_GROUPS, groups: told.map(String) }
    : undefined;
  if (consumer === undefined) return authenticated;
  // An anonymous consumer's own groups say less than what was found out about who asks.
  const overrides = credentialId === undefined || alwaysUseAuthenticatedGroups;
  return overrides && authenticated !== undefined
    ? authenticated
    : {
        header: CONSUMER_GROUPS,
        groups: groupsOf(consumer.id, consumers, includeConsumerGroups),
      };
}

function groupsOf(
  consumer: string,
  consumers: Consumers,
  includeConsumerGroups: boolean,
): readonly string[] {
  const groups = consumers.groupsOf(consumer);
  if (!includeConsumerGroups) return groups;
  const others = consumers.consumerGroupsOf(consumer).map(({ name }) => name);
  return [...new Set([...groups, ...others])].sort();
}
