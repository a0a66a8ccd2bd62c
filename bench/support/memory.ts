/** What a process holds after garbage collection, and the most it ever held. Bytes. */
export interface Memory {
  readonly rss: number;
  readonly heapUsed: number;
  /** Buffers outside of the heap: the entries are there. */
  readonly buffers: number;
  readonly peakRss: number;
}

/** Collects garbage and looks. The process must run with --expose-gc. */
export async function memoryNow(): Promise<Memory> {
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.();
    // What finalisers let go of is gone after a turn of the event loop.
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { rss, heapUsed, arrayBuffers } = process.memoryUsage();
  return {
    rss,
    heapUsed,
    buffers: arrayBuffers,
    peakRss: process.resourceUsage().maxRSS * 1024,
  };
}
