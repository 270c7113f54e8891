// What Gradio's components lack for the keyboard.
(() => {
  // Gradio opens the list of a dropdown again when Tab leaves it.
  document.addEventListener('keydown', (event) => {
    if (event.key === 'Tab' && event.target.matches?.('[role=combobox]')) event.stopPropagation();
  }, true);

  // Many buttons in a group are one stop of Tab; arrow keys lead from one to the next.
  const group = (element) => element.closest?.('[data-arrows]');
  const buttons = (element) => [...group(element).querySelectorAll('button')];

  document.addEventListener('focusin', ({ target }) => {
    if (!group(target)) return;
    for (const button of buttons(target)) button.tabIndex = button === target ? 0 : -1;
  });

  // The nearest button above (-1) or below (1).
  function across(all, from, way) {
    const at = from.getBoundingClientRect();
    let found = null;
    let least = Infinity;
    for (const button of all) {
      const box = button.getBoundingClientRect();
      const down = way * (box.top - at.top);
      const distance = 100 * down + Math.abs(box.left - at.left);
      if (down > at.height / 2 && distance < least) [found, least] = [button, distance];
    }
    return found;
  }

  document.addEventListener('keydown', (event) => {
    const { key, target } = event;
    if (!group(target) || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const all = buttons(target);
    const at = all.indexOf(target);
    const next = {
      ArrowRight: () => all[at + 1], ArrowLeft: () => all[at - 1], Home: () => all[0],
      End: () => all.at(-1), ArrowDown: () => across(all, target, 1),
      ArrowUp: () => across(all, target, -1),
    }[key];
    if (!next) return;
    event.preventDefault();
    next()?.focus();
  });
})();
