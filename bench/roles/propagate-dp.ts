import { openBareStream } from "../support/bare-stream.ts";
import { activationOf, BenchNode, inMemory } from "../support/data-plane.ts";
import type { Calls } from "../support/child.ts";

export interface PropagateDataPlanes {
  /** Connects so many sessions and as many bare streams, each on a connection of its own. */
  readonly open: (
    name: string,
    sessions: number,
    ports: { readonly syncPort: number; readonly barePort: number },
  ) => void;
  /** For each revision: when the last of the sessions here served it, in nanoseconds. */
  readonly served: () => ReadonlyMap<bigint, bigint>;
  /** For each message: when the last of the streams here had it. */
  readonly received: () => readonly bigint[];
  readonly close: () => Promise<void>;
}

/** Data planes without gateway and disk, and the clients of as many bare streams. */
export function propagateDataPlanes(): PropagateDataPlanes & Calls {
  const served = new Map<bigint, bigint>();
  const received: bigint[] = [];
  let nodes: AsyncDisposable[] = [];
  let streams: { close: () => void }[] = [];

  function openBare(port: number): { close: () => void } {
    let count = 0;
    return openBareStream(port, () => {
      // Messages come in the order they are sent: the n-th is the n-th.
      received[count++] = process.hrtime.bigint();
    });
  }

  return {
    open: (name, sessions, { syncPort, barePort }) => {
      for (let i = 0; i < sessions; i++) {
        nodes.push(
          new BenchNode({
            id: `${name}-${i}`,
            controlPlane: { host: "127.0.0.1", port: syncPort },
            activation: activationOf(({ cursor }) => {
              served.set(cursor.revision, process.hrtime.bigint());
            }),
            persistence: inMemory,
            served: undefined,
          }),
        );
        streams.push(openBare(barePort));
      }
    },
    served: () => served,
    received: () => received,
    close: async () => {
      for (const stream of streams) stream.close();
      await Promise.all(nodes.map((node) => node[Symbol.asyncDispose]()));
      nodes = [];
      streams = [];
    },
  };
}
