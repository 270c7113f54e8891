// Trainings in this browser's own storage (IndexedDB). A training is one record of two parts that
// are written together: what is shown of it, and the large state that only going on needs.

const DATABASE = "nca-garden";
const [SHOWN, STATES] = ["trainings", "states"];

export class NoStorage extends Error {}

const NONE =
  "This browser keeps nothing for this page (a private window, or storage is blocked), so the " +
  "training is lost when the page is closed; download the checkpoint before.";
const FULL =
  "This browser's storage is full, so the training can no longer be saved here; the last saved " +
  "state is kept. Delete an old training, or download the checkpoint before you close the page.";

const settled = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

export class Store {
  // Raises NoStorage, with a sentence, where the browser has or allows none.
  static async open() {
    try {
      const request = indexedDB.open(DATABASE, 1);
      request.onupgradeneeded = () => {
        request.result.createObjectStore(SHOWN, { keyPath: "id" });
        request.result.createObjectStore(STATES, { keyPath: "id" });
      };
      return new Store(await settled(request));
    } catch (error) {
      throw new NoStorage(NONE, { cause: error });
    }
  }

  constructor(database) {
    this.database = database;
  }

  // All trainings, the newest first, without their states.
  async all() {
    const found = await settled(this.database.transaction(SHOWN).objectStore(SHOWN).getAll());
    return found.sort((a, b) => b.begun - a.begun);
  }

  // The state of a training, or null.
  async state(id) {
    const found = await settled(this.database.transaction(STATES).objectStore(STATES).get(id));
    return found?.state ?? null;
  }

  // Writes a training and its state, both or nothing; raises NoStorage when there is no room.
  async save(training, state) {
    await this.#write((shown, states) => {
      shown.put(training);
      states.put({ id: training.id, state });
    });
  }

  async remove(id) {
    await this.#write((shown, states) => {
      shown.delete(id);
      states.delete(id);
    });
  }

  async #write(change) {
    const transaction = this.database.transaction([SHOWN, STATES], "readwrite");
    const done = new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(transaction.error);
    });
    done.catch(() => {}); // a change that is refused at once aborts the transaction, too
    try {
      change(transaction.objectStore(SHOWN), transaction.objectStore(STATES));
      await done;
    } catch (error) {
      throw new NoStorage(error?.name === "QuotaExceededError" ? FULL : NONE, { cause: error });
    }
  }
}
