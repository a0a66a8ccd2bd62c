import {
  generateKeyPairSync,
  randomBytes,
  X509Certificate,
  type KeyObject,
} from "node:crypto";
import { expect, test } from "vitest";
import {
  makeCertificate,
  makeRevocationList,
  revocationEntry,
  type Issuer,
} from "../../../src/cli/certificates/make-certificate.ts";
import { readRevocations } from "../../../src/runtime/tls/revocations.ts";

const DAY_MS = 86_400_000;
const times = { nowMs: Date.now(), nextMs: Date.now() + DAY_MS };

async function certificateOf(
  name: string,
  publicKey: KeyObject,
  issuer: Issuer | { readonly key: KeyObject },
): Promise<X509Certificate> {
  const purposes = "certificate" in issuer ? "client" : "authority";
  return new X509Certificate(
    await makeCertificate({
      ...{ name, publicKey, issuer, purposes: [purposes], hosts: [], uris: [] },
      ...{ nowMs: times.nowMs, endMs: times.nextMs },
    }),
  );
}

async function authority(name: string): Promise<Issuer> {
  const { publicKey, privateKey: key } = newKeys();
  return { key, certificate: await certificateOf(name, publicKey, { key }) };
}

function newKeys() {
  return generateKeyPairSync("ec", { namedCurve: "P-256" });
}

test("what one authority has revoked is another's own affair", async () => {
  const [ours, other] = [await authority("ours"), await authority("other")];
  const a = await certificateOf("a", newKeys().publicKey, ours);
  const b = await certificateOf("b", newKeys().publicKey, ours);
  const listOf = (issuer: Issuer, ...revoked: X509Certificate[]) =>
    makeRevocationList(
      issuer,
      revoked.map((one) => revocationEntry(one, times.nowMs)),
      times,
    );
  const lists = await Promise.all([listOf(ours, a), listOf(other, b)]);
  const revocations = await readRevocations(lists.join(""));
  expect(revocations.has(a)).toBe(true);
  expect(revocations.has(b)).toBe(false);
  expect(revocations.nextUpdateMs).toBe(Math.floor(times.nextMs / 1000) * 1000);
});

test("a list may be as long as it is, and may have been cut off", async () => {
  const ours = await authority("ours");
  const a = await certificateOf("a", newKeys().publicKey, ours);
  const others = Array.from({ length: 1_500 }, () => ({
    serialNumber: randomBytes(16).toString("hex"),
    revocationDate: new Date(0),
    extensions: [],
  }));
  const list = await makeRevocationList(
    ours,
    [...others, revocationEntry(a, times.nowMs)],
    times,
  );
  expect((await readRevocations(list)).has(a)).toBe(true);
  await expect(
    readRevocations(list.replace(/\n.*\n.*(?=\n-----END)/, "")),
  ).rejects.toThrow("the revocation list in it is damaged");
});
