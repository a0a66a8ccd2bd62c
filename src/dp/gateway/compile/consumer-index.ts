import type {
  ConsumerGroup,
  ConsumerIdentity,
  Consumers,
  KeyOwner,
  PasswordOwner,
  TokenOwner,
} from "../../plugins/plugin.ts";
import {
  allByName,
  linkedByName,
  linkedValue,
  type LinkState,
} from "./links.ts";

/** The consumers and credentials of one revision. */
export class ConsumerIndex implements Consumers {
  readonly #links: LinkState;

  constructor(links: LinkState) {
    this.#links = links;
  }

  byId(id: string): ConsumerIdentity | undefined {
    return linkedValue(this.#links, "consumer", id);
  }

  byUsername(username: string): ConsumerIdentity | undefined {
    return linkedByName(this.#links, "consumer", "username", username);
  }

  byKey(key: string): KeyOwner | undefined {
    return linkedByName(this.#links, "keyauth_credential", "api key", key);
  }

  byLogin(username: string): PasswordOwner | undefined {
    return linkedByName(this.#links, "basicauth_credential", "login", username);
  }

  byTokenKey(key: string): TokenOwner | undefined {
    return linkedByName(this.#links, "jwt_secret", "token key", key);
  }

  groupsOf(consumerId: string): readonly string[] {
    return allByName(this.#links, "acl", "groups of", consumerId).sort();
  }

  consumerGroupsOf(consumerId: string): readonly ConsumerGroup[] {
    return allByName(
      this.#links,
      "consumer_group_consumer",
      "consumer groups of",
      consumerId,
    ).sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  }
}
