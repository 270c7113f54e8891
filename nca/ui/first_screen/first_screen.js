// Starts the player of the first screen at once, and leads from there to the tabs.
(() => {
  const root = document.documentElement;
  const section = document.getElementById('first');
  const host = section.querySelector('.nca-player');
  const model = JSON.parse(document.getElementById('first-model').textContent);
  const theme = new URLSearchParams(location.search).get('__theme');
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  // Gradio does the same once it runs.
  if (theme ? theme === 'dark' : dark) document.body.classList.add('dark');

  // What was open and what played in this browser tab is there again when the page is loaded again,
  // as Gradio does after a lost connection, and browsers with tabs that they had dropped. Only then:
  // an address that is opened shows the first screen.
  const again = performance.getEntriesByType('navigation')[0]?.type !== 'navigate';
  const opened = (again && history.state?.ncaPlace) || null; // a tab, or 'first'; see `note`
  const EXPERTS = 'nca-garden-experts';
  const KEPT = 'nca-garden-life';
  let kept = null;
  let experts = null;
  try {
    kept = again ? JSON.parse(sessionStorage.getItem(KEPT)) : null;
    experts = opened === 'inspect' ? sessionStorage.getItem(EXPERTS) : null;
    sessionStorage.removeItem(KEPT);
  } catch {} // site data is blocked
  const keptCheckpoint = kept?.checkpoint;

  // What to keep when the page is left: what plays; what was kept, if the page is left again before
  // that has arrived.
  function playing() {
    if (kept && (!player || player.sent === model)) return kept;
    const { checkpoint } = player?.sent ?? {};
    return !root.classList.contains('first') && checkpoint ? { checkpoint, life: player.life } : null;
  }

  // The automaton of the experts' views, where they are open.
  const expert = () => {
    const chosen = document.querySelector('#inspect-shelf [aria-pressed=true]');
    return chosen?.checkVisibility() ? chosen.dataset.name : null;
  };

  function keep() {
    const now = playing();
    try {
      const name = expert();
      if (name) sessionStorage.setItem(EXPERTS, name);
      else if (selected()) sessionStorage.removeItem(EXPERTS);
      if (now) sessionStorage.setItem(KEPT, JSON.stringify(now));
      else sessionStorage.removeItem(KEPT); // of an earlier leave, from which the visitor came back
    } catch {} // blocked, or a state too large for it
  }
  addEventListener('pagehide', keep);
  // A browser that drops a tab tells it no more than this.
  document.addEventListener('visibilitychange', () => document.hidden && keep());

  root.classList.toggle('first', !kept && (opened ?? 'first') === 'first');
  let player = null;
  let wanted = null; // a tab to open as soon as there are tabs
  host.ncaReady = ncaKit.mountPlayer(host, { model, seed: SEED, bare: true, demo: !kept });
  host.ncaReady.then((mounted) => {
    player = mounted;
    player.setBare(root.classList.contains('first'));
  });

  // Shows the whole Grow tab: the shelf, the player's controls, the downloads.
  function leave() {
    root.classList.remove('first');
    player?.setBare(false);
    player?.demo.end();
  }

  const tab = (id) => document.querySelector(`[role=tab][data-tab-id="${id}"]`);

  function go(id) {
    wanted = null;
    for (const button of section.querySelectorAll('[data-go]')) button.removeAttribute('aria-busy');
    // The focus was on a button that is hidden now.
    if (id === 'grow') {
      leave();
      player?.ui.picture.focus({ preventScroll: true });
      document.querySelector('#shelf [aria-pressed=true]')?.scrollIntoView({ inline: 'center', block: 'nearest' });
    } else {
      tab(id).click();
      tab(id).focus({ preventScroll: true });
    }
  }

  section.addEventListener('click', (event) => {
    const button = event.target.closest('[data-go]');
    if (!button) return;
    const id = button.dataset.go;
    if (tab(id)) return go(id);
    // Pressed before the tabs are there: go as soon as they are.
    wanted = id;
    button.setAttribute('aria-busy', 'true');
  });
  new MutationObserver((_, observer) => {
    if (!tab('train')) return;
    observer.disconnect();
    root.classList.add('loaded');
    if (wanted) go(wanted);
    else if (opened !== 'first') tab(opened)?.click();
  }).observe(document.body, { childList: true, subtree: true });

  document.addEventListener('click', (event) => {
    if (event.target.closest?.('[role=tab][data-tab-id]')) leave();
  }, true);
  host.addEventListener('nca-started', (event) => {
    const other = event.detail !== model.version;
    if (other) leave();
    const arrived = host.ncaPlayer.sent.checkpoint === keptCheckpoint;
    if (!kept || !(other || arrived)) return;
    const { life } = kept;
    kept = null; // before it starts again, on a grid of that size; also once another was chosen
    if (arrived && life) host.ncaPlayer.goOn(life);
  });
  // Back and Forward of the browser lead through the first screen and the tabs that were opened.
  const selected = () =>
    document.querySelector('[role=tab][data-tab-id][aria-selected=true]')?.dataset.tabId;
  const place = () => (root.classList.contains('first') ? 'first' : selected());
  let noting = 0;
  let came = Boolean(opened);
  let back = false;
  function note() {
    back = false;
    const now = place();
    if (!now || now === history.state?.ncaPlace) return;
    try {
      history[came ? 'pushState' : 'replaceState']({ ncaPlace: now }, '');
      came = true;
    } catch {} // a frame that may not do that
  }
  // A change of tabs has several parts.
  const changes = new MutationObserver(() => {
    const open = selected();
    // Opened by the server; on the way back to the first screen that of before is still selected.
    if (open && open !== 'grow' && !back && root.classList.contains('first')) leave();
    clearTimeout(noting);
    noting = setTimeout(note, 100);
  });
  changes.observe(root, { attributeFilter: ['class'] });
  changes.observe(document.body, { attributeFilter: ['aria-selected'], subtree: true });
  addEventListener('popstate', ({ state }) => {
    const to = state?.ncaPlace;
    if (!to || to === place() || !tab('grow')) return;
    tab(to === 'first' ? 'grow' : to).click();
    if (to !== 'first') return;
    back = true;
    root.classList.add('first');
    player?.setBare(true);
    scrollTo(0, 0);
  });

  // For the handler that leads visitors to their own training: only those who do nothing else.
  window.ncaFirst = {
    // The checkpoint that played before the page was loaded again; an address may name another.
    kept: new URLSearchParams(location.search).has('checkpoint') ? undefined : keptCheckpoint,
    // The automaton of the experts' views that were open then.
    experts,
    waits: () => root.classList.contains('first') && !wanted && (player?.demo.active ?? true),
  };
})();
