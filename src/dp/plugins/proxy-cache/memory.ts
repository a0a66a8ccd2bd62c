import { LRUCache } from "lru-cache";
import type { PluginEnvironment } from "../plugin.ts";
import { Gatherings } from "./gathering.ts";

/** An answer that is kept. */
export interface StoredAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  readonly storedMs: number;
  /** How long it is given again. */
  readonly ttlSeconds: number;
}

/** The memory that all caches of a process have together. */
const MAX_BYTES = 128 * 1024 * 1024;
/** What bodies on their way into it have together beside that. */
const MAX_GATHERED_BYTES = 64 * 1024 * 1024;
/** The largest body that is kept. */
const MAX_BODY_BYTES = 8 * 1024 * 1024;
/** About what an entry takes beside its body. */
const ENTRY_BYTES = 512;

type Memory = LRUCache<string, StoredAnswer>;

const memories = new WeakMap<PluginEnvironment, Memory>();

/** Answers that are kept, by key: the ones that nobody asked for the longest go first when there is no room. */
export function memoryOf(environment: PluginEnvironment): Memory {
  let memory = memories.get(environment);
  if (memory === undefined) {
    const { clock } = environment;
    memory = new LRUCache<string, StoredAnswer>({
      maxSize: MAX_BYTES,
      sizeCalculation: ({ body, headers }) =>
        ENTRY_BYTES + body.length + 2 * JSON.stringify(headers).length,
      ttlResolution: 0,
      perf: { now: () => clock.monotonic() },
    });
    memories.set(environment, memory);
  }
  return memory;
}

const gatherings = new WeakMap<PluginEnvironment, Gatherings>();

/** The bodies that are on their way into the caches of a process. */
export function gatheringsOf(environment: PluginEnvironment): Gatherings {
  let known = gatherings.get(environment);
  if (known === undefined) {
    known = new Gatherings({
      maxBytes: MAX_GATHERED_BYTES,
      maxBodyBytes: MAX_BODY_BYTES,
    });
    gatherings.set(environment, known);
  }
  return known;
}
