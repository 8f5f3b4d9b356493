import type { ASTNode, Environment, TypeDeclaration } from "@marcbachmann/cel-js";
import { IpAddress, Network, readIp, readNetwork } from "../ip-address.ts";
import { ExpressionFault } from "./fault.ts";
import type { Checker, Evaluator, Macro, MacroCall, Scope } from "./macros.ts";
import { spend } from "./work.ts";

const IP = "net.IP";
const CIDR = "net.CIDR";
/** To read an address, in units of work. */
const READING = 200;
function ipOf(text: string): IpAddress {
  spend(READING);
  const ip = readIp(text);
  if (ip === undefined) throw new RangeError("ip(): not an address");
  return ip;
}

function networkOf(text: string): Network {
  spend(READING);
  const network = readNetwork(text);
  if (network === undefined) throw new RangeError("cidr(): not a network");
  return network;
}

/** A literal is read when the policy loads, and a mistake in it is told then. */
abstract class Reading<T> implements Macro {
  readonly async = false;
  readonly #operand: ASTNode;
  readonly #literal: T | undefined;

  constructor({ args: [operand], ast }: MacroCall) {
    this.#operand = operand ?? ast;
    const { op, args } = this.#operand;
    if (op === "value" && typeof args === "string") this.#literal = this.literal(args, this.#operand);
  }

  abstract readonly type: string;
  /** @throws {ExpressionFault} */
  abstract literal(text: string, node: ASTNode): T;
  /** @throws {RangeError} */
  abstract read(text: string): T;

  typeCheck(checker: Checker, _macro: unknown, scope: Scope): TypeDeclaration {
    const type = checker.check(this.#operand, scope);
    if (type.kind !== "dyn" && type.name !== "string") {
      throw checker.createError("no_matching_overload", `this is of type ${type}, not string`, this.#operand);
    }
    return checker.getType(this.type);
  }

  evaluate(evaluator: Evaluator, _macro: unknown, scope: Scope): unknown {
    if (this.#literal !== undefined) return this.#literal;
    const text = evaluator.run(this.#operand, scope);
    if (typeof text !== "string") throw evaluator.createError("no_matching_overload", "not a string", this.#operand);
    return this.read(text);
  }
}

class IpReading extends Reading<IpAddress> {
  readonly type = IP;

  literal(text: string, node: ASTNode): IpAddress {
    const ip = readIp(text);
    if (ip === undefined) throw new ExpressionFault(node, "no address", '"10.0.0.1" or "fd00::1"');
    return ip;
  }

  read(text: string): IpAddress {
    return ipOf(text);
  }
}

class NetworkReading extends Reading<Network> {
  readonly type = CIDR;

  literal(text: string, node: ASTNode): Network {
    const network = readNetwork(text);
    if (network === undefined) throw new ExpressionFault(node, "no network", '"10.0.0.0/8" or "fd00::/8"');
    if (network.meant === undefined) return network;
    throw new ExpressionFault(node, "a network whose address has bits behind its prefix", network.meant);
  }

  read(text: string): Network {
    return networkOf(text);
  }
}

const LINK_LOCAL_MULTICAST = [networkOf("224.0.0.0/24"), networkOf("ff02::/16")];
const NOT_GLOBAL: ReadonlySet<string> = new Set(["unspecified", "broadcast", "multicast", "linkLocal", "loopback"]);

/** Methods of these types. */
export const ADDRESS_METHODS: readonly string[] = [
  ...["containsIP", "containsCIDR", "ip", "masked", "prefixLength", "family"],
  ...["isUnspecified", "isLoopback", "isLinkLocalUnicast", "isLinkLocalMulticast", "isGlobalUnicast"],
];
/** Functions that make them, or tell whether they can. */
export const ADDRESS_FUNCTIONS: readonly string[] = ["ip", "cidr", "isIP", "isCIDR"];

/**
 * Addresses and networks, by the names that Kubernetes gives them in its CEL libraries `IP` and `CIDR`. Unlike there, an
 * IPv4 address mapped into IPv6 is an IPv4 address: HAProxy may listen for both on one socket.
 */
export function registerAddresses(environment: Environment): Environment {
  const sync = { async: false };
  const is = (test: (range: string) => boolean) => (ip: IpAddress) => test(ip.address.range());
  return environment
    .registerType(IP, { ctor: IpAddress, fields: {} })
    .registerType(CIDR, { ctor: Network, fields: {} })
    .registerOperator(`${IP} == ${IP}`, (a: IpAddress, b: IpAddress) => a.equals(b))
    .registerOperator(`${CIDR} == ${CIDR}`, (a: Network, b: Network) => a.equals(b))
    .registerFunction(`ip(ast): ${IP}`, (call: MacroCall) => new IpReading(call))
    .registerFunction(`cidr(ast): ${CIDR}`, (call: MacroCall) => new NetworkReading(call))
    .registerFunction("isIP(string): bool", (text: string) => told(() => ipOf(text)), sync)
    .registerFunction("isCIDR(string): bool", (text: string) => told(() => networkOf(text)), sync)
    .registerFunction(`strict_string(${IP}): string`, ({ text }: IpAddress) => text, sync)
    .registerFunction(`strict_string(${CIDR}): string`, ({ text }: Network) => text, sync)
    .registerFunction(`${CIDR}.containsIP(${IP}): bool`, (net: Network, ip: IpAddress) => net.contains(ip), sync)
    .registerFunction(`${CIDR}.containsIP(string): bool`, (net: Network, ip: string) => net.contains(ipOf(ip)), sync)
    .registerFunction(`${CIDR}.containsCIDR(${CIDR}): bool`, containsNetwork, sync)
    .registerFunction(
      `${CIDR}.containsCIDR(string): bool`,
      (net: Network, other: string) => containsNetwork(net, networkOf(other)),
      sync,
    )
    .registerFunction(`${CIDR}.ip(): ${IP}`, ({ ip }: Network) => ip, sync)
    .registerFunction(`${CIDR}.masked(): ${CIDR}`, ({ masked }: Network) => masked, sync)
    .registerFunction(`${CIDR}.prefixLength(): int`, ({ length }: Network) => BigInt(length), sync)
    .registerFunction(`${IP}.family(): int`, ({ family }: IpAddress) => BigInt(family), sync)
    .registerFunction(
      `${IP}.isUnspecified(): bool`,
      is((range) => range === "unspecified"),
      sync,
    )
    .registerFunction(
      `${IP}.isLoopback(): bool`,
      is((range) => range === "loopback"),
      sync,
    )
    .registerFunction(
      `${IP}.isLinkLocalUnicast(): bool`,
      is((range) => range === "linkLocal"),
      sync,
    )
    .registerFunction(
      `${IP}.isLinkLocalMulticast(): bool`,
      (ip: IpAddress) => LINK_LOCAL_MULTICAST.some((net) => net.contains(ip)),
      sync,
    )
    .registerFunction(
      `${IP}.isGlobalUnicast(): bool`,
      is((range) => !NOT_GLOBAL.has(range)),
      sync,
    );
}

function containsNetwork(network: Network, other: Network): boolean {
  return network.length <= other.length && network.contains(other.ip);
}

function told(read: () => unknown): boolean {
  try {
    read();
    return true;
  } catch (error) {
    // What is left of the work is not for this function to give.
    if (error instanceof RangeError && /^(?:ip|cidr)\(\)/.test(error.message)) return false;
    throw error;
  }
}
