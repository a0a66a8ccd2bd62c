const KIB = 1024;
const MIB = 1024 * KIB;
const SECOND = 1000;
const MINUTE = 60 * SECOND;

/** The protocol's numbers, for both ends. Sizes in bytes, times in milliseconds. */
export const LIMITS = {
  /** A frame's content, plain. Anything larger goes as a Manifest. */
  deltaBytes: MIB,
  /** Below this a Delta is sent whatever its share of the snapshot is. */
  smallDeltaBytes: 64 * KIB,
  /** A Delta over `smallDeltaBytes` and over this share of the snapshot goes as a Manifest. */
  deltaShare: 1 / 3,
  /** Plain bytes of one BucketChunk. */
  chunkBytes: 256 * KIB,
  /** Data from here on is compressed. */
  compressBytes: KIB,
  /** Plain bytes of buckets that may be asked for and not have come. */
  bucketWindowBytes: 4 * MIB,
  /** A value that the catalog accepts. */
  valueBytes: 256 * KIB,
  /** Any message of a control plane. */
  messageBytes: 4 * MIB,
  /** Any message of a node. */
  nodeMessageBytes: 256 * KIB,
  /** A Report. */
  reportBytes: 64 * KIB,
  /** Plain bytes of a snapshot that a node accepts. */
  snapshotBytes: 2048 * MIB,
  /** Frames written and not drained, over all sessions of a control plane. */
  undrainedBytes: 64 * MIB,
  /** Refusals that a node remembers. */
  refusals: 16,
  /** Violations in a Nack. */
  violations: 64,
  /** Violations that are remembered of a refusal: all refusals must fit in a Hello. */
  rememberedViolations: 8,
  /** Characters of a violation's reason, and of one that is remembered. */
  reasonChars: 1024,
  rememberedReasonChars: 256,
  /** ROOT_MISMATCH answers in a row that end the stream. */
  mismatches: 3,
  /** Frames that another took the place of, whose late Acks count. */
  superseded: 16,
  /** States that are kept for nodes that pull them. */
  pinnedStates: 8,
  /** Manifests replaced in a row after which a node's state stays kept until it has it. */
  replacements: 3,
  /** Connections at a time that are in handshake or have no Welcome yet. */
  greetings: 64,
  /** Snapshot data written and not drained, over all sessions of a control plane. */
  snapshotBytesInFlight: 32 * MIB,
  /** How often each side says something. */
  heartbeatMs: 10 * SECOND,
  /** Silence after which the other side is taken for dead. */
  deadMs: 30 * SECOND,
  /** Waiting for an answer or progress after a frame has drained. */
  stallMs: MINUTE,
  /** The same while the node reports progress of an apply. */
  applyMs: 10 * MINUTE,
  /** Before a node comes again after it was told that the same cannot help. */
  hopelessRetryMs: 5 * MINUTE,
  /** A stream must greet within this. */
  greetMs: 10 * SECOND,
  /** Pace: the shortest time between two published states. */
  paceMs: 50,
  /** Reconnecting: full jitter over a limit that doubles from min to max, from min again after `backoffResetMs` of a session. */
  backoffMinMs: 250,
  backoffMaxMs: 30 * SECOND,
  backoffResetMs: MINUTE,
  /** A control plane may ask a node to stay away this long, and no longer. */
  retryAfterMs: 60 * MINUTE,
  /** Control planes that a Goodbye names and a node takes, beside those that it was started with. */
  alternatives: 8,
  /** Retrying what could not be stored: doubling from min to max. */
  storeRetryMinMs: SECOND,
  storeRetryMaxMs: MINUTE,
} as const;
