/** A kube-apiserver and its etcd alone, in a lab's own network: says what Kubernetes thinks of objects. Nothing runs. */
import { existsSync } from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import { run } from "@mcpdeploy/local-region/Command"
import { cache } from "./Ansible.ts"
import { temporary } from "./Folder.ts"
import type * as Lab from "./Lab.ts"
import { toolFolder } from "./ToolCache.ts"

const [kubernetes, kubectl] = [toolFolder("kubernetes"), toolFolder("kubectl")]
const etcd = [join(cache, "debian/etcd-server/usr/bin/etcd"), "/usr/bin/etcd"].find(existsSync)

/** Why there can be none here; empty when there can. */
export const missingApiServer =
  kubernetes === undefined || kubectl === undefined || etcd === undefined
    ? "(skipped: `mcpdeploy local` has not built kubernetes and kubectl)"
    : ""

const started = `cd "$1"
openssl genrsa -out key 2048 2> /dev/null; openssl rsa -in key -pubout -out pub 2> /dev/null
echo 'token,admin,admin,system:masters' > tokens
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=clients -keyout clients.key -out clients.crt 2> /dev/null
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /O=system:masters/CN=admin -CA clients.crt -CAkey clients.key \\
  -addext basicConstraints=CA:FALSE -addext extendedKeyUsage=clientAuth -keyout client-admin.key -out client-admin.crt 2> /dev/null
"$2" --data-dir etcd --log-level error > etcd.log 2>&1 &
"$3/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 --cert-dir=certificates --bind-address=127.0.0.1 --secure-port=6443 \\
  --advertise-address=192.0.2.1 --endpoint-reconciler-type=none --token-auth-file=tokens --client-ca-file=clients.crt --authorization-mode=RBAC --allow-privileged=true --disable-admission-plugins=ServiceAccount \\
  --service-cluster-ip-range=10.43.0.0/16 --service-account-issuer=https://kubernetes.default.svc \\
  --service-account-key-file=pub --service-account-signing-key-file=key > apiserver.log 2>&1 &
echo ready
wait
cat etcd.log apiserver.log | tail -10`

/** Arguments of kubectl with which it is the administrator. */
const administrator = ["--server", "https://127.0.0.1:6443", "--insecure-skip-tls-verify", "--token", "token"]

/** One in a lab, as long as the scope. */
export const make = Effect.fn("ApiServer.make")(function* (lab: Lab.Lab) {
  const folder = yield* temporary("mcpdeploy-api-")
  yield* lab.start("nsenter", [
    ...lab.enter("lab", "sh", ["-c", started, "sh", folder, etcd ?? "", kubernetes ?? ""])
  ])
  const command = [join(kubectl ?? "", "kubectl"), ...administrator]
  yield* lab
    .sh("lab", `until ${command.join(" ")} get --raw /readyz > /dev/null 2>&1; do sleep 0.2; done`)
    .pipe(Effect.timeout("3 minutes"))
  return {
    /** Of `client-admin.crt` with its key, and of `certificates/apiserver.crt`, which signs itself. */
    folder,
    /** The program and its first arguments, for whoever runs in the lab. */
    command,
    /** Runs it with what is given on standard input. */
    kubectl: (args: ReadonlyArray<string>, stdin = "") =>
      run("nsenter", lab.enter("lab", command[0] ?? "", [...command.slice(1), ...args]), {
        stdin,
        env: { HOME: folder }
      })
  }
})
