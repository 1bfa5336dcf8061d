import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { RECORD, SlabWriter, eachRecord, kindAt, positionAt, shardAt } from '../../core/record.ts';
import { Feed } from './feed.ts';
import { Routes, type Outlet } from './routes.ts';

function id(n: number): Uint8Array {
  return new Uint8Array(16).fill(n);
}

function outlet(): Outlet {
  return {
    out: new SlabWriter(
      () => undefined,
      () => undefined,
    ),
    isWritable: true,
    missed: () => undefined,
    planned: [],
  };
}

describe('routes (R056)', () => {
  it('a user may be served by several gateways, and by one under several handles', () => {
    const routes = new Routes();
    const [a, b] = [outlet(), outlet()];
    routes.add(a, 1, id(1));
    routes.add(b, 1, id(1));
    routes.add(b, 2, id(1));
    assert.equal(routes.of(id(1))?.length, 3);
    routes.remove(b, 1);
    routes.remove(b, 1);
    assert.deepEqual(
      routes.of(id(1))?.map(({ outlet: at, handle }) => [at === a, handle]),
      [
        [true, 1],
        [false, 2],
      ],
    );
  });

  it('a handle given to another user leaves the first', () => {
    const routes = new Routes();
    const a = outlet();
    routes.add(a, 7, id(1));
    routes.add(a, 7, id(2));
    assert.equal(routes.of(id(1)), undefined);
    assert.equal(routes.of(id(2))?.length, 1);
    assert.equal(routes.userCount, 1);
  });

  it('the end of a Link takes its routes and no others', () => {
    const routes = new Routes();
    const [a, b] = [outlet(), outlet()];
    for (let n = 1; n <= 50; n++) routes.add(n % 2 === 0 ? a : b, n, id(n));
    routes.drop(a);
    assert.equal(routes.userCount, 25);
    assert.equal(routes.of(id(2)), undefined);
    assert.equal(routes.of(id(3))?.[0]?.handle, 3);
  });
});

describe('a feed', () => {
  function feedOf(): { feed: Feed; told: () => [number, number, number][] } {
    const told: [number, number, number][] = [];
    const out: SlabWriter = new SlabWriter(
      (slab) =>
        eachRecord(slab, (at) =>
          told.push([kindAt(slab, at), shardAt(slab, at), positionAt(slab, at)]),
        ),
      () => undefined,
    );
    const feed = new Feed(out, 4);
    return {
      feed,
      told: () => {
        out.flush();
        return told.splice(0);
      },
    };
  }

  it('tells progress once per index and never backwards', () => {
    const { feed, told } = feedOf();
    feed.progress(1, 5);
    feed.progress(1, 5);
    feed.progress(1, 9);
    assert.deepEqual(told(), [
      [RECORD.progress, 1, 5],
      [RECORD.progress, 1, 9],
    ]);
    assert.throws(() => feed.progress(1, 8), /progress-never-falls/);
  });

  it('claims no progress over a hole until the hole was announced', () => {
    const { feed, told } = feedOf();
    feed.missed(2);
    feed.progress(2, 7);
    feed.progress(3, 7);
    feed.announce(false);
    assert.deepEqual(told(), [[RECORD.progress, 3, 7]]);
    feed.announce(true);
    feed.progress(2, 7);
    assert.deepEqual(told(), [
      [RECORD.resync, 2, 0],
      [RECORD.progress, 2, 7],
    ]);
  });
});
