import type { X509Certificate } from "node:crypto";
import {
  fingerprintOf,
  namesOf,
  nodeIdsOf,
  workspacesOf,
} from "../../runtime/tls/certificate-names.ts";
import { printable } from "../table.ts";

/** What is shown of a certificate, for programs. */
export interface ShownCertificate {
  readonly file: string;
  readonly subject: string;
  readonly issuer: string;
  readonly authority: boolean;
  readonly names: readonly string[];
  /** The node it binds its holder to; absent when it names none, or several. */
  readonly node_id?: string;
  /** The workspaces it binds its holder to; absent when it names none. */
  readonly workspaces?: readonly string[];
  readonly usages: readonly string[];
  readonly serial_number: string;
  readonly valid_from: string;
  readonly valid_to: string;
  readonly days_left: number;
  readonly sha256: string;
}

const USAGES: ReadonlyMap<string, string> = new Map([
  ["1.3.6.1.5.5.7.3.1", "serverAuth"],
  ["1.3.6.1.5.5.7.3.2", "clientAuth"],
]);

/** Reads what there is to show. */
export function describe(
  file: string,
  certificate: X509Certificate,
  nowMs: number,
): ShownCertificate {
  const names = namesOf(certificate);
  const [node, ...others] = nodeIdsOf(names);
  const workspaces = workspacesOf(names);
  const usages: unknown = certificate.toLegacyObject().ext_key_usage;
  return {
    file,
    subject: oneLine(certificate.subject),
    issuer: oneLine(certificate.issuer),
    authority: certificate.ca,
    names: [...names.dns, ...names.ips, ...names.uris],
    ...(certificate.ca || node === undefined || others.length > 0
      ? {}
      : { node_id: node }),
    ...(certificate.ca || workspaces.length === 0 ? {} : { workspaces }),
    usages: Array.isArray(usages)
      ? usages.map((usage) => USAGES.get(String(usage)) ?? String(usage))
      : [],
    serial_number: certificate.serialNumber.toLowerCase(),
    valid_from: timeOf(certificate.validFrom),
    valid_to: timeOf(certificate.validTo),
    days_left: Math.floor(
      (Date.parse(certificate.validTo) - nowMs) / 86_400_000,
    ),
    sha256: fingerprintOf(certificate),
  };
}

/** The same for people. */
export function describeForPeople(shown: ShownCertificate): string {
  const { days_left: left } = shown;
  const rows: readonly (readonly [string, string])[] = [
    ["subject", shown.subject],
    ["issuer", shown.issuer === shown.subject ? "itself" : shown.issuer],
    ["authority", shown.authority ? "yes" : "no"],
    ["names", shown.names.join(", ")],
    ["node id", shown.node_id ?? ""],
    ["workspaces", shown.workspaces?.join(", ") ?? ""],
    ["for", shown.usages.join(", ")],
    ["serial number", shown.serial_number],
    ["valid from", shown.valid_from],
    [
      "valid to",
      `${shown.valid_to} (${left < 0 ? `expired ${-left} days ago` : `${left} days left`})`,
    ],
    ["SHA-256", shown.sha256],
  ];
  return [
    `${printable(shown.file)}\n`,
    ...rows
      .filter(([, value]) => value !== "")
      .map(([title, value]) => `  ${title.padEnd(15)}${printable(value)}\n`),
  ].join("");
}

function oneLine(name: string): string {
  return name.replaceAll("\n", ", ");
}

function timeOf(text: string): string {
  return new Date(text).toISOString().replace(/\.\d+/, "");
}
