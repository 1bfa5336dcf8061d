import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import {
  type ConnectionEffect,
  type ConnectionEvent,
  ConnectionMachine,
} from './connection-machine.ts';
import { ANA, BO, say, World } from '../test/world.ts';

/** Feeds events at chosen times; answers what the machine did. */
class Script {
  readonly machine = new ConnectionMachine();
  nowMs = 0;
  chance = 0.5;

  step(event: ConnectionEvent): readonly ConnectionEffect[] {
    return this.machine.step(event, {
      nowMs: 1_000_000 + this.nowMs,
      monotonicMs: this.nowMs,
      chance: this.chance,
    });
  }

  live(): void {
    this.step({ is: 'start' });
    this.step({ is: 'credential', token: 't', expiresInMs: 600_000 });
    this.step({ is: 'opened' });
    this.step({ is: 'ready', baseMs: 500, maxMs: 30_000 });
    this.step({ is: 'caught-up' });
    assert.equal(this.machine.phase, 'live');
  }
}

function retryMs(effects: readonly ConnectionEffect[]): number | undefined {
  for (const effect of effects)
    if (effect.is === 'timer' && effect.name === 'retry') return effect.ms;
  return undefined;
}

function kinds(effects: readonly ConnectionEffect[]): string[] {
  return effects.filter((e) => e.is !== 'timer' && e.is !== 'clear').map((e) => e.is);
}

describe('connection machine', () => {
  it('asks for a credential, opens, greets, is ready, catches up, is live', () => {
    const script = new Script();
    assert.deepEqual(kinds(script.step({ is: 'start' })), ['credential']);
    assert.equal(script.machine.phase, 'connecting');
    const credential = { is: 'credential' as const, token: 't', expiresInMs: 60_000 };
    assert.deepEqual(kinds(script.step(credential)), ['open']);
    assert.deepEqual(script.step({ is: 'opened' }), [{ is: 'hello', token: 't' }]);
    script.step({ is: 'ready', baseMs: 500, maxMs: 30_000 });
    assert.equal(script.machine.phase, 'catching-up');
    script.step({ is: 'caught-up' });
    assert.equal(script.machine.phase, 'live');
  });

  it('waits random(0, min(max, base·2^n)) before each try, from the start again once it lasted (S16)', () => {
    const script = new Script();
    script.live();
    script.chance = 0.999;
    const waits: number[] = [];
    for (let i = 0; i < 9; i++) {
      const ms = retryMs(script.step({ is: 'closed', code: 1006, reason: '' }));
      waits.push(Math.round((ms ?? -1) / 0.999));
      script.nowMs += ms ?? 0;
      assert.equal(script.machine.phase, 'offline');
      script.step({ is: 'timer', name: 'retry' });
    }
    assert.deepEqual(waits, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
    script.step({ is: 'opened' });
    script.step({ is: 'ready', baseMs: 500, maxMs: 30_000 });
    script.step({ is: 'timer', name: 'stable' });
    assert.equal(
      Math.round((retryMs(script.step({ is: 'closed', code: 1006, reason: '' })) ?? 0) / 0.999),
      500,
    );
  });

  it('a server that accepts and falls at once is not asked faster and faster', () => {
    const script = new Script();
    script.live();
    script.chance = 0.999;
    let last = 0;
    for (let i = 0; i < 5; i++) {
      const ms = retryMs(script.step({ is: 'closed', code: 1011, reason: '' })) ?? 0;
      assert.ok(ms > last);
      last = ms;
      script.nowMs += ms;
      script.step({ is: 'timer', name: 'retry' });
      script.step({ is: 'opened' });
      script.step({ is: 'ready', baseMs: 500, maxMs: 30_000 });
    }
  });

  it('retryAfterMs is the least it waits, also when the network comes back (S16)', () => {
    const script = new Script();
    script.step({ is: 'start' });
    script.step({ is: 'credential', token: 't', expiresInMs: 600_000 });
    script.step({ is: 'opened' });
    const ms = retryMs(script.step({ is: 'refused', reason: 'OVERLOADED', retryAfterMs: 9_000 }));
    assert.equal(ms, 9_000);
    script.nowMs = 2_000;
    const nudged = retryMs(script.step({ is: 'signal', signal: 'online' })) ?? 0;
    assert.ok(nudged >= 7_000 && nudged <= 8_000);
  });

  it('online and focus retry within a second (S16)', () => {
    const script = new Script();
    script.live();
    script.chance = 0.9;
    for (let i = 0; i < 8; i++) {
      const ms = retryMs(script.step({ is: 'closed', code: 1006, reason: '' })) ?? 0;
      script.nowMs += ms;
      script.step({ is: 'timer', name: 'retry' });
    }
    script.step({ is: 'closed', code: 1006, reason: '' });
    for (const signal of ['online', 'wake'] as const) {
      const ms = retryMs(script.step({ is: 'signal', signal })) ?? Number.POSITIVE_INFINITY;
      assert.ok(ms <= 1_000);
    }
  });

  it('30 s without a frame: ping, then 5 s; after sleep or focus 3 s (S16, CLIENT §4 14)', () => {
    const script = new Script();
    script.live();
    assert.ok(
      script
        .step({ is: 'heard' })
        .some((e) => e.is === 'timer' && e.name === 'silence' && e.ms === 30_000),
    );
    script.nowMs = 30_000;
    const pinged = script.step({ is: 'timer', name: 'silence' });
    assert.deepEqual(kinds(pinged), ['ping']);
    assert.ok(pinged.some((e) => e.is === 'timer' && e.name === 'pong' && e.ms === 5_000));
    assert.ok(script.step({ is: 'heard' }).some((e) => e.is === 'clear' && e.name === 'pong'));
    // The timer came 20 s late: the machine slept.
    script.nowMs += 50_000;
    const late = script.step({ is: 'timer', name: 'silence' });
    assert.ok(late.some((e) => e.is === 'timer' && e.name === 'pong' && e.ms === 3_000));
    const focused = script.step({ is: 'signal', signal: 'wake' });
    assert.ok(focused.some((e) => e.is === 'timer' && e.name === 'pong' && e.ms === 3_000));
    assert.deepEqual(kinds(script.step({ is: 'timer', name: 'pong' })), ['close']);
    assert.equal(script.machine.phase, 'offline');
    assert.equal(script.machine.reason, 'PING_TIMEOUT');
  });

  it('no ready in 4 s: the attempt is given up (S15)', () => {
    const script = new Script();
    script.step({ is: 'start' });
    const opened = script.step({ is: 'credential', token: 't', expiresInMs: 600_000 });
    assert.ok(opened.some((e) => e.is === 'timer' && e.name === 'ready' && e.ms === 4_000));
    assert.deepEqual(kinds(script.step({ is: 'timer', name: 'ready' })), ['close']);
    assert.equal(script.machine.phase, 'offline');
  });

  it('a credential in force is used for every reconnect, never asked for (S17)', () => {
    const script = new Script();
    script.live();
    for (let i = 0; i < 5; i++) {
      script.step({ is: 'closed', code: 1006, reason: '' });
      assert.deepEqual(kinds(script.step({ is: 'timer', name: 'retry' })), ['open']);
    }
  });

  it('one that ended is not used, one handed over expired is refused here (S17)', () => {
    const script = new Script();
    script.live();
    script.step({ is: 'closed', code: 1006, reason: '' });
    script.nowMs = 700_000;
    assert.deepEqual(
      script.step({ is: 'timer', name: 'retry' }).filter((e) => e.is === 'credential'),
      [{ is: 'credential', why: 'expiring' }],
    );
    const expired = script.step({ is: 'credential', token: 'old', expiresInMs: 0 });
    assert.ok(!kinds(expired).includes('open'));
    assert.equal(script.machine.reason, 'TOKEN_EXPIRED');
    assert.ok((retryMs(expired) ?? -1) >= 0);
  });

  it('the warning asks once, and the answer goes in the connection (S17)', () => {
    const script = new Script();
    script.live();
    assert.deepEqual(script.step({ is: 'expiring' }), [{ is: 'credential', why: 'expiring' }]);
    assert.deepEqual(script.step({ is: 'expiring' }), []);
    assert.deepEqual(kinds(script.step({ is: 'credential', token: 'u', expiresInMs: 600_000 })), [
      'auth',
    ]);
    assert.equal(script.machine.phase, 'live');
  });

  it('refused: asks at once; refused again: waits, and gives up only on TOKEN_INVALID (S17, CONTRACT §9 22)', () => {
    const script = new Script();
    script.live();
    assert.deepEqual(kinds(script.step({ is: 'closed', code: 4005, reason: 'TOKEN_EXPIRED' })), [
      'credential',
    ]);
    script.step({ is: 'credential', token: 'u', expiresInMs: 600_000 });
    script.step({ is: 'opened' });
    const again = script.step({ is: 'refused', reason: 'TOKEN_EXPIRED', retryAfterMs: 0 });
    assert.ok(retryMs(again) !== undefined);
    script.step({ is: 'timer', name: 'retry' });
    script.step({ is: 'credential', token: 'v', expiresInMs: 600_000 });
    script.step({ is: 'opened' });
    const over = script.step({ is: 'refused', reason: 'TOKEN_INVALID', retryAfterMs: 0 });
    assert.ok(kinds(over).includes('signed-out'));
    assert.equal(script.machine.phase, 'stopped');
  });

  it('a credential that cannot be had now is asked for later, one that is over signs out (S17)', () => {
    const script = new Script();
    script.step({ is: 'start' });
    const failed = script.step({
      is: 'credential-failed',
      reason: 'BACKEND_UNAVAILABLE',
      retryAfterMs: 0,
    });
    assert.ok(retryMs(failed) !== undefined);
    script.step({ is: 'timer', name: 'retry' });
    const over = script.step({
      is: 'credential-failed',
      reason: 'SESSION_REVOKED',
      retryAfterMs: 0,
    });
    assert.deepEqual(kinds(over), ['signed-out']);
  });

  it('close codes: 4500-4999 never reconnect, REPLACED follows, all others do (CONTRACT §3, §8)', () => {
    for (const [code, kind] of [
      [4500, undefined],
      [4502, 'signed-out'],
      [4503, 'signed-out'],
      [4505, 'replaced'],
      [4509, undefined],
      [4777, undefined],
    ] as const) {
      const script = new Script();
      script.live();
      const effects = script.step({ is: 'closed', code, reason: '' });
      assert.equal(retryMs(effects), undefined, String(code));
      assert.equal(script.machine.phase, 'stopped');
      if (kind !== undefined) assert.ok(kinds(effects).includes(kind));
    }
    for (const code of [1000, 1006, 1011, 4000, 4001, 4002, 4003, 4004, 4007, 4008, 4009, 4400]) {
      const script = new Script();
      script.live();
      assert.notEqual(
        retryMs(script.step({ is: 'closed', code, reason: '' })),
        undefined,
        String(code),
      );
    }
  });

  it('drain: connects anew within the time given (CONTRACT §9 31)', () => {
    const script = new Script();
    script.live();
    script.chance = 0.5;
    const effects = script.step({ is: 'drain', reconnectAfterMs: 4_000 });
    assert.deepEqual(effects, [{ is: 'timer', name: 'drain', ms: 2_000 }]);
    assert.deepEqual(kinds(script.step({ is: 'timer', name: 'drain' })), ['close', 'open']);
  });

  it('stop clears every timer and closes (S18)', () => {
    const script = new Script();
    script.live();
    const effects = script.step({ is: 'stop' });
    assert.equal(effects.filter((e) => e.is === 'clear').length, 7);
    assert.deepEqual(kinds(effects), ['close']);
  });
});

describe('connection', () => {
  it('200 clients after 60 s of a server away: no second has more than 10 % of the attempts (CLIENT §4 15)', () => {
    const attempts = new Map<number, number>();
    let total = 0;
    for (let n = 0; n < 200; n++) {
      const script = new Script();
      let seed = n + 1;
      const chance = (): number => {
        seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
        return seed / 2_147_483_648;
      };
      for (let i = 0; i < 5; i++) chance();
      script.live();
      script.chance = chance();
      let ms = retryMs(script.step({ is: 'closed', code: 1006, reason: '' })) ?? 0;
      while (script.nowMs + ms < 60_000) {
        script.nowMs += ms;
        script.chance = chance();
        script.step({ is: 'timer', name: 'retry' });
        const second = Math.floor(script.nowMs / 1000);
        attempts.set(second, (attempts.get(second) ?? 0) + 1);
        total += 1;
        ms = retryMs(script.step({ is: 'closed', code: 1006, reason: '' })) ?? 0;
      }
      script.nowMs += ms;
      const second = Math.floor(script.nowMs / 1000);
      attempts.set(second, (attempts.get(second) ?? 0) + 1);
      total += 1;
    }
    // The first second is the fall itself, which all notice at once.
    const later = [...attempts].filter(([second]) => second >= 2).map(([, count]) => count);
    assert.ok(Math.max(...later) <= total * 0.1, `${Math.max(...later)} of ${total}`);
  });

  it('an expiring token is renewed inside the connection, once, and nobody is signed out (CLIENT §4 10)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    const before = world.server.attempts;
    for (let i = 0; i < 5; i++) {
      world.server.toUser(ANA, { auth: { expiresInMs: 60_000 } });
      await world.advance(1_000);
    }
    const [connection] = world.server.of(ANA);
    assert.equal(connection?.heard.filter((frame) => frame.auth !== undefined).length, 5);
    assert.equal(world.server.attempts, before);
    assert.equal(ana.client.connection.get().phase, 'live');
  });

  it('a session revoked: signed out with the reason; the same user finds draft and outbox (CLIENT §4 11, CONTRACT §9 32)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    const out: string[] = [];
    ana.client.on('signedOut', ({ reason }) => out.push(reason));
    world.server.onRequest = (frame) =>
      frame.send === undefined
        ? undefined
        : { error: { reason: 'OVERLOADED', retryAfterMs: 9_000 } };
    ana.client.direct(BO).send(say('queued'));
    ana.client.direct(BO).draft.set({ text: 'half a thou' });
    await world.advance(500);
    for (const connection of world.server.of(ANA)) connection.cut(4502, 'SESSION_REVOKED');
    await world.advance(500);
    assert.deepEqual(out, ['SESSION_REVOKED']);
    assert.equal(ana.client.connection.get().phase, 'stopped');
    assert.equal(ana.client.connection.get().reason, 'SESSION_REVOKED');
    await ana.client.signOut(false);
    world.server.onRequest = () => undefined;
    const again = await world.started(ANA, { store: ana.store });
    assert.equal(again.client.direct(BO).draft.get().text, 'half a thou');
    assert.equal(world.server.direct(ANA, BO).head, 1);
    assert.equal(again.client.conversations({ filter: 'all' }).get().rows[0]?.draft, 'half a thou');
  });

  it('a credential of another account never touches this one’s data', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    ana.client.direct(BO).draft.set({ text: 'private' });
    await world.advance(500);
    await ana.client.stop();
    const bo = world.phone(BO, { store: ana.store });
    await bo.client.start();
    await world.advance(500);
    assert.equal(bo.client.connection.get().reason, 'SENDER_MISMATCH');
    assert.equal(world.server.of(BO).length, 0);
  });

  it('stop leaves no timer, listener or socket (S18)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    const chat = ana.client.direct(BO);
    chat.timeline();
    chat.draft.set({ text: 'typing' });
    chat.send(say('x'));
    ana.client.conversations({ filter: 'all' });
    await ana.client.stop();
    assert.equal(ana.host.timerCount, 0);
    assert.equal(ana.host.listenerCount, 0);
    assert.equal(world.server.of(ANA).length, 0);
    assert.equal(ana.client.connection.get().phase, 'stopped');
  });

  it('stopped while offline and backing off leaves no timer either (S18)', async () => {
    const world = new World();
    world.server.isUp = false;
    const ana = await world.started(ANA);
    ana.client.direct(BO).send(say('x'));
    await world.advance(20_000);
    await ana.client.stop();
    assert.equal(ana.host.timerCount, 0);
    const attempts = world.server.attempts;
    await world.advance(60_000);
    assert.equal(world.server.attempts, attempts);
  });

  it('stopped while it starts it never runs (S18)', async () => {
    const world = new World();
    const seeded = await world.started(ANA);
    await seeded.client.stop();
    const before = world.server.attempts;
    for (const store of [undefined, seeded.store]) {
      const phone = world.phone(ANA, store === undefined ? {} : { store });
      const starting = phone.client.start();
      await phone.client.stop();
      await starting;
      await world.advance(5_000);
      assert.equal(phone.host.timerCount, 0);
      assert.equal(phone.client.connection.get().phase, 'stopped');
    }
    assert.equal(world.server.attempts, before);
  });

  it('started again after a stop it goes on where it was', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    ana.client.direct(BO).send(say('one'));
    await world.advance(300);
    await ana.client.stop();
    await ana.client.start();
    await world.advance(1_000);
    assert.equal(ana.client.connection.get().phase, 'live');
    ana.client.direct(BO).send(say('two'));
    await world.advance(300);
    assert.equal(world.server.direct(ANA, BO).head, 2);
  });
});
