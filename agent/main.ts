#!/usr/bin/env node
// The first module of every process. An old Node must be able to read it: the syntax of Node 12, and no static import.
const NEEDED = 24;

if (Number.parseInt(process.versions.node, 10) >= NEEDED) {
  void import("./start.ts");
} else {
  console.error(
    `countersign needs Node ${NEEDED} or later, and this is Node ${process.versions.node}: ${process.execPath}
There is a newer one at https://nodejs.org/en/download, or by: npm install --global node@${NEEDED}
In a clone of Countersign \`npm run\` brings its own, node_modules/.bin/node, which can start it as well.`,
  );
  process.exitCode = 69; // EX_UNAVAILABLE of sysexits.h
}
