/** Where in its directory a control plane has its store. */
export const STORE_DIRECTORY = "store";

/** The workspace that every control plane has. */
export const DEFAULT_WORKSPACE = "default";
