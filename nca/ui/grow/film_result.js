// Saves a film as soon as it is there; on a phone, offers the share sheet instead.
const made = () => {
  const link = element.querySelector('a[download]');
  if (!link) return;
  const share = element.querySelector('[data-share]');
  const type = element.querySelector('video') ? 'video/mp4' : 'image/png';
  const trial = new File([''], link.download, { type });
  share.hidden = !navigator.canShare?.({ files: [trial] });
  if (share.hidden || !matchMedia('(pointer: coarse)').matches) link.click();
  element.querySelector('.film').scrollIntoView({ block: 'nearest' });
};
watch('value', () => requestAnimationFrame(made));
element.addEventListener('click', async (event) => {
  if (!event.target.closest('[data-share]')) return;
  const link = element.querySelector('a[download]');
  const blob = await (await fetch(link.href)).blob();
  const file = new File([blob], link.download, { type: blob.type });
  // Rejected when the visitor closes the sheet.
  await navigator.share({ files: [file], title: link.download }).catch(() => {});
});
