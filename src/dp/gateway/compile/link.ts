import type { Slices } from "../../../model/slices.ts";
import type { ConsumerIdentity } from "../../plugins/plugin.ts";
import { Balancer, signatureOf, type BalancerTarget } from "../balancer.ts";
import type { PluginInstance } from "../plugin-chains.ts";
import type { AgentPool, TlsSettings, UpstreamAgent } from "../proxy/agents.ts";
import type { Degradation, ServedRoute, ServedService } from "../runtime.ts";
import type { DraftsByKind } from "./collect.ts";
import { ConsumerIndex } from "./consumer-index.ts";
import { COMPILE_SLICE_ENTRIES } from "./decode.ts";
import type { EntryProblem } from "./draft.ts";
import { linkTls } from "./link-tls.ts";

/** What linking needs beside the drafts. */
export interface LinkContext {
  readonly agents: AgentPool;
  /** Of the revision before: a balancer whose targets have not changed goes on where it is. */
  readonly balancers: ReadonlyMap<string, Balancer>;
  readonly random: () => number;
  /** For services that do not say whether their upstream's certificate is verified. */
  readonly tlsVerify: boolean;
}

/** Drafts with their references followed. */
export interface Linked {
  readonly routes: readonly ServedRoute[];
  readonly serviceCount: number;
  readonly plugins: readonly PluginInstance[];
  readonly consumers: ConsumerIndex;
  readonly balancers: ReadonlyMap<string, Balancer>;
  readonly agents: ReadonlySet<UpstreamAgent>;
  readonly degraded: readonly Degradation[];
  readonly warnings: readonly Degradation[];
  readonly problems: readonly EntryProblem[];
}

/** Follows all references. */
export function* linkSlices(
  drafts: DraftsByKind,
  context: LinkContext,
): Slices<Linked> {
  const linker = new Linker(drafts, context);
  for (const step of linker.steps()) {
    let handled = 0;
    for (const one of step) {
      one();
      if (++handled === COMPILE_SLICE_ENTRIES) {
        yield handled;
        handled = 0;
      }
    }
    yield handled;
  }
  return linker.linked();
}

/** One entry's work. */
type Work = () => void;

interface LinkedUpstream {
  readonly balancer: Balancer;
  readonly hostHeader: string | undefined;
  readonly clientCertificate: string | undefined;
}

class Linker {
  readonly #drafts: DraftsByKind;
  readonly #context: LinkContext;
  readonly #problems: EntryProblem[] = [];
  readonly #degraded: Degradation[] = [];
  readonly #warnings: Degradation[] = [];
  readonly #consumers = new ConsumerIndex();
  readonly #certificates = new Map<string, TlsSettings["identities"]>();
  readonly #authorities = new Map<string, string>();
  readonly #upstreamIds = new Set<string>();
  readonly #targets = new Map<string, BalancerTarget[]>();
  readonly #upstreamsByName = new Map<string, LinkedUpstream>();
  readonly #balancers = new Map<string, Balancer>();
  readonly #agents = new Set<UpstreamAgent>();
  /** Undefined for services that are not served. */
  readonly #services = new Map<string, ServedService | undefined>();
  readonly #routeIds = new Set<string>();
  readonly #routes: ServedRoute[] = [];
  readonly #plugins: PluginInstance[] = [];

  constructor(drafts: DraftsByKind, context: LinkContext) {
    this.#drafts = drafts;
    this.#context = context;
  }

  /** What is to be done, in order: what is referred to comes before what refers to it. */
  *steps(): Generator<Iterable<Work>, void, undefined> {
    const drafts = this.#drafts;
    yield each(drafts.certificate, ({ draft }) => {
      this.#certificates.set(draft.id, draft.identities);
    });
    yield each(drafts.authority, ({ draft }) => {
      this.#authorities.set(draft.id, draft.cert);
    });
    yield each(drafts.consumer, ({ draft }) => {
      this.#consumers.addConsumer(draft.consumer);
    });
    yield each(drafts.key, (entry) => {
      this.#linkKey(entry);
    });
    yield each(drafts.login, (entry) => {
      this.#linkLogin(entry);
    });
    yield each(drafts.tokenKey, (entry) => {
      this.#linkTokenKey(entry);
    });
    yield each(drafts.group, (entry) => {
      this.#linkGroup(entry);
    });
    yield each(drafts.upstream, ({ draft }) => {
      this.#upstreamIds.add(draft.id);
    });
    yield each(drafts.target, (entry) => {
      this.#linkTarget(entry);
    });
    yield each(drafts.upstream, (entry) => {
      this.#linkUpstream(entry);
    });
    yield each(drafts.service, (entry) => {
      this.#linkService(entry);
    });
    yield each(drafts.route, (entry) => {
      this.#linkRoute(entry);
    });
    yield each(drafts.plugin, (entry) => {
      this.#linkPlugin(entry);
    });
  }

  linked(): Linked {
    return {
      routes: this.#routes,
      serviceCount: [...this.#services.values()].filter(
        (service) => service !== undefined,
      ).length,
      plugins: this.#plugins,
      consumers: this.#consumers,
      balancers: this.#balancers,
      agents: this.#agents,
      degraded: this.#degraded,
      warnings: this.#warnings,
      problems: this.#problems,
    };
  }

  #refuse(key: string, field: string, reason: string): void {
    this.#problems.push({ key, field, reason, class: "INVALID" });
  }

  #dangling(key: string, field: string, kind: string, id: string): void {
    this.#refuse(key, field, `names ${kind} "${id}", which does not exist`);
  }

  /** The consumer that an entry names; when there is none, that is reported. */
  #consumerOf(key: string, id: string): ConsumerIdentity | undefined {
    const consumer = this.#consumers.byId(id);
    if (consumer === undefined) this.#dangling(key, "consumer", "consumer", id);
    return consumer;
  }

  #linkKey({ key, draft }: DraftsByKind["key"][number]): void {
    const consumer = this.#consumerOf(key, draft.consumer);
    if (consumer === undefined) return;
    const owner = { credentialId: draft.id, consumer };
    if (!this.#consumers.addKey(draft.key, owner))
      this.#refuse(key, "key", "another credential has the same key");
  }

  #linkLogin({ key, draft }: DraftsByKind["login"][number]): void {
    const consumer = this.#consumerOf(key, draft.consumer);
    if (consumer === undefined) return;
    const { id: credentialId, password } = draft;
    const owner = { credentialId, consumer, password };
    if (!this.#consumers.addLogin(draft.username, owner))
      this.#refuse(key, "username", "another credential has the same username");
  }

  #linkTokenKey({ key, draft }: DraftsByKind["tokenKey"][number]): void {
    const consumer = this.#consumerOf(key, draft.consumer);
    if (consumer === undefined) return;
    const { id: credentialId, algorithm, secret, publicKey } = draft;
    const owner = { credentialId, consumer, algorithm, secret, publicKey };
    if (!this.#consumers.addTokenKey(draft.key, owner))
      this.#refuse(key, "key", "another credential has the same key");
  }

  #linkGroup({ key, draft }: DraftsByKind["group"][number]): void {
    const consumer = this.#consumerOf(key, draft.consumer);
    if (consumer !== undefined)
      this.#consumers.addGroup(consumer.id, draft.group);
  }

  #linkTarget({ key, draft }: DraftsByKind["target"][number]): void {
    if (!this.#upstreamIds.has(draft.upstream)) {
      this.#dangling(key, "upstream", "upstream", draft.upstream);
      return;
    }
    const { host, port, weight } = draft;
    const targets = this.#targets.get(draft.upstream);
    if (targets === undefined)
      this.#targets.set(draft.upstream, [{ host, port, weight }]);
    else targets.push({ host, port, weight });
  }

  #linkUpstream({ key, draft }: DraftsByKind["upstream"][number]): void {
    if (this.#upstreamsByName.has(draft.name)) {
      this.#refuse(key, "name", `another upstream is named "${draft.name}"`);
      return;
    }
    const targets = this.#targets.get(draft.id) ?? [];
    const before = this.#context.balancers.get(draft.id);
    const balancer =
      before?.signature === signatureOf(targets)
        ? before
        : new Balancer(targets, this.#context.random);
    this.#balancers.set(draft.id, balancer);
    const { hostHeader, clientCertificate } = draft;
    this.#upstreamsByName.set(draft.name, {
      balancer,
      hostHeader,
      clientCertificate,
    });
    if (draft.algorithm !== "round-robin")
      this.#warnings.push({
        key,
        reason: `this data plane does not have the algorithm "${draft.algorithm}" yet: the targets of upstream "${draft.name}" are chosen by weighted round-robin`,
      });
  }

  #linkService({ key, draft }: DraftsByKind["service"][number]): void {
    const { id, service, enabled } = draft;
    const upstream =
      service === undefined
        ? undefined
        : this.#upstreamsByName.get(service.host);
    const tls = linkTls(draft, upstream?.clientCertificate, {
      certificates: this.#certificates,
      authorities: this.#authorities,
      verify: this.#context.tlsVerify,
    });
    for (const { field, kind, id: missing } of tls.missing)
      this.#dangling(key, field, kind, missing);
    if (service === undefined || !enabled) {
      this.#services.set(id, undefined);
      return;
    }
    const { agents } = this.#context;
    const agent =
      service.protocol === "https" ? agents.secure(tls.settings) : agents.plain;
    this.#agents.add(agent);
    this.#services.set(id, {
      ...service,
      balancer: upstream?.balancer,
      hostHeader: upstream?.hostHeader,
      agent,
    });
  }

  #linkRoute({ key, draft }: DraftsByKind["route"][number]): void {
    this.#routeIds.add(draft.id);
    const id = draft.service;
    if (id !== undefined && !this.#services.has(id)) {
      this.#dangling(key, "service", "service", id);
      return;
    }
    if (draft.route === undefined) return;
    const service = id === undefined ? undefined : this.#services.get(id);
    // A service that is disabled, or of a protocol that is not proxied, takes its routes with it.
    if (id !== undefined && service === undefined) return;
    this.#routes.push({ ...draft.route, service });
  }

  #linkPlugin({ key, draft }: DraftsByKind["plugin"][number]): void {
    const { instance, scope } = draft;
    const { route, service, consumer } = scope;
    if (route !== undefined && !this.#routeIds.has(route))
      this.#dangling(key, "route", "route", route);
    if (service !== undefined && !this.#services.has(service))
      this.#dangling(key, "service", "service", service);
    if (consumer !== undefined && this.#consumers.byId(consumer) === undefined)
      this.#dangling(key, "consumer", "consumer", consumer);
    if (instance === undefined) return;
    this.#plugins.push(instance);
    if (instance.handlers === undefined)
      this.#degraded.push({
        key,
        reason: `this data plane does not have the plugin "${instance.name}": ${scopeText(scope)} answer 503`,
      });
  }
}

function* each<T>(
  items: readonly T[],
  work: (item: T) => void,
): Generator<Work, void, undefined> {
  for (const item of items)
    yield () => {
      work(item);
    };
}

/** Which requests a scope has, for people. */
function scopeText({
  route,
  service,
  consumer,
}: PluginInstance["scope"]): string {
  const parts = [
    ...(route === undefined ? [] : [`of route ${route}`]),
    ...(service === undefined ? [] : [`to service ${service}`]),
    ...(consumer === undefined ? [] : [`from consumer ${consumer}`]),
  ];
  return parts.length === 0 ? "all requests" : `requests ${parts.join(" ")}`;
}
