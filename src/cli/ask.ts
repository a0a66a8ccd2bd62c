import { createInterface } from "node:readline";
import { Failure, type Io } from "./io.ts";

/**
 * Asks a question that is answered with yes or no. Without a terminal nobody can answer: fails and says that `--yes` is
 * needed.
 */
export async function confirm(io: Io, question: string): Promise<boolean> {
  if (io.stdin.isTTY !== true) {
    throw new Failure(
      `${question} There is no terminal to answer on, so nothing was changed: --yes answers yes.`,
    );
  }
  const lines = createInterface({ input: io.stdin, terminal: false });
  try {
    io.stderr.write(`${question} [y/N] `);
    const answer = await new Promise<string>((resolve, reject) => {
      const stop = () => {
        reject(new Failure("interrupted"));
      };
      if (io.stop.aborted) stop();
      io.stop.addEventListener("abort", stop, { once: true });
      lines.once("line", resolve);
      lines.once("close", () => {
        resolve("");
      });
    });
    return /^y(es)?$/i.test(answer.trim());
  } finally {
    lines.close();
  }
}
