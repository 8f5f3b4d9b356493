import type { Evidence } from "../issuer/evidence.ts";
import type { Finding, Issuer, IssuerReport, IssuerType, Unproven } from "../issuer/issuer.ts";
import type { World } from "../issuer/world.ts";
import { meshPrincipal } from "./principal.ts";
import { type MeshIssuer, readMeshIssuer } from "./section.ts";
import { Sidecar } from "./sidecar.ts";

/** Clients of HAProxy's own mesh, by what the proxy in HAProxy's pod says of them. */
export const MESH: IssuerType<MeshIssuer> = {
  revocable: [],
  read: readMeshIssuer,
  create: (config, world) => new Mesh(config, world),
};

const UNAVAILABLE: Unproven = { reason: "issuer-unavailable" };

/**
 * The one issuer of type `mesh`. A name proves nothing by itself: HAProxy reads it only of its own pod's proxy
 * (haproxy/mesh-bind.ts), and whether that proxy writes it is what all rests on (Sidecar).
 */
class Mesh implements Issuer {
  readonly config: MeshIssuer;
  /** Whatever its lasting refusals rest on is in its configuration. */
  readonly version = 0;
  readonly patience = 2_000;
  readonly #sidecar: Sidecar;
  readonly #clock: () => number;

  constructor(config: MeshIssuer, world: World) {
    this.config = config;
    this.#clock = world.clock;
    this.#sidecar = new Sidecar(config, world);
  }

  /** There is one issuer of this type, and no other takes this kind. */
  owns(): boolean {
    return true;
  }

  verify({ text }: Evidence, now: number): Finding | Promise<Finding> {
    if (this.#sidecar.asked) return this.#finding(text, now);
    return this.#sidecar.first.then(() => this.#finding(text, this.#clock()));
  }

  ready(): Promise<void> {
    return this.#sidecar.first;
  }

  status(): IssuerReport {
    const { identities, succeededAt, failedAt, error } = this.#sidecar;
    return { identities, succeededAt, failedAt, error, details: {} };
  }

  close(): void {
    this.#sidecar.close();
  }

  #finding(text: string, now: number): Finding {
    const basis = this.#sidecar.basis(now);
    const principal = meshPrincipal(text, this.config, basis?.until ?? 0);
    if ("reason" in principal) return { ...principal, lasting: true };
    return basis === undefined ? UNAVAILABLE : { principal, basis };
  }
}
