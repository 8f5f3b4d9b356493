/** What keeps a client from using a resource, or some of them. */
export interface ResourceFinding {
  readonly level: "fault" | "warning";
  /** The URL that was asked. */
  readonly at: string;
  readonly found: string;
  readonly right: string;
}

/** Collects what is found at one URL. */
export class Findings {
  readonly all: ResourceFinding[] = [];

  fault(at: string, found: string, right: string): void {
    this.all.push({ level: "fault", at, found, right });
  }

  warn(at: string, found: string, right: string): void {
    this.all.push({ level: "warning", at, found, right });
  }
}
