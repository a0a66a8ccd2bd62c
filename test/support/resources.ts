import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  ResourceSchema,
  type Resource,
} from "../../src/gen/holdfast/config/v1/resource_pb.js";

type Init = NonNullable<MessageInitShape<typeof ResourceSchema>["kind"]>;

/** The fields of a kind, as a test gives them. */
type Fields<Case extends Init["case"]> = Extract<Init, { case: Case }>["value"];

/** A resource of a kind: `resource("service", { name: "pay", host: "a.example" })`. */
export function resource<Case extends NonNullable<Init["case"]>>(
  kind: Case,
  value: Fields<Case>,
): Resource {
  return create(ResourceSchema, { kind: { case: kind, value } as Init });
}

/** A UUID that shows its number: `id(1)`. */
export function id(number: number): string {
  return `00000000-0000-4000-8000-${number.toString(16).padStart(12, "0")}`;
}
