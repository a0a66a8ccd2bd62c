import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  AuditRecordSchema,
  type AuditRecord,
  type AuditService,
  type ListAuditRecordsRequest,
} from "../../gen/holdfast/admin/v1/audit_service_pb.js";
import type { AuditTrail } from "../audit/audit-trail.ts";
import type { KeptRecord } from "../audit/record.ts";
import { decodePageToken, encodePageToken } from "../catalog/pages.ts";
import { RequestForm } from "./request-form.ts";
import { Room } from "./room.ts";

/** The handlers of AuditService. */
export function auditService(
  trail: AuditTrail,
): Required<ServiceImpl<typeof AuditService>> {
  return {
    listAuditRecords: (request, call) => listRecords(trail, request, call),
  };
}

async function listRecords(
  trail: AuditTrail,
  request: ListAuditRecordsRequest,
  call: HandlerContext,
): Promise<{ records: AuditRecord[]; nextPageToken: string }> {
  const form = new RequestForm();
  const limit = form.pageSize(request.pageSize);
  if (request.allWorkspaces && request.workspace !== "")
    form.refuse("workspace", "is one, and all_workspaces asks for all");
  const place = decodePageToken("audit records", request.pageToken);
  const before = Number(place);
  if (!/^\d{0,15}$/.test(place))
    form.refuse("page_token", "is not a token that was given out");
  form.check();
  const page = await trail.list({
    before: place === "" ? undefined : before,
    limit,
    matches: matcherOf(request),
  });
  const records = new Room(call).fit(
    AuditRecordSchema,
    page.records.map(messageOf),
  );
  const next =
    records.length < page.records.length
      ? page.records[records.length - 1]?.sequence
      : page.next;
  return {
    records,
    nextPageToken:
      next === undefined ? "" : encodePageToken("audit records", String(next)),
  };
}

function matcherOf({
  workspace,
  allWorkspaces,
  method,
  caller,
}: ListAuditRecordsRequest): (record: KeptRecord) => boolean {
  const wanted = workspace === "" ? "default" : workspace;
  return (record) =>
    (allWorkspaces || isAbout(record, wanted)) &&
    (method === "" ||
      record.method === method ||
      record.method.endsWith(`/${method}`) ||
      record.method.endsWith(`.${method}`)) &&
    (caller === "" || record.caller === caller);
}

/** Of a copy it is the one that is copied, and the one that is made. */
function isAbout(
  { workspace, resources }: KeptRecord,
  wanted: string,
): boolean {
  return (
    workspace === wanted ||
    resources.some(({ kind, name }) => kind === "workspace" && name === wanted)
  );
}

function messageOf(record: KeptRecord): AuditRecord {
  const { timeMs, revision, sequence, resources, ...rest } = record;
  return create(AuditRecordSchema, {
    ...rest,
    resources: [...resources],
    sequence: BigInt(sequence),
    revision: BigInt(revision),
    time: timestampFromMs(timeMs),
  });
}
