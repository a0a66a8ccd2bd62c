import type { Slices } from "../../model/slices.ts";
import type { Consumers, PluginHandlers } from "../plugins/plugin.ts";
import { newEdit, SharedMap, type Edit } from "./shared-map.ts";

/** Which requests a plugin is for. Absent: any. */
export interface PluginScope {
  readonly route?: string;
  readonly service?: string;
  readonly consumer?: string;
  readonly consumerGroup?: string;
}

/** One enabled plugin of the configuration. */
export interface PluginInstance {
  /** Of its entry. */
  readonly key: string;
  readonly name: string;
  /** Higher runs first; infinite for a plugin that this data plane lacks, which must stop the request before anything runs. */
  readonly priority: number;
  readonly scope: PluginScope;
  /** Undefined for a plugin that this data plane lacks. */
  readonly handlers: PluginHandlers | undefined;
  /** Keeps the handlers from being closed while a request uses them; undefined for those that are never closed. */
  readonly lease?: PluginLease | undefined;
}

/** Counts who uses a plugin. */
export interface PluginLease {
  take(): void;
  release(): void;
}

/** Plugins in the order in which they run, one of each name. */
export type PluginChain = readonly PluginInstance[];

/** Who and what a request is about; empty for what is not there. */
export interface ChainSubject {
  readonly route: string;
  readonly service: string;
  readonly consumer: string;
  /** The ids of the consumer's groups: the first ones come before the others. */
  readonly groups: readonly string[];
}

/** The plugins for a request of a consumer, if it has one, with those of its groups. */
export function chainFor(
  chains: PluginChains,
  consumers: Pick<Consumers, "consumerGroupsOf">,
  {
    route,
    service,
    consumer,
  }: {
    readonly route: string;
    readonly service: string;
    readonly consumer: string | undefined;
  },
): PluginChain {
  const groups =
    consumer === undefined || !chains.hasGroups
      ? []
      : consumers.consumerGroupsOf(consumer).map(({ id }) => id);
  return chains.chainOf({ route, service, consumer: consumer ?? "", groups });
}

/** A plugin that is not what it was; undefined where there was or is none. */
export interface PluginChange {
  readonly before: PluginInstance | undefined;
  readonly after: PluginInstance | undefined;
}

type ByScope = SharedMap<readonly PluginInstance[]>;

interface Scopes {
  /** Without a route, service, consumer or group. */
  global: readonly PluginInstance[];
  byRoute: ByScope;
  byService: ByScope;
  byConsumer: ByScope;
  byGroup: ByScope;
}

/**
 * Which plugins run for a request: of each name the one with the most specific scope. Immutable but for a cache; shares
 * what did not change with those of the revision before.
 */
export class PluginChains {
  /** Chains of no plugins. */
  static readonly none = new PluginChains({
    global: [],
    byRoute: SharedMap.empty(),
    byService: SharedMap.empty(),
    byConsumer: SharedMap.empty(),
    byGroup: SharedMap.empty(),
  });

  readonly #scopes: Readonly<Scopes>;
  readonly #rewriting: PluginChain;
  /** Chains without a consumer, by route. It outlives revisions whose plugins are the same. */
  readonly #cache = new Map<string, CachedChain>();

  private constructor(scopes: Readonly<Scopes>) {
    this.#scopes = scopes;
    this.#rewriting = scopes.global
      .filter(({ handlers }) => handlers?.rewrite !== undefined)
      .sort(compareOrder);
  }

  /** Chains with some plugins changed; these very ones when none was. */
  *changed(changes: readonly PluginChange[]): Slices<PluginChains> {
    if (changes.length === 0) return this;
    const scopes: Scopes = { ...this.#scopes };
    const edit = newEdit();
    let handled = 0;
    for (const { before, after } of changes) {
      if (before !== undefined)
        change(scopes, before.scope, edit, (plugins) =>
          plugins.filter(({ key }) => key !== before.key),
        );
      if (after !== undefined)
        change(scopes, after.scope, edit, (plugins) =>
          [...plugins, after].sort((a, b) => (a.key < b.key ? -1 : 1)),
        );
      if (++handled === 64) {
        yield handled;
        handled = 0;
      }
    }
    yield handled;
    return new PluginChains(scopes);
  }

  /** The plugins for all requests that see one before its route is looked for, in order. */
  get rewriting(): PluginChain {
    return this.#rewriting;
  }

  /** The plugins for a request. */
  chainOf(subject: ChainSubject): PluginChain {
    const base = this.#baseChain(subject);
    if (subject.consumer === "") return base;
    const { byConsumer, byGroup } = this.#scopes;
    const own = [
      ...(byConsumer.get(subject.consumer) ?? []),
      ...subject.groups.flatMap((group) => byGroup.get(group) ?? []),
    ];
    return own.length === 0 ? base : mostSpecific([...base, ...own], subject);
  }

  /** Whether the groups of a consumer make a difference. */
  get hasGroups(): boolean {
    return this.#scopes.byGroup.size > 0;
  }

  #baseChain(subject: ChainSubject): PluginChain {
    const { route, service } = subject;
    const cached = this.#cache.get(route);
    if (cached?.service === service) return cached.chain;
    const { global, byRoute, byService } = this.#scopes;
    const chain = mostSpecific(
      [
        ...global,
        ...(byService.get(service) ?? []),
        ...(byRoute.get(route) ?? []),
      ],
      subject,
    );
    // Routes that are gone leave theirs behind; those that are still asked for are back soon.
    if (this.#cache.size >= MAX_CACHED) this.#cache.clear();
    this.#cache.set(route, { service, chain });
    return chain;
  }
}

interface CachedChain {
  readonly service: string;
  readonly chain: PluginChain;
}

const MAX_CACHED = 65_536;

type Plugins = readonly PluginInstance[];

function change(
  scopes: Scopes,
  { route, service, consumer, consumerGroup }: PluginScope,
  edit: Edit,
  next: (plugins: Plugins) => Plugins,
): void {
  const edited = (map: ByScope, id: string): ByScope => {
    const plugins = next(map.get(id) ?? []);
    return plugins.length === 0
      ? map.without(id, edit)
      : map.with(id, plugins, edit);
  };
  if (consumer !== undefined)
    scopes.byConsumer = edited(scopes.byConsumer, consumer);
  else if (consumerGroup !== undefined)
    scopes.byGroup = edited(scopes.byGroup, consumerGroup);
  else if (route !== undefined) scopes.byRoute = edited(scopes.byRoute, route);
  else if (service !== undefined)
    scopes.byService = edited(scopes.byService, service);
  else scopes.global = next(scopes.global);
}

/** Negative when `a` runs before `b`. */
export function compareOrder(a: PluginInstance, b: PluginInstance): number {
  if (a.priority !== b.priority) return a.priority > b.priority ? -1 : 1;
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

function mostSpecific(
  plugins: readonly PluginInstance[],
  subject: ChainSubject,
): PluginChain {
  const byName = new Map<string, PluginInstance>();
  for (const plugin of plugins) {
    if (!covers(plugin.scope, subject)) continue;
    const other = byName.get(plugin.name);
    if (
      other === undefined ||
      specificity(plugin.scope) > specificity(other.scope)
    )
      byName.set(plugin.name, plugin);
  }
  return [...byName.values()].sort(compareOrder);
}

function covers(scope: PluginScope, subject: ChainSubject): boolean {
  return (
    (scope.route === undefined || scope.route === subject.route) &&
    (scope.service === undefined || scope.service === subject.service) &&
    (scope.consumer === undefined || scope.consumer === subject.consumer) &&
    (scope.consumerGroup === undefined ||
      subject.groups.includes(scope.consumerGroup))
  );
}

/**
 * The more is given the more specific; of what has as much, first what has a consumer, then what has a consumer group, then
 * what has a route, then what has a service.
 */
function specificity({
  route,
  service,
  consumer,
  consumerGroup,
}: PluginScope): number {
  const parts = [route, service, consumer, consumerGroup].filter(
    (part) => part !== undefined,
  );
  return (
    parts.length * 16 +
    (consumer === undefined ? 0 : 8) +
    (consumerGroup === undefined ? 0 : 4) +
    (route === undefined ? 0 : 2) +
    (service === undefined ? 0 : 1)
  );
}
