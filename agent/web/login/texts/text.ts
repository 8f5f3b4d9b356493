/** What a page says: what has happened, which is its title and its one heading, and what that means for the reader. */
export interface PageText {
  readonly title: string;
  readonly lines: readonly string[];
}

/** All that the pages for people say, in one language. */
export interface Texts {
  /** As BCP 47 has it. */
  readonly language: string;
  readonly chooser: PageText;
  readonly signOut: PageText;
  readonly signedOut: PageText;
  /** They are signed out here, and go on to their provider. */
  readonly leaving: PageText;
  readonly notSignedOut: PageText;
  readonly refused: PageText;
  /** A login that this browser has not begun, or not lately. */
  readonly unknown: PageText;
  readonly noCookies: PageText;
  /** They have a session, and are asked to log in all the same. */
  readonly loop: PageText;
  readonly unavailable: PageText;
  readonly unreadable: PageText;
  readonly noPage: PageText;
  readonly wrongMethod: PageText;
  /** What the button says that signs out. */
  readonly out: string;
  readonly again: string;
  /** What leads on from a page that goes on by itself. */
  readonly goOn: string;
  readonly start: string;
  readonly reason: string;
  readonly request: string;
}
