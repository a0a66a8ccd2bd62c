import type { UpstreamResponse } from "./messages.ts";

/** A body that was waited for. */
export type HeldBody =
  /** All of it. */
  | { readonly type: "whole"; readonly body: Buffer }
  /** It is larger than it may be: what has come, with more to come. The message is paused. */
  | { readonly type: "larger"; readonly begun: readonly Buffer[] }
  /** It broke off. */
  | { readonly type: "broken" };

/** Waits for the whole body of an answer, if it has at most `limitBytes`. */
export function holdBody(
  from: UpstreamResponse,
  limitBytes: number,
  onProgress: () => void,
): Promise<HeldBody> {
  const announced = Number(from.headers["content-length"] ?? 0);
  if (announced > limitBytes)
    return Promise.resolve({ type: "larger", begun: [] });
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const done = (held: HeldBody): void => {
      from.off("data", take).off("end", end).off("close", broken);
      resolve(held);
    };
    const take = (chunk: Buffer): void => {
      onProgress();
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes <= limitBytes) return;
      from.pause();
      done({ type: "larger", begun: chunks });
    };
    const end = (): void => {
      done({ type: "whole", body: Buffer.concat(chunks) });
    };
    const broken = (): void => {
      done({ type: "broken" });
    };
    // An error is followed by "close".
    from.on("error", () => undefined);
    from.on("data", take).once("end", end).once("close", broken);
    onProgress();
  });
}
