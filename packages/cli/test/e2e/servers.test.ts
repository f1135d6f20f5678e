/** Servers that start as root and then become somebody else, from Debian's packages, in the sandbox: postgres, redis and nginx. */
import { assert, it } from "vitest"
import { ask, describeOnRegion, mcpdeploy, Repository } from "./harness.ts"

const files = {
  Dockerfile: [
    "FROM debian:13-slim",
    "RUN apt-get update && apt-get install -y --no-install-recommends postgresql redis-server nginx-light curl && rm -rf /var/lib/apt/lists/*",
    "COPY *.sh /",
    ""
  ].join("\n"),
  "postgres.sh": `set -eu
bin=$(echo /usr/lib/postgresql/*/bin)
install -d -o postgres /data
setpriv --reuid postgres --regid postgres --init-groups $bin/initdb -D /data --auth-host=trust > /dev/null
echo "host all all all trust" >> /data/pg_hba.conf
exec setpriv --reuid postgres --regid postgres --init-groups $bin/postgres -D /data -p $PORT -c "listen_addresses=*"
`,
  "redis.sh": `exec setpriv --reuid redis --regid redis --init-groups redis-server --port $PORT --bind 0.0.0.0 --protected-mode no --save "" --dir /tmp
`,
  "nginx.sh": `echo "server { listen $PORT; root /www; location / { try_files \\$uri /index.html =404; } }" > /etc/nginx/conf.d/www.conf
rm -f /etc/nginx/sites-enabled/default
mkdir -p /www
[ -e /www/index.html ] || { echo "from nginx as $(id -un)"; dmesg | grep -m 1 gVisor; } > /www/index.html
exec nginx -g "daemon off;"
`,
  "client.sh": `until psql -qh postgres -U postgres -c "select 1" > /dev/null 2>&1; do sleep 0.2; done
mkdir -p /www
{
  psql -qAth postgres -U postgres -c "create table if not exists t (v text); insert into t values ('kept in postgres'); select v, version() from t"
  redis-cli -h redis set key "kept in redis"; redis-cli -h redis get key; redis-cli -h redis info server | grep ^os
  curl -sS http://nginx:8080/
} > /www/index.html 2>&1
exec sh /nginx.sh
`
}

const service = (name: string, port: number, memory: string, rest = ""): string =>
  `  ${name}:\n    run: { port: ${port}, memory: ${memory}, command: [sh, /${name}.sh]${rest} }\n`

const serviceFile = [
  `user: e2e\nproject: servers-${Date.now().toString(36)}\nservices:\n`,
  service("postgres", 5432, "512Mi", ", public: false"),
  service("redis", 6379, "128Mi", ", public: false"),
  service("nginx", 8080, "128Mi"),
  service("client", 8080, "256Mi")
].join("")

describeOnRegion("servers of Debian under gVisor", () => {
  it("postgres, redis and nginx start as root, become their own user, and serve their project", async () => {
    using repository = new Repository().write({ ...files, "mcpdeploy.yaml": serviceFile })
    repository.commit()
    const { code, outcomes, stderr, stdout } = await mcpdeploy([
      ...repository.serviceFile,
      "deploy",
      "--json"
    ])
    assert.strictEqual(code, 0, stderr + stdout.slice(-3000))
    assert.deepStrictEqual(
      outcomes.map(({ _tag }) => _tag),
      ["Deployed", "Deployed", "Deployed", "Deployed"]
    )
    const status = await mcpdeploy([...repository.serviceFile, "status", "client", "--json"])
    const { url } = JSON.parse(status.stdout)
    let page = ""
    // The app is asked before its own clients have answered.
    for (let tries = 0; tries < 60 && !page.includes("from nginx"); tries++) {
      page = (await ask(url)).body
      await new Promise((resolve) => setTimeout(resolve, 500))
    }
    assert.match(page, /kept in postgres\|PostgreSQL \d+/)
    assert.include(page, "kept in redis")
    assert.include(page, "from nginx as root")
    assert.match(page, /gVisor/)
    const deletions = ["client", "nginx", "redis", "postgres"].map((name) =>
      mcpdeploy([...repository.serviceFile, "delete", name, "--yes"])
    )
    for (const { code } of await Promise.all(deletions)) assert.strictEqual(code, 0)
  }, 240_000)
})
