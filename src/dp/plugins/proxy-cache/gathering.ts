import { LRUCache } from "lru-cache";

/** About what one takes beside its body. */
const ENTRY_BYTES = 512;

/** What has come of a body that is to be kept when it is whole. */
export interface Gathering {
  /** Takes the next piece. */
  take(chunk: Buffer): void;
  /** All of it, when that was the last piece; undefined when it was given up meanwhile. */
  end(): Buffer | undefined;
}

/**
 * Bodies on their way into a cache: there may be as many as there are clients, each as slow as its client. When all
 * together take too much, the one that nothing has come of for the longest is given up. So those go that broke off too,
 * of which nobody hears.
 */
export class Gatherings {
  readonly #maxBodyBytes: number;
  readonly #parts: LRUCache<object, Parts>;

  constructor(limits: {
    /** All together. */
    readonly maxBytes: number;
    /** One of them. */
    readonly maxBodyBytes: number;
  }) {
    this.#maxBodyBytes = limits.maxBodyBytes;
    this.#parts = new LRUCache({
      maxSize: limits.maxBytes,
      sizeCalculation: ({ bytes }) => ENTRY_BYTES + bytes,
    });
  }

  /** Bytes of all that are not given up. */
  get bytes(): number {
    let bytes = 0;
    for (const parts of this.#parts.values()) bytes += parts.bytes;
    return bytes;
  }

  begin(): Gathering {
    const key = {};
    let known = true;
    this.#parts.set(key, { chunks: [], bytes: 0 });
    return {
      take: (chunk) => {
        const parts = known ? this.#parts.peek(key) : undefined;
        known = parts !== undefined;
        if (parts === undefined || chunk.length === 0) return;
        const bytes = parts.bytes + chunk.length;
        parts.chunks.push(chunk);
        if (bytes > this.#maxBodyBytes) this.#parts.delete(key);
        // Anew: that makes it the one that something has come of last.
        else this.#parts.set(key, { chunks: parts.chunks, bytes });
      },
      end: () => {
        const parts = this.#parts.peek(key);
        this.#parts.delete(key);
        return parts && Buffer.concat(parts.chunks);
      },
    };
  }
}

interface Parts {
  readonly chunks: Buffer[];
  readonly bytes: number;
}
