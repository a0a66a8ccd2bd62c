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
  const revocations = readRevocations(lists.join(""));
  expect(revocations.has(a)).toBe(true);
  expect(revocations.has(b)).toBe(false);
  expect(revocations.nextUpdateMs).toBe(Math.floor(times.nextMs / 1000) * 1000);
});

test("serial numbers and times of any form are read; a list that is cut off or damaged anywhere is refused in words", async () => {
  const ours = await authority("ours");
  const a = await certificateOf("a", newKeys().publicKey, ours);
  const lines = ["00", "7f", "0080", "00ff01"].map((serialNumber) => ({
    serialNumber,
    revocationDate: new Date(0),
    extensions: [],
  }));
  const list = await makeRevocationList(
    ours,
    [...lines, revocationEntry(a, times.nowMs)],
    // A year that takes four digits.
    { ...times, nextMs: Date.UTC(2050, 0, 1) },
  );
  const read = readRevocations(list);
  expect(read.nextUpdateMs).toBe(Date.UTC(2050, 0, 1));
  expect(read.has(a)).toBe(true);
  for (const serialNumber of ["0", "7F", "80", "FF01"])
    expect(read.has(copyOf(a, serialNumber))).toBe(true);
  expect(read.has(copyOf(a, "FF02"))).toBe(false);

  const der = Buffer.from(list.replace(/-----.*-----/g, ""), "base64");
  const pem = (bytes: Buffer): string =>
    `-----BEGIN X509 CRL-----\n${bytes.toString("base64")}\n-----END X509 CRL-----`;
  for (let end = 0; end < der.length; end++)
    expect(() => readRevocations(pem(der.subarray(0, end)))).toThrow("damaged");
  for (let at = 0; at < der.length; at++) {
    const other = Buffer.from(der);
    other[at] = 0x80;
    try {
      readRevocations(pem(other));
    } catch (error) {
      expect(error).toMatchObject({
        message: "the revocation list in it is damaged",
        cause: expect.any(RangeError) as RangeError,
      });
    }
  }
});

/** The same certificate, as far as it is looked at, with another serial number. */
function copyOf(
  certificate: X509Certificate,
  serialNumber: string,
): X509Certificate {
  return new Proxy(certificate, {
    get: (target, name) =>
      name === "serialNumber"
        ? serialNumber
        : (Reflect.get(target, name, target) as unknown),
  });
}

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
  expect(readRevocations(list).has(a)).toBe(true);
  const cut = list.replace(/\n.*\n.*(?=\n-----END)/, "");
  expect(() => readRevocations(cut)).toThrow(
    "the revocation list in it is damaged",
  );
});
