/** What clients send of these is not believed, or is said anew. */
const NOT_FROM_CLIENTS: ReadonlySet<string> = new Set([
  "content-length",
  // node has answered it already.
  "expect",
  "host",
  // Frameworks that turn headers into variables take it for their own proxy setting.
  "proxy",
  "x-anonymous-consumer",
  "x-credential-identifier",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-path",
  "x-forwarded-port",
  "x-forwarded-prefix",
  "x-forwarded-proto",
  "x-holdfast-request-id",
  "x-kong-request-id",
  "x-real-ip",
]);

/** Whether a client's header is left out. Many frameworks take "_" for "-", so that it would pass for the real one. */
export function isForged(lowerName: string): boolean {
  const name = lowerName.includes("_")
    ? lowerName.replaceAll("_", "-")
    : lowerName;
  return NOT_FROM_CLIENTS.has(name) || name.startsWith("x-consumer-");
}
