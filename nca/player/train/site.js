// The static site: the player, the shipped garden and the browser trainer, without a server.
import { mountPlayer } from "../web/player.js";
import { playerModel } from "./checkpoint.js";
import { LiveTrainer } from "./live.js";
import { BadPicture, drawEmoji, readPicture, targetOf } from "./picture.js";
import { BadCheckpoint, fetchCheckpoint } from "./reader.js";

const SITE_EMOJI = /\p{Extended_Pictographic}|\p{Regional_Indicator}/u;
const byId = (id) => document.getElementById(id);

// `site`: { shelf: [{ name, title }], emoji: [{ emoji, file }], recipe: { name, nca, train,
// weights } }, the last a file of float32: what a training begins with.
// `drawingPad`: the function that nca/player/drawing_pad.py describes.
export async function mountSite(site, drawingPad) {
  const player = await mountPlayer(document.querySelector(".nca-player"));
  let newest = 0; // of the automata that were asked for
  const open = async (name) => {
    const own = (newest += 1);
    const model = await fetch(`checkpoints/${name}.json`).then((answer) => answer.json())
      .catch(() => null);
    if (own !== newest) return;
    if (model) player.setModel(model);
    byId("missing").textContent = model ? "" : "This automaton cannot be loaded; please try again.";
  };
  const shelf = site.shelf.map(({ name, title }) => {
    const button = document.createElement("button");
    button.textContent = title;
    button.onclick = () => open(name);
    return button;
  });
  byId("shelf").replaceChildren(...shelf);
  const asked = new URLSearchParams(location.search).get("checkpoint");
  try {
    if (!asked) await open(site.shelf[0].name);
    else player.setModel(playerModel(await fetchCheckpoint(asked)));
  } catch (error) {
    if (!(error instanceof BadCheckpoint)) throw error;
    await open(site.shelf[0].name);
    byId("missing").textContent = error.message;
  }

  const trainer = new LiveTrainer(byId("trainer"), {
    about: "The picture and the automaton stay on this device.",
    grow(training) {
      newest += 1;
      player.setModel(playerModel(training));
      document.querySelector(".nca-player").scrollIntoView({ behavior: "smooth" });
    },
  });
  new Chooser(site, trainer, drawingPad);
  await trainer.ready;
}

// The form: which picture, how large, for how long.
class Chooser {
  constructor(site, trainer, drawingPad) {
    Object.assign(this, { site, trainer, chosen: null, newest: 0 });
    const row = site.emoji.map(({ emoji, file }) => {
      const button = document.createElement("button");
      const art = document.createElement("img");
      Object.assign(art, { src: file, alt: emoji, width: 40, height: 40 });
      button.append(art);
      button.type = "button";
      button.onclick = () => this.choose(() => readPicture(file), emoji, {
        kind: "emoji", emoji, style: "twemoji",
      });
      return button;
    });
    byId("emoji").replaceChildren(...row);
    byId("any-emoji").onchange = ({ target }) => {
      const text = target.value.trim();
      if (!text) return;
      if (!SITE_EMOJI.test(text)) this.say("Please enter an emoji, such as 🦋.");
      else this.choose(async () => drawEmoji(text), text, { kind: "image" });
    };
    byId("upload").onchange = ({ target }) => {
      const [file] = target.files;
      if (file) this.choose(() => readPicture(file), file.name, { kind: "image" });
    };
    const pad = byId("draw");
    const drawing = {};
    drawingPad(pad, drawing, () => {
      if (!drawing.value) return this.say("Please draw a picture, or choose another.");
      const drawn = pad.querySelector("canvas").getContext("2d").getImageData(0, 0, 256, 256);
      this.choose(async () => drawn, "Drawing", { kind: "image" });
    }, () => {}); // nothing else here changes the drawing
    byId("size").onchange = () => this.draw();
    byId("start").onclick = () => this.start();
    row[0].click();
  }

  say(text) {
    byId("problem").textContent = text;
  }

  async choose(read, title, about) {
    const own = (this.newest += 1);
    try {
      const picture = await read();
      if (own !== this.newest) return; // another was chosen meanwhile
      this.picture = picture;
      this.chosen = { title: title.slice(0, 80), about };
      this.say("");
      this.draw();
    } catch (error) {
      if (!(error instanceof BadPicture)) throw error;
      if (own === this.newest) this.say(error.message);
    }
  }

  // The grid has as much room around the picture, for its size, as that of the recipe.
  grid() {
    const size = Number(byId("size").value);
    return [size, Math.round(size * 0.4)];
  }

  draw() {
    if (!this.picture) return;
    try {
      this.made = targetOf(this.picture, ...this.grid());
      this.say("");
    } catch (error) {
      if (!(error instanceof BadPicture)) throw error;
      this.made = null;
      this.say(error.message);
      return;
    }
    const { target, height, width } = this.made;
    const canvas = byId("target");
    [canvas.width, canvas.height] = [width, height];
    const image = new ImageData(width, height);
    for (let i = 0; i < target.length; i += 4) {
      const alpha = target[i + 3];
      for (let c = 0; c < 3; c++) image.data[i + c] = alpha && (target[i + c] / alpha) * 255;
      image.data[i + 3] = alpha * 255;
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
  }

  async start() {
    if (!this.made) return this.say("Please choose a picture first.");
    const { recipe } = this.site;
    const [size, padding] = this.grid();
    const { title, about } = this.chosen;
    const setup = {
      nca: recipe.nca,
      train: { ...recipe.train, iterations: Number(byId("iterations").value) },
      ...this.made,
      seed: crypto.getRandomValues(new Uint32Array(1))[0],
    };
    const target = { ...about, size, padding, crop: true, background: "keep" };
    const weights = await numbersIn(recipe.weights);
    if (!weights) return this.say("The site did not answer; please try again.");
    this.say("");
    const started = this.trainer.begin(setup, { title, recipe: recipe.name, target }, weights);
    byId("trainer").scrollIntoView({ behavior: "smooth" });
    await started;
  }
}

// The float32 in a file of the site; null where it cannot be had.
async function numbersIn(file) {
  try {
    const answer = await fetch(file);
    return answer.ok ? new Float32Array(await answer.arrayBuffer()) : null;
  } catch {
    return null;
  }
}
