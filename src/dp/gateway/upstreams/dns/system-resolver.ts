import { lookup } from "node:dns/promises";
import type { DnsAnswer, Resolver } from "./answer.ts";

/** Looks names up as the system does, every time. */
export class SystemResolver implements Resolver {
  async lookup(name: string): Promise<DnsAnswer> {
    try {
      const found = await lookup(name, { all: true });
      return { ok: true, addresses: found, volatile: false };
    } catch (error) {
      const code =
        error instanceof Error && "code" in error ? error.code : undefined;
      return {
        ok: false,
        missing: code === "ENOTFOUND" || code === "ENODATA",
        detail: String(error),
      };
    }
  }

  watch(name: string, onAnswer: (answer: DnsAnswer) => void): () => void {
    let stopped = false;
    void this.lookup(name).then((answer) => {
      if (!stopped) onAnswer(answer);
    });
    return () => {
      stopped = true;
    };
  }
}
