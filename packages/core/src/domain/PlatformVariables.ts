/**
 * PlatformVariables: what the platform tells a build (as a build argument) and a running app (as an environment variable). A
 * service's own argument or variable with such a name stands instead, but for `PORT`.
 */
export const platformVariables = {
  /** To the app: `run.port`. */
  port: "PORT",
  /** To the build and the app: the commit that is built, 40 hexadecimal digits. A build step that uses it declares `ARG SOURCE_COMMIT`. */
  commit: "SOURCE_COMMIT",
  /** To the app of a public service: the host name that the platform gave it, without a port. */
  host: "MCPDEPLOY_HOST",
  /** To the app of a public service: the address that the platform gave it, such as `https://web-….ml.ink`. */
  url: "MCPDEPLOY_URL"
} as const
