// Writes the addresses of a pushed checkpoint, which depend on where this page is, and copies them.
const attribute = (text) => text.replaceAll('&', '&amp;').replaceAll('"', '&quot;');

const fill = () => {
  const links = element.querySelector('.links');
  if (!links) return;
  const { name, home } = links.dataset;
  const query = `checkpoint=${encodeURIComponent(name).replace('%2F', '/')}`;
  const here = (path) => new URL(path, document.baseURI).href;
  links.querySelector('.opens').value = home ? `${home}?${query}` : here(`./?${query}`);
  links.querySelector('.embeds').value =
    `<iframe src="${attribute(here(`play?${query}&bare`))}" width="480" height="480" ` +
    `style="border: 0" loading="lazy" title="${attribute(name)}, a neural cellular automaton"></iframe>`;
};
watch('value', fill);
fill();

element.addEventListener('click', async (event) => {
  const button = event.target.closest('[data-copy]');
  if (!button) return;
  const field = element.querySelector(`.${button.dataset.copy}`);
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
  } catch {
    document.execCommand('copy'); // without permission, or without https
  }
  const words = (button.dataset.words ??= button.textContent);
  button.textContent = 'Copied';
  setTimeout(() => { button.textContent = words; }, 1500);
});
