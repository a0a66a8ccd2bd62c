import type { HoldfastProcess } from "./holdfast-process.ts";

/** The revision that a data plane serves. */
export async function servedBy(
  dp: HoldfastProcess,
): Promise<string | undefined> {
  const config = await (await fetch(dp.url("status", "/status/config"))).json();
  const { cursor } = config as { cursor: { revision: string } | null };
  return cursor?.revision;
}
