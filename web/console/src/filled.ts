const storageKey = 'marquee:filled';
/** More than the tabs of a console hold. */
const most = 200;

/**
 * What the console has filled into variables. It may be replaced later, what a user typed never; so it is remembered as
 * long as the tabs themselves, which outlive a reload.
 */
export class Filled {
  readonly #storage: Storage;
  readonly #values: Set<string>;

  constructor(storage: Storage) {
    this.#storage = storage;
    this.#values = new Set(restore(storage.getItem(storageKey)));
  }

  has(value: unknown): boolean {
    return this.#values.has(JSON.stringify(value));
  }

  add(value: unknown): void {
    const text = JSON.stringify(value);
    this.#values.delete(text);
    this.#values.add(text);
    this.#storage.setItem(storageKey, JSON.stringify([...this.#values].slice(-most)));
  }
}

/** What an earlier load of the page left behind; anything else than that is nothing. */
function restore(stored: string | null): readonly string[] {
  try {
    const values: unknown = JSON.parse(stored ?? '[]');
    return Array.isArray(values) ? values.filter((value) => typeof value === 'string') : [];
  } catch {
    return [];
  }
}
