/** The scripts of DESIGN §7 that one node can meet, in the simulated world: nothing is left to chance. */
import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { Chance } from './chance.ts';
import type { ScriptedDevice } from './scripted-device.ts';
import type { SdkDevice } from './sdk-device.ts';
import { swarmOf, type Swarm } from './swarm.ts';
import { World } from './world.ts';

const DAY_MS = 24 * 3_600_000;

type Over = Partial<Omit<Swarm, 'node'>> & { readonly limits?: object; readonly node?: object };

/** Two people with a device each, who do only what the script says. */
function quiet(over: Over = {}): World {
  const made = swarmOf(1, new Chance(1).fork('swarm'), 0);
  const { limits = {}, node = {}, ...rest } = over;
  const still = { users: 2, devicesEach: 1, sdkShare: 0, gateways: 1, acts: 0, faults: [] };
  return new World({
    ...made,
    ...still,
    ...rest,
    node: { ...made.node, limits: { ...made.node.limits, ...limits }, ...node },
  });
}

async function ready(world: World): Promise<ScriptedDevice> {
  world.begin();
  await world.time.runUntil(20_000, () => world.devices.every(({ isReady }) => isReady));
  const [first] = world.devices;
  assert.ok(first !== undefined);
  return first;
}

function say(device: ScriptedDevice, world: World, count: number): void {
  for (let i = 0; i < count; i++)
    device.send(`direct:${world.users[1]?.userId}`, { message: { text: { body: `m${i}` } } });
}

async function pass(world: World, ms: number): Promise<void> {
  await world.time.runUntil(world.time.nowMs + ms);
}

async function endsSound(world: World, rows: number): Promise<void> {
  world.faults.heal();
  await world.converge();
  const { violations, counts } = await world.finish();
  assert.deepEqual(violations, []);
  assert.equal(counts['rows'], rows);
}

describe('scripts of one node', function () {
  this.timeout(60_000);

  it('the power is cut at every step of a flush: nothing acknowledged is lost (R016, R144)', async () => {
    for (let step = 0; step < 24; step++) {
      const world = quiet({ limits: { flushIntervalMs: 60 }, node: { stateMaxMs: 8 } });
      const device = await ready(world);
      say(device, world, 12);
      await pass(world, 30);
      say(device, world, 12);
      const { store } = world.node;
      assert.ok(store !== undefined);
      await world.time.runUntil(world.time.nowMs + 500, () => store.flusher?.isRunning === true);
      await pass(world, step * 0.7);
      world.faults.crash('power', 50);
      await endsSound(world, 24);
    }
  });

  it('the clock jumps 31 days ahead: stamps never fall, nothing ends, and a slip leaves no trace', async () => {
    const world = quiet();
    const device = await ready(world);
    say(device, world, 3);
    await pass(world, 1000);
    // A slip of half a minute.
    world.node.jump(31 * DAY_MS);
    say(device, world, 3);
    await pass(world, 30_000);
    world.node.jump(-31 * DAY_MS);
    say(device, world, 3);
    await pass(world, 1000);
    const slipped = await world.readAll();
    const stamps = slipped.flatMap(({ rows }) => rows.map(({ timeMs }) => timeMs));
    assert.equal(stamps.length, 9);
    assert.ok(Math.max(...stamps) - Math.min(...stamps) < DAY_MS);
    // One that stands is believed; when it is taken back, time stands still rather than falls.
    world.node.jump(31 * DAY_MS);
    say(device, world, 1);
    await pass(world, 70_000);
    say(device, world, 1);
    await pass(world, 5000);
    world.node.jump(-31 * DAY_MS);
    world.faults.crash('power', 100);
    await pass(world, 5000);
    say(device, world, 1);
    await pass(world, 70_000);
    say(device, world, 1);
    await pass(world, 5000);
    const last = (await world.readAll()).flatMap(({ rows }) => rows.map(({ timeMs }) => timeMs));
    assert.deepEqual(
      last,
      [...last].sort((a, b) => a - b),
    );
    assert.ok((last.at(-1) ?? 0) - (last[0] ?? 0) >= 31 * DAY_MS);
    await endsSound(world, 13);
  });

  it('a phone is restored from a backup: what it said since stands once, what it says now follows (case 11)', async () => {
    const world = quiet({ sdkShare: 1 });
    await ready(world);
    const phone = world.sdks[0] as SdkDevice;
    const peer = world.users[1]?.userId ?? '';
    const settled = (): boolean => world.sdks.every((sdk) => sdk.isSettled);
    const talk = async (count: number): Promise<void> => {
      assert.ok(phone.client !== undefined);
      for (let i = 0; i < count; i++) phone.say(phone.client.direct(peer), `m${i}`);
      await world.time.runUntil(world.time.nowMs + 20_000, settled);
    };
    await world.time.runUntil(world.time.nowMs + 20_000, settled);
    await talk(5);
    await phone.backup(true);
    await talk(40);
    phone.kill();
    await phone.restore();
    phone.start();
    await world.time.runUntil(world.time.nowMs + 20_000, () => phone.client !== undefined);
    await talk(6);
    await endsSound(world, 51);
  });

  it('the evening’s last message is dropped at a full queue: it is there without another word', async () => {
    const world = quiet({ node: { linkWindowBytes: 8192 } });
    const device = await ready(world);
    const reader = world.devices[1];
    assert.ok(reader !== undefined);
    say(device, world, 1);
    await pass(world, 2000);
    // The way back to the gateway stands still until its credit is used up.
    world.gateways[0]?.link?.stallBack(1500);
    for (let round = 0; round < 20; round++) {
      say(device, world, 4);
      await pass(world, 60);
    }
    const cursorOf = (): number =>
      Math.max(0, ...[...reader.conversations.values()].map((c) => c.cursor));
    assert.ok(cursorOf() < 81);
    // Far below the five minutes of the check: the drop itself was announced.
    await pass(world, 20_000);
    assert.equal(cursorOf(), 81);
    await endsSound(world, 81);
  });
});
