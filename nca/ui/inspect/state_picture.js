// The picture of a step: a click, or Enter with the crosshair, selects a cell.
let cursor = null;
const life = () => element.querySelector('.life');
const side = () => ({ rows: Number(life().dataset.rows), columns: Number(life().dataset.columns) });
const point = () => {
  const mark = life()?.querySelector('.cursor');
  if (!mark) return;
  mark.hidden = !cursor;
  if (!cursor) return;
  mark.style.left = `${(cursor.column + 0.5) / side().columns * 100}%`;
  mark.style.top = `${(cursor.row + 0.5) / side().rows * 100}%`;
};

element.addEventListener('click', (event) => {
  if (!event.target.closest('.life')) return;
  const { rows, columns } = side();
  if (event.detail) { // a click with a pointer; one from the keyboard uses the crosshair's position
    const box = life().getBoundingClientRect();
    const within = (share, most) => Math.max(0, Math.min(most - 1, Math.floor(share * most)));
    cursor = {
      row: within((event.clientY - box.top) / box.height, rows),
      column: within((event.clientX - box.left) / box.width, columns),
    };
    point();
  }
  trigger('cell', cursor ?? { row: rows >> 1, column: columns >> 1 });
});

const MOVES = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
element.addEventListener('keydown', (event) => {
  const move = MOVES[event.key];
  if (!move || !event.target.closest('.life')) return;
  event.preventDefault();
  const { rows, columns } = side();
  const { row, column } = cursor ?? { row: rows >> 1, column: columns >> 1 };
  cursor = {
    row: Math.max(0, Math.min(rows - 1, row + move[0])),
    column: Math.max(0, Math.min(columns - 1, column + move[1])),
  };
  point();
});

watch('value', point); // Gradio updates the pictures in place, and the crosshair with them
