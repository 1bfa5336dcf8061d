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
  keptAround,
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
  readonly givenBack: Slab[] = [];
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
  giveBack(slab: Slab): void {
    this.givenBack.push(slab);
  }
  slab(slab: Slab): void {
    this.#events?.slab(slab);
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

/** A slab with these answers, as the store sends it. */
function answers(...payloads: readonly (readonly [request: number, bytes: number])[]): Slab {
  let shipped: Slab | undefined;
  const writer = new SlabWriter(
    (slab) => (shipped = slab),
    () => undefined,
  );
  for (const [request, bytes] of payloads)
    writer.write({ kind: RECORD.result, request }, new Uint8Array(bytes).fill(request));
  writer.flush();
  assert.ok(shipped !== undefined);
  return shipped;
}

function bytesOf([outcome]: readonly (QueryAnswer | ParleyError)[]): Uint8Array {
  assert.ok(outcome !== undefined && !(outcome instanceof ParleyError));
  return outcome.bytes;
}

describe('store link', () => {
  it('a slab goes back when all large answers in it were made frames of and sent, once', () => {
    const house = new House();
    const [first, second, small] = [house.query(), house.query(), house.query()];
    const slab = answers([1, 20_000], [2, 20_000], [3, 100]);
    house.last.slab(slab);
    const whole = [first, second].map((outcome) => bytesOf(outcome));
    const [one, two] = whole.map((bytes) => keptAround(bytes, 20));
    assert.ok(one !== undefined && two !== undefined);
    house.link.spent(one);
    house.link.spent(one);
    // What it was made around is nobody's any more, what was copied never was kept.
    for (const bytes of [...whole, bytesOf(small)]) house.link.spent(bytes);
    assert.deepEqual(house.last.givenBack, []);
    house.link.spent(two);
    assert.deepEqual(house.last.givenBack, [slab]);
    assert.deepEqual(bytesOf(small), new Uint8Array(100).fill(3));
  });
  it('a slab that is being read goes nowhere, even if what was kept of it is sent meanwhile', () => {
    const house = new House();
    const seen: number[] = [];
    const question = { number: 5, key: KEY, user: CALLER, device: CALLER };
    house.link.query(question, new Uint8Array(0), (outcome) => {
      assert.ok(!(outcome instanceof ParleyError));
      house.link.spent(keptAround(outcome.bytes, 20) ?? outcome.bytes);
      seen.push(house.last.givenBack.length);
    });
    const behind = house.query();
    house.last.slab(answers([1, 20_000], [2, 100]));
    assert.deepEqual(seen, [0]);
    // Not for requests of this side: a view of it that somebody forgot would read them.
    assert.equal(house.last.givenBack.length, 1);
    assert.equal(bytesOf(behind).length, 100);
  });
  it('slabs that arrive serve again here; beyond those that this side needs they go back', () => {
    const house = new House();
    const sent = Array.from({ length: 70 }, () => answers([99, 8]));
    for (const slab of sent) house.last.slab(slab);
    assert.deepEqual(house.last.givenBack, sent.slice(64));
  });
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
