import {
  createRegistry,
  toBinary,
  type DescFile,
  type DescService,
} from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Code, type ConnectRouter } from "@connectrpc/connect";
import { ServerReflection } from "../gen/grpc/reflection/v1/reflection_pb.js";
import { ServerReflection as ServerReflectionAlpha } from "../gen/grpc/reflection/v1alpha/reflection_pb.js";

// The messages of v1 and v1alpha are the same under other names; these types are what both share.
type Question =
  | {
      readonly case:
        | "fileByFilename"
        | "fileContainingSymbol"
        | "allExtensionNumbersOfType"
        | "listServices";
      readonly value: string;
    }
  | {
      readonly case: "fileContainingExtension";
      readonly value: {
        readonly containingType: string;
        readonly extensionNumber: number;
      };
    }
  | { readonly case: undefined; readonly value?: undefined };

interface Request {
  readonly host: string;
  readonly messageRequest: Question;
}

type Found =
  | {
      case: "fileDescriptorResponse";
      value: { fileDescriptorProto: Uint8Array[] };
    }
  | {
      case: "allExtensionNumbersResponse";
      value: { baseTypeName: string; extensionNumber: number[] };
    }
  | { case: "listServicesResponse"; value: { service: { name: string }[] } }
  | {
      case: "errorResponse";
      value: { errorCode: number; errorMessage: string };
    };

interface Answer {
  validHost: string;
  originalRequest: { host: string; messageRequest: Question };
  messageResponse: Found;
}

/**
 * Serves gRPC server reflection, v1 and v1alpha, for these services: tools need nothing but the address.
 *
 * @param files Files with types that no service's file imports, such as those of error details.
 */
export function addReflection(
  router: ConnectRouter,
  services: readonly DescService[],
  files: readonly DescFile[],
): void {
  const answers = reflection(
    [...services, ServerReflection, ServerReflectionAlpha],
    files,
  );
  router.service(ServerReflection, { serverReflectionInfo: answers });
  router.service(ServerReflectionAlpha, { serverReflectionInfo: answers });
}

function reflection(
  services: readonly DescService[],
  extra: readonly DescFile[],
): (requests: AsyncIterable<Request>) => AsyncGenerator<Answer> {
  const files = new Map<string, DescFile>();
  for (const file of [...services.map((service) => service.file), ...extra])
    collect(file, files);
  const registry = createRegistry(...files.values());
  const listed = services
    .map((service) => ({ name: service.typeName }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));

  /** Members too: `package.Service.Method` and `package.Message.field` are found with what contains them. */
  const fileOf = (symbol: string): DescFile | undefined => {
    for (
      let name = symbol.replace(/^\./, "");
      name !== "";
      name = name.slice(0, Math.max(0, name.lastIndexOf(".")))
    ) {
      const found = registry.get(name);
      if (found !== undefined) return found.file;
    }
    return undefined;
  };

  const answer = (question: Question, sent: Set<string>): Found => {
    switch (question.case) {
      case "listServices":
        return { case: "listServicesResponse", value: { service: listed } };
      case "fileByFilename":
        return fileResponse(files.get(question.value), question.value, sent);
      case "fileContainingSymbol":
        return fileResponse(fileOf(question.value), question.value, sent);
      case "fileContainingExtension": {
        const { containingType, extensionNumber } = question.value;
        const type = registry.getMessage(containingType);
        return fileResponse(
          type && registry.getExtensionFor(type, extensionNumber)?.file,
          `extension ${extensionNumber} of ${containingType}`,
          sent,
        );
      }
      case "allExtensionNumbersOfType": {
        const name = question.value;
        if (registry.getMessage(name) === undefined) return notFound(name);
        const extensionNumber = [...registry].flatMap((type) =>
          type.kind === "extension" && type.extendee.typeName === name
            ? [type.number]
            : [],
        );
        return {
          case: "allExtensionNumbersResponse",
          value: { baseTypeName: name, extensionNumber },
        };
      }
      default:
        return failure(Code.InvalidArgument, "no question is set");
    }
  };

  return async function* (requests) {
    // A client gets each file once a stream, as it keeps them.
    const sent = new Set<string>();
    for await (const request of requests)
      yield {
        validHost: request.host,
        originalRequest: {
          host: request.host,
          messageRequest: request.messageRequest,
        },
        messageResponse: answer(request.messageRequest, sent),
      };
  };
}

function fileResponse(
  file: DescFile | undefined,
  what: string,
  sent: Set<string>,
): Found {
  if (file === undefined) return notFound(what);
  // What is asked for is always answered, what it imports only the first time.
  sent.delete(file.proto.name);
  return {
    case: "fileDescriptorResponse",
    value: { fileDescriptorProto: withImports(file, sent) },
  };
}

function withImports(file: DescFile, sent: Set<string>): Uint8Array[] {
  if (sent.has(file.proto.name)) return [];
  sent.add(file.proto.name);
  return [
    toBinary(FileDescriptorProtoSchema, file.proto),
    ...file.dependencies.flatMap((imported) => withImports(imported, sent)),
  ];
}

function notFound(what: string): Found {
  return failure(Code.NotFound, `${what} is not known here`);
}

function failure(errorCode: Code, errorMessage: string): Found {
  return { case: "errorResponse", value: { errorCode, errorMessage } };
}

function collect(file: DescFile, files: Map<string, DescFile>): void {
  if (files.has(file.proto.name)) return;
  files.set(file.proto.name, file);
  for (const imported of file.dependencies) collect(imported, files);
}
