/**
 * How the pages for people look, in light and in dark; a brand puts its own in place of it (`sessions.stylesheet`).
 * Contrasts and sizes are those of WCAG 2.2, AA: text 4.5 to 1, what is clicked at least 24 pixels, focus that is seen.
 */
export const STYLE = `:root { color-scheme: light dark; --text: #1c1c1c; --ground: #ffffff; --link: #0b57d0; }
@media (prefers-color-scheme: dark) { :root { --text: #ececec; --ground: #16181c; --link: #a8c7fa; } }
body { margin: 0; background: var(--ground); color: var(--text); font: 1rem/1.5 system-ui, sans-serif; }
main { max-width: 32rem; margin: 0 auto; padding: 4rem 1.5rem; }
h1 { font-size: 1.5rem; line-height: 1.25; }
ul { list-style: none; padding: 0; }
a, button { display: inline-block; min-height: 1.5rem; padding: 0.5rem 0; color: var(--link); font: inherit; }
button { padding: 0.5rem 1rem; background: var(--link); color: var(--ground); border: 0; border-radius: 0.25rem; }
a:focus-visible, button:focus-visible { outline: 3px solid var(--link); outline-offset: 3px; }
.detail { font-size: 0.875rem; overflow-wrap: anywhere; }
`;
