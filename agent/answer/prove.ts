import { hash } from "node:crypto";
import type { CredentialName } from "../../haproxy/credentials.ts";
import type { Route } from "../../policies/policies.ts";
import type { Principal } from "../../policies/principal.ts";
import type { ProofName } from "../config/config.ts";
import type { Identity, Verification } from "../identity/identity.ts";
import type { SessionBinding } from "../identity/issuer/issuer.ts";
import type { TokenBytes } from "../identity/jwt/token.ts";
import type { Shown } from "../identity/proof/shown.ts";
import { endOfSession } from "../identity/session/session.ts";
import { type Credential, read } from "./credentials.ts";
import type { AuthorizeRequest } from "./request.ts";
import type { Snapshot } from "./snapshot.ts";

/** Bytes; what may come within that is for who reads it. */
const LARGEST_PROOF = 16_384;

/** A request with its credential, which may be bound to a key. */
export interface Offer {
  readonly request: AuthorizeRequest;
  readonly snapshot: Snapshot;
  readonly credential: Extract<Credential, TokenBytes>;
  readonly route: Route;
  /** As the policies spell it. */
  readonly host: string;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/**
 * Whether a credential is its sender's, where it is bound to a key (RFC 7800). One that is bound to nothing is answered
 * for as it was verified.
 *
 * @returns the verification itself, or what refuses it
 */
export function prove(verified: Verified, offer: Offer): Verification | Promise<Verification> {
  if (!(verified instanceof Promise)) {
    if (!isBound(verified, offer.credential.kind)) return verified;
    const session = verified.confirmation?.session;
    return session === undefined ? proven(verified, shownBy(offer), offer) : ofBrowser(verified, session, offer);
  }
  // What it has shown is read now: its bytes are let go of meanwhile.
  const shown = offer.route.needs.proofs.length > 0 ? shownBy(offer) : undefined;
  return verified.then((late) => (isBound(late, offer.credential.kind) ? proven(late, shown, offer) : late));
}

/** Whether it is known that there is nothing to be proven: of nearly every warm request. */
export function needsNoProof(verified: Verified, kind: CredentialName): verified is Verification {
  return !(verified instanceof Promise) && !isBound(verified, kind);
}

type Verified = ReturnType<Identity["verify"]>;

type Bound = Extract<Verification, { readonly principal: Principal }>;

/** What comes as DPoP has to be bound, and is looked at all the same. */
function isBound(verified: Verification, kind: CredentialName): verified is Bound {
  return verified.principal !== undefined && (verified.confirmation !== undefined || kind === "dpop");
}

function proven(verified: Bound, shown: Shown | undefined, offer: Offer): Verification | Promise<Verification> {
  const session = verified.confirmation?.session;
  if (session !== undefined) return ofBrowser(verified, session, offer);
  const { request, snapshot, now } = offer;
  const proving = snapshot.identity.prove(verified.confirmation, shown, now, request);
  return proving instanceof Promise ? proving.then((late) => concluded(late, verified)) : concluded(proving, verified);
}

/** A session's cookie is good at the host that it was begun at, wherever else somebody may take it. */
function ofBrowser(verified: Bound, session: SessionBinding, { host, credential, now }: Offer): Verification {
  if (session.host !== host) return { principal: undefined, reason: "session-invalid" };
  const { bytes, end } = credential;
  const seen = session.use(bytes.toString("latin1", endOfSession(credential) + 1, end), now);
  if (seen === "over") return { principal: undefined, reason: "session-expired" };
  return seen === undefined ? verified : { principal: verified.principal, seen };
}

function concluded({ refusal, nonce }: Awaited<ReturnType<Identity["prove"]>>, { principal }: Bound): Verification {
  return refusal === undefined ? { principal, nonce } : { principal: undefined, ...refusal, nonce };
}

function shownBy({ request, snapshot, credential }: Offer): Shown {
  const { method, host, path } = request;
  const dpop = proofIn(request, "dpop");
  const certificate = proofIn(request, "certificate");
  return {
    kind: credential.kind,
    ath: hashOf(credential),
    // What cannot be one is shown as an empty one.
    dpop: dpop.kind === "none" ? undefined : "end" in dpop ? dpop.bytes.toString("latin1", dpop.start, dpop.end) : "",
    certificate: "end" in certificate ? hashOf(certificate) : undefined,
    method,
    target: { scheme: snapshot.config.haproxy.scheme, host, path },
  };
}

function proofIn(request: AuthorizeRequest, name: ProofName): Credential {
  const form = request.channel.proofs.get(name);
  return form === undefined ? { kind: "none" } : read(form, request, LARGEST_PROOF);
}

function hashOf({ bytes, start, end }: TokenBytes): string {
  return hash("sha256", bytes.subarray(start, end), "base64url");
}
