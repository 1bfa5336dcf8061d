import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { commandKey } from '../../core/command.ts';
import { slotOf } from '../../core/ids.ts';
import type { StateEntry, StateStore } from '../../storage-engine/contract.ts';
import { idOf } from '../conversation/test-kit.ts';
import type { Answerer } from './answers.ts';
import { COURIER_WINDOW, Courier } from './courier.ts';
import type { JournalMembership } from './journal.ts';
import { resumeCourier } from './journal-walk.ts';
import { VirtualTime } from './testing/virtual-time.ts';

interface Asked {
  readonly destination: number;
  readonly user: Uint8Array;
  readonly request: number;
}

function change(index: number, user: number): JournalMembership {
  const conversation = idOf(index, 4);
  return { conversation, user: idOf(user), joined: true, sequence: 1, index };
}

function courierOf(
  asked: Asked[],
  refuse: (destination: number) => boolean = () => false,
): [Courier, VirtualTime] {
  const time = new VirtualTime();
  const courier = new Courier({
    shards: 2,
    shardOf: (user) => slotOf(user) % 2,
    timers: time,
    submit: (destination, command, answerer: Answerer, request) => {
      if (refuse(destination))
        answerer.refused(request, {
          reason: 'OVERLOADED',
          message: '',
          details: {},
          retryAfterMs: 1,
        });
      else asked.push({ destination, user: commandKey(command), request });
    },
  });
  return [courier, time];
}

describe('the courier', () => {
  it('a cursor stands below the first change that is not delivered, per destination', () => {
    const asked: Asked[] = [];
    const [courier] = courierOf(asked);
    courier.activate([]);
    courier.complete();
    for (let index = 1; index <= 6; index++) courier.changed(change(index, index));
    assert.deepEqual(
      asked.map(({ destination }) => destination),
      [1, 0, 1, 0, 1, 0],
    );
    const request = (index: number): number => asked[index - 1]?.request ?? 0;
    courier.committed(request(3));
    assert.deepEqual([...courier.cursors(6)], [1, 0]);
    courier.committed(request(1));
    assert.deepEqual([...courier.cursors(6)], [1, 4]);
    for (const index of [2, 4, 5, 6]) courier.committed(request(index));
    assert.deepEqual([...courier.cursors(9)], [9, 9]);
    assert.equal(courier.owed, 0);
  });

  it('what the cursor covers is not sent again; what it does not is, journal first', () => {
    const asked: Asked[] = [];
    const [courier] = courierOf(asked);
    courier.restore(Float64Array.of(4, 1));
    courier.activate([change(9, 1)]);
    courier.found([change(1, 1), change(2, 2), change(3, 3), change(4, 4), change(6, 6)]);
    assert.deepEqual([...courier.cursors(9)], [4, 1]);
    assert.equal(asked.length, 0);
    courier.complete();
    assert.deepEqual(
      asked.map(({ user }) => user[15]),
      [6, 3, 1],
    );
  });

  it('who refuses is asked again later, and nothing is lost', async () => {
    const asked: Asked[] = [];
    let isOverloaded = true;
    const [courier, time] = courierOf(asked, () => isOverloaded);
    courier.activate([]);
    courier.complete();
    for (let index = 1; index <= 10; index++) courier.changed(change(index, index));
    await time.advance(350);
    assert.equal(asked.length, 0);
    assert.equal(courier.owed, 10);
    isOverloaded = false;
    await time.advance(150);
    assert.equal(asked.length, 10);
  });

  it('a destination that refuses for good keeps nothing from the others', async () => {
    const asked: Asked[] = [];
    // As a shard that has stopped does; the other comes behind it in every round.
    const [courier, time] = courierOf(asked, (destination) => destination === 0);
    courier.activate([]);
    courier.found([change(1, 2), change(2, 1)]);
    courier.complete();
    assert.deepEqual(
      asked.map(({ destination }) => destination),
      [1],
    );
    await time.advance(1000);
    courier.changed(change(3, 3));
    assert.equal(asked.length, 2);
    for (const { request } of asked.splice(0)) courier.committed(request);
    assert.deepEqual([...courier.cursors(5)], [0, 5]);
    let isTold = false;
    courier.told(idOf(1), () => {
      isTold = true;
    });
    assert.ok(isTold);
  });

  it('a walk of the journal that outlives its reign changes nothing, also not in the next one', async () => {
    const [courier] = courierOf([]);
    const waiting: ((entries: StateEntry[]) => void)[] = [];
    const range = (): Promise<StateEntry[]> => new Promise((resolve) => waiting.push(resolve));
    const walk = (): Promise<void> => resumeCourier({ range } as unknown as StateStore, 0, courier);
    const answered = async (): Promise<void> => {
      while (waiting.length > 0) {
        waiting.shift()?.([]);
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    courier.activate([]);
    const old = walk();
    courier.stop();
    courier.activate([]);
    await answered();
    await old;
    // Nothing was walked for this reign: its cursors may not move.
    assert.deepEqual([...courier.cursors(5)], [0, 0]);
    const own = walk();
    await answered();
    await own;
    assert.deepEqual([...courier.cursors(5)], [5, 5]);
  });

  it('who asks what a user was told waits for what is owed to that user now, and for nothing else', () => {
    const asked: Asked[] = [];
    const [courier] = courierOf(asked);
    courier.activate([]);
    courier.complete();
    const said: string[] = [];
    courier.told(idOf(2), () => said.push('nothing owed'));
    for (const [index, user] of [2, 4, 2].entries()) courier.changed(change(index + 1, user));
    courier.told(idOf(2), () => said.push('both'));
    courier.told(idOf(6), () => said.push('another'));
    courier.changed(change(4, 2));
    const request = (i: number): number => asked[i]?.request ?? 0;
    // Out of order, as after a refusal.
    courier.committed(request(2));
    assert.deepEqual(said, ['nothing owed', 'another']);
    courier.committed(request(0));
    courier.committed(request(3));
    assert.deepEqual(said, ['nothing owed', 'another', 'both']);
    courier.changed(change(5, 2));
    courier.told(idOf(2), () => said.push('led no more'));
    courier.stop();
    assert.equal(said.at(-1), 'led no more');
  });

  it('has a bounded number under way to each destination', () => {
    const asked: Asked[] = [];
    const [courier] = courierOf(asked);
    courier.activate([]);
    courier.complete();
    for (let index = 1; index <= COURIER_WINDOW + 50; index++) courier.changed(change(index, 2));
    assert.equal(asked.length, COURIER_WINDOW);
    for (const { request } of asked.slice(0, 20)) courier.committed(request);
    assert.equal(asked.length, COURIER_WINDOW + 20);
  });

  it('who does not lead owes nothing', () => {
    const asked: Asked[] = [];
    const [courier] = courierOf(asked);
    courier.changed(change(1, 1));
    assert.equal(courier.owed, 0);
    courier.activate([change(1, 1)]);
    courier.stop();
    assert.equal(courier.owed, 0);
    assert.deepEqual([...courier.cursors(5)], [0, 0]);
  });
});
