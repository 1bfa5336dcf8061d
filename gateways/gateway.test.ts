import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { afterEach, describe, it } from 'mocha';
import { ParleyError } from '../core/errors.ts';
import { encodeId } from '../core/ids.ts';
import { codecOf } from '../proto/codec.ts';
import { ClientFrameSchema } from '../proto/gen/parley/client/v1/session_pb.ts';
import { encodeSyncToken } from './session/sync-token.ts';
import { newConversationRaw } from './testing/new-conversation.ts';
import { TINY_EPOCH } from './testing/tiny-views.ts';
import { runGateway, type RunningGateway } from './testing/running-gateway.ts';
import type { Person } from './testing/tiny-identity.ts';
import type { Socket, SocketEvents } from './websocket/socket.ts';
import { delimited, type Batch, type Format } from './wire.ts';

const frames = codecOf(ClientFrameSchema);

/** A socket in memory that takes as much as the test wants. */
class MemorySocket implements Socket {
  readonly format: Format;
  readonly address = 'test';
  readonly batches: Buffer[] = [];
  bufferedBytes = 0;
  code = 0;
  isStalled = false;
  events!: SocketEvents;

  constructor(format: Format) {
    this.format = format;
  }
  send(batch: Batch): void {
    const payload = batch.payload();
    this.batches.push(payload);
    if (this.isStalled) this.bufferedBytes += payload.length;
  }
  close(code: number): void {
    this.code = code;
  }
  tell(frame: object): void {
    const data =
      this.format === 'json'
        ? Buffer.from(JSON.stringify(frame))
        : delimited(frames.encode(frames.fromJson(frame)));
    this.events.message(data, this.format === 'json');
  }
}

let running: RunningGateway;

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

async function until(what: () => boolean): Promise<void> {
  for (let i = 0; i < 2000 && !what(); i++) await turn();
  assert.ok(what(), 'it did not come to pass');
}

async function connect(person: Person, format: Format = 'json'): Promise<MemorySocket> {
  const socket = new MemorySocket(format);
  socket.events = running.gateway.accept(socket, undefined);
  socket.tell({ id: 1, hello: { token: person.token } });
  await until(() => socket.batches.length > 0);
  return socket;
}

/** A call for a page of messages that is larger than these tests let a socket hold. */
async function history(person: Person): Promise<object> {
  const writer = await connect(person);
  const to = `direct:${running.identity.person('peer').userId}`;
  for (let i = 0; i < 3; i++) writer.tell(sendTo(to, 'x'.repeat(8000), 5 + i));
  await until(() => writer.batches.join('').includes('"id":7,"commit"'));
  writer.events.closed();
  return { call: { method: 'Messages.List', request: { conversationId: to } } };
}

function sendTo(to: string, body: string, id = 5): object {
  return { id, send: { to, clientMessageId: randomUUID(), body: { message: { text: { body } } } } };
}

describe('gateway', () => {
  afterEach(() => running.gateway.stop());

  it('an answer that cannot be read is refused to who asked, and his connection goes on', async () => {
    running = runGateway();
    const ann = await connect(running.identity.person('ann'));
    ann.tell(sendTo(`direct:${running.identity.person('bob').userId}`, 'hi'));
    await until(() => ann.batches.join('').includes('"id":5,"commit"'));
    running.broker.reads.isBroken = true;
    ann.tell({ id: 6, call: { method: 'Sync.ListConversations', request: {} } });
    await until(() => ann.batches.join('').includes('"id":6'));
    assert.match(ann.batches.join(''), /"id":6,"error":\{[^}]*"reason":"INVARIANT"/);
    running.broker.reads.isBroken = false;
    ann.tell({ id: 7, call: { method: 'Sync.ListConversations', request: {} } });
    await until(() => ann.batches.join('').includes('"id":7,"result"'));
    assert.equal(ann.code, 0);
  });

  it('encodes a row once a format and hands the same bytes to every socket', async () => {
    running = runGateway();
    const people = Array.from({ length: 20 }, (_, i) => running.identity.person(`u${i}`));
    const group = newConversationRaw();
    running.broker.seedGroup(
      group,
      people.map(({ user }) => user),
    );
    const sockets = await Promise.all(
      people.map((person, i) => connect(person, i % 2 === 0 ? 'json' : 'proto')),
    );
    const before = sockets.map((socket) => socket.batches.length);
    for (let i = 0; i < 5; i++) sockets[0]?.tell(sendTo(encodeId('cnv', group), `m${i}`, 5 + i));
    await until(() => sockets.every((socket, i) => socket.batches.length > (before[i] ?? 0)));
    await turn();
    const last = sockets.map((socket) => socket.batches.at(-1));
    for (const [i, bytes] of last.entries())
      if (i > 1) assert.equal(bytes, last[i % 2 === 0 ? 2 : 1]);
    const rows = JSON.parse(String(last[2])) as object[];
    assert.equal(rows.length, 5, 'five rows in one WebSocket message');
  });

  it('a long resume goes out page by page, before the next page is there', async () => {
    running = runGateway();
    const ann = running.identity.person('ann');
    for (let i = 0; i < 120; i++) running.broker.seedGroup(newConversationRaw(), [ann.user]);
    const position = { accountSequence: 0, indexes: [] };
    const syncToken = encodeSyncToken(
      { epoch: TINY_EPOCH, timeMs: Date.now(), position },
      ann.user,
    );
    const socket = new MemorySocket('json');
    socket.events = running.gateway.accept(socket, undefined);
    socket.tell({ id: 1, hello: { token: ann.token, resume: { syncToken } } });
    await until(() => String(socket.batches.at(-1)).includes('caughtUp'));
    const pages = socket.batches.filter((batch) => batch.includes('"conversations"'));
    assert.deepEqual(
      pages.map((page) => page.toString().split('"conversationId"').length - 1),
      [50, 50, 20],
    );
  });

  it('a long resume waits for a slow reader instead of sending him away', async () => {
    running = runGateway({ socketBufferSoftBytes: 4000, socketBufferHardBytes: 20_000 });
    const ann = running.identity.person('ann');
    for (let i = 0; i < 320; i++) running.broker.seedGroup(newConversationRaw(), [ann.user]);
    const position = { accountSequence: 0, indexes: [] };
    const token = { epoch: TINY_EPOCH, timeMs: Date.now(), position };
    const resume = { syncToken: encodeSyncToken(token, ann.user) };
    const socket = new MemorySocket('json');
    socket.isStalled = true;
    socket.events = running.gateway.accept(socket, undefined);
    socket.tell({ id: 1, hello: { token: ann.token, resume } });
    let rounds = 0;
    for (; rounds < 50 && !String(socket.batches.at(-1)).includes('caughtUp'); rounds++) {
      for (let turns = 0; turns < 20; turns++) await turn();
      assert.equal(socket.code, 0, 'sent away with 4002, he would begin anew for ever');
      socket.bufferedBytes = 0;
      socket.events.drained();
    }
    assert.ok(rounds > 3 && rounds < 50, String(rounds));
    const outcomes: unknown[] = [];
    const { runner } = running.gateway;
    const run = runner.run.bind(runner);
    runner.run = (routine, done, context) => {
      const told = (outcome: unknown): void => {
        outcomes.push(outcome);
        done(outcome);
      };
      run(routine, told, context);
    };
    const stalled = new MemorySocket('json');
    stalled.isStalled = true;
    stalled.events = running.gateway.accept(stalled, undefined);
    stalled.tell({
      id: 1,
      hello: { token: running.identity.deviceOf(ann.user).token, resume },
    });
    for (let turns = 0; turns < 40; turns++) await turn();
    assert.equal(running.gateway.runner.runningCount, 0, 'he takes a place from others');
    assert.equal(running.gateway.connectionCount, 2);
    stalled.events.closed();
    const [outcome] = outcomes;
    assert.ok(outcome instanceof ParleyError, 'it reads on for nobody');
    assert.deepEqual([outcome.reason, runner.runningCount], ['CANCELED', 0]);
  });

  it('a route begins with the first connection of a user and ends with the last (R056)', async () => {
    running = runGateway();
    const ann = running.identity.person('ann');
    const other = running.identity.deviceOf(ann.user);
    const [a, b] = [await connect(ann), await connect(other)];
    await until(() => running.broker.routed(ann.user));
    a.events.closed();
    await turn();
    await turn();
    assert.ok(running.broker.routed(ann.user));
    b.events.closed();
    await until(() => !running.broker.routed(ann.user));
    assert.equal(running.gateway.connectionCount, 0);
  });

  it('a half-open socket is found by its ping, and holds nothing afterwards', async () => {
    running = runGateway({ pingIntervalMs: 50, pingTimeoutMs: 50 });
    const ann = running.identity.person('ann');
    const socket = await connect(ann);
    await new Promise((resolve) => setTimeout(resolve, 450));
    assert.equal(socket.code, 4003);
    assert.equal(running.gateway.connectionCount, 0);
    await until(() => !running.broker.routed(ann.user));
  });

  it('a slow reader holds back nobody and is ended at 4 MiB (case 30)', async () => {
    running = runGateway();
    const people = ['ann', 'bob', 'cid'].map((name) => running.identity.person(name)) as [
      Person,
      Person,
      Person,
    ];
    const group = newConversationRaw();
    running.broker.seedGroup(
      group,
      people.map(({ user }) => user),
    );
    const [a, slow, c] = (await Promise.all(people.map((person) => connect(person)))) as [
      MemorySocket,
      MemorySocket,
      MemorySocket,
    ];
    slow.isStalled = true;
    const text = 'x'.repeat(7500);
    for (let i = 0; i < 200; i++) {
      a.tell(sendTo(encodeId('cnv', group), text, 10 + i));
      await turn();
    }
    await until(() => c.batches.join('').split('"sequence":').length > 200);
    assert.ok(slow.bufferedBytes < 1024 * 1024 + 200_000, String(slow.bufferedBytes));
    slow.bufferedBytes = 0;
    slow.events.drained();
    await turn();
    await turn();
    assert.match(String(slow.batches.at(-1)), /"gap":\{"scope":"conversation"/);
    slow.bufferedBytes = 5 * 1024 * 1024;
    slow.events.drained();
    assert.equal(slow.code, 4002);
  });

  it('a device that is sent away for reading too slowly takes no row from the other devices of its user', async () => {
    running = runGateway();
    const ann = running.identity.person('ann');
    const phone = await connect(ann);
    const others = [
      await connect(running.identity.deviceOf(ann.user)),
      await connect(running.identity.deviceOf(ann.user)),
    ];
    const bob = await connect(running.identity.person('bob'));
    phone.bufferedBytes = 5 * 1024 * 1024;
    // One row fills a batch, so the slow device is found out while the row is being handed round.
    const spans = Array.from({ length: 100 }, (_, i) => ({ type: 'bold', offset: i, length: 1 }));
    const body = { message: { text: { body: 'x'.repeat(8000), entities: spans } } };
    for (let i = 0; i < 30; i++)
      bob.tell({
        id: 5 + i,
        send: { to: `direct:${ann.userId}`, clientMessageId: randomUUID(), body },
      });
    await until(() => phone.code === 4002);
    await until(() => bob.batches.join('').split('"commit"').length === 31);
    await turn();
    for (const other of others)
      assert.equal(other.batches.join('').split('{"rows":').length - 1, 30);
  });

  it('a fault in what one connection asked for ends that connection with 4000 and nothing else', async () => {
    running = runGateway();
    const { gateway, identity } = running;
    const [ann, bob] = [
      await connect(identity.person('ann')),
      await connect(identity.person('bob')),
    ];
    const run = gateway.runner.run.bind(gateway.runner);
    gateway.runner.run = () => {
      throw new TypeError('a fault');
    };
    ann.tell({ id: 7, call: { method: 'Sync.ListConversations', request: {} } });
    gateway.runner.run = run;
    assert.equal(ann.code, 4000);
    assert.equal(gateway.connectionCount, 1);
    bob.tell({ id: 9, ping: {} });
    await until(() => String(bob.batches.at(-1)).includes('pong'));
  });

  it('sign-ins over a connection have the rate that requests over HTTP have (case 57)', async () => {
    running = runGateway({ requestRate: 10 });
    const socket = await connect(running.identity.person('ann'));
    const request = { username: 'ann', password: 'a guess at it' };
    for (let id = 10; id < 22; id++) socket.tell({ id, call: { method: 'Auth.LogIn', request } });
    await until(() => socket.batches.join('').includes('"id":21'));
    const told = socket.batches.join('');
    assert.equal(told.split('RATE_LIMITED').length - 1, 2);
    assert.match(told, /"retryAfterMs":[1-9]/);
    socket.tell({ id: 30, call: { method: 'Sync.ListConversations', request: {} } });
    await until(() => socket.batches.join('').includes('"id":30,"result"'));
  });

  it('one user has 32 calls under way at most, over all connections; the others wait their turn, nobody else does', async () => {
    running = runGateway();
    const { runner } = running.gateway;
    const waits: { readonly who: string; readonly go: () => void }[] = [];
    const begun = (who: string): number => waits.filter((one) => one.who === who).length;
    const users = running.gateway.users;
    users.unknown = (asked, done) =>
      void waits.push({ who: String(asked[0]?.[0]), go: () => done([]) });
    let ended = 0;
    const run = (who: number): void => {
      function* routine(): Generator<never[], number, never> {
        yield [{ ask: 'unknown-users', users: [Uint8Array.of(who)] }] as never;
        return 1;
      }
      const context = { address: '', caller: `usr_${who}` };
      runner.run(routine() as never, () => ended++, context);
    };
    for (let i = 0; i < 100; i++) run(1);
    run(2);
    assert.deepEqual([begun('1'), begun('2'), runner.runningCount], [32, 1, 33]);
    for (let wait = waits.shift(); wait !== undefined; wait = waits.shift()) {
      wait.go();
      assert.ok(runner.runningCount <= 33);
    }
    assert.deepEqual([ended, runner.runningCount], [101, 0]);
  });

  it('devices that stop reading hold back no other device of their user', async () => {
    running = runGateway({ socketBufferSoftBytes: 4000 });
    const ann = running.identity.person('ann');
    const list = await history(ann);
    // Each keeps as many pages waiting as it may: more together than one user has calls under way.
    for (let device = 0; device < 5; device++) {
      const stalled = await connect(running.identity.deviceOf(ann.user));
      stalled.isStalled = true;
      for (let id = 10; id < 40; id++) stalled.tell({ id, ...list });
    }
    await until(() => running.gateway.runner.runningCount === 0);
    const other = await connect(running.identity.deviceOf(ann.user));
    const told = other.batches.length;
    for (let id = 10; id < 50; id++) other.tell({ id, ...list });
    await until(() => running.gateway.runner.runningCount === 0);
    other.events.drained();
    await until(() => other.batches.slice(told).join('').includes('"id":49,"result"'));
  });

  it('a device that stops reading while pages wait for it is ended, pings or not; a slow one is not', async () => {
    let aheadMs = 0;
    const monotonicMs = (): number => performance.now() + aheadMs;
    const clock = { nowMs: () => Date.now(), monotonicMs };
    const soft = 32 * 1024;
    running = runGateway({ socketBufferSoftBytes: soft, pingTimeoutMs: 600_000 }, clock);
    const { gateway, identity } = running;
    const ann = identity.person('ann');
    const list = await history(ann);
    const begun: unknown[] = [];
    const run = gateway.runner.run.bind(gateway.runner);
    gateway.runner.run = (routine, done, context) => {
      begun.push(routine);
      run(routine, done, context);
    };
    const [slow, stalled] = [await connect(ann), await connect(identity.deviceOf(ann.user))];
    for (const socket of [slow, stalled]) {
      socket.isStalled = true;
      for (let id = 10; id < 40; id++) socket.tell({ id, ...list });
    }
    await until(() => begun.length > 16 && gateway.runner.runningCount === 0);
    const passing = async (ms: number): Promise<void> => {
      aheadMs += ms;
      // The wheel turns each 100 ms.
      await new Promise((resolve) => setTimeout(resolve, 250));
      stalled.tell({ ping: {} });
    };
    await passing(29_000);
    slow.bufferedBytes = soft / 2;
    slow.events.drained();
    await passing(100);
    assert.equal(stalled.code, 0);
    const begunBefore = begun.length;
    await passing(1000 + (1000 * stalled.bufferedBytes) / (32 * 1024));
    assert.deepEqual([stalled.code, slow.code, gateway.connectionCount], [4002, 0, 1]);
    await until(() => gateway.runner.runningCount === 0);
    assert.equal(begun.length, begunBefore, 'pages are read for nobody');
    slow.isStalled = false;
    slow.bufferedBytes = 0;
    slow.events.drained();
    await until(() => slow.batches.join('').includes('"id":39,"result"'));
  });

  it('a message whose id is a trap ends its own connection alone (case 21)', async () => {
    running = runGateway();
    const socket = new MemorySocket('json');
    socket.events = running.gateway.accept(socket, undefined);
    socket.events.message(Buffer.from('{"id":{"toString":1,"valueOf":1},"hello":{}}'), true);
    assert.equal(socket.code, 4500);
  });

  it('100,000 random frames neither end it nor make it grow', async () => {
    running = runGateway({ frameRate: 1e9, frameBurst: 1e9 });
    const people = Array.from({ length: 8 }, (_, i) => running.identity.person(`u${i}`));
    let seed = 1;
    const random = (n: number): number => {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((seed / 2 ** 32) * n);
    };
    const valid = [
      sendTo(`direct:${people[0]?.userId ?? ''}`, 'hi'),
      { id: 6, call: { method: 'Sync.ListConversations', request: { pageSize: 3 } } },
      {
        receipt: {
          delivered: [{ conversationId: encodeId('cnv', newConversationRaw()), sequence: 3 }],
        },
      },
      { focus: { conversations: [encodeId('cnv', newConversationRaw())] } },
      { typing: { conversationId: encodeId('cnv', newConversationRaw()) } },
      { id: 8, ping: {} },
    ];
    const seeds = valid.map((frame) => ({
      json: Buffer.from(JSON.stringify(frame)),
      proto: delimited(
        frames.encode(
          frames.fromJson({
            ...frame,
            ...('call' in frame ? { call: { method: 'Messages.List' } } : {}),
          }),
        ),
      ),
    }));
    for (let i = 0, sockets: MemorySocket[] = []; i < 100_000; i++) {
      const format: Format = random(2) === 0 ? 'json' : 'proto';
      if (i % 2500 === 0) {
        for (const socket of sockets) socket.events.closed();
        sockets = await Promise.all(
          people.map((person, p) => connect(person, p % 2 === 0 ? 'json' : 'proto')),
        );
      }
      const socket = sockets[random(8)];
      if (socket === undefined) continue;
      const original = (seeds[random(seeds.length)] ?? {
        json: Buffer.alloc(0),
        proto: Buffer.alloc(0),
      })[format];
      const data = Buffer.from(original);
      for (let flips = random(4); flips > 0; flips--) data[random(data.length)] = random(256);
      socket.events.message(
        random(8) === 0 ? data.subarray(0, random(data.length)) : data,
        socket.format === 'json',
      );
      if (i % 500 === 0) await turn();
      if (i % 2500 === 2499) for (const one of sockets) one.events.closed();
    }
    await turn();
    await until(() => running.gateway.runner.runningCount === 0);
    assert.equal(running.gateway.connectionCount, 0);
    const calm = await connect(running.identity.person('calm'));
    calm.tell({ id: 9, ping: {} });
    await until(() => String(calm.batches.at(-1)).includes('pong'));
    const samples = new Map(running.gateway.metrics().map((sample) => [sample.name, sample.value]));
    assert.equal(samples.get('parley_gateway_connections'), 1);
    assert.equal(samples.get('parley_gateway_pending_requests'), 0);
  }).timeout(20_000);
});
