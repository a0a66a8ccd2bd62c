/** The library that makes and reads certificates and revocation lists. */
export type X509 = typeof import("@peculiar/x509");

/** Loads it. That takes longer than all else at a start, so it is done by those only who need it. */
export async function loadX509(): Promise<X509> {
  // It does not load without.
  await import("reflect-metadata");
  return import("@peculiar/x509");
}
