import type { memoryStore } from '../src/stores/memory.ts';

type Store = ReturnType<typeof memoryStore>;

/** A store's methods as functions of their own, so that a test may put its own in place of some. */
export function methodsOf(store: Store): Store {
  return {
    open: () => store.open(),
    close: () => store.close(),
    claim: () => store.claim(),
    wipe: (database) => store.wipe(database),
    readOwn: (table, range) => store.readOwn(table, range),
    readCache: (table, range) => store.readCache(table, range),
    writeOwn: (puts, fence) => store.writeOwn(puts, fence),
    writeCache: (puts, fence) => store.writeCache(puts, fence),
  };
}
