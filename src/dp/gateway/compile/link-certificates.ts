import type { Linker } from "./linker.ts";

/** Authorities are what they are. */
export const authorityLinker: Linker<"ca_certificate"> = {
  link: ({ cert }) => cert,
};

/** So are certificates. */
export const certificateLinker: Linker<"certificate"> = {
  link: ({ identities }) => identities,
};
