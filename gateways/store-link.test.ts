import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { COMMAND_KIND } from '../core/command.ts';
import { encodeCommand } from '../core/command-codec.ts';
import { ParleyError } from '../core/errors.ts';
import { newRawId } from '../core/ids.ts';
import { encodeError } from '../core/link-payload.ts';
import type { Link, LinkEvents } from '../core/link.ts';
import { SILENT } from '../core/observe.ts';
import {
  eachRecord,
  kindAt,
  payloadAt,
  RECORD,
  requestAt,
  SlabWriter,
  type Slab,
} from '../core/record.ts';
import type { Commit } from './session/caller.ts';
import { StoreLink, type QueryAnswer } from './store-link.ts';
import { VirtualTime } from './testing/virtual-time.ts';

/** A Link whose other end is the test. */
class HandLink implements Link {
  isWritable = true;
  bytesUnderWay = 0;
  readonly received: { kind: number; request: number; first: number }[] = [];
  #events: LinkEvents | undefined;

  listen(events: LinkEvents): void {
    this.#events = events;
  }
  send(slab: Slab): void {
    eachRecord(slab, (at) =>
      this.received.push({
        kind: kindAt(slab, at),
        request: requestAt(slab, at),
        first: payloadAt(slab, at)[15] ?? 0,
      }),
    );
  }
  close(reason?: ParleyError): void {
    this.#events?.closed(reason);
  }
  answer(request: number, error?: ParleyError): void {
    const writer = new SlabWriter(
      (slab) => this.#events?.slab(slab),
      () => undefined,
    );
    if (error === undefined)
      writer.write({ kind: RECORD.commit, request, position: 7 }, new Uint8Array(24));
    else writer.write({ kind: RECORD.error, request }, encodeError(error));
    writer.flush();
  }
}

class House {
  readonly time = new VirtualTime();
  readonly links: HandLink[] = [];
  readonly connects: boolean[] = [];
  readonly link: StoreLink;
  isReachable = true;

  constructor() {
    this.link = new StoreLink({
      connect: () => {
        if (!this.isReachable) throw new ParleyError('SHARD_UNAVAILABLE', 'no store');
        const link = new HandLink();
        this.links.push(link);
        return link;
      },
      clock: this.time,
      timers: this.time,
      log: SILENT,
      pushed: () => undefined,
      slabDone: () => undefined,
      connected: (isFirst) => this.connects.push(isFirst),
    });
    this.link.start();
  }

  get last(): HandLink {
    const link = this.links.at(-1);
    assert.ok(link !== undefined);
    return link;
  }

  commands(): number[] {
    return this.last.received
      .filter(({ kind }) => kind === RECORD.command)
      .map(({ request }) => request);
  }

  command(key: Uint8Array = KEY): (Commit | ParleyError)[] {
    const outcomes: (Commit | ParleyError)[] = [];
    const bytes = encodeCommand({
      kind: COMMAND_KIND.closeConversation,
      timeMs: 0,
      key,
      caller: CALLER,
    });
    this.link.command(bytes, (outcome) => outcomes.push(outcome));
    this.time.settle();
    return outcomes;
  }

  query(): (QueryAnswer | ParleyError)[] {
    const outcomes: (QueryAnswer | ParleyError)[] = [];
    this.link.query(
      { number: 5, key: KEY, user: CALLER, device: CALLER },
      new Uint8Array(0),
      (outcome) => outcomes.push(outcome),
    );
    this.time.settle();
    return outcomes;
  }
}

const KEY = newRawId(1);
const CALLER = newRawId(2);

function reasonOf(outcomes: readonly unknown[]): string {
  assert.equal(outcomes.length, 1);
  const [outcome] = outcomes;
  return outcome instanceof ParleyError ? outcome.reason : 'commit';
}

describe('store link', () => {
  it('a passing refusal is tried again until it is answered; a final one is not', () => {
    const house = new House();
    const outcomes = house.command();
    house.last.answer(1, new ParleyError('NOT_LEADER', 'not here'));
    assert.deepEqual(outcomes, []);
    house.time.pass(60);
    assert.deepEqual(house.commands(), [1, 1]);
    house.last.answer(1);
    assert.equal(reasonOf(outcomes), 'commit');
    const refused = house.command();
    house.last.answer(2, new ParleyError('BLOCKED', 'no'));
    assert.equal(reasonOf(refused), 'BLOCKED');
  });
  it('what follows a retried command of the same caller and conversation is retried behind it, in order', () => {
    const house = new House();
    const first = house.command();
    const second = house.command();
    const elsewhere = house.command(newRawId(9));
    house.last.answer(1, new ParleyError('SHARD_UNAVAILABLE', 'away'));
    house.last.answer(2, new ParleyError('OUT_OF_ORDER', 'no'));
    house.last.answer(3, new ParleyError('OUT_OF_ORDER', 'no'));
    assert.equal(reasonOf(elsewhere), 'OUT_OF_ORDER');
    house.time.pass(60);
    assert.deepEqual(house.commands(), [1, 2, 3, 1, 2]);
    house.last.answer(1);
    house.last.answer(2);
    assert.deepEqual([reasonOf(first), reasonOf(second)], ['commit', 'commit']);
  });
  it('unanswered for 10 s a command is COMMIT_UNKNOWN, a read DEADLINE, without a store SHARD_UNAVAILABLE', () => {
    const house = new House();
    const command = house.command();
    const query = house.query();
    house.time.pass(9900);
    assert.deepEqual([command, query], [[], []]);
    house.time.pass(500);
    assert.deepEqual([reasonOf(command), reasonOf(query)], ['COMMIT_UNKNOWN', 'DEADLINE']);
    house.isReachable = false;
    house.last.close();
    const lost = house.query();
    house.time.pass(10_500);
    assert.equal(reasonOf(lost), 'SHARD_UNAVAILABLE');
    house.last.answer(1);
    assert.equal(command.length, 1, 'a late answer answers nothing twice');
  });
  it('a new Link gets the routes first, then everything unanswered in its order', () => {
    const house = new House();
    const first = house.command();
    const second = house.command();
    house.last.close(new ParleyError('SHARD_UNAVAILABLE', 'gone'));
    const third = house.command();
    house.time.pass(100);
    assert.deepEqual(house.connects, [true, false]);
    assert.deepEqual(house.commands(), [1, 2, 3]);
    for (const request of [1, 2, 3]) house.last.answer(request);
    assert.deepEqual([first, second, third].map(reasonOf), ['commit', 'commit', 'commit']);
  });
  it('a Link without credit refuses writes with OVERLOADED, a stopped one with DRAINING', () => {
    const house = new House();
    house.last.isWritable = false;
    assert.equal(reasonOf(house.command()), 'OVERLOADED');
    assert.equal(reasonOf(house.query()), 'OVERLOADED');
    // A Link that is given more than its queue holds closes: what nobody waits for is not given to it.
    const before = house.last.received.length;
    house.link.typing(KEY, CALLER, true);
    house.link.tell(
      encodeCommand({
        kind: COMMAND_KIND.mark,
        timeMs: 0,
        key: KEY,
        caller: CALLER,
        deliveredThrough: 1,
        readThrough: 0,
      }),
    );
    house.time.settle();
    assert.equal(house.last.received.length, before);
    house.last.isWritable = true;
    const waiting = house.command();
    house.link.stop();
    assert.equal(reasonOf(waiting), 'DRAINING');
    assert.equal(reasonOf(house.command()), 'DRAINING');
    assert.equal(reasonOf(house.query()), 'DRAINING');
  });
});
