// Everything that chance decides in one iteration. All of it derives from (seed, attempt,
// iteration), so that a training that is resumed goes on as if it had never stopped.
import { GOLDEN, lowbias32 } from "../web/fire.js";
import { drawDamage } from "./damage.js";

// The seed of one batch item, as `mix` in nca/fire.py.
export const itemSeed = (seed, item) => lowbias32((seed ^ lowbias32(item + 1)) >>> 0);

// Random numbers: sfc32 by Chris Doty-Humphrey, public domain.
export class Chance {
  constructor(...keys) {
    let h = GOLDEN;
    const word = () => (h = lowbias32((h + GOLDEN) >>> 0));
    for (const key of keys) h = lowbias32((h ^ lowbias32(key >>> 0)) >>> 0);
    [this.a, this.b, this.c, this.count] = [word(), word(), word(), 1];
    for (let i = 0; i < 12; i++) this.word();
  }

  // 32 random bits.
  word() {
    const found = (this.a + this.b + this.count++) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = ((this.c << 21) | (this.c >>> 11)) + found | 0;
    return found >>> 0;
  }

  // In [low, high).
  uniform(low = 0, high = 1) {
    return low + ((high - low) * this.word()) / 2 ** 32;
  }

  // A whole number from low to high - 1.
  integer(low, high) {
    return low + Math.floor(this.uniform(0, high - low));
  }

  normal() {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }

  choose(list) {
    return list[this.integer(0, list.length)];
  }

  // `count` different whole numbers below `size`, in random order.
  sample(size, count) {
    const moved = new Map(); // of a list 0, 1, 2, ... that is shuffled from the front
    return Array.from({ length: count }, (_, i) => {
      const j = this.integer(i, size);
      const found = moved.get(j) ?? j;
      moved.set(j, moved.get(i) ?? i);
      return found;
    });
  }
}

export class Draws {
  constructor(seed, attempt, iteration) {
    this.chance = new Chance(seed, attempt, iteration);
  }

  // Which items of the pool form the batch.
  indices(size, batch) {
    return this.chance.sample(size, batch);
  }

  // Which items of a batch are damaged where chance decides it.
  damaged(batch, count) {
    return this.chance.sample(batch, count);
  }

  // Cells to erase in a state: see drawDamage.
  damage(train, height, width, body) {
    return drawDamage(this.chance, train, height, width, body);
  }

  steps(least, most) {
    return this.chance.integer(least, most + 1);
  }

  // At which step each item is judged where chance decides it.
  judged(low, high, batch) {
    return Array.from({ length: batch }, () => this.chance.integer(low, high));
  }

  // Of the fire mask of each item.
  seeds(batch) {
    const seed = this.chance.word();
    return Array.from({ length: batch }, (_, item) => itemSeed(seed, item));
  }

  // Whether grown seeds enter the pool, of which `share` should.
  keepsSeeds(share) {
    return this.chance.uniform() < share;
  }
}
