/** How much of a gateway one client can take. Kong's numbers, where it has some. */
export const LIMITS = {
  /** The most bytes that a request's line and headers may have. */
  headerBytes: 32 * 1024,
  /** The most headers that a request may have. */
  headers: 1_000,
  /** The most characters of a request's path and query. */
  uriLength: 8 * 1024,
  /** How long the headers of a request may take to arrive. */
  headersMs: 60_000,
  /** How long a connection is kept for a next request. */
  idleMs: 75_000,
  /** How long a TLS handshake may take. */
  handshakeMs: 30_000,
  /** Requests that an HTTP/2 connection may have at a time. */
  streams: 128,
  /** How long an HTTP/2 connection with requests may be silent before it is asked for a sign of life. */
  pingMs: 60_000,
  /** How long that sign may take. */
  pingTimeoutMs: 20_000,
} as const;
