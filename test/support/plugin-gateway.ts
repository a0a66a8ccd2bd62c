import type { Resource } from "../../src/gen/holdfast/config/v1/resource_pb.js";
import type { GatewayOptions } from "../../src/dp/gateway/options.ts";
import { api, routePlugin } from "./api.ts";
import { TestGateway } from "./gateway.ts";
import { Upstream } from "./upstream.ts";

/** What of a gateway's surroundings a test sets. */
export interface PluginGatewayOptions {
  /** Beside one service and its route. */
  readonly resources?: readonly Resource[];
  readonly gateway?: Partial<GatewayOptions>;
  readonly upstream?: Parameters<typeof Upstream.start>[0];
}

/** A gateway with plugins on its one route "/api", before a real upstream. */
export class PluginGateway implements AsyncDisposable {
  readonly gateway: TestGateway;
  readonly upstream: Upstream;
  #resources: readonly Resource[];

  private constructor(
    gateway: TestGateway,
    upstream: Upstream,
    resources: readonly Resource[],
  ) {
    this.gateway = gateway;
    this.upstream = upstream;
    this.#resources = resources;
  }

  static async start(
    plugins: Readonly<Record<string, object>>,
    { resources = [], gateway = {}, upstream }: PluginGatewayOptions = {},
  ): Promise<PluginGateway> {
    const behind = await Upstream.start(upstream);
    const all = [...api(behind.port), ...resources];
    const started = new PluginGateway(
      await TestGateway.start([], gateway),
      behind,
      all,
    );
    await started.configure(plugins);
    return started;
  }

  /** Serves with these plugins on the route, by name, from now on. */
  async configure(
    plugins: Readonly<Record<string, object>>,
    resources = this.#resources,
  ): Promise<void> {
    this.#resources = resources;
    await this.gateway.serve([
      ...resources,
      ...Object.entries(plugins).map(([name, config], i) =>
        routePlugin(100 + i, name, config),
      ),
    ]);
  }

  /** What is served beside the plugins. */
  get resources(): readonly Resource[] {
    return this.#resources;
  }

  get ask(): TestGateway["ask"] {
    return (path, options) => this.gateway.ask(path, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.gateway[Symbol.asyncDispose]();
    await this.upstream[Symbol.asyncDispose]();
  }
}
