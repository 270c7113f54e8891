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

  // What played in this tab goes on when the page is loaded again. Only then: an address that is
  // opened shows the first screen.
  const KEPT = 'nca-garden-life';
  let kept = null;
  try {
    const again = performance.getEntriesByType('navigation')[0]?.type === 'reload';
    kept = again ? JSON.parse(sessionStorage.getItem(KEPT)) : null;
    sessionStorage.removeItem(KEPT);
  } catch {} // site data is blocked
  const keptCheckpoint = kept?.checkpoint;

  // What to keep when the page is left: what plays, where it is seen; what was kept, if the page is
  // left again before that has arrived.
  function playing() {
    if (kept && (!player || player.sent === model)) return kept;
    const { checkpoint } = player?.sent ?? {};
    const seen = !root.classList.contains('first') && host.offsetParent;
    return seen && checkpoint ? { checkpoint, life: player.life } : null;
  }

  addEventListener('pagehide', () => {
    const now = playing();
    try {
      if (now) sessionStorage.setItem(KEPT, JSON.stringify(now));
      else sessionStorage.removeItem(KEPT); // of an earlier leave, from which the visitor came back
    } catch {} // blocked, or a state too large for it
  });

  root.classList.toggle('first', !kept);
  let player = null;
  let wanted = null;
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
  let came = false;
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
    waits: () => root.classList.contains('first') && !wanted && (player?.demo.active ?? true),
  };
})();
