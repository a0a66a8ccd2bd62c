/** What can go wrong. Each schedule has some of them; each step of a machine is counted under those that have struck its node. */
export const FAULTS = [
  "none",
  /** A connection is torn, or one end of it goes without the other knowing. */
  "cut",
  /** Nothing is read or written for a long time, or an apply takes very long. */
  "slow",
  "nodeCrash",
  "controlPlaneCrash",
  /** The control plane goes with a Goodbye, and comes back. */
  "drain",
  /** The control plane's store is put back to an older backup: the same epoch, a lower revision. */
  "backup",
  /** A history of its own: a file is restored, or a node is pointed at another control plane. */
  "history",
  "nodeDiskFull",
  "controlPlaneDiskFull",
  /** The replica's disk lost its last batch, or cannot be read. */
  "damage",
  /** What is sent arrives as something else. */
  "garbled",
  /** A node refuses a state as INVALID. */
  "refusal",
  /** A node crashes on a state again and again, and quarantines it. */
  "quarantine",
  /** A state needs what a node lacks. */
  "lacking",
  /** A state that is being pulled is no longer kept. */
  "unpinned",
] as const;

export type Fault = (typeof FAULTS)[number];

const NUMBERS = new Map<Fault, number>(FAULTS.map((fault, at) => [fault, at]));

/** The place of a fault in the list. */
export function numberOf(fault: Fault): number {
  return NUMBERS.get(fault) ?? 0;
}
