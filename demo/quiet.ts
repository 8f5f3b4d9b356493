// oidc-provider warns of every Node that is no LTS release yet, as soon as it is loaded: this has to be loaded before it.
const { warn } = console;
console.warn = (...texts: readonly unknown[]) => {
  if (!String(texts[0]).includes("oidc-provider WARNING: Unsupported runtime")) warn(...texts);
};
