// oidc-provider warns of every Node that is no LTS release yet, as soon as it is loaded, and of what only demos may do:
// this has to be loaded before it.
const { warn } = console;
const EXPECTED = ["Unsupported runtime", "a quick start development-only"];
console.warn = (...texts: readonly unknown[]) => {
  if (!EXPECTED.some((text) => String(texts[0]).includes(`oidc-provider WARNING: ${text}`))) warn(...texts);
};
