/** One address that a name stands for. */
export interface NamedAddress {
  /** IPv6 without brackets. */
  readonly address: string;
  /** What an SRV record says; undefined for one that came from an A or AAAA record. */
  readonly service?: {
    readonly port: number;
    /** More than 0. */
    readonly weight: number;
    /** The name that the record points to. */
    readonly name: string;
  };
}

/** What a name stands for. The same object as long as nothing has changed. */
export type DnsAnswer =
  | {
      readonly ok: true;
      /** At least one, in one order. */
      readonly addresses: readonly NamedAddress[];
      /** Whether the name servers want to be asked for every use. */
      readonly volatile: boolean;
    }
  | {
      readonly ok: false;
      /** Whether there is no such name or address; else the name servers did not say. */
      readonly missing: boolean;
      readonly detail: string;
    };

/** Looks names up. */
export interface Resolver {
  /** What a name stands for: at once when that is known, or was known and is being looked up again. */
  lookup(name: string): DnsAnswer | Promise<DnsAnswer>;
  /**
   * Keeps a name looked up until the returned function is called.
   *
   * @param onAnswer Called when the answer is another, and with the first.
   */
  watch(name: string, onAnswer: (answer: DnsAnswer) => void): () => void;
}
