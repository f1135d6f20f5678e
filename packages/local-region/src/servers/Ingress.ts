/** Ingress: what Traefik does with requests, the same as in a real region (`regions/…/k8s/values/traefik.yaml`); a test compares. */

const entryPoints = ["web", "websecure"] as const

const ofEach = (setting: string): ReadonlyArray<string> =>
  entryPoints.map((name) => `--entryPoints.${name}.${setting}`)

export const requestArguments: ReadonlyArray<string> = [
  // Default 60 s, for a request with its body: an upload over a slow line takes longer. There is no other limit of Traefik's
  // for a head that comes slowly, so it is not 0.
  ...ofEach("transport.respondingTimeouts.readTimeout=24h"),
  // Paths arrive as they were sent. Routes are told apart by host alone, so no `..` leads past one.
  ...ofEach("http.sanitizePath=false"),
  // Else a `;` in a query becomes `&`, and what follows it a parameter.
  ...ofEach("http.encodeQuerySemicolons=true")
]

/**
 * What has no route is answered by this one, of the lowest priority: 404 with a header that no app's answer has. Without
 * it Traefik answers what every Go app answers for an unknown path. The list of addresses has none of a client.
 */
export const unrouted = {
  http: {
    routers: {
      "no-route": {
        rule: "PathPrefix(`/`)",
        priority: 1,
        middlewares: ["no-route-mark", "no-route-404"],
        service: "noop@internal"
      }
    },
    middlewares: {
      "no-route-mark": { headers: { customResponseHeaders: { "X-Mcpdeploy-No-Route": "true" } } },
      "no-route-404": { ipAllowList: { sourceRange: ["255.255.255.255/32"], rejectStatusCode: 404 } }
    }
  }
}
