import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { join, resolve } from "node:path";
import { Ajv } from "ajv";
import { type Test, test } from "tap";
import { parseAllDocuments } from "yaml";
import { startProvider } from "../../demo/provider.ts";
import { startBackend } from "../support/backend.ts";
import { AUTHORITY, SERVER_CERTIFICATE, SERVER_KEY } from "../support/certificates.ts";
import { freePort, haproxies, minorOf } from "../support/haproxy.ts";
import { countersign, folderOf, MAIN } from "../support/serve.ts";

const REPOSITORY = resolve(import.meta.dirname, "../..");
const CHART = join(REPOSITORY, "deploy/helm/countersign");
const EXAMPLE = join(REPOSITORY, "deploy/helm/example-values.yaml");
const BASE = readFileSync(join(REPOSITORY, "deploy/kustomize/countersign.yaml"), "utf8");
const TOOLS = join(REPOSITORY, ".cache/kubernetes");
/** Why nothing is rendered here; false where it is. */
const skip = existsSync(join(TOOLS, "kustomize")) ? false : "no helm and kustomize: Go could not build them here";

// biome-ignore lint/suspicious/noExplicitAny: whatever a manifest holds; the schemas are held to it below.
type Manifest = Record<string, any>;

function manifestsOf(text: string): readonly Manifest[] {
  return parseAllDocuments(text).map((document) => document.toJS());
}

function rendered(...options: readonly string[]): string {
  const args = ["template", "countersign", CHART, "--kube-version", "1.30", "--values", EXAMPLE, ...options];
  return execFileSync(join(TOOLS, "helm"), args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

function without(comments: string): string {
  return comments.replace(/^# Source: .*\n/gm, "");
}

/** What the schemas of a version have against the manifests. */
function faultsOf(manifests: readonly Manifest[], version: string): readonly string[] {
  const text = readFileSync(new URL(`schemas/kubernetes-${version}.json`, import.meta.url), "utf8");
  const { kinds, definitions } = JSON.parse(text);
  const ajv = new Ajv({
    strict: false,
    formats: { "int-or-string": true, int32: true, int64: true, "date-time": true, byte: true },
  });
  return manifests.flatMap((manifest) => {
    const reference = kinds[manifest.kind];
    if (reference === undefined) return [`${manifest.kind}: no such kind`];
    const name = `${manifest.kind} ${manifest.metadata.name}`;
    const accepts = ajv.compile({ $ref: reference, definitions });

    return accepts(manifest) ? [] : [`${name}: ${ajv.errorsText(accepts.errors)}`];
  });
}

/** What the restricted Pod Security Standard (https://kubernetes.io/docs/concepts/security/pod-security-standards/) forbids. */
function unrestricted({ spec }: Manifest): readonly string[] {
  const faults: string[] = [];
  const must = (holds: boolean, what: string) => {
    if (!holds) faults.push(what);
  };
  must(!(spec.hostNetwork || spec.hostPID || spec.hostIPC), "host namespaces");
  must(spec.securityContext?.runAsNonRoot === true && spec.securityContext.runAsUser !== 0, "root");
  must(["RuntimeDefault", "Localhost"].includes(spec.securityContext?.seccompProfile?.type), "seccomp");
  must((spec.securityContext?.sysctls ?? []).length === 0, "sysctls");
  const kinds = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
  ];
  for (const { name, ...source } of spec.volumes)
    must(
      Object.keys(source).every((kind) => kinds.includes(kind)),
      name,
    );
  for (const { name, ports = [], securityContext: own = {} } of [...spec.initContainers, ...spec.containers]) {
    must(own.allowPrivilegeEscalation === false, `${name}: escalation`);
    must(own.privileged !== true && own.runAsUser !== 0 && own.runAsNonRoot !== false, `${name}: root`);
    must(own.capabilities?.drop?.includes("ALL") && own.capabilities.add === undefined, `${name}: capabilities`);
    must(
      ports.every((port: Manifest) => port.hostPort === undefined),
      `${name}: host ports`,
    );
    must(own.readOnlyRootFilesystem === true, `${name}: a root that can be written to`);
  }
  return faults;
}

/** Names that point nowhere: volumes, ports, ConfigMaps, labels. */
function danglingOf(manifests: readonly Manifest[]): readonly string[] {
  const of = (kind: string) => manifests.filter((manifest) => manifest.kind === kind);
  const faults: string[] = [];
  for (const { spec } of of("Deployment")) {
    const pod = spec.template;
    const labels = pod.metadata.labels;
    const volumes = pod.spec.volumes.map(({ name }: Manifest) => name);
    const containers = [...pod.spec.initContainers, ...pod.spec.containers];
    const ports = containers.flatMap(({ ports = [] }: Manifest) => ports);
    const selects = (selector: Manifest) => Object.entries(selector).every(([name, value]) => labels[name] === value);
    for (const { name, volumeMounts } of containers)
      for (const mount of volumeMounts) if (!volumes.includes(mount.name)) faults.push(`${name}: ${mount.name}`);
    for (const { configMap } of pod.spec.volumes)
      if (configMap && !of("ConfigMap").some(({ metadata }) => metadata.name === configMap.name))
        faults.push(configMap.name);
    if (!of("ServiceAccount").some(({ metadata }) => metadata.name === pod.spec.serviceAccountName))
      faults.push("account");
    for (const service of of("Service")) {
      if (!selects(service.spec.selector)) faults.push("Service");
      for (const { targetPort } of service.spec.ports)
        if (!ports.some(({ name }: Manifest) => name === targetPort)) faults.push(`port ${targetPort}`);
    }
    for (const budget of of("PodDisruptionBudget"))
      if (!selects(budget.spec.selector.matchLabels)) faults.push("budget");
    for (const policy of of("NetworkPolicy")) {
      if (!selects(policy.spec.podSelector.matchLabels)) faults.push("policy");
      const open = policy.spec.ingress.flatMap((rule: Manifest) => rule.ports.map(({ port }: Manifest) => port));
      for (const { name, containerPort } of ports) if (!open.includes(containerPort)) faults.push(`closed ${name}`);
    }
  }
  return faults;
}

function hold(t: Test, text: string, what: string): void {
  const manifests = manifestsOf(text);
  t.strictSame(
    manifests.map(({ kind }) => kind).sort(),
    ["ConfigMap", "ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount"],
    what,
  );
  for (const version of ["1.30", "1.37"])
    t.strictSame(faultsOf(manifests, version), [], `${what}, Kubernetes ${version}`);
  const [deployment] = manifests.filter(({ kind }) => kind === "Deployment");
  t.strictSame(unrestricted(deployment?.spec.template), [], `${what}: restricted`);
  t.strictSame(danglingOf(manifests), [], `${what}: nothing points nowhere`);
}

test("the base is valid, restricted, and of one piece", (t) => {
  hold(t, BASE, "base");
  t.end();
});

test("what is not valid is told", (t) => {
  const broken = (from: string, to: string) => manifestsOf(BASE.replaceAll(from, to));
  const podOf = (manifests: readonly Manifest[]) => manifests.find(({ kind }) => kind === "Deployment")?.spec.template;
  t.match(faultsOf(broken("readOnlyRootFilesystem", "readonlyRootFilesystem"), "1.30"), [/additional properties/]);
  t.match(faultsOf(broken("kind: PodDisruptionBudget", "kind: PodDisruptionBudgets"), "1.30"), [/no such kind/]);
  t.strictSame(unrestricted(podOf(broken("runAsNonRoot: true", "runAsNonRoot: false"))), ["root"]);
  t.strictSame(unrestricted(podOf(broken("drop: [ALL]", "drop: [CHOWN]"))).length, 3);
  t.match(danglingOf(broken("targetPort: https", "targetPort: http")), ["port http"]);
  t.match(danglingOf(broken("name: countersign-policies\n", "name: policies\n")), ["countersign-policies"]);
  t.end();
});

test("chart and base are the same objects, whatever the values the chart's are valid", { skip }, (t) => {
  t.equal(without(rendered()), BASE, "deploy/kustomize/countersign.yaml is what the chart renders");
  for (const options of [
    ["--set", "tls.secretName="],
    ["--set", "linkerd.inject=false"],
    ["--set", "secrets={client,api-keys}", "--set", "replicas=3"],
    ["--set", "service.type=ClusterIP", "--set", "service.annotations.a=b", "--set", "monitoring.namespaces=null"],
    [
      "--set",
      "haproxy.version=2.6",
      "--set",
      "image.tag=1.2.3",
      "--set",
      "image.repository=registry.example/countersign",
    ],
  ]) {
    const text = rendered(...options);
    if (options[1] !== "service.type=ClusterIP") hold(t, text, options.join(" "));
    else t.strictSame(faultsOf(manifestsOf(text), "1.30"), [], options.join(" "));
  }
  const asserted = rendered(
    "--set",
    "config.assertion.issuer=https://ingress.example.com",
    "--set",
    "config.assertion.keys=/run/secrets/a/keys",
  );
  hold(t, asserted, "assertion");
  t.match(asserted, "web: 127.0.0.1:9902");
  const recorded = rendered(
    ...["--set", "audit.claimName=audit", "--set", "config.audit.on_full=deny"],
    ...["--set", "config.traces.endpoint=http://otel-collector.monitoring:4318"],
  );
  hold(t, recorded, "audit log and traces");
  const [text = ""] = manifestsOf(recorded).flatMap(({ data }) => data?.["countersign.yaml"] ?? []);
  t.match(text, /^audit:\n {2}file: \/var\/lib\/countersign\/audit.log\n {2}key: .*\n {2}on_full: deny\n/m);
  t.match(text, /^traces:\n {2}endpoint: http:\/\/otel-collector.monitoring:4318\n/m);
  const pod = manifestsOf(recorded).find(({ kind }) => kind === "Deployment")?.spec.template.spec;
  t.strictSame(
    pod.initContainers.map(({ name }: Manifest) => name),
    ["generate", "audit-init", "countersign"],
  );
  for (const { name, volumeMounts } of pod.initContainers.slice(1)) {
    const kept = volumeMounts.filter((mount: Manifest) => mount.name === "audit");
    t.match(kept, [{ mountPath: "/var/lib/countersign", subPathExpr: "$(POD_NAME)" }], name);
  }
  const lint = execFileSync(join(TOOLS, "helm"), ["lint", "--strict", CHART, "--values", EXAMPLE], {
    encoding: "utf8",
  });
  t.match(lint, "0 chart(s) failed");
  t.end();
});

test("a port for meshed clients is let in by Linkerd's policies alone, and has a Service of its own", { skip }, (t) => {
  const manifests = manifestsOf(rendered("--set", "linkerd.meshedPort=8081"));
  for (const version of ["1.30", "1.37"]) t.strictSame(faultsOf(manifests, version), [], version);
  const [deployment] = manifests.filter(({ kind }) => kind === "Deployment");
  t.strictSame(unrestricted(deployment?.spec.template), []);
  t.strictSame(danglingOf(manifests), []);
  t.match(deployment?.spec.template.metadata.annotations, {
    "config.linkerd.io/default-inbound-policy": "deny",
    "config.linkerd.io/skip-inbound-ports": "8443,9901",
  });
  const meshed = manifests.filter(({ metadata }) => metadata.name === "haproxy-meshed");
  t.match(meshed, [{ kind: "Service", spec: { type: "ClusterIP", ports: [{ port: 8081, appProtocol: "http" }] } }]);
  t.end();
});

test("what values may not say is refused by name", { skip }, (t) => {
  for (const [option, told] of [
    ["config.listen.admin=0.0.0.0:1", /config\/listen/],
    ["config.haproxy.bind=*:80", /haproxy\/bind/],
    ["config.issuers=null", /issuers/],
    ["policies=null", /policies/],
    ["haproxy.version=2.4", /haproxy\/version/],
    ["config.audit.file=/tmp/audit.log", /audit\/file/],
    ["config.audit.on_full=deny", /config\.audit needs audit\.claimName/],
    ["polices.a=b", /polices/],
  ] as const) {
    try {
      t.fail(`${option}: ${rendered("--set", option)}`);
    } catch (error) {
      t.match(String(error), told, option);
    }
  }
  t.end();
});

test("an overlay of kustomize puts other policies, an image and a namespace in", { skip }, async (t) => {
  const folder = folderOf(t, {
    "kustomization.yaml": `resources: [base]
namespace: edge
images: [{ name: countersign, newName: registry.example.com/countersign, newTag: 0.1.0 }]
configMapGenerator:
  - { name: countersign-policies, behavior: replace, files: [mine.yaml], options: { disableNameSuffixHash: true } }
`,
    "mine.yaml": "services: {}\n",
    "base/countersign.yaml": BASE,
    "base/kustomization.yaml": readFileSync(join(REPOSITORY, "deploy/kustomize/kustomization.yaml"), "utf8"),
  });
  const text = execFileSync(join(TOOLS, "kustomize"), ["build", folder], { encoding: "utf8" });
  hold(t, text, "overlay");
  t.match(text, "mine.yaml: |");
  t.notMatch(text, "orders.yaml: |");
  t.ok(manifestsOf(text).every(({ metadata }) => metadata.namespace === "edge"));
  t.match(text, "image: registry.example.com/countersign:0.1.0");
});

test("the pod's own commands, on its own files, let a request through by TLS to its backend", async (t) => {
  const manifests = manifestsOf(BASE);
  const pod = manifests.find(({ kind }) => kind === "Deployment")?.spec.template.spec;
  const data = (name: string) =>
    manifests.find(({ kind, metadata }) => kind === "ConfigMap" && metadata.name === name)?.data;
  const binary = haproxies().find((each) => minorOf(each) === "3.2");
  if (binary === undefined) return void t.pass("the image's HAProxy 3.2 is not here");

  const provider = await startProvider({ alice: { kind: "person" } });
  t.teardown(() => provider.close());
  const backend = await startBackend(t);
  const [front, admin] = [await freePort(), await freePort()];
  const folder = folderOf(t, { "run/tls/site.pem": SERVER_CERTIFICATE, "run/tls/site.pem.key": SERVER_KEY });
  // Where each volume is mounted, below the folder instead of the root; addresses are those of the test.
  const here = (text: string) =>
    text
      .replaceAll(/(?<=^| |unix:|")(\/(?:etc|run)\/[\w./-]+)/g, `${folder}$1`)
      .replace("https://idp.example.com", provider.issuer)
      .replace("orders.shop.svc.cluster.local:8080", `127.0.0.1:${backend.port}`)
      .replace("*:8443", `127.0.0.1:${front}`)
      .replace("0.0.0.0:9901", `127.0.0.1:${admin}`);
  for (const [volume, name] of [
    ["config", "countersign-config"],
    ["policies", "countersign-policies"],
  ] as const) {
    const [{ mountPath }] = pod.initContainers[0].volumeMounts.filter((mount: Manifest) => mount.name === volume);
    mkdirSync(join(folder, mountPath), { recursive: true });
    for (const [file, text] of Object.entries<string>(data(name)))
      writeFileSync(join(folder, mountPath, file), here(text));
  }
  for (const path of ["etc/haproxy", "run/countersign"]) mkdirSync(join(folder, path), { recursive: true });

  const [generate, agent] = pod.initContainers;
  const [haproxy] = pod.containers;
  const generated = await countersign(generate.args.map(here));
  t.equal(generated.code, 0, generated.err);
  // It may write its socket, and nothing else: the root is read-only.
  const permissions = [
    "--permission",
    "--allow-net",
    "--allow-worker",
    "--allow-fs-read=*",
    `--allow-fs-write=${folder}/run/countersign`,
  ];
  // tap gives every Node options by which it writes elsewhere.
  const nodeAlone = ["-u", "NODE_OPTIONS", process.execPath];
  const serving = spawn("env", [...nodeAlone, ...permissions, MAIN, ...agent.args.map(here)], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  t.teardown(() => serving.kill("SIGKILL"));
  let errors = "";
  serving.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text));
  const ready = () =>
    fetch(`http://127.0.0.1:${admin}${agent.startupProbe.httpGet.path}`).then(
      ({ ok }) => ok,
      () => false,
    );
  while (!(await ready())) {
    if (serving.exitCode !== null) throw new Error(`the agent ended: ${errors}`);
    await new Promise((done) => setTimeout(done, 50));
  }
  const [program, ...args] = haproxy.command;
  t.equal(program, "haproxy");
  const proxying = spawn(binary.command, [...binary.prefix, ...args.map(here)], { stdio: "ignore" });
  t.teardown(() => proxying.kill("SIGKILL"));

  const token = await provider.token("alice");
  const ask = (headers: Readonly<Record<string, string>>) =>
    new Promise<number | undefined>((done) => {
      const options = {
        host: "127.0.0.1",
        port: front,
        path: "/v1/orders",
        ca: AUTHORITY,
        checkServerIdentity: () => undefined,
      };
      request({ ...options, headers: { host: "orders.example.com", ...headers }, agent: false }, (answer) => {
        answer.resume().once("end", () => done(answer.statusCode));
      })
        .once("error", () => done(undefined))
        .end();
    });
  const allowed = () => ask({ authorization: `Bearer ${token}` });
  while ((await allowed()) !== 200) {
    if (proxying.exitCode !== null) throw new Error(`HAProxy ended with ${proxying.exitCode}`);
    await new Promise((done) => setTimeout(done, 50));
  }
  t.ok(backend.last("x-auth-subject")[0]);
  t.equal(await ask({}), 401);
});

test("the image is made of the Node that the tests run on, and is nobody's in particular", (t) => {
  const text = readFileSync(join(REPOSITORY, "deploy/Dockerfile"), "utf8");
  const { devDependencies } = JSON.parse(readFileSync(join(REPOSITORY, "package.json"), "utf8"));
  for (const [, version] of text.matchAll(/^FROM node:([\d.]+)/gm)) t.equal(version, devDependencies.node);
  const user = manifestsOf(BASE).find(({ kind }) => kind === "Deployment")?.spec.template.spec.securityContext;
  t.match(text, `USER ${user.runAsUser}:${user.runAsGroup}\n`);
  t.equal(text.match(/^USER /gm)?.length, 1);
  t.end();
});
