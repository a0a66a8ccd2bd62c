import { JwtConfigSchema } from "../../gen/holdfast/plugin/v1/jwt_pb.js";
import { definePluginModel } from "./known-plugin.ts";

/** The configuration of "jwt". */
export const jwtModel = definePluginModel({
  name: "jwt",
  version: 1,
  schema: JwtConfigSchema,
  perConsumer: false,
  problems: ({ maximumExpiration, claimsToVerify }) =>
    (maximumExpiration ?? 0) > 0 && !claimsToVerify.includes("exp")
      ? [
          {
            field: "claims_to_verify",
            reason: 'must have "exp" when there is a maximum_expiration',
          },
        ]
      : [],
});
