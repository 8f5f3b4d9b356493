import type { Sample } from "./samples.ts";

/** Rows of the picture: a curve for each name, in a scale that begins at 0. */
const PANELS: readonly { readonly title: string; readonly curves: readonly (keyof Sample)[] }[] = [
  { title: "memory of the agent, MB: resident, heap, buffers", curves: ["resident", "heap", "external"] },
  { title: "open descriptors of the agent, and SPOP connections", curves: ["descriptors", "connections"] },
  { title: "cached identities and refusals", curves: ["identities", "refusals"] },
  { title: "requests a second", curves: ["rate"] },
];

const COLOURS = ["#1f5fa8", "#c0561f", "#3a8a4d"];
const [WIDTH, HEIGHT, LEFT, TOP, GAP] = [720, 90, 56, 22, 34];
/** Points of a curve: each stands for the samples around it. */
const POINTS = 120;

/** A picture of all samples: a few KB, whatever their number. */
export function picture(samples: readonly Sample[]): string {
  const points = gathered(samples);
  const height = PANELS.length * (HEIGHT + GAP) + TOP;
  const end = samples.at(-1)?.at ?? 1;
  const panels = PANELS.map((panel, n) => drawn(points, end, panel, TOP + n * (HEIGHT + GAP)));
  const style = "text{font:11px sans-serif;fill:#444}polyline{fill:none;stroke-width:1.2}";
  const size = `width="${WIDTH + LEFT + 12}" height="${height}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size}><style>${style}</style><rect ${size} fill="#fff"/>
${panels.join("")}<text x="${LEFT}" y="${height - 8}">0</text><text x="${LEFT + WIDTH}" y="${height - 8}" text-anchor="end">${Math.round(end / 60)} minutes</text>
</svg>
`;
}

function drawn(
  points: readonly (readonly Sample[])[],
  end: number,
  { title, curves }: (typeof PANELS)[number],
  top: number,
): string {
  const most = Math.max(1, ...points.flat().flatMap((sample) => curves.map((name) => sample[name])));
  const lines = curves.map((name, n) => {
    const path = points.map((each) => {
      const x = LEFT + (mean(each, "at") / end) * WIDTH;
      return `${x.toFixed(0)},${(top + HEIGHT * (1 - mean(each, name) / most)).toFixed(1)}`;
    });
    return `<polyline stroke="${COLOURS[n]}" points="${path.join(" ")}"/>\n`;
  });
  const frame = `<path d="M${LEFT} ${top}v${HEIGHT}h${WIDTH}" fill="none" stroke="#bbb"/>`;
  const scale = `<text x="${LEFT - 4}" y="${top + 9}" text-anchor="end">${Math.round(most)}</text>`;
  return `<text x="${LEFT}" y="${top - 6}">${title}</text>${scale}${frame}\n${lines.join("")}`;
}

function gathered(samples: readonly Sample[]): readonly (readonly Sample[])[] {
  const each = Math.ceil(samples.length / POINTS);
  return Array.from({ length: Math.ceil(samples.length / each) }, (_, n) => samples.slice(n * each, (n + 1) * each));
}

function mean(samples: readonly Sample[], name: keyof Sample): number {
  return samples.reduce((sum, sample) => sum + sample[name], 0) / samples.length;
}
