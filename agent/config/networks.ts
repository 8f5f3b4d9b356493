import { isIP } from "node:net";
import type { Path } from "../../policies/source/document.ts";
import type { Section } from "./section.ts";

/** Holds a text to be a network whose word can be taken. @param path of it in the section */
export function checkNetwork(section: Section, path: Path, text: string): void {
  const [, address = "", length] = /^(.+?)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const version = isIP(address);
  const longest = version === 6 ? 128 : 32;
  if (version === 0 || address.includes("%") || Number(length ?? longest) > longest) {
    section.fault(path, "a network such as 10.0.0.0/8 or fd00::/8");
  } else if (Number(length ?? longest) === 0) {
    section.fault(path, "the networks of your load balancers: this one is everybody's");
  }
}
