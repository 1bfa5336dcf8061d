/**
 * Any arrival order ends alike (S7), nothing written is lost or doubled (S4, S5), over random
 * histories with lost replies, doubled pushes, gaps, late pages, cut connections and crashes.
 */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import type { Timeline } from './client-interface.ts';
import { memoryStore } from './stores/memory.ts';
import { ANA, BO, CY, messages, type Phone, say, texts, World } from '../test/world.ts';

type Step =
  | {
      readonly is:
        | 'send'
        | 'theirs'
        | 'cut'
        | 'online'
        | 'crash'
        | 'wipe'
        | 'open'
        | 'read'
        | 'late'
        | 'flush';
    }
  | {
      readonly is: 'edit' | 'delete' | 'react' | 'my-edit' | 'my-react' | 'older' | 'jump';
      readonly at: number;
    }
  | { readonly is: 'wait'; readonly ms: number }
  | { readonly is: 'fault'; readonly kind: 'lost-commit' | 'double' | 'gap' | 'none' };

/** Which message: counted from the newest, so that changes hit what is on the screen. */
const at = fc.nat({ max: 80 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom<Step>({ is: 'send' }, { is: 'theirs' }) },
  {
    weight: 3,
    arbitrary: fc.record({
      is: fc.constantFrom(
        'edit' as const,
        'delete' as const,
        'react' as const,
        'my-edit' as const,
        'my-react' as const,
        'older' as const,
        'jump' as const,
      ),
      at,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.constantFrom<Step>(
      { is: 'cut' },
      { is: 'online' },
      { is: 'crash' },
      { is: 'wipe' },
      { is: 'open' },
      { is: 'open' },
      { is: 'read' },
      { is: 'late' },
      { is: 'late' },
      { is: 'flush' },
    ),
  },
  {
    weight: 4,
    arbitrary: fc.record({ is: fc.constant('wait' as const), ms: fc.constantFrom(0, 5, 40, 400) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      is: fc.constant('fault' as const),
      kind: fc.constantFrom(
        'lost-commit' as const,
        'double' as const,
        'gap' as const,
        'none' as const,
      ),
    }),
  },
);

class Run {
  readonly world = new World();
  readonly store = memoryStore();
  readonly talk = this.world.server.direct(ANA, BO);
  readonly sent: string[] = [];
  phone!: Phone;
  #open: Timeline[] = [];
  #late: (() => void)[] = [];
  #isLate = false;
  #fault: Extract<Step, { is: 'fault' }>['kind'] = 'none';
  #starts = 0;
  readonly #cacheBytesMax: number | undefined;

  constructor(cacheBytesMax: number | undefined) {
    this.#cacheBytesMax = cacheBytesMax;
  }

  async start(): Promise<void> {
    this.#starts += 1;
    this.phone = this.world.phone(ANA, {
      store: this.store,
      deviceId: 'dev_ana',
      seed: 1_000 + this.#starts,
      cacheBytesMax: this.#cacheBytesMax,
    });
    await this.phone.client.start();
    this.world.server.onFrame = (frame, connection) => {
      const isPage =
        (frame.result as { asOf?: number; changed?: unknown } | undefined)?.asOf !== undefined;
      if (isPage && this.#isLate) {
        const copy = structuredClone(frame);
        this.#late.push(() => connection.pushRaw(copy));
        return [];
      }
      if (this.#fault === 'lost-commit' && frame.commit !== undefined) return [];
      if (frame.rows === undefined) return [frame];
      if (this.#fault === 'double') return [frame, frame];
      const item = frame.rows.items?.[0];
      if (this.#fault !== 'gap' || item?.conversationId !== this.talk.id) return [frame];
      const from = item.rows?.[0]?.sequence ?? 1;
      return [
        {
          gap: {
            scope: 'conversation',
            conversationId: this.talk.id,
            from,
            head: item.head ?? from,
            epoch: 7,
          },
        },
      ];
    };
  }

  async do(each: Step): Promise<void> {
    const { server } = this.world;
    const chat = this.phone.client.direct(BO);
    const target = 'at' in each ? this.#message(each.at) : undefined;
    switch (each.is) {
      case 'send': {
        const text = `mine ${this.sent.length}`;
        this.sent.push(text);
        chat.send(say(text));
        // What a crash may lose is what was not stored yet.
        await this.phone.host.advance(0);
        return;
      }
      case 'theirs':
        server.say(this.talk, BO, `theirs ${this.talk.head}`);
        return;
      case 'edit':
        if (target !== undefined && !this.#isDeleted(target))
          server.append(this.talk, BO, {
            edit: {
              target: { sequence: target },
              message: { text: { body: `edited ${this.talk.head}` } },
            },
          });
        return;
      case 'delete':
        if (
          target !== undefined &&
          !this.#isDeleted(target) &&
          target % 3 === 0 &&
          !this.#isMine(target)
        )
          server.append(this.talk, BO, { delete: { target: { sequence: target } } });
        return;
      case 'react':
        if (target !== undefined && !this.#isDeleted(target))
          server.append(this.talk, BO, {
            reaction: { target: { sequence: target }, emoji: `e${this.talk.head % 4}`, op: 'add' },
          });
        return;
      case 'my-edit':
      case 'my-react':
        return this.#mine(each.is, each.at);
      case 'older': {
        const timeline = chat.timeline();
        await this.phone.host.advance(0);
        timeline.more('older').catch(() => undefined);
        return;
      }
      case 'jump': {
        const [oldest] = this.#open;
        if (this.#open.length > 2) this.#open.shift();
        oldest?.close();
        // Anywhere: what is fetched there may push out what was fetched elsewhere.
        const sequence = 1 + ((each.at * 97) % this.talk.head);
        this.#open.push(chat.timeline({ sequence }));
        await this.phone.host.advance(5);
        return;
      }
      case 'cut':
        server.isUp = false;
        server.cut();
        return;
      case 'online':
        server.isUp = true;
        this.phone.host.signal('online');
        return;
      case 'crash':
        this.phone.crash();
        await this.start();
        return;
      case 'wipe':
        // The browser dropped the cache; what is own stays (S12).
        this.phone.crash();
        await this.store.wipe('cache');
        await this.start();
        return;
      case 'open':
        chat.timeline();
        return;
      case 'read':
        chat.markRead(this.talk.head);
        return;
      case 'late':
        this.#isLate = true;
        return;
      case 'flush':
        this.#deliverLate();
        return;
      case 'fault':
        this.#fault = each.kind;
        return;
      case 'wait':
        await this.phone.host.advance(each.ms);
    }
  }

  /** Peace: the network is up, nothing is lost any more, time passes. */
  async heal(): Promise<void> {
    this.#fault = 'none';
    this.#deliverLate();
    this.world.server.isUp = true;
    this.phone.host.signal('online');
    await this.phone.host.advance(60_000);
    this.world.server.say(this.talk, BO, 'the last word');
    await this.phone.host.advance(10_000);
  }

  async check(): Promise<void> {
    const { client } = this.phone;
    const chat = client.direct(BO);
    const timeline = chat.timeline();
    await this.phone.host.advance(5_000);
    assert.equal(texts(timeline).at(-1), 'the last word');
    // More than 200 would push the newest out of the window.
    for (let i = 0; i < 40 && messages(timeline).length <= 150; i++) {
      await Promise.all([timeline.more('older'), this.phone.host.advance(100)]);
    }
    const expected = this.talk.page(1, this.talk.head);
    const rows = messages(timeline);
    const [first = 0, last = 0] = [rows[0]?.sequence, rows.at(-1)?.sequence];
    const held = expected.filter((m) => first <= m.sequence && m.sequence <= last);
    assert.deepEqual(
      texts(timeline),
      held.map((m) => (m.deleted === true ? '(deleted)' : (m.content?.message?.text?.body ?? ''))),
    );
    assert.ok(rows.length >= Math.min(150, expected.length), `${rows.length} rows`);
    assert.deepEqual(
      rows.map((row) => row.reactions.map((r) => `${r.emoji}${r.count}`).sort()),
      held.map((m) => (m.reactions ?? []).map((r) => `${r.emoji}${r.count}`).sort()),
    );
    const bodies = this.talk.rows
      .filter((row) => row.senderUserId === ANA && row.body?.message !== undefined)
      .map((row) => row.body?.message?.text?.body);
    assert.deepEqual(bodies, this.sent, 'each own message once, in the order of writing');
    assert.deepEqual(await this.store.readOwn('outbox', { from: [], through: ['\uffff'] }), []);
    const mine = this.talk.resource(ANA).me;
    assert.equal(chat.info.get().unread, mine?.unreadCount);
    assert.equal(this.talk.members.get(ANA)?.delivered, this.talk.head);
    await this.#checkWeights();
  }

  /** What the pages say they weigh is what lies there, whatever was evicted, erased or wiped (S12). */
  async #checkWeights(): Promise<void> {
    const all = { from: [], through: ['\uffff'] };
    const weights = new Map<string, number>();
    for (const { key, value } of await this.store.readCache('messages', all)) {
      const page = `${key[0]} ${Math.floor(Number(key[1]) / 64)}`;
      weights.set(page, (weights.get(page) ?? 0) + JSON.stringify(value).length);
    }
    const records = await this.store.readCache('pages', all);
    assert.deepEqual(
      new Map(records.map(({ key, value }) => [key.join(' '), (value as { bytes: number }).bytes])),
      weights,
    );
  }

  #deliverLate(): void {
    this.#isLate = false;
    for (const deliver of this.#late) deliver();
    this.#late = [];
  }

  #mine(kind: 'my-edit' | 'my-react', place: number): void {
    const chat = this.phone.client.direct(BO);
    const own = this.talk.rows.filter(
      (row) =>
        row.senderUserId === ANA &&
        row.body?.message !== undefined &&
        !this.#isDeleted(row.sequence),
    );
    const row = own[place % Math.max(1, own.length)];
    const open = chat.timeline();
    const shown = messages(open).find((each) => each.sequence === row?.sequence);
    if (shown === undefined) return;
    if (kind === 'my-react') chat.react(shown.key, '★', true);
    else chat.edit(shown.key, say(`my edit ${this.talk.head}`));
  }

  #message(place: number): number | undefined {
    const all = [...this.talk.messages.keys()];
    return all.length === 0 ? undefined : all[all.length - 1 - (place % all.length)];
  }

  #isDeleted(sequence: number): boolean {
    return this.talk.messages.get(sequence)?.deleted === true;
  }

  #isMine(sequence: number): boolean {
    return this.talk.rows[sequence - 1]?.senderUserId === ANA;
  }
}

describe('convergence', function () {
  this.timeout(60_000);

  it('any history with any faults ends as the server has it, each own message once (S1, S2, S4-S8)', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 5, maxLength: 60 }),
        fc.nat(140),
        fc.constantFrom(undefined, 2_000, 20_000),
        fc.constantFrom(Number.POSITIVE_INFINITY, 9),
        async (steps, past, cacheBytesMax, pageMessagesMax) => {
          const run = new Run(cacheBytesMax);
          run.world.server.pageMessagesMax = pageMessagesMax;
          // Enough for many pages where there is room for few.
          const count = cacheBytesMax === undefined ? past : past * 8;
          for (let i = 0; i < count; i++) run.world.server.say(run.talk, BO, `past ${i}`);
          run.world.server.say(run.world.server.direct(ANA, CY), CY, 'another talk');
          await run.start();
          await run.phone.host.advance(200);
          for (const each of steps) await run.do(each);
          await run.heal();
          await run.check();
          assert.equal(
            run.phone.client.unread.get().messages,
            1 + (run.talk.resource(ANA).me?.unreadCount ?? 0),
          );
          await run.phone.client.stop();
          assert.equal(run.phone.host.timerCount, 0);
        },
      ),
      { numRuns: Number(process.env['SDK_RUNS'] ?? 120) },
    );
  });
});
