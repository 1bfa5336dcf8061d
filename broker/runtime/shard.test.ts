import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { SILENT } from '../../core/observe.ts';
import { idOf, sendCommand } from '../conversation/test-kit.ts';
import { RAFT_LIMITS } from '../consensus/contract.ts';
import type { Answerer, DueAnswers } from './answers.ts';
import { COMMAND_BYTES_MAX, Shard, type ShardParts } from './shard.ts';
import type { LoggedEntry, ShardLog } from './shard-log.ts';
import { StoreBudget } from './store-budget.ts';

/** A log that commits when it is told to. */
class HandLog implements ShardLog {
  readonly shard = 0;
  readonly isReady = true;
  readonly reign = 1;
  readonly #entries: LoggedEntry[] = [];
  committed = 0;

  get tail(): number {
    return this.#entries.length;
  }
  append(payloads: readonly Uint8Array[]): { ok: true; term: number; first: number } {
    const first = this.tail + 1;
    for (const payload of payloads)
      this.#entries.push({ index: this.tail + 1, term: 1, kind: 'command', payload });
    return { ok: true, term: 1, first };
  }
  entry(index: number): LoggedEntry {
    return this.#entries[index - 1] as LoggedEntry;
  }
  applied(): void {
    // Nothing is trimmed here.
  }
  trim(): void {
    // Nothing is trimmed here.
  }
  readIndex(): boolean {
    return true;
  }
}

/** A shard that leads, whose machine throws once `isFaulty`; effects answer what is due. */
function shardOf(): {
  readonly shard: Shard;
  readonly log: HandLog;
  readonly budget: StoreBudget;
  readonly machine: { isFaulty: boolean; isFaultyAfter: boolean };
  readonly said: string[];
  readonly answerer: Answerer;
} {
  const machine = {
    settings: { epoch: 1 },
    isFaulty: false,
    isFaultyAfter: false,
    apply: (): object => {
      if (machine.isFaulty) throw new Error('a fault');
      return {};
    },
  };
  const said: string[] = [];
  const answerer: Answerer = {
    committed: (request) => void said.push(`${request} committed`),
    refused: (request, { reason }) => void said.push(`${request} ${reason}`),
  };
  const budget = new StoreBudget({
    shards: 1,
    shardBytesMax: 1e6,
    storeBytesMax: 1e6,
    unflushedBytes: () => 0,
    unflushedBytesMax: 1,
  });
  const ignore = (): void => undefined;
  const parts = {
    shard: 0,
    machine,
    accounts: {},
    owner: { owns: () => true, claim: ignore },
    needs: { ready: (command: Uint8Array) => command, pin: ignore, unpin: ignore },
    effects: {
      conversation: (_: number, __: object, due: DueAnswers): void => {
        if (machine.isFaultyAfter) throw new Error('a fault behind the machine');
        const { answerer: waiting } = due;
        due.answerer = undefined;
        waiting?.committed(due.request, {} as never);
      },
    },
    arena: { keep: (bytes: Uint8Array) => bytes.slice() },
    budget,
    stamps: { now: () => 1, raise: ignore },
    log: SILENT,
    arm: ignore,
    stopped: ignore,
    leading: ignore,
  } as unknown as ShardParts;
  const shard = new Shard(parts);
  const log = new HandLog();
  shard.start(log, { index: 0, term: 0 });
  shard.reignChanged(1);
  shard.propose(command(), { committed: ignore, refused: ignore });
  shard.proposeAll();
  log.committed = 1;
  assert.ok(shard.applyAll());
  assert.ok(shard.isServing);
  return { shard, log, budget, machine, said, answerer };
}

describe('a shard', () => {
  it('refuses what no entry may hold: proposed, it would end the process', () => {
    const { shard, said, budget, answerer } = shardOf();
    const large = new Uint8Array(COMMAND_BYTES_MAX + 1);
    large.set(command());
    shard.receive(large, answerer, 1);
    assert.deepEqual(said, ['1 PAYLOAD_TOO_LARGE']);
    assert.equal(shard.hasCommands, false);
    shard.receive(large.subarray(0, COMMAND_BYTES_MAX), answerer, 2);
    assert.equal(said.length, 1);
    assert.ok(COMMAND_BYTES_MAX <= RAFT_LIMITS.entryBytesMax && budget.bytes > 0);
  });
});

function command(): Uint8Array {
  return sendCommand({ to: idOf(1), from: idOf(2), clientSeq: 1 });
}

describe('a shard that stops on a fault in apply', () => {
  it('answers whoever waits: what was proposed is unknown, what was not is refused', () => {
    const { shard, log, budget, machine, said, answerer } = shardOf();
    shard.receive(command(), answerer, 1);
    shard.proposeAll();
    shard.receive(command(), answerer, 2);
    machine.isFaulty = true;
    log.committed = log.tail;
    assert.equal(shard.applyAll(), false);
    assert.ok(shard.isStopped);
    assert.deepEqual(said, ['1 COMMIT_UNKNOWN', '2 SHARD_UNAVAILABLE']);
    assert.equal(shard.hasCommands, false);
    assert.equal(shard.awaited, 0);
    assert.equal(budget.bytes, 0);
  });

  it('answers each once, also whose entry passed the machine and failed behind it', () => {
    const { shard, log, budget, machine, said, answerer } = shardOf();
    for (const request of [1, 2]) shard.receive(command(), answerer, request);
    shard.proposeAll();
    log.committed = log.tail - 1;
    shard.applyAll();
    machine.isFaultyAfter = true;
    log.committed = log.tail;
    shard.applyAll();
    assert.deepEqual(said, ['1 committed', '2 COMMIT_UNKNOWN']);
    assert.equal(budget.bytes, 0);
  });

  it('refuses reads that were under way, whenever their index comes', async () => {
    const { shard, log, machine, answerer } = shardOf();
    shard.receive(command(), answerer, 1);
    shard.proposeAll();
    const early = shard.readIndex();
    shard.read(1, 2);
    shard.closeRound();
    const late = shard.readIndex();
    machine.isFaulty = true;
    log.committed = log.tail;
    shard.applyAll();
    shard.read(2, 2);
    await assert.rejects(early, { reason: 'SHARD_UNAVAILABLE' });
    await assert.rejects(late, { reason: 'SHARD_UNAVAILABLE' });
  });
});
