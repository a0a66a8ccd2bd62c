import type { ConsumerIdentity } from "../../plugins/plugin.ts";
import type { Linker, LinkSite, Name } from "./linker.ts";
import type { NameSort } from "./links.ts";

/** Consumers are found by their username too. */
export const consumerLinker: Linker<"consumer"> = {
  names: ({ consumer: { username } }) =>
    username === "" ? [] : [{ sort: "username", name: username }],
  link: ({ consumer }) => consumer,
};

/** Consumer groups are what they are. */
export const consumerGroupLinker: Linker<"consumer_group"> = {
  link: ({ group }) => group,
};

/** Consumer groups are found by their members. */
export const membershipLinker: Linker<"consumer_group_consumer"> = {
  names: ({ consumer }) => [{ sort: "consumer groups of", name: consumer }],
  link({ consumer, group: id }, at) {
    const group = at.find.value("consumer_group", id);
    if (group === undefined)
      at.dangling("consumer_group", "consumer_group", id);
    return consumerOf(consumer, at) && group;
  },
};

/** API keys. */
export const keyLinker: Linker<"keyauth_credential"> = {
  names: ({ key }) => [onlyOne("api key", key, "key")],
  link({ id, consumer: owner }, at) {
    const consumer = consumerOf(owner, at);
    return consumer && { credentialId: id, consumer };
  },
};

/** User names with passwords. */
export const loginLinker: Linker<"basicauth_credential"> = {
  names: ({ username }) => [onlyOne("login", username, "username")],
  link({ id, consumer: owner, password }, at) {
    const consumer = consumerOf(owner, at);
    return consumer && { credentialId: id, consumer, password };
  },
};

/** What tokens are signed with. */
export const tokenKeyLinker: Linker<"jwt_secret"> = {
  names: ({ key }) => [onlyOne("token key", key, "key")],
  link({ id, consumer: owner, algorithm, secret, publicKey }, at) {
    const consumer = consumerOf(owner, at);
    return (
      consumer && { credentialId: id, consumer, algorithm, secret, publicKey }
    );
  },
};

/** Groups are found by their members. */
export const groupLinker: Linker<"acl"> = {
  names: ({ consumer }) => [{ sort: "groups of", name: consumer }],
  link: ({ consumer, group }, at) => consumerOf(consumer, at) && group,
};

function onlyOne(sort: NameSort, name: string, field: string): Name {
  const reason = `another credential has the same ${field}`;
  return { sort, name, unique: { field, reason } };
}

/** The consumer that an entry names; when there is none, that is reported. */
function consumerOf(id: string, at: LinkSite): ConsumerIdentity | undefined {
  const consumer = at.find.value("consumer", id);
  if (consumer === undefined) at.dangling("consumer", "consumer", id);
  return consumer;
}
