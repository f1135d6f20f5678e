/** OpenApi: what deployer-server serves, as a description for tools. It is a file of this package, and served by no route. */
import * as Schema from "effect/Schema"
import * as HttpApi from "effect/http-api/HttpApi"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as OpenApi from "effect/http-api/OpenApi"
import { Answer } from "./Answer.ts"
import { type Forge, headersOf } from "./Forge.ts"

const described = <S extends Schema.Top>(schema: S, description: string) => schema.annotate({ description })

const answer = (status: number, description: string) =>
  described(Answer, description).pipe(HttpApiSchema.status(status))

const answers = {
  success: [
    answer(202, "accepted: at least one service deploys it, and that is stored"),
    answer(200, "filtered by the services' rules, or ignored: nothing is deployed")
  ],
  error: [
    answer(400, "refused: it is signed, but not the event that its headers name"),
    answer(401, "refused: no secret of the repository that it names has made its signature"),
    described(HttpApiSchema.Empty(408), "it did not arrive in time"),
    answer(413, "refused: the body is larger than the limit"),
    answer(415, "refused: the body is compressed, or not application/json"),
    answer(503, "unavailable: send it again after the seconds of Retry-After")
  ]
}

const webhook = (forge: Forge, description: string) => {
  const { delivery, event, prefix, signature } = headersOf[forge]
  return HttpApiEndpoint.post(forge, `/webhooks/${forge}`, {
    headers: Schema.Struct({
      [event]: described(Schema.String, "The event: push, delete, ping; any other is ignored"),
      [delivery]: described(Schema.String, "The delivery's id: the same one deploys nothing twice"),
      [signature]: described(Schema.String, `${prefix}HMAC-SHA256 of the body's bytes in hexadecimal digits`)
    }),
    payload: described(Schema.Json, "The event as the forge sends it"),
    ...answers
  }).annotate(OpenApi.Description, description)
}

const text = (description: string) => described(Schema.String, description).pipe(HttpApiSchema.asText())

const Webhooks = HttpApiGroup.make("webhooks")
  .add(webhook("github", "A webhook of a GitHub repository"))
  .add(webhook("gitea", "A webhook of a mirror in the region's Gitea"))

const Health = HttpApiGroup.make("health")
  .add(HttpApiEndpoint.get("healthz", "/healthz", { success: text("The process is worth keeping") }))
  .add(
    HttpApiEndpoint.get("readyz", "/readyz", {
      success: text("It takes webhooks"),
      error: text("What is missing, in words").pipe(HttpApiSchema.status(503))
    })
  )
  .add(HttpApiEndpoint.get("metrics", "/metrics", { success: text("Metrics in Prometheus' text format") }))

export class DeployerServerApi extends HttpApi.make("deployer-server")
  .add(Webhooks)
  .add(Health)
  .annotate(OpenApi.Title, "deployer-server")
  .annotate(OpenApi.Version, "0.1.0")
  .annotate(OpenApi.Description, "Takes the webhooks of GitHub and Gitea and hands pushes to Temporal") {}

/** The text of `openapi.json`. */
export const openApiText = (): string =>
  `${JSON.stringify(OpenApi.fromApi(DeployerServerApi), undefined, 2)}\n`
