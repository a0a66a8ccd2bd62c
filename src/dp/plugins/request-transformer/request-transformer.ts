import {
  RequestTransformerConfigSchema,
  type RequestTransformerConfig,
} from "../../../gen/holdfast/plugin/v1/request_transformer_pb.js";
import { definePlugin, type Answer, type Exchange } from "../plugin.ts";
import {
  hasTooManyArguments,
  MAX_ARGUMENTS,
  parseArguments,
  parseForm,
  writeArguments,
} from "./arguments.ts";
import { transformArguments, transformHeaders } from "./lists.ts";
import { isForm, MAX_BODY_BYTES, transformBody } from "./body.ts";
import { planOf, touches, type Plan } from "./plan.ts";
import { compileTemplate, TemplateValues } from "./template.ts";

/** "request-transformer": changes requests before they go upstream. */
export const requestTransformer = definePlugin({
  name: "request-transformer",
  version: 1,
  priority: 801,
  schema: RequestTransformerConfigSchema,
  create: (config) => {
    const headers = planOf(config, "headers");
    const query = planOf(config, "querystring");
    const body = planOf(config, "body");
    const uri = config.replace?.uri ?? "";
    const makePath = uri === "" ? undefined : compileTemplate(uri);
    return {
      access: (exchange) => {
        const values = new TemplateValues(exchange);
        const { upstream } = exchange;
        if (makePath !== undefined) upstream.path = makePath(values);
        if (config.httpMethod !== "")
          upstream.method = config.httpMethod.toUpperCase();
        transformHeaders(upstream.headers, headers, values);
        const moves = movesForm(config, exchange);
        const finish = (sent: Buffer | undefined): void => {
          const moved = moves && sent !== undefined ? parseForm(sent) : [];
          if (!touches(query) && moved.length === 0) return;
          const args = transformArguments(
            parseArguments(upstream.rawQuery),
            query,
            values,
          );
          args.push(...moved);
          upstream.rawQuery =
            args.length === 0 ? undefined : writeArguments(args);
        };
        if (!moves && !needsBody(body, exchange)) {
          finish(undefined);
          return undefined;
        }
        return withBody(exchange, body, values, finish);
      },
    };
  },
});

async function withBody(
  exchange: Exchange,
  plan: Plan,
  values: TemplateValues,
  finish: (sent: Buffer) => void,
): Promise<Answer | undefined> {
  const { request, upstream } = exchange;
  const sent = await request.body(MAX_BODY_BYTES);
  if (sent === undefined)
    return {
      status: 413,
      message: `Request body is too large to be transformed: at most ${MAX_BODY_BYTES} bytes`,
    };
  const [type = ""] = upstream.headers.get("Content-Type");
  const [was = ""] = request.header("content-type");
  if ((isForm(type) || isForm(was)) && hasTooManyArguments(sent))
    return {
      status: 413,
      message: `Request body has too many arguments to be transformed: at most ${MAX_ARGUMENTS}`,
    };
  finish(sent);
  const changed = transformBody(type, sent, plan, values);
  if (changed !== undefined) upstream.replaceBody(changed);
  return undefined;
}

function needsBody(plan: Plan, { upstream }: Exchange): boolean {
  return touches(plan) && upstream.headers.get("Content-Type").length > 0;
}

/** Whether the fields of a form go into the query, because the method has no body. */
function movesForm(
  { httpMethod }: RequestTransformerConfig,
  { request }: Exchange,
): boolean {
  const [type = ""] = request.header("content-type");
  return /^(get|head|trace)$/i.test(httpMethod) && isForm(type);
}
