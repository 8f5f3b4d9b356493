import { isIP } from "node:net";
import { readNetwork } from "../../policies/ip-address.ts";
import type { Path } from "../../policies/source/document.ts";
import type { Section } from "./section.ts";

/** Holds a text to be a network, or an address alone, whose word can be taken. @param path of it in the section */
export function checkNetwork(section: Section, path: Path, text: string): void {
  const network = readNetwork(isIP(text) === 0 ? text : `${text}/${isIP(text) === 4 ? 32 : 128}`);
  if (network === undefined) section.fault(path, "a network such as 10.0.0.0/8 or fd00::/8");
  else if (network.length === 0) section.fault(path, "the networks of your load balancers: this one is everybody's");
  else if (network.meant !== undefined) {
    // What a reference stood for is never shown.
    const right = section.isWritten(path) ? network.meant : "a network whose address has no bits there";
    section.fault(path, right, `${section.found(path)}, which has bits behind its prefix`);
  }
}
