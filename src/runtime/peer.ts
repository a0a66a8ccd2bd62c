/** What a peer's certificate says of it. */
export interface PeerCertificate {
  /** The common name of its subject; empty without one. */
  readonly name: string;
  /**
   * The id of the node it was made for, which its holder may use and no other. Undefined where certificates name no
   * nodes: all have the same one.
   */
  readonly nodeId: string | undefined;
  /** The workspaces whose configuration its holder may have. None: it says nothing of them, and all are right. */
  readonly workspaces: readonly string[];
  readonly expiresAtMs: number;
  /** SHA-256 of the whole certificate, lower-case hex. */
  readonly fingerprint: string;
}

/** Who is at the other end of a connection. */
export interface Peer {
  /** "ip:port", an IPv6 address without brackets. */
  readonly address: string;
  /** Undefined in clear text. */
  readonly certificate: PeerCertificate | undefined;
  /** Says that the peer is taken in: the next one that waits for admission may come. Once is enough. */
  settled(): void;
  /** Cuts the connection: a stream whose peer never reads cannot be ended otherwise. */
  destroy(): void;
}
