import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { COMMAND_KIND } from '../../core/command.ts';
import { decodeCommand } from '../../core/command-codec.ts';
import { SLOT_COUNT, slotOf } from '../../core/ids.ts';
import { Owner } from './owner.ts';
import { ShardMap } from './shard-map.ts';
import {
  settingsCommand,
  settingsKey,
  settingsToPropose,
  type ShardSettings,
} from './shard-settings.ts';

const SETTINGS: ShardSettings = {
  clusterId: new Uint8Array(16).fill(5),
  epoch: 1_700_000_000,
  membersMax: 500,
  editWindowMs: 1000,
  editsMax: 100,
  featureLevel: 2,
  hashKey: new Uint8Array(32).fill(7),
};

function inSlot(slot: number): Uint8Array {
  const raw = new Uint8Array(16).fill(0xf0);
  raw[14] = 0xf0 | (slot >>> 8);
  raw[15] = slot & 255;
  return raw;
}

describe('placement', () => {
  it('every slot belongs to exactly one shard, by its last bits alone', () => {
    const map = new ShardMap(16);
    const owners = Array.from({ length: 16 }, (_, shard) => new Owner(shard, map));
    for (let slot = 0; slot < SLOT_COUNT; slot++) {
      const raw = inSlot(slot);
      assert.equal(slotOf(raw), slot);
      assert.equal(map.shardOf(raw), slot % 16);
      assert.deepEqual(
        owners.filter((owner) => owner.owns(raw)).map(({ shard }) => shard),
        [slot % 16],
      );
    }
  });

  it('a fence never falls', () => {
    const owner = new Owner(0, new ShardMap(16));
    owner.claim(3);
    assert.equal(owner.fence, 3);
    assert.throws(() => owner.claim(2), /fence-never-falls/);
  });

  it('shards must divide the slots', () => {
    assert.throws(() => new ShardMap(15), /shards-divide-slots/);
    assert.throws(() => new ShardMap(0), /shard-count/);
  });

  it('a settings entry lies in its own shard', () => {
    const map = new ShardMap(256);
    for (let shard = 0; shard < 256; shard++) assert.equal(map.shardOf(settingsKey(shard)), shard);
    const command = decodeCommand(settingsCommand(9, SETTINGS));
    assert.ok(command.kind === COMMAND_KIND.shardSettings);
    assert.deepEqual([command.epoch, command.membersMax], [SETTINGS.epoch, 500]);
  });

  it('settings are proposed when there are none or the configuration changed; identity stays', () => {
    assert.equal(settingsToPropose(SETTINGS, undefined), SETTINGS);
    assert.equal(settingsToPropose(SETTINGS, SETTINGS), undefined);
    const wanted = { ...SETTINGS, membersMax: 250, epoch: 1, hashKey: new Uint8Array(32) };
    const proposed = settingsToPropose({ ...wanted, featureLevel: 1 }, SETTINGS);
    assert.deepEqual(proposed, { ...SETTINGS, membersMax: 250 });
    assert.throws(
      () => settingsToPropose({ ...SETTINGS, clusterId: new Uint8Array(16) }, SETTINGS),
      /same-cluster/,
    );
  });
});
