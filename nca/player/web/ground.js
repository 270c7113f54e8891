// The colour theme of a host element: `data-theme`, and the grey behind the automaton.

export const GROUND = { light: 1, dark: 0.075 };

// Sets `data-theme` of the host to "light" or "dark", now and whenever the theme changes, and calls
// `changed` each time. Returns a function that ends this.
export function followTheme(host, changed) {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const follow = () => {
    // Gradio sets its theme as a class of the body; an exported page follows the system.
    const marked = document.body.classList.contains("dark");
    const own = document.querySelector("gradio-app, .gradio-container");
    host.dataset.theme = marked || (!own && dark.matches) ? "dark" : "light";
    changed();
  };
  dark.addEventListener("change", follow);
  const classes = new MutationObserver(follow);
  classes.observe(document.body, { attributes: true, attributeFilter: ["class"] });
  follow();
  return () => {
    classes.disconnect();
    dark.removeEventListener("change", follow);
  };
}
