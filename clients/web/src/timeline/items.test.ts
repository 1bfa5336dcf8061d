import assert from 'node:assert/strict';
import type { MessageRow, Row } from '@parley/sdk';
import { describe, it } from 'mocha';
import {
  type Item,
  type ItemOptions,
  isOnDevice,
  itemsOf,
  pendingStatesOf,
  RUN_GAP_MS,
} from './items.ts';

const HOUR = 3_600_000;
const NOON = Date.UTC(2026, 4, 12, 12);

function message(over: Partial<MessageRow> & { key: string }): MessageRow {
  return {
    is: 'message',
    sequence: 1,
    timeMs: NOON,
    sender: 'usr_a',
    mine: false,
    content: { text: { body: over.key } },
    deleted: false,
    edited: false,
    reactions: [],
    ...over,
  };
}

function pending(key: string, timeMs: number): MessageRow {
  const { sequence: _, ...row } = message({ key, timeMs, sender: 'usr_me', mine: true });
  return row;
}

function options(over: Partial<ItemOptions> = {}): ItemOptions {
  return {
    tide: 0,
    dayKeyOf: (timeMs) => new Date(timeMs).toISOString().slice(0, 10),
    decided: new Map(),
    ...over,
  };
}

function shape(items: readonly Item[]): string {
  return items
    .map((item) => {
      if (item.is !== 'row') return item.is === 'tide' ? `tide${item.count}` : item.is;
      return `${item.key}${item.run.first ? '^' : ''}${item.run.last ? '$' : ''}`;
    })
    .join(' ');
}

describe('timeline items', () => {
  it('rows of one speaker less than five minutes apart share a run', () => {
    const rows = [
      message({ key: 'a', sequence: 1 }),
      message({ key: 'b', sequence: 2, timeMs: NOON + RUN_GAP_MS - 1 }),
      message({ key: 'c', sequence: 3, timeMs: NOON + 2 * RUN_GAP_MS }),
      message({ key: 'd', sequence: 4, timeMs: NOON + 2 * RUN_GAP_MS, sender: 'usr_b' }),
    ];
    assert.equal(shape(itemsOf(rows, options())), 'day a^ b$ c^$ d^$');
  });

  it('the unread line stands above others’ words, not above own ones or what happened', () => {
    const rows: Row[] = [
      message({ key: 'a', sequence: 1 }),
      message({ key: 'b', sequence: 2, sender: 'usr_me', mine: true }),
      { is: 'service', key: 'c', sequence: 3, timeMs: NOON },
      message({ key: 'd', sequence: 4 }),
    ];
    assert.equal(shape(itemsOf(rows, options({ newFrom: 2 }))), 'day a^$ b^$ c^$ new d^$');
  });

  it('a day line stands before the first row of each day and ends the run', () => {
    const rows = [
      message({ key: 'a', sequence: 1, timeMs: NOON + 11.99 * HOUR }),
      message({ key: 'b', sequence: 2, timeMs: NOON + 12 * HOUR }),
    ];
    assert.equal(shape(itemsOf(rows, options())), 'day a^$ day b^$');
  });

  it('the unread line stands once, before the first unread row', () => {
    const rows = [1, 2, 3].map((sequence) => message({ key: `m${sequence}`, sequence }));
    assert.equal(shape(itemsOf(rows, options({ newFrom: 2 }))), 'day m1^$ new m2^ m3$');
    assert.equal(shape(itemsOf(rows, options({ newFrom: 9 }))), 'day m1^ m2 m3$');
  });

  it('a hole that holds the first unread row carries the unread line', () => {
    const rows: Row[] = [
      message({ key: 'a', sequence: 1 }),
      { is: 'hole', key: 'h', after: 1, before: 9 },
      message({ key: 'b', sequence: 9 }),
    ];
    assert.equal(shape(itemsOf(rows, options({ newFrom: 4 }))), 'day a^$ new h^$ b^$');
  });

  it('the tide mark stands before the first row that is on this device only', () => {
    const rows = [message({ key: 'a', sequence: 1 }), pending('p', NOON), pending('q', NOON)];
    const items = itemsOf(rows, options({ tide: 2 }));
    assert.equal(shape(items), 'day a^$ tide2 p^ q$');
  });

  it('what is being written is not on this device yet, and a reload may lose it to the draft', () => {
    const saving = { is: 'SENDING', step: 'saving' } as const;
    assert.equal(isOnDevice(saving), false);
    assert.ok(isOnDevice({ is: 'SENDING', step: 'queued' }));
    assert.ok(isOnDevice({ is: 'FAILED', reason: 'BLOCKED', retryable: false }));
    const own = pending('p', NOON);
    const state = { get: () => saving, subscribe: () => () => undefined };
    const rows = [message({ key: 'a', sequence: 1, state }), { ...own, state }] as Row[];
    assert.deepEqual(pendingStatesOf(rows), [state]);
  });

  it('the tide mark ends no run: rows keep their height when it comes and goes (S3)', () => {
    const mine = message({ key: 'a', sequence: 1, sender: 'usr_me', mine: true });
    const rows = [mine, pending('p', NOON)];
    assert.equal(shape(itemsOf(rows, options())), 'day a^ p$');
    const tide = options({ tide: 1 });
    assert.equal(shape(itemsOf(rows, tide)), 'day a^ tide1 p$');
  });

  it('pending rows open no day: the device’s clock names none (CLIENT §4 case 12)', () => {
    const rows = [message({ key: 'a', sequence: 1 }), pending('p', NOON + 48 * HOUR)];
    assert.equal(shape(itemsOf(rows, options())), 'day a^$ p^$');
  });

  it('a commit with the server’s time leaves a row’s place in its run as it was (S3)', () => {
    const decided = new Map<string, { after: string; first: boolean }>();
    const mine = message({ key: 'a', sequence: 1, sender: 'usr_me', mine: true });
    const ahead = NOON + 2 * HOUR;
    const before = itemsOf([mine, pending('p', ahead)], options({ decided }));
    const committed = message({ key: 'p', sequence: 2, sender: 'usr_me', mine: true });
    const after = itemsOf([mine, committed], options({ decided }));
    assert.equal(shape(before), 'day a^$ p^$');
    assert.equal(shape(after), shape(before));
  });

  it('another’s row that enters above a pending one starts a run there', () => {
    const decided = new Map<string, { after: string; first: boolean }>();
    const mine = message({ key: 'a', sequence: 1, sender: 'usr_me', mine: true });
    assert.equal(shape(itemsOf([mine, pending('p', NOON)], options({ decided }))), 'day a^ p$');
    const theirs = message({ key: 't', sequence: 2, sender: 'usr_b' });
    const rows = [mine, theirs, pending('p', NOON)];
    assert.equal(shape(itemsOf(rows, options({ decided }))), 'day a^$ t^$ p^$');
  });
});
