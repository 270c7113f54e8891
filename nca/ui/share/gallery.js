// The gallery: a click opens a card; a card that is pointed at, or has the focus, shows its film.
// Without a pointer that hovers, the cards in sight show theirs, unless motion is to be reduced.
const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
const hovers = matchMedia('(hover: hover)').matches;

element.addEventListener('click', (event) => {
  const card = event.target.closest('button.card');
  if (card) trigger('select', { name: card.dataset.name });
});

// Over the still picture, which stays until the film has arrived.
const play = (card) => {
  if (!card?.dataset.film || card.querySelector('.moving')) return;
  const film = new Image();
  film.className = 'cells moving';
  film.alt = '';
  film.src = card.dataset.film;
  film.onload = () => card.classList.toggle('plays', film.isConnected);
  film.onerror = () => film.remove();
  card.querySelector('.film').append(film);
};
const rest = (card) => {
  card?.querySelector('.moving')?.remove();
  card?.classList.remove('plays');
};
const cardOf = (event) => event.target.closest?.('button.card');
for (const [on, off] of [['pointerover', 'pointerout'], ['focusin', 'focusout']]) {
  element.addEventListener(on, (event) => play(cardOf(event)));
  element.addEventListener(off, (event) => {
    const card = cardOf(event);
    if (hovers && !card?.contains(event.relatedTarget) && !card?.matches(':focus')) rest(card);
  });
}
// A still picture that does not come leaves an empty card.
element.addEventListener('error', (event) => event.target.matches?.('.still') && event.target.remove(), true);
element.addEventListener('load', (event) => event.target.closest?.('.film')?.classList.add('there'), true);

if (!hovers && !still) {
  const sight = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) (isIntersecting ? play : rest)(target);
  }, { threshold: 0.6 });
  const watchCards = () => {
    sight.disconnect();
    for (const card of element.querySelectorAll('button.card')) sight.observe(card);
  };
  watch('value', watchCards);
  watchCards();
}
