/** Where in its directory a control plane has its store. */
export const STORE_DIRECTORY = "store";

/** Where in its directory a control plane has its audit log. */
export const AUDIT_DIRECTORY = "audit";

/** What tries, beside the store, whether the disk takes a write. */
export const PROBE_FILE = "probe";

/** The workspace that every control plane has. */
export const DEFAULT_WORKSPACE = "default";
