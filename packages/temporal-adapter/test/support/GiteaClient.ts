/** The region's Gitea, as its administrator and as a person in front of it. */
import { readFileSync } from "node:fs"
import { randomBytes } from "node:crypto"
import { region } from "./Region.ts"

export class GiteaClient {
  readonly url: string
  readonly token: string
  readonly webhookMaster: string
  readonly tokenFile: string
  readonly webhookSecretFile: string

  constructor() {
    const { gitea } = region()
    if (gitea === undefined) throw new Error("the region has no Gitea")
    this.url = gitea.url
    this.tokenFile = gitea.tokenFile
    this.webhookSecretFile = gitea.webhookSecretFile
    this.token = readFileSync(gitea.tokenFile, "utf8").trim()
    this.webhookMaster = readFileSync(gitea.webhookSecretFile, "utf8").trim()
  }

  /** https://docs.gitea.com/api */
  async api(method: string, path: string, body?: object): Promise<string> {
    const answer = await fetch(`${this.url}/api/v1${path}`, {
      method,
      headers: { authorization: `token ${this.token}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) })
    })
    const text = await answer.text()
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`)
    return text
  }

  /** What the button "Test delivery again" of a webhook's newest delivery does, which no API offers; a person of its own presses it. */
  async redeliver(repository: string): Promise<void> {
    const [hook] = JSON.parse(await this.api("GET", `/repos/${repository}/hooks`))
    const person = `p${randomBytes(4).toString("hex")}`
    const password = randomBytes(16).toString("hex")
    await this.api("POST", "/admin/users", {
      ...{ username: person, email: `${person}@localhost.localdomain`, password },
      must_change_password: false
    })
    await this.api("PATCH", `/admin/users/${person}`, { source_id: 0, login_name: person, admin: true })
    try {
      const signedIn = await fetch(`${this.url}/user/login`, {
        method: "POST",
        redirect: "manual",
        body: new URLSearchParams({ user_name: person, password })
      })
      // Of two with one name, the last counts.
      const cookies = new Map(
        signedIn.headers.getSetCookie().map((line) => [line.split("=")[0], line.split(";")[0]])
      )
      const cookie = [...cookies.values()].join("; ")
      const page = `${this.url}/${repository}/settings/hooks/${hook.id}`
      const [replay] =
        /replay\/[0-9a-f-]+/.exec(await (await fetch(page, { headers: { cookie } })).text()) ?? []
      if (replay === undefined) throw new Error(`${page} shows no delivery`)
      const answer = await fetch(`${page}/${replay}`, {
        method: "POST",
        redirect: "manual",
        headers: { cookie }
      })
      if (answer.status !== 303) throw new Error(`${replay}: ${answer.status}`)
    } finally {
      await this.api("DELETE", `/admin/users/${person}?purge=true`)
    }
  }
}
