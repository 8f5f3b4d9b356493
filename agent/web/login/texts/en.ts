import type { Texts } from "./text.ts";

export const ENGLISH: Texts = {
  language: "en",
  chooser: { title: "Sign in", lines: ["Who knows you?"] },
  signOut: { title: "Do you want to sign out?", lines: [] },
  signedOut: { title: "You are signed out", lines: [] },
  leaving: { title: "You are signed out here", lines: ["Your sign-in service goes on with it."] },
  notSignedOut: {
    title: "You could not be signed out",
    lines: ["Try again in a moment. On a machine that others use, close the browser: it forgets who you are."],
  },
  refused: { title: "You were not signed in", lines: [] },
  unknown: {
    title: "This sign-in is over",
    lines: ["It was begun too long ago, was ended already, or was begun in another browser."],
  },
  noCookies: {
    title: "Your browser does not keep our cookie",
    lines: ["Without cookies nobody can stay signed in. Allow them for this site, and sign in again."],
  },
  loop: {
    title: "Signing in does not help",
    lines: ["You were signed in, and what you asked for is still not open to you."],
  },
  unavailable: {
    title: "You cannot sign in now",
    lines: ["The sign-in service does not answer. Nothing of yours is lost; try again in a moment."],
  },
  unreadable: { title: "This request cannot be read", lines: [] },
  noPage: { title: "There is no such page", lines: [] },
  wrongMethod: { title: "This page takes no such request", lines: [] },
  out: "Sign out",
  again: "Sign in again",
  goOn: "Go on",
  start: "To the start",
  reason: "Reason",
  request: "Request",
};
