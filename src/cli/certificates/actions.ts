import {
  generateKeyPairSync,
  X509Certificate,
  type KeyObject,
} from "node:crypto";
import path from "node:path";
import { parseCertificates } from "../../model/pem.ts";
import { writeFileDurably } from "../../runtime/durable-file.ts";
import {
  NODE_URI,
  WORKSPACE_URI,
} from "../../runtime/tls/certificate-names.ts";
import { plainSerial, readLists } from "../../runtime/tls/revocations.ts";
import { Failure, type Io } from "../io.ts";
import { writeValue, type Format } from "../output.ts";
import {
  AUTHORITY,
  readAuthority,
  textIfThere,
  unreadable,
} from "./authority.ts";
import { locked } from "./lock.ts";
import {
  makeCertificate,
  makeRevocationList,
  revocationEntry,
  type RevocationEntry,
} from "./make-certificate.ts";
import { writeNewFiles, type NewFile } from "./new-files.ts";
import { describe, describeForPeople } from "./show.ts";

const DAY_MS = 86_400_000;
const AUTHORITY_DAYS = 3650;
const SHARED_DAYS = 1095;
const LEAF_DAYS = 365;

/** Makes an authority, or one pair for everybody. */
export async function init(
  io: Io,
  options: {
    readonly out: string;
    readonly shared: boolean;
    readonly days: number | undefined;
  },
): Promise<void> {
  const { out, shared } = options;
  const nowMs = Date.now();
  const { publicKey, privateKey } = newKeys();
  const days = options.days ?? (shared ? SHARED_DAYS : AUTHORITY_DAYS);
  const endMs = nowMs + days * DAY_MS;
  const certificate = await makeCertificate({
    name: shared ? "holdfast cluster" : "holdfast cluster CA",
    publicKey,
    issuer: { key: privateKey },
    purposes: shared ? ["server", "client"] : ["authority"],
    hosts: [],
    uris: [],
    nowMs,
    endMs,
  });
  const base = path.join(out, shared ? "cluster" : "ca");
  const files = pairOf(base, certificate, privateKey);
  if (!shared)
    files.push({
      file: path.join(out, AUTHORITY.revocations),
      content: await makeRevocationList(
        { certificate: new X509Certificate(certificate), key: privateKey },
        [],
        { nowMs, nextMs: endMs },
      ),
      secret: false,
    });
  await writeNewFiles(files);
  io.stdout.write(`${files.map(({ file }) => file).join("\n")}\n`);
  io.stderr.write(
    shared
      ? `One pair for every control plane and data plane: --cluster-cert ${base}.crt --cluster-key ${base}.key. Whoever has the key belongs to the fleet.\n`
      : `Give --cluster-ca ${base}.crt to every control plane and data plane, and keep ${base}.key to yourself. Next: holdfast cert issue --cp NAME, holdfast cert issue --dp NAME.\n`,
  );
}

/** Makes a certificate by the authority. */
export async function issue(
  io: Io,
  options: {
    readonly out: string;
    readonly to: string;
    readonly days: number | undefined;
    readonly role:
      | {
          readonly type: "cp";
          readonly name: string;
          readonly hosts: readonly string[];
        }
      | {
          readonly type: "dp";
          readonly name: string;
          /** Those it may have the configuration of; none: any. */
          readonly workspaces: readonly string[];
        };
  },
): Promise<void> {
  const { out, to, role } = options;
  const issuer = await readAuthority(out);
  const nowMs = Date.now();
  const lastMs = Date.parse(issuer.certificate.validTo);
  const wantedMs = nowMs + (options.days ?? LEAF_DAYS) * DAY_MS;
  if (lastMs <= nowMs)
    throw new Failure(
      `the authority in ${out} has expired on ${issuer.certificate.validTo}`,
    );
  if (options.days !== undefined && wantedMs > lastMs)
    throw new Failure(
      `--days ${options.days} is longer than the authority in ${out} is valid, which ends on ${new Date(lastMs).toISOString()}`,
    );
  const { publicKey, privateKey } = newKeys();
  const isControlPlane = role.type === "cp";
  const certificate = await makeCertificate({
    name: role.name,
    publicKey,
    issuer,
    purposes: isControlPlane ? ["server", "client"] : ["client"],
    hosts: !isControlPlane
      ? []
      : role.hosts.length > 0
        ? role.hosts
        : [role.name],
    uris: isControlPlane
      ? []
      : [
          NODE_URI + role.name,
          ...role.workspaces.map((workspace) => WORKSPACE_URI + workspace),
        ],
    nowMs,
    endMs: Math.min(wantedMs, lastMs),
  });
  const files = pairOf(path.join(to, role.name), certificate, privateKey);
  await writeNewFiles(files);
  io.stdout.write(`${files.map(({ file }) => file).join("\n")}\n`);
}

/** Puts a certificate on the authority's list. */
export async function revoke(
  io: Io,
  {
    out,
    file,
    newList,
  }: {
    readonly out: string;
    readonly file: string;
    /** Begins a list where there is none. */
    readonly newList: boolean;
  },
): Promise<void> {
  const issuer = await readAuthority(out);
  const [certificate] = await certificatesOf(file);
  if (certificate === undefined) throw new Failure(`${file} is empty`);
  // By its key: a renewed one of its own is as much itself.
  if (certificate.checkPrivateKey(issuer.key))
    throw new Failure(
      `${file} is the certificate of the authority in ${out} itself, and every certificate by it would go with it: make a new authority (holdfast cert init --out DIR), and give it to control planes and data planes instead`,
    );
  if (
    !certificate.checkIssued(issuer.certificate) ||
    !certificate.verify(issuer.certificate.publicKey)
  )
    throw new Failure(`${file} was not issued by the authority in ${out}`);
  const listFile = path.join(out, AUTHORITY.revocations);
  // What is read and written meanwhile by another would be lost.
  await locked(listFile, io.stop, async () => {
    const before = await entriesIn(listFile, newList);
    const nowMs = Date.now();
    const serial = plainSerial(certificate.serialNumber);
    if (before.some((entry) => plainSerial(entry.serialNumber) === serial))
      throw new Failure(`${file} is revoked already`);
    await writeFileDurably(
      listFile,
      await makeRevocationList(
        issuer,
        [...before, revocationEntry(certificate, nowMs)],
        { nowMs, nextMs: Date.parse(issuer.certificate.validTo) },
      ),
      // It is no secret, and who reads it may be somebody else.
      { mode: 0o644 },
    );
  });
  io.stdout.write(`${listFile}\n`);
  io.stderr.write(
    `${file} is revoked for every control plane and data plane that has the new ${listFile} as its --cluster-crl.\n`,
  );
}

/** Prints what is in certificates. */
export async function show(
  io: Io,
  {
    files,
    output,
  }: { readonly files: readonly string[]; readonly output: Format },
): Promise<void> {
  const nowMs = Date.now();
  const shown = [];
  for (const file of files)
    for (const certificate of await certificatesOf(file))
      shown.push(describe(file, certificate, nowMs));
  if (output === "table")
    io.stdout.write(shown.map(describeForPeople).join("\n"));
  else
    writeValue(io.stdout, output, {
      certificates: shown.map(({ workspaces, ...one }) => ({
        ...one,
        names: [...one.names],
        ...(workspaces === undefined ? {} : { workspaces: [...workspaces] }),
        usages: [...one.usages],
      })),
    });
}

/** Makes the pair that signs and verifies snapshot files. */
export async function signingKey(
  io: Io,
  { out }: { readonly out: string },
): Promise<void> {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const files: NewFile[] = [
    {
      file: path.join(out, "holdfast-signing.key"),
      content: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
      secret: true,
    },
    {
      file: path.join(out, "holdfast-signing.pub"),
      content: publicKey.export({ type: "spki", format: "pem" }).toString(),
      secret: false,
    },
  ];
  await writeNewFiles(files);
  io.stdout.write(`${files.map(({ file }) => file).join("\n")}\n`);
}

/** What is on the list so far. */
async function entriesIn(
  file: string,
  newList: boolean,
): Promise<readonly RevocationEntry[]> {
  const pem = await textIfThere(file);
  if (pem === undefined) {
    if (newList) return [];
    throw new Failure(
      `there is no ${file}: a list without what was revoked before would let all of that in again. Bring it back from where control planes have it (--cluster-crl); if nothing was ever revoked: --new-list`,
    );
  }
  if (newList)
    throw new Failure(
      `${file} is there already: leave --new-list away, and the certificate is added to it`,
    );
  try {
    return (await readLists(pem)).flatMap(({ entries }) => entries);
  } catch (error) {
    throw unreadable(file, error);
  }
}

function newKeys(): {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
} {
  return generateKeyPairSync("ec", { namedCurve: "P-256" });
}

function pairOf(
  base: string,
  certificate: string,
  privateKey: KeyObject,
): NewFile[] {
  return [
    { file: `${base}.crt`, content: certificate, secret: false },
    {
      file: `${base}.key`,
      content: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
      secret: true,
    },
  ];
}

async function certificatesOf(file: string): Promise<X509Certificate[]> {
  const text = await textIfThere(file);
  if (text === undefined)
    throw unreadable(file, new Error("there is no such file"));
  const parsed = parseCertificates(text);
  if (!parsed.ok) throw new Failure(`${file} ${parsed.reason}`);
  return parsed.value;
}
