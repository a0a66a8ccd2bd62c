/** What can be closed. */
export interface Closable {
  readonly close: () => void;
}

/** As long as grpc-js waits before it connects anew. */
const AGAIN_MS = 1_000;

/**
 * Opens a stream, and opens it anew when it ends before it was open: of thousands of connections that are opened at once
 * some take longer than grpc-js waits for one, which a plain stream never recovers from.
 *
 * @param open Called for each try; it says when the stream is open, and when it has ended.
 */
export function untilOpen(
  open: (opened: () => void, ended: () => void) => Closable,
): Closable {
  let state: "opening" | "open" | "closed" = "opening";
  let current: Closable | undefined;
  let timer: NodeJS.Timeout | undefined;

  function attempt(): void {
    let over = false;
    current = open(
      () => {
        if (state === "opening") state = "open";
      },
      () => {
        if (state !== "opening" || over) return;
        over = true;
        timer = setTimeout(() => {
          current?.close();
          attempt();
        }, AGAIN_MS);
      },
    );
  }

  attempt();
  return {
    close: () => {
      state = "closed";
      clearTimeout(timer);
      current?.close();
    },
  };
}
