/**
 * Set-up of tests of identity: one database for a suite, empty at the beginning of each test, with a
 * node on it. All suites share one PostgreSQL: the first starts it, the last ends it.
 */
import { after, before, beforeEach } from 'mocha';
import type { DatabaseTarget } from '../../services/identity/adapters/database.ts';
import type { PgStores } from '../../services/identity/adapters/pg-stores.ts';
import type { SignedIn } from '../../services/identity/contract.ts';
import { IdentityBench, type Node } from './identity-bench.ts';

export const HOME = { address: '203.0.113.7' } as const;
export const PASSWORD = 'correct horse battery';

export interface FreshIdentity {
  readonly bench: IdentityBench;
  readonly target: DatabaseTarget;
  readonly stores: PgStores;
  /** Of the test that runs. */
  readonly node: Node;
  signUp(username: string, device?: object): Promise<SignedIn & { created: boolean }>;
}

const shared = { suites: 0, bench: undefined as IdentityBench | undefined };

/** To be called where a suite is described. */
export function freshIdentity(): FreshIdentity {
  const bench = (shared.bench ??= new IdentityBench());
  shared.suites++;
  let target: DatabaseTarget;
  let stores: PgStores;
  let node: Node;
  before(async () => {
    await bench.start();
    target = await bench.newDatabase();
    ({ stores } = await bench.node(target));
  });
  after(() => (--shared.suites === 0 ? bench.stop() : bench.closeNodes()));
  beforeEach(async () => {
    await bench.empty(target);
    node = await bench.nodeOn(stores);
  });
  return {
    bench,
    get target() {
      return target;
    },
    get stores() {
      return stores;
    },
    get node() {
      return node;
    },
    signUp: (username, device = {}) =>
      node.identity.signUp({ username, password: PASSWORD, device }, HOME),
  };
}
