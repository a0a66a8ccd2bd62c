import {
  authorityLinker,
  certificateLinker,
  serverNameLinker,
} from "./link-certificates.ts";
import {
  consumerGroupLinker,
  consumerLinker,
  groupLinker,
  keyLinker,
  loginLinker,
  membershipLinker,
  tokenKeyLinker,
} from "./link-consumers.ts";
import { pluginLinker } from "./link-plugin.ts";
import { routeLinker } from "./link-route.ts";
import { serviceLinker } from "./link-service.ts";
import { targetLinker, upstreamLinker } from "./link-upstream.ts";
import type { Linker } from "./linker.ts";
import type { LinkedKind } from "./links.ts";

/**
 * How entries are linked, by kind.
 *
 * To add a kind: its draft to `Draft` and `draftOfResource` (draft.ts), what it comes to to `LinkedOf` (links.ts), a
 * linker here, and its place in `LINK_ORDER`. What requests look up by something else than the id is a name
 * (`Linker.names`, `NameSort`), read with `linkedByName`. Only what is kept in a structure of its own, as routes are in
 * the router, needs a line in `compile.ts` too.
 */
export const LINKERS: { readonly [K in LinkedKind]: Linker<K> } = {
  ca_certificate: authorityLinker,
  certificate: certificateLinker,
  sni: serverNameLinker,
  consumer: consumerLinker,
  consumer_group: consumerGroupLinker,
  consumer_group_consumer: membershipLinker,
  keyauth_credential: keyLinker,
  basicauth_credential: loginLinker,
  jwt_secret: tokenKeyLinker,
  acl: groupLinker,
  target: targetLinker,
  upstream: upstreamLinker,
  service: serviceLinker,
  route: routeLinker,
  plugin: pluginLinker,
};

/** What is read comes before what reads it. */
export const LINK_ORDER: readonly LinkedKind[] = [
  "ca_certificate",
  "certificate",
  "sni",
  "consumer",
  "consumer_group",
  "consumer_group_consumer",
  "keyauth_credential",
  "basicauth_credential",
  "jwt_secret",
  "acl",
  "target",
  "upstream",
  "service",
  "route",
  "plugin",
];
