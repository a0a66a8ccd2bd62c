import type { Cursor } from "../gen/holdfast/config/v1/cursor_pb.js";
import type { Feature } from "../model/features.ts";
import type { HostPort } from "../runtime/host-port.ts";
import type { RevisionCount } from "./gateway/counters.ts";
import type { Explained } from "./gateway/explain/explain.ts";
import type { ExplainQuestion } from "./gateway/explain/question.ts";
import type { Prepared, PrepareResult } from "./gateway/states.ts";
import type { Degradation } from "./gateway/runtime.ts";
import type { UpstreamView } from "./gateway/upstreams/view.ts";
import type { State } from "./replica/last-good.ts";

/** What a data plane proxies with: a gateway in its own process, or a group of workers that each have one. */
export interface ProxyGateway extends AsyncDisposable {
  /** What it can do. */
  readonly features: readonly Feature[];
  /** The state that requests are served with; undefined before the first. */
  readonly serving: Cursor | undefined;
  /** What of the served state is not served as it is meant. */
  readonly degraded: readonly Degradation[];
  /** Where it listens: "host:port"; empty before that. */
  readonly address: string;
  /** Where it listens with TLS: "host:port"; empty when it does not. */
  readonly tlsAddress: string;
  /** Compiles a state beside the one that is served, which stays as it is. */
  prepare(
    state: State,
    onProgress?: (done: number, total: number) => void,
  ): Promise<PrepareResult>;
  /**
   * Serves every request that comes from now on with this state; requests under way stay with theirs. Where that takes
   * others, the promise resolves when all of them do. Never fails.
   */
  commit(prepared: Prepared): void | Promise<void>;
  /** What is being prepared, or is prepared, will not be served. */
  drop?(cursor: Cursor): void;
  /**
   * Begins to listen. Port 0: the system chooses.
   *
   * @param tlsListen Where to listen with TLS; absent: nowhere.
   * @throws ListenError when nothing can listen there.
   */
  open(listen: HostPort, tlsListen?: HostPort): Promise<void>;
  /** Requests and errors by revision, since this was last asked. */
  takeCounters(): RevisionCount[];
  /** Says what would become of a request. Nothing is sent, and no balancer moves on. */
  explain(question: ExplainQuestion): Promise<Explained>;
  /** The upstreams that are served, by name, and how their targets are doing. */
  upstreams(): readonly UpstreamView[];
  /** Goes on in new files where those of the access log were moved away. */
  reopenLogs(): void;
  /** Stops accepting, lets requests under way end for the grace time, then cuts all connections. */
  close(): Promise<void>;
}
