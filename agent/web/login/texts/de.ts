import type { Texts } from "./text.ts";

export const DEUTSCH: Texts = {
  language: "de",
  chooser: { title: "Anmelden", lines: ["Wer kennt Sie?"] },
  signOut: { title: "Möchten Sie sich abmelden?", lines: [] },
  signedOut: { title: "Sie sind abgemeldet", lines: [] },
  leaving: { title: "Sie sind hier abgemeldet", lines: ["Ihr Anmeldedienst macht damit weiter."] },
  notSignedOut: {
    title: "Sie konnten nicht abgemeldet werden",
    lines: [
      "Versuchen Sie es gleich noch einmal. An einem Gerät, das auch andere benutzen, schließen Sie den Browser: Er vergisst, wer Sie sind.",
    ],
  },
  refused: { title: "Sie wurden nicht angemeldet", lines: [] },
  unknown: {
    title: "Diese Anmeldung gilt nicht mehr",
    lines: ["Sie wurde vor zu langer Zeit begonnen, ist schon beendet oder wurde in einem anderen Browser begonnen."],
  },
  noCookies: {
    title: "Ihr Browser behält unser Cookie nicht",
    lines: [
      "Ohne Cookies kann niemand angemeldet bleiben. Erlauben Sie sie für diese Seite und melden Sie sich neu an.",
    ],
  },
  loop: {
    title: "Anmelden hilft hier nicht",
    lines: ["Sie waren angemeldet, und was Sie wollten, steht Ihnen trotzdem nicht offen."],
  },
  unavailable: {
    title: "Sie können sich gerade nicht anmelden",
    lines: ["Der Anmeldedienst antwortet nicht. Verloren ist nichts; versuchen Sie es gleich noch einmal."],
  },
  unreadable: { title: "Diese Anfrage ist nicht lesbar", lines: [] },
  noPage: { title: "Diese Seite gibt es nicht", lines: [] },
  wrongMethod: { title: "So lässt sich diese Seite nicht aufrufen", lines: [] },
  out: "Abmelden",
  again: "Neu anmelden",
  goOn: "Weiter",
  start: "Zur Startseite",
  reason: "Grund",
  request: "Anfrage",
};
